/* Operations that end early, or are held up: the pause, the deadline, a cancel at every moment,
 * reports out of turn; and the account of every id that is left. */
#include "driver.h"

/* --- the pause, the deadline ------------------------------------------------------------------ */

static void test_a_429_pauses_every_operation(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *a = new_stop(client, 1, defaults), *b = new_stop(client, 200, defaults);
    expect_send(a, 0, 1);
    expect_send(b, 0, 1);
    zl_answer limited = answer_of_no_api(429);
    limited.retry_after_s = 2;
    answer(a, 1, 10, limited);
    expect_step(a, 10, ZL_STEP_PENDING, 119990); /* for the answer that b awaits, to begin with */
    expect_step(b, 10, ZL_STEP_PENDING, 119990);
    accept_batch(b, 1, 20);
    expect_step(a, 20, ZL_STEP_WAIT, 2490);
    expect_step(b, 20, ZL_STEP_WAIT, 2490); /* its second batch is not begun before either */
    expect_step(b, 2509, ZL_STEP_WAIT, 1);
    expect_send(b, 2510, 2);
    expect_step(a, 2510, ZL_STEP_PENDING, 120000 - 2510); /* one at a time to begin with */
    accept_batch(b, 2, 2520);
    expect_send(a, 2520, 1);
    zl_operation_free(a);
    zl_operation_free(b);
    zl_client_unref(client);
}

static void test_a_pause_beyond_the_deadline(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 1000, defaults);
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 8);
    answer(op, 1, 10, answer_of_no_api(503)); /* will wait */
    zl_answer limited = answer_api_error(429, "REQUEST_LIMIT_EXCEEDED");
    limited.retry_after_s = 300;
    answer(op, 2, 20, limited);
    assert_int_equal(send_all(op, 20, 9, &last), 0);
    assert_int_equal(last.kind, ZL_STEP_PENDING); /* for the six in flight alone */
    for (size_t n = 3; n <= 8; n++) {
        accept_batch(op, n, 30);
    }
    expect_step(op, 30, ZL_STEP_DONE, 0); /* at once, not at the deadline */
    const zl_error *e = expect_error(op, ZL_OUTCOME_UNKNOWN, "REQUEST_LIMIT_EXCEEDED");
    assert_int_equal(e->retry_after_s, 300);
    assert_true(e->retryable);
    expect_whole_account(op);
    expect_batch(op, 1, ZL_OUTCOME_UNKNOWN, 1, "DEADLINE_EXCEEDED");
    assert_in_range(zl_operation_batch(op, 1).error->retry_after_s, 300, 302);
    expect_batch(op, 2, ZL_OUTCOME_REJECTED, 1, "REQUEST_LIMIT_EXCEEDED");
    expect_batch(op, 9, ZL_OUTCOME_NOT_SENT, 0, NULL);
    zl_operation_free(op);

    /* One that is begun during the pause fails at its first step. */
    zl_ids ids = {0};
    zl_moment now = now_at(1000);
    add_ids(&ids, "i-", 150);
    assert_int_equal(zl_operation_new_stop(&op, client, &defaults, &now, &ids, ZL_UNSET), ZL_OK);
    expect_step(op, 1000, ZL_STEP_DONE, 0);
    e = expect_error(op, ZL_OUTCOME_NOT_SENT, "DEADLINE_EXCEEDED");
    assert_int_equal(e->kind, ZL_KIND_TIMEOUT);
    assert_int_equal(e->retry_after_s, 300); /* 300.52 s from 20 ms on: 299.52 s are left */
    expect_batch(op, 2, ZL_OUTCOME_NOT_SENT, 0, NULL);
    zl_operation_free(op);

    /* A longer deadline waits. */
    add_ids(&ids, "i-", 1);
    assert_int_equal(zl_operation_new_stop(&op, client,
                                           &(zl_operation_options){.deadline_ms = 400000}, &now,
                                           &ids, ZL_UNSET),
                     ZL_OK);
    expect_step(op, 1000, ZL_STEP_WAIT, 300520 - 1000);
    expect_send(op, 300520, 1);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_the_deadline(void **state) {
    (void)state;
    zl_client *client = new_client();
    client->max_concurrency = 3;
    zl_operation *op = new_stop(client, 500, (zl_operation_options){.deadline_ms = 1000});
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 3);
    assert_int_equal(last.wait_ms, 1000);
    accept_batch(op, 1, 900);
    expect_send(op, 900, 4);
    lose(op, 2, 970, ZL_CODE_CONNECT_FAILED, false); /* due again at 995 */
    expect_step(op, 980, ZL_STEP_PENDING, 15);
    expect_step(op, 1000, ZL_STEP_DONE, 0);
    const zl_error *e = expect_error(op, ZL_OUTCOME_UNKNOWN, "DEADLINE_EXCEEDED");
    assert_int_equal(e->kind, ZL_KIND_TIMEOUT);
    expect_batch(op, 1, ZL_OUTCOME_ACCEPTED, 1, NULL);
    expect_batch(op, 2, ZL_OUTCOME_NOT_SENT, 1, "DEADLINE_EXCEEDED");
    expect_batch(op, 3, ZL_OUTCOME_UNKNOWN, 1, "DEADLINE_EXCEEDED");
    expect_batch(op, 4, ZL_OUTCOME_UNKNOWN, 1, "DEADLINE_EXCEEDED");
    expect_batch(op, 5, ZL_OUTCOME_NOT_SENT, 0, NULL);
    expect_whole_account(op);
    assert_int_equal(client->in_flight, 0);
    zl_operation_free(op);
    zl_client_unref(client);
}

