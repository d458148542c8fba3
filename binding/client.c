#include "client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../api/hot.h"
#include "../api/zenlayer.h"
#include "credentials.h"
#include "errors.h"
#include "job.h"
#include "make.h"
#include "options.h"
#include "prepared.h"
#include "results.h"
#include "safe.h"

/* --- making one ------------------------------------------------------------------------------- */

static const char *const client_options[] = {
    "access_key_id",   "access_key_password", "api_version", "ca_file",  "ca_path",
    "connect_timeout", "connect_to",          "deadline",    "endpoint", "max_attempts",
    "max_concurrency", "max_response_bytes",  "proxy",       "service",  "timeout",
    "token",           "user_agent",          NULL,
};

static zl_view or_default(zl_view value, const char *otherwise) {
    return value.len > 0 ? value : zl_view_of(otherwise);
}

static void set_endpoint(lua_State *L, zl_client *core) {
    zl_view url = or_default(zlb_option_string(L, 1, "endpoint"), ZL_ENDPOINT_DEFAULT);
    const char *problem = zl_endpoint_parse(&core->sender.endpoint, url);
    if (problem != NULL) {
        (void)zlb_option_refuse(L, "endpoint", problem);
    }
}

static void set_target(lua_State *L, zl_client *core) {
    zl_view service = or_default(zlb_option_word(L, 1, "service"), "vm");
    zl_view version = zlb_option_word(L, 1, "api_version");
    if (version.len == 0) {
        version = zl_request_default_version(service);
    }
    if (version.len == 0) {
        (void)zlb_option_refuse(L, "api_version",
                                "is needed with a service other than vm, bmc, zec");
    }
    zl_buf_add_view(&core->service, service);
    zl_buf_add_view(&core->version, version);
    zl_view user_agent = zlb_option_header(L, 1, "user_agent");
    zl_buf_add_view(&core->sender.user_agent, or_default(user_agent, "lua-zenlayer/" ZL_VERSION));
}

static int64_t seconds_or(lua_State *L, const char *name, int64_t otherwise_ms) {
    int64_t value_ms = zlb_option_seconds(L, 1, name);
    return value_ms > 0 ? value_ms : otherwise_ms;
}

static int64_t count_or(lua_State *L, const char *name, int64_t most, int64_t otherwise) {
    int64_t value = zlb_option_count(L, 1, name, most);
    return value > 0 ? value : otherwise;
}

enum { MAX_CONCURRENCY_MOST = 10000, MAX_RESPONSE_MOST = 1 << 30 };

static void set_limits(lua_State *L, zl_client *core) {
    core->timeout_ms = seconds_or(L, "timeout", ZL_DEFAULT_TIMEOUT_MS);
    core->deadline_ms = seconds_or(L, "deadline", ZL_DEFAULT_DEADLINE_MS);
    core->max_attempts =
        (int)count_or(L, "max_attempts", ZLB_MAX_ATTEMPTS_MOST, ZL_DEFAULT_MAX_ATTEMPTS);
    core->max_concurrency =
        (size_t)count_or(L, "max_concurrency", MAX_CONCURRENCY_MOST, ZL_DEFAULT_MAX_CONCURRENCY);
}

/* A path that libcurl will read later: better to hear of a slip now. */
static const char *readable_path(lua_State *L, const char *name) {
    const char *path = zlb_option_string(L, 1, name).data;
    if (path != NULL && access(path, R_OK) != 0) {
        const char *where = lua_pushfstring(L, "options.%s", name);
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "cannot read %s: %s", path,
                        strerror(errno));
    }
    return path;
}

/* Without a scheme it is http. */
static bool is_proxy_scheme(const char *proxy) {
    static const char *const schemes[] = {"http",    "https",  "socks4",
                                          "socks4a", "socks5", "socks5h"};
    const char *end = strstr(proxy, "://");
    for (size_t i = 0; end != NULL && i < sizeof schemes / sizeof schemes[0]; i++) {
        zl_view scheme = {proxy, (size_t)(end - proxy)};
        if (zl_view_equal_nocase(scheme, zl_view_of(schemes[i]))) {
            return true;
        }
    }
    return end == NULL;
}

static const char *proxy_option(lua_State *L, bool tls) {
    int type = zlb_option_push(L, 1, "proxy");
    bool is_false = type == LUA_TBOOLEAN && !lua_toboolean(L, -1);
    if (type != LUA_TNIL && type != LUA_TSTRING && !is_false) {
        (void)zlb_option_error(L, "proxy", "a URL or false");
    }
    lua_pop(L, 1);
    if (is_false) {
        return "";
    }
    const char *proxy = zlb_option_header(L, 1, "proxy").data;
    if (proxy != NULL && !is_proxy_scheme(proxy)) {
        (void)zlb_option_refuse(L, "proxy",
                                "is no http, https, socks4, socks4a, socks5 or socks5h URL");
    }
    if (proxy != NULL && !tls) {
        (void)zlb_option_refuse(L, "proxy", "cannot be used with an http:// endpoint");
    }
    return proxy;
}

