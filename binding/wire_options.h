/* The options of `new` about how bytes travel, which every driver has. */
#ifndef ZLB_WIRE_OPTIONS_H
#define ZLB_WIRE_OPTIONS_H

#include "compat.h"
#include "options.h"

/* Texts belong to the options. */
typedef struct zlb_wire_options {
    const char *connect_to; /* NULL: the endpoint's address */
    const char *proxy;      /* NULL: not given; "": none */
    int64_t connect_timeout_ms;
    size_t max_response_bytes;
} zlb_wire_options;

/* Read them, for an endpoint with TLS or without. A proxy must have one of these schemes
 * (NULL-terminated), or else has this problem. Raises what is wrong. */
zlb_wire_options zlb_wire_options_read(lua_State *L, const zlb_options *given, bool tls,
                                       const char *const *schemes, const char *problem);

#endif
