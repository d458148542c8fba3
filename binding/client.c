#include "client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../api/clock.h"
#include "../api/zenlayer.h"
#include "credentials.h"
#include "errors.h"
#include "job.h"
#include "json.h"
#include "options.h"
#include "scratch.h"

/* --- making one ------------------------------------------------------------------------------- */

static const char *const client_options[] = {
    "access_key_id",   "access_key_password", "api_version", "ca_file",  "ca_path",
    "connect_timeout", "connect_to",          "deadline",    "endpoint", "max_attempts",
    "max_concurrency", "max_response_bytes",  "proxy",       "service",  "timeout",
    "token",           "user_agent",          NULL,
};

static int refuse_option(lua_State *L, const char *name, const char *problem) {
    const char *where = lua_pushfstring(L, "options.%s", name);
    return zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "%s", problem);
}

static zl_view or_default(zl_view value, const char *otherwise) {
    return value.len > 0 ? value : zl_view_of(otherwise);
}

static void set_endpoint(lua_State *L, zl_client *core) {
    zl_view url = or_default(zlb_option_string(L, 1, "endpoint"), ZL_ENDPOINT_DEFAULT);
    const char *problem = zl_endpoint_parse(&core->sender.endpoint, url);
    if (problem != NULL) {
        (void)refuse_option(L, "endpoint", problem);
    }
}

static void set_target(lua_State *L, zl_client *core) {
    zl_view service = or_default(zlb_option_word(L, 1, "service"), "vm");
    zl_view version = zlb_option_word(L, 1, "api_version");
    if (version.len == 0) {
        version = zl_request_default_version(service);
    }
    if (version.len == 0) {
        (void)refuse_option(L, "api_version", "is needed with a service other than vm, bmc, zec");
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

enum { MAX_ATTEMPTS_MOST = 100, MAX_CONCURRENCY_MOST = 10000, MAX_RESPONSE_MOST = 1 << 30 };

static void set_limits(lua_State *L, zl_client *core) {
    core->timeout_ms = seconds_or(L, "timeout", ZL_DEFAULT_TIMEOUT_MS);
    core->deadline_ms = seconds_or(L, "deadline", ZL_DEFAULT_DEADLINE_MS);
    core->max_attempts =
        (int)count_or(L, "max_attempts", MAX_ATTEMPTS_MOST, ZL_DEFAULT_MAX_ATTEMPTS);
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
        (void)refuse_option(L, "proxy",
                            "is no http, https, socks4, socks4a, socks5 or socks5h URL");
    }
    if (proxy != NULL && !tls) {
        (void)refuse_option(L, "proxy", "cannot be used with an http:// endpoint");
    }
    return proxy;
}

static const char *connect_to_option(lua_State *L, bool tls) {
    zl_view address = zlb_option_string(L, 1, "connect_to");
    bool loopback = true;
    const char *problem = address.len > 0 ? zl_endpoint_check_address(address, &loopback) : NULL;
    if (problem != NULL) {
        (void)refuse_option(L, "connect_to", problem);
    }
    if (!tls && !loopback) {
        (void)refuse_option(L, "connect_to", "must be a loopback address with an http:// endpoint");
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

void zlb_client_new(lua_State *L, const char *type) {
    zlb_options_check(L, 1, client_options);
    zlb_client *client = lua_newuserdata(L, sizeof *client);
    client->core = NULL;
    client->transport = NULL;
    luaL_getmetatable(L, type);
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
    zlb_client *client = zlb_testudata(L, 1, ZLB_CLIENT_TYPE);
    if (client == NULL) {
        client = zlb_testudata(L, 1, ZLB_SAFE_CLIENT_TYPE);
    }
    if (client == NULL) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "self",
                        "expected a client, got %s; methods are called with ':'",
                        luaL_typename(L, 1));
    }
    return client;
}

static zlb_client *check_client(lua_State *L) {
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

/* --- what an operation is given --------------------------------------------------------------- */

/* The options that every operation has, of the table at `index`; views into it. */
static zl_operation_options operation_options(lua_State *L, int index) {
    return (zl_operation_options){
        .service = zlb_option_word(L, index, "service"),
        .version = zlb_option_word(L, index, "api_version"),
        .timeout_ms = zlb_option_seconds(L, index, "timeout"),
        .deadline_ms = zlb_option_seconds(L, index, "deadline"),
        .max_attempts = (int)zlb_option_count(L, index, "max_attempts", MAX_ATTEMPTS_MOST),
    };
}

static void check_target(lua_State *L, const zl_client *core, const zl_operation_options *options) {
    bool other =
        options->service.len > 0 && !zl_view_equal(options->service, zl_buf_view(&core->service));
    if (other && options->version.len == 0 &&
        zl_request_default_version(options->service).len == 0) {
        (void)refuse_option(L, "api_version", "is needed with a service other than vm, bmc, zec");
    }
}

static bool is_bmc(const zl_client *core, const zl_operation_options *options) {
    zl_view service = options->service.len > 0 ? options->service : zl_buf_view(&core->service);
    return zl_view_equal(service, ZL_LIT("bmc"));
}

/* The client, once every argument was read and everything allocated: any allocation may run a
 * finaliser, and that may close it. */
static zl_client *open_core(lua_State *L, const zl_operation_options *options) {
    zl_client *core = check_client(L)->core;
    check_target(L, core, options);
    return core;
}

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

/* The ids of the list at `index`, in a scratch that is pushed. Raises what is wrong with them. */
static zlb_scratch *read_ids(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TTABLE) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "instance_ids",
                        "expected a list of strings, got %s",
                        lua_isnone(L, index) ? "nothing" : luaL_typename(L, index));
    }
    size_t count = check_list(L, index);
    if (count == 0) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "instance_ids",
                        "expected at least one id, got an empty list");
    }
    zlb_scratch *scratch = zlb_scratch_new(L);
    for (size_t i = 1; i <= count; i++) {
        zl_view id = {NULL, 0};
        lua_rawgeti(L, index, (int)i);
        if (lua_type(L, -1) == LUA_TSTRING) {
            id.data = lua_tolstring(L, -1, &id.len);
        }
        int rc = zl_ids_add(&scratch->ids, id);
        if (rc == ZL_ERR_NOMEM) {
            (void)zlb_raise_memory(L);
        } else if (rc != ZL_OK) {
            refuse_id(L, i);
        }
        lua_pop(L, 1);
    }
    return scratch;
}

