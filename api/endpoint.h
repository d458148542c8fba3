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

/* Check "host", "host:port" or "[v6]:port", to be dialled in the endpoint's place. Returns NULL or
 * what is wrong; *loopback tells whether the host is this machine. */
const char *zl_endpoint_check_address(zl_view address, bool *loopback);

#endif
