/* The client userdata: its life, and its methods. */
#ifndef ZLB_CLIENT_H
#define ZLB_CLIENT_H

#include "../api/client.h"
#include "../api/transport.h"
#include "compat.h"

/* The metatables of a client that raises and of one that returns nil, err. */
#define ZLB_CLIENT_TYPE "zenlayer.client"
#define ZLB_SAFE_CLIENT_TYPE "zenlayer.safe.client"

/* Both NULL: closed. The user value is a table that keeps the jobs under way, by their tags. */
typedef struct zlb_client {
    zl_client *core;
    zl_transport *transport;
    int last_tag;
    bool has_progress; /* some job had an on_progress */
    bool safe;         /* of the second kind; its jobs are so too */
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
