/* One call: its attempts, and when it makes another. Each test plays one story. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "call.h"
#include "support.h"

/* A call, what it needs around it, and a clock that only the test moves. */
typedef struct story {
    zl_sender sender;
    zl_retry retry;
    zl_policy policy;
    zl_call call;
    int64_t now_ms, wall_s;
    double random;
} story;

static const zl_action action = {{"StopInstances", 13}, {"vm", 2}, {"2026-04-01", 10}};

static void begin(story *s, bool idempotent) {
    *s = (story){.now_ms = 5000, .wall_s = WALL_AT_ZERO, .random = 0.5};
    sender_init(&s->sender, false);
    zl_retry_init(&s->retry);
    s->policy = (zl_policy){.idempotent = idempotent, .max_attempts = 4, .deadline_ms = 125000};
    zl_buf_add_text(&s->call.body, "{}");
}

static void end(story *s) {
    zl_call_free(&s->call);
    sender_free(&s->sender);
}

static zl_moment now_of(const story *s) {
    return (zl_moment){.mono_ms = s->now_ms, .wall_s = s->wall_s, .random = s->random};
}

static void send_now(story *s) {
    zl_moment now = now_of(s);
    int before = s->call.attempts;
    assert_true(s->call.state == ZL_CALL_READY || s->call.state == ZL_CALL_WAITING);
    assert_int_equal(zl_call_send(&s->call, &s->sender, 0, &action, &s->retry, &now), ZL_OK);
    assert_int_equal(s->call.state, ZL_CALL_IN_FLIGHT);
    assert_int_equal(s->call.attempts, before + 1);
}

static void answer(story *s, const zl_answer *a) {
    zl_moment now = now_of(s);
    zl_call_answered(&s->call, &s->retry, &s->policy, &now, a);
}

static void send_and_answer(story *s, zl_answer a) {
    send_now(s);
    answer(s, &a);
}

static void send_and_fail(story *s, zl_code code, bool sent) {
    send_now(s);
    zl_moment now = now_of(s);
    zl_call_failed(&s->call, &s->retry, &s->policy, &now, code, ZL_LIT("what the driver says"),
                   sent);
}

/* It waits, for exactly so long; then the clock stands there. */
static void expect_wait(story *s, int64_t ms) {
    assert_int_equal(s->call.state, ZL_CALL_WAITING);
    assert_int_equal(s->call.due_ms - s->now_ms, ms);
    s->now_ms = s->call.due_ms;
}

static void expect_error(const story *s, zl_outcome outcome, zl_kind kind, const char *code,
                         int attempts) {
    const zl_error *e = &s->call.error;
    assert_int_equal(s->call.state, ZL_CALL_SETTLED);
    assert_true(e->is_set);
    assert_buf(e->code, code);
    assert_int_equal(e->kind, kind);
    assert_int_equal(s->call.outcome, outcome);
    assert_int_equal(e->outcome, outcome);
    assert_int_equal(s->call.attempts, attempts);
    assert_int_equal(e->attempts, attempts);
}

static void expect_accepted(const story *s, const char *request_id, int attempts) {
    assert_int_equal(s->call.state, ZL_CALL_SETTLED);
    assert_int_equal(s->call.outcome, ZL_OUTCOME_ACCEPTED);
    assert_false(s->call.error.is_set);
    assert_buf(s->call.request_id, request_id);
    assert_int_equal(s->call.attempts, attempts);
}

static zl_view header_of(const story *s, const char *name) {
    for (size_t i = 0; i < s->call.request.header_count; i++) {
        if (zl_view_equal(zl_request_header_name(&s->call.request, i), zl_view_of(name))) {
            return zl_request_header_value(&s->call.request, i);
        }
    }
    fail_with("no header %s", name);
}

static void expect_timestamp(const story *s, int64_t timestamp_s) {
    char text[32], want[512] = {0};
    (void)snprintf(text, sizeof text, "%lld", (long long)timestamp_s);
    assert_view(header_of(s, "X-ZC-Timestamp"), text);
    zl_sign_input in = {.host = ZL_LIT("api.example"),
                        .content_type = ZL_LIT("application/json; charset=utf-8"),
                        .body = ZL_LIT("{}"),
                        .timestamp_s = timestamp_s};
    assert_int_equal(zl_sign(s->sender.signer, &in, want), ZL_OK);
    assert_view(header_of(s, "Authorization"), want);
}

