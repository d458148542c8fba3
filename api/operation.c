#include "operation.h"

#include <stdlib.h>
#include <string.h>

#include "hint.h"
#include "operation_state.h"

#define STATUS_ACTION ZL_LIT("DescribeInstancesStatus")

/* --- beginning and sending calls -------------------------------------------------------------- */

static bool has_unbegun(const zl_operation *op) {
    if (op->aim == ZL_AIM_WAIT) { /* it has no calls of its own */
        return false;
    }
    return op->ids.count > 0 ? op->next_id < op->ids.count : op->made < op->calls;
}

/* The calls of the aim itself are over; a waiting may follow. */
static bool calls_over(const zl_operation *op) {
    return op->active_count == 0 && (op->stopping || (op->parts == NULL && !has_unbegun(op)));
}

static void write_body(zl_operation *op, zl_task *t) {
    zl_buf *out = &t->call.body;
    switch (op->aim) {
    case ZL_AIM_STOP:
        zl_request_add_stop(out, &op->ids, t->which, t->count,
                            t->kind == ZL_TASK_FORCE ? ZL_TRUE : op->force);
        break;
    case ZL_AIM_STATUS: zl_request_add_status(out, &op->ids, t->which, t->count); break;
    case ZL_AIM_STATUS_PAGES: zl_request_add_status_page(out, (int64_t)t->n); break;
    case ZL_AIM_CALL:
    case ZL_AIM_PAGE:
        *out = op->body;
        op->body = (zl_buf){0};
        break;
    case ZL_AIM_WAIT: break;
    }
}

/* Room in the account for `more` tasks. */
static bool make_room(zl_operation *op, size_t more) {
    if (op->made + more <= op->room) {
        return true;
    }
    size_t room = op->room == 0 ? zl_operation_count(op) : op->room * 2;
    room = room < op->made + more ? op->made + more : room;
    zl_task **tasks = realloc(op->tasks, room * sizeof(zl_task *));
    if (tasks == NULL) {
        return false;
    }
    op->tasks = tasks;
    op->room = room;
    return true;
}

static bool activate(zl_operation *op, zl_task *t) {
    if (!zl_buf_ok(&t->call.body)) {
        return false;
    }
    t->n = t->n > 0 ? t->n : ++op->last_n;
    op->active[op->active_count++] = t;
    return true;
}

/* The next call of those that were not begun. NULL when out of memory, here and below. */
static zl_task *begin_own(zl_operation *op) {
    size_t count = zl_batch_of(op->ids.count - op->next_id);
    zl_task *t = make_room(op, 1) ? zl_task_new(ZL_TASK_OWN, count) : NULL;
    if (t == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        t->which[i] = op->next_id + i;
    }
    t->began_ms = op->now_ms;
    t->n = op->last_n + 1; /* a page's body has it */
    write_body(op, t);
    if (!activate(op, t)) {
        zl_task_free(t);
        return NULL;
    }
    op->last_n++;
    op->next_id += count;
    op->tasks[op->made++] = t;
    return t;
}

/* The next part of a batch that was isolated; the account has it already. */
static zl_task *begin_part(zl_operation *op) {
    zl_task *t = op->parts;
    write_body(op, t);
    if (!activate(op, t)) {
        zl_buf_free(&t->call.body);
        return NULL;
    }
    op->parts = t->next;
    op->parts_tail = op->parts == NULL ? &op->parts : op->parts_tail;
    t->next = NULL;
    return t;
}

/* The next look at ids that are waited for, or the next forced stop of some. */
static zl_task *begin_watch(zl_operation *op) {
    bool forces = op->watch.phase == ZL_WATCH_FORCE;
    size_t batch = 0;
    zl_task *t = zl_task_new(forces ? ZL_TASK_FORCE : ZL_TASK_WATCH, ZL_REQUEST_IDS_MAX);
    if (t == NULL) {
        return NULL;
    }
    t->began_ms = op->now_ms;
    t->count = zl_watch_take(&op->watch, t->which, &batch);
    if (forces) {
        write_body(op, t);
    } else {
        zl_request_add_status(&t->call.body, &op->ids, t->which, t->count);
    }
    if (!activate(op, t)) { /* its ids have their turn in the next round */
        zl_task_free(t);
        return NULL;
    }
    if (forces) {
        zl_task **last = &op->tasks[batch]->forced;
        while (*last != NULL) {
            last = &(*last)->next;
        }
        *last = t;
    }
    return t;
}

