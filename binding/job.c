#include "job.h"

#include <math.h>

#include "../api/clock.h"
#include "../api/hot.h"
#include "errors.h"
#include "json.h"
#include "options.h"
#include "results.h"
#include "safe.h"
#include "scratch.h"

#define JOB_TYPE "zenlayer.job"
#define SAFE_JOB_TYPE "zenlayer.safe.job"

/* How long a wait may go without looking whether the interpreter was interrupted. */
enum { WAIT_SLICE_MS = 250 };

/* --- life ------------------------------------------------------------------------------------- */

void zlb_job_free(zlb_job *job) {
    zl_operation *op = job->op;
    job->op = NULL;
    if (op != NULL && zl_operation_driver(op) != NULL) {
        zl_transport_drop(zl_operation_driver(op), op);
    }
    zl_operation_free(op);
}

static int j_gc(lua_State *L) {
    zlb_job_free(lua_touserdata(L, 1));
    return 0;
}

zlb_job *zlb_job_new(lua_State *L, bool safe) {
    zlb_job *job = lua_newuserdata(L, sizeof *job);
    job->op = NULL;
    job->has_progress = job->in_progress = false;
    job->rounds = 0;
    luaL_getmetatable(L, safe ? SAFE_JOB_TYPE : JOB_TYPE);
    lua_setmetatable(L, -2);
    lua_newtable(L);
    lua_setuservalue(L, -2);
    return job;
}

/* The job at index 2 runs in the client at index 1 from now on, which holds it. */
static void start(lua_State *L) {
    zlb_client *client = lua_touserdata(L, 1);
    const zlb_job *job = lua_touserdata(L, 2);
    int tag = ++client->last_tag;
    client->has_progress = client->has_progress || job->has_progress;
    lua_getuservalue(L, 1);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, tag);
    lua_pop(L, 1);
    if (client->transport == NULL) { /* a finaliser closed it */
        (void)zlb_raise(L, ZL_CODE_CLIENT_CLOSED, NULL, "the client is closed");
    }
    zl_operation_set_tag(job->op, tag);
    if (zl_transport_add(client->transport, job->op) != ZL_OK) {
        (void)zlb_raise_memory(L);
    }
}

