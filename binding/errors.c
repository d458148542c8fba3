#include "errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERROR_TYPE "zenlayer.error"

void zlb_push_view(lua_State *L, zl_view view) {
    lua_pushlstring(L, view.len > 0 ? view.data : "", view.len);
}

int zlb_push_raw(lua_State *L, int index, const char *name) {
    lua_pushstring(L, name);
    lua_rawget(L, index);
    return lua_type(L, -1);
}

void zlb_set_view(lua_State *L, const char *name, zl_view view) {
    if (view.len > 0) {
        zlb_push_view(L, view);
        lua_setfield(L, -2, name);
    }
}

void zlb_set_text(lua_State *L, const char *name, const char *text) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void set_metatable(lua_State *L) {
    luaL_getmetatable(L, ERROR_TYPE);
    lua_setmetatable(L, -2);
}

void zlb_push_error(lua_State *L, const zl_error *error, zl_view action) {
    if (!zl_error_ok(error)) {
        (void)zlb_raise_memory(L);
    }
    lua_createtable(L, 0, 13);
    zlb_set_text(L, "kind", zl_kind_name(error->kind));
    zlb_set_text(L, "outcome", zl_outcome_name(error->outcome));
    zlb_push_view(L, zl_buf_view(&error->code));
    lua_setfield(L, -2, "code");
    zlb_push_view(L, zl_buf_view(&error->message));
    lua_setfield(L, -2, "message");
    zlb_set_view(L, "request_id", zl_buf_view(&error->request_id));
    zlb_set_view(L, "hint", zl_buf_view(&error->hint));
    zlb_set_view(L, "action", action);
    lua_pushinteger(L, error->attempts);
    lua_setfield(L, -2, "attempts");
    lua_pushboolean(L, error->retryable);
    lua_setfield(L, -2, "retryable");
    if (error->http_status != 0) {
        lua_pushinteger(L, error->http_status);
        lua_setfield(L, -2, "http_status");
    }
    if (error->retry_after_s >= 0) {
        lua_pushinteger(L, (lua_Integer)error->retry_after_s);
        lua_setfield(L, -2, "retry_after");
    }
    set_metatable(L);
}

int zlb_raise(lua_State *L, zl_code code, const char *where, const char *format, ...) {
    va_list args;
    lua_createtable(L, 0, 6);
    zlb_set_text(L, "kind", zl_kind_name(zl_code_kind(code)));
    zlb_set_text(L, "code", zl_code_name(code));
    zlb_set_text(L, "outcome", zl_outcome_name(ZL_OUTCOME_NOT_SENT));
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "retryable");
    if (where != NULL) {
        zlb_set_text(L, "where", where);
    }
    lua_pushfstring(L, where != NULL ? "%s: " : "", where);
    va_start(args, format);
    lua_pushvfstring(L, format, args);
    va_end(args);
    lua_concat(L, 2);
    lua_setfield(L, -2, "message");
    set_metatable(L);
    return lua_error(L);
}

int zlb_raise_memory(lua_State *L) {
    lua_pushliteral(L, "not enough memory"); /* as Lua's own, without a place in front of it */
    return lua_error(L);
}

bool zlb_is_error(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) {
        return false;
    }
    luaL_getmetatable(L, ERROR_TYPE);
    bool same = lua_rawequal(L, -1, -2) != 0;
    lua_pop(L, 2);
    return same;
}

bool zlb_is_interrupt(lua_State *L, int index) {
    static const char text[] = "interrupted!";
    size_t len;
    if (lua_type(L, index) != LUA_TSTRING) {
        return false;
    }
    const char *raised = lua_tolstring(L, index, &len);
    return len >= sizeof text - 1 && strcmp(raised + len - (sizeof text - 1), text) == 0;
}

void zlb_warn(lua_State *L, const char *what) {
    bool is_text = lua_type(L, -1) == LUA_TSTRING;
    lua_warning(L, "zenlayer: ", 1);
    lua_warning(L, what, 1);
    lua_warning(L, ": ", 1);
    lua_warning(L, is_text ? lua_tostring(L, -1) : luaL_typename(L, -1), 0);
}

/* --- showing one ------------------------------------------------------------------------------ */

enum { LINE_MAX_BYTES = 1024, MESSAGE_MAX_BYTES = 640, FIELD_MAX_BYTES = 80 };

/* A hint has what the rest leaves of the line, if that is worth it; some of it goes to what stands
 * around it, and to its last byte as an escape. */
enum { HINT_ROOM_MIN_BYTES = 64, HINT_ROOM_LOST_BYTES = 16 };

/* A line of bounded length. */
typedef struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
} line;

static void add(line *out, const char *text, size_t len) {
    size_t room = sizeof out->text - out->len;
    len = len < room ? len : room;
    memcpy(out->text + out->len, text, len);
    out->len += len;
}

