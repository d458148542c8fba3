#include "ids.h"

#include <string.h>

#include "errors.h"
#include "job.h"

/* Item i of the list of ids on top of the stack is bad: the item itself is on top now. */
static void refuse_id(lua_State *L, size_t i) {
    const char *where = lua_pushfstring(L, "instance_ids[%d]", (int)i);
    const char *expected = "expected a non-empty string";
    size_t len;
    if (lua_type(L, -2) != LUA_TSTRING) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "%s, got %s", expected,
                        luaL_typename(L, -2));
    }
    const char *id = lua_tolstring(L, -2, &len);
    const char *problem = len == 0                        ? "an empty string"
                          : memchr(id, '\0', len) != NULL ? "a string with a NUL byte"
                                                          : "one that is not valid UTF-8";
    (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "%s, got %s", expected, problem);
}

/* The list of ids must have no keys but 1 … n: a hole would silently lose what is behind it. */
static size_t check_list(lua_State *L, int index) {
    size_t count = 0, last = 0;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        lua_Number key = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
        if (!(key >= 1 && key <= 2147483647.0) || key != (lua_Number)(size_t)key) {
            (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "instance_ids",
                            "expected a list, got a table with a key that is no index from 1");
        }
        last = (size_t)key > last ? (size_t)key : last;
        count++;
    }
    if (count != last) {
        size_t hole = 1;
        for (;; hole++) {
            lua_rawgeti(L, index, (int)hole);
            bool is_hole = lua_isnil(L, -1);
            lua_pop(L, 1);
            if (is_hole) {
                break;
            }
        }
        const char *where = lua_pushfstring(L, "instance_ids[%d]", (int)hole);
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "expected a non-empty string, got nil");
    }
    return count;
}

/* Add the value on top of the stack. What zl_ids_add returns; what is no string is no id. */
static int add_id(lua_State *L, zl_ids *ids) {
    zl_view id = {NULL, 0};
    if (lua_type(L, -1) == LUA_TSTRING) {
        id.data = lua_tolstring(L, -1, &id.len);
    }
    return zl_ids_add(ids, id);
}

/* A list for each batch of so many ids, or none, in the user value at `lists`. */
static void set_lists(lua_State *L, int lists, size_t count, bool none) {
    for (size_t first = 0; first < count; first += ZL_REQUEST_IDS_MAX) {
        if (none) {
            lua_pushnil(L);
        } else {
            lua_createtable(L, (int)zl_batch_of(count - first), 0);
        }
        lua_rawseti(L, lists, zlb_list_key(first));
    }
}

/* Put the string on top, which is popped, into its list: it is the id at that place. The user value
 * is at `lists`, and the list of the id before it at the index after that. */
static void put_into_list(lua_State *L, int lists, size_t place) {
    if (place % ZL_REQUEST_IDS_MAX == 0) {
        lua_rawgeti(L, lists, zlb_list_key(place));
        lua_replace(L, lists + 1);
    }
    lua_rawseti(L, lists + 1, (int)(place % ZL_REQUEST_IDS_MAX) + 1);
}

/* Go through the list once: true if it has so many ids, which come in their order, and none is bad.
 * Nothing of Lua's is allocated: a finaliser might change the list. */
static bool take_all(lua_State *L, int index, size_t count, int lists, zl_ids *ids) {
    size_t seen = 0;
    lua_pushnil(L); /* in place of a list */
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        size_t place = ids->count;
        if (lua_type(L, -2) != LUA_TNUMBER || lua_tonumber(L, -2) != (lua_Number)++seen ||
            seen > count || add_id(L, ids) != ZL_OK) {
            return false;
        }
        if (lists == 0 || ids->count == place) { /* a repeat is left out */
            lua_pop(L, 1);
        } else {
            put_into_list(L, lists, place);
        }
    }
    return seen == count;
}

/* Read a list as above, as most lists are. With `to_lists`, the strings also go into the lists of
 * the job on top. False: it is another, and nothing was read. */
static bool read_in_order(lua_State *L, int index, size_t count, bool to_lists, zl_ids *ids) {
    int top = lua_gettop(L), lists = to_lists ? top + 1 : 0;
    if (to_lists) {
        lua_getuservalue(L, -1);
        set_lists(L, lists, count, false);
    }
    bool ok = take_all(L, index, count, lists, ids);
    if (!ok) {
        zl_ids_free(ids);
        set_lists(L, lists, to_lists ? count : 0, true);
    }
    lua_settop(L, top);
    return ok;
}

/* Raise what is wrong with the list, or read it as it is. */
static void read_any(lua_State *L, int index, zl_ids *ids) {
    size_t count = check_list(L, index);
    if (count == 0) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "instance_ids",
                        "expected at least one id, got an empty list");
    }
    (void)zl_ids_reserve(ids, count); /* if it fails, adding one tells */
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(L, index, (int)i);
        int rc = add_id(L, ids);
        if (rc == ZL_ERR_NOMEM) {
            (void)zlb_raise_memory(L);
        } else if (rc != ZL_OK) {
            refuse_id(L, i);
        }
        lua_pop(L, 1);
    }
}

enum { LEN_TRUSTED = 1000 };

size_t zlb_ids_count(lua_State *L, int index) {
    size_t count = lua_istable(L, index) ? (size_t)lua_rawlen(L, index) : 0, keys = 0;
    if (count <= LEN_TRUSTED) {
        return count;
    }
    /* The length of a table with holes is where any of them begins: 2^26 of 27 keys. */
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        keys++;
    }
    return keys == count ? count : 0;
}

void zlb_ids_read(lua_State *L, int index, size_t count, bool to_lists, zl_ids *ids) {
    if (lua_type(L, index) != LUA_TTABLE) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "instance_ids",
                        "expected a list of strings, got %s",
                        lua_isnone(L, index) ? "nothing" : luaL_typename(L, index));
    }
    (void)zl_ids_reserve(ids, count); /* as above */
    if (count == 0 || !read_in_order(L, index, count, to_lists, ids)) {
        read_any(L, index, ids);
    }
}
