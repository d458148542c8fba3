/* From an action, a body and a timestamp to the bytes of one HTTP request. */
#ifndef ZL_REQUEST_H
#define ZL_REQUEST_H

#include "buf.h"
#include "endpoint.h"
#include "ids.h"
#include "sign.h"

/* Who sends, and where to. */
typedef struct zl_sender {
    zl_signer *signer;
    zl_endpoint endpoint;
    zl_buf user_agent;
} zl_sender;

/* What is asked for. Borrowed. */
typedef struct zl_action {
    zl_view name;    /* "StopInstances" */
    zl_view service; /* "vm" */
    zl_view version; /* "2026-04-01" */
} zl_action;

enum { ZL_REQUEST_HEADERS_MAX = 12 };

/* One request: a POST. Owns url and lines, borrows the body. All zero is the empty request, ready
 * to be built; building again reuses the memory. */
typedef struct zl_request {
    zl_buf url;
    zl_view body;
    zl_buf lines; /* the header lines "Name: value", each ending in a NUL */
    struct zl_header_place {
        size_t start;
        size_t name_len;
        size_t len; /* of the whole line */
    } headers[ZL_REQUEST_HEADERS_MAX];
    size_t header_count;
} zl_request;

/* Build and sign. The body is signed and sent from the same memory, which must stay as it is until
 * the request has been sent. ZL_ERR_NOMEM, ZL_ERR_ARG (a value over its bound), ZL_ERR_CRYPTO. */
int zl_request_build(zl_request *out, const zl_sender *sender, const zl_action *action,
                     zl_view body, int64_t timestamp_s);
void zl_request_free(zl_request *request);

/* Header i (from 0): its line as a C string; its name; its value. Valid until the next build. */
const char *zl_request_line(const zl_request *request, size_t i);
zl_view zl_request_header_name(const zl_request *request, size_t i);
zl_view zl_request_header_value(const zl_request *request, size_t i);

/* ZL_UNSET is left out of the request, so that the server's own default holds. */
typedef enum zl_tristate { ZL_UNSET, ZL_FALSE, ZL_TRUE } zl_tristate;

/* Append the body of StopInstances for the `count` ids whose places in the list are which[0] …, or
 * of DescribeInstancesStatus: for ids (a page as long as the list), or for page `page_num` (from 1)
 * of all there are. The API takes at most ZL_REQUEST_IDS_MAX ids. */
void zl_request_add_stop(zl_buf *out, const zl_ids *ids, const size_t *which, size_t count,
                         zl_tristate force);
void zl_request_add_status(zl_buf *out, const zl_ids *ids, const size_t *which, size_t count);
void zl_request_add_status_page(zl_buf *out, int64_t page_num);

enum { ZL_REQUEST_IDS_MAX = 100, ZL_REQUEST_PAGE_SIZE = 1000 };

/* How many batches so many ids make. */
static inline size_t zl_batches_of(size_t ids) {
    return (ids + ZL_REQUEST_IDS_MAX - 1) / ZL_REQUEST_IDS_MAX;
}

/* How many of so many ids the next batch takes. */
static inline size_t zl_batch_of(size_t ids) {
    return ids < ZL_REQUEST_IDS_MAX ? ids : ZL_REQUEST_IDS_MAX;
}

/* The API version that goes with a service ("vm", "bmc", "zec"); empty for any other. */
zl_view zl_request_default_version(zl_view service);

#endif
