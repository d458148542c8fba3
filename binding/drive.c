#include "drive.h"

#include <math.h>
#include <string.h>

#include "../api/clock.h"
#include "../api/hot.h"
#include "engine.h"
#include "errors.h"
#include "events.h"
#include "job.h"
#include "options.h"
#include "renew.h"
#include "safe.h"

/* How long a wait may go without looking whether the interpreter was interrupted. */
enum { WAIT_SLICE_MS = 250 };

/* --- the jobs of a client --------------------------------------------------------------------- */

/* The client need not hold the job any longer. */
static void release_job(lua_State *L, int client_index, const zlb_job *job) {
    int tag = zl_operation_tag(job->op);
    if (tag > 0) { /* it has been there: nothing is allocated */
        lua_getuservalue(L, client_index);
        lua_pushnil(L);
        lua_rawseti(L, -2, zlb_hash_key(tag));
        lua_pop(L, 1);
    }
}

/* The job at index 2 runs in the client at index 1 from now on, which holds it. */
static void start(lua_State *L) {
    zlb_client *client = lua_touserdata(L, 1);
    const zlb_job *job = lua_touserdata(L, 2);
    int tag = ++client->last_tag;
    client->has_progress = client->has_progress || job->has_progress;
    lua_getuservalue(L, 1);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, zlb_hash_key(tag));
    lua_pop(L, 1);
    if (client->transport == NULL) { /* a finaliser closed it */
        (void)zlb_raise(L, ZL_CODE_CLIENT_CLOSED, NULL, "the client is closed");
    }
    zl_operation_set_tag(job->op, tag);
    if (zl_transport_add(client->transport, job->op) != ZL_OK) {
        release_job(L, 1, job);
        (void)zlb_raise_memory(L);
    }
}

/* Tell the on_progress of every job of the client at index 1 what it was not told. They are listed
 * first: what is called may begin others, or close the client. */
