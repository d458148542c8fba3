#include "operation.h"

#include <stdlib.h>

#define STATUS_ACTION ZL_LIT("DescribeInstancesStatus")

/* A call that was begun, and what it is about. */
typedef struct task {
    size_t n; /* from 1 */
    zl_call call;
    zl_call look;    /* DescribeInstancesStatus of its ids, to settle what became of them */
    bool is_looking; /* the call is settled, and the look is not */
    bool confirmed;  /* by the look */
    zl_ids failed_ids;
} task;

struct zl_operation {
    zl_client *client;
    zl_aim aim;
    zl_ids ids;
    zl_tristate force;
    zl_buf name, service, version;
    zl_buf body; /* ZL_AIM_CALL, until it is begun */
    zl_policy policy;
    int64_t timeout_ms;
    bool continue_on_error;

    size_t count; /* calls that there are to make, as far as known */
    size_t begun; /* tasks 1 … begun exist */
    task **tasks; /* room for `room` */
    size_t room;
    task **active; /* begun and not settled; at most the client's max_concurrency */
    size_t active_count;
    size_t in_flight;
    bool stopping;   /* begin nothing more */
    bool incomplete; /* memory ran out for a part of the account */
    int64_t seen;    /* ZL_AIM_STATUS_PAGES: rows so far */
    zl_error error;
    void *driver;
    int tag;
};

/* --- construction ----------------------------------------------------------------------------- */

static bool set_target(zl_operation *op, const zl_operation_options *options) {
    const zl_client *client = op->client;
    zl_view service = zl_buf_view(&client->service);
    zl_view version = zl_buf_view(&client->version);
    if (options->service.len > 0 && !zl_view_equal(options->service, service)) {
        service = options->service;
        version = zl_request_default_version(service);
    }
    version = options->version.len > 0 ? options->version : version;
    zl_buf_add_view(&op->service, service);
    zl_buf_add_view(&op->version, version);
    return version.len > 0;
}

static int operation_new(zl_operation **out, zl_client *client, const zl_operation_options *options,
                         const zl_moment *now, zl_view action) {
    *out = NULL;
    zl_operation *op = calloc(1, sizeof *op);
    if (op == NULL) {
        return ZL_ERR_NOMEM;
    }
    zl_client_ref(client);
    op->client = client;
    op->active = calloc(client->max_concurrency, sizeof(task *));
    zl_buf_add_view(&op->name, action);
    bool has_version = set_target(op, options);
    if (op->active == NULL || !zl_buf_ok(&op->name) || !zl_buf_ok(&op->service) ||
        !zl_buf_ok(&op->version)) {
        zl_operation_free(op);
        return ZL_ERR_NOMEM;
    }
    if (!has_version || options->max_attempts < 0 || options->deadline_ms < 0) {
        zl_operation_free(op);
        return ZL_ERR_ARG;
    }
    int64_t deadline_ms = options->deadline_ms > 0 ? options->deadline_ms : client->deadline_ms;
    op->policy.deadline_ms = now->mono_ms + deadline_ms;
    op->policy.max_attempts =
        options->max_attempts > 0 ? options->max_attempts : client->max_attempts;
    op->policy.idempotent = true;
    op->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : client->timeout_ms;
    op->continue_on_error = options->continue_on_error;
    *out = op;
    return ZL_OK;
}

static size_t batches_of(size_t ids) {
    return (ids + ZL_REQUEST_IDS_MAX - 1) / ZL_REQUEST_IDS_MAX;
}

static int new_over_ids(zl_operation **out, zl_client *client, const zl_operation_options *options,
                        const zl_moment *now, zl_ids *ids, zl_view action, zl_aim aim) {
    int rc = operation_new(out, client, options, now, action);
    if (rc != ZL_OK) {
        zl_ids_free(ids);
        return rc;
    }
    zl_operation *op = *out;
    op->aim = aim;
    op->count = batches_of(ids->count);
    zl_ids_move(&op->ids, ids);
    return ZL_OK;
}

