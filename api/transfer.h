/* One HTTP exchange on a libcurl easy handle: its options, its callbacks, and what its end means.
 * Private to the transport. */
#ifndef ZL_TRANSFER_H
#define ZL_TRANSFER_H

#include <curl/curl.h>

#if LIBCURL_VERSION_NUM < 0x075000
#error "lua-zenlayer needs libcurl 7.80.0 or newer"
#endif

#include "operation.h"
#include "sockets.h"

/* What all transfers of a transport share. Owns its buffers. */
typedef struct zl_wire {
    zl_sockets sockets;
    zl_buf base;     /* the endpoint, for messages and warming up */
    zl_buf ca_file;  /* empty: none */
    zl_buf ca_path;  /* empty: none */
    zl_buf proxy;    /* only if has_proxy */
    zl_buf no_proxy; /* CURLOPT_NOPROXY; empty: the environment's */
    bool has_proxy;  /* given; an empty one means none. Else the environment's */
    bool uses_proxy; /* for certain; the environment's may have exceptions, which libcurl knows */
    struct curl_slist *connect_to;
    int64_t connect_timeout_ms;
    size_t max_response_bytes;
    bool tls;
    zl_events *events; /* borrowed */
} zl_wire;

typedef struct zl_transfer {
    CURL *easy;
    zl_wire *wire;
    zl_operation *op; /* NULL: nobody waits for it (any more) */
    size_t n;
    bool is_warm_up;          /* a HEAD that only opens a connection */
    int64_t until_ms;         /* when it must be over, on the monotonic clock */
    int64_t connect_until_ms; /* when sending must have begun */
    struct curl_slist *headers;
    int sends;      /* how often libcurl was about to send the request */
    int local_port; /* of the connection it was sent on */
    bool resent;    /* … and was stopped from doing it a second time */
    bool tainted;   /* the kept connection was not fit for use; nothing was sent */
    bool too_large;
    bool out_of_memory;
    bool head_ended;   /* the blank line after the final answer's head has come */
    int status;        /* once it was answered */
    size_t head_total; /* bytes of all heads, those of interim answers too */
    zl_buf head;       /* of the final answer, without its status line */
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

/* The exchange is over and brought no answer (rc is not CURLE_OK): the code to report, with a
 * message appended to *message. */
zl_code zl_transfer_explain(zl_transfer *transfer, CURLcode rc, zl_buf *message);

/* Forget the exchange; the memory of ordinary answers is kept for the next. */
void zl_transfer_reset(zl_transfer *transfer);

#endif