/* --- plain ends ------------------------------------------------------------------------------- */

static void test_accepted_at_once(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    send_and_answer(&s, answer_accepted("T-1"));
    expect_accepted(&s, "T-1", 1);
    end(&s);
}

static void test_refused(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    send_and_answer(&s, answer_api_error(404, "INVALID_INSTANCE_NOT_FOUND"));
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "INVALID_INSTANCE_NOT_FOUND", 1);
    assert_buf(s.call.error.message, "what the server says");
    assert_buf(s.call.error.request_id, "T-refused");
    assert_int_equal(s.call.error.http_status, 404);
    assert_false(s.call.error.retryable);
    assert_int_equal(s.call.error.retry_after_s, -1);
    end(&s);
}

static void test_an_answer_that_is_not_the_api(void **state) {
    (void)state;
    story s;
    begin(&s, false);
    send_and_answer(&s, answer_of_no_api(200));
    expect_error(&s, ZL_OUTCOME_UNKNOWN, ZL_KIND_PROTOCOL, "BAD_RESPONSE", 1);
    assert_int_equal(s.call.error.http_status, 200);
    assert_non_null(strstr(s.call.error.message.data, "text/html"));
    assert_int_equal(s.call.error.request_id.len, 0);
    end(&s);
}

static void test_no_answer(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    send_and_fail(&s, ZL_CODE_TLS_VERIFY_FAILED, false);
    expect_error(&s, ZL_OUTCOME_NOT_SENT, ZL_KIND_NETWORK, "TLS_VERIFY_FAILED", 1);
    assert_buf(s.call.error.message, "what the driver says");
    assert_int_equal(s.call.error.http_status, 0);
    assert_false(s.call.error.retryable);
    end(&s);
}

/* --- which are sent again --------------------------------------------------------------------- */

/* Plays one kind of failure until the end; how many attempts were made. */
static int attempts_of(bool idempotent, const zl_answer *a, zl_code code, bool sent, int max) {
    story s;
    begin(&s, idempotent);
    s.policy.max_attempts = max;
    do {
        if (a != NULL) {
            send_and_answer(&s, *a);
        } else {
            send_and_fail(&s, code, sent);
        }
        assert_true(s.call.state == ZL_CALL_WAITING || s.call.state == ZL_CALL_SETTLED);
        s.now_ms = s.call.state == ZL_CALL_WAITING ? s.call.due_ms : s.now_ms;
    } while (s.call.state == ZL_CALL_WAITING);
    int attempts = s.call.attempts;
    assert_int_equal(s.call.error.attempts, attempts);
    end(&s);
    return attempts;
}

static void test_which_answers_are_sent_again(void **state) {
    (void)state;
    const struct {
        zl_answer answer;
        bool safe, unsafe;
    } rows[] = {
        {answer_of_no_api(200), true, false},
        {answer_of_no_api(204), true, false},
        {answer_api_error(200, "INTERNAL_SERVER_ERROR"), false, false},
        {answer_of_no_api(302), false, false},
        {answer_of_no_api(403), false, false},
        {answer_of_no_api(451), false, false},
        {answer_of_no_api(408), true, true},
        {answer_api_error(408, "X"), false, false},
        {answer_of_no_api(429), true, true},
        {answer_api_error(429, "REQUEST_LIMIT_EXCEEDED"), true, true},
        {answer_api_error(400, "MISSING_PARAMETER"), false, false},
        {answer_api_error(401, "AUTHFAILURE_SIGNATURE_FAILURE"), false, false},
        {answer_of_no_api(500), true, false},
        {answer_api_error(503, "SERVICE_TEMPORARY_UNAVAILABLE"), true, false},
        {answer_of_no_api(100), true, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int max = 1; max <= 5; max++) {
            assert_int_equal(attempts_of(true, &rows[i].answer, 0, false, max),
                             rows[i].safe ? max : 1);
            assert_int_equal(attempts_of(false, &rows[i].answer, 0, false, max),
                             rows[i].unsafe ? max : 1);
        }
    }
}