int zl_operation_new_stop(zl_operation **out, zl_client *client,
                          const zl_operation_options *options, const zl_moment *now, zl_ids *ids,
                          zl_tristate force) {
    int rc = new_over_ids(out, client, options, now, ids, ZL_LIT("StopInstances"), ZL_AIM_STOP);
    if (rc == ZL_OK) {
        (*out)->force = force;
    }
    return rc;
}

int zl_operation_new_status(zl_operation **out, zl_client *client,
                            const zl_operation_options *options, const zl_moment *now,
                            zl_ids *ids) {
    zl_view action = STATUS_ACTION;
    if (ids != NULL) {
        return new_over_ids(out, client, options, now, ids, action, ZL_AIM_STATUS);
    }
    int rc = operation_new(out, client, options, now, action);
    if (rc == ZL_OK) {
        (*out)->aim = ZL_AIM_STATUS_PAGES;
        (*out)->count = 1;
    }
    return rc;
}

int zl_operation_new_call(zl_operation **out, zl_client *client,
                          const zl_operation_options *options, const zl_moment *now, zl_view action,
                          zl_buf *body, bool idempotent) {
    if (!zl_buf_ok(body)) {
        zl_buf_free(body);
        *out = NULL;
        return ZL_ERR_NOMEM;
    }
    int rc = operation_new(out, client, options, now, action);
    if (rc != ZL_OK) {
        zl_buf_free(body);
        return rc;
    }
    zl_operation *op = *out;
    op->aim = ZL_AIM_CALL;
    op->count = 1;
    op->policy.idempotent = idempotent || zl_view_starts_with(action, ZL_LIT("Describe")) ||
                            zl_view_equal(action, ZL_LIT("StopInstances"));
    op->body = *body;
    *body = (zl_buf){0};
    return ZL_OK;
}

/* The call of a task that is under way. */
static zl_call *current(task *t) {
    return t->is_looking ? &t->look : &t->call;
}

static void task_free(task *t) {
    zl_call_free(&t->call);
    zl_call_free(&t->look);
    zl_ids_free(&t->failed_ids);
    free(t);
}

void zl_operation_free(zl_operation *op) {
    if (op == NULL) {
        return;
    }
    for (size_t i = 0; i < op->begun; i++) {
        task_free(op->tasks[i]);
    }
    free(op->tasks);
    free(op->active);
    op->client->in_flight -= op->in_flight;
    zl_client_unref(op->client);
    zl_ids_free(&op->ids);
    zl_buf_free(&op->name);
    zl_buf_free(&op->service);
    zl_buf_free(&op->version);
    zl_buf_free(&op->body);
    zl_error_free(&op->error);
    free(op);
}

/* --- beginning and sending calls -------------------------------------------------------------- */

static size_t batch_size(const zl_operation *op, size_t n) {
    size_t left = op->ids.count - (n - 1) * ZL_REQUEST_IDS_MAX;
    return left < ZL_REQUEST_IDS_MAX ? left : ZL_REQUEST_IDS_MAX;
}

static void write_body(zl_operation *op, size_t n, zl_buf *out) {
    size_t first = (n - 1) * ZL_REQUEST_IDS_MAX;
    switch (op->aim) {
    case ZL_AIM_STOP:
        zl_request_add_stop(out, &op->ids, first, batch_size(op, n), op->force);
        break;
    case ZL_AIM_STATUS: zl_request_add_status(out, &op->ids, first, batch_size(op, n)); break;
    case ZL_AIM_STATUS_PAGES: zl_request_add_status_page(out, (int64_t)n); break;
    case ZL_AIM_CALL:
        *out = op->body;
        op->body = (zl_buf){0};
        break;
    }
}

static bool make_room(zl_operation *op) {
    if (op->begun < op->room) {
        return true;
    }
    size_t room = op->room == 0 ? op->count : op->room * 2;
    task **tasks = realloc(op->tasks, room * sizeof(task *));
    if (tasks == NULL) {
        return false;
    }
    op->tasks = tasks;
    op->room = room;
    return true;
}

