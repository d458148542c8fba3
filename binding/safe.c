#include "safe.h"

#include "../api/hot.h"
#include "errors.h"

int zlb_safe_call(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    if (lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0) == 0) {
        return lua_gettop(L);
    }
    if (!zlb_is_error(L, -1)) {
        return lua_error(L);
    }
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

void zlb_add_methods(lua_State *L, const luaL_Reg *methods, bool safe) {
    for (; methods->name != NULL; methods++) {
        lua_pushvalue(L, -2);
        lua_pushcclosure(L, methods->func, 1);
        if (safe) {
            lua_pushcclosure(L, zlb_safe_call, 1);
        }
        lua_setfield(L, -2, methods->name);
    }
}

ZL_HOT void *zlb_own(lua_State *L) {
    bool same = false;
    if (lua_type(L, 1) == LUA_TUSERDATA && lua_getmetatable(L, 1)) {
        same = lua_rawequal(L, -1, lua_upvalueindex(1)) != 0;
        lua_pop(L, 1);
    }
    return same ? lua_touserdata(L, 1) : NULL;
}

ZL_HOT void *zlb_self(lua_State *L, const char *const types[2]) {
    void *self = zlb_own(L);
    if (self != NULL) {
        return self;
    }
    self = zlb_testudata(L, 1, types[0]);
    return self != NULL ? self : zlb_testudata(L, 1, types[1]);
}
