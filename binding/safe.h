/* The two styles of error: raised, or returned as nil, err. */
#ifndef ZLB_SAFE_H
#define ZLB_SAFE_H

#include "compat.h"

/* The C function that is upvalue 1 is called with all arguments; our errors come back as nil, err
 * instead of being raised. Anything else (memory, the interpreter's interrupt) is raised on. */
int zlb_safe_call(lua_State *L);

/* Add the functions of a list to the table on top of the stack, as methods of what has the
 * metatable below that; with `safe`, each of them through zlb_safe_call. */
void zlb_add_methods(lua_State *L, const luaL_Reg *methods, bool safe);

/* The userdata at index 1 if its metatable is upvalue 1, else NULL. For finalisers, too: a script
 * can get at one, and call it with anything. */
void *zlb_own(lua_State *L);

/* The userdata at index 1 if it is of one of the two types, else NULL. In a method that
 * zlb_add_methods made, its own metatable is found without a look into the registry. */
void *zlb_self(lua_State *L, const char *const types[2]);

#endif
