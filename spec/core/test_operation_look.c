/* A stop whose answer was lost and which is refused as not running when it is sent again: what the
 * status of its instances makes of it. */
#include "driver.h"

static const char not_running[] = "OPERATION_DENIED_INSTANCE_NOT_RUNNING";

/* An operation on two ids, "i-0" and "i-1", whose look is in flight at 1,000 ms. */
static zl_operation *looking(zl_client *client) {
    zl_operation *op = new_stop(client, 2, defaults);
    expect_send(op, 0, 1);
    lose(op, 1, 10, ZL_CODE_CONNECTION_LOST, true);
    expect_send(op, 900, 1);
    assert_int_equal(zl_operation_expects(op, 1), ZL_AIM_STOP);
    answer(op, 1, 950, answer_api_error(403, not_running));
    assert_false(zl_operation_is_done(op));
    zl_step step = step_at(op, 1000);
    assert_int_equal(step.kind, ZL_STEP_SEND);
    assert_int_equal(step.n, 1);
    assert_view(step.request->body, "{\"instanceIds\":[\"i-0\",\"i-1\"],\"pageSize\":2}");
    assert_int_equal(zl_operation_expects(op, 1), ZL_AIM_STATUS);
    return op;
}

static zl_answer statuses(const zl_status *rows, size_t count) {
    zl_answer a = answer_accepted("T-look");
    a.statuses = rows;
    a.item_count = count;
    a.total_count = (int64_t)count;
    return a;
}

static void expect_unknown(const zl_operation *op) {
    (void)expect_error(op, ZL_OUTCOME_UNKNOWN, not_running);
    expect_batch(op, 1, ZL_OUTCOME_UNKNOWN, 2, not_running);
    assert_false(zl_operation_batch(op, 1).confirmed);
    expect_whole_account(op);
}

#define ROW(id, status)                                                                            \
    {                                                                                              \
        {(id), sizeof(id) - 1}, {                                                                  \
            (status), sizeof(status) - 1                                                           \
        }                                                                                          \
    }

static void test_what_confirms(void **state) {
    (void)state;
    static const zl_status both[][2] = {
        {ROW("i-0", "STOPPED"), ROW("i-1", "STOPPED")},
        {ROW("i-1", "STOPPING"), ROW("i-0", "STOPPED")},
        {ROW("i-0", "STOPPING"), ROW("i-1", "STOPPING")},
    };
    zl_client *client = new_client();
    for (size_t i = 0; i < COUNT(both); i++) {
        zl_operation *op = looking(client);
        answer(op, 1, 1010, statuses(both[i], 2));
        expect_success(op);
        zl_batch batch = zl_operation_batch(op, 1);
        assert_true(batch.confirmed);
        assert_int_equal(batch.outcome, ZL_OUTCOME_ACCEPTED);
        assert_int_equal(batch.attempts, 2);
        assert_int_equal(batch.request_id.len, 0);
        zl_operation_free(op);
    }
    assert_int_equal(client->in_flight, 0);
    zl_client_unref(client);
}

static void test_what_does_not_confirm(void **state) {
    (void)state;
    static const zl_status rows[][3] = {
        {ROW("i-0", "STOPPED"), ROW("i-1", "RUNNING"), ROW("i-2", "STOPPED")},
        {ROW("i-0", "STOPPED"), ROW("i-0", "STOPPED"), ROW("i-0", "STOPPING")},
        {ROW("i-0", "STOPPED"), ROW("stranger", "STOPPED"), ROW("i-1", "stopped")},
        {ROW("i-0", "RECYCLING"), ROW("i-1", "STOPPED"), ROW("", "STOPPED")},
    };
    zl_client *client = new_client();
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_operation *op = looking(client);
        answer(op, 1, 1010, statuses(rows[i], 3));
        expect_unknown(op);
        zl_operation_free(op);
    }
    zl_operation *op = looking(client);
    answer(op, 1, 1010, statuses(NULL, 0));
    expect_unknown(op);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_a_look_that_fails(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = looking(client);
    answer(op, 1, 1010, answer_api_error(403, "AUTHFAILURE_UNAUTHORIZED_OPERATION"));
    expect_unknown(op);
    zl_operation_free(op);
    op = looking(client);
    for (int64_t ms = 1010, left = 4; left > 0; left--, ms += 1000) {
        lose(op, 1, ms, ZL_CODE_TIMEOUT, true); /* a look does no harm: again */
        if (left > 1) {
            expect_send(op, ms + 500, 1);
        }
    }
    expect_unknown(op);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_an_end_while_looking(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = looking(client);
    assert_true(cancel(op, 1000));
    expect_unknown(op);
    assert_int_equal(client->in_flight, 0);
    zl_operation_free(op);

    op = looking(client);
    expect_step(op, 120000, ZL_STEP_DONE, 0);
    expect_unknown(op);
    zl_operation_free(op);

    op = looking(client); /* freed with the look in flight */
    zl_operation_free(op);
    assert_int_equal(client->in_flight, 0);

    op = looking(client);
    answer(op, 1, 1010, answer_of_no_api(429)); /* the look waits */
    assert_int_equal(client->in_flight, 0);
    assert_true(cancel(op, 1010));
    expect_unknown(op);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_the_other_batches_go_on(void **state) {
    (void)state;
    zl_client *client = new_client();
    client->max_concurrency = 1;
    zl_operation *op = new_stop(client, 150, defaults);
    expect_send(op, 0, 1);
    lose(op, 1, 10, ZL_CODE_TIMEOUT, true);
    expect_send(op, 900, 1);
    answer(op, 1, 950, answer_api_error(403, not_running));
    expect_send(op, 1000, 1); /* the look, before the second batch */
    zl_status rows[ZL_REQUEST_IDS_MAX];
    for (size_t i = 0; i < COUNT(rows); i++) {
        rows[i] = (zl_status){zl_ids_at(zl_operation_ids(op), i), ZL_LIT("STOPPING")};
    }
    answer(op, 1, 1010, statuses(rows, COUNT(rows)));
    expect_send(op, 1020, 2);
    accept_batch(op, 2, 1030);
    expect_success(op);
    assert_true(zl_operation_batch(op, 1).confirmed);
    assert_false(zl_operation_batch(op, 2).confirmed);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_nobody_looks(void **state) {
    (void)state;
    zl_client *client = new_client();
    zl_operation *op = new_stop(client, 2, defaults); /* no attempt was lost */
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(403, not_running));
    (void)expect_error(op, ZL_OUTCOME_REJECTED, not_running);
    zl_operation_free(op);

    zl_operation_options bmc = {.service = ZL_LIT("bmc")}; /* has nothing to ask */
    zl_operation *bare = new_stop(client, 2, bmc);
    expect_send(bare, 0, 1);
    lose(bare, 1, 10, ZL_CODE_TIMEOUT, true);
    expect_send(bare, 900, 1);
    answer(bare, 1, 950, answer_api_error(403, not_running));
    expect_unknown(bare);
    zl_operation_free(bare);
    zl_client_unref(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_confirms),
        cmocka_unit_test(test_what_does_not_confirm),
        cmocka_unit_test(test_a_look_that_fails),
        cmocka_unit_test(test_an_end_while_looking),
        cmocka_unit_test(test_the_other_batches_go_on),
        cmocka_unit_test(test_nobody_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
