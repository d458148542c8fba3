/* Telling a client's on_event what happened. */
#ifndef ZLB_EVENTS_H
#define ZLB_EVENTS_H

#include "client.h"
#include "compat.h"
#include "options.h"

/* Make what it needs though memory has run out; the metatable of clients is on top of the stack. */
void zlb_events_keep(lua_State *L);

/* Read the option on_event for the client on top of the stack. Raises. */
void zlb_events_begin(lua_State *L, const zlb_options *given, zlb_client *client);

/* Call on_event for everything that happened in `core` (NULL is fine) since the last time; the
 * client's userdata is at client_index, and may be closed. What the function raises is lost (from
 * Lua 5.4 on it is a warning), but for the interpreter's "interrupted!". While it runs nothing
 * further is told: its events come after it has returned. */
void zlb_events_tell(lua_State *L, int client_index, zl_client *core);

/* The same, and give back a reference to the core. */
void zlb_events_tell_last(lua_State *L, int client_index, zl_client *core);

#endif