/* An operation could not be made. Its arguments were checked before. */
static void check_made(lua_State *L, int rc) {
    if (rc != ZL_OK) {
        (void)zlb_raise_memory(L);
    }
}

/* Run the job on top of the stack to its end, and return its results. */
static int run(lua_State *L) {
    int job_index = lua_gettop(L);
    zlb_job *job = lua_touserdata(L, job_index);
    zlb_job_run(L, 1, job_index);
    int count = zlb_job_results(L, job_index);
    zlb_job_free(job); /* it may be large, and a collection far off */
    return count == ZLB_JOB_ERROR ? lua_error(L) : count;
}

/* --- methods ---------------------------------------------------------------------------------- */

static const char *const stop_options[] = {
    "api_version", "deadline", "force_shutdown", "max_attempts",
    "on_error",    "service",  "timeout",        NULL,
};

static bool continue_on_error(lua_State *L, int index) {
    zl_view value = zlb_option_string(L, index, "on_error");
    bool goes_on = zl_view_equal(value, ZL_LIT("continue"));
    if (value.len > 0 && !goes_on && !zl_view_equal(value, ZL_LIT("stop"))) {
        (void)refuse_option(L, "on_error", "expected \"stop\" or \"continue\"");
    }
    return goes_on;
}

/* client:stop_instances(ids [, options]) → request_ids, batches */
static int c_stop_instances(lua_State *L) {
    (void)check_client(L);
    lua_settop(L, 3);
    zlb_options_check(L, 3, stop_options);
    zl_operation_options options = operation_options(L, 3);
    options.continue_on_error = continue_on_error(L, 3);
    zl_tristate force = zlb_option_boolean(L, 3, "force_shutdown");
    zlb_scratch *scratch = read_ids(L, 2);
    zlb_job *job = zlb_job_new(L);
    zl_client *core = open_core(L, &options);
    if (force != ZL_UNSET && is_bmc(core, &options)) {
        return refuse_option(L, "force_shutdown", "service bmc has no such parameter");
    }
    zl_moment now;
    zl_clock_now(&now);
    check_made(L, zl_operation_new_stop(&job->op, core, &options, &now, &scratch->ids, force));
    return run(L);
}

