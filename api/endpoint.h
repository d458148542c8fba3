/* Where the API is: an https URL without a path, or an http one on this very machine. */
#ifndef ZL_ENDPOINT_H
#define ZL_ENDPOINT_H

#include "buf.h"

/* Owns its buffers; all zero is empty. */
typedef struct zl_endpoint {
    zl_buf base; /* "https://host[:port]", no slash at the end */
    zl_buf host; /* the Host header: the port is there only if it is not the scheme's */
    bool tls;
} zl_endpoint;

#define ZL_ENDPOINT_DEFAULT "https://console.zenlayer.com"

/* Read "https://host[:port][/]", or the same with http where the host is a loopback address
 * (127.0.0.0/8, [::1], localhost). Returns NULL, or a static text that says what is wrong with it;
 * then, and when memory ran out (zl_buf_ok of the buffers), *out is empty. */
const char *zl_endpoint_parse(zl_endpoint *out, zl_view url);
void zl_endpoint_free(zl_endpoint *endpoint);

/* Append "host:port" for a checked "host" or "host:port", which is the endpoint's own or takes its
 * place; the port, for want of one, is the endpoint's. */
void zl_endpoint_add_place(zl_buf *out, const zl_endpoint *endpoint, zl_view text);

typedef enum zl_proxy_kind { ZL_PROXY_HTTP, ZL_PROXY_HTTPS, ZL_PROXY_OTHER } zl_proxy_kind;

/* Append "host:port" for the URL of a proxy, without its user and password; nothing where it is not
 * plain where those end. Its kind by its scheme, http for want of one. */
zl_proxy_kind zl_endpoint_add_proxy(zl_buf *out, zl_view url);

/* Check "host", "host:port" or "[v6]:port", to be dialled in the endpoint's place. Returns NULL or
 * what is wrong; *loopback tells whether the host is this machine. */
const char *zl_endpoint_check_address(zl_view address, bool *loopback);

#endif
