/* The client userdata: its life, and its methods. */
#ifndef ZLB_CLIENT_H
#define ZLB_CLIENT_H

#include "../api/client.h"
#include "../api/transport.h"
#include "compat.h"

/* The user value is a table that keeps the jobs under way, by the hash keys of their tags, and the
 * functions on_event and credentials. */
typedef struct zlb_client {
    zl_client *core;         /* NULL: closed */
    zl_transport *transport; /* NULL: closed, or there is no engine */
    int last_tag;
    int64_t epoch_ms;  /* of events: UNIX time when the monotonic clock stood at 0 */
    bool telling;      /* its on_event runs */
    bool asking;       /* its credentials function runs */
    bool has_progress; /* some job had an on_progress */
    bool safe;         /* returns nil, err; its jobs do so too */
    bool in_nginx;     /* where it must not block but in some phases */
} zlb_client;

/* Create the metatables. Idempotent; leaves the stack as it was. */
void zlb_client_open(lua_State *L);

/* Push a new client made of the table of options at index 1. Raises what is wrong with them. */
void zlb_client_new(lua_State *L, bool safe);

/* The client at index 1, which must be one and open; raises otherwise. */
zlb_client *zlb_client_check(lua_State *L);

/* Close connections and end what is under way. Idempotent; raises nothing. */
void zlb_client_close(zlb_client *client);

#endif
