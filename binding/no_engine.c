/* The engine of zenlayer/core.so: none. Its clients prepare operations, and whoever drives those
 * moves the bytes as it likes. */
#include "engine.h"

#include "../api/clock.h"
#include "errors.h"
#include "events.h"
#include "options.h"
#include "pages.h"
#include "prepared.h"
#include "renew.h"
#include "safe.h"
#include "wire_options.h"

const char *const zlb_client_types[2] = {"zenlayer.core.client", "zenlayer.core.safe.client"};
const char *const zlb_job_types[2] = {"zenlayer.core.job", "zenlayer.core.safe.job"};
const char *const zlb_prepared_types[2] = {"zenlayer.core.operation",
                                           "zenlayer.core.safe.operation"};

const char *const zlb_client_options[] = {
    "access_key_id",
    "access_key_password",
    "api_version",
    "ca_file",
    "ca_path",
    "connect_timeout",
    "connect_to",
    "credentials",
    "deadline",
    "endpoint",
    "max_attempts",
    "max_concurrency",
    "max_response_bytes",
    "on_event",
    "profile",
    "proxy",
    "service",
    "timeout",
    "token",
    "user_agent",
    NULL,
};
ZLB_OPTIONS_FIT(zlb_client_options);

const bool zlb_engine_asks = false;

const luaL_Reg zlb_job_methods[] = {
    {NULL, NULL}}; /* its jobs are prepared operations, all of them */

static void refuse_trust(lua_State *L, const zlb_options *given, const char *name) {
    if (zlb_option_push(L, given, name) != LUA_TNIL) {
        (void)zlb_option_refuse(L, name,
                                "is nginx's to say: lua_ssl_trusted_certificate in nginx.conf");
    }
    lua_pop(L, 1);
}

/* What a driver has to know stays in the client's table, for settings(). */
void zlb_engine_begin(lua_State *L, const zlb_options *given, zlb_client *client) {
    static const char *const schemes[] = {"http", NULL};
    const zl_client *core = client->core;
    refuse_trust(L, given, "ca_file");
    refuse_trust(L, given, "ca_path");
    zlb_wire_options wire = zlb_wire_options_read(L, given, core->sender.endpoint.tls, schemes,
                                                  "is no http URL; cosockets speak no other");
    lua_getuservalue(L, -1);
    lua_createtable(L, 0, 6);
    zlb_set_view(L, "endpoint", zl_buf_view(&core->sender.endpoint.base));
    zlb_set_view(L, "connect_to", zl_view_of(wire.connect_to));
    zlb_set_view(L, "proxy", zl_view_of(wire.proxy));
    lua_pushnumber(L, (lua_Number)wire.connect_timeout_ms / 1000);
    lua_setfield(L, -2, "connect_timeout");
    lua_pushinteger(L, (lua_Integer)wire.max_response_bytes);
    lua_setfield(L, -2, "max_response_bytes");
    lua_pushinteger(L, (lua_Integer)core->max_concurrency);
    lua_setfield(L, -2, "max_concurrency");
    lua_setfield(L, -2, "settings");
    lua_pop(L, 1);
}

void zlb_engine_end(zl_transport *transport) {
    (void)transport;
}

void zlb_engine_drop(zl_operation *op) {
    (void)op;
}

/* client:settings() → { endpoint =, connect_to =, proxy =, connect_timeout =, max_response_bytes =,
 * max_concurrency = }: the options that a driver has to mind, checked; seconds and bytes. A proxy's
 * password is in it. */
static int c_settings(lua_State *L) {
    (void)zlb_client_check(L);
    lua_getuservalue(L, 1);
    lua_getfield(L, -1, "settings");
    return 1;
}

/* client:take_credentials(ok, …): what pcall of the credentials function returned, after a step was
 * "credentials". Its table is checked, what is wrong is told to the calls that wait for it. */
static int c_take_credentials(lua_State *L) {
    zl_client *core = zlb_client_check(L)->core;
    zlb_renew_take(L, core);
    zlb_events_tell(L, 1, core);
    return 0;
}

/* client:tell_opened(seconds, address): a connection was opened; for on_event. */
static int c_tell_opened(lua_State *L) {
    zl_client *core = zlb_client_check(L)->core;
    double seconds = luaL_checknumber(L, 2);
    const char *address = luaL_checkstring(L, 3);
    zl_event *event = zl_events_add(&core->events, ZL_EVENT_CONNECTION_OPENED, zl_clock_mono_ms());
    if (event != NULL) {
        event->duration_ms =
            seconds >= 0 && seconds <= ZLB_SECONDS_MAX ? (int64_t)(seconds * 1000) : 0;
        zl_buf_add_text(&event->address, address);
    }
    zlb_events_tell(L, 1, core);
    return 0;
}

/* --- pages ------------------------------------------------------------------------------------ */

static const char *const pages_types[2] = {"zenlayer.core.pages", "zenlayer.core.safe.pages"};

static zlb_pages *check_pages(lua_State *L) {
    zlb_pages *pages = zlb_self(L, pages_types);
    if (pages == NULL) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "self",
                        "expected pages, got %s; methods are called with ':'", luaL_typename(L, 1));
    }
    return pages;
}

/* pages:prepare() → the operation of the next page, of which nothing is sent; nil at the end */
static int p_prepare(lua_State *L) {
    const zlb_pages *pages = check_pages(L);
    if (pages->state == ZLB_PAGES_ENDED) {
        lua_pushnil(L);
    } else {
        zlb_pages_make(L, 1);
        zlb_pages_push_client(L, 1);
        lua_insert(L, -2);
        zlb_prepared_from_job(L, lua_gettop(L) - 1, pages->safe);
    }
    return 1;
}

/* pages:take(response): what that operation's result is, so that the next page can follow; anything
 * but a table: it failed, and this is the end. */
static int p_take(lua_State *L) {
    zlb_pages *pages = check_pages(L);
    if (lua_type(L, 2) == LUA_TTABLE) {
        zlb_pages_take(L, pages, 2);
    } else {
        pages->state = ZLB_PAGES_ENDED;
    }
    return 0;
}

static const luaL_Reg pages_methods[] = {{"prepare", p_prepare}, {"take", p_take}, {NULL, NULL}};

/* client:prepare_pages(action [, params [, options]]) → pages, for a driver to make an iterator of:
 * prepare() is to be carried out, and take() told of what came. */
static int c_prepare_pages(lua_State *L) {
    bool safe = zlb_pages_new(L)->safe;
    if (zlb_newmetatable(L, pages_types[safe])) {
        zlb_set_name(L, "zenlayer.pages");
        lua_newtable(L);
        zlb_add_methods(L, pages_methods, safe);
        lua_setfield(L, -2, "__index");
        zlb_keep_metatable(L, pages_types[safe]);
    }
    lua_setmetatable(L, -2);
    return 1;
}

/* --- the methods of a client ------------------------------------------------------------------ */

/* client:wrong_phase(message): raises WRONG_PHASE, for a driver that may not begin. */
static int c_wrong_phase(lua_State *L) {
    return zlb_raise(L, ZL_CODE_WRONG_PHASE, NULL, "%s", luaL_checkstring(L, 2));
}

const luaL_Reg zlb_engine_methods[] = {
    {"prepare_pages", c_prepare_pages},       {"settings", c_settings},
    {"take_credentials", c_take_credentials}, {"tell_opened", c_tell_opened},
    {"wrong_phase", c_wrong_phase},           {NULL, NULL},
};
