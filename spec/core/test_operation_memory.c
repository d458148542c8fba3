/* Every allocation of an operation fails in turn, alone or with all that follow. What comes of it
 * is the same as ever, or says that it is incomplete; never a success that was none. */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "support.h"

enum { BATCHES = 6 };

/* What has really happened, and what the operation makes of it. */
typedef struct outcome_of_run {
    bool made;    /* there was an operation */
    bool gave_up; /* the driver, for want of memory */
    bool incomplete;
    bool has_error;
    char code[64], message[256];
    zl_outcome outcome;
    zl_outcome batches[BATCHES + 1];
    int attempts[BATCHES + 1];
    bool accepted[BATCHES + 1]; /* as the server knows it */
} outcome_of_run;

/* What comes back for the k-th attempt of batch n. Returns whether the server accepted. */
static bool come_back(zl_operation *op, size_t n, int attempt, int64_t ms) {
    static const zl_view failed = {"i-310", 5};
    zl_moment now = moment(ms, 0.5);
    zl_answer a = answer_accepted("T-accepted");
    if (n == 1 && attempt == 1) {
        a = answer_of_no_api(429);
    } else if (n == 2) {
        a = answer_api_error(404, "INVALID_INSTANCE_NOT_FOUND");
    } else if (n == 3 && attempt == 1) {
        assert_true(
            zl_operation_failed(op, n, &now, ZL_CODE_CONNECTION_LOST, ZL_LIT("gone"), true));
        return false;
    } else if (n == 4) {
        a.failed_ids = &failed;
        a.failed_count = 1;
    } else if (n == 5 && attempt == 1) {
        a = answer_api_error(401, "AUTHFAILURE_SIGNATURE_EXPIRED");
        a.date_s = now.wall_s + 5000;
    }
    bool accepts = a.status == 200;
    assert_true(zl_operation_answered(op, n, &now, &a));
    return accepts;
}

static zl_operation *begin(zl_client *client, const char *prefix, bool by_deadline) {
    zl_operation *op = NULL;
    zl_ids ids = {0};
    zl_moment now = moment(0, 0.5);
    zl_operation_options options = {.continue_on_error = true,
                                    .deadline_ms = by_deadline ? 520 : 0};
    for (size_t i = 0; i < BATCHES * 100 - 50; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "%s%zu", prefix, i);
        if (zl_ids_add(&ids, zl_view_of(id)) != ZL_OK) {
            zl_ids_free(&ids);
            return NULL;
        }
    }
    int rc = zl_operation_new_stop(&op, client, &options, &now, &ids, ZL_FALSE);
    assert_int_equal(rc == ZL_OK, op != NULL);
    assert_true(rc == ZL_OK || rc == ZL_ERR_NOMEM);
    assert_null(ids.ends);
    return op;
}

static void take_account(const zl_operation *op, outcome_of_run *out) {
    const zl_error *e = zl_operation_error(op);
    out->incomplete = zl_operation_is_incomplete(op);
    out->has_error = e != NULL;
    if (e != NULL) {
        (void)snprintf(out->code, sizeof out->code, "%.*s", (int)e->code.len,
                       e->code.len > 0 ? e->code.data : "");
        (void)snprintf(out->message, sizeof out->message, "%.*s", (int)e->message.len,
                       e->message.len > 0 ? e->message.data : "");
        out->outcome = e->outcome;
    }
    assert_true(zl_operation_is_done(op));
    assert_int_equal(zl_operation_count(op), BATCHES);
    for (size_t n = 1; n <= BATCHES; n++) {
        zl_batch b = zl_operation_batch(op, n);
        out->batches[n] = b.outcome;
        out->attempts[n] = b.attempts;
    }
}

/* One run, in which allocation k fails (0: none). A driver that is told NOMEM asks again a few
 * times and then cancels. */
static outcome_of_run run(size_t k, bool persistent, bool by_deadline) {
    outcome_of_run out = {0};
    zl_client *client = new_client();
    client->max_concurrency = 3;
    int attempts[BATCHES + 1] = {0};
    size_t flight[3], flights = 0;
    int64_t ms = 0;
    size_t live = alloc_live();
    alloc_fail_at(k, persistent);
    zl_operation *op = begin(client, "i-", by_deadline);
    if (op == NULL) {
        assert_true(alloc_has_failed());
        alloc_fail_at(0, false);
        assert_int_equal(alloc_live(), live);
        assert_int_equal(client->references, 1);
        zl_client_unref(client);
        return out;
    }
    out.made = true;
    for (int failures = 0; !zl_operation_is_done(op);) {
        zl_step step;
        zl_moment now = moment(ms, 0.5);
        int rc = zl_operation_step(op, &now, &step);
        if (rc != ZL_OK) {
            assert_int_equal(rc, ZL_ERR_NOMEM);
            if (++failures > 3) {
                out.gave_up = true;
                assert_true(zl_operation_cancel(op, &now, ZL_LIT("out of memory")));
            }
        } else if (step.kind == ZL_STEP_SEND) {
            assert_true(flights < COUNT(flight));
            attempts[step.n]++;
            flight[flights++] = step.n;
        } else if (step.kind != ZL_STEP_DONE && flights > 0) {
            size_t n = flight[0];
            flights--;
            for (size_t i = 0; i < flights; i++) {
                flight[i] = flight[i + 1];
            }
            ms += 5;
            out.accepted[n] = come_back(op, n, attempts[n], ms) || out.accepted[n];
        } else if (step.kind != ZL_STEP_DONE) {
            ms += step.wait_ms;
        }
    }
    bool failed = alloc_has_failed();
    alloc_fail_at(0, false);
    take_account(op, &out);
    assert_true(failed || !out.incomplete);
    for (size_t n = 1; n <= BATCHES; n++) {
        assert_int_equal(out.attempts[n], attempts[n]);
    }
    zl_operation_free(op);
    assert_int_equal(alloc_live(), live);
    assert_int_equal(client->in_flight, 0);
    assert_int_equal(client->references, 1);
    zl_client_unref(client);
    return out;
}