static void test_which_failures_are_sent_again(void **state) {
    (void)state;
    static const struct {
        zl_code code;
        bool sent, safe, unsafe;
    } rows[] = {
        {ZL_CODE_RESOLVE_FAILED, false, true, true},
        {ZL_CODE_CONNECT_FAILED, false, true, true},
        {ZL_CODE_CONNECT_TIMEOUT, false, true, true},
        {ZL_CODE_TLS_FAILED, false, true, true},
        {ZL_CODE_PROXY_FAILED, false, true, true},
        {ZL_CODE_TLS_VERIFY_FAILED, false, false, false},
        {ZL_CODE_CONNECTION_LOST, true, true, false},
        {ZL_CODE_CONNECTION_LOST, false, true, true},
        {ZL_CODE_TIMEOUT, true, true, false},
        {ZL_CODE_RESPONSE_TOO_LARGE, true, false, false},
        {ZL_CODE_CANCELLED, true, false, false},
        {ZL_CODE_CANCELLED, false, false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int max = 1; max <= 5; max++) {
            assert_int_equal(attempts_of(true, NULL, rows[i].code, rows[i].sent, max),
                             rows[i].safe ? max : 1);
            assert_int_equal(attempts_of(false, NULL, rows[i].code, rows[i].sent, max),
                             rows[i].unsafe ? max : 1);
        }
    }
}

/* --- backoff ---------------------------------------------------------------------------------- */

static void test_backoff_of_failures(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    send_and_answer(&s, answer_of_no_api(503));
    expect_wait(&s, 25);
    send_and_fail(&s, ZL_CODE_CONNECTION_LOST, true);
    expect_wait(&s, 50);
    s.random = 0.999;
    send_and_fail(&s, ZL_CODE_CONNECT_FAILED, false);
    expect_wait(&s, 199);
    send_and_answer(&s, answer_of_no_api(503));
    expect_error(&s, ZL_OUTCOME_UNKNOWN, ZL_KIND_PROTOCOL, "BAD_RESPONSE", 4);
    assert_true(s.call.error.retryable);
    assert_int_equal(s.retry.quota, 500 - 3 * 14);
    assert_true(s.retry.pause_until_ms < 0); /* nobody else waits for these */
    end(&s);
}

static void test_backoff_of_a_rate_limit(void **state) {
    (void)state;
    story s;
    begin(&s, false);
    send_and_answer(&s, answer_of_no_api(429));
    assert_int_equal(s.retry.pause_until_ms, s.now_ms + 500); /* for the whole client */
    expect_wait(&s, 500);
    zl_answer a = answer_of_no_api(429);
    a.retry_after_s = 3;
    send_and_answer(&s, a);
    assert_int_equal(s.retry.pause_until_ms, s.now_ms + 4000);
    expect_wait(&s, 4000);
    a.retry_after_s = -1;
    a.retry_date_s = s.wall_s + 100; /* a date, against the answer's own */
    a.date_s = s.wall_s + 93;
    send_and_answer(&s, a);
    expect_wait(&s, 7000 + 4000); /* before the last attempt all of the span */
    assert_int_equal(s.retry.quota, 500 - 3 * 5);
    send_and_answer(&s, answer_accepted("T-2"));
    expect_accepted(&s, "T-2", 4);
    assert_int_equal(s.retry.quota, 500); /* a success gives back what its call spent */
    end(&s);
}

static void test_retry_after_of_a_5xx(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    zl_answer a = answer_api_error(503, "SERVICE_TEMPORARY_UNAVAILABLE");
    a.retry_after_s = 2;
    send_and_answer(&s, a);
    expect_wait(&s, 2025);
    end(&s);
}

/* The pause holds for everybody else also when this call has no attempt left. */
static void test_the_last_429_still_pauses(void **state) {
    (void)state;
    story s;
    begin(&s, false);
    s.policy.max_attempts = 1;
    zl_answer a = answer_of_no_api(429);
    a.retry_after_s = 9;
    send_and_answer(&s, a);
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "REQUEST_LIMIT_EXCEEDED", 1);
    assert_true(s.call.error.retryable);
    assert_int_equal(s.call.error.retry_after_s, 9);
    assert_int_equal(s.retry.pause_until_ms, s.now_ms + 9500);
    end(&s);
}

