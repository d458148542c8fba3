/* A batch that is refused because of some of its ids: how these are told from the rest, which is
 * stopped. */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "driver.h"

static const char not_found[] = "INVALID_INSTANCE_NOT_FOUND";
static const char recycled[] = "OPERATION_DENIED_INSTANCE_RECYCLED";
static const char not_running[] = "OPERATION_DENIED_INSTANCE_NOT_RUNNING";

static const zl_operation_options isolating = {.isolate = true};

/* The answer to a look at the ids from `first` on, of which each has this status; NULL: it is not
 * there. */
static zl_answer shows(const zl_operation *op, size_t first, const char *const *statuses,
                       size_t count) {
    static zl_status rows[ZL_REQUEST_IDS_MAX];
    zl_answer a = answer_accepted("T-look");
    for (size_t i = 0; i < count; i++) {
        if (statuses[i] != NULL) {
            rows[a.item_count++] =
                (zl_status){zl_ids_at(zl_operation_ids(op), first + i), zl_view_of(statuses[i])};
        }
    }
    a.statuses = rows;
    a.total_count = (int64_t)a.item_count;
    return a;
}

/* Call n is sent, and is a stop of these ids, or a look at them: "i-0","i-3", as a body has it. */
static void expect_call(zl_operation *op, int64_t ms, size_t n, zl_aim aim, const char *ids) {
    char body[200];
    zl_step step = step_at(op, ms);
    assert_int_equal(step.kind, ZL_STEP_SEND);
    assert_int_equal(step.n, n);
    assert_int_equal(zl_operation_expects(op, n), aim);
    if (ids != NULL) {
        size_t count = 1;
        for (const char *at = ids; (at = strchr(at, ',')) != NULL; at++) {
            count++;
        }
        if (aim == ZL_AIM_STOP) {
            (void)snprintf(body, sizeof body, "{\"forceShutdown\":false,\"instanceIds\":[%s]}",
                           ids);
        } else {
            (void)snprintf(body, sizeof body, "{\"instanceIds\":[%s],\"pageSize\":%zu}", ids,
                           count);
        }
        assert_view(step.request->body, body);
    }
}

/* Batch n is the one id at this place, refused so. */
static void expect_bad(const zl_operation *op, size_t n, size_t place, int attempts,
                       const char *code) {
    zl_batch b = zl_operation_batch(op, n);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.which[0], place);
    assert_int_equal(b.first, place);
    expect_batch(op, n, ZL_OUTCOME_REJECTED, attempts, code);
}

static void finish(zl_operation *op, zl_client *client) {
    assert_int_equal(client->in_flight, 0);
    zl_operation_free(op);
    assert_int_equal(client->references, 1);
    zl_client_unref(client);
}

/* --- by status -------------------------------------------------------------------------------- */

static void test_bad_ids_are_told_by_status(void **state) {
    (void)state;
    static const char *const statuses[] = {"RUNNING", NULL,      "RECYCLE",  "STOPPED",
                                           "RUNNING", "IMAGING", "RECYCLING"};
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 7, isolating);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(404, not_found));
    assert_false(zl_operation_is_done(op));
    expect_call(op, 20, 1, ZL_AIM_STATUS,
                "\"i-0\",\"i-1\",\"i-2\",\"i-3\",\"i-4\",\"i-5\",\"i-6\"");
    answer(op, 1, 30, shows(op, 0, statuses, 7));
    expect_call(op, 40, 2, ZL_AIM_STOP, "\"i-0\",\"i-4\"");
    accept_batch(op, 2, 50);
    assert_int_equal(expect_error(op, ZL_OUTCOME_REJECTED, not_found)->attempts, 1);
    assert_int_equal(zl_operation_count(op), 6);
    zl_batch rest = zl_operation_batch(op, 1);
    expect_batch(op, 1, ZL_OUTCOME_ACCEPTED, 2, NULL); /* the one of the whole, and its own */
    assert_int_equal(rest.count, 2);
    assert_view(zl_operation_batch_id(op, &rest, 0), "i-0");
    assert_view(zl_operation_batch_id(op, &rest, 1), "i-4");
    assert_view(rest.request_id, "T-2");
    expect_bad(op, 2, 1, 1, not_found);
    expect_bad(op, 3, 2, 1, recycled);
    expect_bad(op, 4, 3, 1, not_running);
    expect_bad(op, 5, 5, 1, not_running);
    expect_bad(op, 6, 6, 1, recycled);
    assert_buf(zl_operation_batch(op, 2).error->message,
               "its batch was refused, and it does not exist");
    assert_buf(zl_operation_batch(op, 3).error->message,
               "its batch was refused, and it is RECYCLE");
    finish(op, client);
}

