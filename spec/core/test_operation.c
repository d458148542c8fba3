/* Operations, told as stories: batches, concurrency, stopping, pages, partial failures, calls. How
 * they end early is in test_operation_end.c; random ones are in test_operation_model.c. */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "driver.h"

/* --- batches ---------------------------------------------------------------------------------- */

static void test_batches(void **state) {
    (void)state;
    static const struct {
        size_t ids, batches, last;
    } rows[] = {{1, 1, 1},   {2, 1, 2},     {99, 1, 99},  {100, 1, 100},
                {101, 2, 1}, {200, 2, 100}, {250, 3, 50}, {1000, 10, 100}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_client *client = new_client();
        zl_operation *op = new_stop(client, rows[i].ids, defaults);
        assert_int_equal(zl_operation_count(op), rows[i].batches);
        assert_view(zl_operation_action(op), "StopInstances");
        size_t seen = 0;
        for (size_t n = 1; n <= rows[i].batches; n++) {
            zl_step step = step_at(op, 0);
            assert_int_equal(step.kind, ZL_STEP_SEND);
            assert_int_equal(step.n, n);
            zl_view in_body[ZL_REQUEST_IDS_MAX + 1];
            size_t count = ids_of_body(step.request->body, in_body, COUNT(in_body));
            assert_int_equal(count, n == rows[i].batches ? rows[i].last : 100);
            for (size_t k = 0; k < count; k++, seen++) {
                assert_true(zl_view_equal(in_body[k], zl_ids_at(zl_operation_ids(op), seen)));
            }
            accept_batch(op, n, 1);
            expect_batch(op, n, ZL_OUTCOME_ACCEPTED, 1, NULL);
        }
        assert_int_equal(seen, rows[i].ids);
        expect_step(op, 2, ZL_STEP_DONE, 0);
        expect_success(op);
        expect_whole_account(op);
        assert_view(zl_operation_batch(op, 1).request_id, "T-1");
        zl_operation_free(op);
        assert_int_equal(client->references, 1);
        zl_client_unref(client);
    }
}

static void test_repeats_are_dropped(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_ids ids = {0};
    zl_operation *op;
    zl_moment now = now_at(0);
    for (int round = 0; round < 3; round++) {
        add_ids(&ids, "i-", 60);
        add_ids(&ids, "j-", 60);
    }
    assert_int_equal(zl_operation_new_stop(&op, client, &defaults, &now, &ids, ZL_UNSET), ZL_OK);
    assert_int_equal(zl_operation_count(op), 2);
    assert_int_equal(zl_operation_ids(op)->count, 120);
    assert_int_equal(zl_operation_batch(op, 2).count, 20);
    expect_whole_account(op);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_force_shutdown_on_the_wire(void **state) {
    (void)state;
    static const char *const bodies[] = {"{\"instanceIds\":[\"i-0\"]}",
                                         "{\"forceShutdown\":false,\"instanceIds\":[\"i-0\"]}",
                                         "{\"forceShutdown\":true,\"instanceIds\":[\"i-0\"]}"};
    static const zl_tristate values[] = {ZL_UNSET, ZL_FALSE, ZL_TRUE};
    for (size_t i = 0; i < COUNT(values); i++) {
        zl_client *client = new_client();
        zl_ids ids = {0};
        zl_operation *op;
        zl_moment now = now_at(0);
        add_ids(&ids, "i-", 1);
        assert_int_equal(zl_operation_new_stop(&op, client, &defaults, &now, &ids, values[i]),
                         ZL_OK);
        zl_step step = step_at(op, 0);
        assert_view(step.request->body, bodies[i]);
        assert_buf(step.request->url, "https://api.example/api/v2/vm");
        answer(op, 1, 1, answer_of_no_api(503)); /* a retry says the same */
        step = step_at(op, 26);
        assert_int_equal(step.kind, ZL_STEP_SEND);
        assert_view(step.request->body, bodies[i]);
        zl_operation_free(op);
        zl_client_unref(client);
    }
}

static void test_no_ids(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 0, defaults);
    expect_step(op, 0, ZL_STEP_DONE, 0);
    expect_success(op);
    assert_int_equal(zl_operation_count(op), 0);
    assert_false(cancel(op, 0));
    zl_operation_free(op);
    zl_client_unref(client);
}

