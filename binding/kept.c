#include "kept.h"

#if ZLB_FUNCTIONS_ARE_MADE
#include "engine.h"

static const char argument_name[] = "argument";
#endif

void zlb_kept_add(lua_State *L, const zlb_kept *kept) {
#if ZLB_FUNCTIONS_ARE_MADE
    lua_pushcfunction(L, kept->function);
    lua_setfield(L, -2, kept->name);
    (void)lua_newuserdata(L, sizeof(void *));
    lua_setfield(L, -2, argument_name);
#else
    (void)L;
    (void)kept;
#endif
}

void zlb_kept_push(lua_State *L, const zlb_kept *kept, void *argument) {
#if ZLB_FUNCTIONS_ARE_MADE
    /* That the names are keys already is why nothing is allocated for them. */
    luaL_getmetatable(L, zlb_client_types[0]);
    lua_getfield(L, -1, kept->name);
    lua_getfield(L, -2, argument_name);
    *(void **)lua_touserdata(L, -1) = argument;
    lua_remove(L, -3);
#else
    lua_pushcfunction(L, kept->function);
    lua_pushlightuserdata(L, argument);
#endif
}

void *zlb_kept_argument(lua_State *L) {
#if ZLB_FUNCTIONS_ARE_MADE
    return *(void **)lua_touserdata(L, 1);
#else
    return lua_touserdata(L, 1);
#endif
}
