#include "engine.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../api/hot.h"
#include "drive.h"
#include "errors.h"
#include "job.h"
#include "make.h"
#include "options.h"
#include "pages.h"
#include "results.h"
#include "wire_options.h"

const char *const zlb_client_types[2] = {"zenlayer.client", "zenlayer.safe.client"};
const char *const zlb_job_types[2] = {"zenlayer.job", "zenlayer.safe.job"};
const char *const zlb_prepared_types[2] = {"zenlayer.operation", "zenlayer.safe.operation"};

/* --- options ---------------------------------------------------------------------------------- */

const char *const zlb_client_options[] = {
    "access_key_id",   "access_key_password",
    "allow_blocking",  "api_version",
    "ca_file",         "ca_path",
    "connect_timeout", "connect_to",
    "credentials",     "deadline",
    "endpoint",        "max_attempts",
    "max_concurrency", "max_response_bytes",
    "on_event",        "profile",
    "proxy",           "service",
    "timeout",         "token",
    "user_agent",      NULL,
};
ZLB_OPTIONS_FIT(zlb_client_options);

const bool zlb_engine_asks = true;

/* A path that libcurl will read later: better to hear of a slip now. */
static const char *readable_path(lua_State *L, const zlb_options *given, const char *name) {
    const char *path = zlb_option_string(L, given, name).data;
    if (path != NULL && access(path, R_OK) != 0) {
        const char *where = lua_pushfstring(L, "options.%s", name);
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "cannot read %s: %s", path,
                        strerror(errno));
    }
    return path;
}

void zlb_engine_begin(lua_State *L, const zlb_options *given, zlb_client *client) {
    static const char *const schemes[] = {"http",   "https",   "socks4", "socks4a",
                                          "socks5", "socks5h", NULL};
    const char *ca_file = readable_path(L, given, "ca_file"),
               *ca_path = readable_path(L, given, "ca_path");
    zlb_wire_options wire =
        zlb_wire_options_read(L, given, client->core->sender.endpoint.tls, schemes,
                              "is no http, https, socks4, socks4a, socks5 or socks5h URL");
    client->in_nginx =
        zlb_option_boolean(L, given, "allow_blocking") != ZL_TRUE && zlb_drive_is_nginx(L);
    zl_transport_options options = {
        .ca_file = ca_file,
        .ca_path = ca_path,
        .proxy = wire.proxy,
        .connect_to = wire.connect_to,
        .connect_timeout_ms = wire.connect_timeout_ms,
        .max_response_bytes = wire.max_response_bytes,
    };
    int rc = zl_transport_new(&client->transport, client->core, &options);
    if (rc == ZL_ERR_INIT) {
        (void)luaL_error(L, "zenlayer: libcurl %s cannot be used; 7.80 or newer is needed",
                         zl_transport_curl_version());
    } else if (rc != ZL_OK) {
        (void)zlb_raise_memory(L);
    }
}

void zlb_engine_end(zl_transport *transport) {
    if (transport != NULL) {
        zl_transport_cancel_all(transport, ZL_LIT("the client was closed"));
    }
    zl_transport_free(transport);
}

void zlb_engine_drop(zl_operation *op) {
    zl_transport_drop(zl_operation_driver(op), op);
}

/* --- methods ---------------------------------------------------------------------------------- */

/* Run the job on top of the stack to its end, and return its results. */
static int run(lua_State *L) {
    int job_index = lua_gettop(L);
    zlb_job *job = lua_touserdata(L, job_index);
    zlb_drive_run(L, 1, job_index);
    int count = zlb_results_push(L, job_index);
    zlb_job_free(job); /* it may be large, and a collection far off */
    lua_pushnil(L);
    lua_setmetatable(L, job_index); /* the collector need not call its finaliser */
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

/* (state of an iterator) → response, request_id. To be called protected. */
static int turn_page(lua_State *L) {
    zlb_pages *pages = lua_touserdata(L, 1);
    zlb_pages_make(L, 1);
    lua_getuservalue(L, 1);
    lua_rawgeti(L, -1, 1);
    lua_replace(L, 1); /* the client; whoever calls holds the state */
    lua_pop(L, 1);
    int count = run(L);
    zlb_pages_take(L, pages, lua_gettop(L) - count + 1);
    return count;
}

/* The iterator; upvalue 1 is its state. → response, request_id; nil at the end; and where errors
 * are returned, false, err: nil would look like the end. */
static int next_page(lua_State *L) {
    zlb_pages *pages = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 0);
    if (pages->state == ZLB_PAGES_ENDED) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushcfunction(L, turn_page);
    lua_pushvalue(L, lua_upvalueindex(1));
    if (lua_pcall(L, 1, LUA_MULTRET, 0) == 0) {
        return lua_gettop(L);
    }
    pages->state = ZLB_PAGES_ENDED;
    if (!pages->safe || !zlb_is_error(L, -1)) {
        return lua_error(L);
    }
    lua_pushboolean(L, false);
    lua_insert(L, -2);
    return 2;
}

/* client:pages(action [, params [, options]]) → iterator */
static int c_pages(lua_State *L) {
    (void)zlb_pages_new(L);
    lua_pushcclosure(L, next_page, 1);
    return 1;
}

/* client:submit_stop_instances(ids [, options]) → job */
static int c_submit_stop_instances(lua_State *L) {
    zlb_make_stop(L);
    zlb_drive_submit(L, 1);
    return 1;
}

/* client:submit_wait_until_stopped(ids [, options]) → job */
static int c_submit_wait_until_stopped(lua_State *L) {
    zlb_make_wait(L);
    zlb_drive_submit(L, 1);
    return 1;
}

/* client:submit_call(action [, params [, options]]) → job */
static int c_submit_call(lua_State *L) {
    zlb_make_call(L);
    zlb_drive_submit(L, 1);
    return 1;
}

/* client:poll([seconds]) → how many jobs are not done. Moves every job on; waits at most that long,
 * not at all without an argument. */
ZL_HOT static int c_poll(lua_State *L) {
    (void)zlb_client_check(L);
    int64_t wait_ms = zlb_drive_check_wait(L, 2, 0);
    lua_pushinteger(L, (lua_Integer)zlb_drive_poll(L, wait_ms));
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
    zlb_drive_connect(L, 1);
    const zl_error *error = zl_transport_warm_up_error(zlb_client_check(L)->transport);
    if (error != NULL) {
        zlb_push_error(L, error, (zl_view){NULL, 0});
        return lua_error(L);
    }
    lua_pushboolean(L, true);
    return 1;
}

const luaL_Reg zlb_engine_methods[] = {
    {"call", c_call},
    {"connect", c_connect},
    {"describe_instances_status", c_describe_instances_status},
    {"next_timeout", c_next_timeout},
    {"pages", c_pages},
    {"poll", c_poll},
    {"sockets", c_sockets},
    {"stop_instances", c_stop_instances},
    {"submit_call", c_submit_call},
    {"submit_stop_instances", c_submit_stop_instances},
    {"submit_wait_until_stopped", c_submit_wait_until_stopped},
    {"wait_until_stopped", c_wait_until_stopped},
    {NULL, NULL},
};
