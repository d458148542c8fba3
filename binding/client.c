#include "client.h"

#include "../api/hot.h"
#include "../api/zenlayer.h"
#include "credentials.h"
#include "engine.h"
#include "errors.h"
#include "events.h"
#include "job.h"
#include "make.h"
#include "names.h"
#include "options.h"
#include "prepared.h"
#include "renew.h"
#include "safe.h"

/* --- making one ------------------------------------------------------------------------------- */

static zl_view or_default(zl_view value, const char *otherwise) {
    return value.len > 0 ? value : zl_view_of(otherwise);
}

static void set_endpoint(lua_State *L, const zlb_options *given, zl_client *core) {
    zl_view url = or_default(zlb_option_string(L, given, "endpoint"), ZL_ENDPOINT_DEFAULT);
    const char *problem = zl_endpoint_parse(&core->sender.endpoint, url);
    if (problem != NULL) {
        (void)zlb_option_refuse(L, "endpoint", problem);
    }
}

static void set_target(lua_State *L, const zlb_options *given, zl_client *core) {
    zl_view service = or_default(zlb_option_word(L, given, "service"), "vm");
    zl_view version = zlb_option_word(L, given, "api_version");
    if (version.len == 0) {
        version = zl_request_default_version(service);
    }
    if (version.len == 0) {
        (void)zlb_option_refuse(L, "api_version",
                                "is needed with a service other than vm, bmc, zec");
    }
    zl_buf_add_view(&core->service, service);
    zl_buf_add_view(&core->version, version);
    zl_view user_agent = zlb_option_header(L, given, "user_agent");
    zl_buf_add_view(&core->sender.user_agent, or_default(user_agent, "lua-zenlayer/" ZL_VERSION));
}

static int64_t seconds_or(lua_State *L, const zlb_options *given, const char *name,
                          int64_t otherwise_ms) {
    int64_t value_ms = zlb_option_seconds(L, given, name);
    return value_ms > 0 ? value_ms : otherwise_ms;
}

static int64_t count_or(lua_State *L, const zlb_options *given, const char *name, int64_t most,
                        int64_t otherwise) {
    int64_t value = zlb_option_count(L, given, name, most);
    return value > 0 ? value : otherwise;
}

enum { MAX_CONCURRENCY_MOST = 10000 };

static void set_limits(lua_State *L, const zlb_options *given, zl_client *core) {
    core->timeout_ms = seconds_or(L, given, "timeout", ZL_DEFAULT_TIMEOUT_MS);
    core->deadline_ms = seconds_or(L, given, "deadline", ZL_DEFAULT_DEADLINE_MS);
    core->max_attempts =
        (int)count_or(L, given, "max_attempts", ZLB_MAX_ATTEMPTS_MOST, ZL_DEFAULT_MAX_ATTEMPTS);
    core->max_concurrency = (size_t)count_or(L, given, "max_concurrency", MAX_CONCURRENCY_MOST,
                                             ZL_DEFAULT_MAX_CONCURRENCY);
}

void zlb_client_new(lua_State *L, bool safe) {
    zlb_options given;
    zlb_options_read(L, 1, zlb_client_options, &given);
    zlb_client *client = lua_newuserdata(L, sizeof *client);
    client->core = NULL;
    client->transport = NULL;
    client->last_tag = 0;
    client->telling = client->asking = client->has_progress = client->in_nginx = false;
    client->safe = safe;
    luaL_getmetatable(L, zlb_client_types[safe]);
    lua_setmetatable(L, -2);
    lua_newtable(L);
    lua_setuservalue(L, -2);

    client->core = zl_client_new();
    if (client->core == NULL) {
        (void)zlb_raise_memory(L);
    }
    zl_client *core = client->core;
    set_endpoint(L, &given, core);
    set_target(L, &given, core);
    set_limits(L, &given, core);
    zlb_events_begin(L, &given, client);
    if (!zlb_renew_begin(L, &given, client)) {
        core->sender.signer = zlb_credentials_find(L, &given);
    }
    if (!zl_buf_ok(&core->sender.endpoint.base) || !zl_buf_ok(&core->sender.endpoint.host) ||
        !zl_buf_ok(&core->service) || !zl_buf_ok(&core->version) ||
        !zl_buf_ok(&core->sender.user_agent)) {
        (void)zlb_raise_memory(L);
    }
    zlb_engine_begin(L, &given, client);
}

