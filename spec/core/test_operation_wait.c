/* Waiting until instances are STOPPED, after a stop or alone, and the force that follows a grace.
 * Random numbers are always 0.5: the pauses between looks are 2 s, 3 s, 5 s, 8.5 s … */
#include "driver.h"

static const char not_running[] = "OPERATION_DENIED_INSTANCE_NOT_RUNNING";

static zl_operation_options waiting(int64_t timeout_ms, int64_t grace_ms) {
    return (zl_operation_options){.wait = true,
                                  .watch = {.timeout_ms = timeout_ms,
                                            .min_delay_ms = 2000,
                                            .max_delay_ms = 15000,
                                            .grace_ms = grace_ms}};
}

static zl_operation *new_wait(zl_client *client, size_t id_count, int64_t timeout_ms) {
    zl_operation_options options = waiting(timeout_ms, 0);
    zl_operation *op;
    zl_ids ids = {0};
    zl_moment now = now_at(0);
    add_ids(&ids, "i-", id_count);
    assert_int_equal(zl_operation_new_wait(&op, client, &options, &now, &ids), ZL_OK);
    return op;
}

/* A stop of so many ids (one batch), sent as call 1 and accepted at 10 ms: the waiting begins. */
static zl_operation *stopped(zl_client *client, size_t id_count, zl_operation_options options) {
    zl_operation *op = new_stop(client, id_count, options);
    expect_send(op, 0, 1);
    assert_null(zl_operation_watch(op));
    accept_batch(op, 1, 10);
    assert_false(zl_operation_is_done(op));
    return op;
}

/* The next step is call n, a stop with force, or a look. */
static void expect_call(zl_operation *op, int64_t ms, size_t n, zl_aim aim, const char *body) {
    zl_step step = step_at(op, ms);
    assert_int_equal(step.kind, ZL_STEP_SEND);
    assert_int_equal(step.n, n);
    assert_int_equal(zl_operation_expects(op, n), aim);
    assert_view(step.request->body, body);
}

/* Call n is answered by the statuses of "i-0" …; NULL: that one is not there. */
static void show(zl_operation *op, size_t n, int64_t ms, const char *const *statuses,
                 size_t count) {
    zl_status rows[8];
    zl_answer a = answer_accepted("T-look");
    for (size_t i = 0; i < count; i++) {
        if (statuses[i] != NULL) {
            rows[a.item_count++] =
                (zl_status){zl_ids_at(zl_operation_ids(op), i), zl_view_of(statuses[i])};
        }
    }
    a.statuses = rows;
    answer(op, n, ms, a);
}

static void show_one(zl_operation *op, size_t n, int64_t ms, const char *status) {
    show(op, n, ms, &status, 1);
}