static void add_text(line *out, const char *text) {
    add(out, text, strlen(text));
}

/* U+0080 to U+009F, which some terminals obey; in UTF-8 it is C2 80 to C2 9F. */
static bool is_c1(const char *text, size_t i, size_t len) {
    return i + 1 < len && (unsigned char)text[i] == 0xC2 &&
           ((unsigned char)text[i + 1] & 0xE0) == 0x80;
}

/* Whether byte i could move a terminal's cursor, fake a line of a log, or is no text at all. */
static bool must_escape(const char *text, size_t i, size_t len, bool is_utf8) {
    unsigned char c = (unsigned char)text[i];
    if (c < 0x80) {
        return c < 0x20 || c == 0x7F;
    }
    return !is_utf8 || is_c1(text, i, len) || (i > 0 && is_c1(text, i - 1, len));
}

/* At most `most` bytes of text, then "..."; what must be escaped as \xNN. */
static void add_escaped(line *out, const char *text, size_t len, size_t most) {
    size_t start = out->len;
    bool is_utf8 = zl_utf8_valid((zl_view){text, len});
    for (size_t i = 0; i < len; i++) {
        if (out->len - start >= most && ((unsigned char)text[i] & 0xC0) != 0x80) {
            add_text(out, "..."); /* not inside a character */
            return;
        }
        if (must_escape(text, i, len, is_utf8)) {
            char escape[8];
            int n = snprintf(escape, sizeof escape, "\\x%02x", (unsigned)(unsigned char)text[i]);
            add(out, escape, (size_t)n);
        } else {
            add(out, &text[i], 1);
        }
    }
}

/* Push a field of the error at `index`, raw: a line must come out of whatever the table has become.
 * False, with nothing pushed, if it is neither a string nor a number. */
static bool push_field(lua_State *L, int index, const char *name) {
    int type = zlb_push_raw(L, index, name);
    if (type == LUA_TSTRING || type == LUA_TNUMBER) {
        return true;
    }
    lua_pop(L, 1);
    return false;
}

static void add_field(lua_State *L, int index, line *out, const char *before, const char *name,
                      const char *after, size_t most) {
    if (push_field(L, index, name)) {
        size_t len;
        const char *text = lua_tolstring(L, -1, &len);
        add_text(out, before);
        add_escaped(out, text, len, most);
        add_text(out, after);
        lua_pop(L, 1);
    }
}

/* tostring(error) → one line: "zenlayer: CODE: message (StopInstances, HTTP 404, …); hint". */
static int e_tostring(lua_State *L) {
    line out;
    out.len = 0;
    if (lua_type(L, 1) != LUA_TTABLE) { /* in a text of our own: Lua's differ */
        return luaL_error(L, "expected an error, got %s",
                          lua_isnone(L, 1) ? "nothing" : luaL_typename(L, 1));
    }
    add_text(&out, "zenlayer: ");
    add_field(L, 1, &out, "", "code", ": ", FIELD_MAX_BYTES);
    add_field(L, 1, &out, "", "message", " (", MESSAGE_MAX_BYTES);
    add_field(L, 1, &out, "", "action", ", ", FIELD_MAX_BYTES);
    add_field(L, 1, &out, "HTTP ", "http_status", ", ", FIELD_MAX_BYTES);
    add_field(L, 1, &out, "request ", "request_id", ", ", FIELD_MAX_BYTES);
    add_field(L, 1, &out, "attempts ", "attempts", ", ", FIELD_MAX_BYTES);
    add_field(L, 1, &out, "", "outcome", ")", FIELD_MAX_BYTES);
    size_t room = sizeof out.text - out.len;
    if (room >= HINT_ROOM_MIN_BYTES) {
        add_field(L, 1, &out, "; ", "hint", "", room - HINT_ROOM_LOST_BYTES);
    }
    lua_pushlstring(L, out.text, out.len);
    return 1;
}

/* error .. string, string .. error → string. */
static int e_concat(lua_State *L) {
    for (int i = 1; i <= 2; i++) {
        if (zlb_is_error(L, i)) {
            lua_pushcfunction(L, e_tostring);
            lua_pushvalue(L, i);
            lua_call(L, 1, 1);
            lua_replace(L, i);
        } else if (!lua_isstring(L, i)) {
            return luaL_error(L, "attempt to concatenate a %s value", luaL_typename(L, i));
        }
    }
    lua_settop(L, 2);
    lua_concat(L, 2);
    return 1;
}

void zlb_errors_open(lua_State *L) {
    static const luaL_Reg metamethods[] = {
        {"__tostring", e_tostring},
        {"__concat", e_concat},
        {NULL, NULL},
    };
    if (zlb_newmetatable(L, ERROR_TYPE)) {
        zlb_setfuncs(L, metamethods);
        zlb_keep_metatable(L, ERROR_TYPE);
    }
    lua_pop(L, 1);
}
