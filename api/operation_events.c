/* What an operation tells of itself while it goes. Looks at the state before and after; decides
 * nothing. */
#include "operation_state.h"

static zl_event *add(zl_operation *op, zl_event_kind kind) {
    zl_event *event = zl_events_add(&op->client->events, kind, op->now_ms);
    if (event != NULL) {
        event->operation = op->number;
    }
    return event;
}

/* An event about a call of a task. */
static zl_event *add_of_call(zl_operation *op, zl_task *t, zl_event_kind kind) {
    zl_event *event = add(op, kind);
    if (event != NULL) {
        event->call = t->n;
        event->attempt = zl_task_current(t)->attempts;
        event->id_count = t->count;
        zl_buf_add_view(&event->action, zl_operation_action_of(op, t));
    }
    return event;
}

void zl_operation_tell_sent(zl_operation *op, zl_task *t) {
    (void)add_of_call(op, t, ZL_EVENT_ATTEMPT_STARTED);
}

zl_before zl_operation_before(const zl_operation *op) {
    const zl_retry *retry = &op->client->retry;
    return (zl_before){retry->pause_until_ms, retry->clock_offset_s};
}

/* What a report has brought about besides. */
static void tell_consequences(zl_operation *op, zl_task *t, const zl_before *before) {
    const zl_retry *retry = &op->client->retry;
    const zl_call *call = zl_task_current(t);
    zl_view code = zl_buf_view(&call->error.code);
    zl_event *event;
    if (retry->clock_offset_s != before->clock_offset_s) {
        event = add(op, ZL_EVENT_CLOCK_CORRECTED);
        if (event != NULL) {
            event->offset_s = retry->clock_offset_s;
        }
    }
    if (retry->pause_until_ms != before->pause_until_ms) {
        event = add(op, ZL_EVENT_PAUSED);
        if (event != NULL) {
            event->delay_ms = retry->pause_until_ms - op->now_ms;
            zl_buf_add_view(&event->code, code);
        }
    }
    if (call->state == ZL_CALL_WAITING) {
        event = add_of_call(op, t, ZL_EVENT_RETRIED);
        if (event != NULL) {
            event->attempt++; /* the one to come */
            event->delay_ms = call->due_ms - op->now_ms;
            zl_buf_add_view(&event->code, code);
        }
    }
}

void zl_operation_tell_answered(zl_operation *op, zl_task *t, const zl_before *before,
                                const zl_answer *answer) {
    const zl_call *call = zl_task_current(t);
    zl_event *event = add_of_call(op, t, ZL_EVENT_ANSWERED);
    if (event != NULL) {
        event->status = answer->status;
        event->duration_ms = op->now_ms - call->sent_ms;
        zl_buf_add_view(&event->request_id, answer->request_id);
        zl_buf_add_view(&event->code, zl_buf_view(&call->error.code));
    }
    tell_consequences(op, t, before);
}

void zl_operation_tell_failed(zl_operation *op, zl_task *t, const zl_before *before, zl_code code,
                              bool sent) {
    zl_event *event = add_of_call(op, t, ZL_EVENT_FAILED);
    if (event != NULL) {
        event->duration_ms = op->now_ms - zl_task_current(t)->sent_ms;
        event->has_outcome = true;
        event->outcome = zl_judge_failure(code, sent).outcome;
        zl_buf_add_text(&event->code, zl_code_name(code));
    }
    tell_consequences(op, t, before);
}

static void tell_batch(zl_operation *op, const zl_batch *batch, int64_t began_ms) {
    zl_event *event = add(op, ZL_EVENT_BATCH_SETTLED);
    if (event == NULL) {
        return;
    }
    event->call = batch->call;
    event->attempt = batch->attempts;
    event->id_count = batch->count;
    event->has_outcome = true;
    event->outcome = batch->outcome;
    event->duration_ms = began_ms < 0 ? -1 : op->now_ms - began_ms;
    zl_buf_add_view(&event->action, op->name);
    zl_buf_add_view(&event->request_id, batch->request_id);
    if (batch->error != NULL) {
        zl_buf_add_view(&event->code, zl_buf_view(&batch->error->code));
    }
}

void zl_operation_tell_settled(zl_operation *op, zl_task *t) {
    if (op->client->events.wanted) {
        zl_batch batch = zl_batch_of_task(t);
        tell_batch(op, &batch, t->began_ms);
        t->was_told = true;
    }
}

void zl_operation_tell_end(zl_operation *op) {
    if (!op->client->events.wanted || op->end_was_told || !zl_operation_is_done(op)) {
        return;
    }
    op->end_was_told = true;
    for (size_t n = 1; n <= zl_operation_count(op); n++) {
        bool begun = n <= op->made;
        if (!begun || !op->tasks[n - 1]->was_told) {
            zl_batch batch = zl_operation_batch(op, n);
            tell_batch(op, &batch, begun ? op->tasks[n - 1]->began_ms : -1);
        }
    }
}
