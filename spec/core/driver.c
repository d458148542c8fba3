#include "driver.h"

const zl_operation_options defaults;

zl_moment now_at(int64_t ms) {
    return moment(ms, 0.5);
}

zl_operation *new_stop(zl_client *client, size_t id_count, zl_operation_options options) {
    zl_ids ids = {0};
    zl_operation *op;
    zl_moment now = now_at(0);
    add_ids(&ids, "i-", id_count);
    assert_int_equal(zl_operation_new_stop(&op, client, &options, &now, &ids, ZL_FALSE), ZL_OK);
    assert_int_equal(ids.count, 0); /* moved */
    return op;
}

zl_step step_at(zl_operation *op, int64_t ms) {
    zl_step step;
    zl_moment now = now_at(ms);
    assert_int_equal(zl_operation_step(op, &now, &step), ZL_OK);
    return step;
}

size_t send_all(zl_operation *op, int64_t ms, size_t first, zl_step *last) {
    size_t count = 0;
    for (;; count++) {
        *last = step_at(op, ms);
        if (last->kind != ZL_STEP_SEND) {
            return count;
        }
        assert_int_equal(last->n, first + count);
    }
}

void expect_step(zl_operation *op, int64_t ms, zl_step_kind kind, int64_t wait_ms) {
    zl_step step = step_at(op, ms);
    assert_int_equal(step.kind, kind);
    if (kind == ZL_STEP_WAIT || kind == ZL_STEP_PENDING) {
        assert_int_equal(step.wait_ms, wait_ms);
    }
}

void expect_send(zl_operation *op, int64_t ms, size_t n) {
    zl_step step = step_at(op, ms);
    assert_int_equal(step.kind, ZL_STEP_SEND);
    assert_int_equal(step.n, n);
}

void answer(zl_operation *op, size_t n, int64_t ms, zl_answer a) {
    zl_moment now = now_at(ms);
    assert_true(zl_operation_answered(op, n, &now, &a));
}

void lose(zl_operation *op, size_t n, int64_t ms, zl_code code, bool sent) {
    zl_moment now = now_at(ms);
    assert_true(zl_operation_failed(op, n, &now, code, ZL_LIT("gone"), sent));
}

void accept_batch(zl_operation *op, size_t n, int64_t ms) {
    static const char *const ids[] = {"T-0", "T-1", "T-2", "T-3", "T-4", "T-5", "T-6"};
    answer(op, n, ms, answer_accepted(ids[n % COUNT(ids)]));
}

bool cancel(zl_operation *op, int64_t ms) {
    zl_moment now = now_at(ms);
    return zl_operation_cancel(op, &now, ZL_LIT("enough"));
}

void expect_whole_account(const zl_operation *op) {
    size_t next = 0;
    for (size_t n = 1; n <= zl_operation_count(op); n++) {
        zl_batch b = zl_operation_batch(op, n);
        assert_int_equal(b.first, next);
        assert_in_range(b.count, 1, ZL_REQUEST_IDS_MAX);
        next += b.count;
        assert_true((b.outcome == ZL_OUTCOME_ACCEPTED) <= (b.attempts > 0));
    }
    assert_int_equal(next, zl_operation_ids(op)->count);
}

void expect_batch(const zl_operation *op, size_t n, zl_outcome outcome, int attempts,
                  const char *code) {
    zl_batch b = zl_operation_batch(op, n);
    if (b.outcome != outcome || b.attempts != attempts) {
        fail_with("batch %zu: %s after %d attempts", n, zl_outcome_name(b.outcome), b.attempts);
    }
    assert_int_equal(b.error != NULL, code != NULL);
    if (code != NULL && b.error != NULL) {
        assert_buf(b.error->code, code);
        assert_int_equal(b.error->attempts, attempts);
    }
}

const zl_error *expect_error(const zl_operation *op, zl_outcome outcome, const char *code) {
    const zl_error *e = zl_operation_error(op);
    assert_true(zl_operation_is_done(op));
    assert_false(zl_operation_is_incomplete(op));
    assert_non_null(e);
    assert_buf(e->code, code);
    assert_int_equal(e->outcome, outcome);
    return e;
}

void expect_success(const zl_operation *op) {
    assert_true(zl_operation_is_done(op));
    assert_null(zl_operation_error(op));
    assert_false(zl_operation_is_incomplete(op));
}
