/* The differences between Lua 5.1, 5.2, 5.3, 5.4 and LuaJIT, all of them. The rest of the binding
 * is written against the API of 5.4. */
#ifndef ZLB_COMPAT_H
#define ZLB_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdint.h>

#if LUA_VERSION_NUM < 502

/* lua_pushcfunction allocates. */
#define ZLB_FUNCTIONS_ARE_MADE 1

/* One table goes with each userdata: its environment here, its user value elsewhere. */
#define lua_getuservalue(L, index) lua_getfenv((L), (index))
#define lua_setuservalue(L, index) lua_setfenv((L), (index))
#define lua_rawlen(L, index) lua_objlen((L), (index))
#define lua_absindex(L, index) ((index) > 0 ? (index) : lua_gettop(L) + (index) + 1)

static inline void zlb_setfuncs(lua_State *L, const luaL_Reg *functions) {
    for (; functions->name != NULL; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

static inline void *zlb_testudata(lua_State *L, int index, const char *type) {
    void *memory = lua_touserdata(L, index);
    if (memory == NULL || !lua_getmetatable(L, index)) {
        return NULL;
    }
    luaL_getmetatable(L, type);
    bool same = lua_rawequal(L, -1, -2) != 0;
    lua_pop(L, 2);
    return same ? memory : NULL;
}

#else

#define ZLB_FUNCTIONS_ARE_MADE 0
#define zlb_setfuncs(L, functions) luaL_setfuncs((L), (functions), 0)
#define zlb_testudata(L, index, type) luaL_testudata((L), (index), (type))

#endif

#if LUA_VERSION_NUM < 504
static inline void lua_warning(lua_State *L, const char *message, int to_be_continued) {
    (void)L;
    (void)message;
    (void)to_be_continued;
}
#endif

/* The key for number n, from 1, in a table that must be sound though memory runs out while it
 * grows. LuaJIT's is not where a key is to move from its hash to its array: keys are not found
 * then, and lua_next goes round for ever. Negative ones do not move. */
static inline int zlb_hash_key(int n) {
    return -n;
}

/* Push the metatable of a type; true if it is a new one, which has the type's name and nothing
 * else. Unlike luaL_newmetatable's it is not in the registry: memory may run out before it is
 * whole, and then the next attempt must not find it there. */
static inline bool zlb_newmetatable(lua_State *L, const char *type) {
    luaL_getmetatable(L, type);
    if (!lua_isnil(L, -1)) {
        return false;
    }
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushstring(L, type);
    lua_setfield(L, -2, "__name");
    return true;
}

/* It is whole: the metatable on top, which stays there, is the type's from now on. */
static inline void zlb_keep_metatable(lua_State *L, const char *type) {
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, type);
}

static inline int zlb_name_tostring(lua_State *L) {
    const void *memory = lua_touserdata(L, 1);
    bool is_named = luaL_getmetafield(L, 1, "__name") != 0;
    lua_pushfstring(L, "%s: %p", is_named ? lua_tostring(L, -1) : luaL_typename(L, 1), memory);
    return 1;
}

/* The name of the type whose metatable is on top, for its values' text ("zenlayer.job: 0x…") too:
 * by itself tostring looks at the name from 5.3 on. */
static inline void zlb_set_name(lua_State *L, const char *name) {
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushcfunction(L, zlb_name_tostring);
    lua_setfield(L, -2, "__tostring");
}

/* True for a number that is an integer and not just a whole float; false where there are no
 * integers. */
static inline bool zlb_isinteger(lua_State *L, int index) {
#if LUA_VERSION_NUM >= 503
    return lua_isinteger(L, index) != 0;
#else
    (void)L;
    (void)index;
    return false;
#endif
}

/* The main thread, on which the interpreter sets its hooks. NULL where the version does not tell.
 */
static inline lua_State *zlb_main_thread(lua_State *L) {
#if LUA_VERSION_NUM >= 502
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main_thread = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main_thread;
#else
    (void)L;
    return NULL;
#endif
}

#endif