static void test_all_are_bad(void **state) {
    (void)state;
    static const char *const statuses[] = {NULL, "STOPPED", NULL};
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 3, isolating);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(403, not_running));
    expect_send(op, 20, 1);
    answer(op, 1, 30, shows(op, 0, statuses, 3));
    expect_error(op, ZL_OUTCOME_REJECTED, not_found);
    assert_int_equal(zl_operation_count(op), 3);
    expect_bad(op, 1, 0, 1, not_found);
    expect_bad(op, 2, 1, 1, not_running);
    expect_bad(op, 3, 2, 1, not_found);
    finish(op, client);
}

static void test_what_is_stopping_may_be_stopped_again_by_zec(void **state) {
    (void)state;
    static const char *const statuses[] = {"STOPPING", NULL};
    for (int zec = 0; zec <= 1; zec++) {
        zl_operation_options options = isolating;
        options.service = zec ? ZL_LIT("zec") : ZL_LIT("vm");
        zl_client *client = new_client();
        zl_operation *op = new_stop(client, 2, options);
        expect_send(op, 0, 1);
        answer(op, 1, 10, answer_api_error(404, not_found));
        expect_send(op, 20, 1);
        answer(op, 1, 30, shows(op, 0, statuses, 2));
        if (zec) {
            expect_call(op, 40, 2, ZL_AIM_STOP, "\"i-0\"");
            accept_batch(op, 2, 50);
            expect_batch(op, 1, ZL_OUTCOME_ACCEPTED, 2, NULL);
        } else {
            expect_bad(op, 1, 0, 1, not_running);
        }
        expect_bad(op, 2, 1, 1, not_found);
        expect_error(op, ZL_OUTCOME_REJECTED, zec ? not_found : not_running);
        finish(op, client);
    }
}

/* --- by halves -------------------------------------------------------------------------------- */

/* Halves of four ids, of which "i-2" is bad, down to it alone. The calls are 2, 3, … */
static void expect_halving(zl_operation *op, int64_t ms) {
    expect_call(op, ms, 2, ZL_AIM_STOP, "\"i-0\",\"i-1\"");
    expect_call(op, ms, 3, ZL_AIM_STOP, "\"i-2\",\"i-3\"");
    accept_batch(op, 2, ms + 10);
    answer(op, 3, ms + 10, answer_api_error(404, not_found)); /* no second look */
    expect_call(op, ms + 20, 4, ZL_AIM_STOP, "\"i-2\"");
    expect_call(op, ms + 20, 5, ZL_AIM_STOP, "\"i-3\"");
    answer(op, 4, ms + 30, answer_api_error(404, not_found));
    accept_batch(op, 5, ms + 30);
    expect_error(op, ZL_OUTCOME_REJECTED, not_found);
    assert_int_equal(zl_operation_count(op), 3);
    expect_batch(op, 1, ZL_OUTCOME_ACCEPTED, 2, NULL);
    expect_bad(op, 2, 2, 3, not_found);
    expect_batch(op, 3, ZL_OUTCOME_ACCEPTED, 3, NULL);
    expect_whole_account(op);
}

static void test_a_look_that_shows_nothing(void **state) {
    (void)state;
    static const char *const statuses[] = {"RUNNING", "RUNNING", "RUNNING", "RUNNING"};
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 4, isolating);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(404, not_found));
    expect_call(op, 20, 1, ZL_AIM_STATUS, NULL);
    answer(op, 1, 30, shows(op, 0, statuses, 4));
    expect_halving(op, 40);
    finish(op, client);
}

static void test_a_look_that_is_refused(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 4, isolating);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(404, not_found));
    expect_call(op, 20, 1, ZL_AIM_STATUS, NULL);
    answer(op, 1, 30, answer_api_error(403, "AUTHFAILURE_UNAUTHORIZED_OPERATION"));
    expect_halving(op, 40);
    finish(op, client);
}

static void test_bmc_has_no_status_to_look_at(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation_options options = isolating;
    options.service = ZL_LIT("bmc");
    zl_operation *op = new_stop(client, 4, options);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(404, not_found));
    expect_halving(op, 40);
    finish(op, client);
}