static void test_a_refusal_has_no_retry_after(void **state) {
    (void)state;
    story s;
    begin(&s, false);
    zl_answer a = answer_api_error(400, "MISSING_PARAMETER");
    a.retry_after_s = 9;
    send_and_answer(&s, a);
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "MISSING_PARAMETER", 1);
    assert_false(s.call.error.retryable);
    end(&s);
}

/* --- the quota -------------------------------------------------------------------------------- */

static void test_no_tokens_no_retry(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    s.retry.quota = 13;
    send_and_answer(&s, answer_of_no_api(503));
    expect_error(&s, ZL_OUTCOME_UNKNOWN, ZL_KIND_PROTOCOL, "BAD_RESPONSE", 1);
    assert_true(s.call.error.retryable); /* later it may help */
    assert_int_equal(s.retry.quota, 13);
    end(&s);
    begin(&s, true);
    s.retry.quota = 4;
    send_and_answer(&s, answer_of_no_api(429));
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "REQUEST_LIMIT_EXCEEDED", 1);
    assert_int_equal(s.retry.quota, 4);
    end(&s);
}

/* An outage: 35 retries of a fresh client, then each call fails at its first attempt. */
static void test_an_outage_is_not_hammered(void **state) {
    (void)state;
    zl_retry shared;
    zl_retry_init(&shared);
    int sends = 0;
    for (int i = 0; i < 1000; i++) {
        story s;
        begin(&s, true);
        s.retry = shared;
        do {
            send_and_fail(&s, ZL_CODE_CONNECT_FAILED, false);
            s.now_ms += 1000;
        } while (s.call.state == ZL_CALL_WAITING);
        sends += s.call.attempts;
        shared = s.retry;
        end(&s);
    }
    assert_int_equal(sends, 1000 + 35);
}

static void test_success_refills_the_quota(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    s.retry.quota = 100;
    send_and_answer(&s, answer_accepted("T-1"));
    assert_int_equal(s.retry.quota, 101);
    end(&s);
    begin(&s, true);
    s.retry.quota = 100;
    send_and_answer(&s, answer_of_no_api(503));
    s.now_ms = s.call.due_ms;
    send_and_answer(&s, answer_of_no_api(429));
    assert_int_equal(s.retry.quota, 100 - 14 - 5);
    s.now_ms = s.call.due_ms;
    send_and_answer(&s, answer_accepted("T-1"));
    assert_int_equal(s.retry.quota, 100);
    end(&s);
    begin(&s, true); /* a refusal gives nothing back */
    s.retry.quota = 100;
    send_and_answer(&s, answer_of_no_api(503));
    send_and_answer(&s, answer_api_error(404, "X"));
    assert_int_equal(s.retry.quota, 86);
    end(&s);
}

/* --- sticky ----------------------------------------------------------------------------------- */

static void test_once_unknown_a_refusal_changes_nothing(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    send_and_fail(&s, ZL_CODE_CONNECTION_LOST, true);
    send_and_answer(&s, answer_api_error(403, "OPERATION_DENIED_INSTANCE_NOT_RUNNING"));
    expect_error(&s, ZL_OUTCOME_UNKNOWN, ZL_KIND_API, "OPERATION_DENIED_INSTANCE_NOT_RUNNING", 2);
    assert_int_equal(s.call.error.http_status, 403);
    end(&s);
}

static void test_once_unknown_a_failure_to_send_changes_nothing(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    send_and_answer(&s, answer_of_no_api(502));
    send_and_fail(&s, ZL_CODE_TLS_VERIFY_FAILED, false);
    expect_error(&s, ZL_OUTCOME_UNKNOWN, ZL_KIND_NETWORK, "TLS_VERIFY_FAILED", 2);
    end(&s);
}

static void test_once_unknown_a_success_ends_it(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    send_and_fail(&s, ZL_CODE_TIMEOUT, true);
    send_and_answer(&s, answer_of_no_api(429));
    send_and_answer(&s, answer_accepted("T-3"));
    expect_accepted(&s, "T-3", 3);
    end(&s);
}

