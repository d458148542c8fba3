/* One HTTP exchange on a libcurl easy handle: its options, its callbacks, and its memory. Private
 * to the transport. */
#ifndef ZL_TRANSFER_H
#define ZL_TRANSFER_H

#include <curl/curl.h>

#if LIBCURL_VERSION_NUM < 0x075000
#error "lua-zenlayer needs libcurl 7.80.0 or newer"
#endif

#include "operation.h"
#include "wire.h"

typedef struct zl_transfer {
    CURL *easy;
    zl_wire *wire;
    zl_operation *op; /* NULL: nobody waits for it (any more) */
    size_t n;
    bool is_warm_up;          /* a HEAD that only opens a connection */
    int64_t until_ms;         /* when it must be over, on the monotonic clock */
    int64_t connect_until_ms; /* when sending must have begun */
    zl_buf
        lines; /* the request's headers, and their list; curl_slist_append's copies stay unwiped */
    struct curl_slist headers[ZL_REQUEST_HEADERS_MAX + 2];
    bool began;     /* libcurl began to make a connection for it */
    int sends;      /* how often libcurl was about to send the request */
    int local_port; /* of the connection it was sent on */
    size_t answers; /* that had begun there when it was sent, or when its own did */
    bool resent;    /* … and was stopped from doing it a second time */
    bool tainted;   /* the kept connection was not fit for use; nothing was sent */
    bool too_large;
    bool out_of_memory;
    bool head_ended;   /* the blank line after the final answer's head has come */
    int status;        /* once it was answered */
    size_t head_total; /* bytes of all heads, those of interim answers too */
    zl_buf head;       /* of the final answer: the lines that are wanted */
    zl_buf body;
    char error_text[CURL_ERROR_SIZE];
    struct zl_transfer *next; /* in the transport's lists */
} zl_transfer;

/* A transfer with everything set that does not change between attempts. NULL when out of memory. */
zl_transfer *zl_transfer_new(zl_wire *wire);
void zl_transfer_free(zl_transfer *transfer);

/* Make it ready to carry a request, which is borrowed until the transfer ends; or a HEAD of the
 * endpoint that only opens a connection. False when out of memory. */
bool zl_transfer_prepare(zl_transfer *transfer, const zl_request *request);
bool zl_transfer_prepare_warm_up(zl_transfer *transfer);

/* Begin the same exchange again on a connection of its own, after one that was tainted. */
void zl_transfer_rewind(zl_transfer *transfer);

/* Whether what ended the exchange may have ended its connection, too, which libcurl may keep all
 * the same: for other streams of HTTP/2, or where the sending failed. Only a body that is too large
 * is known to be nothing of the kind. */
bool zl_transfer_broke_connection(const zl_transfer *transfer, CURLcode rc);

/* Forget the exchange; the memory of ordinary answers is kept for the next. */
void zl_transfer_reset(zl_transfer *transfer);

#endif
