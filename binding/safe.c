#include "safe.h"

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

void zlb_push_methods(lua_State *L, const luaL_Reg *methods, bool safe) {
    lua_newtable(L);
    for (; methods->name != NULL; methods++) {
        lua_pushcfunction(L, methods->func);
        if (safe) {
            lua_pushcclosure(L, zlb_safe_call, 1);
        }
        lua_setfield(L, -2, methods->name);
    }
}