static const char *connect_to_option(lua_State *L, bool tls) {
    zl_view address = zlb_option_string(L, 1, "connect_to");
    bool loopback = true;
    const char *problem = address.len > 0 ? zl_endpoint_check_address(address, &loopback) : NULL;
    if (problem != NULL) {
        (void)zlb_option_refuse(L, "connect_to", problem);
    }
    if (!tls && !loopback) {
        (void)zlb_option_refuse(L, "connect_to",
                                "must be a loopback address with an http:// endpoint");
    }
    return address.data;
}

static void open_transport(lua_State *L, zlb_client *client) {
    bool tls = client->core->sender.endpoint.tls;
    zl_transport_options options = {
        .ca_file = readable_path(L, "ca_file"),
        .ca_path = readable_path(L, "ca_path"),
        .proxy = proxy_option(L, tls),
        .connect_to = connect_to_option(L, tls),
        .connect_timeout_ms = seconds_or(L, "connect_timeout", ZL_DEFAULT_CONNECT_TIMEOUT_MS),
        .max_response_bytes = (size_t)count_or(L, "max_response_bytes", MAX_RESPONSE_MOST,
                                               ZL_DEFAULT_MAX_RESPONSE_BYTES),
    };
    int rc = zl_transport_new(&client->transport, client->core, &options);
    if (rc == ZL_ERR_INIT) {
        (void)luaL_error(L, "zenlayer: libcurl %s cannot be used; 7.80 or newer is needed",
                         zl_transport_curl_version());
    } else if (rc != ZL_OK) {
        (void)zlb_raise_memory(L);
    }
}

void zlb_client_new(lua_State *L, bool safe) {
    zlb_options_check(L, 1, client_options);
    zlb_client *client = lua_newuserdata(L, sizeof *client);
    client->core = NULL;
    client->transport = NULL;
    client->last_tag = 0;
    client->has_progress = false;
    client->safe = safe;
    luaL_getmetatable(L, safe ? ZLB_SAFE_CLIENT_TYPE : ZLB_CLIENT_TYPE);
    lua_setmetatable(L, -2);
    lua_newtable(L);
    lua_setuservalue(L, -2);

    client->core = zl_client_new();
    if (client->core == NULL) {
        (void)zlb_raise_memory(L);
    }
    zl_client *core = client->core;
    set_endpoint(L, core);
    set_target(L, core);
    set_limits(L, core);
    core->sender.signer = zlb_credentials_find(L, 1);
    if (!zl_buf_ok(&core->sender.endpoint.base) || !zl_buf_ok(&core->sender.endpoint.host) ||
        !zl_buf_ok(&core->service) || !zl_buf_ok(&core->version) ||
        !zl_buf_ok(&core->sender.user_agent)) {
        (void)zlb_raise_memory(L);
    }
    open_transport(L, client);
}

/* --- its end ---------------------------------------------------------------------------------- */

void zlb_client_close(zlb_client *client) {
    zl_transport *transport = client->transport;
    zl_client *core = client->core;
    client->transport = NULL;
    client->core = NULL;
    if (transport != NULL) {
        zl_transport_cancel_all(transport, ZL_LIT("the client was closed"));
    }
    zl_transport_free(transport);
    zl_client_unref(core);
}

static zlb_client *to_client(lua_State *L) {
    zlb_client *client = zlb_self(L, ZLB_CLIENT_TYPE, ZLB_SAFE_CLIENT_TYPE);
    if (client == NULL) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "self",
                        "expected a client, got %s; methods are called with ':'",
                        luaL_typename(L, 1));
    }
    return client;
}

ZL_HOT zlb_client *zlb_client_check(lua_State *L) {
    zlb_client *client = to_client(L);
    if (client->core == NULL || client->transport == NULL) {
        (void)zlb_raise(L, ZL_CODE_CLIENT_CLOSED, NULL, "the client is closed");
    }
    return client;
}