static void tell_all(lua_State *L) {
    const zlb_client *client = lua_touserdata(L, 1);
    int count = 0;
    if (!client->has_progress) {
        return;
    }
    lua_newtable(L);
    lua_getuservalue(L, 1);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        if (lua_isuserdata(L, -1) && zlb_job_has_news(lua_touserdata(L, -1))) {
            lua_rawseti(L, -4, ++count);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        zlb_job_tell_progress(L, lua_gettop(L));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* --- nginx ------------------------------------------------------------------------------------ */

/* Push nginx's function that tells the phase, or nil. It is looked for where `require "ngx"` finds
 * it: scripts may forbid to look at globals that are not there. */
static void push_get_phase(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_pushliteral(L, "ngx");
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (lua_type(L, -1) == LUA_TTABLE) {
        lua_pushliteral(L, "get_phase");
        lua_rawget(L, -2);
        lua_remove(L, -2);
    }
    if (lua_type(L, -1) != LUA_TFUNCTION) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
}

bool zlb_drive_is_nginx(lua_State *L) {
    push_get_phase(L);
    bool is = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return is;
}

/* In nginx a call that blocks stops every request of the worker. While it starts, that harms
 * nobody.
 */
static void refuse_in_nginx(lua_State *L, const zlb_client *client) {
    int top = lua_gettop(L);
    if (!client->in_nginx) {
        return;
    }
    luaL_checkstack(L, 20, "zenlayer");
    push_get_phase(L);
    const char *phase = lua_pcall(L, 0, 1, 0) == 0 ? lua_tostring(L, -1) : NULL;
    if (phase != NULL && strncmp(phase, "init", 4) != 0) { /* init and init_worker */
        (void)zlb_raise(L, ZL_CODE_WRONG_PHASE, NULL,
                        "this would block nginx, in its %s phase: use resty.zenlayer, or the "
                        "option allow_blocking = true",
                        phase);
    }
    lua_settop(L, top);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Take in one answer, whose bytes nothing else holds: of all that this calls, only what runs
 * protected may raise. */
static void deliver_one(lua_State *L, int client_index, zl_delivery *delivery) {
    zl_answer answer;
    lua_getuservalue(L, client_index);
    lua_rawgeti(L, -1, zlb_hash_key(zl_operation_tag(delivery->op)));
    lua_remove(L, -2);
    zl_answer_init(&answer, delivery->status);
    zl_answer_add_head(&answer, zl_buf_view(&delivery->head));
    zlb_reported reported =
        zlb_job_report(L, lua_gettop(L), delivery->n, &answer, zl_buf_view(&delivery->body));
    zl_buf_free(&delivery->head);
    zl_buf_free(&delivery->body);
    if (reported == ZLB_REPORT_FAILED) {
        (void)lua_error(L);
    }
}

/* Take in every answer. In most frames of a game there is none; then nothing is allocated. */
static void deliver(lua_State *L, int client_index) {
    const zlb_client *client = lua_touserdata(L, client_index);
    int top = lua_gettop(L);
    zl_delivery delivery;
    luaL_checkstack(L, 20, "zenlayer");
    while (client->transport != NULL && zl_transport_take(client->transport, &delivery)) {
        deliver_one(L, client_index, &delivery);
        lua_settop(L, top);
    }
}

/* --- waiting ---------------------------------------------------------------------------------- */

static int do_nothing(lua_State *L) {
    (void)L;
    return 0;
}

/* The hook of the main thread, seen from a coroutine; NULL on the main thread itself. */
static lua_Hook main_hook(lua_State *L) {
    lua_State *main_thread = zlb_main_thread(L);
    return main_thread == NULL || main_thread == L ? NULL : lua_gethook(main_thread);
}

/* On Ctrl-C the stock interpreter sets a hook on the main thread. Calling any function runs it
 * there; in a coroutine it must be brought over first. */
static void check_interrupt(lua_State *L, lua_Hook hook_before) {
    lua_Hook hook = main_hook(L);
    if (hook != NULL && hook != hook_before) {
        lua_State *main_thread = zlb_main_thread(L);
        lua_sethook(L, hook, lua_gethookmask(main_thread), lua_gethookcount(main_thread));
        lua_sethook(main_thread, NULL, 0, 0);
    }
    lua_pushcfunction(L, do_nothing);
    lua_call(L, 0, 0);
}

/* A turn of the client at index 1, without what it brought. */
static void move(lua_State *L, int64_t wait_ms) {
    const zlb_client *client = lua_touserdata(L, 1);
    int rc = zl_transport_turn(client->transport, wait_ms);
    if (rc == ZL_ERR_NOMEM) {
        (void)zlb_raise_memory(L);
    } else if (rc != ZL_OK) {
        (void)luaL_error(L, "zenlayer: a request could not be signed");
    }
    if (zlb_renew_is_due(client)) {
        zlb_renew(L, 1, client->core);
        if (client->transport != NULL) { /* the function may have closed it */
            zl_transport_wake(client->transport);
        }
    }
}

/* A turn, and everything that goes with it. */
static void turn(lua_State *L, int64_t wait_ms, lua_Hook hook_before) {
    const zlb_client *client = lua_touserdata(L, 1);
    move(L, wait_ms);
    deliver(L, 1);
    zlb_events_tell(L, 1, client->core);
    check_interrupt(L, hook_before);
}

/* (client, job): begins the job, last of all: where this raises, nothing was begun. */
static int submit(lua_State *L) {
    lua_getuservalue(L, 2);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "client");
    lua_pop(L, 1);
    start(L);
    return 0;
}

/* Forget the jobs that are done, of the client at index 1. Returns how many are not. */
static size_t reap(lua_State *L) {
    const zlb_client *client = lua_touserdata(L, 1);
    size_t left = client->transport == NULL ? 0 : zl_transport_reap(client->transport);
    lua_getuservalue(L, 1);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        const zlb_job *job = lua_touserdata(L, -1);
        lua_pop(L, 1);
        if (job == NULL) { /* a function of the client's */
            continue;
        }
        if (job->op == NULL || (zl_operation_is_done(job->op) && !zlb_job_has_news(job))) {
            lua_pushvalue(L, -1);
            lua_pushnil(L);
            lua_rawset(L, -4);
        }
    }
    lua_pop(L, 1);
    return left;
}

/* (client, job): the wait itself, to be called protected. */
static int run_protected(lua_State *L) {
    const zlb_client *client = lua_touserdata(L, 1);
    const zlb_job *job = lua_touserdata(L, 2);
    lua_Hook hook = main_hook(L);
    start(L);
    while (!zl_operation_is_done(job->op) && client->transport != NULL) {
        turn(L, WAIT_SLICE_MS, hook);
        zlb_job_tell_progress(L, 2); /* of others the next poll tells */
    }
    (void)reap(L);
    return 0;
}

void zlb_drive_run(lua_State *L, int client_index, int job_index) {
    const zlb_client *client = lua_touserdata(L, client_index);
    const zlb_job *job = lua_touserdata(L, job_index);
    refuse_in_nginx(L, client);
    zlb_renew_check(L, client);
    lua_pushcfunction(L, run_protected);
    lua_pushvalue(L, client_index);
    lua_pushvalue(L, job_index);
    int rc = lua_pcall(L, 2, 0, 0);
    if (client->transport != NULL) {
        if (rc != 0) {
            (void)zl_transport_cancel(client->transport, job->op,
                                      ZL_LIT("an error ended the wait for it"));
        }
        zl_transport_drop(client->transport, job->op);
        release_job(L, client_index, job);
    }
    zl_moment now;
    zl_clock_now(&now);
    /* if it is not done */
    (void)zl_operation_cancel(job->op, &now, ZL_LIT("the client was closed"));
    zlb_events_tell(L, client_index, client->core);
    if (rc != 0) {
        (void)lua_error(L);
    }
}

void zlb_drive_submit(lua_State *L, int client_index) {
    lua_pushcfunction(L, submit);
    lua_pushvalue(L, client_index);
    lua_pushvalue(L, -3);
    lua_call(L, 2, 0);
}

/* What a game does once a frame. In most frames no job has changed, and then only that is asked. No
 * interrupt is looked for: the interpreter has control again at once. */
static size_t poll_at_once(lua_State *L) {
    const zlb_client *client = lua_touserdata(L, 1);
    move(L, 0);
    if (client->transport != NULL && zl_transport_was_quiet(client->transport) &&
        !client->has_progress) {
        return zl_transport_count(client->transport);
    }
    deliver(L, 1);
    zlb_events_tell(L, 1, client->core);
    tell_all(L);
    return reap(L);
}

ZL_HOT size_t zlb_drive_poll(lua_State *L, int64_t wait_ms) {
    refuse_in_nginx(L, lua_touserdata(L, 1));
    if (wait_ms == 0) {
        return poll_at_once(L);
    }
    const zlb_client *client = lua_touserdata(L, 1);
    lua_Hook hook = main_hook(L);
    size_t before = wait_ms > WAIT_SLICE_MS && client->transport != NULL
                        ? zl_transport_reap(client->transport)
                        : 0;
    /* A signal that comes just before poll(2) does not end it, so a long wait goes by slices; and
     * only while nothing happens. */
    for (;;) {
        int64_t slice_ms = wait_ms < WAIT_SLICE_MS ? wait_ms : WAIT_SLICE_MS;
        int64_t began_ms = zl_clock_mono_ms();
        turn(L, slice_ms, hook);
        tell_all(L);
        size_t left = reap(L);
        wait_ms -= slice_ms;
        if (wait_ms <= 0 || left != before || client->transport == NULL ||
            zl_clock_mono_ms() - began_ms < slice_ms) {
            return left;
        }
    }
}

ZL_HOT int64_t zlb_drive_check_wait(lua_State *L, int index, int64_t otherwise) {
    if (lua_isnoneornil(L, index)) {
        return otherwise;
    }
    double seconds = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
    if (!(seconds >= 0 && seconds <= ZLB_SECONDS_MAX)) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "seconds",
                        "expected a number from 0 to 30 days, got %s", luaL_typename(L, index));
    }
    return seconds > 0 ? (int64_t)ceil(seconds * 1000) : 0;
}