/* --- concurrency ------------------------------------------------------------------------------ */

static void test_concurrency_is_the_clients(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *a = new_stop(client, 1000, defaults), *b = new_stop(client, 1000, defaults);
    zl_step last;
    assert_int_equal(send_all(a, 0, 1, &last), 8);
    assert_int_equal(last.kind, ZL_STEP_PENDING);
    assert_int_equal(client->in_flight, 8);
    assert_int_equal(send_all(b, 0, 1, &last), 0);
    assert_int_equal(last.kind, ZL_STEP_PENDING); /* it waits for the other's answers */
    accept_batch(a, 3, 10);
    accept_batch(a, 5, 10);
    assert_int_equal(client->in_flight, 6);
    assert_int_equal(send_all(b, 10, 1, &last), 2);
    assert_int_equal(send_all(a, 10, 9, &last), 0);
    zl_operation_free(a); /* what it had in flight is forgotten */
    assert_int_equal(client->in_flight, 2);
    assert_int_equal(send_all(b, 11, 3, &last), 6);
    assert_int_equal(client->in_flight, 8);
    zl_client_unref(client); /* closed, while an operation lives */
    accept_batch(b, 1, 12);
    assert_int_equal(send_all(b, 12, 9, &last), 1);
    zl_operation_free(b);
}

static void test_one_at_a_time(void **state) {
    (void)state;
    zl_client *client = new_client();
    client->max_concurrency = 1;
    zl_operation *op = new_stop(client, 250, defaults);
    zl_step last;
    for (size_t n = 1; n <= 3; n++) {
        assert_int_equal(send_all(op, 0, n, &last), 1);
        assert_int_equal(last.kind, ZL_STEP_PENDING);
        accept_batch(op, n, 1);
    }
    expect_success(op);
    zl_operation_free(op);
    zl_client_unref(client);
}

/* What is due again goes before what was never sent: no call runs out of attempts behind new ones.
 */
/* After a rate limit there is one request in flight; four successes allow one more. */
static void test_a_slow_start_after_a_rate_limit(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 3000, defaults);
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 8);
    answer(op, 1, 10, answer_of_no_api(429));
    for (size_t n = 2; n <= 8; n++) {
        answer(op, n, 10, answer_of_no_api(429));
    }
    size_t allowed[] = {1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5};
    size_t in_flight = 0, oldest = 1;
    for (size_t i = 0; i < COUNT(allowed); i++) {
        in_flight += send_all(op, 1000, oldest + in_flight, &last);
        assert_int_equal(in_flight, allowed[i]);
        accept_batch(op, oldest++, 1000);
        in_flight--;
    }
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_retries_go_first(void **state) {
    (void)state;
    zl_client *client = new_client();
    client->max_concurrency = 2;
    zl_operation *op = new_stop(client, 500, defaults);
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 2);
    answer(op, 1, 10, answer_of_no_api(429));
    accept_batch(op, 2, 10);
    expect_step(op, 10, ZL_STEP_WAIT, 500);
    expect_step(op, 509, ZL_STEP_WAIT, 1);
    expect_send(op, 510, 1);
    expect_step(op, 510, ZL_STEP_PENDING, 120000 - 510); /* one at a time to begin with */
    accept_batch(op, 1, 520);
    expect_send(op, 520, 3);
    zl_operation_free(op);
    zl_client_unref(client);
}

/* --- stop or continue ------------------------------------------------------------------------- */