static void finish(zl_operation *op, zl_client *client) {
    assert_int_equal(client->in_flight, 0);
    zl_operation_free(op);
    assert_int_equal(client->references, 1);
    zl_client_unref(client);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void test_a_stop_that_waits(void **state) {
    (void)state;
    static const char *const both[] = {"STOPPING", "STOPPED"};
    zl_client *client = new_client();
    zl_operation *op = stopped(client, 2, waiting(60000, 0));
    expect_call(op, 20, 2, ZL_AIM_STATUS, "{\"instanceIds\":[\"i-0\",\"i-1\"],\"pageSize\":2}");
    assert_int_equal(zl_operation_deadline_ms(op), 60020); /* its own, from its beginning */
    expect_step(op, 30, ZL_STEP_PENDING, 60020 - 30);
    show(op, 2, 40, both, 2);
    expect_step(op, 40, ZL_STEP_WAIT, 2000);
    expect_call(op, 2040, 3, ZL_AIM_STATUS, "{\"instanceIds\":[\"i-0\"],\"pageSize\":1}");
    show_one(op, 3, 2050, "STOPPING");
    expect_step(op, 2050, ZL_STEP_WAIT, 3000);
    expect_call(op, 5050, 4, ZL_AIM_STATUS, "{\"instanceIds\":[\"i-0\"],\"pageSize\":1}");
    show_one(op, 4, 5060, "STOPPED");
    expect_success(op);
    expect_batch(op, 1, ZL_OUTCOME_ACCEPTED, 1, NULL);
    assert_int_equal(zl_operation_count(op), 1); /* looks are in no account */
    assert_int_equal(zl_operation_watch(op)->stopped, 2);
    finish(op, client);
}

static void test_a_wait_alone(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_wait(client, 250, 60000);
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 3);
    static zl_status rows[250];
    for (size_t n = 1; n <= 3; n++) {
        zl_answer a = answer_accepted("T-look");
        for (size_t i = 0; i < (n == 3 ? 50u : 100u); i++) {
            rows[a.item_count++] =
                (zl_status){zl_ids_at(zl_operation_ids(op), (n - 1) * 100 + i), ZL_LIT("STOPPED")};
        }
        a.statuses = rows;
        answer(op, n, 10, a);
    }
    expect_success(op);
    expect_whole_account(op);
    assert_int_equal(zl_operation_count(op), 3);
    for (size_t n = 1; n <= 3; n++) {
        assert_int_equal(zl_operation_batch(op, n).outcome, ZL_OUTCOME_ACCEPTED);
    }
    finish(op, client);
}

/* What may pass does not end the waiting: a look that fails for good is made again later. */
static void test_transient_failures(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation_options options = waiting(60000, 0);
    options.max_attempts = 1;
    zl_operation *op = stopped(client, 1, options);
    expect_send(op, 20, 2);
    lose(op, 2, 30, ZL_CODE_CONNECTION_LOST, true);
    expect_step(op, 30, ZL_STEP_WAIT, 2000);
    expect_send(op, 2030, 3);
    answer(op, 3, 2040, answer_api_error(500, "INTERNAL_SERVER_ERROR"));
    expect_step(op, 2040, ZL_STEP_WAIT, 3000);
    expect_send(op, 5040, 4);
    answer(op, 4, 5050, answer_of_no_api(200));
    expect_step(op, 5050, ZL_STEP_WAIT, 5000);
    expect_send(op, 10050, 5);
    zl_answer limited = answer_of_no_api(429);
    limited.retry_after_s = 20;
    answer(op, 5, 10060, limited);
    expect_step(op, 10060, ZL_STEP_WAIT, 8500);
    expect_step(op, 18560, ZL_STEP_WAIT, 12000); /* the pause is longer than the rest */
    expect_send(op, 30560, 6);
    show_one(op, 6, 30570, "STOPPED");
    expect_success(op);
    finish(op, client);
}

/* A pause that is longer than the time left does not end it before its time. */
static void test_a_pause_beyond_the_waiting(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = stopped(client, 1, waiting(30000, 0));
    expect_send(op, 20, 2);
    zl_answer limited = answer_of_no_api(429);
    limited.retry_after_s = 300;
    answer(op, 2, 30, limited);
    expect_step(op, 30, ZL_STEP_WAIT, 2000);
    expect_step(op, 2030, ZL_STEP_WAIT, 27990);
    expect_step(op, 30019, ZL_STEP_WAIT, 1);
    expect_step(op, 30020, ZL_STEP_DONE, 0);
    expect_error(op, ZL_OUTCOME_UNKNOWN, "WAIT_TIMEOUT");
    finish(op, client);
}

