#include "job.h"

#include "../api/clock.h"
#include "engine.h"
#include "errors.h"
#include "json.h"
#include "kept.h"
#include "names.h"
#include "results.h"
#include "safe.h"

/* --- life ------------------------------------------------------------------------------------- */

void zlb_job_free(zlb_job *job) {
    zl_operation *op = job->op;
    job->op = NULL;
    if (op != NULL && zl_operation_driver(op) != NULL) {
        zlb_engine_drop(op);
    }
    zl_operation_free(op);
    zl_ids_free(&job->ids);
    zl_buf_free(&job->body);
}

static int collect(lua_State *L) {
    zlb_job *job = zlb_own(L);
    if (job != NULL) {
        zlb_job_free(job);
    }
    return 0;
}

void zlb_job_metatable(lua_State *L, const zlb_job_kind *kind, bool safe) {
    if (zlb_newmetatable(L, kind->types[safe])) {
        lua_pushvalue(L, -1);
        lua_pushcclosure(L, collect, 1);
        lua_setfield(L, -2, "__gc");
        lua_pushstring(L, kind->name); /* none may call that in a method */
        lua_setfield(L, -2, "__metatable");
        zlb_set_name(L, kind->name);
        lua_newtable(L);
        zlb_add_methods(L, kind->methods, safe);
        zlb_set_methods(L, kind->what);
        zlb_keep_metatable(L, kind->types[safe]);
    }
    lua_pop(L, 1);
}

zlb_job *zlb_job_new(lua_State *L, bool safe, size_t ids) {
    zlb_job *job = lua_newuserdata(L, sizeof *job);
    *job = (zlb_job){.op = NULL};
    luaL_getmetatable(L, zlb_job_types[safe]);
    lua_setmetatable(L, -2);
    lua_createtable(L, (int)zl_batches_of(ids), 2); /* lists; an answer and the client */
    lua_setuservalue(L, -2);
    return job;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* What is to be decoded, and as what; the views of `answer` are filled in. */
typedef struct decoding {
    zl_view body;
    zl_aim aim;
    zl_answer *answer;
    int key; /* among the job's answers; 0: it is not kept */
} decoding;

/* (a decoding, the job's answers) → the decoded body, what holds the answer's views. To
 * be called protected. Its place among the answers is made here: an answer that counts must not
 * find that there is none. */
static int decode_protected(lua_State *L) {
    const decoding *d = zlb_kept_argument(L);
    luaL_checkstack(L, 20, "zenlayer");
    if (d->key != 0) {
        lua_rawgeti(L, 2, d->key);
        if (lua_isnil(L, -1)) {
            lua_pushboolean(L, false);
            lua_rawseti(L, 2, d->key);
        }
    }
    zlb_json_decode_answer(L, d->body, d->aim, d->answer);
    return 2;
}

static const zlb_kept decoder = {"decode", decode_protected};

void zlb_job_keep(lua_State *L) {
    zlb_kept_add(L, &decoder);
}

void zlb_job_set_progress(lua_State *L) {
    zlb_job *job = lua_touserdata(L, -2);
    job->has_progress = true;
    lua_getuservalue(L, -2);
    lua_insert(L, -2);
    lua_setfield(L, -2, "on_progress");
    lua_pop(L, 1);
}

bool zlb_job_has_news(const zlb_job *job) {
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
    while (zlb_job_has_news(job) && !job->in_progress) {
        lua_pushcfunction(L, call_progress);
        lua_pushvalue(L, job_index);
        job->rounds = zl_operation_watch(job->op)->rounds;
        job->in_progress = true; /* it may poll: its next call comes after this one */
        int rc = lua_pcall(L, 1, 0, 0);
        job->in_progress = false;
        if (rc != 0) {
            (void)lua_error(L);
        }
    }
}

/* NULL: it was finalised meanwhile. */
static zl_operation *operation_of(lua_State *L, int job_index) {
    const zlb_job *job = lua_touserdata(L, job_index);
    return job->op;
}

zlb_reported zlb_job_report(lua_State *L, int job_index, size_t n, zl_answer *answer,
                            zl_view body) {
    zl_moment now;
    zl_operation *op = operation_of(L, job_index);
    decoding d = {body, zl_operation_expects(op, n), answer, 0};
    d.key = d.aim == zl_operation_aim(op) ? zlb_hash_key((int)n) : 0; /* else it is a look's */
    zlb_kept_push(L, &decoder, &d);
    lua_getuservalue(L, job_index);
    int rc = lua_pcall(L, 2, 2, 0);
    zl_clock_now(&now);
    op = operation_of(L, job_index);
    if (rc != 0) {
        if (op != NULL) {
            (void)zl_operation_failed(op, n, &now, ZL_CODE_CONNECTION_LOST,
                                      ZL_LIT("an answer came, but decoding it was interrupted"),
                                      true);
        }
        return ZLB_REPORT_FAILED;
    }
    if (op == NULL || !zl_operation_answered(op, n, &now, answer)) {
        return ZLB_REPORT_IGNORED;
    }
    if (d.key != 0) {
        lua_getuservalue(L, job_index);
        lua_pushvalue(L, -3);
        lua_rawseti(L, -2, d.key);
    }
    return ZLB_REPORT_COUNTED;
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

/* --- the metatables --------------------------------------------------------------------------- */

void zlb_job_open(lua_State *L) {
    const zlb_job_kind kind = {zlb_job_types, "zenlayer.job", "a job", zlb_job_methods};
    zlb_job_metatable(L, &kind, false);
    zlb_job_metatable(L, &kind, true);
}