/* Each part has as many attempts of its own as any call. */
static void test_the_attempts_of_a_part(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation_options options = {.isolate = true, .service = ZL_LIT("bmc"), .max_attempts = 2};
    zl_operation *op = new_stop(client, 2, options);
    expect_send(op, 0, 1);
    lose(op, 1, 10, ZL_CODE_CONNECT_FAILED, false);
    expect_send(op, 1000, 1);
    answer(op, 1, 1010, answer_api_error(404, not_found));
    expect_send(op, 1020, 2);
    expect_send(op, 1020, 3);
    accept_batch(op, 3, 1030);
    lose(op, 2, 1030, ZL_CODE_CONNECT_FAILED, false);
    expect_send(op, 2000, 2);
    lose(op, 2, 2010, ZL_CODE_CONNECT_FAILED, false);
    expect_batch(op, 1, ZL_OUTCOME_REJECTED, 4, "CONNECT_FAILED"); /* its batch was refused */
    expect_batch(op, 2, ZL_OUTCOME_ACCEPTED, 3, NULL);
    expect_error(op, ZL_OUTCOME_REJECTED, "CONNECT_FAILED");
    finish(op, client);
}

/* --- what goes on, and what does not ---------------------------------------------------------- */

static void test_the_next_batches_go_on(void **state) {
    (void)state;
    static const char *const statuses[] = {NULL};
    zl_client *client = new_client();
    client->max_concurrency = 1;
    zl_operation *op = new_stop(client, 201, isolating);
    expect_send(op, 0, 1);
    accept_batch(op, 1, 10);
    expect_send(op, 20, 2);
    answer(op, 2, 30, answer_api_error(404, not_found));
    expect_call(op, 40, 2, ZL_AIM_STATUS, NULL);
    answer(op, 2, 50, shows(op, 100, statuses, 1));        /* all of them are gone */
    expect_send(op, 60, 103);                              /* past the numbers of a hundred parts */
    answer(op, 103, 70, answer_api_error(404, not_found)); /* one id: nothing to find out */
    expect_error(op, ZL_OUTCOME_REJECTED, not_found);
    assert_int_equal(zl_operation_count(op), 102);
    for (size_t n = 2; n <= 102; n++) {
        expect_bad(op, n, 98 + n, 1, not_found);
    }
    expect_whole_account(op);
    finish(op, client);
}

/* What else is refused stops all that was not begun, the parts too. */
static void test_a_hard_refusal_of_the_rest(void **state) {
    (void)state;
    static const char *const statuses[] = {"RUNNING", NULL};
    zl_client *client = new_client();
    client->max_concurrency = 1;
    zl_operation *op = new_stop(client, 101, isolating);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(404, not_found));
    expect_send(op, 20, 1);
    answer(op, 1, 30, shows(op, 0, statuses, 2));
    expect_call(op, 40, 2, ZL_AIM_STOP, "\"i-0\"");
    answer(op, 2, 50, answer_api_error(401, "AUTHFAILURE_SIGNATURE_FAILURE"));
    expect_step(op, 60, ZL_STEP_DONE, 0);
    expect_error(op, ZL_OUTCOME_REJECTED, not_found); /* the first */
    assert_int_equal(zl_operation_count(op), 101);
    expect_batch(op, 1, ZL_OUTCOME_REJECTED, 2, "AUTHFAILURE_SIGNATURE_FAILURE");
    expect_batch(op, 101, ZL_OUTCOME_NOT_SENT, 0, NULL);
    finish(op, client);
}

/* The halves wait while another batch fails for good, not sent: they were refused, and that counts
 * in the outcome of the whole. */
static void test_parts_that_are_never_begun(void **state) {
    (void)state;
    zl_operation_options options = {.isolate = true, .service = ZL_LIT("bmc")};
    for (int order = 0; order <= 1; order++) {
        zl_client *client = new_client();
        client->max_concurrency = 2;
        zl_operation *op = new_stop(client, 300, options);
        expect_send(op, 0, 1);
        expect_send(op, 0, 2);
        if (order == 0) {
            answer(op, 1, 10, answer_api_error(404, not_found));
            lose(op, 2, 10, ZL_CODE_TLS_VERIFY_FAILED, false);
        } else {
            lose(op, 2, 10, ZL_CODE_TLS_VERIFY_FAILED, false);
            answer(op, 1, 10, answer_api_error(404, not_found)); /* too late for isolation */
        }
        expect_step(op, 20, ZL_STEP_DONE, 0);
        expect_error(op, ZL_OUTCOME_REJECTED, "TLS_VERIFY_FAILED");
        assert_int_equal(zl_operation_count(op), order == 0 ? 4 : 3);
        expect_batch(op, 1, ZL_OUTCOME_REJECTED, 1, not_found);
        expect_batch(op, order == 0 ? 3 : 2, ZL_OUTCOME_NOT_SENT, 1, "TLS_VERIFY_FAILED");
        expect_whole_account(op);
        finish(op, client);
    }
}