static bool is_look(const zl_task *t) {
    return t->look != ZL_LOOK_NONE || t->kind == ZL_TASK_WATCH;
}

zl_view zl_operation_action_of(const zl_operation *op, const zl_task *t) {
    return is_look(t) ? STATUS_ACTION : op->name;
}

static int send_task(zl_operation *op, zl_task *t, const zl_moment *now, zl_step *out) {
    zl_client *client = op->client;
    zl_action action = {zl_operation_action_of(op, t), op->service, op->version};
    zl_call *call = zl_task_current(t);
    int rc = zl_call_send(call, &client->sender, client->credentials.generation, &action,
                          &client->retry, now);
    if (rc == ZL_OK) {
        zl_operation_tell_sent(op, t);
        op->in_flight++;
        client->in_flight++;
        op->watch_requests += op->watching ? 1 : 0;
        *out = (zl_step){.kind = ZL_STEP_SEND, .n = t->n, .request = &call->request};
    }
    return rc;
}

static bool may_begin(const zl_operation *op) {
    bool more = op->watching ? zl_watch_has_more(&op->watch)
                             : !op->stopping && (op->parts != NULL || has_unbegun(op));
    return more && op->active_count < op->client->max_concurrency;
}

static zl_task *begin(zl_operation *op) {
    return op->watching ? begin_watch(op) : op->parts != NULL ? begin_part(op) : begin_own(op);
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
static zl_task *next_due(const zl_operation *op, int64_t now_ms) {
    for (size_t i = 0; i < op->active_count; i++) {
        if (is_due(zl_task_current(op->active[i]), now_ms)) {
            return op->active[i];
        }
    }
    return NULL;
}

/* The call to send now, begun for it if need be; NULL if there is none. */
static int next_task(zl_operation *op, const zl_moment *now, zl_task **out) {
    *out = NULL;
    if (now->mono_ms < op->client->retry.pause_until_ms || !has_place(op->client)) {
        return ZL_OK;
    }
    *out = next_due(op, now->mono_ms);
    if (*out == NULL && may_begin(op)) {
        *out = begin(op);
        return *out == NULL ? ZL_ERR_NOMEM : ZL_OK;
    }
    return ZL_OK;
}

/* --- settling --------------------------------------------------------------------------------- */

/* Parts that will not be sent again: what is true of their batch is true of them. */
static void leave_parts(zl_operation *op) {
    for (; op->parts != NULL; op->parts = op->parts->next) {
        op->error.outcome = zl_outcome_max(op->error.outcome, op->parts->call.outcome);
    }
    op->parts_tail = &op->parts;
}

static void note_failure(zl_operation *op, const zl_error *error, bool stops) {
    zl_outcome outcome = zl_outcome_max(op->error.outcome, error->outcome);
    if (!op->error.is_set) {
        zl_error_copy(&op->error, error);
        op->incomplete = op->incomplete || !zl_error_ok(&op->error);
    }
    op->error.outcome = outcome;
    op->stopping = op->stopping || (stops && !op->continue_on_error);
    if (op->stopping) {
        leave_parts(op);
    }
}

static void deactivate(zl_operation *op, const zl_task *t) {
    for (size_t i = 0; i < op->active_count; i++) {
        if (op->active[i] == t) { /* keep the order: who waited longest goes first */
            op->active_count--;
            memmove(&op->active[i], &op->active[i + 1], (op->active_count - i) * sizeof(zl_task *));
            return;
        }
    }
}

/* Whether the option `isolate` would have found out more about a batch that was refused. */
static bool may_be_isolated(const zl_operation *op, const zl_task *t) {
    return op->aim == ZL_AIM_STOP && !op->isolate && t->count > 1 &&
           t->call.outcome == ZL_OUTCOME_REJECTED &&
           zl_task_is_about_ids(zl_buf_view(&t->call.error.code));
}

/* The end of a call of the operation's own. */
static void settle_task(zl_operation *op, zl_task *t) {
    const zl_error *error = &t->call.error;
    deactivate(op, t);
    zl_task_finish(t);
    op->incomplete = op->incomplete || !zl_error_ok(error) || !zl_buf_ok(&t->call.request_id);
    zl_operation_tell_settled(op, t);
    if (error->is_set) {
        /* To be told which ids are bad is what isolation is for: it holds up nobody. */
        bool about_ids = t->failed_ids.count > 0 || zl_task_is_about_ids(zl_buf_view(&error->code));
        bool isolated = op->isolate && error->outcome == ZL_OUTCOME_REJECTED && about_ids;
        if (may_be_isolated(op, t)) {
            zl_hint_set_batch(&t->call.error);
        }
        note_failure(op, error, !isolated);
    }
}

/* Some ids of an accepted batch were refused in passing: that is an error all the same. */
static void note_failed_ids(zl_operation *op, zl_task *t, const zl_answer *answer) {
    op->incomplete = !zl_task_note_failed(t, answer) || op->incomplete;
    zl_error *error = &t->call.error;
    zl_error_set(error, ZL_CODE_PARTIAL_FAILURE, (zl_view){NULL, 0});
    zl_buf_addf(&error->message, "%zu of the ids could not be stopped", t->failed_ids.count);
    zl_buf_set(&error->request_id, answer->request_id);
    /* A lost attempt may be why: it may have stopped just these. */
    error->outcome = t->in_doubt ? ZL_OUTCOME_UNKNOWN : ZL_OUTCOME_REJECTED;
    error->http_status = answer->status;
    error->attempts = t->call.attempts;
}

static void note_page(zl_operation *op, const zl_answer *answer) {
    op->seen += (int64_t)answer->item_count;
    if (op->seen < answer->total_count) {
        op->calls++;
    }
}

/* Why an answer does not fit what was asked; NULL: it does. An empty page before the end would end
 * the list too early, and so might one of a size that tells nothing of what lies before it; ids
 * that failed are ids of this batch. */
static const char *misfit(const zl_operation *op, const zl_task *t, const zl_answer *answer) {
    int64_t count = (int64_t)answer->item_count, left = answer->total_count - op->seen;
    switch (op->aim) {
    case ZL_AIM_STATUS_PAGES:
    case ZL_AIM_PAGE:
        if (count == 0 && left > 0) {
            return "an empty page before the end of the list";
        }
        left = left > 0 ? left : 0;
        if (op->page_size > 0 && count != (left < op->page_size ? left : op->page_size)) {
            return "the page has not as many rows as pageNum, pageSize and totalCount promise";
        }
        return NULL;
    case ZL_AIM_STOP:
        return zl_task_owns_failed(t, &op->ids, answer) ? NULL : "ids failed that were not given";
    case ZL_AIM_STATUS:
    case ZL_AIM_CALL:
    case ZL_AIM_WAIT: break;
    }
    return NULL;
}

/* --- looks ------------------------------------------------------------------------------------ */

static bool has_status_action(const zl_operation *op) {
    return !zl_view_equal(op->service, ZL_LIT("bmc"));
}

/* An attempt was lost, and a later one refused because the instances do not run: then the lost one
 * probably stopped them. */
static bool needs_confirmation(const zl_operation *op, const zl_task *t) {
    return op->aim == ZL_AIM_STOP && t->call.outcome == ZL_OUTCOME_UNKNOWN &&
           zl_view_equal(zl_buf_view(&t->call.error.code),
                         ZL_LIT("OPERATION_DENIED_INSTANCE_NOT_RUNNING")) &&
           has_status_action(op);
}

/* A whole batch was refused, and some of its ids may be why. */
static bool needs_isolation(const zl_operation *op, const zl_task *t) {
    return op->isolate && !op->stopping && t->count > 1 && t->call.outcome == ZL_OUTCOME_REJECTED &&
           zl_task_is_about_ids(zl_buf_view(&t->call.error.code));
}

/* False when out of memory: then the call stays as it is. */
static bool begin_look(zl_operation *op, zl_task *t, zl_look look) {
    t->look = ZL_LOOK_NONE;
    if (zl_task_make_look(t)) {
        zl_request_add_status(&t->look_call->body, &op->ids, t->which, t->count);
        t->look = zl_buf_ok(&t->look_call->body) ? look : ZL_LOOK_NONE;
    }
    return t->look != ZL_LOOK_NONE;
}

/* --- isolation -------------------------------------------------------------------------------- */

/* A part of a batch that was refused as a whole: so far this is true of each of its ids, and what
 * comes on top of it is its own. NULL when out of memory. */
static zl_task *new_part(zl_operation *op, const zl_task *whole, size_t count) {
    zl_task *t = zl_task_new(ZL_TASK_OWN, count);
    if (t != NULL) {
        t->n = ++op->last_n;
        t->was_looked_at = true;
        t->began_ms = whole->began_ms;
        t->inherited = whole->call.attempts;
        t->call.attempts = whole->call.attempts;
        t->call.outcome = ZL_OUTCOME_REJECTED;
        zl_error_copy(&t->call.error, &whole->call.error);
        t->count = 0; /* of those that are to come */
    }
    return t;
}

static void queue_part(zl_operation *op, zl_task *t) {
    *op->parts_tail = t;
    op->parts_tail = &t->next;
    if (op->stopping) {
        leave_parts(op);
    }
}

/* The parts take the place of the whole, which is freed. False, with nothing changed and the parts
 * freed, when out of memory. */
static bool replace(zl_operation *op, zl_task *whole, zl_task **parts, size_t count, bool ok) {
    if (!ok || !make_room(op, count - 1)) {
        for (size_t i = 0; i < count; i++) {
            zl_task_free(parts[i]);
        }
        return false;
    }
    size_t at = 0;
    while (op->tasks[at] != whole) {
        at++;
    }
    memmove(&op->tasks[at + count], &op->tasks[at + 1], (op->made - at - 1) * sizeof(zl_task *));
    memcpy(&op->tasks[at], parts, count * sizeof(zl_task *));
    op->made += count - 1;
    deactivate(op, whole);
    zl_task_free(whole);
    return true;
}

static bool halve(zl_operation *op, zl_task *t) {
    size_t first = t->count / 2;
    zl_task *halves[2] = {new_part(op, t, first), new_part(op, t, t->count - first)};
    bool ok = halves[0] != NULL && halves[1] != NULL;
    for (size_t i = 0; i < t->count && ok; i++) {
        zl_task *half = halves[i < first ? 0 : 1];
        half->which[half->count++] = t->which[i];
    }
    if (!replace(op, t, halves, 2, ok)) {
        return false;
    }
    queue_part(op, halves[0]);
    queue_part(op, halves[1]);
    return true;
}

/* One id that is the reason of a refusal, settled. */
static zl_task *new_bad_id(zl_operation *op, const zl_task *whole, size_t which, zl_view code,
                           zl_view status) {
    zl_task *t = new_part(op, whole, 1);
    if (t != NULL) {
        zl_error *error = &t->call.error;
        t->which[t->count++] = which;
        t->call.state = ZL_CALL_SETTLED;
        zl_buf_set(&error->code, code);
        zl_buf_clear(&error->message);
        zl_buf_add_text(&error->message, status.len > 0 ? "its batch was refused, and it is "
                                                        : "its batch was refused, and it does not "
                                                          "exist");
        zl_buf_add_view(&error->message, status);
    }
    return t;
}

/* Tell the ids that an answer shows to be bad from the rest, which is stopped. False if it shows
 * none, or when out of memory. */
static bool isolate_by_status(zl_operation *op, zl_task *t, const zl_answer *answer) {
    zl_view status[ZL_REQUEST_IDS_MAX] = {{NULL, 0}};
    zl_task *parts[ZL_REQUEST_IDS_MAX + 1];
    size_t place, bad = 0, count = 0;
    for (size_t i = 0; i < answer->item_count; i++) {
        if (zl_task_find(t, &op->ids, answer->statuses[i].id, &place)) {
            status[place] = answer->statuses[i].status;
        }
    }
    zl_view service = op->service;
    for (size_t i = 0; i < t->count; i++) {
        bad += zl_task_refusal(status[i], service).len > 0;
    }
    if (bad == 0) {
        return false;
    }
    zl_task *rest = bad < t->count ? new_part(op, t, t->count - bad) : NULL;
    bool ok = rest != NULL || bad == t->count;
    if (rest != NULL) {
        parts[count++] = rest;
    }
    for (size_t i = 0; i < t->count && ok; i++) {
        zl_view code = zl_task_refusal(status[i], service);
        if (code.len > 0) {
            parts[count] = new_bad_id(op, t, t->which[i], code, status[i]);
            ok = parts[count] != NULL;
            count += ok ? 1 : 0;
        } else if (rest != NULL) {
            rest->which[rest->count++] = t->which[i];
        }
    }
    if (!replace(op, t, parts, count, ok)) {
        return false;
    }
    if (rest != NULL) {
        queue_part(op, rest);
    }
    for (size_t i = rest != NULL ? 1 : 0; i < count; i++) {
        settle_task(op, parts[i]);
    }
    return true;
}

/* A look at a batch is over; answer is NULL if it has brought none. */
static void settle_look(zl_operation *op, zl_task *t, const zl_answer *answer) {
    bool answered = answer != NULL && t->look_call->outcome == ZL_OUTCOME_ACCEPTED;
    if (t->look == ZL_LOOK_ISOLATE) {
        if ((answered && isolate_by_status(op, t, answer)) || (!op->stopping && halve(op, t))) {
            return;
        }
    } else if (answered && zl_task_is_confirmed_by(t, &op->ids, answer)) {
        /* Whoever stopped them: stopped or stopping they are. Less leaves the call unknown. */
        t->confirmed = true;
        t->call.outcome = ZL_OUTCOME_ACCEPTED;
        zl_error_free(&t->call.error);
    }
    settle_task(op, t);
}

/* --- giving up -------------------------------------------------------------------------------- */

/* Settle what is begun and not settled. What is in flight may have been done; it is left alone
 * unless in_flight_too. */
static void abandon_active(zl_operation *op, zl_code code, zl_view message, int64_t retry_after_s,
                           bool in_flight_too) {
    for (size_t i = 0; i < op->active_count;) {
        zl_task *t = op->active[i];
        zl_call *call = zl_task_current(t);
        if (call->state == ZL_CALL_IN_FLIGHT) {
            if (!in_flight_too) {
                i++;
                continue;
            }
            call->outcome = ZL_OUTCOME_UNKNOWN;
            op->in_flight--;
            op->client->in_flight--;
        }
        if (t->look == ZL_LOOK_NONE) { /* else its call is settled already */
            zl_call_give_up(&t->call, code, message, retry_after_s);
        }
        if (t->kind == ZL_TASK_OWN) { /* these take it out of active: the next one is at i now */
            settle_task(op, t);
        } else {
            deactivate(op, t);
            zl_task_finish(t);
            if (t->kind == ZL_TASK_WATCH) {
                zl_task_free(t);
            } else {
                zl_operation_tell_settled(op, t);
            }
        }
    }
}

static bool has_accepted(const zl_operation *op) {
    size_t n = 0;
    while (n < op->made && op->tasks[n]->call.outcome != ZL_OUTCOME_ACCEPTED) {
        n++;
    }
    return n < op->made;
}

/* The calls end here, in flight or not; a waiting does not follow. */
static void give_up(zl_operation *op, zl_code code, zl_view message, int64_t retry_after_s,
                    bool in_flight_too) {
    bool was_to_wait = calls_over(op); /* then only the waiting is given up */
    zl_task *part = op->parts;
    op->parts = NULL;
    op->parts_tail = &op->parts;
    for (; part != NULL; part = part->next) {
        zl_call_give_up(&part->call, code, message, retry_after_s);
        settle_task(op, part);
    }
    abandon_active(op, code, message, retry_after_s, in_flight_too);
    zl_error reason = {0}; /* for what was never begun */
    zl_error_set(&reason, code, message);
    reason.retryable = code == ZL_CODE_DEADLINE_EXCEEDED;
    reason.retry_after_s = retry_after_s;
    if (has_unbegun(op)) {
        op->incomplete = op->incomplete || !zl_error_ok(&reason);
        note_failure(op, &reason, true);
    } else if (was_to_wait && has_accepted(op)) {
        reason.outcome = ZL_OUTCOME_UNKNOWN;
        note_failure(op, &reason, true);
    }
    op->stopping = true;
    zl_error_free(&reason);
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* The waiting ends short of its aim, for this reason, which is freed. Of a stop that was accepted
 * nobody knows whether it will come to its end. */
static void fail_watch(zl_operation *op, zl_error *reason) {
    abandon_active(op, ZL_CODE_CANCELLED, ZL_LIT("the waiting ended before it"), -1, true);
    if (op->aim == ZL_AIM_STOP || op->watch.rounds > 0) {
        reason->outcome = ZL_OUTCOME_UNKNOWN;
    }
    reason->attempts = op->watch_requests;
    op->incomplete = op->incomplete || !zl_error_ok(reason);
    note_failure(op, reason, true);
    zl_error_free(reason);
    op->stopping = op->watch_over = true;
}

/* The same for a reason of ours. */
static void end_watch(zl_operation *op, zl_code code, zl_view message) {
    zl_error reason = {0};
    zl_error_set(&reason, code, message);
    reason.retryable = code == ZL_CODE_WAIT_TIMEOUT && op->aim == ZL_AIM_WAIT;
    reason.outcome = op->watch_requests > 0 ? ZL_OUTCOME_UNKNOWN : ZL_OUTCOME_NOT_SENT;
    fail_watch(op, &reason);
}

/* Everything is settled that will be. */
static void conclude_watch(zl_operation *op) {
    const zl_watch *w = &op->watch;
    op->watch_over = true;
    if (w->failed > 0) {
        zl_view status = zl_watch_status(w, w->first_failed);
        zl_buf message = {0};
        zl_buf_addf(&message, "%zu of %zu instances will not become STOPPED: ", w->failed,
                    w->total);
        zl_buf_add_view(&message, zl_ids_at(&op->ids, w->first_failed));
        zl_buf_add_text(&message, status.len > 0 ? " is " : " does not exist");
        zl_buf_add_view(&message, status);
        end_watch(op, ZL_CODE_UNEXPECTED_STATE, zl_buf_view(&message));
        zl_buf_free(&message);
    }
}

static void time_out_watch(zl_operation *op) {
    const zl_watch *w = &op->watch;
    zl_buf message = {0};
    zl_buf_addf(&message, "%zu of %zu instances are not STOPPED after %lld s",
                w->total - w->stopped, w->total,
                (long long)((w->options.grace_ms + w->options.timeout_ms) / 1000));
    end_watch(op, ZL_CODE_WAIT_TIMEOUT, zl_buf_view(&message));
    zl_buf_free(&message);
}

static void start_watch(zl_operation *op, const zl_moment *now) {
    for (size_t n = 0; n < op->made; n++) {
        const zl_task *t = op->tasks[n];
        for (size_t i = 0; i < t->count && t->call.outcome == ZL_OUTCOME_ACCEPTED; i++) {
            if (!zl_ids_find(&t->failed_ids, zl_ids_at(&op->ids, t->which[i]), NULL)) {
                zl_watch_add(&op->watch, t->which[i], n);
            }
        }
    }
    zl_watch_start(&op->watch, now);
    op->policy.deadline_ms = op->watch.until_ms;
    op->watching = true;
}

static void advance_watch(zl_operation *op, const zl_moment *now) {
    if (!op->watching || op->watch_over) {
        return;
    }
    zl_watch_wake(&op->watch, now->mono_ms);
    while (op->active_count == 0 && op->watch.phase != ZL_WATCH_REST &&
           !zl_watch_has_more(&op->watch)) {
        zl_watch_proceed(&op->watch, now);
        if (zl_watch_pending(&op->watch) == 0) {
            conclude_watch(op);
            return;
        }
    }
}

/* A call of the waiting is settled. What may pass does not end the waiting, nor does a forced stop
 * that is refused because of the state of an instance: that may be just the one hoped for. */
static void settle_watch_task(zl_operation *op, zl_task *t, const zl_moment *now,
                              const zl_answer *answer) {
    bool accepted = answer != NULL && t->call.outcome == ZL_OUTCOME_ACCEPTED;
    bool forces = t->kind == ZL_TASK_FORCE;
    const zl_error *why = &t->call.error;
    bool refused = forces && !accepted && zl_task_is_about_ids(zl_buf_view(&why->code));
    bool goes_on = accepted || refused || why->retryable;
    zl_error error = {0};
    if (!goes_on) {
        zl_error_copy(&error, why);
    }
    deactivate(op, t);
    if (forces) {
        op->incomplete = (accepted && !zl_task_note_failed(t, answer)) || op->incomplete;
        for (size_t i = 0; i < t->count; i++) {
            bool failed = zl_ids_find(&t->failed_ids, zl_ids_at(&op->ids, t->which[i]), NULL);
            zl_watch_note_force(&op->watch, t->which[i],
                                failed || refused ? ZL_FORCE_REFUSED
                                : accepted        ? ZL_FORCE_ACCEPTED
                                                  : ZL_FORCE_NEVER);
        }
        op->incomplete = op->incomplete || !zl_error_ok(why) || !zl_buf_ok(&t->call.request_id);
        zl_task_finish(t);
        zl_operation_tell_settled(op, t);
    } else {
        if (accepted) {
            zl_watch_note(&op->watch, &op->ids, t->which, t->count, answer);
        }
        zl_task_free(t);
    }
    if (!goes_on) {
        fail_watch(op, &error);
    } else {
        advance_watch(op, now);
    }
}

/* --- the driver's side ------------------------------------------------------------------------ */

/* Whether there is a call to be sent, now or later. */
static bool has_queued(const zl_operation *op) {
    return op->active_count > op->in_flight || may_begin(op);
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
        const zl_call *call = zl_task_current(op->active[i]);
        if (call->state != ZL_CALL_IN_FLIGHT) {
            int64_t due = call->state == ZL_CALL_WAITING ? call->due_ms : INT64_MIN;
            time = earlier(time, due > pause_until ? due : pause_until);
        }
    }
    if (op->watching && op->watch.phase == ZL_WATCH_REST) {
        time = earlier(time, op->watch.due_ms);
    }
    return may_send && may_begin(op) ? earlier(time, pause_until) : time;
}

/* What the time of day alone brings about. */
static void pass_time(zl_operation *op, const zl_moment *now) {
    int64_t deadline = op->policy.deadline_ms;
    int64_t pause_until = op->client->retry.pause_until_ms;
    if (!op->watching && calls_over(op) && !op->stopping) { /* or it would be done */
        start_watch(op, now);
        deadline = op->policy.deadline_ms;
    }
    advance_watch(op, now);
    if (op->watching && !op->watch_over && now->mono_ms >= deadline) {
        time_out_watch(op);
    } else if (op->watching) {
        return; /* a pause holds the waiting up, and does not end it */
    } else if (now->mono_ms >= deadline) {
        give_up(op, ZL_CODE_DEADLINE_EXCEEDED, ZL_LIT("the operation's deadline passed"), -1, true);
    } else if (pause_until >= deadline && has_queued(op)) {
        int64_t left_s = (pause_until - now->mono_ms + 999) / 1000;
        give_up(op, ZL_CODE_DEADLINE_EXCEEDED,
                ZL_LIT("the rate limit's pause lasts beyond the operation's deadline"), left_s,
                false);
    }
}

static zl_task *find_active(const zl_operation *op, size_t n) {
    for (size_t i = 0; i < op->active_count; i++) {
        if (op->active[i]->n == n) {
            return op->active[i];
        }
    }
    return NULL;
}

/* The task whose call n is in flight, which it no longer is; or NULL. */
static zl_task *land(zl_operation *op, size_t n) {
    zl_task *t = find_active(op, n);
    if (t == NULL || zl_task_current(t)->state != ZL_CALL_IN_FLIGHT) {
        return NULL;
    }
    op->in_flight--;
    op->client->in_flight--;
    return t;
}

/* The call of a task may have been settled by a report; answer is NULL if it was none. */
static void settle(zl_operation *op, zl_task *t, const zl_moment *now, const zl_answer *answer) {
    if (zl_task_current(t)->state != ZL_CALL_SETTLED) {
        return;
    }
    bool accepted = t->call.outcome == ZL_OUTCOME_ACCEPTED;
    if (t->look != ZL_LOOK_NONE) {
        settle_look(op, t, answer);
    } else if (t->kind != ZL_TASK_OWN) {
        settle_watch_task(op, t, now, answer);
    } else if (needs_confirmation(op, t)) {
        if (!begin_look(op, t, ZL_LOOK_CONFIRM)) {
            settle_task(op, t);
        }
    } else if (needs_isolation(op, t)) {
        bool can_look = !t->was_looked_at && has_status_action(op);
        if (!(can_look && begin_look(op, t, ZL_LOOK_ISOLATE)) && !halve(op, t)) {
            settle_task(op, t);
        }
    } else {
        bool has_answer = accepted && answer != NULL;
        if (has_answer && op->aim == ZL_AIM_STATUS_PAGES) {
            note_page(op, answer);
        } else if (has_answer && op->aim == ZL_AIM_STOP && answer->failed_count > 0) {
            note_failed_ids(op, t, answer);
        }
        settle_task(op, t);
    }
}

/* One try. *lacking: a call that is due, but nobody gives what it would be signed with. */
static int take_step(zl_operation *op, const zl_moment *now, zl_step *out, zl_task **lacking) {
    *lacking = NULL;
    *out = (zl_step){.kind = ZL_STEP_DONE};
    if (!zl_operation_is_done(op)) {
        pass_time(op, now);
    }
    if (zl_operation_is_done(op)) {
        return ZL_OK;
    }
    zl_task *t;
    int rc = next_task(op, now, &t);
    if (rc != ZL_OK) {
        return rc;
    }
    zl_credentials *credentials = &op->client->credentials;
    switch (t != NULL ? zl_credentials_ask(credentials, now) : ZL_UNDER_WAY) {
    case ZL_READY: return send_task(op, t, now, out);
    case ZL_NEEDED:
        zl_credentials_begin(credentials);
        out->kind = ZL_STEP_CREDENTIALS;
        return ZL_OK;
    case ZL_UNAVAILABLE: *lacking = t; return ZL_OK;
    case ZL_UNDER_WAY: break;
    }
    bool pending = t != NULL || op->in_flight > 0 || !has_place(op->client);
    int64_t wait_ms = (t != NULL ? op->policy.deadline_ms : next_time(op)) - now->mono_ms;
    out->wait_ms = wait_ms > 1 ? wait_ms : 1;
    out->kind = pending ? ZL_STEP_PENDING : ZL_STEP_WAIT;
    return ZL_OK;
}

int zl_operation_step(zl_operation *op, const zl_moment *now, zl_step *out) {
    zl_task *lacking;
    op->now_ms = now->mono_ms;
    int rc = take_step(op, now, out, &lacking);
    while (lacking != NULL) {
        const zl_credentials *credentials = &op->client->credentials;
        zl_call_give_up(zl_task_current(lacking), credentials->failure_code,
                        zl_buf_view(&credentials->failure_message), -1);
        settle(op, lacking, now, NULL);
        rc = take_step(op, now, out, &lacking);
    }
    zl_operation_tell_end(op);
    return rc;
}

static zl_policy policy_of(const zl_operation *op, const zl_task *t) {
    zl_policy policy = op->policy;
    policy.credentials = &op->client->credentials;
    policy.idempotent = policy.idempotent || is_look(t);
    policy.max_attempts += t->look == ZL_LOOK_NONE ? t->inherited : 0;
    return policy;
}

bool zl_operation_answered(zl_operation *op, size_t n, const zl_moment *now,
                           const zl_answer *answer) {
    zl_task *t = land(op, n);
    if (t == NULL) {
        return false;
    }
    zl_policy policy = policy_of(op, t);
    zl_before before = zl_operation_before(op);
    zl_answer judged = *answer;
    op->now_ms = now->mono_ms;
    if (answer->is_well_formed && !is_look(t)) {
        judged.misfit = misfit(op, t, answer);
        judged.is_well_formed = judged.misfit == NULL;
    }
    t->in_doubt = t->call.outcome == ZL_OUTCOME_UNKNOWN;
    zl_call_answered(zl_task_current(t), &op->client->retry, &policy, now, &judged);
    zl_operation_tell_answered(op, t, &before, answer);
    settle(op, t, now, answer);
    zl_operation_tell_end(op);
    return true;
}

bool zl_operation_failed(zl_operation *op, size_t n, const zl_moment *now, zl_code code,
                         zl_view message, bool sent) {
    zl_task *t = land(op, n);
    if (t == NULL) {
        return false;
    }
    zl_policy policy = policy_of(op, t);
    zl_before before = zl_operation_before(op);
    op->now_ms = now->mono_ms;
    zl_call_failed(zl_task_current(t), &op->client->retry, &policy, now, code, message, sent);
    zl_operation_tell_failed(op, t, &before, code, sent);
    settle(op, t, now, NULL);
    zl_operation_tell_end(op);
    return true;
}

bool zl_operation_cancel(zl_operation *op, const zl_moment *now, zl_view message) {
    if (zl_operation_is_done(op)) {
        return false;
    }
    op->now_ms = now->mono_ms;
    if (op->watching) {
        end_watch(op, ZL_CODE_CANCELLED, message);
    } else {
        give_up(op, ZL_CODE_CANCELLED, message, -1, true);
    }
    zl_operation_tell_end(op);
    return true;
}

bool zl_operation_is_done(const zl_operation *op) {
    return op->watching ? op->watch_over : calls_over(op) && (op->stopping || !op->waits);
}

bool zl_operation_is_alone(const zl_operation *op) {
    return op->in_flight == 1 && !has_queued(op);
}

int64_t zl_operation_deadline_ms(const zl_operation *op) {
    return op->policy.deadline_ms;
}

int64_t zl_operation_timeout_ms(const zl_operation *op) {
    return op->timeout_ms;
}

zl_aim zl_operation_expects(const zl_operation *op, size_t n) {
    const zl_task *t = find_active(op, n);
    return t != NULL && is_look(t) ? ZL_AIM_STATUS : op->aim;
}

zl_aim zl_operation_aim(const zl_operation *op) {
    return op->aim;
}

zl_client *zl_operation_client(const zl_operation *op) {
    return op->client;
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
