/* Credentials that a function of the user's gives: `credentials` of `new`. */
#ifndef ZLB_RENEW_H
#define ZLB_RENEW_H

#include "client.h"
#include "compat.h"
#include "options.h"

/* Make what it needs though memory has run out; the metatable of clients is on top of the stack. */
void zlb_renew_keep(lua_State *L);

/* Read the option `credentials` for the client on top of the stack. False: not given. Raises, also
 * when others are given besides. */
bool zlb_renew_begin(lua_State *L, const zlb_options *given, zlb_client *client);

/* Ask the function of the client at client_index, and give the core what it says. Raises nothing
 * but the interpreter's "interrupted!": that it fails is told to the calls that wait for it. */
void zlb_renew(lua_State *L, int client_index, zl_client *core);

/* The same where somebody else has called the function: at index 2 and up is what pcall returned.
 */
void zlb_renew_take(lua_State *L, zl_client *core);

/* Whether the core waits for that: it said so, or it said so before and an error (of memory) left
 * nobody to see to it. */
bool zlb_renew_is_due(const zlb_client *client);

/* Raise if the function is being asked: then it is what calls, and would wait for itself. */
void zlb_renew_check(lua_State *L, const zlb_client *client);

#endif
