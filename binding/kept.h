/* C functions that can be called though memory has run out. In Lua 5.1 and LuaJIT lua_pushcfunction
 * makes a function, in LuaJIT lua_pushlightuserdata may allocate too, and both raise when they
 * cannot: where that must not happen there is one that was made beforehand, and a place for its
 * argument. */
#ifndef ZLB_KEPT_H
#define ZLB_KEPT_H

#include "compat.h"

/* A name that no other has, and its function. */
typedef struct zlb_kept {
    const char *name;
    lua_CFunction function;
} zlb_kept;

/* Make it. On top of the stack is the metatable of clients, which holds it. */
void zlb_kept_add(lua_State *L, const zlb_kept *kept);

/* Push it and its first argument. Allocates nothing and raises nothing; needs three places on the
 * stack. */
void zlb_kept_push(lua_State *L, const zlb_kept *kept, void *argument);

/* That argument, for the function. To be asked for first of all. */
void *zlb_kept_argument(lua_State *L);

#endif