/* client:close() → nothing. Also __gc and __close. */
static int c_close(lua_State *L) {
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

/* Run the job on top of the stack to its end, and return its results. */
static int run(lua_State *L) {
    int job_index = lua_gettop(L);
    zlb_job *job = lua_touserdata(L, job_index);
    zlb_job_run(L, 1, job_index);
    int count = zlb_results_push(L, job_index);
    zlb_job_free(job); /* it may be large, and a collection far off */
    return count == ZLB_RESULTS_ERROR ? lua_error(L) : count;
}

/* client:stop_instances(ids [, options]) → request_ids, batches */
static int c_stop_instances(lua_State *L) {
    zlb_make_stop(L);
    return run(L);
}

/* client:describe_instances_status([ids [, options]]) → { [id] = status }. Without ids: of all. */
static int c_describe_instances_status(lua_State *L) {
    zlb_make_status(L);
    return run(L);
}

/* client:wait_until_stopped(ids [, options]) → { [id] = "STOPPED" } */
static int c_wait_until_stopped(lua_State *L) {
    zlb_make_wait(L);
    return run(L);
}

/* client:call(action [, params [, options]]) → response, request_id */
static int c_call(lua_State *L) {
    zlb_make_call(L);
    return run(L);
}

/* client:submit_stop_instances(ids [, options]) → job */
static int c_submit_stop_instances(lua_State *L) {
    zlb_make_stop(L);
    zlb_job_submit(L, 1);
    return 1;
}

/* client:submit_wait_until_stopped(ids [, options]) → job */
static int c_submit_wait_until_stopped(lua_State *L) {
    zlb_make_wait(L);
    zlb_job_submit(L, 1);
    return 1;
}

/* client:submit_call(action [, params [, options]]) → job */
static int c_submit_call(lua_State *L) {
    zlb_make_call(L);
    zlb_job_submit(L, 1);
    return 1;
}

/* client:prepare_stop_instances(ids [, options]) → operation, of which nothing is sent */
static int c_prepare_stop_instances(lua_State *L) {
    zlb_make_stop(L);
    zlb_prepared_from_job(L, zlb_client_check(L)->safe);
    return 1;
}

/* client:prepare_wait_until_stopped(ids [, options]) → operation, of which nothing is sent */
static int c_prepare_wait_until_stopped(lua_State *L) {
    zlb_make_wait(L);
    zlb_prepared_from_job(L, zlb_client_check(L)->safe);
    return 1;
}

/* client:prepare(action [, params [, options]]) → operation, of which nothing is sent */
static int c_prepare(lua_State *L) {
    zlb_make_call(L);
    zlb_prepared_from_job(L, zlb_client_check(L)->safe);
    return 1;
}

/* client:poll([seconds]) → how many jobs are not done. Moves every job on; waits at most that long,
 * not at all without an argument. */
ZL_HOT static int c_poll(lua_State *L) {
    (void)zlb_client_check(L);
    int64_t wait_ms = zlb_job_check_wait(L, 2, 0);
    lua_pushinteger(L, (lua_Integer)zlb_job_poll(L, wait_ms));
    return 1;
}

/* client:sockets() → { { fd, "r" | "w" | "rw" }, … }: what a loop of one's own is to watch. */
static int c_sockets(lua_State *L) {
    static const char *const directions[] = {NULL, "r", "w", "rw"};
    const zlb_client *client = zlb_client_check(L);
    int fd, events, count = 0;
    lua_newtable(L);
    /* Any allocation may run a finaliser, and that may close the client. */
    for (size_t i = 0;
         client->transport != NULL && zl_transport_socket(client->transport, i, &fd, &events);
         i++) {
        if (directions[events & 3] == NULL) {
            continue;
        }
        lua_createtable(L, 2, 0);
        lua_pushinteger(L, fd);
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, directions[events & 3]);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

/* client:next_timeout() → seconds until poll wants to be called though no socket is ready; nil when
 * there is nothing to do. */
static int c_next_timeout(lua_State *L) {
    int64_t wait_ms = zl_transport_next_timeout_ms(zlb_client_check(L)->transport);
    if (wait_ms < 0) {
        lua_pushnil(L);
    } else {
        lua_pushnumber(L, (lua_Number)wait_ms / 1000);
    }
    return 1;
}

/* client:connect() → true. Loads the certificates and opens a connection, by one unsigned HEAD
 * request whose answer does not matter; raises what a call would raise that cannot connect. */
static int c_connect(lua_State *L) {
    (void)zlb_client_check(L);
    zlb_job_connect(L, 1);
    const zl_error *error = zl_transport_warm_up_error(zlb_client_check(L)->transport);
    if (error != NULL) {
        zlb_push_error(L, error, (zl_view){NULL, 0});
        return lua_error(L);
    }
    lua_pushboolean(L, true);
    return 1;
}

/* --- the metatables --------------------------------------------------------------------------- */

static const luaL_Reg methods[] = {
    {"call", c_call},
    {"close", c_close},
    {"connect", c_connect},
    {"describe_instances_status", c_describe_instances_status},
    {"next_timeout", c_next_timeout},
    {"poll", c_poll},
    {"prepare", c_prepare},
    {"prepare_stop_instances", c_prepare_stop_instances},
    {"prepare_wait_until_stopped", c_prepare_wait_until_stopped},
    {"sockets", c_sockets},
    {"stop_instances", c_stop_instances},
    {"submit_call", c_submit_call},
    {"submit_stop_instances", c_submit_stop_instances},
    {"submit_wait_until_stopped", c_submit_wait_until_stopped},
    {"wait_until_stopped", c_wait_until_stopped},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__close", c_close},
    {"__gc", c_close},
    {"__tostring", c_tostring},
    {NULL, NULL},
};

static void create_metatable(lua_State *L, const char *type, bool safe) {
    if (luaL_newmetatable(L, type)) {
        zlb_setfuncs(L, metamethods);
        zlb_push_methods(L, methods, safe);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
}

void zlb_client_open(lua_State *L) {
    create_metatable(L, ZLB_CLIENT_TYPE, false);
    create_metatable(L, ZLB_SAFE_CLIENT_TYPE, true);
}