static void test_a_refusal_ends_the_waiting(void **state) {
    (void)state;
    for (int alone = 0; alone <= 1; alone++) {
        zl_client *client = new_client();
        zl_operation *op =
            alone ? new_wait(client, 1, 60000) : stopped(client, 1, waiting(60000, 0));
        size_t n = alone ? 1 : 2;
        expect_send(op, 20, n);
        answer(op, n, 30, answer_api_error(401, "AUTHFAILURE_SIGNATURE_FAILURE"));
        const zl_error *e = expect_error(op, alone ? ZL_OUTCOME_REJECTED : ZL_OUTCOME_UNKNOWN,
                                         "AUTHFAILURE_SIGNATURE_FAILURE");
        assert_int_equal(e->http_status, 401);
        assert_int_equal(e->attempts, 1);
        assert_int_equal(zl_operation_batch(op, 1).outcome,
                         alone ? ZL_OUTCOME_REJECTED : ZL_OUTCOME_ACCEPTED);
        finish(op, client);
    }
}

static void test_the_waiting_times_out(void **state) {
    (void)state;
    for (int alone = 0; alone <= 1; alone++) {
        zl_client *client = new_client();
        zl_operation *op = alone ? new_wait(client, 2, 4000) : stopped(client, 2, waiting(4000, 0));
        static const char *const statuses[] = {"STOPPED", "STOPPING"};
        size_t n = alone ? 1 : 2;
        int64_t began = alone ? 0 : 20;
        expect_send(op, 20, n);
        show(op, n, 100, statuses, 2);
        expect_step(op, 100, ZL_STEP_WAIT, began + 2000 - 100); /* the last look */
        expect_send(op, began + 2000, n + 1);
        expect_step(op, began + 3999, ZL_STEP_PENDING, 1); /* in flight at the end */
        expect_step(op, began + 4000, ZL_STEP_DONE, 0);
        const zl_error *e = expect_error(op, ZL_OUTCOME_UNKNOWN, "WAIT_TIMEOUT");
        assert_int_equal(e->kind, ZL_KIND_TIMEOUT);
        assert_buf(e->message, "1 of 2 instances are not STOPPED after 4 s");
        assert_int_equal(e->retryable, alone);
        finish(op, client);
    }
}

static void test_a_cancel(void **state) {
    (void)state;
    for (int when = 0; when <= 2; when++) { /* before the first look, in flight, at rest */
        zl_client *client = new_client();
        zl_operation *op = stopped(client, 1, waiting(60000, 0));
        if (when > 0) {
            expect_send(op, 20, 2);
        }
        if (when > 1) {
            show_one(op, 2, 30, "STOPPING");
            expect_step(op, 30, ZL_STEP_WAIT, 2000);
        }
        assert_true(cancel(op, 40));
        assert_false(cancel(op, 40));
        const zl_error *e = expect_error(op, ZL_OUTCOME_UNKNOWN, "CANCELLED");
        assert_buf(e->message, "enough");
        expect_batch(op, 1, ZL_OUTCOME_ACCEPTED, 1, NULL);
        finish(op, client);
    }
    zl_client *client = new_client();
    zl_operation *op = new_wait(client, 1, 60000);
    assert_true(cancel(op, 0));
    expect_error(op, ZL_OUTCOME_NOT_SENT, "CANCELLED"); /* nobody was asked */
    assert_int_equal(zl_operation_batch(op, 1).outcome, ZL_OUTCOME_NOT_SENT);
    finish(op, client);
}

/* One that will not stop is told once the others have come to their end. */
static void test_an_unexpected_state(void **state) {
    (void)state;
    static const char *const first[] = {"STOPPING", "RECYCLE", NULL}, *const second[] = {
                                                                          "STOPPING"};
    zl_client *client = new_client();
    zl_operation *op = stopped(client, 3, waiting(60000, 0));
    expect_send(op, 20, 2);
    show(op, 2, 30, first, 3);
    expect_step(op, 30, ZL_STEP_WAIT, 2000);
    expect_call(op, 2030, 3, ZL_AIM_STATUS, "{\"instanceIds\":[\"i-0\",\"i-2\"],\"pageSize\":2}");
    show(op, 3, 2040, second, 1); /* "i-2" is gone a second time */
    expect_step(op, 2040, ZL_STEP_WAIT, 3000);
    expect_call(op, 5040, 4, ZL_AIM_STATUS, "{\"instanceIds\":[\"i-0\"],\"pageSize\":1}");
    show_one(op, 4, 5050, "STOPPED");
    const zl_error *e = expect_error(op, ZL_OUTCOME_UNKNOWN, "UNEXPECTED_STATE");
    assert_int_equal(e->kind, ZL_KIND_STATE);
    assert_buf(e->message, "2 of 3 instances will not become STOPPED: i-1 is RECYCLE");
    finish(op, client);
}