/* The next call of those that were not begun. NULL when out of memory. */
static task *begin_task(zl_operation *op) {
    task *t = make_room(op) ? calloc(1, sizeof *t) : NULL;
    if (t == NULL) {
        return NULL;
    }
    t->n = op->begun + 1;
    write_body(op, t->n, &t->call.body);
    if (!zl_buf_ok(&t->call.body)) {
        task_free(t);
        return NULL;
    }
    op->tasks[op->begun++] = t;
    op->active[op->active_count++] = t;
    return t;
}

static int send_task(zl_operation *op, task *t, const zl_moment *now, zl_step *out) {
    zl_client *client = op->client;
    zl_action action = {t->is_looking ? STATUS_ACTION : zl_buf_view(&op->name),
                        zl_buf_view(&op->service), zl_buf_view(&op->version)};
    int rc = zl_call_send(current(t), &client->sender, &action, &client->retry, now);
    if (rc == ZL_OK) {
        op->in_flight++;
        client->in_flight++;
        *out = (zl_step){.kind = ZL_STEP_SEND, .n = t->n, .request = &current(t)->request};
    }
    return rc;
}

static bool may_begin(const zl_operation *op) {
    return !op->stopping && op->begun < op->count && op->active_count < op->client->max_concurrency;
}

static bool has_place(const zl_client *client) {
    return !client->hold && client->in_flight < client->max_concurrency &&
           client->in_flight < client->retry.window;
}

static bool is_due(const zl_call *call, int64_t now_ms) {
    return call->state == ZL_CALL_READY ||
           (call->state == ZL_CALL_WAITING && call->due_ms <= now_ms);
}

/* The begun call that is due and was begun first, or NULL. It goes before any that was never sent:
 * the less time it spends among newer ones, the fewer of its attempts a rate limit takes. */
static task *next_due(const zl_operation *op, int64_t now_ms) {
    for (size_t i = 0; i < op->active_count; i++) {
        if (is_due(current(op->active[i]), now_ms)) {
            return op->active[i];
        }
    }
    return NULL;
}

/* The call to send now, begun for it if need be; NULL if there is none. */
static int next_task(zl_operation *op, const zl_moment *now, task **out) {
    *out = NULL;
    if (now->mono_ms < op->client->retry.pause_until_ms || !has_place(op->client)) {
        return ZL_OK;
    }
    *out = next_due(op, now->mono_ms);
    if (*out == NULL && may_begin(op)) {
        *out = begin_task(op);
        return *out == NULL ? ZL_ERR_NOMEM : ZL_OK;
    }
    return ZL_OK;
}

/* --- settling --------------------------------------------------------------------------------- */

static void note_failure(zl_operation *op, const zl_error *error) {
    zl_outcome outcome = zl_outcome_max(op->error.outcome, error->outcome);
    if (!op->error.is_set) {
        zl_error_copy(&op->error, error);
        op->incomplete = op->incomplete || !zl_error_ok(&op->error);
    }
    op->error.outcome = outcome;
    op->stopping = op->stopping || !op->continue_on_error;
}

static void settle_task(zl_operation *op, task *t) {
    for (size_t i = 0; i < op->active_count; i++) {
        if (op->active[i] == t) { /* keep the order: who waited longest goes first */
            for (; i + 1 < op->active_count; i++) {
                op->active[i] = op->active[i + 1];
            }
            op->active_count--;
        }
    }
    t->is_looking = false;
    zl_call_free(&t->look);
    zl_request_free(&t->call.request);
    zl_buf_free(&t->call.body);
    op->incomplete =
        op->incomplete || !zl_error_ok(&t->call.error) || !zl_buf_ok(&t->call.request_id);
    if (t->call.error.is_set) {
        note_failure(op, &t->call.error);
    }
}