/* --- reports out of turn ---------------------------------------------------------------------- */

static void test_reports_on_calls_not_in_flight(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 300, defaults);
    zl_moment now = now_at(1);
    zl_answer good = answer_accepted("T-9");
    const size_t none[] = {0, 1, 2, 4, 5, SIZE_MAX};
    for (size_t i = 0; i < COUNT(none); i++) { /* nothing was begun */
        assert_false(zl_operation_answered(op, none[i], &now, &good));
        assert_false(zl_operation_failed(op, none[i], &now, ZL_CODE_TIMEOUT, ZL_LIT("x"), true));
    }
    expect_send(op, 1, 1);
    expect_send(op, 1, 2);
    assert_false(zl_operation_answered(op, 3, &now, &good));
    answer(op, 1, 2, answer_of_no_api(503));
    assert_false(zl_operation_answered(op, 1, &now, &good)); /* it waits */
    accept_batch(op, 2, 2);
    assert_false(
        zl_operation_failed(op, 2, &now, ZL_CODE_TIMEOUT, ZL_LIT("x"), true)); /* settled */
    assert_int_equal(client->in_flight, 0);
    assert_true(cancel(op, 3));
    for (size_t n = 0; n <= 4; n++) {
        assert_false(zl_operation_answered(op, n, &now, &good));
    }
    assert_false(cancel(op, 3));
    expect_error(op, ZL_OUTCOME_UNKNOWN, "CANCELLED");
    expect_batch(op, 1, ZL_OUTCOME_UNKNOWN, 1, "CANCELLED");
    expect_batch(op, 2, ZL_OUTCOME_ACCEPTED, 1, NULL);
    expect_batch(op, 3, ZL_OUTCOME_NOT_SENT, 0, NULL);
    zl_operation_free(op);
    zl_client_unref(client);
}

/* --- cancel and deadline at every moment ------------------------------------------------------ */

/* A fixed course of five batches, two at a time; event by event, up to `events`. Returns how many
 * events there were. What each batch must have come to is written down as it goes. */
typedef struct course {
    zl_client *client;
    zl_operation *op;
    int64_t now_ms;
    int sends[6];
    zl_outcome so_far[6]; /* of the attempts that ended */
    bool in_flight[6];
    size_t flight_n[2];
    int64_t flight_ms[2];
    size_t flights;
} course;

/* What comes back for the k-th attempt of batch n: a bit of everything that is sent again. */
static void come_back(course *c, size_t n) {
    static const int kinds[6][4] = {
        {0}, {1, 0}, {2, 3, 0}, {0}, {4, 1, 0}, {3, 0},
    };
    zl_outcome outcome = ZL_OUTCOME_ACCEPTED;
    switch (kinds[n][c->sends[n] - 1]) {
    case 0: accept_batch(c->op, n, c->now_ms); break;
    case 1:
        answer(c->op, n, c->now_ms, answer_of_no_api(429));
        outcome = ZL_OUTCOME_REJECTED;
        break;
    case 2:
        lose(c->op, n, c->now_ms, ZL_CODE_CONNECT_FAILED, false);
        outcome = ZL_OUTCOME_NOT_SENT;
        break;
    case 3:
        lose(c->op, n, c->now_ms, ZL_CODE_CONNECTION_LOST, true);
        outcome = ZL_OUTCOME_UNKNOWN;
        break;
    default:
        answer(c->op, n, c->now_ms, answer_api_error(500, "INTERNAL_SERVER_ERROR"));
        outcome = ZL_OUTCOME_UNKNOWN;
        break;
    }
    c->in_flight[n] = false;
    c->so_far[n] = outcome == ZL_OUTCOME_ACCEPTED ? outcome : zl_outcome_max(c->so_far[n], outcome);
}

