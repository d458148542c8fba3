#include "make.h"

#include "../api/clock.h"
#include "client.h"
#include "errors.h"
#include "ids.h"
#include "job.h"
#include "json.h"
#include "options.h"

/* --- options --------------------------------------------------------------- */

/* The options that every operation has; views of what was given. */
static zl_operation_options operation_options(lua_State *L, const zlb_options *given) {
    return (zl_operation_options){
        .service = zlb_option_word(L, given, "service"),
        .version = zlb_option_word(L, given, "api_version"),
        .timeout_ms = zlb_option_seconds(L, given, "timeout"),
        .deadline_ms = zlb_option_seconds(L, given, "deadline"),
        .max_attempts = (int)zlb_option_count(L, given, "max_attempts", ZLB_MAX_ATTEMPTS_MOST),
    };
}

static void check_target(lua_State *L, const zl_client *core, const zl_operation_options *options) {
    bool other =
        options->service.len > 0 && !zl_view_equal(options->service, zl_buf_view(&core->service));
    if (other && options->version.len == 0 &&
        zl_request_default_version(options->service).len == 0) {
        (void)zlb_option_refuse(L, "api_version",
                                "is needed with a service other than vm, bmc, zec");
    }
}

static bool is_bmc(const zl_client *core, const zl_operation_options *options) {
    zl_view service = options->service.len > 0 ? options->service : zl_buf_view(&core->service);
    return zl_view_equal(service, ZL_LIT("bmc"));
}

/* The client, once every argument was read and everything allocated: any allocation may run a
 * finaliser, and that may close it. */
static zl_client *open_core(lua_State *L, const zl_operation_options *options) {
    zl_client *core = zlb_client_check(L)->core;
    check_target(L, core, options);
    return core;
}

/* An operation could not be made. Its arguments were checked before. */
static void check_made(lua_State *L, int rc) {
    if (rc != ZL_OK) {
        (void)zlb_raise_memory(L);
    }
}

/* --- the operations -------------------------------------------------------------------------- */

/* The options of waiting. */
static zl_watch_options watch_options(lua_State *L, const zlb_options *given) {
    int64_t timeout_ms = zlb_option_seconds(L, given, "wait_timeout");
    int64_t min_ms = zlb_option_seconds(L, given, "wait_min_delay");
    int64_t max_ms = zlb_option_seconds(L, given, "wait_max_delay");
    if (min_ms > max_ms && max_ms > 0) {
        (void)zlb_option_refuse(L, "wait_min_delay", "is over wait_max_delay");
    }
    zl_watch_options options = {
        .timeout_ms = timeout_ms > 0 ? timeout_ms : ZL_WATCH_TIMEOUT_MS,
        .min_delay_ms = min_ms > 0 ? min_ms : ZL_WATCH_MIN_DELAY_MS,
        .max_delay_ms = max_ms > 0 ? max_ms : ZL_WATCH_MAX_DELAY_MS,
    };
    if (min_ms == 0 && max_ms > 0 &&
        max_ms < ZL_WATCH_MIN_DELAY_MS) { /* one given moves the other */
        options.min_delay_ms = max_ms;
    } else if (max_ms == 0 && min_ms > ZL_WATCH_MAX_DELAY_MS) {
        options.max_delay_ms = min_ms;
    }
    return options;
}

static void check_progress(lua_State *L, const zlb_options *given) {
    int type = zlb_option_push(L, given, "on_progress");
    if (type != LUA_TNIL && type != LUA_TFUNCTION) {
        (void)zlb_option_error(L, "on_progress", "a function");
    }
    lua_pop(L, 1);
}

/* Hand on_progress, if it is given, to the job on top of the stack. */
static void set_progress(lua_State *L, const zlb_options *given) {
    if (zlb_option_push(L, given, "on_progress") == LUA_TFUNCTION) {
        zlb_job_set_progress(L);
    } else {
        lua_pop(L, 1);
    }
}

static const char *const stop_options[] = {
    "api_version",  "deadline",       "force_shutdown", "grace",        "isolate",
    "max_attempts", "on_error",       "on_progress",    "service",      "timeout",
    "wait",         "wait_max_delay", "wait_min_delay", "wait_timeout", NULL,
};
ZLB_OPTIONS_FIT(stop_options);

/* wait, grace and what goes with them. An option that would do nothing is refused. */
static void read_stop_watch(lua_State *L, const zlb_options *given, zl_operation_options *options) {
    static const char *const of_waiting[] = {"on_progress", "wait_max_delay", "wait_min_delay",
                                             "wait_timeout"};
    zl_tristate wait = zlb_option_boolean(L, given, "wait");
    int64_t grace_ms = zlb_option_seconds(L, given, "grace");
    if (grace_ms > 0 && wait == ZL_FALSE) {
        (void)zlb_option_refuse(L, "grace", "waits, and wait = false was given");
    }
    options->wait = wait == ZL_TRUE || grace_ms > 0;
    options->watch = watch_options(L, given);
    options->watch.grace_ms = grace_ms;
    for (size_t i = 0; !options->wait && i < sizeof of_waiting / sizeof of_waiting[0]; i++) {
        if (zlb_option_push(L, given, of_waiting[i]) != LUA_TNIL) {
            (void)zlb_option_refuse(L, of_waiting[i], "is for wait = true or grace");
        }
        lua_pop(L, 1);
    }
}