static void test_refused_then_lost_is_unknown(void **state) {
    (void)state;
    story s;
    begin(&s, false);
    send_and_answer(&s, answer_of_no_api(429));
    send_and_fail(&s, ZL_CODE_CONNECTION_LOST, true);
    expect_error(&s, ZL_OUTCOME_UNKNOWN, ZL_KIND_NETWORK, "CONNECTION_LOST", 2);
    end(&s);
}

static void test_refused_then_not_sent_is_rejected(void **state) {
    (void)state;
    story s;
    begin(&s, false);
    s.policy.max_attempts = 2;
    send_and_answer(&s, answer_of_no_api(429));
    send_and_fail(&s, ZL_CODE_CONNECT_FAILED, false);
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_NETWORK, "CONNECT_FAILED", 2);
    end(&s);
}

/* --- timestamps and the clock ----------------------------------------------------------------- */

static void test_each_attempt_is_signed_afresh(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    for (int i = 0; i < 4; i++) {
        s.wall_s = WALL_AT_ZERO + 11 * i;
        send_now(&s);
        expect_timestamp(&s, s.wall_s);
        zl_answer a = answer_of_no_api(503);
        answer(&s, &a);
    }
    end(&s);
}

static zl_answer clock_refusal(int64_t date_s) {
    zl_answer a = answer_api_error(401, "AUTHFAILURE_SIGNATURE_EXPIRED");
    a.date_s = date_s;
    return a;
}

static void test_a_wrong_clock_is_corrected_once_at_once(void **state) {
    (void)state;
    story s;
    begin(&s, false); /* nothing was done: also what is not safe */
    int64_t right = s.wall_s + 3600;
    send_and_answer(&s, clock_refusal(right));
    assert_int_equal(s.retry.clock_offset_s, 3600); /* the client keeps it */
    expect_wait(&s, 0);
    assert_int_equal(s.retry.quota, 500); /* no backoff, so no tokens */
    s.wall_s += 2;
    send_now(&s);
    expect_timestamp(&s, right + 2);
    zl_answer a = answer_accepted("T-1");
    answer(&s, &a);
    expect_accepted(&s, "T-1", 2);
    end(&s);
}

static void test_a_clock_that_goes_fast(void **state) {
    (void)state;
    story s;
    begin(&s, false);
    send_and_answer(&s, clock_refusal(s.wall_s - 100000));
    expect_wait(&s, 0);
    send_now(&s);
    expect_timestamp(&s, s.wall_s - 100000);
    end(&s);
}

static void test_every_authfailure_may_be_the_clock(void **state) {
    (void)state;
    static const char *const codes[] = {"AUTHFAILURE_SIGNATURE_EXPIRED",
                                        "AUTHFAILURE_SIGNATURE_FAILURE",
                                        "AUTHFAILURE_SOMETHING_NEW"};
    for (size_t i = 0; i < COUNT(codes); i++) {
        story s;
        begin(&s, false);
        zl_answer a = answer_api_error(403, codes[i]);
        a.date_s = s.wall_s + 241;
        send_and_answer(&s, a);
        expect_wait(&s, 0);
        end(&s);
    }
}

static void test_a_wrong_key_does_not_loop(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    send_and_answer(&s, clock_refusal(s.wall_s + 240)); /* the clocks agree: it is the key */
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "AUTHFAILURE_SIGNATURE_EXPIRED", 1);
    assert_false(s.call.error.retryable);
    assert_int_equal(s.retry.clock_offset_s, 0);
    end(&s);
    begin(&s, true); /* nor without a date */
    send_and_answer(&s, answer_api_error(401, "AUTHFAILURE_SIGNATURE_FAILURE"));
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "AUTHFAILURE_SIGNATURE_FAILURE", 1);
    end(&s);
    begin(&s, true); /* corrected, and still refused: the key after all */
    send_and_answer(&s, clock_refusal(s.wall_s + 3600));
    send_and_answer(&s, clock_refusal(s.wall_s + 3600));
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "AUTHFAILURE_SIGNATURE_EXPIRED", 2);
    end(&s);
}

