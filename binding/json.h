/* JSON between Lua and the core: requests by our own writer, answers by lua-cjson. */
#ifndef ZLB_JSON_H
#define ZLB_JSON_H

#include "../api/buf.h"
#include "../api/judge.h"
#include "../api/operation.h"
#include "compat.h"

/* Load lua-cjson, make an instance of our own with our settings, and keep it in the registry with
 * the sentinels. Idempotent; leaves the stack as it was. Raises if lua-cjson is missing. */
void zlb_json_open(lua_State *L);

/* Push zenlayer.null (which is cjson.null); zenlayer.empty_array; cjson's version string. */
void zlb_json_push_null(lua_State *L);
void zlb_json_push_empty_array(lua_State *L);
void zlb_json_push_version(lua_State *L);

/* Append the JSON of the table at `index` to out, which must be held by a userdata. The table is
 * read raw. Raises INVALID_ARGUMENT that names the place, from `name` on ("params.filters[3]"), for
 * what JSON cannot carry; or Lua's memory error. */
void zlb_json_encode(lua_State *L, int index, const char *name, zl_buf *out);

/* Decode an answer's body and push the table, numbers and nulls normalised; push nil if it is no
 * JSON object. Fills in what the core wants to know of it, for an operation with that aim: the
 * views are valid while what was pushed is on the stack, for which a second value (nil, or a
 * userdata) is pushed above the table. */
void zlb_json_decode_answer(lua_State *L, zl_view body, zl_aim aim, zl_answer *answer);

/* Push the part of a decoded answer (at `index`) that is the action's: its `response` where there
 * is one, else the whole. */
void zlb_json_push_response(lua_State *L, int index);

#endif
