/* When credentials that somebody gives are asked for: told by stories on a virtual clock. */
#include <string.h>

#include "driver.h"

static zl_client *new_renewable(void) {
    zl_client *client = new_client();
    client->credentials.renewable = true;
    client->events.wanted = true;
    return client;
}

static void give(zl_client *client, int64_t ms, int64_t lifetime_ms) {
    zl_signer *signer;
    zl_moment now = now_at(ms);
    assert_int_equal(zl_signer_new_key(&signer, ZL_LIT("other-id"), ZL_LIT("pass")), ZL_OK);
    zl_client_set_signer(client, signer, &now, lifetime_ms);
}

static void refuse_to_give(zl_client *client, int64_t ms, zl_code code) {
    zl_moment now = now_at(ms);
    zl_client_lack_signer(client, &now, code, ZL_LIT("the vault is sealed"));
}

static zl_answer bad_key(void) {
    return answer_api_error(401, "AUTHFAILURE_SIGNATURE_FAILURE");
}

static void expect_ready(const zl_client *client, int64_t ms, zl_readiness want) {
    zl_moment now = now_at(ms);
    assert_int_equal(zl_credentials_ask(&client->credentials, &now), want);
}

/* --- being asked for -------------------------------------------------------------------------- */

static void test_those_given_once_are_always_ready(void **state) {
    (void)state;
    zl_client *client = new_client();
    expect_ready(client, 0, ZL_READY);
    expect_ready(client, INT64_MAX, ZL_READY);
    zl_moment now = now_at(0);
    assert_false(zl_credentials_refuse(&client->credentials, 0, &now));
    zl_client_unref(client);
}

static void test_asked_for_once_before_the_first_request(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    zl_operation *a = new_stop(client, 150, defaults), *b = new_stop(client, 1, defaults);
    expect_step(a, 10, ZL_STEP_CREDENTIALS, 0);
    expect_step(a, 10, ZL_STEP_PENDING, 119990); /* until its deadline: somebody will wake it */
    expect_step(b, 10, ZL_STEP_PENDING, 119990);
    give(client, 20, 0);
    expect_send(a, 20, 1);
    expect_send(a, 20, 2);
    expect_send(b, 20, 1);
    zl_operation_free(a);
    zl_operation_free(b);
    zl_client_unref(client);
}

