#include "prepared.h"

#include <math.h>
#include <string.h>

#include "../api/clock.h"
#include "engine.h"
#include "errors.h"
#include "events.h"
#include "job.h"
#include "kept.h"
#include "names.h"
#include "renew.h"
#include "safe.h"
#include "scratch.h"

void zlb_prepared_from_job(lua_State *L, int client_index, bool safe) {
    const zlb_job *job = lua_touserdata(L, -1);
    const zl_client *core = zl_operation_client(job->op);
    luaL_getmetatable(L, zlb_prepared_types[safe]);
    lua_setmetatable(L, -2);
    if (core->events.wanted || core->credentials.renewable) { /* it has the functions */
        lua_getuservalue(L, -1);
        lua_pushvalue(L, client_index);
        lua_setfield(L, -2, "client");
        lua_pop(L, 1);
    }
}

/* Push the client of the operation at index 1, if it has one that has functions. */
static bool push_client(lua_State *L) {
    lua_getuservalue(L, 1);
    lua_getfield(L, -1, "client");
    lua_remove(L, -2);
    return !lua_isnil(L, -1);
}

/* Tell on_event what there is to tell about the operation at index 1. */
static void tell(lua_State *L) {
    const zlb_job *job = lua_touserdata(L, 1);
    zl_client *core = job->op != NULL ? zl_operation_client(job->op) : NULL;
    if (core != NULL && core->events.first != NULL && push_client(L)) {
        zlb_events_tell(L, lua_gettop(L), core);
        lua_pop(L, 1);
    }
}

static zlb_job *check_prepared(lua_State *L) {
    zlb_job *job = zlb_self(L, zlb_prepared_types);
    if (job != NULL && job->in_step) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "self",
                        "the operation is in the midst of a step; a finalizer cannot use it then");
    }
    if (job == NULL || job->op == NULL) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "self",
                        "expected a prepared operation, got %s; methods are called with ':'",
                        luaL_typename(L, 1));
    }
    return job;
}

/* --- arguments -------------------------------------------------------------------------------- */

static int refuse(lua_State *L, int index, const char *name, const char *expected) {
    return zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, name, "expected %s, got %s", expected,
                     lua_isnone(L, index) ? "nothing" : luaL_typename(L, index));
}

static int check_integer(lua_State *L, int index, const char *name, int least, int most) {
    double value = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
    if (!(value >= least && value <= most) || floor(value) != value) {
        return refuse(L, index, name, name[0] == 'n' ? "the number of a call" : "an HTTP status");
    }
    return (int)value;
}

static zl_view check_string(lua_State *L, int index, const char *name) {
    zl_view text;
    if (lua_type(L, index) != LUA_TSTRING) {
        (void)refuse(L, index, name, "a string");
    }
    text.data = lua_tolstring(L, index, &text.len);
    return text;
}

/* Append the value on top of the stack, which is popped, to a head. */
static void add_header(lua_State *L, zl_buf *head, zl_view name) {
    zl_view value;
    if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "headers",
                        "expected strings for values, got %s", luaL_typename(L, -1));
    }
    value.data = lua_tolstring(L, -1, &value.len);
    if (zl_header_safe(name) && zl_header_safe(value)) { /* else it is no header */
        zl_buf_add_view(head, name);
        zl_buf_add_char(head, ':');
        zl_buf_add_view(head, value);
        zl_buf_add_char(head, '\n');
    }
    lua_pop(L, 1);
}

/* { [name] = value or list of values }. The strings are copied: a finaliser may change the table.
 */
static void add_header_table(lua_State *L, int index, zl_buf *head) {
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        zl_view name = {NULL, 0};
        if (lua_type(L, -2) != LUA_TSTRING) {
            (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "headers",
                            "expected names for keys, got a %s", luaL_typename(L, -2));
        }
        name.data = lua_tolstring(L, -2, &name.len);
        if (lua_type(L, -1) == LUA_TTABLE) {
            int list = lua_gettop(L);
            size_t count = (size_t)lua_rawlen(L, list);
            for (size_t i = 1; i <= count; i++) {
                lua_rawgeti(L, list, (int)i);
                add_header(L, head, name);
            }
            lua_pop(L, 1);
        } else {
            add_header(L, head, name);
        }
    }
}

