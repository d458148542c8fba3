/* The results of an operation: what became of every id. */
#include "operation_state.h"

const zl_error *zl_operation_error(const zl_operation *op) {
    return op->error.is_set ? &op->error : NULL;
}

bool zl_operation_is_incomplete(const zl_operation *op) {
    return op->incomplete || op->watch.out_of_memory;
}

zl_view zl_operation_action(const zl_operation *op) {
    return op->name;
}

const zl_ids *zl_operation_ids(const zl_operation *op) {
    return &op->ids;
}

size_t zl_operation_count(const zl_operation *op) {
    return op->ids.count > 0 ? op->made + zl_batches_of(op->ids.count - op->next_id) : op->calls;
}

zl_batch zl_batch_of_task(const zl_task *t) {
    const zl_call *call = &t->call;
    zl_batch batch = {
        .call = t->n,
        .first = t->count > 0 ? t->which[0] : 0,
        .count = t->count,
        .which = t->count > 0 ? t->which : NULL,
        .outcome = call->attempts > 0 ? call->outcome : ZL_OUTCOME_NOT_SENT,
        .attempts = call->attempts,
        .confirmed = t->confirmed,
        .failed_ids = t->failed_ids.count > 0 ? &t->failed_ids : NULL,
        .error = call->error.is_set ? &call->error : NULL,
    };
    batch.request_id = zl_buf_view(batch.outcome == ZL_OUTCOME_ACCEPTED ? &call->request_id
                                                                        : &call->error.request_id);
    for (const zl_task *forced = t->forced; forced != NULL; forced = forced->next) {
        batch.forced_count++;
    }
    return batch;
}

/* Ids that are only waited for: nothing is done to them, so it is about what they are. */
static void judge_by_status(const zl_operation *op, zl_batch *batch) {
    size_t stopped = 0;
    for (size_t i = 0; i < batch->count; i++) {
        stopped += op->watch.watched[batch->first + i].state == ZL_WATCHED_STOPPED;
    }
    /* What ended the waiting holds for whatever is not STOPPED. */
    batch->outcome = stopped == batch->count ? ZL_OUTCOME_ACCEPTED
                     : op->error.is_set      ? op->error.outcome
                                             : ZL_OUTCOME_UNKNOWN;
    batch->attempts = op->watch_requests;
}

zl_batch zl_operation_batch(const zl_operation *op, size_t n) {
    if (n <= op->made) {
        return zl_batch_of_task(op->tasks[n - 1]);
    }
    zl_batch batch = {.outcome = ZL_OUTCOME_NOT_SENT};
    if (op->ids.count > 0) {
        batch.first = op->next_id + (n - op->made - 1) * ZL_REQUEST_IDS_MAX;
        batch.count = zl_batch_of(op->ids.count - batch.first);
    }
    if (op->aim == ZL_AIM_WAIT) {
        judge_by_status(op, &batch);
    }
    return batch;
}

zl_view zl_operation_batch_id(const zl_operation *op, const zl_batch *batch, size_t i) {
    return zl_ids_at(&op->ids, batch->which != NULL ? batch->which[i] : batch->first + i);
}

zl_batch zl_operation_forced(const zl_operation *op, size_t n, size_t k) {
    const zl_task *forced = op->tasks[n - 1]->forced;
    for (size_t i = 1; i < k; i++) {
        forced = forced->next;
    }
    return zl_batch_of_task(forced);
}

const zl_watch *zl_operation_watch(const zl_operation *op) {
    return op->watching ? &op->watch : NULL;
}
