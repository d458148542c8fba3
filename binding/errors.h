/* The error table: made, raised, shown. */
#ifndef ZLB_ERRORS_H
#define ZLB_ERRORS_H

#include "../api/error.h"
#include "compat.h"

/* Tells static analysis what the declarations of Lua's own API do not: control never comes back. */
#if defined(__clang__)
#define ZLB_RAISES __attribute__((analyzer_noreturn))
#else
#define ZLB_RAISES
#endif

/* Create the error's metatable in the registry. Idempotent; leaves the stack as it was. */
void zlb_errors_open(lua_State *L);

/* Push a table for an error of the core's. action: empty where there is none. Raises Lua's "not
 * enough memory" if memory ran out for one of its texts. */
void zlb_push_error(lua_State *L, const zl_error *error, zl_view action);

/* Raise an error of our own, outcome not_sent, before anything was done. `where` is the argument's
 * place ("instance_ids[3]"; NULL: none), and goes before the message. The format is that of
 * lua_pushfstring. Never returns; int, so that callers can `return` it. */
int zlb_raise(lua_State *L, zl_code code, const char *where, const char *format, ...) ZLB_RAISES;

/* Raise Lua's own memory error, for an allocation that failed outside of Lua. */
int zlb_raise_memory(lua_State *L) ZLB_RAISES;

/* Whether the value is one of our error tables. */
bool zlb_is_error(lua_State *L, int index);

/* Whether the value is what the stock interpreter raises on Ctrl-C: "interrupted!", with a place in
 * front of it or not. */
bool zlb_is_interrupt(lua_State *L, int index);

/* Something was raised that may not be raised on; it is on top of the stack, and stays. From
 * Lua 5.4 on this is a warning, elsewhere nothing. */
void zlb_warn(lua_State *L, const char *what);

/* Push field `name` of the table at `index`, raw. Returns its type. */
int zlb_push_raw(lua_State *L, int index, const char *name);

/* Push a view as a string; set field `name` of the table on top to it, unless it is empty. */
void zlb_push_view(lua_State *L, zl_view view);
void zlb_set_view(lua_State *L, const char *name, zl_view view);
void zlb_set_text(lua_State *L, const char *name, const char *text);

#endif