static void test_stop_on_the_first_refused_batch(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 1000, defaults);
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 8);
    answer(op, 3, 10, answer_api_error(404, "INVALID_INSTANCE_NOT_FOUND"));
    assert_int_equal(send_all(op, 10, 9, &last), 0); /* nothing new */
    assert_int_equal(last.kind, ZL_STEP_PENDING);
    for (size_t n = 1; n <= 8; n++) { /* what is in flight is finished */
        if (n != 3) {
            accept_batch(op, n, 20);
        }
    }
    expect_step(op, 20, ZL_STEP_DONE, 0);
    const zl_error *e = expect_error(op, ZL_OUTCOME_REJECTED, "INVALID_INSTANCE_NOT_FOUND");
    assert_int_equal(e->http_status, 404);
    expect_whole_account(op);
    for (size_t n = 1; n <= 8; n++) {
        if (n != 3) {
            expect_batch(op, n, ZL_OUTCOME_ACCEPTED, 1, NULL);
        }
    }
    expect_batch(op, 3, ZL_OUTCOME_REJECTED, 1, "INVALID_INSTANCE_NOT_FOUND");
    assert_view(zl_operation_batch(op, 3).request_id, "T-refused");
    expect_batch(op, 9, ZL_OUTCOME_NOT_SENT, 0, NULL);
    expect_batch(op, 10, ZL_OUTCOME_NOT_SENT, 0, NULL);
    assert_int_equal(client->in_flight, 0);
    zl_operation_free(op);
    zl_client_unref(client);
}

/* A batch that is begun and waits for its retry is finished too. */
static void test_stopping_finishes_what_was_begun(void **state) {
    (void)state;
    zl_client *client = new_client();
    client->max_concurrency = 2;
    zl_operation *op = new_stop(client, 300, defaults);
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 2);
    lose(op, 1, 10, ZL_CODE_CONNECTION_LOST, true);
    answer(op, 2, 10, answer_api_error(404, "X"));
    expect_step(op, 10, ZL_STEP_WAIT, 25);
    expect_step(op, 34, ZL_STEP_WAIT, 1);
    expect_send(op, 35, 1);
    accept_batch(op, 1, 40);
    expect_error(op, ZL_OUTCOME_REJECTED, "X");
    expect_batch(op, 1, ZL_OUTCOME_ACCEPTED, 2, NULL);
    expect_batch(op, 3, ZL_OUTCOME_NOT_SENT, 0, NULL);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_continue_on_error(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 1000, (zl_operation_options){.continue_on_error = true});
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 8);
    answer(op, 3, 10, answer_api_error(404, "INVALID_INSTANCE_NOT_FOUND"));
    answer(op, 7, 10, answer_api_error(403, "OTHER"));
    assert_int_equal(send_all(op, 10, 9, &last), 2);
    for (size_t n = 1; n <= 10; n++) {
        if (n != 3 && n != 7) {
            accept_batch(op, n, 20);
        }
    }
    expect_error(op, ZL_OUTCOME_REJECTED, "INVALID_INSTANCE_NOT_FOUND"); /* the first */
    expect_whole_account(op);
    for (size_t n = 1; n <= 10; n++) {
        if (n != 3 && n != 7) {
            expect_batch(op, n, ZL_OUTCOME_ACCEPTED, 1, NULL);
        }
    }
    expect_batch(op, 3, ZL_OUTCOME_REJECTED, 1, "INVALID_INSTANCE_NOT_FOUND");
    expect_batch(op, 7, ZL_OUTCOME_REJECTED, 1, "OTHER");
    zl_operation_free(op);
    zl_client_unref(client);
}

/* The failure that came first names the error; the heaviest outcome is its outcome. */
static void test_the_outcome_of_an_operation(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 400, (zl_operation_options){.max_attempts = 1});
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 4);
    lose(op, 1, 1, ZL_CODE_CONNECT_FAILED, false);
    answer(op, 2, 1, answer_api_error(404, "X"));
    accept_batch(op, 3, 1);
    lose(op, 4, 1, ZL_CODE_TIMEOUT, true);
    expect_error(op, ZL_OUTCOME_UNKNOWN, "CONNECT_FAILED");
    expect_batch(op, 1, ZL_OUTCOME_NOT_SENT, 1, "CONNECT_FAILED");
    expect_batch(op, 2, ZL_OUTCOME_REJECTED, 1, "X");
    expect_batch(op, 3, ZL_OUTCOME_ACCEPTED, 1, NULL);
    expect_batch(op, 4, ZL_OUTCOME_UNKNOWN, 1, "TIMEOUT");
    assert_int_equal(zl_operation_batch(op, 1).error->outcome, ZL_OUTCOME_NOT_SENT);
    zl_operation_free(op);
    zl_client_unref(client);
}