/* A server whose dates jump about cannot make a call go on for ever. */
static void test_never_corrected_twice(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    s.policy.max_attempts = 10;
    send_and_answer(&s, clock_refusal(s.wall_s + 3600));
    expect_wait(&s, 0);
    send_and_answer(&s, clock_refusal(s.wall_s + 999999));
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "AUTHFAILURE_SIGNATURE_EXPIRED", 2);
    end(&s);
}

/* Two calls in flight with the wrong clock: the first refusal corrects it, and the second call,
 * whose attempt used the old one, is sent again all the same. */
static void test_another_call_corrected_meanwhile(void **state) {
    (void)state;
    story s;
    begin(&s, false);
    send_now(&s);
    s.retry.clock_offset_s = 3600; /* the other call's work */
    zl_answer a = clock_refusal(s.wall_s + 3601);
    answer(&s, &a);
    expect_wait(&s, 0);
    assert_in_range(s.retry.clock_offset_s, 3600, 3601);
    send_now(&s);
    expect_timestamp(&s, s.wall_s + s.retry.clock_offset_s);
    a = answer_accepted("T-1");
    answer(&s, &a);
    expect_accepted(&s, "T-1", 2);
    end(&s);
}

/* A correction that this attempt used already, and a server that agrees with it: the key is wrong.
 */
static void test_a_wrong_key_after_a_correction_of_the_client(void **state) {
    (void)state;
    story s;
    begin(&s, false);
    s.retry.clock_offset_s = 3600;
    send_and_answer(&s, clock_refusal(s.wall_s + 3600));
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "AUTHFAILURE_SIGNATURE_EXPIRED", 1);
    assert_int_equal(s.retry.clock_offset_s, 3600);
    end(&s);
}

/* max_attempts counts all sends of a call, the corrected one included. */
static void test_the_corrected_attempt_counts(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    s.policy.max_attempts = 1;
    send_and_answer(&s, clock_refusal(s.wall_s + 3600));
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "AUTHFAILURE_SIGNATURE_EXPIRED", 1);
    assert_int_equal(s.retry.clock_offset_s, 3600); /* the next call is right */
    assert_true(s.call.error.retryable);
    end(&s);
    begin(&s, true);
    s.policy.max_attempts = 3;
    send_and_answer(&s, clock_refusal(s.wall_s + 3600));
    send_and_answer(&s, answer_of_no_api(503));
    expect_wait(&s, 25); /* the correction was no retry of the backoff's: it begins at its base */
    send_and_answer(&s, answer_of_no_api(503));
    expect_error(&s, ZL_OUTCOME_UNKNOWN, ZL_KIND_PROTOCOL, "BAD_RESPONSE", 3);
    end(&s);
}

/* --- the deadline ----------------------------------------------------------------------------- */

static void test_a_retry_beyond_the_deadline_fails_at_once(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    s.policy.deadline_ms = s.now_ms + 500; /* the wait would end exactly there: too late */
    send_and_answer(&s, answer_of_no_api(429));
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "REQUEST_LIMIT_EXCEEDED", 1);
    assert_true(s.call.error.retryable);
    assert_int_equal(s.call.error.retry_after_s, 1); /* 500 ms, in whole seconds */
    assert_int_equal(s.retry.quota, 500);
    assert_int_equal(s.retry.pause_until_ms, s.now_ms + 500); /* for other operations */
    end(&s);
    begin(&s, true);
    s.policy.deadline_ms = s.now_ms + 501;
    send_and_answer(&s, answer_of_no_api(429));
    expect_wait(&s, 500);
    end(&s);
}

static void test_retry_after_beyond_the_deadline(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    zl_answer a = answer_api_error(503, "SERVICE_TEMPORARY_UNAVAILABLE");
    a.retry_after_s = 300;
    send_and_answer(&s, a);
    expect_error(&s, ZL_OUTCOME_UNKNOWN, ZL_KIND_API, "SERVICE_TEMPORARY_UNAVAILABLE", 1);
    assert_int_equal(s.call.error.retry_after_s, 300);
    end(&s);
    begin(&s, true);
    a.retry_after_s = INT64_C(1) << 40; /* a wish without sense is bounded, and overflows nothing */
    send_and_answer(&s, a);
    expect_error(&s, ZL_OUTCOME_UNKNOWN, ZL_KIND_API, "SERVICE_TEMPORARY_UNAVAILABLE", 1);
    assert_int_equal(s.call.error.retry_after_s, 86400);
    end(&s);
}