static void test_signed_by_what_was_given(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    zl_operation *op = new_stop(client, 1, defaults);
    expect_step(op, 0, ZL_STEP_CREDENTIALS, 0);
    give(client, 0, 0);
    zl_step step = step_at(op, 0);
    bool seen = false;
    for (size_t i = 0; i < step.request->header_count; i++) {
        seen = seen || strstr(zl_request_line(step.request, i), "Credential=other-id,") != NULL;
    }
    assert_true(seen);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_a_deadline_passes_while_somebody_is_asked(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    zl_operation *op = new_stop(client, 1, (zl_operation_options){.deadline_ms = 500});
    expect_step(op, 0, ZL_STEP_CREDENTIALS, 0);
    expect_step(op, 100, ZL_STEP_PENDING, 400);
    expect_step(op, 500, ZL_STEP_DONE, 0);
    (void)expect_error(op, ZL_OUTCOME_NOT_SENT, "DEADLINE_EXCEEDED");
    zl_operation_free(op);
    zl_client_unref(client);
}

/* --- in vain ---------------------------------------------------------------------------------- */

static void test_in_vain(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    zl_operation *a = new_stop(client, 250, (zl_operation_options){.continue_on_error = true});
    zl_operation *b = new_stop(client, 1, defaults);
    expect_step(a, 0, ZL_STEP_CREDENTIALS, 0);
    expect_step(b, 0, ZL_STEP_PENDING, 120000);
    refuse_to_give(client, 50, ZL_CODE_CREDENTIALS_UNAVAILABLE);
    expect_step(a, 50, ZL_STEP_DONE, 0);
    expect_step(b, 60, ZL_STEP_DONE, 0);
    const zl_error *e = expect_error(a, ZL_OUTCOME_NOT_SENT, "CREDENTIALS_UNAVAILABLE");
    assert_buf(e->message, "the vault is sealed");
    assert_true(e->retryable);
    for (size_t n = 1; n <= 3; n++) {
        expect_batch(a, n, ZL_OUTCOME_NOT_SENT, 0, "CREDENTIALS_UNAVAILABLE");
    }
    (void)expect_error(b, ZL_OUTCOME_NOT_SENT, "CREDENTIALS_UNAVAILABLE");
    zl_operation_free(a);
    zl_operation_free(b);
    expect_ready(client, 50 + ZL_CREDENTIALS_AGAIN_MS - 1, ZL_UNAVAILABLE);
    expect_ready(client, 50 + ZL_CREDENTIALS_AGAIN_MS, ZL_NEEDED);
    zl_client_unref(client);
}

static void test_malformed_ones_will_be_so_again(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    zl_operation *op = new_stop(client, 1, defaults);
    expect_step(op, 0, ZL_STEP_CREDENTIALS, 0);
    refuse_to_give(client, 0, ZL_CODE_CREDENTIALS_INVALID);
    expect_step(op, 0, ZL_STEP_DONE, 0);
    assert_false(expect_error(op, ZL_OUTCOME_NOT_SENT, "CREDENTIALS_INVALID")->retryable);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_a_waiting_outlives_a_vault_that_is_down(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    zl_ids ids = {0};
    zl_operation *op;
    zl_moment now = now_at(0);
    zl_operation_options options = {
        .watch = {.timeout_ms = 60000, .min_delay_ms = 2000, .max_delay_ms = 2000}};
    add_ids(&ids, "i-", 1);
    assert_int_equal(zl_operation_new_wait(&op, client, &options, &now, &ids), ZL_OK);
    expect_step(op, 0, ZL_STEP_CREDENTIALS, 0);
    refuse_to_give(client, 0, ZL_CODE_CREDENTIALS_UNAVAILABLE);
    expect_step(op, 0, ZL_STEP_WAIT, 2000);
    expect_step(op, 2000, ZL_STEP_CREDENTIALS, 0);
    give(client, 2000, 0);
    expect_send(op, 2000, 2);
    zl_operation_free(op);
    zl_client_unref(client);
}

/* --- expiry ----------------------------------------------------------------------------------- */

static void test_renewed_a_minute_before_they_expire(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    give(client, 0, 3600000);
    expect_ready(client, 3600000 - 60001, ZL_READY);
    expect_ready(client, 3600000 - 60000, ZL_NEEDED);
    /* While somebody is asked, those that there are do. */
    zl_credentials_begin(&client->credentials);
    expect_ready(client, 3600000 - 1, ZL_READY);
    expect_ready(client, 3600000, ZL_UNDER_WAY);
    zl_client_unref(client);
}

static void test_a_renewal_that_fails_leaves_those_that_are_good(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    give(client, 0, 3600000);
    expect_ready(client, 3550000, ZL_NEEDED);
    refuse_to_give(client, 3550000, ZL_CODE_CREDENTIALS_UNAVAILABLE);
    expect_ready(client, 3550999, ZL_READY);
    expect_ready(client, 3551000, ZL_NEEDED);
    refuse_to_give(client, 3599500, ZL_CODE_CREDENTIALS_UNAVAILABLE);
    expect_ready(client, 3599999, ZL_READY);
    expect_ready(client, 3600000, ZL_UNAVAILABLE);
    expect_ready(client, 3600500, ZL_NEEDED);
    zl_client_unref(client);
}

static void test_short_lived_ones_are_used_for_half_of_their_time(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    give(client, 1000, 10000);
    expect_ready(client, 5999, ZL_READY);
    expect_ready(client, 6000, ZL_NEEDED);
    zl_client_unref(client);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void test_a_refused_key_is_renewed_and_the_call_sent_again(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    zl_operation *op = new_stop(client, 150, defaults);
    give(client, 0, 0);
    expect_send(op, 0, 1);
    expect_send(op, 0, 2);
    answer(op, 1, 10, bad_key());
    expect_step(op, 10, ZL_STEP_CREDENTIALS, 0);
    answer(op, 2, 20, bad_key()); /* nobody is asked twice for what both need */
    expect_step(op, 20, ZL_STEP_PENDING, 119980);
    give(client, 30, 0);
    expect_send(op, 30, 1);
    expect_send(op, 30, 2);
    accept_batch(op, 1, 40);
    accept_batch(op, 2, 40);
    expect_success(op);
    expect_batch(op, 1, ZL_OUTCOME_ACCEPTED, 2, NULL);
    assert_int_equal(client->credentials.generation, 2);
    assert_int_equal(client->retry.quota, ZL_RETRY_QUOTA); /* it cost none */
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_an_old_key_s_refusal_asks_nobody(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    zl_operation *op = new_stop(client, 150, defaults);
    give(client, 0, 0);
    expect_send(op, 0, 1);
    expect_send(op, 0, 2);
    answer(op, 1, 10, bad_key());
    expect_step(op, 10, ZL_STEP_CREDENTIALS, 0);
    give(client, 20, 0);
    answer(op, 2, 30, bad_key()); /* signed by the first */
    expect_send(op, 30, 1);
    expect_send(op, 30, 2);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_once_for_a_call(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    zl_operation *op = new_stop(client, 1, defaults);
    give(client, 0, 0);
    expect_send(op, 0, 1);
    answer(op, 1, 0, bad_key());
    expect_step(op, 0, ZL_STEP_CREDENTIALS, 0);
    give(client, 0, 0);
    expect_send(op, 0, 1);
    answer(op, 1, 0, bad_key());
    (void)expect_error(op, ZL_OUTCOME_REJECTED, "AUTHFAILURE_SIGNATURE_FAILURE");
    expect_batch(op, 1, ZL_OUTCOME_REJECTED, 2, "AUTHFAILURE_SIGNATURE_FAILURE");
    zl_operation_free(op);
    zl_client_unref(client);
}

/* What is refused again and again is renewed at 0, 1, 3, 7, 15, 31, 63, 123, 183 … s at the
 * earliest, however many calls are refused; once it has worked, at once again. */
static void test_a_bad_key_is_no_load_on_who_gives_it(void **state) {
    (void)state;
    static const int64_t want_s[] = {0, 1, 3, 7, 15, 31, 63, 123, 183, 243};
    zl_client *client = new_renewable();
    zl_credentials *c = &client->credentials;
    size_t renewals = 0;
    give(client, 0, 0);
    for (int64_t ms = 0; ms < 300000; ms += 100) {
        zl_moment now = now_at(ms);
        if (zl_credentials_refuse(c, c->generation, &now)) {
            assert_in_range(renewals, 0, COUNT(want_s) - 1);
            assert_int_equal(ms, want_s[renewals] * 1000);
            renewals++;
            give(client, ms, 0);
        }
    }
    assert_int_equal(renewals, COUNT(want_s));
    zl_moment now = now_at(300000);
    assert_false(zl_credentials_refuse(c, c->generation, &now));
    zl_credentials_confirm(c, c->generation - 1); /* an old one's success says nothing */
    assert_false(zl_credentials_refuse(c, c->generation, &now));
    zl_credentials_confirm(c, c->generation);
    assert_true(zl_credentials_refuse(c, c->generation, &now));
    zl_client_unref(client);
}

static void test_other_refusals_renew_nothing(void **state) {
    (void)state;
    static const char *const codes[] = {"AUTHFAILURE_SIGNATURE_EXPIRED",
                                        "AUTHFAILURE_UNAUTHORIZED_OPERATION", "INVALID_PARAMETER"};
    for (size_t i = 0; i < COUNT(codes); i++) {
        zl_client *client = new_renewable();
        zl_operation *op = new_stop(client, 1, defaults);
        give(client, 0, 0);
        expect_send(op, 0, 1);
        answer(op, 1, 0, answer_api_error(401, codes[i]));
        (void)expect_error(op, ZL_OUTCOME_REJECTED, codes[i]);
        zl_operation_free(op);
        zl_client_unref(client);
    }
}

static void test_a_refusal_and_then_nobody_gives_any(void **state) {
    (void)state;
    zl_client *client = new_renewable();
    zl_operation *op = new_stop(client, 1, defaults);
    give(client, 0, 0);
    expect_send(op, 0, 1);
    answer(op, 1, 0, bad_key());
    expect_step(op, 0, ZL_STEP_CREDENTIALS, 0);
    refuse_to_give(client, 0, ZL_CODE_CREDENTIALS_UNAVAILABLE);
    expect_step(op, 0, ZL_STEP_DONE, 0);
    const zl_error *e = expect_error(op, ZL_OUTCOME_REJECTED, "CREDENTIALS_UNAVAILABLE");
    assert_buf(e->message, "the vault is sealed; the last attempt ended with "
                           "AUTHFAILURE_SIGNATURE_FAILURE");
    zl_operation_free(op);
    zl_client_unref(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_those_given_once_are_always_ready),
        cmocka_unit_test(test_asked_for_once_before_the_first_request),
        cmocka_unit_test(test_signed_by_what_was_given),
        cmocka_unit_test(test_a_deadline_passes_while_somebody_is_asked),
        cmocka_unit_test(test_in_vain),
        cmocka_unit_test(test_malformed_ones_will_be_so_again),
        cmocka_unit_test(test_a_waiting_outlives_a_vault_that_is_down),
        cmocka_unit_test(test_renewed_a_minute_before_they_expire),
        cmocka_unit_test(test_a_renewal_that_fails_leaves_those_that_are_good),
        cmocka_unit_test(test_short_lived_ones_are_used_for_half_of_their_time),
        cmocka_unit_test(test_a_refused_key_is_renewed_and_the_call_sent_again),
        cmocka_unit_test(test_an_old_key_s_refusal_asks_nobody),
        cmocka_unit_test(test_once_for_a_call),
        cmocka_unit_test(test_a_bad_key_is_no_load_on_who_gives_it),
        cmocka_unit_test(test_other_refusals_renew_nothing),
        cmocka_unit_test(test_a_refusal_and_then_nobody_gives_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