static void test_nothing_to_wait_for(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation_options options = waiting(60000, 0);
    options.continue_on_error = true;
    zl_operation *op = new_stop(client, 1, options);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(403, not_running));
    expect_step(op, 20, ZL_STEP_DONE, 0); /* nobody is asked for */
    expect_error(op, ZL_OUTCOME_REJECTED, not_running);
    finish(op, client);
}

/* Of a stop that failed, the rest is waited for only where it goes on after errors. */
static void test_errors_before_the_waiting(void **state) {
    (void)state;
    for (int goes_on = 0; goes_on <= 1; goes_on++) {
        zl_client *client = new_client();
        zl_operation_options options = waiting(60000, 0);
        options.continue_on_error = goes_on;
        zl_operation *op = new_stop(client, 101, options);
        expect_send(op, 0, 1);
        expect_send(op, 0, 2);
        answer(op, 1, 10, answer_api_error(403, not_running));
        accept_batch(op, 2, 10);
        if (goes_on) {
            expect_call(op, 20, 3, ZL_AIM_STATUS, "{\"instanceIds\":[\"i-100\"],\"pageSize\":1}");
            zl_answer a = answer_accepted("T-look");
            a.statuses = &(zl_status){ZL_LIT("i-100"), ZL_LIT("STOPPED")};
            a.item_count = 1;
            answer(op, 3, 30, a);
        }
        expect_step(op, 40, ZL_STEP_DONE, 0);
        expect_error(op, ZL_OUTCOME_REJECTED, not_running);
        assert_int_equal(zl_operation_watch(op) != NULL, goes_on);
        finish(op, client);
    }
}

/* The ids that zec says have failed are not waited for, nor forced. */
static void test_failed_ids_are_not_waited_for(void **state) {
    (void)state;
    static const zl_view failed = {"i-1", 3};
    zl_client *client = new_client();
    zl_operation_options options = waiting(60000, 0);
    options.service = ZL_LIT("zec");
    options.continue_on_error = true;
    zl_operation *op = new_stop(client, 3, options);
    expect_send(op, 0, 1);
    zl_answer a = answer_accepted("T-1");
    a.failed_ids = &failed;
    a.failed_count = 1;
    answer(op, 1, 10, a);
    expect_call(op, 20, 2, ZL_AIM_STATUS, "{\"instanceIds\":[\"i-0\",\"i-2\"],\"pageSize\":2}");
    static const char *const statuses[] = {"STOPPED", "RUNNING", "STOPPED"};
    show(op, 2, 30, statuses, 3);
    expect_error(op, ZL_OUTCOME_REJECTED, "PARTIAL_FAILURE");
    assert_int_equal(zl_operation_watch(op)->total, 2);
    finish(op, client);
}

/* --- grace ------------------------------------------------------------------------------------ */

/* Three ids, stopped at 10 ms with a grace of 1 s from 20 ms on; the first look, and the last one
 * before the force, have been answered. At 1,030 ms the force is due. */
static zl_operation *after_grace(zl_client *client, const char *const *statuses) {
    zl_operation *op = stopped(client, 3, waiting(60000, 1000));
    static const char *const running[] = {"RUNNING", "RUNNING", "RUNNING"};
    expect_send(op, 20, 2);
    show(op, 2, 30, running, 3);
    expect_step(op, 30, ZL_STEP_WAIT, 990);
    expect_call(op, 1020, 3, ZL_AIM_STATUS,
                "{\"instanceIds\":[\"i-0\",\"i-1\",\"i-2\"],\"pageSize\":3}");
    show(op, 3, 1030, statuses, 3);
    return op;
}