static bool continue_on_error(lua_State *L, const zlb_options *given) {
    zl_view value = zlb_option_string(L, given, "on_error");
    bool goes_on = zl_view_equal(value, ZL_LIT("continue"));
    if (value.len > 0 && !goes_on && !zl_view_equal(value, ZL_LIT("stop"))) {
        (void)zlb_option_refuse(L, "on_error", "expected \"stop\" or \"continue\"");
    }
    return goes_on;
}

void zlb_make_stop(lua_State *L) {
    bool safe = zlb_client_check(L)->safe;
    lua_settop(L, 3);
    zlb_options given;
    zlb_options_read(L, 3, stop_options, &given);
    zl_operation_options options = operation_options(L, &given);
    options.continue_on_error = continue_on_error(L, &given);
    options.isolate = zlb_option_boolean(L, &given, "isolate") == ZL_TRUE;
    check_progress(L, &given);
    read_stop_watch(L, &given, &options);
    zl_tristate force = zlb_option_boolean(L, &given, "force_shutdown");
    if (options.watch.grace_ms > 0) { /* the first stop is a gentle one */
        if (force == ZL_TRUE) {
            (void)zlb_option_refuse(L, "force_shutdown", "cannot be true with a grace");
        }
        force = ZL_FALSE;
    }
    size_t count = zlb_ids_count(L, 2);
    zlb_job *job = zlb_job_new(L, safe, count);
    zlb_ids_read(L, 2, count, true, &job->ids);
    set_progress(L, &given);
    zl_client *core = open_core(L, &options);
    if (options.wait && is_bmc(core, &options)) {
        (void)zlb_option_refuse(L, options.watch.grace_ms > 0 ? "grace" : "wait",
                                "service bmc has no DescribeInstancesStatus");
    }
    if (force != ZL_UNSET && is_bmc(core, &options)) {
        (void)zlb_option_refuse(L, "force_shutdown", "service bmc has no such parameter");
    }
    zl_moment now;
    zl_clock_now(&now);
    check_made(L, zl_operation_new_stop(&job->op, core, &options, &now, &job->ids, force));
}

static const char *const status_options[] = {
    "api_version", "deadline", "max_attempts", "service", "timeout", NULL,
};

void zlb_make_status(lua_State *L) {
    bool safe = zlb_client_check(L)->safe;
    lua_settop(L, 3);
    zlb_options given;
    zlb_options_read(L, 3, status_options, &given);
    zl_operation_options options = operation_options(L, &given);
    zlb_job *job = zlb_job_new(L, safe, 0);
    zl_ids *ids = NULL;
    if (!lua_isnil(L, 2)) {
        ids = &job->ids;
        zlb_ids_read(L, 2, zlb_ids_count(L, 2), false, ids);
    }
    zl_client *core = open_core(L, &options);
    if (is_bmc(core, &options)) {
        (void)zlb_option_refuse(L, "service", "service bmc has no DescribeInstancesStatus");
    }
    zl_moment now;
    zl_clock_now(&now);
    check_made(L, zl_operation_new_status(&job->op, core, &options, &now, ids));
}

static const char *const wait_options[] = {
    "api_version",    "max_attempts",   "on_progress",  "service", "timeout",
    "wait_max_delay", "wait_min_delay", "wait_timeout", NULL,
};

void zlb_make_wait(lua_State *L) {
    bool safe = zlb_client_check(L)->safe;
    lua_settop(L, 3);
    zlb_options given;
    zlb_options_read(L, 3, wait_options, &given);
    zl_operation_options options = operation_options(L, &given);
    check_progress(L, &given);
    options.watch = watch_options(L, &given);
    zlb_job *job = zlb_job_new(L, safe, 0);
    zlb_ids_read(L, 2, zlb_ids_count(L, 2), false, &job->ids);
    set_progress(L, &given);
    zl_client *core = open_core(L, &options);
    if (is_bmc(core, &options)) {
        (void)zlb_option_refuse(L, "service", "service bmc has no DescribeInstancesStatus");
    }
    zl_moment now;
    zl_clock_now(&now);
    check_made(L, zl_operation_new_wait(&job->op, core, &options, &now, &job->ids));
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

void zlb_make_call(lua_State *L) {
    bool safe = zlb_client_check(L)->safe;
    lua_settop(L, 4);
    zl_view action = check_action(L, 2);
    zlb_options given;
    zlb_options_read(L, 4, call_options, &given);
    zl_operation_options options = operation_options(L, &given);
    bool idempotent = zlb_option_boolean(L, &given, "idempotent") == ZL_TRUE;
    if (lua_isnil(L, 3)) {
        lua_newtable(L);
        lua_replace(L, 3);
    } else if (lua_type(L, 3) != LUA_TTABLE) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "params", "expected a table, got %s",
                        luaL_typename(L, 3));
    }
    zlb_job *job = zlb_job_new(L, safe, 0);
    zlb_json_encode(L, 3, "params", &job->body);
    zl_client *core = open_core(L, &options);
    zl_moment now;
    zl_clock_now(&now);
    check_made(
        L, zl_operation_new_call(&job->op, core, &options, &now, action, &job->body, idempotent));
}
