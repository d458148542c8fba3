#include "job.h"

#include "../api/clock.h"
#include "errors.h"
#include "json.h"
#include "scratch.h"

#define JOB_TYPE "zenlayer.job"

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

void zlb_job_open(lua_State *L) {
    if (luaL_newmetatable(L, JOB_TYPE)) {
        lua_pushcfunction(L, j_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
}

zlb_job *zlb_job_new(lua_State *L) {
    zlb_job *job = lua_newuserdata(L, sizeof *job);
    job->op = NULL;
    luaL_getmetatable(L, JOB_TYPE);
    lua_setmetatable(L, -2);
    lua_newtable(L);
    lua_setuservalue(L, -2);
    return job;
}

/* The job at index 2 runs in the client at index 1 from now on. */
static void start(lua_State *L) {
    const zlb_client *client = lua_touserdata(L, 1);
    const zlb_job *job = lua_touserdata(L, 2);
    lua_getuservalue(L, 1);
    lua_pushvalue(L, 2);
    zl_operation_set_tag(job->op, luaL_ref(L, -2));
    lua_pop(L, 1);
    if (client->transport == NULL) { /* a finaliser closed it */
        (void)zlb_raise(L, ZL_CODE_CLIENT_CLOSED, NULL, "the client is closed");
    }
    if (zl_transport_add(client->transport, job->op) != ZL_OK) {
        (void)zlb_raise_memory(L);
    }
}

/* The client need not hold the job any longer. */
static void release_job(lua_State *L, int client_index, const zlb_job *job) {
    lua_getuservalue(L, client_index);
    luaL_unref(L, -1, zl_operation_tag(job->op));
    lua_pop(L, 1);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* (job, scratch with the body, pointer to a zl_answer) → the decoded body, what holds the answer's
 * views. To be called protected. */
static int decode_protected(lua_State *L) {
    const zlb_job *job = lua_touserdata(L, 1);
    const zlb_scratch *scratch = lua_touserdata(L, 2);
    zl_answer *answer = lua_touserdata(L, 3);
    luaL_checkstack(L, 20, "zenlayer");
    zlb_json_decode_answer(L, zl_buf_view(&scratch->buf), zl_operation_aim(job->op), answer);
    return 2;
}

/* Decode one answer and report it. The job is on the stack throughout: decoding runs Lua, where a
 * finaliser or a hook may close the client. */
static void report(lua_State *L, int job_index, const zl_delivery *delivery, zl_answer *answer) {
    const zlb_job *job = lua_touserdata(L, job_index);
    const zlb_scratch *scratch = lua_touserdata(L, job_index - 1);
    zl_moment now;
    lua_pushcfunction(L, decode_protected);
    lua_pushvalue(L, job_index);
    lua_pushvalue(L, job_index - 1);
    lua_pushlightuserdata(L, answer);
    int rc = lua_pcall(L, 3, 2, 0);
    zl_clock_now(&now);
    if (rc != 0) {
        (void)zl_operation_failed(job->op, delivery->n, &now, ZL_CODE_CONNECTION_LOST,
                                  ZL_LIT("an answer came, but decoding it was interrupted"), true);
        (void)lua_error(L);
    }
    zl_answer_add_head(answer, zl_buf_view(&scratch->head));
    (void)zl_operation_answered(job->op, delivery->n, &now, answer);
    lua_getuservalue(L, job_index);
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, (int)delivery->n);
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
    report(L, lua_gettop(L), &delivery, &answer);
    zlb_scratch_clear(scratch);
    return true;
}

static void deliver(lua_State *L, int client_index) {
    int top = lua_gettop(L);
    bool more = true;
    luaL_checkstack(L, 20, "zenlayer");
    while (more) {
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

/* A turn of the client at index 1, and everything that goes with it. */
static void turn(lua_State *L, lua_Hook hook_before) {
    const zlb_client *client = lua_touserdata(L, 1);
    int rc = zl_transport_turn(client->transport, WAIT_SLICE_MS);
    if (rc == ZL_ERR_NOMEM) {
        (void)zlb_raise_memory(L);
    } else if (rc != ZL_OK) {
        (void)luaL_error(L, "zenlayer: a request could not be signed");
    }
    deliver(L, 1);
    check_interrupt(L, hook_before);
}

/* (client, job): the wait itself, to be called protected. */
static int run_protected(lua_State *L) {
    const zlb_client *client = lua_touserdata(L, 1);
    const zlb_job *job = lua_touserdata(L, 2);
    lua_Hook hook = main_hook(L);
    start(L);
    while (!zl_operation_is_done(job->op) && client->transport != NULL) {
        turn(L, hook);
    }
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
        turn(L, hook);
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

static void push_ids(lua_State *L, const zl_ids *ids, size_t first, size_t count) {
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        zlb_push_view(L, zl_ids_at(ids, first + i));
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* Push the table of batch n; `answers` is the stack index of the decoded answers. */
static void push_batch(lua_State *L, const zl_operation *op, size_t n, int answers) {
    zl_batch batch = zl_operation_batch(op, n);
    lua_createtable(L, 0, 7);
    zlb_set_text(L, "outcome", zl_outcome_name(batch.outcome));
    zlb_set_view(L, "request_id", batch.request_id);
    push_ids(L, zl_operation_ids(op), batch.first, batch.count);
    lua_setfield(L, -2, "instance_ids");
    lua_pushinteger(L, batch.attempts);
    lua_setfield(L, -2, "attempts");
    if (batch.failed_ids != NULL) {
        push_ids(L, batch.failed_ids, 0, batch.failed_ids->count);
        lua_setfield(L, -2, "failed_ids");
    }
    if (batch.error != NULL) {
        zlb_push_error(L, batch.error, zl_operation_action(op));
        lua_setfield(L, -2, "error");
    }
    if (batch.outcome == ZL_OUTCOME_ACCEPTED) {
        lua_rawgeti(L, answers, (int)n);
        zlb_json_push_response(L, lua_gettop(L));
        lua_setfield(L, -3, "response");
        lua_pop(L, 1);
    }
}

static void push_batches(lua_State *L, const zl_operation *op, int answers) {
    size_t count = zl_operation_count(op);
    lua_createtable(L, (int)count, 0);
    for (size_t n = 1; n <= count; n++) {
        push_batch(L, op, n, answers);
        lua_rawseti(L, -2, (int)n);
    }
}

static int push_operation_error(lua_State *L, const zl_operation *op, int answers) {
    zlb_push_error(L, zl_operation_error(op), zl_operation_action(op));
    if (zl_operation_ids(op)->count > 0) {
        push_batches(L, op, answers);
        lua_setfield(L, -2, "batches");
    }
    return ZLB_JOB_ERROR;
}

/* request_ids, batches */
static int push_stop_results(lua_State *L, const zl_operation *op, int answers) {
    size_t count = zl_operation_count(op);
    lua_createtable(L, (int)count, 0);
    for (size_t n = 1; n <= count; n++) {
        zlb_push_view(L, zl_operation_batch(op, n).request_id);
        lua_rawseti(L, -2, (int)n);
    }
    push_batches(L, op, answers);
    return 2;
}

/* Move the statuses of one page into the table at `statuses`. */
static void add_statuses(lua_State *L, int answers, size_t n, int statuses) {
    int top = lua_gettop(L);
    lua_rawgeti(L, answers, (int)n);
    zlb_json_push_response(L, top + 1);
    lua_getfield(L, -1, "dataSet");
    size_t count = lua_rawlen(L, -1);
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(L, top + 3, (int)i);
        lua_getfield(L, -1, "instanceId");
        lua_getfield(L, -2, "instanceStatus");
        lua_rawset(L, statuses);
        lua_pop(L, 1);
    }
    lua_settop(L, top);
}

/* { [id] = status } */
static int push_statuses(lua_State *L, const zl_operation *op, int answers) {
    lua_newtable(L);
    int statuses = lua_gettop(L);
    for (size_t n = 1; n <= zl_operation_count(op); n++) {
        add_statuses(L, answers, n, statuses);
    }
    return 1;
}

/* response, request_id */
static int push_call_results(lua_State *L, const zl_operation *op, int answers) {
    lua_rawgeti(L, answers, 1);
    zlb_json_push_response(L, lua_gettop(L));
    zlb_push_view(L, zl_operation_batch(op, 1).request_id);
    return 2;
}

int zlb_job_results(lua_State *L, int job_index) {
    const zlb_job *job = lua_touserdata(L, job_index);
    const zl_operation *op = job->op;
    luaL_checkstack(L, 20, "zenlayer");
    if (zl_operation_is_incomplete(op)) {
        return zlb_raise_memory(L);
    }
    lua_getuservalue(L, job_index);
    int answers = lua_gettop(L);
    if (zl_operation_error(op) != NULL) {
        return push_operation_error(L, op, answers);
    }
    switch (zl_operation_aim(op)) {
    case ZL_AIM_STOP: return push_stop_results(L, op, answers);
    case ZL_AIM_STATUS:
    case ZL_AIM_STATUS_PAGES: return push_statuses(L, op, answers);
    case ZL_AIM_CALL: break;
    }
    return push_call_results(L, op, answers);
}