static void check(size_t k, const outcome_of_run *got, const outcome_of_run *want) {
    for (size_t n = 1; n <= BATCHES && got->made; n++) {
        if ((got->batches[n] == ZL_OUTCOME_ACCEPTED) != got->accepted[n]) {
            fail_with("allocation %zu: batch %zu is %s", k, n, zl_outcome_name(got->batches[n]));
        }
    }
    if (!got->made || got->incomplete) {
        return;
    }
    if (!got->has_error) { /* batch 2 is refused always */
        fail_with("allocation %zu: a success that was none", k);
    }
    if (got->gave_up) {
        if (got->code[0] == '\0' || got->message[0] == '\0') {
            fail_with("allocation %zu: not incomplete, but code \"%s\", message \"%s\"", k,
                      got->code, got->message);
        }
        return;
    }
    if (strcmp(got->code, want->code) != 0 || strcmp(got->message, want->message) != 0 ||
        got->outcome != want->outcome ||
        memcmp(got->batches, want->batches, sizeof got->batches) != 0) {
        fail_with("allocation %zu: not incomplete, but the error is %s, \"%s\", %s", k, got->code,
                  got->message, zl_outcome_name(got->outcome));
    }
}

static void fail_each(bool persistent, bool by_deadline) {
    outcome_of_run want = run(0, false, by_deadline);
    assert_true(want.made && want.has_error && !want.incomplete);
    size_t before = alloc_count();
    (void)run(0, false, by_deadline);
    size_t all = alloc_count() - before;
    assert_in_range(all, 50, 2000);
    size_t incomplete = 0;
    for (size_t k = 1; k <= all; k++) {
        outcome_of_run got = run(k, persistent, by_deadline);
        check(k, &got, &want);
        incomplete += got.incomplete;
    }
    assert_true(incomplete > 0);
}

static void test_the_run_without_failures(void **state) {
    (void)state;
    outcome_of_run out = run(0, false, false);
    assert_string_equal(out.code, "INVALID_INSTANCE_NOT_FOUND");
    assert_int_equal(out.outcome, ZL_OUTCOME_REJECTED);
    for (size_t n = 1; n <= BATCHES; n++) {
        assert_int_equal(out.batches[n], n == 2 ? ZL_OUTCOME_REJECTED : ZL_OUTCOME_ACCEPTED);
        assert_int_equal(out.attempts[n], n == 1 || n == 3 || n == 5 ? 2 : 1);
    }
}

static void test_one_allocation_fails(void **state) {
    (void)state;
    fail_each(false, false);
}

static void test_an_allocation_and_all_after_it_fail(void **state) {
    (void)state;
    fail_each(true, false);
}

/* The same while the deadline ends it: the reason given to what was never begun is an allocation
 * too. */
static void test_one_allocation_fails_before_a_deadline(void **state) {
    (void)state;
    fail_each(false, true);
}

static void test_an_allocation_and_all_after_it_fail_before_a_deadline(void **state) {
    (void)state;
    fail_each(true, true);
}

/* Nothing has been answered yet, and nothing is begun: the operation's error is the cancel's own.
 */
static void test_a_cancel_without_memory(void **state) {
    (void)state;
    for (size_t k = 1; k <= 40; k++) {
        zl_client *client = new_client();
        zl_operation *op = begin(client, "i-", false);
        assert_non_null(op);
        zl_moment now = moment(0, 0.5);
        alloc_fail_at((k + 1) / 2, k % 2 == 0); /* alone, or with all after it */
        assert_true(zl_operation_cancel(op, &now, ZL_LIT("enough")));
        alloc_fail_at(0, false);
        assert_true(zl_operation_is_done(op));
        const zl_error *e = zl_operation_error(op);
        assert_non_null(e);
        if (!zl_operation_is_incomplete(op)) {
            assert_buf(e->code, "CANCELLED");
            assert_buf(e->message, "enough");
        }
        zl_operation_free(op);
        zl_client_unref(client);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_run_without_failures),
        cmocka_unit_test(test_one_allocation_fails),
        cmocka_unit_test(test_an_allocation_and_all_after_it_fail),
        cmocka_unit_test(test_one_allocation_fails_before_a_deadline),
        cmocka_unit_test(test_an_allocation_and_all_after_it_fail_before_a_deadline),
        cmocka_unit_test(test_a_cancel_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