/* --- status ----------------------------------------------------------------------------------- */

static zl_answer page(int64_t total, size_t items) {
    zl_answer a = answer_accepted("T-page");
    a.total_count = total;
    a.item_count = items;
    return a;
}

static void test_status_pages(void **state) {
    (void)state;
    static const struct {
        int64_t total;
        size_t pages;
    } rows[] = {{0, 1}, {1, 1}, {999, 1}, {1000, 1}, {1001, 2}, {2000, 2}, {2500, 3}, {10000, 10}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_client *client = new_client();
        zl_operation *op;
        zl_moment now = now_at(0);
        assert_int_equal(zl_operation_new_status(&op, client, &defaults, &now, NULL), ZL_OK);
        assert_view(zl_operation_action(op), "DescribeInstancesStatus");
        int64_t left = rows[i].total;
        for (size_t n = 1; n <= rows[i].pages; n++) {
            zl_step step = step_at(op, 0);
            assert_int_equal(step.kind, ZL_STEP_SEND);
            char want[64];
            (void)snprintf(want, sizeof want, "{\"pageNum\":%zu,\"pageSize\":1000}", n);
            assert_view(step.request->body, want);
            int64_t items = left < 1000 ? left : 1000;
            left -= items;
            answer(op, n, 1, page(rows[i].total, (size_t)items));
        }
        expect_step(op, 2, ZL_STEP_DONE, 0);
        expect_success(op);
        assert_int_equal(zl_operation_count(op), rows[i].pages);
        zl_operation_free(op);
        zl_client_unref(client);
    }
}