/* Some ids of an accepted batch were refused in passing: that is an error all the same. */
static void note_failed_ids(zl_operation *op, task *t, const zl_answer *answer) {
    for (size_t i = 0; i < answer->failed_count; i++) {
        if (zl_ids_add(&t->failed_ids, answer->failed_ids[i]) == ZL_ERR_NOMEM) {
            op->incomplete = true;
        }
    }
    zl_error *error = &t->call.error;
    zl_error_set(error, ZL_CODE_PARTIAL_FAILURE, (zl_view){NULL, 0});
    zl_buf_addf(&error->message, "%zu of the ids could not be stopped", t->failed_ids.count);
    zl_buf_set(&error->request_id, answer->request_id);
    error->outcome = ZL_OUTCOME_REJECTED;
    error->http_status = answer->status;
    error->attempts = t->call.attempts;
}

/* An attempt was lost, and a later one refused because the instances do not run: then the lost one
 * probably stopped them. Service bmc has nothing to ask. */
static bool needs_look(const zl_operation *op, const task *t) {
    return op->aim == ZL_AIM_STOP && t->call.outcome == ZL_OUTCOME_UNKNOWN &&
           zl_view_equal(zl_buf_view(&t->call.error.code),
                         ZL_LIT("OPERATION_DENIED_INSTANCE_NOT_RUNNING")) &&
           !zl_view_equal(zl_buf_view(&op->service), ZL_LIT("bmc"));
}

/* False when out of memory: then the call stays unknown. */
static bool begin_look(zl_operation *op, task *t) {
    zl_request_add_status(&t->look.body, &op->ids, (t->n - 1) * ZL_REQUEST_IDS_MAX,
                          batch_size(op, t->n));
    t->is_looking = zl_buf_ok(&t->look.body);
    return t->is_looking;
}

static bool is_stopping_or_stopped(zl_view status) {
    return zl_view_equal(status, ZL_LIT("STOPPING")) || zl_view_equal(status, ZL_LIT("STOPPED"));
}

/* Whether each id of the task's batch is in the answer, as stopping or stopped. */
static bool confirms(const zl_operation *op, const task *t, const zl_answer *answer) {
    size_t first = (t->n - 1) * ZL_REQUEST_IDS_MAX, count = batch_size(op, t->n);
    bool seen[ZL_REQUEST_IDS_MAX] = {false};
    size_t confirmed = 0;
    for (size_t i = 0; i < answer->item_count; i++) {
        const zl_status *row = &answer->statuses[i];
        size_t index;
        if (is_stopping_or_stopped(row->status) && zl_ids_find(&op->ids, row->id, &index) &&
            index >= first && index < first + count && !seen[index - first]) {
            seen[index - first] = true;
            confirmed++;
        }
    }
    return confirmed == count;
}

/* The look is over. Whoever stopped them: stopped or stopping they are. Anything less leaves the
 * call unknown. */
static void settle_look(zl_operation *op, task *t, const zl_answer *answer) {
    if (t->look.outcome == ZL_OUTCOME_ACCEPTED && confirms(op, t, answer)) {
        t->confirmed = true;
        t->call.outcome = ZL_OUTCOME_ACCEPTED;
        zl_error_free(&t->call.error);
    }
    settle_task(op, t);
}

static void note_page(zl_operation *op, const zl_answer *answer) {
    op->seen += (int64_t)answer->item_count;
    if (op->seen < answer->total_count) {
        op->count++;
    }
}

/* Whether an answer fits what was asked: an empty page before the end would end the list too early,
 * and ids that failed are ids of this batch. */
static bool fits(const zl_operation *op, const task *t, const zl_answer *answer) {
    if (op->aim == ZL_AIM_STATUS_PAGES) {
        return answer->item_count > 0 || op->seen >= answer->total_count;
    }
    size_t first = (t->n - 1) * ZL_REQUEST_IDS_MAX;
    for (size_t i = 0; i < answer->failed_count && op->aim == ZL_AIM_STOP; i++) {
        size_t index;
        if (!zl_ids_find(&op->ids, answer->failed_ids[i], &index) || index < first ||
            index >= first + batch_size(op, t->n)) {
            return false;
        }
    }
    return true;
}

