/* The hints of errors: which there are, and what they say of clocks and of credentials. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "call.h"
#include "driver.h"
#include "hint.h"
#include "support.h"

static const char about_signatures[] =
    "usually the access key password is not that of the access key id, or a proxy rewrites the "
    "request's body or headers";

/* The hint for an answer with this code, of that date, on a machine whose time is WALL_AT_ZERO. */
static zl_buf hint_for(const char *code, int64_t date_s, const char *blanks, int64_t offset_s) {
    zl_error error = {0};
    zl_answer refusal = answer_api_error(401, code);
    refusal.date_s = date_s;
    zl_error_set(&error, ZL_CODE_BAD_RESPONSE, ZL_LIT("what the server says"));
    zl_buf_set(&error.code, zl_view_of(code));
    zl_buf_set(&error.hint, ZL_LIT("an old one"));
    zl_hint_set(&error, &refusal, blanks, WALL_AT_ZERO, offset_s);
    assert_true(zl_error_ok(&error));
    assert_buf(error.message, "what the server says");
    zl_buf hint = error.hint;
    error.hint = (zl_buf){0};
    zl_error_free(&error);
    return hint;
}

static void expect(const char *code, int64_t date_s, const char *blanks, int64_t offset_s,
                   const char *text) {
    zl_buf hint = hint_for(code, date_s, blanks, offset_s);
    assert_buf(hint, text);
    zl_buf_free(&hint);
}

static void test_codes(void **state) {
    (void)state;
    static const char *const with[] = {
        "AUTHFAILURE_INVALID_AUTHORIZATION",
        "AUTHFAILURE_SIGNATURE_FAILURE",
        "AUTHFAILURE_UNAUTHORIZED_OPERATION",
        "REQUEST_LIMIT_EXCEEDED",
        "SECURITY_CHALLENGE",
        "UNAUTHORIZED_OPERATION",
    };
    static const char *const without[] = {
        "",
        "AUTHFAILURE_SIGNATURE_EXPIRED",
        "AUTHFAILURE_SIGNATURE_FAILURE_",
        "INTERNAL_SERVER_ERROR",
        "INVALID_INSTANCE_NOT_FOUND",
        "INVALID_PARAMETER_VALUE",
        "SIGNATURE_FAILURE",
        "authfailure_signature_failure",
    };
    for (size_t i = 0; i < COUNT(with); i++) {
        zl_buf hint = hint_for(with[i], WALL_AT_ZERO, NULL, 0);
        assert_in_range(hint.len, 20, 200);
        zl_buf_free(&hint);
    }
    for (size_t i = 0; i < COUNT(without); i++) {
        expect(without[i], WALL_AT_ZERO, NULL, 0, "");
    }
    expect("AUTHFAILURE_SIGNATURE_FAILURE", -1, NULL, 0, about_signatures);
}

static void test_blanks(void **state) {
    (void)state;
    const char text[] = "the access key password begins or ends with white space";
    const char *blanks = "the access key password";
    expect("AUTHFAILURE_SIGNATURE_FAILURE", WALL_AT_ZERO, blanks, 0, text);
    expect("AUTHFAILURE_INVALID_AUTHORIZATION", WALL_AT_ZERO, blanks, 0, text);
    expect("AUTHFAILURE_SOMETHING_NEW", -1, blanks, 0, text);
    expect("INTERNAL_SERVER_ERROR", WALL_AT_ZERO, blanks, 0, ""); /* that is not why */
    expect("AUTHFAILURE_SIGNATURE_EXPIRED", WALL_AT_ZERO + 400, "the token", 0,
           "the token begins or ends with white space; "
           "this machine's clock is 400 s behind the server's");
}

static void test_clocks(void **state) {
    (void)state;
    const char *expired = "AUTHFAILURE_SIGNATURE_EXPIRED";
    expect(expired, WALL_AT_ZERO + 301, NULL, 0,
           "this machine's clock is 301 s behind the server's");
    expect(expired, WALL_AT_ZERO - 301, NULL, 0,
           "this machine's clock is 301 s ahead of the server's");
    /* As answers take their time, and dates have whole seconds. */
    expect(expired, WALL_AT_ZERO + ZL_HINT_SKEW_S, NULL, 0, "");
    expect(expired, WALL_AT_ZERO - ZL_HINT_SKEW_S, NULL, 0, "");
    expect(expired, WALL_AT_ZERO + ZL_HINT_SKEW_S + 1, NULL, 0,
           "this machine's clock is 6 s behind the server's");
    expect(expired, -1, NULL, 0, "");
    expect(expired, 0, NULL, 0, "this machine's clock is 1700000000 s ahead of the server's");
    /* Corrected for this request, or for it too but wrongly. */
    expect(expired, WALL_AT_ZERO + 3600, NULL, 3599,
           "this machine's clock is 3600 s behind the server's, which was allowed for");
    expect(expired, WALL_AT_ZERO + 3600, NULL, 1800,
           "this machine's clock is 3600 s behind the server's");
    expect(expired, WALL_AT_ZERO, NULL, 3600, "");
    expect("INTERNAL_SERVER_ERROR", WALL_AT_ZERO + 301, NULL, 0, "");
    zl_buf hint = hint_for("AUTHFAILURE_SIGNATURE_FAILURE", WALL_AT_ZERO - 20, NULL, 0);
    assert_int_equal(strncmp(hint.data, about_signatures, sizeof about_signatures - 1), 0);
    assert_string_equal(hint.data + sizeof about_signatures - 1,
                        "; this machine's clock is 20 s ahead of the server's");
    zl_buf_free(&hint);
}

/* --- where they come from and go ------------------------------------------------------------- */

static const zl_action action = {{"Echo", 4}, {"vm", 2}, {"2026-04-01", 10}};

