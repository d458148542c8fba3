/* What `require "zenlayer.core"` returns: all but what needs a network, for those who bring their
 * own. OpenResty is one: a second TLS stack behind libcurl must not come into an nginx. */
#include "api/clock.h"
#include "api/http_head.h"
#include "api/zenlayer.h"
#include "binding/compat.h"
#include "binding/errors.h"
#include "binding/face.h"
#include "binding/names.h"

/* core.parse_http_head(text [, len]) → status, its header lines, whether chunked, whether the
 * connection is closed after it, content-length or nil; or nil and what is wrong with it. len: of
 * the head, with the blank line; all of the text if absent. For drivers without an HTTP library. */
static int m_parse_http_head(lua_State *L) {
    zl_http_head head;
    zl_view text;
    text.data = luaL_checklstring(L, 1, &text.len);
    lua_Number len = luaL_optnumber(L, 2, (lua_Number)text.len);
    luaL_argcheck(L, len >= 0 && len <= (lua_Number)text.len, 2, "longer than the text");
    text.len = (size_t)len;
    const char *problem = zl_http_head_parse(&head, text);
    if (problem != NULL) {
        lua_pushnil(L);
        lua_pushstring(L, problem);
        return 2;
    }
    lua_pushinteger(L, head.status);
    zlb_push_view(L, head.fields);
    lua_pushboolean(L, head.chunked);
    lua_pushboolean(L, head.close);
    if (head.length < 0) {
        return 4;
    }
    lua_pushnumber(L, (lua_Number)head.length);
    return 5;
}

/* core.monotonic() → seconds, by the clock that the deadlines of operations are kept by. */
static int m_monotonic(lua_State *L) {
    lua_pushnumber(L, (lua_Number)zl_clock_mono_ms() / 1000);
    return 1;
}

/* core.refuse_unknown_methods(methods, what): from now on the table raises UNKNOWN_METHOD for names
 * that it has not ("a client has no method 'x'"). */
static int m_refuse_unknown_methods(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    zlb_refuse_unknown_methods(L, 1, luaL_checkstring(L, 2));
    return 0;
}

ZL_EXPORT int luaopen_zenlayer_core(lua_State *L) {
    zlb_face_push(L, false);
    lua_pushcfunction(L, m_monotonic);
    lua_setfield(L, -2, "monotonic");
    lua_pushcfunction(L, m_parse_http_head);
    lua_setfield(L, -2, "parse_http_head");
    lua_pushcfunction(L, m_refuse_unknown_methods);
    lua_setfield(L, -2, "refuse_unknown_methods");
    return 1;
}
