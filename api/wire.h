/* How the bytes of a client travel: what all transfers of a transport share. Private to the
 * transport. */
#ifndef ZL_WIRE_H
#define ZL_WIRE_H

#include <curl/curl.h>

#include "event.h"
#include "sockets.h"
#include "transport.h"

/* Whether connections go through a proxy. That of the environment may have exceptions, which
 * libcurl knows, and tells only from 8.7 on. */
typedef enum zl_proxied { ZL_PROXIED_NO, ZL_PROXIED_MAYBE, ZL_PROXIED_YES } zl_proxied;

/* Owns its buffers. */
typedef struct zl_wire {
    zl_sockets sockets;
    zl_buf base;     /* the endpoint, for messages and warming up */
    zl_buf target;   /* "host:port" to be connected to, by us or by a proxy; for messages */
    zl_buf via;      /* "host:port" of the proxy, for messages; empty: none that can be shown */
    bool via_tls;    /* it is an https proxy */
    bool via_socks;  /* … one of another kind than http */
    bool has_trust;  /* ca_file or ca_path was given; else they are libcurl's default */
    zl_buf ca_file;  /* empty: none */
    zl_buf ca_path;  /* empty: none */
    zl_buf proxy;    /* only if has_proxy */
    zl_buf no_proxy; /* CURLOPT_NOPROXY; empty: the environment's */
    bool has_proxy;  /* given, or there is none; an empty one means none. Else the environment's */
    zl_proxied proxied;
    struct curl_slist *connect_to;
    int64_t connect_timeout_ms;
    size_t max_response_bytes;
    bool tls;
    zl_events *events; /* borrowed */
} zl_wire;

/* Fill in an empty wire. False when out of memory: then it is to be freed all the same. */
bool zl_wire_init(zl_wire *wire, const zl_endpoint *endpoint, const zl_transport_options *options);
void zl_wire_free(zl_wire *wire);

#endif