static void test_force_what_is_not_stopped(void **state) {
    (void)state;
    static const char *const before[] = {"RUNNING", "STOPPED", "RUNNING"};
    static const char *const after[] = {"STOPPED", "STOPPED", "STOPPED"};
    zl_client *client = new_client();
    zl_operation *op = after_grace(client, before);
    expect_call(op, 1030, 4, ZL_AIM_STOP,
                "{\"forceShutdown\":true,\"instanceIds\":[\"i-0\",\"i-2\"]}");
    accept_batch(op, 4, 1040);
    expect_step(op, 1040, ZL_STEP_WAIT, 2000);
    expect_send(op, 3040, 5);
    show(op, 5, 3050, after, 3);
    expect_success(op);
    zl_batch b = zl_operation_batch(op, 1);
    expect_batch(op, 1, ZL_OUTCOME_ACCEPTED, 1, NULL);
    assert_int_equal(b.forced_count, 1);
    zl_batch forced = zl_operation_forced(op, 1, 1);
    assert_int_equal(forced.outcome, ZL_OUTCOME_ACCEPTED);
    assert_int_equal(forced.attempts, 1);
    assert_int_equal(forced.count, 2);
    assert_view(zl_operation_batch_id(op, &forced, 1), "i-2");
    assert_view(forced.request_id, "T-4");
    finish(op, client);
}

static void test_no_force_for_what_is_stopped(void **state) {
    (void)state;
    static const char *const stopped_all[] = {"STOPPED", "STOPPED", "STOPPED"};
    zl_client *client = new_client();
    zl_operation *op = after_grace(client, stopped_all);
    expect_success(op);
    assert_int_equal(zl_operation_batch(op, 1).forced_count, 0);
    finish(op, client);
}

/* One that is STOPPING makes the API refuse the force: it is tried again on what runs. */
static void test_a_force_that_is_refused(void **state) {
    (void)state;
    static const char *const before[] = {"RUNNING", "STOPPING", "RUNNING"};
    static const char *const later[] = {"RUNNING", "STOPPING", "STOPPING"};
    static const char *const after[] = {"STOPPED", "STOPPED", "STOPPED"};
    zl_client *client = new_client();
    zl_operation *op = after_grace(client, before);
    expect_call(op, 1030, 4, ZL_AIM_STOP,
                "{\"forceShutdown\":true,\"instanceIds\":[\"i-0\",\"i-1\",\"i-2\"]}");
    answer(op, 4, 1040, answer_api_error(403, not_running));
    expect_step(op, 1040, ZL_STEP_WAIT, 2000);
    expect_send(op, 3040, 5);
    show(op, 5, 3050, later, 3);
    expect_call(op, 3050, 6, ZL_AIM_STOP, "{\"forceShutdown\":true,\"instanceIds\":[\"i-0\"]}");
    accept_batch(op, 6, 3060);
    expect_step(op, 3060, ZL_STEP_WAIT, 3000);
    expect_send(op, 6060, 7);
    show(op, 7, 6070, after, 3);
    expect_success(op);
    assert_int_equal(zl_operation_batch(op, 1).forced_count, 2);
    zl_batch refused = zl_operation_forced(op, 1, 1);
    assert_int_equal(refused.outcome, ZL_OUTCOME_REJECTED);
    assert_int_equal(refused.count, 3);
    assert_buf(refused.error->code, not_running);
    assert_int_equal(zl_operation_forced(op, 1, 2).outcome, ZL_OUTCOME_ACCEPTED);
    finish(op, client);
}

