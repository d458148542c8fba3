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
} zlb_client;

/* Create the metatables. Idempotent; leaves the stack as it was. */
void zlb_client_open(lua_State *L);

/* Push a new client made of the table of options at index 1, of metatable `type`. Raises what is
 * wrong with them. */
void zlb_client_new(lua_State *L, const char *type);

/* Close connections and end what is under way. Idempotent; raises nothing. */
void zlb_client_close(zlb_client *client);

/* A C function as upvalue 1 is called with all arguments; our errors come back as nil, err instead
 * of being raised. Anything else (memory, the interpreter's interrupt) is raised on. */
int zlb_safe_call(lua_State *L);

#endif