/* (client): opens a connection. To be called protected. */
static int connect_protected(lua_State *L) {
    const zlb_client *client = lua_touserdata(L, 1);
    lua_Hook hook = main_hook(L);
    if (client->transport == NULL) {
        return 0;
    }
    if (zl_transport_warm_up(client->transport, client->core->timeout_ms) != ZL_OK) {
        return zlb_raise_memory(L);
    }
    while (client->transport != NULL && zl_transport_is_warming_up(client->transport)) {
        turn(L, WAIT_SLICE_MS, hook);
    }
    return 0;
}

void zlb_drive_connect(lua_State *L, int client_index) {
    const zlb_client *client = lua_touserdata(L, client_index);
    refuse_in_nginx(L, client);
    lua_pushcfunction(L, connect_protected);
    lua_pushvalue(L, client_index);
    if (lua_pcall(L, 1, 0, 0) != 0) {
        if (client->transport != NULL) {
            zl_transport_stop_warming_up(client->transport);
        }
        (void)lua_error(L);
    }
}

/* --- methods ---------------------------------------------------------------------------------- */

static zlb_job *check_job(lua_State *L) {
    zlb_job *job = zlb_self(L, zlb_job_types);
    if (job == NULL || job->op == NULL) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "self",
                        "expected a job, got %s; methods are called with ':'", luaL_typename(L, 1));
    }
    return job;
}