static void test_parts_of_a_look_that_comes_too_late(void **state) {
    (void)state;
    zl_client *client = new_client();
    client->max_concurrency = 2;
    zl_operation *op = new_stop(client, 200, isolating);
    expect_send(op, 0, 1);
    expect_send(op, 0, 2);
    answer(op, 1, 10, answer_api_error(404, not_found));
    expect_call(op, 10, 1, ZL_AIM_STATUS, NULL);
    lose(op, 2, 20, ZL_CODE_TLS_VERIFY_FAILED, false);
    lose(op, 1, 30, ZL_CODE_RESPONSE_TOO_LARGE, true); /* the look */
    expect_step(op, 40, ZL_STEP_DONE, 0);
    expect_error(op, ZL_OUTCOME_REJECTED, "TLS_VERIFY_FAILED");
    expect_whole_account(op);
    finish(op, client);
}

static void test_a_cancel_in_the_middle(void **state) {
    (void)state;
    zl_client *client = new_client();
    client->max_concurrency = 1;
    zl_operation_options options = {.isolate = true, .service = ZL_LIT("bmc")};
    zl_operation *op = new_stop(client, 4, options);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(404, not_found));
    expect_call(op, 20, 2, ZL_AIM_STOP, "\"i-0\",\"i-1\"");
    assert_true(cancel(op, 20));
    expect_error(op, ZL_OUTCOME_UNKNOWN, "CANCELLED");
    assert_int_equal(zl_operation_count(op), 2);
    expect_batch(op, 1, ZL_OUTCOME_UNKNOWN, 2, "CANCELLED");  /* it was in flight */
    expect_batch(op, 2, ZL_OUTCOME_REJECTED, 1, "CANCELLED"); /* its batch was refused */
    expect_whole_account(op);
    finish(op, client);
}

static void test_a_cancel_while_looking(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 4, isolating);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(404, not_found));
    expect_call(op, 20, 1, ZL_AIM_STATUS, NULL);
    assert_true(cancel(op, 20));
    expect_error(op, ZL_OUTCOME_REJECTED, not_found);
    assert_int_equal(zl_operation_count(op), 1);
    expect_batch(op, 1, ZL_OUTCOME_REJECTED, 1, not_found);
    finish(op, client);
}

static void test_an_unknown_batch_stays_whole(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 4, isolating);
    expect_send(op, 0, 1);
    lose(op, 1, 10, ZL_CODE_CONNECTION_LOST, true);
    expect_send(op, 1000, 1);
    answer(op, 1, 1010, answer_api_error(404, not_found));
    expect_error(op, ZL_OUTCOME_UNKNOWN, not_found);
    assert_int_equal(zl_operation_count(op), 1);
    expect_batch(op, 1, ZL_OUTCOME_UNKNOWN, 2, not_found);
    finish(op, client);
}

static void test_other_refusals_are_of_the_whole(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 4, isolating);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(400, "INVALID_PARAMETER_TYPE"));
    expect_error(op, ZL_OUTCOME_REJECTED, "INVALID_PARAMETER_TYPE");
    expect_batch(op, 1, ZL_OUTCOME_REJECTED, 1, "INVALID_PARAMETER_TYPE");
    finish(op, client);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* From the refusal on, nothing can be allocated, or from the look's answer on: the batch stays
 * whole, and is refused. */