/* A server that promises more than it has, or does not tell, makes no endless loop. */
static void test_pages_that_do_not_add_up(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op;
    zl_moment now = now_at(0);
    assert_int_equal(zl_operation_new_status(&op, client, &defaults, &now, NULL), ZL_OK);
    expect_send(op, 0, 1);
    answer(op, 1, 1, page(INT64_MAX, 1000));
    expect_send(op, 1, 2);
    /* An empty page before the end: a list that ended there would not be all there are. */
    for (int64_t ms = 2, attempt = 1; attempt <= 4; attempt++, ms += 1000) {
        if (attempt > 1) {
            expect_send(op, ms, 2);
        }
        answer(op, 2, ms, page(INT64_MAX, 0));
    }
    expect_error(op, ZL_OUTCOME_UNKNOWN, "BAD_RESPONSE");
    zl_operation_free(op);
    /* A server that gives less than was asked for is asked until it has given all. */
    assert_int_equal(zl_operation_new_status(&op, client, &defaults, &now, NULL), ZL_OK);
    for (size_t n = 1; n <= 3; n++) {
        expect_send(op, 0, n);
        answer(op, n, 0, page(250, n < 3 ? 100 : 50));
    }
    expect_success(op);
    zl_operation_free(op);
    assert_int_equal(zl_operation_new_status(&op, client, &defaults, &now, NULL), ZL_OK);
    expect_send(op, 0, 1);
    answer(op, 1, 1, page(-1, 20));
    expect_success(op);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_a_page_that_fails(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op;
    zl_moment now = now_at(0);
    assert_int_equal(zl_operation_new_status(&op, client, &defaults, &now, NULL), ZL_OK);
    expect_send(op, 0, 1);
    answer(op, 1, 1, page(2500, 1000));
    expect_send(op, 1, 2);
    answer(op, 2, 2, answer_of_no_api(502)); /* a look does no harm: again */
    expect_send(op, 30, 2);
    answer(op, 2, 31, answer_api_error(403, "X"));
    expect_error(op, ZL_OUTCOME_UNKNOWN, "X");
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_status_of_ids(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op;
    zl_ids ids = {0};
    zl_moment now = now_at(0);
    add_ids(&ids, "i-", 102);
    assert_int_equal(zl_operation_new_status(&op, client, &defaults, &now, &ids), ZL_OK);
    zl_step step = step_at(op, 0);
    assert_int_equal(step.n, 1);
    assert_non_null(strstr(step.request->body.data, "\"i-99\"],\"pageSize\":100}"));
    step = step_at(op, 0);
    assert_view(step.request->body, "{\"instanceIds\":[\"i-100\",\"i-101\"],\"pageSize\":2}");
    answer(op, 2, 1, page(2, 2));
    answer(op, 1, 1, page(40, 40)); /* ids that do not exist are simply absent */
    expect_success(op);
    assert_int_equal(zl_operation_count(op), 2);
    expect_whole_account(op);
    zl_operation_free(op);
    zl_client_unref(client);
}

/* --- ids that failed in an accepted batch ----------------------------------------------------- */

static void test_partial_failure(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 1000, (zl_operation_options){.service = ZL_LIT("zec")});
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 8);
    zl_answer a = answer_accepted("T-2");
    const zl_view failed[] = {ZL_LIT("i-105"), ZL_LIT("i-100"), ZL_LIT("i-105")};
    a.failed_ids = failed;
    a.failed_count = COUNT(failed);
    answer(op, 2, 5, a);
    assert_int_equal(send_all(op, 5, 9, &last), 0); /* it is an error: nothing new */
    for (size_t n = 1; n <= 8; n++) {
        if (n != 2) {
            accept_batch(op, n, 6);
        }
    }
    const zl_error *e = expect_error(op, ZL_OUTCOME_REJECTED, "PARTIAL_FAILURE");
    assert_int_equal(e->kind, ZL_KIND_API);
    assert_buf(e->request_id, "T-2");
    zl_batch b = zl_operation_batch(op, 2);
    assert_int_equal(b.outcome, ZL_OUTCOME_ACCEPTED); /* the others of it are being stopped */
    assert_view(b.request_id, "T-2");
    assert_non_null(b.failed_ids);
    assert_int_equal(b.failed_ids->count, 2);
    assert_view(zl_ids_at(b.failed_ids, 0), "i-105");
    assert_view(zl_ids_at(b.failed_ids, 1), "i-100");
    assert_non_null(b.error);
    assert_buf(b.error->code, "PARTIAL_FAILURE");
    assert_null(zl_operation_batch(op, 1).failed_ids);
    expect_batch(op, 9, ZL_OUTCOME_NOT_SENT, 0, NULL);
    zl_operation_free(op);
    zl_client_unref(client);
}

/* Ids that were not asked for, or not ids at all: then nothing is known of those that were. */
static void test_failed_ids_of_others(void **state) {
    (void)state;
    zl_client *client = new_client();
    const zl_view strangers[] = {{"i-100", 5}, {"stranger", 8}, {"i-1\0", 4}, {"", 0}};
    for (size_t i = 0; i < COUNT(strangers); i++) {
        zl_operation_options once = {.max_attempts = 1};
        zl_operation *op = new_stop(client, 200, once);
        expect_send(op, 0, 1);
        zl_answer a = answer_accepted("T-1");
        a.failed_ids = &strangers[i]; /* the first is of the second batch */
        a.failed_count = 1;
        answer(op, 1, 1, a);
        expect_error(op, ZL_OUTCOME_UNKNOWN, "BAD_RESPONSE");
        zl_operation_free(op);
    }
    zl_client_unref(client);
}