/* Read a table as above, or the whole head as a string, or nil, into an answer. May push what holds
 * its bytes. */
static void read_headers(lua_State *L, int index, zl_answer *answer) {
    int type = lua_type(L, index);
    if (type == LUA_TTABLE) {
        zl_buf *head = &zlb_scratch_new(L)->head;
        add_header_table(L, index, head);
        if (!zl_buf_ok(head)) {
            (void)zlb_raise_memory(L);
        }
        zl_answer_add_head(answer, zl_buf_view(head));
    } else if (type == LUA_TSTRING) {
        zl_answer_add_head(answer, check_string(L, index, "headers"));
    } else if (type != LUA_TNIL) {
        (void)refuse(L, index, "headers", "a table, a string or nil");
    }
}

/* --- methods ---------------------------------------------------------------------------------- */

/* How long an attempt may take that begins now. */
static int64_t attempt_ms(const zl_operation *op, const zl_moment *now) {
    int64_t left_ms = zl_operation_deadline_ms(op) - now->mono_ms;
    int64_t timeout_ms = zl_operation_timeout_ms(op);
    return left_ms < timeout_ms ? left_ms : timeout_ms;
}

/* Push the table of a request. */
static void push_request(lua_State *L, const zl_request *request, int64_t timeout_ms) {
    lua_createtable(L, 0, 5);
    lua_pushnumber(L, (lua_Number)timeout_ms / 1000);
    lua_setfield(L, -2, "timeout");
    zlb_set_view(L, "url", zl_buf_view(&request->url));
    zlb_set_text(L, "method", "POST");
    zlb_set_view(L, "body", request->body);
    lua_createtable(L, 0, (int)request->header_count);
    for (size_t i = 0; i < request->header_count; i++) {
        zlb_push_view(L, zl_request_header_name(request, i));
        zlb_push_view(L, zl_request_header_value(request, i));
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "headers");
}

/* The same as the bytes of HTTP/1.1. */
static void push_bytes(lua_State *L, const zl_request *request) {
    luaL_Buffer out;
    const char *path = strchr(strstr(request->url.data, "://") + 3, '/');
    luaL_buffinit(L, &out);
    luaL_addstring(&out, "POST ");
    luaL_addstring(&out, path);
    luaL_addstring(&out, " HTTP/1.1\r\n");
    for (size_t i = 0; i < request->header_count; i++) {
        luaL_addlstring(&out, zl_request_line(request, i), request->headers[i].len);
        luaL_addlstring(&out, "\r\n", 2);
    }
    lua_pushfstring(L, "Accept: application/json\r\nContent-Length: %d\r\n\r\n",
                    (int)request->body.len);
    luaL_addvalue(&out);
    luaL_addlstring(&out, request->body.data, request->body.len);
    luaL_pushresult(&out);
}

/* Ask the credentials function, if the core waits for that. */
static bool renew(lua_State *L, const zlb_job *job) {
    bool asked = false;
    if (zlb_engine_asks && push_client(L)) {
        asked = zlb_renew_is_due(lua_touserdata(L, -1));
        if (asked) {
            zlb_renew(L, lua_gettop(L), zl_operation_client(job->op));
        }
    }
    lua_settop(L, 1);
    (void)check_prepared(L); /* the function may have finalised it */
    return asked;
}

/* Ask the core, and who it wants to be asked. The operation is at index 1, and nothing else. */
static void ask(lua_State *L, const zlb_job *job, zl_moment *now, zl_step *out) {
    int rc;
    do {
        zl_clock_now(now);
        rc = zl_operation_step(job->op, now, out);
    } while (rc == ZL_OK && (out->kind == ZL_STEP_CREDENTIALS || out->kind == ZL_STEP_PENDING) &&
             renew(L, job));
    if (rc == ZL_ERR_NOMEM) {
        (void)zlb_raise_memory(L);
    } else if (rc != ZL_OK) {
        (void)luaL_error(L, "zenlayer: a request could not be signed");
    }
}

/* A step to be pushed. */
typedef struct pushed {
    const zl_step *step;
    const zl_moment *now;
    int64_t attempt_ms; /* SEND */
    bool as_bytes;      /* of HTTP/1.1, not a table */
    bool is_alone;
} pushed;

