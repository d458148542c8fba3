#include "results.h"

#include "errors.h"
#include "job.h"
#include "json.h"
#include "scratch.h"

static void push_ids(lua_State *L, const zl_ids *ids) {
    lua_createtable(L, (int)ids->count, 0);
    for (size_t i = 0; i < ids->count; i++) {
        zlb_push_view(L, zl_ids_at(ids, i));
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* Whether a batch has the ids that it was cut for, and so those of one of the job's lists. */
static bool is_whole(const zl_operation *op, const zl_batch *batch) {
    size_t left = zl_operation_ids(op)->count - batch->first;
    return batch->first % ZL_REQUEST_IDS_MAX == 0 && batch->count == zl_batch_of(left);
}

/* Push the list that was made when the ids were read, which is then the caller's alone. False, with
 * nothing pushed, if there is none (any more). */
static bool take_list(lua_State *L, size_t first, int lists) {
    lua_rawgeti(L, lists, zlb_list_key(first));
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushnil(L);
    lua_rawseti(L, lists, zlb_list_key(first));
    return true;
}

static void push_batch_ids(lua_State *L, const zl_operation *op, const zl_batch *batch, int lists) {
    if (is_whole(op, batch) && take_list(L, batch->first, lists)) {
        return;
    }
    lua_createtable(L, (int)batch->count, 0);
    for (size_t i = 0; i < batch->count; i++) {
        zlb_push_view(L, zl_operation_batch_id(op, batch, i));
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* Push the table of a batch, or of a forced stop; `answers` is the stack index of the job's user
 * value. */
static void push_batch(lua_State *L, const zl_operation *op, const zl_batch *batch, int answers) {
    lua_createtable(L, 0, 7);
    zlb_set_text(L, "outcome", zl_outcome_name(batch->outcome));
    zlb_set_view(L, "request_id", batch->request_id);
    push_batch_ids(L, op, batch, answers);
    lua_setfield(L, -2, "instance_ids");
    lua_pushinteger(L, batch->attempts);
    lua_setfield(L, -2, "attempts");
    if (batch->failed_ids != NULL) {
        push_ids(L, batch->failed_ids);
        lua_setfield(L, -2, "failed_ids");
    }
    if (batch->error != NULL) {
        zlb_push_error(L, batch->error, zl_operation_action(op));
        lua_setfield(L, -2, "error");
    }
    if (batch->confirmed) {
        zlb_set_text(L, "confirmed_by", "status");
    } else if (batch->outcome == ZL_OUTCOME_ACCEPTED && batch->call > 0) {
        lua_rawgeti(L, answers, zlb_hash_key((int)batch->call));
        zlb_json_push_response(L, lua_gettop(L));
        lua_setfield(L, -3, "response");
        lua_pop(L, 1);
    }
}

/* Set field `forced` of batch n, whose table is on top: what followed its grace. */
static void set_forced(lua_State *L, const zl_operation *op, size_t n, size_t count, int answers) {
    if (count == 0) {
        return;
    }
    lua_createtable(L, (int)count, 0);
    for (size_t k = 1; k <= count; k++) {
        zl_batch forced = zl_operation_forced(op, n, k);
        push_batch(L, op, &forced, answers);
        lua_rawseti(L, -2, (int)k);
    }
    lua_setfield(L, -2, "forced");
}

static void push_batches(lua_State *L, const zl_operation *op, int answers) {
    size_t count = zl_operation_count(op);
    lua_createtable(L, (int)count, 0);
    for (size_t n = 1; n <= count; n++) {
        zl_batch batch = zl_operation_batch(op, n);
        push_batch(L, op, &batch, answers);
        set_forced(L, op, n, batch.forced_count, answers);
        lua_rawseti(L, -2, (int)n);
    }
}

/* { [id] = its last status }: of every id that was waited for and has one. */
static void push_watched_statuses(lua_State *L, const zl_operation *op, const zl_watch *watch) {
    const zl_ids *ids = zl_operation_ids(op);
    lua_createtable(L, 0, (int)watch->total);
    /* A finaliser may poll meanwhile, and so move the watch's texts: each is copied first. */
    zlb_scratch *scratch = zlb_scratch_new(L);
    for (size_t i = 0; i < ids->count; i++) {
        zl_buf_set(&scratch->buf, zl_watch_status(watch, i));
        if (!zl_buf_ok(&scratch->buf)) {
            (void)zlb_raise_memory(L);
        } else if (scratch->buf.len > 0) {
            zlb_push_view(L, zl_ids_at(ids, i));
            zlb_push_view(L, zl_buf_view(&scratch->buf));
            lua_rawset(L, -4);
        }
    }
    zlb_scratch_clear(scratch);
    lua_pop(L, 1);
}

/* Push the list of the ids that will not become STOPPED. */
static void push_watched_failed(lua_State *L, const zl_operation *op, const zl_watch *watch) {
    const zl_ids *ids = zl_operation_ids(op);
    int count = 0;
    lua_createtable(L, (int)watch->failed, 0);
    for (size_t i = 0; i < ids->count; i++) {
        if (watch->watched[i].state == ZL_WATCHED_FAILED) {
            zlb_push_view(L, zl_ids_at(ids, i));
            lua_rawseti(L, -2, ++count);
        }
    }
}

static void set_count(lua_State *L, const char *name, size_t count) {
    lua_pushinteger(L, (lua_Integer)count);
    lua_setfield(L, -2, name);
}

void zlb_push_progress(lua_State *L, const zl_operation *op) {
    const zl_watch *watch = zl_operation_watch(op);
    size_t stopped = watch->stopped, pending = zl_watch_pending(watch), failed = watch->failed;
    luaL_checkstack(L, 10, "zenlayer");
    lua_createtable(L, 0, 4);
    set_count(L, "stopped", stopped);
    set_count(L, "pending", pending);
    set_count(L, "failed", failed);
    push_watched_statuses(L, op, watch);
    lua_setfield(L, -2, "statuses");
}

static int push_operation_error(lua_State *L, const zl_operation *op, int answers) {
    zlb_push_error(L, zl_operation_error(op), zl_operation_action(op));
    if (zl_operation_ids(op)->count > 0) {
        push_batches(L, op, answers);
        lua_setfield(L, -2, "batches");
    }
    const zl_watch *watch = zl_operation_watch(op);
    if (watch != NULL) {
        push_watched_statuses(L, op, watch);
        lua_setfield(L, -2, "statuses");
        push_watched_failed(L, op, watch);
        lua_setfield(L, -2, "failed_ids");
    }
    return ZLB_RESULTS_ERROR;
}

/* request_ids, batches */
static int push_stop_results(lua_State *L, const zl_operation *op, int answers) {
    size_t count = zl_operation_count(op);
    lua_createtable(L, (int)count, 0);
    for (size_t n = 1; n <= count; n++) {
        zl_view request_id = zl_operation_batch(op, n).request_id;
        if (request_id.len > 0) {
            zlb_push_view(L, request_id);
        } else {
            lua_pushboolean(L, false); /* the answer was lost; the list has no hole */
        }
        lua_rawseti(L, -2, (int)n);
    }
    push_batches(L, op, answers);
    return 2;
}

/* Move the statuses of one page into the table at `statuses`. */
static void add_statuses(lua_State *L, int answers, size_t n, int statuses) {
    int top = lua_gettop(L);
    lua_rawgeti(L, answers, zlb_hash_key((int)n));
    zlb_json_push_response(L, top + 1);
    lua_getfield(L, -1, "dataSet");
    size_t count = (size_t)lua_rawlen(L, -1);
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
    lua_rawgeti(L, answers, zlb_hash_key(1));
    zlb_json_push_response(L, lua_gettop(L));
    zlb_push_view(L, zl_operation_batch(op, 1).request_id);
    return 2;
}

int zlb_results_push(lua_State *L, int job_index) {
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
    case ZL_AIM_WAIT: push_watched_statuses(L, op, zl_operation_watch(op)); return 1;
    case ZL_AIM_CALL:
    case ZL_AIM_PAGE: break;
    }
    return push_call_results(L, op, answers);
}