static const char *const status_options[] = {
    "api_version", "deadline", "max_attempts", "service", "timeout", NULL,
};

/* client:describe_instances_status([ids [, options]]) → { [id] = status }. Without ids: of all. */
static int c_describe_instances_status(lua_State *L) {
    (void)check_client(L);
    lua_settop(L, 3);
    zlb_options_check(L, 3, status_options);
    zl_operation_options options = operation_options(L, 3);
    zl_ids *ids = lua_isnil(L, 2) ? NULL : &read_ids(L, 2)->ids;
    zlb_job *job = zlb_job_new(L);
    zl_client *core = open_core(L, &options);
    if (is_bmc(core, &options)) {
        return refuse_option(L, "service", "service bmc has no DescribeInstancesStatus");
    }
    zl_moment now;
    zl_clock_now(&now);
    check_made(L, zl_operation_new_status(&job->op, core, &options, &now, ids));
    return run(L);
}

static const char *const call_options[] = {
    "api_version", "deadline", "idempotent", "max_attempts", "service", "timeout", NULL,
};

static zl_view check_action(lua_State *L, int index) {
    zl_view action = {NULL, 0};
    if (lua_type(L, index) == LUA_TSTRING) {
        action.data = lua_tolstring(L, index, &action.len);
    }
    if (!zlb_is_word(action)) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "action",
                        "expected a name of letters, digits, '-', '_' and '.', got %s",
                        action.data == NULL ? luaL_typename(L, index) : "another string");
    }
    return action;
}

/* client:call(action [, params [, options]]) → response, request_id */
static int c_call(lua_State *L) {
    (void)check_client(L);
    lua_settop(L, 4);
    zl_view action = check_action(L, 2);
    zlb_options_check(L, 4, call_options);
    zl_operation_options options = operation_options(L, 4);
    bool idempotent = zlb_option_boolean(L, 4, "idempotent") == ZL_TRUE;
    zlb_scratch *scratch = zlb_scratch_new(L);
    if (lua_isnil(L, 3)) {
        lua_newtable(L);
        lua_replace(L, 3);
    } else if (lua_type(L, 3) != LUA_TTABLE) {
        return zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "params", "expected a table, got %s",
                         luaL_typename(L, 3));
    }
    zlb_json_encode(L, 3, "params", &scratch->buf);
    zlb_job *job = zlb_job_new(L);
    zl_client *core = open_core(L, &options);
    zl_moment now;
    zl_clock_now(&now);
    check_made(L, zl_operation_new_call(&job->op, core, &options, &now, action, &scratch->buf,
                                        idempotent));
    return run(L);
}

/* client:connect() → true. Loads the certificates and opens a connection, by one unsigned HEAD
 * request whose answer does not matter; raises what a call would raise that cannot connect. */
static int c_connect(lua_State *L) {
    (void)check_client(L);
    zlb_job_connect(L, 1);
    const zl_error *error = zl_transport_warm_up_error(check_client(L)->transport);
    if (error != NULL) {
        zlb_push_error(L, error, (zl_view){NULL, 0});
        return lua_error(L);
    }
    lua_pushboolean(L, true);
    return 1;
}

/* --- the metatables --------------------------------------------------------------------------- */

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

static const luaL_Reg methods[] = {
    {"call", c_call},
    {"close", c_close},
    {"connect", c_connect},
    {"describe_instances_status", c_describe_instances_status},
    {"stop_instances", c_stop_instances},
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
        lua_newtable(L);
        for (const luaL_Reg *method = methods; method->name != NULL; method++) {
            lua_pushcfunction(L, method->func);
            if (safe) {
                lua_pushcclosure(L, zlb_safe_call, 1);
            }
            lua_setfield(L, -2, method->name);
        }
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
}

void zlb_client_open(lua_State *L) {
    create_metatable(L, ZLB_CLIENT_TYPE, false);
    create_metatable(L, ZLB_SAFE_CLIENT_TYPE, true);
}