static void test_lost_at_the_deadline(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    send_now(&s);
    s.now_ms = s.policy.deadline_ms;
    zl_moment now = now_of(&s);
    zl_call_failed(&s.call, &s.retry, &s.policy, &now, ZL_CODE_TIMEOUT, ZL_LIT("too late"), true);
    expect_error(&s, ZL_OUTCOME_UNKNOWN, ZL_KIND_TIMEOUT, "DEADLINE_EXCEEDED", 1);
    end(&s);
}

/* What came, came: also after the deadline, and also when the clock stands past it. */
static void test_answered_after_the_deadline(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    send_now(&s);
    s.now_ms = s.policy.deadline_ms + 1000;
    zl_answer a = answer_accepted("T-1");
    answer(&s, &a);
    expect_accepted(&s, "T-1", 1);
    end(&s);
    begin(&s, true);
    send_now(&s);
    s.now_ms = s.policy.deadline_ms;
    a = clock_refusal(s.wall_s + 3600);
    answer(&s, &a); /* no time to send it again */
    expect_error(&s, ZL_OUTCOME_REJECTED, ZL_KIND_API, "AUTHFAILURE_SIGNATURE_EXPIRED", 1);
    end(&s);
}

/* --- giving up -------------------------------------------------------------------------------- */

static void give_up(story *s, zl_code code, int64_t retry_after_s) {
    zl_call_give_up(&s->call, code, ZL_LIT("the reason"), retry_after_s);
}

static void test_giving_up_before_the_first_attempt(void **state) {
    (void)state;
    story s;
    begin(&s, true);
    give_up(&s, ZL_CODE_CANCELLED, -1);
    expect_error(&s, ZL_OUTCOME_NOT_SENT, ZL_KIND_CANCELLED, "CANCELLED", 0);
    assert_buf(s.call.error.message, "the reason");
    assert_false(s.call.error.retryable);
    end(&s);
}