/* The client need not hold the job any longer. */
static void release_job(lua_State *L, int client_index, const zlb_job *job) {
    lua_getuservalue(L, client_index);
    lua_pushnil(L);
    lua_rawseti(L, -2, zl_operation_tag(job->op));
    lua_pop(L, 1);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* (job, scratch with the body, pointer to a zl_answer, number of the call) → the decoded body, what
 * holds the answer's views. To be called protected. */
static int decode_protected(lua_State *L) {
    const zlb_job *job = lua_touserdata(L, 1);
    const zlb_scratch *scratch = lua_touserdata(L, 2);
    zl_answer *answer = lua_touserdata(L, 3);
    luaL_checkstack(L, 20, "zenlayer");
    zl_aim aim = zl_operation_expects(job->op, (size_t)lua_tonumber(L, 4));
    zlb_json_decode_answer(L, zl_buf_view(&scratch->buf), aim, answer);
    return 2;
}

void zlb_job_set_progress(lua_State *L) {
    zlb_job *job = lua_touserdata(L, -2);
    job->has_progress = true;
    lua_getuservalue(L, -2);
    lua_insert(L, -2);
    lua_setfield(L, -2, "on_progress");
    lua_pop(L, 1);
}

/* Whether rounds of looks have ended that its on_progress was not told of. */
static bool has_news(const zlb_job *job) {
    const zl_watch *watch =
        job->has_progress && job->op != NULL ? zl_operation_watch(job->op) : NULL;
    return watch != NULL && watch->rounds != job->rounds;
}

/* (job): calls its on_progress. */
static int call_progress(lua_State *L) {
    const zlb_job *job = lua_touserdata(L, 1);
    lua_getuservalue(L, 1);
    lua_getfield(L, -1, "on_progress");
    zlb_push_progress(L, job->op);
    lua_call(L, 1, 0);
    return 0;
}

void zlb_job_tell_progress(lua_State *L, int job_index) {
    zlb_job *job = lua_touserdata(L, job_index);
    while (has_news(job) && !job->in_progress) {
        job->rounds = zl_operation_watch(job->op)->rounds;
        lua_pushcfunction(L, call_progress);
        lua_pushvalue(L, job_index);
        job->in_progress = true; /* it may poll: its next call comes after this one */
        int rc = lua_pcall(L, 1, 0, 0);
        job->in_progress = false;
        if (rc != 0) {
            (void)lua_error(L);
        }
    }
}

/* The same for every job of the client at index 1. They are listed first: what is called may begin
 * others, or close the client. */
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
        if (has_news(lua_touserdata(L, -1))) {
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

bool zlb_job_report(lua_State *L, int job_index, size_t n, zl_answer *answer) {
    const zlb_job *job = lua_touserdata(L, job_index);
    zl_moment now;
    lua_pushcfunction(L, decode_protected);
    lua_pushvalue(L, job_index);
    lua_pushvalue(L, job_index - 1);
    lua_pushlightuserdata(L, answer);
    lua_pushnumber(L, (lua_Number)n);
    bool is_look = zl_operation_expects(job->op, n) != zl_operation_aim(job->op);
    int rc = lua_pcall(L, 4, 2, 0);
    zl_clock_now(&now);
    if (rc != 0) {
        (void)zl_operation_failed(job->op, n, &now, ZL_CODE_CONNECTION_LOST,
                                  ZL_LIT("an answer came, but decoding it was interrupted"), true);
        (void)lua_error(L);
    }
    bool counted = zl_operation_answered(job->op, n, &now, answer);
    if (counted && !is_look) {
        lua_getuservalue(L, job_index);
        lua_pushvalue(L, -3);
        lua_rawseti(L, -2, (int)n);
    }
    return counted;
}

/* Take in one answer, if there is one. */
static bool deliver_one(lua_State *L, int client_index) {
    const zlb_client *client = lua_touserdata(L, client_index);
    zl_delivery delivery;
    zl_answer answer;
    zlb_scratch *scratch = zlb_scratch_new(L); /* first: allocating may close the client, too */
    lua_getuservalue(L, client_index);
    if (client->transport == NULL || !zl_transport_take(client->transport, &delivery)) {
        return false;
    }
    scratch->buf = delivery.body;
    scratch->head = delivery.head;
    lua_rawgeti(L, -1, zl_operation_tag(delivery.op));
    lua_remove(L, -2);
    zl_answer_init(&answer, delivery.status);
    zl_answer_add_head(&answer, zl_buf_view(&scratch->head));
    (void)zlb_job_report(L, lua_gettop(L), delivery.n, &answer);
    zlb_scratch_clear(scratch);
    return true;
}

/* Take in every answer. In most frames of a game there is none; then nothing is allocated. */
static void deliver(lua_State *L, int client_index) {
    const zlb_client *client = lua_touserdata(L, client_index);
    int top = lua_gettop(L);
    bool more = true;
    luaL_checkstack(L, 20, "zenlayer");
    while (more && client->transport != NULL && zl_transport_has_answer(client->transport)) {
        more = deliver_one(L, client_index);
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
}

/* A turn, and everything that goes with it. */
static void turn(lua_State *L, int64_t wait_ms, lua_Hook hook_before) {
    move(L, wait_ms);
    deliver(L, 1);
    check_interrupt(L, hook_before);
}

/* (client, job): begins the job. */
static int submit(lua_State *L) {
    start(L);
    lua_getuservalue(L, 2);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "client");
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
        if (job->op == NULL || (zl_operation_is_done(job->op) && !has_news(job))) {
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

void zlb_job_run(lua_State *L, int client_index, int job_index) {
    const zlb_client *client = lua_touserdata(L, client_index);
    const zlb_job *job = lua_touserdata(L, job_index);
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
    (void)zl_operation_cancel(job->op, ZL_LIT("the client was closed")); /* if it is not done */
    if (rc != 0) {
        (void)lua_error(L);
    }
}

void zlb_job_submit(lua_State *L, int client_index) {
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
    if (zl_transport_was_quiet(client->transport) && !client->has_progress) {
        return zl_transport_count(client->transport);
    }
    deliver(L, 1);
    tell_all(L);
    return reap(L);
}

ZL_HOT size_t zlb_job_poll(lua_State *L, int64_t wait_ms) {
    if (wait_ms == 0) {
        return poll_at_once(L);
    }
    const zlb_client *client = lua_touserdata(L, 1);
    lua_Hook hook = main_hook(L);
    size_t before = wait_ms > WAIT_SLICE_MS ? reap(L) : 0;
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

ZL_HOT int64_t zlb_job_check_wait(lua_State *L, int index, int64_t otherwise) {
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

void zlb_job_connect(lua_State *L, int client_index) {
    const zlb_client *client = lua_touserdata(L, client_index);
    lua_pushcfunction(L, connect_protected);
    lua_pushvalue(L, client_index);
    if (lua_pcall(L, 1, 0, 0) != 0) {
        if (client->transport != NULL) {
            zl_transport_stop_warming_up(client->transport);
        }
        (void)lua_error(L);
    }
}

/* --- results ---------------------------------------------------------------------------------- */

int zlb_job_result(lua_State *L, int job_index) {
    const zlb_job *job = lua_touserdata(L, job_index);
    if (!zl_operation_is_done(job->op)) {
        lua_pushnil(L);
        return 1;
    }
    int count = zlb_results_push(L, job_index);
    return count == ZLB_RESULTS_ERROR ? lua_error(L) : count;
}

/* --- methods ---------------------------------------------------------------------------------- */

static zlb_job *check_job(lua_State *L) {
    zlb_job *job = zlb_self(L, JOB_TYPE, SAFE_JOB_TYPE);
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
    while (!zl_operation_is_done(job->op) && client->transport != NULL) {
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
    int64_t wait_ms = zlb_job_check_wait(L, 2, (int64_t)(ZLB_SECONDS_MAX * 1000));
    lua_pushcfunction(L, wait_until);
    if (!zl_operation_is_done(job->op) && push_client(L) != NULL) {
        lua_pushvalue(L, 1);
        lua_pushnumber(L, (lua_Number)(zl_clock_mono_ms() + wait_ms));
        lua_call(L, 3, 0);
    }
    lua_pushboolean(L, zl_operation_is_done(job->op));
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
    }
    lua_pushboolean(L, was_running);
    return 1;
}

static const luaL_Reg methods[] = {
    {"cancel", j_cancel}, {"done", j_done}, {"result", j_result}, {"wait", j_wait}, {NULL, NULL},
};

static void create_metatable(lua_State *L, const char *type, bool safe) {
    if (luaL_newmetatable(L, type)) {
        lua_pushcfunction(L, j_gc);
        lua_setfield(L, -2, "__gc");
        zlb_set_text(L, "__name", "zenlayer.job");
        zlb_push_methods(L, methods, safe);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
}

void zlb_job_open(lua_State *L) {
    create_metatable(L, JOB_TYPE, false);
    create_metatable(L, SAFE_JOB_TYPE, true);
}