/* One event: a send, or time goes by until something comes back or is due. False: done. */
static bool next_event(course *c) {
    zl_step step = step_at(c->op, c->now_ms);
    if (step.kind == ZL_STEP_DONE) {
        return false;
    }
    if (step.kind == ZL_STEP_SEND) {
        assert_true(c->flights < 2 && !c->in_flight[step.n]);
        c->flight_n[c->flights] = step.n;
        c->flight_ms[c->flights++] = c->now_ms + 13 + 7 * (int64_t)step.n;
        c->in_flight[step.n] = true;
        c->sends[step.n]++;
        return true;
    }
    size_t soonest = SIZE_MAX;
    int64_t until = c->now_ms + step.wait_ms;
    for (size_t i = 0; i < c->flights; i++) {
        if (c->flight_ms[i] <= until) {
            until = c->flight_ms[i];
            soonest = i;
        }
    }
    c->now_ms = until;
    if (soonest != SIZE_MAX) {
        size_t n = c->flight_n[soonest];
        c->flights--;
        c->flight_n[soonest] = c->flight_n[c->flights];
        c->flight_ms[soonest] = c->flight_ms[c->flights];
        come_back(c, n);
    }
    return true;
}

static void begin_course(course *c, int64_t deadline_ms) {
    *c = (course){.client = new_client()};
    c->client->max_concurrency = 2;
    c->op = new_stop(c->client, 450, (zl_operation_options){.deadline_ms = deadline_ms});
    for (size_t n = 1; n <= 5; n++) {
        c->so_far[n] = ZL_OUTCOME_NOT_SENT;
    }
}

/* The account of a course that ended early, by `code`. */
static void end_course(course *c, const char *code) {
    zl_outcome worst = ZL_OUTCOME_ACCEPTED;
    assert_true(zl_operation_is_done(c->op));
    assert_int_equal(c->client->in_flight, 0);
    expect_whole_account(c->op);
    for (size_t n = 1; n <= 5; n++) {
        zl_outcome want = c->in_flight[n] ? ZL_OUTCOME_UNKNOWN : c->so_far[n];
        bool failed = want != ZL_OUTCOME_ACCEPTED;
        zl_batch b = zl_operation_batch(c->op, n);
        if (b.outcome != want || b.attempts != c->sends[n]) {
            fail_with("at %lld ms: batch %zu is %s after %d attempts, not %s after %d",
                      (long long)c->now_ms, n, zl_outcome_name(b.outcome), b.attempts,
                      zl_outcome_name(want), c->sends[n]);
        }
        assert_true(failed || b.error == NULL);
        assert_true(!failed || b.attempts == 0 || b.error != NULL);
        worst = zl_outcome_max(worst, want);
    }
    if (worst == ZL_OUTCOME_ACCEPTED) {
        expect_success(c->op);
    } else {
        const zl_error *e = zl_operation_error(c->op);
        assert_non_null(e);
        assert_int_equal(e->outcome, worst);
        if (code != NULL) {
            assert_buf(e->code, code);
        }
    }
    zl_operation_free(c->op);
    zl_client_unref(c->client);
}

static void test_cancel_at_every_moment(void **state) {
    (void)state;
    size_t all = 0;
    for (size_t events = 0;; events++) {
        course c;
        begin_course(&c, 0);
        bool more = true;
        for (size_t i = 0; i < events && more; i++) {
            more = next_event(&c);
        }
        bool done = zl_operation_is_done(c.op);
        assert_int_equal(cancel(c.op, c.now_ms), !done);
        assert_false(cancel(c.op, c.now_ms));
        expect_step(c.op, c.now_ms, ZL_STEP_DONE, 0);
        end_course(&c, "CANCELLED");
        if (done) {
            all = events;
            break;
        }
    }
    assert_in_range(all, 20, 200); /* the course did go through all its events */
}

static void test_deadline_at_every_moment(void **state) {
    (void)state;
    bool finished = false;
    for (int64_t deadline_ms = 1; !finished; deadline_ms++) {
        course c;
        begin_course(&c, deadline_ms);
        while (next_event(&c)) {
            assert_true(c.now_ms <= deadline_ms);
        }
        finished = zl_operation_error(c.op) == NULL;
        end_course(&c, NULL);
        assert_true(deadline_ms < 100000);
    }
}

/* A cancelled operation tells its events as of that moment, however long nobody asked it. */
static void test_when_a_cancel_is_told(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 101, defaults);
    client->events.wanted = true;
    client->max_concurrency = 1;
    expect_send(op, 0, 1);
    assert_true(cancel(op, 7000));
    size_t settled = 0;
    for (zl_event *e; (e = zl_events_take(&client->events)) != NULL; zl_event_free(e)) {
        if (e->kind == ZL_EVENT_BATCH_SETTLED) {
            settled++;
            assert_int_equal(e->mono_ms, 7000);
            assert_int_equal(e->duration_ms, e->call == 1 ? 7000 : -1);
        }
    }
    assert_int_equal(settled, 2);
    zl_operation_free(op);
    zl_client_unref(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_429_pauses_every_operation),
        cmocka_unit_test(test_a_pause_beyond_the_deadline),
        cmocka_unit_test(test_the_deadline),
        cmocka_unit_test(test_reports_on_calls_not_in_flight),
        cmocka_unit_test(test_cancel_at_every_moment),
        cmocka_unit_test(test_deadline_at_every_moment),
        cmocka_unit_test(test_when_a_cancel_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