/* A force that is lost may have been done. */
static void test_a_force_that_is_lost(void **state) {
    (void)state;
    static const char *const before[] = {"RUNNING", "RUNNING", "STOPPED"};
    static const char *const after[] = {"STOPPED", "STOPPED", "STOPPED"};
    zl_client *client = new_client();
    zl_operation *op = after_grace(client, before);
    expect_send(op, 1030, 4);
    int64_t ms = 1040;
    for (int left = 4; left > 0; left--, ms += 1000) {
        lose(op, 4, ms, ZL_CODE_CONNECTION_LOST, true);
        if (left > 1) {
            expect_send(op, ms + 500, 4);
        }
    }
    expect_step(op, 4040, ZL_STEP_WAIT, 2000);
    expect_send(op, 6040, 5);
    show(op, 5, 6050, after, 3);
    expect_success(op);
    zl_batch lost = zl_operation_forced(op, 1, 1);
    assert_int_equal(lost.outcome, ZL_OUTCOME_UNKNOWN);
    assert_int_equal(lost.attempts, 4);
    finish(op, client);
}

static void test_a_force_that_is_refused_for_good(void **state) {
    (void)state;
    static const char *const before[] = {"RUNNING", "RUNNING", "STOPPED"};
    zl_client *client = new_client();
    zl_operation *op = after_grace(client, before);
    expect_send(op, 1030, 4);
    answer(op, 4, 1040, answer_api_error(401, "AUTHFAILURE_UNAUTHORIZED_OPERATION"));
    expect_error(op, ZL_OUTCOME_UNKNOWN, "AUTHFAILURE_UNAUTHORIZED_OPERATION");
    assert_int_equal(zl_operation_forced(op, 1, 1).outcome, ZL_OUTCOME_REJECTED);
    expect_batch(op, 1, ZL_OUTCOME_ACCEPTED, 1, NULL);
    finish(op, client);
}

static void test_a_cancel_of_a_force(void **state) {
    (void)state;
    static const char *const before[] = {"RUNNING", "RUNNING", "RUNNING"};
    for (int how = 0; how <= 2; how++) { /* cancelled, out of time, freed as it is */
        zl_client *client = new_client();
        zl_operation *op = after_grace(client, before);
        expect_send(op, 1030, 4);
        if (how == 0) {
            assert_true(cancel(op, 1040));
        } else if (how == 1) {
            expect_step(op, 61020, ZL_STEP_DONE, 0);
        }
        if (how < 2) {
            expect_error(op, ZL_OUTCOME_UNKNOWN, how == 0 ? "CANCELLED" : "WAIT_TIMEOUT");
            assert_int_equal(zl_operation_forced(op, 1, 1).outcome, ZL_OUTCOME_UNKNOWN);
            assert_int_equal(client->in_flight, 0);
        }
        zl_operation_free(op);
        assert_int_equal(client->in_flight, 0);
        assert_int_equal(client->references, 1);
        zl_client_unref(client);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stop_that_waits),
        cmocka_unit_test(test_a_wait_alone),
        cmocka_unit_test(test_transient_failures),
        cmocka_unit_test(test_a_pause_beyond_the_waiting),
        cmocka_unit_test(test_a_refusal_ends_the_waiting),
        cmocka_unit_test(test_the_waiting_times_out),
        cmocka_unit_test(test_a_cancel),
        cmocka_unit_test(test_an_unexpected_state),
        cmocka_unit_test(test_nothing_to_wait_for),
        cmocka_unit_test(test_errors_before_the_waiting),
        cmocka_unit_test(test_failed_ids_are_not_waited_for),
        cmocka_unit_test(test_force_what_is_not_stopped),
        cmocka_unit_test(test_no_force_for_what_is_stopped),
        cmocka_unit_test(test_a_force_that_is_refused),
        cmocka_unit_test(test_a_force_that_is_lost),
        cmocka_unit_test(test_a_force_that_is_refused_for_good),
        cmocka_unit_test(test_a_cancel_of_a_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