/* One attempt of a client with this password. */
static void attempt(zl_call *call, zl_sender *sender, zl_retry *retry, zl_view password,
                    zl_answer a) {
    static const zl_policy policy = {.idempotent = true, .max_attempts = 4, .deadline_ms = 90000};
    zl_moment now = moment(0, 0.5);
    zl_signer_free(sender->signer);
    assert_int_equal(zl_signer_new_key(&sender->signer, ZL_LIT("key-id"), password), ZL_OK);
    assert_int_equal(zl_call_send(call, sender, 0, &action, retry, &now), ZL_OK);
    zl_call_answered(call, retry, &policy, &now, &a);
}

static void test_a_call_has_the_hint_of_its_last_answer(void **state) {
    (void)state;
    zl_call call = {0};
    zl_sender sender;
    zl_retry retry;
    sender_init(&sender, false);
    zl_retry_init(&retry);
    zl_buf_add_text(&call.body, "{}");
    attempt(&call, &sender, &retry, ZL_LIT("pass\n"), answer_of_no_api(503));
    assert_buf(call.error.hint, "");
    zl_answer limit = answer_api_error(429, "REQUEST_LIMIT_EXCEEDED");
    attempt(&call, &sender, &retry, ZL_LIT("pass\n"), limit);
    assert_true(call.error.hint.len > 0);
    zl_answer refusal = answer_api_error(401, "AUTHFAILURE_SIGNATURE_FAILURE");
    refusal.date_s = WALL_AT_ZERO + 1000; /* so it is sent again, with that time */
    attempt(&call, &sender, &retry, ZL_LIT("pass\n"), refusal);
    assert_int_equal(call.state, ZL_CALL_WAITING);
    attempt(&call, &sender, &retry, ZL_LIT("pass"), refusal); /* another password meanwhile */
    assert_int_equal(call.state, ZL_CALL_SETTLED);
    assert_buf(call.error.message, "what the server says");
    assert_non_null(strstr(call.error.hint.data, about_signatures));
    assert_non_null(strstr(call.error.hint.data, "1000 s behind the server's, which was allowed"));
    assert_null(strstr(call.error.hint.data, "white space"));
    zl_call_free(&call);
    sender_free(&sender);
}

static void test_giving_up_keeps_it(void **state) {
    (void)state;
    zl_call call = {0};
    zl_sender sender;
    zl_retry retry;
    sender_init(&sender, false);
    zl_retry_init(&retry);
    zl_buf_add_text(&call.body, "{}");
    attempt(&call, &sender, &retry, ZL_LIT("p"), answer_api_error(429, "REQUEST_LIMIT_EXCEEDED"));
    assert_int_equal(call.state, ZL_CALL_WAITING);
    zl_call_give_up(&call, ZL_CODE_DEADLINE_EXCEEDED, ZL_LIT("no more"), -1);
    assert_buf(call.error.code, "DEADLINE_EXCEEDED");
    assert_buf(call.error.hint, "a lower max_concurrency sends fewer requests at a time");
    zl_call_free(&call);
    sender_free(&sender);
}

static void test_a_copy_has_it_and_a_move_takes_it(void **state) {
    (void)state;
    zl_error from = {0}, to = {0};
    zl_error_set(&from, ZL_CODE_TIMEOUT, ZL_LIT("m"));
    zl_error_set(&to, ZL_CODE_TIMEOUT, ZL_LIT("n"));
    zl_buf_set(&from.hint, ZL_LIT("a hint"));
    zl_buf_set(&to.hint, ZL_LIT("another, which is longer"));
    zl_error_copy(&to, &from);
    assert_buf(to.hint, "a hint");
    assert_buf(from.hint, "a hint");
    assert_ptr_not_equal(to.hint.data, from.hint.data);
    zl_error_move(&to, &from);
    assert_buf(to.hint, "a hint");
    assert_buf(from.hint, "");
    to.hint.failed = true;
    assert_false(zl_error_ok(&to));
    zl_error_set(&to, ZL_CODE_TIMEOUT, ZL_LIT("m"));
    assert_buf(to.hint, "");
    zl_error_free(&to);
}

/* --- batches ---------------------------------------------------------------------------------- */

/* Stop so many ids, of which the first batch is refused with this code: the hint of the whole,
 * which is that of the batch. */
static void stop(size_t ids, bool isolate, const char *code, const char *expected) {
    zl_client *client = new_client();
    zl_operation_options options = {.isolate = isolate};
    zl_operation *op = new_stop(client, ids, options);
    expect_send(op, 0, 1);
    answer(op, 1, 10, answer_api_error(404, code));
    assert_buf(expect_error(op, ZL_OUTCOME_REJECTED, code)->hint, expected);
    assert_buf(zl_operation_batch(op, 1).error->hint, expected);
    zl_operation_free(op);
    zl_client_unref(client);
}

static void test_a_batch_that_could_be_isolated(void **state) {
    (void)state;
    const char text[] = "isolate = true finds which of the ids, and stops the rest";
    stop(2, false, "INVALID_INSTANCE_NOT_FOUND", text);
    stop(100, false, "OPERATION_DENIED_INSTANCE_RECYCLED", text);
    stop(1, false, "INVALID_INSTANCE_NOT_FOUND", "");
    stop(1, true, "INVALID_INSTANCE_NOT_FOUND", "");
    stop(2, false, "INVALID_PARAMETER_VALUE", "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_blanks),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_a_call_has_the_hint_of_its_last_answer),
        cmocka_unit_test(test_giving_up_keeps_it),
        cmocka_unit_test(test_a_copy_has_it_and_a_move_takes_it),
        cmocka_unit_test(test_a_batch_that_could_be_isolated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
