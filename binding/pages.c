#include "pages.h"

#include <math.h>

#include "client.h"
#include "errors.h"
#include "job.h"
#include "make.h"

/* Half of the bits of an int64_t, so that number times size fits. */
enum { INTEGER_MOST = 2147483647 };

enum { DEFAULT_SIZE = 100 };

/* The arguments, on the stack and in the state. */
enum { CLIENT = 1, ACTION, PARAMS, OPTIONS };

/* --- arguments -------------------------------------------------------------------------------- */

/* Every argument is checked as each call will check it, by making one that is not sent. Leaves the
 * client, the action, params and the options, and nothing else. */
static void check_call(lua_State *L) {
    zl_view action;
    zlb_make_call(L);
    zlb_job_free(lua_touserdata(L, -1));
    lua_settop(L, 4);
    action.data = lua_tolstring(L, 2, &action.len);
    if (!zl_view_starts_with(action, ZL_LIT("Describe"))) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "action",
                        "expected one that begins with Describe: only those have pages");
    }
}

/* Replace the table at `index`, if it is one, by a copy of it. */
static void copy_table(lua_State *L, int index) {
    if (!lua_istable(L, index)) {
        return;
    }
    lua_newtable(L);
    int copy = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, copy);
    }
    lua_replace(L, index);
}

/* params[name], which is given its default if it is absent. */
static int64_t check_integer(lua_State *L, const char *name, int otherwise) {
    lua_getfield(L, PARAMS, name); /* the copy has no metatable */
    int type = lua_type(L, -1);
    double value = type == LUA_TNIL ? otherwise : lua_tonumber(L, -1);
    if (type != LUA_TNIL && type != LUA_TNUMBER) {
        const char *where = lua_pushfstring(L, "params.%s", name);
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "expected an integer from 1, got %s",
                        luaL_typename(L, -2));
    } else if (!(value >= 1 && value <= INTEGER_MOST) || floor(value) != value) {
        const char *where = lua_pushfstring(L, "params.%s", name);
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "expected an integer from 1 to %d",
                        INTEGER_MOST);
    }
    lua_pop(L, 1);
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, PARAMS, name);
    return (int64_t)value;
}

/* --- the state -------------------------------------------------------------------------------- */

zlb_pages *zlb_pages_new(lua_State *L) {
    bool safe = zlb_client_check(L)->safe;
    check_call(L);
    copy_table(L, PARAMS);
    copy_table(L, OPTIONS);
    int64_t number = check_integer(L, "pageNum", 1);
    int64_t size = check_integer(L, "pageSize", DEFAULT_SIZE);
    zlb_pages *pages = lua_newuserdata(L, sizeof *pages);
    *pages = (zlb_pages){
        .safe = safe,
        .number = number,
        .size = size,
        .seen = (number - 1) * size,
        .begun_late = number > 1,
    };
    lua_createtable(L, OPTIONS, 0);
    for (int i = CLIENT; i <= OPTIONS; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i);
    }
    lua_setuservalue(L, -2);
    return pages;
}

/* (client, action, params, options) → job */
static int make_call(lua_State *L) {
    zlb_make_call(L);
    return 1;
}

void zlb_pages_make(lua_State *L, int index) {
    zlb_pages *pages = lua_touserdata(L, index);
    if (pages->state == ZLB_PAGES_BUSY) { /* not nil: that would look like the end */
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, NULL,
                        "a page is under way: an iterator gets one after the other");
    }
    pages->state = ZLB_PAGES_ENDED; /* if it fails */
    lua_getuservalue(L, index);
    int arguments = lua_gettop(L);
    lua_rawgeti(L, arguments, PARAMS);
    lua_pushinteger(L, (lua_Integer)pages->number);
    lua_setfield(L, -2, "pageNum");
    lua_pop(L, 1);
    lua_pushcfunction(L, make_call);
    for (int i = CLIENT; i <= OPTIONS; i++) {
        lua_rawgeti(L, arguments, i);
    }
    lua_call(L, OPTIONS, 1);
    lua_remove(L, arguments);
    const zlb_job *job = lua_touserdata(L, -1);
    zl_operation_expect_page(job->op, pages->seen, pages->begun_late ? pages->size : 0);
    pages->state = ZLB_PAGES_BUSY;
}

void zlb_pages_push_client(lua_State *L, int index) {
    lua_getuservalue(L, index);
    lua_rawgeti(L, -1, CLIENT);
    lua_remove(L, -2);
}

void zlb_pages_take(lua_State *L, zlb_pages *pages, int index) {
    lua_getfield(L, index, "totalCount");
    lua_getfield(L, index, "dataSet");
    double total = lua_tonumber(L, -2);
    if (lua_isnil(L, -1)) { /* an empty list that came as null */
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, index, "dataSet");
    }
    pages->seen += (int64_t)lua_rawlen(L, -1);
    pages->number++;
    pages->begun_late = false;
    pages->state = (double)pages->seen < total ? ZLB_PAGES_READY : ZLB_PAGES_ENDED;
    lua_pop(L, 2);
}
