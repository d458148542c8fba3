#include "names.h"

#include <stdlib.h>
#include <string.h>

#include "../api/nearest.h"

enum { SHOWN_MAX_BYTES = 60, METHODS_MAX = 40 };

/* Push a name for a message: not too long, and without control bytes. */
static const char *push_shown(lua_State *L, zl_view name) {
    char shown[SHOWN_MAX_BYTES] = "";
    size_t len = name.len < SHOWN_MAX_BYTES ? name.len : SHOWN_MAX_BYTES;
    while (len > 0 && len < name.len && ((unsigned char)name.data[len] & 0xC0) == 0x80) {
        len--; /* not inside a character */
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        shown[i] = (char)(c < 0x20 || c == 0x7F ? '?' : c);
    }
    lua_pushlstring(L, shown, len);
    return lua_pushfstring(L, "%s%s", lua_tostring(L, -1), len < name.len ? "..." : "");
}

/* Push what helps: "the nearest is 'x'", or "there are x, y". */
static const char *push_help(lua_State *L, const char *nearest, const char *const *names) {
    if (nearest != NULL) {
        return lua_pushfstring(L, "the nearest is '%s'", nearest);
    }
    luaL_Buffer list;
    luaL_buffinit(L, &list);
    for (size_t i = 0; names[i] != NULL; i++) {
        luaL_addstring(&list, i == 0 ? "there are " : ", ");
        luaL_addstring(&list, names[i]);
        if (strcmp(names[i], "call") == 0) {
            luaL_addstring(&list, " (any action of the API)");
        }
    }
    luaL_pushresult(&list);
    return lua_tostring(L, -1);
}

/* --- options ---------------------------------------------------------------------------------- */

/* What others call it. */
static const struct other_name {
    const char *other, *name;
} other_names[] = {
    {"access_key_secret", "access_key_password"},
    {"base_url", "endpoint"},
    {"ca_bundle", "ca_file"},
    {"ca_cert", "ca_file"},
    {"host", "endpoint"},
    {"max_retries", "max_attempts"},
    {"retries", "max_attempts"},
    {"secret", "access_key_password"},
    {"secret_access_key", "access_key_password"},
    {"secret_id", "access_key_id"},
    {"secret_key", "access_key_password"},
    {"secret_key_id", "access_key_id"},
    {"secret_key_password", "access_key_password"},
    {"url", "endpoint"},
};

static bool is_among(const char *name, const char *const *names) {
    for (; *names != NULL; names++) {
        if (strcmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

static const char *nearest_option(zl_view given, const char *const *names) {
    for (size_t i = 0; i < sizeof other_names / sizeof other_names[0]; i++) {
        const struct other_name *each = &other_names[i];
        if (is_among(each->name, names) && zl_names_agree(given, zl_view_of(each->other))) {
            return each->name;
        }
    }
    return zl_nearest(given, names);
}

int zlb_raise_unknown_option(lua_State *L, zl_view given, const char *const *names) {
    const char *shown = push_shown(L, given);
    const char *help = push_help(L, nearest_option(given, names), names);
    return zlb_raise(L, ZL_CODE_UNKNOWN_OPTION, "options", "unknown option '%s'; %s", shown, help);
}

/* --- methods ---------------------------------------------------------------------------------- */

/* The name at `index`; no data if there is another thing there. */
static zl_view to_name(lua_State *L, int index) {
    zl_view name = {NULL, 0};
    if (lua_type(L, index) == LUA_TSTRING) {
        name.data = lua_tolstring(L, index, &name.len);
    }
    return name;
}

/* Whether Lua itself, or a tool, looks for it in a metatable. */
static bool is_metamethod(zl_view name) {
    return zl_view_starts_with(name, ZL_LIT("__"));
}

/* (methods, name); upvalues: whose they are, the list of their names. */
static int no_method(lua_State *L) {
    const char *names[METHODS_MAX + 1] = {NULL};
    zl_view given = to_name(L, 2);
    if (given.data == NULL || is_metamethod(given)) {
        lua_pushnil(L);
        return 1;
    }
    int count = (int)lua_rawlen(L, lua_upvalueindex(2));
    for (int i = 0; i < count && i < METHODS_MAX; i++) {
        lua_rawgeti(L, lua_upvalueindex(2), i + 1);
        names[i] = lua_tostring(L, -1); /* the list holds it */
        lua_pop(L, 1);
    }
    const char *shown = push_shown(L, given);
    const char *help = push_help(L, zl_nearest(given, names), names);
    return zlb_raise(L, ZL_CODE_UNKNOWN_METHOD, NULL, "%s has no method '%s'; %s",
                     lua_tostring(L, lua_upvalueindex(1)), shown, help);
}

/* (object, name, value); upvalue: what it is. */
static int no_field(lua_State *L) {
    const char *what = lua_tostring(L, lua_upvalueindex(1));
    zl_view given = to_name(L, 2);
    if (given.data == NULL) {
        return zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, NULL, "%s takes no fields", what);
    }
    return zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, NULL, "%s takes no fields: '%s' cannot be set",
                     what, push_shown(L, given));
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Push the sorted list of the names of the methods at `index`. */
static void push_names(lua_State *L, int index) {
    const char *names[METHODS_MAX] = {NULL};
    int count = 0;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        zl_view name = to_name(L, -1);
        if (name.data != NULL && !is_metamethod(name) && count < METHODS_MAX) {
            names[count++] = name.data;
        }
    }
    qsort(names, (size_t)count, sizeof names[0], by_name);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

void zlb_refuse_unknown_methods(lua_State *L, int index, const char *what) {
    index = lua_absindex(L, index);
    lua_createtable(L, 0, 1);
    lua_pushstring(L, what);
    push_names(L, index);
    lua_pushcclosure(L, no_method, 2);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, index);
}

void zlb_set_methods(lua_State *L, const char *what) {
    zlb_refuse_unknown_methods(L, -1, what);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, what);
    lua_pushcclosure(L, no_field, 1);
    lua_setfield(L, -2, "__newindex");
}