/* Push the client of the job at index 1; NULL, with nil pushed, if it is closed. */
static zlb_client *push_client(lua_State *L) {
    lua_getuservalue(L, 1);
    lua_getfield(L, -1, "client");
    lua_remove(L, -2);
    zlb_client *client = lua_touserdata(L, -1);
    return client != NULL && client->transport != NULL ? client : NULL;
}

/* job:done() → boolean */
static int j_done(lua_State *L) {
    lua_pushboolean(L, zl_operation_is_done(check_job(L)->op));
    return 1;
}

/* job:result() → what the blocking method returns, or raises; nil before the end. */
static int j_result(lua_State *L) {
    (void)check_job(L);
    return zlb_job_result(L, 1);
}

/* (client, job, until_ms): waits until the job is done or the time has come. */
static int wait_until(lua_State *L) {
    const zlb_client *client = lua_touserdata(L, 1);
    const zlb_job *job = lua_touserdata(L, 2);
    int64_t until_ms = (int64_t)lua_tonumber(L, 3);
    lua_Hook hook = main_hook(L);
    while (job->op != NULL && !zl_operation_is_done(job->op) && client->transport != NULL) {
        int64_t left_ms = until_ms - zl_clock_mono_ms();
        turn(L, left_ms < 0 ? 0 : left_ms < WAIT_SLICE_MS ? left_ms : WAIT_SLICE_MS, hook);
        tell_all(L);
        if (left_ms <= 0) {
            break;
        }
    }
    (void)reap(L);
    return 0;
}

/* job:wait([seconds]) → whether it is done. Without an argument: until it is. */
static int j_wait(lua_State *L) {
    const zlb_job *job = check_job(L);
    int64_t wait_ms = zlb_drive_check_wait(L, 2, (int64_t)(ZLB_SECONDS_MAX * 1000));
    lua_pushcfunction(L, wait_until);
    const zlb_client *client = zl_operation_is_done(job->op) ? NULL : push_client(L);
    if (client != NULL) {
        refuse_in_nginx(L, client);
        zlb_renew_check(L, client);
        lua_pushvalue(L, 1);
        lua_pushnumber(L, (lua_Number)(zl_clock_mono_ms() + wait_ms));
        lua_call(L, 3, 0);
    }
    lua_pushboolean(L, zl_operation_is_done(check_job(L)->op)); /* on_progress can finalise it */
    return 1;
}

/* job:cancel() → whether there was something to cancel. */
static int j_cancel(lua_State *L) {
    const zlb_job *job = check_job(L);
    const zlb_client *client = push_client(L);
    bool was_running = false;
    if (client != NULL) {
        was_running = zl_transport_cancel(client->transport, job->op, ZL_LIT("cancelled"));
        release_job(L, lua_gettop(L), job);
        zlb_events_tell(L, lua_gettop(L), client->core);
    }
    lua_pushboolean(L, was_running);
    return 1;
}

const luaL_Reg zlb_job_methods[] = {
    {"cancel", j_cancel}, {"done", j_done}, {"result", j_result}, {"wait", j_wait}, {NULL, NULL},
};