static void test_isolation_without_memory(void **state) {
    (void)state;
    static const char *const statuses[] = {"RUNNING", NULL, "RUNNING", NULL};
    size_t live = alloc_live();
    for (int late = 0; late <= 1; late++) {
        zl_client *client = new_client();
        zl_operation *op = new_stop(client, 4, isolating);
        expect_send(op, 0, 1);
        zl_answer refused = answer_api_error(404, not_found);
        if (late) {
            answer(op, 1, 10, refused);
            expect_call(op, 20, 1, ZL_AIM_STATUS, NULL);
            alloc_fail_at(1, true);
            answer(op, 1, 30, shows(op, 0, statuses, 4));
        } else {
            alloc_fail_at(1, true);
            answer(op, 1, 10, refused);
        }
        assert_true(alloc_has_failed());
        alloc_fail_at(0, false);
        assert_true(zl_operation_is_done(op));
        assert_int_equal(zl_operation_count(op), 1);
        assert_int_equal(zl_operation_batch(op, 1).outcome, ZL_OUTCOME_REJECTED);
        assert_int_equal(zl_operation_batch(op, 1).attempts, 1);
        assert_non_null(zl_operation_error(op));
        expect_whole_account(op);
        finish(op, client);
        assert_int_equal(alloc_live(), live);
    }
}

/* Each allocation fails in turn, after the refusal: whatever comes of it, the account is whole and
 * true, and nothing leaks. Two of four ids are gone. Returns whether one failed. */
static bool isolate_without(size_t k) {
    static const char *const statuses[] = {"RUNNING", NULL, "RUNNING", NULL};
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 4, isolating);
    bool acted[4] = {false};
    int64_t ms = 10;
    expect_send(op, 0, 1);
    alloc_fail_at(k, false);
    answer(op, 1, ms, answer_api_error(404, not_found));
    for (int steps = 0; !zl_operation_is_done(op); steps++) {
        zl_step step;
        zl_moment now = now_at(++ms);
        assert_true(steps < 100);
        int rc = zl_operation_step(op, &now, &step);
        if (rc != ZL_OK || step.kind != ZL_STEP_SEND) {
            assert_true(rc == ZL_OK || rc == ZL_ERR_NOMEM);
            continue;
        }
        zl_view ids[4];
        size_t count = ids_of_body(step.request->body, ids, 4);
        bool bad = false;
        for (size_t i = 0; i < count; i++) {
            bad = bad || (ids[i].data[2] - '0') % 2 == 1;
        }
        if (zl_operation_expects(op, step.n) == ZL_AIM_STATUS) {
            answer(op, step.n, ms, shows(op, 0, statuses, 4));
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            acted[ids[i].data[2] - '0'] = !bad;
        }
        answer(op, step.n, ms, bad ? answer_api_error(404, not_found) : answer_accepted("T-1"));
    }
    bool failed = alloc_has_failed();
    alloc_fail_at(0, false);
    size_t total = 0;
    for (size_t n = 1; n <= zl_operation_count(op); n++) {
        zl_batch b = zl_operation_batch(op, n);
        for (size_t i = 0; i < b.count; i++, total++) {
            bool is_accepted = b.outcome == ZL_OUTCOME_ACCEPTED;
            assert_int_equal(acted[zl_operation_batch_id(op, &b, i).data[2] - '0'], is_accepted);
        }
    }
    assert_int_equal(total, 4);
    assert_non_null(zl_operation_error(op));
    finish(op, client);
    return failed;
}

static void test_isolation_with_one_allocation_failing(void **state) {
    (void)state;
    size_t live = alloc_live(), k = 1;
    while (isolate_without(k)) {
        assert_int_equal(alloc_live(), live);
        assert_true(++k < 500);
    }
    assert_true(k > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_ids_are_told_by_status),
        cmocka_unit_test(test_all_are_bad),
        cmocka_unit_test(test_what_is_stopping_may_be_stopped_again_by_zec),
        cmocka_unit_test(test_a_look_that_shows_nothing),
        cmocka_unit_test(test_a_look_that_is_refused),
        cmocka_unit_test(test_bmc_has_no_status_to_look_at),
        cmocka_unit_test(test_the_attempts_of_a_part),
        cmocka_unit_test(test_the_next_batches_go_on),
        cmocka_unit_test(test_a_hard_refusal_of_the_rest),
        cmocka_unit_test(test_parts_that_are_never_begun),
        cmocka_unit_test(test_parts_of_a_look_that_comes_too_late),
        cmocka_unit_test(test_a_cancel_in_the_middle),
        cmocka_unit_test(test_a_cancel_while_looking),
        cmocka_unit_test(test_an_unknown_batch_stays_whole),
        cmocka_unit_test(test_other_refusals_are_of_the_whole),
        cmocka_unit_test(test_isolation_without_memory),
        cmocka_unit_test(test_isolation_with_one_allocation_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
