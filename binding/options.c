#include "options.h"

#include <math.h>
#include <string.h>

#include "errors.h"
#include "names.h"

/* --- names ------------------------------------------------------------------------------------ */

/* The one of these names that it is; NULL: none. */
static const char *find_name(zl_view given, const char *const *names) {
    for (; *names != NULL; names++) {
        if (**names == given.data[0] && strcmp(*names, given.data) == 0 &&
            given.len == strlen(*names)) {
            return *names;
        }
    }
    return NULL;
}

void zlb_options_read(lua_State *L, int index, const char *const *names, zlb_options *out) {
    out->count = 0;
    if (lua_isnoneornil(L, index)) {
        return;
    }
    if (lua_type(L, index) != LUA_TTABLE) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "options", "expected a table, got %s",
                        luaL_typename(L, index));
    }
    if (!lua_checkstack(L, 2 * ZLB_OPTIONS_MOST)) { /* far below Lua's limit: it is memory */
        (void)zlb_raise_memory(L);
    }
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        zl_view key = {"", 0};
        if (lua_type(L, -2) != LUA_TSTRING) {
            (void)zlb_raise(L, ZL_CODE_UNKNOWN_OPTION, "options",
                            "expected names for keys, got a %s", luaL_typename(L, -2));
        }
        key.data = lua_tolstring(L, -2, &key.len);
        const char *name = find_name(key, names);
        if (name == NULL || out->count == ZLB_OPTIONS_MOST) {
            (void)zlb_raise_unknown_option(L, key, names);
        }
        lua_insert(L, -2); /* the value stays, below the key */
        out->each[out->count].name = name;
        out->each[out->count++].place = lua_gettop(L) - 1;
    }
}

/* --- values ----------------------------------------------------------------------------------- */

int zlb_option_push(lua_State *L, const zlb_options *given, const char *name) {
    for (size_t i = 0; i < given->count; i++) {
        if (given->each[i].name[0] == name[0] && strcmp(given->each[i].name, name) == 0) {
            lua_pushvalue(L, given->each[i].place);
            return lua_type(L, -1);
        }
    }
    lua_pushnil(L);
    return LUA_TNIL;
}

int zlb_option_error(lua_State *L, const char *name, const char *expected) {
    const char *got = luaL_typename(L, -1);
    const char *where = lua_pushfstring(L, "options.%s", name);
    return zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "expected %s, got %s", expected, got);
}

int zlb_option_refuse(lua_State *L, const char *name, const char *problem) {
    const char *where = lua_pushfstring(L, "options.%s", name);
    return zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "%s", problem);
}

zl_view zlb_option_string(lua_State *L, const zlb_options *given, const char *name) {
    zl_view value = {NULL, 0};
    int type = zlb_option_push(L, given, name);
    if (type != LUA_TNIL) {
        if (type != LUA_TSTRING) {
            (void)zlb_option_error(L, name, "a non-empty string");
        }
        value.data = lua_tolstring(L, -1, &value.len);
        if (value.len == 0) {
            (void)zlb_option_refuse(L, name, "expected a non-empty string, got an empty one");
        }
        if (memchr(value.data, '\0', value.len) != NULL) {
            (void)zlb_option_refuse(L, name, "expected a string without NUL bytes");
        }
    }
    lua_pop(L, 1);
    return value;
}

zl_view zlb_option_header(lua_State *L, const zlb_options *given, const char *name) {
    zl_view value = zlb_option_string(L, given, name);
    if (!zl_header_safe(value)) {
        (void)zlb_option_refuse(L, name, "expected a string without CR, LF and NUL");
    }
    return value;
}

bool zlb_is_word(zl_view text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return text.len > 0 && text.data[0] != '.';
}

zl_view zlb_option_word(lua_State *L, const zlb_options *given, const char *name) {
    zl_view value = zlb_option_string(L, given, name);
    if (value.len > 0 && !zlb_is_word(value)) {
        (void)zlb_option_refuse(L, name, "expected letters, digits, '-', '_' and '.' alone");
    }
    return value;
}

zl_tristate zlb_option_boolean(lua_State *L, const zlb_options *given, const char *name) {
    int type = zlb_option_push(L, given, name);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
        (void)zlb_option_error(L, name, "a boolean");
    }
    zl_tristate value = lua_toboolean(L, -1) ? ZL_TRUE : ZL_FALSE;
    lua_pop(L, 1);
    return type == LUA_TNIL ? ZL_UNSET : value;
}

int64_t zlb_option_seconds(lua_State *L, const zlb_options *given, const char *name) {
    int type = zlb_option_push(L, given, name);
    if (type != LUA_TNIL && type != LUA_TNUMBER) {
        (void)zlb_option_error(L, name, "a number of seconds");
    }
    double seconds = lua_tonumber(L, -1);
    lua_pop(L, 1);
    if (type == LUA_TNIL) {
        return 0;
    }
    if (!(seconds > 0 && seconds <= ZLB_SECONDS_MAX)) { /* NaN is neither */
        (void)zlb_option_refuse(L, name, "expected seconds over 0, up to 30 days");
    }
    return (int64_t)ceil(seconds * 1000);
}

int64_t zlb_option_count(lua_State *L, const zlb_options *given, const char *name, int64_t most) {
    int type = zlb_option_push(L, given, name);
    if (type != LUA_TNIL && type != LUA_TNUMBER) {
        (void)zlb_option_error(L, name, "an integer");
    }
    double value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    if (type == LUA_TNIL) {
        return 0;
    }
    if (!(value >= 1 && value <= (double)most) || floor(value) != value) {
        const char *where = lua_pushfstring(L, "options.%s", name);
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "expected an integer from 1 to %d",
                        (int)most);
    }
    return (int64_t)value;
}
