/* What a client has besides its operations: something that moves their bytes. zenlayer.so is linked
 * with engine.c, which is libcurl; zenlayer/core.so with no_engine.c, where whoever calls moves
 * them. */
#ifndef ZLB_ENGINE_H
#define ZLB_ENGINE_H

#include "client.h"
#include "compat.h"
#include "options.h"

/* The metatables' names in the registry: a Lua state may load both objects. The second of each pair
 * is that of clients which return nil, err, and of what they make. */
extern const char *const zlb_client_types[2], *const zlb_job_types[2], *const zlb_prepared_types[2];

/* The options of `new`, in order, with NULL at the end. */
extern const char *const zlb_client_options[];

/* Whether a step of a prepared operation asks the credentials function by itself; else whoever
 * drives it does. */
extern const bool zlb_engine_asks;

/* The methods that a client has besides those of client.c. */
extern const luaL_Reg zlb_engine_methods[];

/* The methods of a job. */
extern const luaL_Reg zlb_job_methods[];

/* Read the options that the engine has, for the client on top of the stack, whose core is made, and
 * begin. Raises what is wrong with them. */
void zlb_engine_begin(lua_State *L, const zlb_options *given, zlb_client *client);

/* End what is under way and close the connections; let go of one operation. */
void zlb_engine_end(zl_transport *transport);
void zlb_engine_drop(zl_operation *op);

#endif