static int push_send(lua_State *L, const pushed *p) {
    lua_pushliteral(L, "send");
    lua_pushinteger(L, (lua_Integer)p->step->n);
    if (!p->as_bytes) {
        push_request(L, p->step->request, p->attempt_ms);
        return 3;
    }
    push_bytes(L, p->step->request);
    lua_pushnumber(L, (lua_Number)p->attempt_ms / 1000);
    lua_pushnumber(L, (lua_Number)(p->now->mono_ms + p->attempt_ms) / 1000);
    lua_pushboolean(L, p->is_alone);
    return 6;
}

/* How many values. */
static int push_values(lua_State *L, const pushed *p) {
    switch (p->step->kind) {
    case ZL_STEP_SEND: return push_send(L, p);
    case ZL_STEP_WAIT: lua_pushliteral(L, "wait"); break;
    case ZL_STEP_PENDING: lua_pushliteral(L, "pending"); break;
    case ZL_STEP_CREDENTIALS: lua_pushliteral(L, "credentials"); return 1;
    case ZL_STEP_DONE: lua_pushliteral(L, "done"); return 1;
    }
    lua_pushnumber(L, (lua_Number)p->step->wait_ms / 1000);
    return 2;
}

/* (a pushed) → what it is. */
static int push_step(lua_State *L) {
    return push_values(L, zlb_kept_argument(L));
}

static const zlb_kept pusher = {"push_step", push_step};

void zlb_prepared_keep(lua_State *L) {
    zlb_kept_add(L, &pusher);
}

/* What the core has said must not get lost: what nobody hears of is never done. */
static void take_back(const zlb_job *job, const zl_step *step, const zl_moment *now) {
    if (step->kind == ZL_STEP_SEND) {
        (void)zl_operation_failed(job->op, step->n, now, ZL_CODE_CONNECT_FAILED,
                                  ZL_LIT("out of memory before anything was sent"), false);
    } else if (step->kind == ZL_STEP_CREDENTIALS) {
        zl_client_lack_signer(zl_operation_client(job->op), now, ZL_CODE_CREDENTIALS_UNAVAILABLE,
                              ZL_LIT("memory ran out before the credentials function was called"));
    }
}

/* The next step of the operation at index 1: returns how many values. */
static int step(lua_State *L, bool as_bytes) {
    zlb_job *job = check_prepared(L);
    zl_moment now;
    zl_step next;
    lua_settop(L, 1);
    ask(L, job, &now, &next);
    pushed p = {&next, &now, attempt_ms(job->op, &now), as_bytes, zl_operation_is_alone(job->op)};
    if (next.kind != ZL_STEP_SEND && next.kind != ZL_STEP_CREDENTIALS) { /* it is said again */
        (void)push_values(L, &p);
    } else {
        zlb_kept_push(L, &pusher, &p);
        job->in_step = true;
        int rc = lua_pcall(L, 1, LUA_MULTRET, 0);
        job->in_step = false;
        if (rc != 0) {
            take_back(job, &next, &now);
            return lua_error(L);
        }
    }
    int count = lua_gettop(L) - 1;
    tell(L); /* last: it may report on what is to be sent */
    return count;
}

/* op:step() → "send", n, { url =, method =, headers =, body =, timeout = }: send this, which may
 * take so many seconds, report by reply or failed; "wait", seconds: step again then; "pending",
 * seconds: step again after the next report, of this operation or another of the client, or then;
 * "done". */
static int o_step(lua_State *L) {
    return step(L, false);
}

/* op:step_http() → the same, but "send", n, the request as the bytes of HTTP/1.1, timeout, when
 * that is over, in seconds by core.monotonic, and whether nothing else is to be done before a
 * report. */
static int o_step_http(lua_State *L) {
    return step(L, true);
}

/* What a report returns: whether it counted, whether the operation is done now. */
static int push_reported(lua_State *L, bool counted, bool done) {
    lua_pushboolean(L, counted);
    lua_pushboolean(L, done);
    return 2;
}

/* op:reply(n, status [, headers [, body]]) → whether it counted: call n was in flight, and this is
 * its answer; whether the operation is done now. headers: { [name] = value }, or the head as it
 * came; body: a string, "" if absent. */