/* --- its end ---------------------------------------------------------------------------------- */

void zlb_client_close(zlb_client *client) {
    zl_transport *transport = client->transport;
    zl_client *core = client->core;
    client->transport = NULL;
    client->core = NULL;
    zlb_engine_end(transport);
    zl_client_unref(core);
}

static zlb_client *to_client(lua_State *L) {
    zlb_client *client = zlb_self(L, zlb_client_types);
    if (client == NULL) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "self",
                        "expected a client, got %s; methods are called with ':'",
                        luaL_typename(L, 1));
    }
    return client;
}

ZL_HOT zlb_client *zlb_client_check(lua_State *L) {
    zlb_client *client = to_client(L);
    if (client->core == NULL) {
        (void)zlb_raise(L, ZL_CODE_CLIENT_CLOSED, NULL, "the client is closed");
    }
    return client;
}

/* client:close() → nothing. Also __close. */
static int c_close(lua_State *L) {
    zlb_client *client = to_client(L);
    zl_client *core = client->core;
    if (core != NULL) {
        zl_client_ref(core);
        zlb_client_close(client);
        zlb_events_tell_last(L, 1, core);
    }
    return 0;
}

/* The same without a word to on_event: it may have been collected, too. */
static int c_gc(lua_State *L) {
    zlb_client_close(to_client(L));
    return 0;
}

/* tostring(client) → "zenlayer.client (https://…)" */
static int c_tostring(lua_State *L) {
    const zlb_client *client = to_client(L);
    if (client->core == NULL) {
        lua_pushliteral(L, "zenlayer.client (closed)");
    } else {
        zlb_push_view(L, zl_buf_view(&client->core->sender.endpoint.base));
        lua_pushfstring(L, "zenlayer.client (%s)", lua_tostring(L, -1));
    }
    return 1;
}

/* --- methods ---------------------------------------------------------------------------------- */

/* client:prepare_stop_instances(ids [, options]) → operation, of which nothing is sent */
static int c_prepare_stop_instances(lua_State *L) {
    zlb_make_stop(L);
    zlb_prepared_from_job(L, 1, zlb_client_check(L)->safe);
    return 1;
}

/* client:prepare_describe_instances_status([ids [, options]]) → operation, of which nothing is
 * sent */
static int c_prepare_describe_instances_status(lua_State *L) {
    zlb_make_status(L);
    zlb_prepared_from_job(L, 1, zlb_client_check(L)->safe);
    return 1;
}

/* client:prepare_wait_until_stopped(ids [, options]) → operation, of which nothing is sent */
static int c_prepare_wait_until_stopped(lua_State *L) {
    zlb_make_wait(L);
    zlb_prepared_from_job(L, 1, zlb_client_check(L)->safe);
    return 1;
}

/* client:prepare(action [, params [, options]]) → operation, of which nothing is sent */
static int c_prepare(lua_State *L) {
    zlb_make_call(L);
    zlb_prepared_from_job(L, 1, zlb_client_check(L)->safe);
    return 1;
}

/* --- the metatables --------------------------------------------------------------------------- */

static const luaL_Reg methods[] = {
    {"close", c_close},
    {"prepare", c_prepare},
    {"prepare_describe_instances_status", c_prepare_describe_instances_status},
    {"prepare_stop_instances", c_prepare_stop_instances},
    {"prepare_wait_until_stopped", c_prepare_wait_until_stopped},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__close", c_close},
    {"__gc", c_gc},
    {"__tostring", c_tostring},
    {NULL, NULL},
};

static void create_metatable(lua_State *L, bool safe) {
    if (zlb_newmetatable(L, zlb_client_types[safe])) {
        zlb_setfuncs(L, metamethods);
        lua_newtable(L);
        zlb_add_methods(L, methods, safe);
        zlb_add_methods(L, zlb_engine_methods, safe);
        zlb_set_methods(L, "a client");
        zlb_job_keep(L);
        zlb_events_keep(L);
        zlb_renew_keep(L);
        zlb_prepared_keep(L);
        zlb_keep_metatable(L, zlb_client_types[safe]);
    }
    lua_pop(L, 1);
}

void zlb_client_open(lua_State *L) {
    create_metatable(L, false);
    create_metatable(L, true);
}