static void test_partial_failure_and_go_on(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(
        client, 200, (zl_operation_options){.service = ZL_LIT("zec"), .continue_on_error = true});
    zl_step last;
    assert_int_equal(send_all(op, 0, 1, &last), 2);
    zl_answer a = answer_accepted("T-1");
    const zl_view failed = ZL_LIT("i-3");
    a.failed_ids = &failed;
    a.failed_count = 1;
    answer(op, 1, 5, a);
    lose(op, 2, 5, ZL_CODE_RESPONSE_TOO_LARGE, true);
    expect_error(op, ZL_OUTCOME_UNKNOWN, "PARTIAL_FAILURE");
    expect_batch(op, 2, ZL_OUTCOME_UNKNOWN, 1, "RESPONSE_TOO_LARGE");
    zl_operation_free(op);
    zl_client_unref(client);
}

/* --- one call --------------------------------------------------------------------------------- */

static zl_operation *new_call(zl_client *client, const char *action, bool idempotent) {
    zl_buf body = {0};
    zl_operation *op;
    zl_moment now = now_at(0);
    zl_buf_add_text(&body, "{\"a\":1}");
    assert_int_equal(
        zl_operation_new_call(&op, client, &defaults, &now, zl_view_of(action), &body, idempotent),
        ZL_OK);
    assert_null(body.data); /* moved */
    return op;
}