/* Settle everything that is not settled, in flight or not. */
static void give_up(zl_operation *op, zl_code code, zl_view message, int64_t retry_after_s,
                    bool in_flight_too) {
    zl_error reason = {0}; /* for what was never begun */
    zl_error_set(&reason, code, message);
    reason.retryable = code == ZL_CODE_DEADLINE_EXCEEDED;
    reason.retry_after_s = retry_after_s;
    for (size_t i = 0; i < op->active_count;) {
        task *t = op->active[i];
        if (current(t)->state == ZL_CALL_IN_FLIGHT) {
            if (!in_flight_too) {
                i++;
                continue;
            }
            current(t)->outcome = ZL_OUTCOME_UNKNOWN;
            op->in_flight--;
            op->client->in_flight--;
        }
        if (!t->is_looking) { /* else its call is settled already, as unknown */
            zl_call_give_up(&t->call, code, message, retry_after_s);
        }
        settle_task(op, t); /* takes it out of active: the next one is at i now */
    }
    if (op->begun < op->count) {
        op->incomplete = op->incomplete || !zl_error_ok(&reason);
        note_failure(op, &reason);
    }
    op->stopping = true;
    zl_error_free(&reason);
}

/* --- the driver's side ------------------------------------------------------------------------ */

/* Whether there is a call to be sent, now or later. */
static bool has_queued(const zl_operation *op) {
    return op->active_count > op->in_flight || (!op->stopping && op->begun < op->count);
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* When something of this operation may change without an answer. */
static int64_t next_time(const zl_operation *op) {
    int64_t pause_until = op->client->retry.pause_until_ms;
    int64_t time = op->policy.deadline_ms;
    bool may_send = has_place(op->client);
    for (size_t i = 0; i < op->active_count && may_send; i++) {
        const zl_call *call = current(op->active[i]);
        if (call->state != ZL_CALL_IN_FLIGHT) {
            int64_t due = call->state == ZL_CALL_WAITING ? call->due_ms : INT64_MIN;
            time = earlier(time, due > pause_until ? due : pause_until);
        }
    }
    return may_send && may_begin(op) ? earlier(time, pause_until) : time;
}

int zl_operation_step(zl_operation *op, const zl_moment *now, zl_step *out) {
    int64_t deadline = op->policy.deadline_ms;
    int64_t pause_until = op->client->retry.pause_until_ms;
    *out = (zl_step){.kind = ZL_STEP_DONE};
    if (zl_operation_is_done(op)) {
        return ZL_OK;
    }
    if (now->mono_ms >= deadline) {
        give_up(op, ZL_CODE_DEADLINE_EXCEEDED, ZL_LIT("the operation's deadline passed"), -1, true);
    } else if (pause_until >= deadline && has_queued(op)) {
        int64_t left_s = (pause_until - now->mono_ms + 999) / 1000;
        give_up(op, ZL_CODE_DEADLINE_EXCEEDED,
                ZL_LIT("the rate limit's pause lasts beyond the operation's deadline"), left_s,
                false);
    }
    if (zl_operation_is_done(op)) {
        return ZL_OK;
    }
    task *t;
    int rc = next_task(op, now, &t);
    if (rc != ZL_OK || t != NULL) {
        return rc == ZL_OK ? send_task(op, t, now, out) : rc;
    }
    int64_t wait_ms = next_time(op) - now->mono_ms;
    out->wait_ms = wait_ms > 1 ? wait_ms : 1;
    out->kind = op->in_flight > 0 || !has_place(op->client) ? ZL_STEP_PENDING : ZL_STEP_WAIT;
    return ZL_OK;
}

/* The task whose call n is in flight, which it no longer is; or NULL. */
static task *land(zl_operation *op, size_t n) {
    if (n < 1 || n > op->begun || current(op->tasks[n - 1])->state != ZL_CALL_IN_FLIGHT) {
        return NULL;
    }
    op->in_flight--;
    op->client->in_flight--;
    return op->tasks[n - 1];
}

bool zl_operation_answered(zl_operation *op, size_t n, const zl_moment *now,
                           const zl_answer *answer) {
    task *t = land(op, n);
    if (t == NULL) {
        return false;
    }
    if (t->is_looking) {
        zl_call_answered(&t->look, &op->client->retry, &op->policy, now, answer);
        if (t->look.state == ZL_CALL_SETTLED) {
            settle_look(op, t, answer);
        }
        return true;
    }
    zl_answer judged = *answer;
    judged.is_well_formed = answer->is_well_formed && fits(op, t, answer);
    zl_call_answered(&t->call, &op->client->retry, &op->policy, now, &judged);
    if (t->call.state == ZL_CALL_SETTLED) {
        if (t->call.outcome == ZL_OUTCOME_ACCEPTED && op->aim == ZL_AIM_STATUS_PAGES) {
            note_page(op, answer);
        }
        if (t->call.outcome == ZL_OUTCOME_ACCEPTED && op->aim == ZL_AIM_STOP &&
            answer->failed_count > 0) {
            note_failed_ids(op, t, answer);
        }
        if (!needs_look(op, t) || !begin_look(op, t)) {
            settle_task(op, t);
        }
    }
    return true;
}

bool zl_operation_failed(zl_operation *op, size_t n, const zl_moment *now, zl_code code,
                         zl_view message, bool sent) {
    task *t = land(op, n);
    if (t == NULL) {
        return false;
    }
    zl_call_failed(current(t), &op->client->retry, &op->policy, now, code, message, sent);
    if (current(t)->state == ZL_CALL_SETTLED) {
        settle_task(op, t);
    }
    return true;
}

bool zl_operation_cancel(zl_operation *op, zl_view message) {
    if (zl_operation_is_done(op)) {
        return false;
    }
    give_up(op, ZL_CODE_CANCELLED, message, -1, true);
    return true;
}

bool zl_operation_is_done(const zl_operation *op) {
    return op->active_count == 0 && (op->stopping || op->begun == op->count);
}

int64_t zl_operation_deadline_ms(const zl_operation *op) {
    return op->policy.deadline_ms;
}

int64_t zl_operation_timeout_ms(const zl_operation *op) {
    return op->timeout_ms;
}

zl_aim zl_operation_expects(const zl_operation *op, size_t n) {
    bool is_look = n >= 1 && n <= op->begun && op->tasks[n - 1]->is_looking;
    return is_look ? ZL_AIM_STATUS : op->aim;
}

zl_aim zl_operation_aim(const zl_operation *op) {
    return op->aim;
}

int zl_operation_tag(const zl_operation *op) {
    return op->tag;
}

void zl_operation_set_tag(zl_operation *op, int tag) {
    op->tag = tag;
}

void *zl_operation_driver(const zl_operation *op) {
    return op->driver;
}

void zl_operation_set_driver(zl_operation *op, void *driver) {
    op->driver = driver;
}

/* --- results ---------------------------------------------------------------------------------- */

const zl_error *zl_operation_error(const zl_operation *op) {
    return op->error.is_set ? &op->error : NULL;
}

bool zl_operation_is_incomplete(const zl_operation *op) {
    return op->incomplete;
}

zl_view zl_operation_action(const zl_operation *op) {
    return zl_buf_view(&op->name);
}

const zl_ids *zl_operation_ids(const zl_operation *op) {
    return &op->ids;
}

size_t zl_operation_count(const zl_operation *op) {
    return op->count;
}

zl_batch zl_operation_batch(const zl_operation *op, size_t n) {
    zl_batch batch = {.outcome = ZL_OUTCOME_NOT_SENT};
    if (op->ids.count > 0) {
        batch.first = (n - 1) * ZL_REQUEST_IDS_MAX;
        batch.count = batch_size(op, n);
    }
    if (n > op->begun) {
        return batch;
    }
    const task *t = op->tasks[n - 1];
    batch.outcome = t->call.attempts > 0 ? t->call.outcome : ZL_OUTCOME_NOT_SENT;
    batch.attempts = t->call.attempts;
    batch.request_id = zl_buf_view(
        batch.outcome == ZL_OUTCOME_ACCEPTED ? &t->call.request_id : &t->call.error.request_id);
    batch.confirmed = t->confirmed;
    batch.failed_ids = t->failed_ids.count > 0 ? &t->failed_ids : NULL;
    batch.error = t->call.error.is_set ? &t->call.error : NULL;
    return batch;
}