static int o_reply(lua_State *L) {
    const zlb_job *job = check_prepared(L);
    lua_settop(L, 5);
    int n = check_integer(L, 2, "n", 1, 2147483647);
    int status = check_integer(L, 3, "status", 100, 999);
    zl_view body = lua_isnil(L, 5) ? ZL_LIT("") : check_string(L, 5, "body");
    zl_answer answer;
    zl_answer_init(&answer, status);
    read_headers(L, 4, &answer);
    zlb_reported reported = zlb_job_report(L, 1, (size_t)n, &answer, body);
    if (reported == ZLB_REPORT_FAILED) {
        return lua_error(L);
    }
    bool done = job->op == NULL || zl_operation_is_done(job->op);
    tell(L); /* what that calls may do anything with the operation */
    zlb_job_tell_progress(L, 1);
    return push_reported(L, reported == ZLB_REPORT_COUNTED, done);
}

/* The codes that say why there is no answer. */
static zl_code check_code(lua_State *L, int index, zl_code otherwise) {
    static const zl_code codes[] = {
        ZL_CODE_RESOLVE_FAILED,  ZL_CODE_CONNECT_FAILED,  ZL_CODE_TLS_FAILED,
        ZL_CODE_PROXY_FAILED,    ZL_CODE_CONNECT_TIMEOUT, ZL_CODE_TLS_VERIFY_FAILED,
        ZL_CODE_CONNECTION_LOST, ZL_CODE_TIMEOUT,         ZL_CODE_RESPONSE_TOO_LARGE,
        ZL_CODE_BAD_RESPONSE,    ZL_CODE_WRONG_PHASE,     ZL_CODE_NOT_CONFIGURED,
        ZL_CODE_CANCELLED,
    };
    if (lua_isnoneornil(L, index)) {
        return otherwise;
    }
    zl_view name = check_string(L, index, "code");
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (zl_view_equal(name, zl_view_of(zl_code_name(codes[i])))) {
            return codes[i];
        }
    }
    (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "code", "no code for a call without an answer");
    return otherwise;
}

/* op:failed(n, message, sent [, code]) → whether it counted, whether the operation is done now.
 * There is no answer to call n, and there will be none. sent: false only if it is certain that not
 * one byte of the request left. code: why; if absent, CONNECTION_LOST or CONNECT_FAILED. */
static int o_failed(lua_State *L) {
    const zlb_job *job = check_prepared(L);
    int n = check_integer(L, 2, "n", 1, 2147483647);
    zl_view message = check_string(L, 3, "message");
    if (lua_type(L, 4) != LUA_TBOOLEAN) {
        return refuse(L, 4, "sent", "a boolean");
    }
    bool sent = lua_toboolean(L, 4) != 0;
    zl_moment now;
    zl_code code = check_code(L, 5, sent ? ZL_CODE_CONNECTION_LOST : ZL_CODE_CONNECT_FAILED);
    zl_clock_now(&now);
    bool counted = zl_operation_failed(job->op, (size_t)n, &now, code, message, sent);
    bool done = zl_operation_is_done(job->op);
    tell(L);
    zlb_job_tell_progress(L, 1);
    return push_reported(L, counted, done);
}

/* op:cancel([message]) → whether there was something to cancel. What is in flight may have been
 * done; report its failure before, if more is known. */
static int o_cancel(lua_State *L) {
    const zlb_job *job = check_prepared(L);
    zl_view message = lua_isnoneornil(L, 2) ? ZL_LIT("cancelled") : check_string(L, 2, "message");
    zl_moment now;
    zl_clock_now(&now);
    bool was_running = zl_operation_cancel(job->op, &now, message);
    tell(L);
    lua_pushboolean(L, was_running);
    return 1;
}

/* op:result() → what the blocking method returns, or raises; nil before the end. */
static int o_result(lua_State *L) {
    (void)check_prepared(L);
    return zlb_job_result(L, 1);
}

static const luaL_Reg methods[] = {
    {"cancel", o_cancel}, {"failed", o_failed},       {"reply", o_reply}, {"result", o_result},
    {"step", o_step},     {"step_http", o_step_http}, {NULL, NULL},
};

void zlb_prepared_open(lua_State *L) {
    const zlb_job_kind kind = {zlb_prepared_types, "zenlayer.operation", "a prepared operation",
                               methods};
    zlb_job_metatable(L, &kind, false);
    zlb_job_metatable(L, &kind, true);
}