static void test_a_call(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_call(client, "CreateInstances", false);
    assert_int_equal(zl_operation_count(op), 1);
    zl_step step = step_at(op, 0);
    assert_int_equal(step.kind, ZL_STEP_SEND);
    assert_view(step.request->body, "{\"a\":1}");
    accept_batch(op, 1, 5);
    expect_success(op);
    zl_batch b = zl_operation_batch(op, 1);
    assert_int_equal(b.count, 0);
    assert_view(b.request_id, "T-1");
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_which_actions_are_safe(void **state) {
    (void)state;
    static const struct {
        const char *action;
        bool told, safe;
    } rows[] = {{"DescribeInstances", false, true}, {"StopInstances", false, true},
                {"CreateInstances", false, false},  {"CreateInstances", true, true},
                {"StopInstancesX", false, false},   {"describeInstances", false, false},
                {"RebootInstances", false, false}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_client *client = new_client();
        zl_operation *op = new_call(client, rows[i].action, rows[i].told);
        expect_send(op, 0, 1);
        lose(op, 1, 1, ZL_CODE_CONNECTION_LOST, true);
        assert_int_equal(zl_operation_is_done(op), !rows[i].safe);
        assert_int_equal(zl_operation_batch(op, 1).outcome, ZL_OUTCOME_UNKNOWN);
        zl_operation_free(op);
        zl_client_unref(client);
    }
}

/* Of one call whose answer is to be a page: `seen` rows lie before it, and with a size it has that
 * many or what is left. */
static void test_a_page(void **state) {
    (void)state;
    static const struct {
        int64_t seen, size, total;
        size_t items;
        const char *problem; /* NULL: it is a page */
    } rows[] = {
        {0, 0, 0, 0, NULL},
        {0, 0, 10, 10, NULL},
        {0, 0, 10, 3, NULL},
        {0, 0, 3, 10, NULL},
        {100, 0, 150, 50, NULL},
        {100, 0, 90, 0, NULL},
        {100, 0, 100, 0, NULL},
        {0, 0, 1, 0, "an empty page"},
        {99, 0, 100, 0, "an empty page"},
        {100, 50, 500, 50, NULL},
        {100, 50, 120, 20, NULL},
        {100, 50, 100, 0, NULL},
        {100, 50, 20, 0, NULL},
        {100, 50, 500, 49, "not as many rows"},
        {100, 50, 120, 50, "not as many rows"},
        {100, 50, 500, 51, "not as many rows"},
        {100, 50, 20, 20, "not as many rows"},
        {100, 50, 120, 0, "an empty page"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_client *client = new_client();
        zl_operation *op = new_call(client, "DescribeThings", false);
        zl_operation_expect_page(op, rows[i].seen, rows[i].size);
        assert_int_equal(zl_operation_aim(op), ZL_AIM_PAGE);
        assert_view(step_at(op, 0).request->body, "{\"a\":1}");
        answer(op, 1, 1, page(rows[i].total, rows[i].items));
        if (rows[i].problem == NULL) {
            expect_success(op);
            assert_int_equal(zl_operation_count(op), 1);
        } else { /* a Describe: again */
            for (int64_t attempt = 2; attempt <= 4; attempt++) {
                expect_send(op, attempt * 1000, 1);
                answer(op, 1, attempt * 1000, page(rows[i].total, rows[i].items));
            }
            const zl_error *e = expect_error(op, ZL_OUTCOME_UNKNOWN, "BAD_RESPONSE");
            assert_non_null(strstr(e->message.data, rows[i].problem));
        }
        zl_operation_free(op);
        zl_client_unref(client);
    }
}

static void test_services_and_versions(void **state) {
    (void)state;
    static const struct {
        const char *service, *version, *url, *header;
    } rows[] = {
        {"", "", "https://api.example/api/v2/vm", "X-ZC-Version: 2026-04-01"},
        {"vm", "", "https://api.example/api/v2/vm", "X-ZC-Version: 2026-04-01"},
        {"vm", "2023-03-13", "https://api.example/api/v2/vm", "X-ZC-Version: 2023-03-13"},
        {"zec", "", "https://api.example/api/v2/zec", "X-ZC-Version: 2025-09-01"},
        {"bmc", "", "https://api.example/api/v2/bmc", "X-ZC-Version: 2026-02-01"},
        {"new", "2030-01-01", "https://api.example/api/v2/new", "X-ZC-Version: 2030-01-01"},
        {"new", "", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_client *client = new_client();
        zl_operation_options options = {.service = zl_view_of(rows[i].service),
                                        .version = zl_view_of(rows[i].version)};
        zl_operation *op;
        zl_moment now = now_at(0);
        zl_ids ids = {0};
        add_ids(&ids, "i-", 1);
        int rc = zl_operation_new_stop(&op, client, &options, &now, &ids, ZL_UNSET);
        assert_int_equal(ids.count, 0); /* moved, also into a failure */
        assert_int_equal(rc, rows[i].url == NULL ? ZL_ERR_ARG : ZL_OK);
        if (rc == ZL_OK) {
            zl_step step = step_at(op, 0);
            assert_buf(step.request->url, rows[i].url);
            bool found = false;
            for (size_t h = 0; h < step.request->header_count; h++) {
                found = found || strcmp(zl_request_line(step.request, h), rows[i].header) == 0;
            }
            assert_true(found);
            zl_operation_free(op);
        } else {
            assert_null(op);
        }
        assert_int_equal(client->references, 1);
        zl_client_unref(client);
    }
}

static void test_options_that_are_refused(void **state) {
    (void)state;
    const zl_operation_options bad[] = {{.max_attempts = -1}, {.deadline_ms = -1}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        zl_client *client = new_client();
        zl_operation *op;
        zl_moment now = now_at(0);
        zl_buf body = {0};
        zl_buf_add_text(&body, "{}");
        assert_int_equal(
            zl_operation_new_call(&op, client, &bad[i], &now, ZL_LIT("X"), &body, false),
            ZL_ERR_ARG);
        assert_null(op);
        assert_null(body.data);
        zl_client_unref(client);
    }
}

static void test_options_and_defaults(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 1, defaults);
    assert_int_equal(zl_operation_deadline_ms(op), 120000);
    assert_int_equal(zl_operation_timeout_ms(op), 30000);
    assert_null(zl_operation_driver(op));
    zl_operation_set_driver(op, client);
    assert_ptr_equal(zl_operation_driver(op), client);
    zl_operation_free(op);
    op = new_stop(client, 1,
                  (zl_operation_options){.deadline_ms = 700, .timeout_ms = 30, .max_attempts = 2});
    assert_int_equal(zl_operation_deadline_ms(op), 700);
    assert_int_equal(zl_operation_timeout_ms(op), 30);
    expect_send(op, 0, 1);
    answer(op, 1, 1, answer_of_no_api(503));
    expect_send(op, 26, 1);
    answer(op, 1, 27, answer_of_no_api(503));
    expect_error(op, ZL_OUTCOME_UNKNOWN, "BAD_RESPONSE");
    expect_batch(op, 1, ZL_OUTCOME_UNKNOWN, 2, "BAD_RESPONSE");
    zl_operation_free(op);
    zl_client_unref(client);
}

/* A body whose writing ran out of memory must never go out as another one. */
static void test_a_body_that_is_not_whole(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_buf body = {0};
    zl_operation *op;
    zl_moment now = now_at(0);
    zl_buf_add_text(&body, "{\"a\":");
    alloc_fail_at(1, false);
    zl_buf_addf(&body, "%100d}", 1);
    alloc_fail_at(0, false);
    assert_false(zl_buf_ok(&body));
    int rc = zl_operation_new_call(&op, client, &defaults, &now, ZL_LIT("X"), &body, false);
    for (int i = 0; i < 3 && rc == ZL_OK; i++) { /* refused here, or never sent */
        zl_step step;
        if (zl_operation_step(op, &now, &step) == ZL_OK) {
            fail_with("it is sent, as \"%.*s\"", (int)step.request->body.len,
                      step.request->body.len > 0 ? step.request->body.data : "");
        }
    }
    zl_operation_free(op);
    zl_client_unref(client);
}

/* Values of a caller that could end a header line are refused before anything is sent. */
static void test_values_that_are_not_fit_for_a_header(void **state) {
    (void)state;
    const zl_view unsafe = ZL_LIT("x\r\nX-Evil: 1");
    for (int what = 0; what < 3; what++) {
        zl_client *client = new_client();
        zl_operation_options options = {.version = ZL_LIT("v")};
        zl_view action = ZL_LIT("X");
        switch (what) {
        case 0: action = unsafe; break;
        case 1: options.service = unsafe; break;
        default: options.version = unsafe; break;
        }
        zl_operation *op;
        zl_step step;
        zl_moment now = now_at(0);
        zl_buf body = {0};
        zl_buf_add_text(&body, "{}");
        int rc = zl_operation_new_call(&op, client, &options, &now, action, &body, false);
        if (rc == ZL_OK) {
            rc = zl_operation_step(op, &now, &step);
        }
        assert_int_equal(rc, ZL_ERR_ARG);
        zl_operation_free(op);
        zl_client_unref(client);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_repeats_are_dropped),
        cmocka_unit_test(test_force_shutdown_on_the_wire),
        cmocka_unit_test(test_no_ids),
        cmocka_unit_test(test_concurrency_is_the_clients),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_a_slow_start_after_a_rate_limit),
        cmocka_unit_test(test_retries_go_first),
        cmocka_unit_test(test_stop_on_the_first_refused_batch),
        cmocka_unit_test(test_stopping_finishes_what_was_begun),
        cmocka_unit_test(test_continue_on_error),
        cmocka_unit_test(test_the_outcome_of_an_operation),
        cmocka_unit_test(test_status_pages),
        cmocka_unit_test(test_pages_that_do_not_add_up),
        cmocka_unit_test(test_a_page_that_fails),
        cmocka_unit_test(test_status_of_ids),
        cmocka_unit_test(test_partial_failure),
        cmocka_unit_test(test_failed_ids_of_others),
        cmocka_unit_test(test_partial_failure_and_go_on),
        cmocka_unit_test(test_a_call),
        cmocka_unit_test(test_which_actions_are_safe),
        cmocka_unit_test(test_a_page),
        cmocka_unit_test(test_services_and_versions),
        cmocka_unit_test(test_options_that_are_refused),
        cmocka_unit_test(test_options_and_defaults),
        cmocka_unit_test(test_a_body_that_is_not_whole),
        cmocka_unit_test(test_values_that_are_not_fit_for_a_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