static void test_giving_up_between_attempts(void **state) {
    (void)state;
    const struct {
        zl_answer answer;
        zl_outcome want;
    } rows[] = {
        {answer_of_no_api(429), ZL_OUTCOME_REJECTED},
        {answer_of_no_api(503), ZL_OUTCOME_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        story s;
        begin(&s, true);
        send_and_answer(&s, rows[i].answer);
        give_up(&s, ZL_CODE_DEADLINE_EXCEEDED, 17);
        expect_error(&s, rows[i].want, ZL_KIND_TIMEOUT, "DEADLINE_EXCEEDED", 1);
        assert_int_equal(s.call.error.retry_after_s, 17);
        assert_int_equal(s.call.error.http_status, rows[i].answer.status);
        assert_non_null(strstr(s.call.error.message.data, "the reason")); /* and what came before */
        assert_true(strlen(s.call.error.message.data) > strlen("the reason"));
        end(&s);
    }
    story s;
    begin(&s, true);
    send_and_fail(&s, ZL_CODE_CONNECT_FAILED, false);
    give_up(&s, ZL_CODE_CANCELLED, -1);
    expect_error(&s, ZL_OUTCOME_NOT_SENT, ZL_KIND_CANCELLED, "CANCELLED", 1);
    end(&s);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* A send that fails leaves the call as it was: it can be asked again. */
static void test_a_send_without_memory(void **state) {
    (void)state;
    size_t failures = 0;
    for (size_t k = 1; k < 30; k++) {
        story s;
        begin(&s, true);
        zl_moment now = now_of(&s);
        alloc_fail_at(k, false);
        int rc = zl_call_send(&s.call, &s.sender, 0, &action, &s.retry, &now);
        bool failed = alloc_has_failed();
        alloc_fail_at(0, false);
        assert_int_equal(rc, failed ? ZL_ERR_NOMEM : ZL_OK);
        if (failed) {
            failures++;
            assert_int_equal(s.call.state, ZL_CALL_READY);
            assert_int_equal(s.call.attempts, 0);
            send_now(&s);
            expect_timestamp(&s, s.wall_s);
        }
        end(&s);
    }
    assert_in_range(failures, 2, 28);
}

/* Out of memory while an answer is taken in: the state and the outcome are right, and what could
 * not be copied says so. */
static void test_an_answer_without_memory(void **state) {
    (void)state;
    const zl_answer answers[] = {answer_accepted("T-1"), answer_api_error(404, "NOT_FOUND"),
                                 answer_of_no_api(302)};
    const zl_outcome outcomes[] = {ZL_OUTCOME_ACCEPTED, ZL_OUTCOME_REJECTED, ZL_OUTCOME_REJECTED};
    for (size_t i = 0; i < COUNT(answers); i++) {
        size_t failures = 0;
        for (size_t k = 1; k < 20; k++) {
            story s;
            begin(&s, true);
            send_now(&s);
            alloc_fail_at(k, false);
            answer(&s, &answers[i]);
            bool failed = alloc_has_failed();
            alloc_fail_at(0, false);
            failures += failed;
            assert_int_equal(s.call.state, ZL_CALL_SETTLED);
            assert_int_equal(s.call.outcome, outcomes[i]);
            assert_int_equal(s.call.error.is_set, outcomes[i] != ZL_OUTCOME_ACCEPTED);
            if (!zl_error_ok(&s.call.error) || !zl_buf_ok(&s.call.request_id)) {
                assert_true(failed);
            } else if (i == 0) { /* what does not say so is as it should be */
                assert_buf(s.call.request_id, "T-1");
            } else {
                assert_buf(s.call.error.code, i == 1 ? "NOT_FOUND" : "UNEXPECTED_STATUS");
                assert_true(s.call.error.message.len > 0);
            }
            end(&s);
        }
        assert_in_range(failures, 1, 18);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted_at_once),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_an_answer_that_is_not_the_api),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_which_answers_are_sent_again),
        cmocka_unit_test(test_which_failures_are_sent_again),
        cmocka_unit_test(test_backoff_of_failures),
        cmocka_unit_test(test_backoff_of_a_rate_limit),
        cmocka_unit_test(test_retry_after_of_a_5xx),
        cmocka_unit_test(test_the_last_429_still_pauses),
        cmocka_unit_test(test_a_refusal_has_no_retry_after),
        cmocka_unit_test(test_no_tokens_no_retry),
        cmocka_unit_test(test_an_outage_is_not_hammered),
        cmocka_unit_test(test_success_refills_the_quota),
        cmocka_unit_test(test_once_unknown_a_refusal_changes_nothing),
        cmocka_unit_test(test_once_unknown_a_failure_to_send_changes_nothing),
        cmocka_unit_test(test_once_unknown_a_success_ends_it),
        cmocka_unit_test(test_refused_then_lost_is_unknown),
        cmocka_unit_test(test_refused_then_not_sent_is_rejected),
        cmocka_unit_test(test_each_attempt_is_signed_afresh),
        cmocka_unit_test(test_a_wrong_clock_is_corrected_once_at_once),
        cmocka_unit_test(test_a_clock_that_goes_fast),
        cmocka_unit_test(test_every_authfailure_may_be_the_clock),
        cmocka_unit_test(test_a_wrong_key_does_not_loop),
        cmocka_unit_test(test_never_corrected_twice),
        cmocka_unit_test(test_another_call_corrected_meanwhile),
        cmocka_unit_test(test_a_wrong_key_after_a_correction_of_the_client),
        cmocka_unit_test(test_the_corrected_attempt_counts),
        cmocka_unit_test(test_a_retry_beyond_the_deadline_fails_at_once),
        cmocka_unit_test(test_retry_after_beyond_the_deadline),
        cmocka_unit_test(test_lost_at_the_deadline),
        cmocka_unit_test(test_answered_after_the_deadline),
        cmocka_unit_test(test_giving_up_before_the_first_attempt),
        cmocka_unit_test(test_giving_up_between_attempts),
        cmocka_unit_test(test_a_send_without_memory),
        cmocka_unit_test(test_an_answer_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
