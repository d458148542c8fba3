/* From the arguments of a method to an operation. */
#ifndef ZLB_MAKE_H
#define ZLB_MAKE_H

#include "compat.h"

/* Read the arguments of the method (the client at index 1, the rest from index 2 on), make the
 * operation and push it as a job, which is then on top. Nothing is sent. Raises what is wrong with
 * the arguments.
 *
 *     zlb_make_stop    (client, ids [, options])
 *     zlb_make_status  (client [, ids [, options]])
 *     zlb_make_wait    (client, ids [, options])
 *     zlb_make_call    (client, action [, params [, options]]) */
void zlb_make_stop(lua_State *L);
void zlb_make_status(lua_State *L);
void zlb_make_wait(lua_State *L);
void zlb_make_call(lua_State *L);

#endif
