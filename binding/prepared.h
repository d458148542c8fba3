/* An operation whose bytes somebody else moves. */
#ifndef ZLB_PREPARED_H
#define ZLB_PREPARED_H

#include "compat.h"

/* Create the metatables. Idempotent; leaves the stack as it was. */
void zlb_prepared_open(lua_State *L);

/* Make what it needs though memory has run out; the metatable of clients is on top of the stack. */
void zlb_prepared_keep(lua_State *L);

/* Turn the job on top of the stack, which was not submitted, into such an operation of the client
 * at client_index. */
void zlb_prepared_from_job(lua_State *L, int client_index, bool safe);

#endif
