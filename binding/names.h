/* Names that do not exist, of options and of methods: what is said of them. */
#ifndef ZLB_NAMES_H
#define ZLB_NAMES_H

#include "../api/buf.h"
#include "compat.h"
#include "errors.h"

/* Raise UNKNOWN_OPTION for a name that is none of these (NULL-terminated): the message names the
 * one that is near enough to be meant, or else all there are. */
int zlb_raise_unknown_option(lua_State *L, zl_view given, const char *const *names) ZLB_RAISES;

/* From now on the table of methods at `index` raises UNKNOWN_METHOD where it has no method of that
 * name, which is then to be `what` ("a client") has not. To be called when it has all of them; for
 * a name that it has, nothing changes. Keys that are no names, and the names that Lua itself looks
 * for ("__eq"), are nil. */
void zlb_refuse_unknown_methods(lua_State *L, int index, const char *what);

/* The table of methods on top of the stack, which is popped, becomes the __index of the metatable
 * below it, and raises as above; an attempt to set a field is refused. */
void zlb_set_methods(lua_State *L, const char *what);

#endif
