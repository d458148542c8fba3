/* The judge table, row by row; and that no status is ever judged better than it says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "support.h"

static const char *const again_names[] = {"no", "yes", "if safe", "clock"};

static void expect(const char *what, const zl_answer *answer, zl_outcome outcome, zl_again again,
                   bool is_api, zl_code code, bool rate_limited) {
    zl_verdict v = zl_judge_answer(answer);
    if (v.outcome != outcome || v.again != again || v.rate_limited != rate_limited ||
        (outcome != ZL_OUTCOME_ACCEPTED && v.is_api != is_api) ||
        (outcome != ZL_OUTCOME_ACCEPTED && !is_api && v.code != code)) {
        fail_with("HTTP %d, %s: judged %s, again %s, %s%s", answer->status, what,
                  zl_outcome_name(v.outcome), again_names[v.again],
                  v.is_api ? "the API's code" : zl_code_name(v.code),
                  v.rate_limited ? ", rate limit" : "");
    }
}

static void expect_api(const zl_answer *a, zl_outcome outcome, zl_again again) {
    expect("JSON with a code", a, outcome, again, true, ZL_CODE_BAD_RESPONSE, false);
}

static void expect_ours(const zl_answer *a, zl_outcome outcome, zl_again again, zl_code code) {
    expect("", a, outcome, again, false, code, false);
}

/* --- answers, by the rows of the table -------------------------------------------------------- */

static void test_accepted(void **state) {
    (void)state;
    zl_answer a = answer_accepted("T-1");
    expect("accepted", &a, ZL_OUTCOME_ACCEPTED, ZL_AGAIN_NO, false, ZL_CODE_BAD_RESPONSE, false);
    a.challenge = true; /* what else the head says is of no interest */
    a.retry_after_s = 5;
    expect("accepted", &a, ZL_OUTCOME_ACCEPTED, ZL_AGAIN_NO, false, ZL_CODE_BAD_RESPONSE, false);
}

static void test_200_with_a_code(void **state) {
    (void)state;
    static const char *const codes[] = {"INTERNAL_SERVER_ERROR", "REQUEST_LIMIT_EXCEEDED", "X",
                                        "AUTHFAILURE_SIGNATURE_EXPIRED", ""};
    for (size_t i = 0; i < COUNT(codes); i++) {
        zl_answer a = answer_api_error(200, codes[i]);
        expect_api(&a, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_NO);
        a.is_well_formed = false;
        expect_api(&a, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_NO);
    }
}

static void test_other_2xx(void **state) {
    (void)state;
    zl_answer a = answer_of_no_api(200); /* not JSON, or empty */
    expect_ours(&a, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE, ZL_CODE_BAD_RESPONSE);
    a.is_object = true; /* wrong types, no requestId */
    expect_ours(&a, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE, ZL_CODE_BAD_RESPONSE);
    a.is_object = false;
    a.is_well_formed = true;
    expect_ours(&a, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE, ZL_CODE_BAD_RESPONSE);
    for (int status = 201; status <= 299; status++) {
        zl_answer good = answer_accepted("T-1"), error = answer_api_error(status, "X");
        good.status = status;
        expect_ours(&good, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE, ZL_CODE_BAD_RESPONSE);
        expect_ours(&error, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE, ZL_CODE_BAD_RESPONSE);
    }
}

static void test_3xx(void **state) {
    (void)state;
    for (int status = 300; status <= 399; status++) {
        zl_answer plain = answer_of_no_api(status), api = answer_api_error(status, "X");
        expect_ours(&plain, ZL_OUTCOME_REJECTED, ZL_AGAIN_NO, ZL_CODE_UNEXPECTED_STATUS);
        expect_ours(&api, ZL_OUTCOME_REJECTED, ZL_AGAIN_NO, ZL_CODE_UNEXPECTED_STATUS);
    }
}

static void test_blocked(void **state) {
    (void)state;
    zl_answer a = answer_of_no_api(403);
    a.challenge = true;
    expect_ours(&a, ZL_OUTCOME_REJECTED, ZL_AGAIN_NO, ZL_CODE_SECURITY_CHALLENGE);
    a = answer_of_no_api(451);
    expect_ours(&a, ZL_OUTCOME_REJECTED, ZL_AGAIN_NO, ZL_CODE_REQUEST_BLOCKED);
    a = answer_of_no_api(403); /* no challenge: any proxy's refusal */
    expect_ours(&a, ZL_OUTCOME_REJECTED, ZL_AGAIN_NO, ZL_CODE_BAD_RESPONSE);
    a = answer_of_no_api(404); /* the header counts with a 403 alone */
    a.challenge = true;
    expect_ours(&a, ZL_OUTCOME_REJECTED, ZL_AGAIN_NO, ZL_CODE_BAD_RESPONSE);
}

static void test_429(void **state) {
    (void)state;
    zl_answer a = answer_of_no_api(429);
    expect("HTML", &a, ZL_OUTCOME_REJECTED, ZL_AGAIN_YES, false, ZL_CODE_REQUEST_LIMIT_EXCEEDED,
           true);
    a.is_object = true;
    expect("an object without a code", &a, ZL_OUTCOME_REJECTED, ZL_AGAIN_YES, false,
           ZL_CODE_REQUEST_LIMIT_EXCEEDED, true);
    a = answer_accepted("T-1");
    a.status = 429;
    expect("what would be a success", &a, ZL_OUTCOME_REJECTED, ZL_AGAIN_YES, false,
           ZL_CODE_REQUEST_LIMIT_EXCEEDED, true);
    a = answer_api_error(429, "REQUEST_LIMIT_EXCEEDED");
    expect("its own code", &a, ZL_OUTCOME_REJECTED, ZL_AGAIN_YES, true, 0, true);
    a = answer_api_error(429, "AUTHFAILURE_X");
    expect("another code", &a, ZL_OUTCOME_REJECTED, ZL_AGAIN_YES, true, 0, true);
}

static void test_4xx_with_a_code(void **state) {
    (void)state;
    static const struct {
        const char *code;
        zl_again again;
    } rows[] = {
        {"INVALID_INSTANCE_NOT_FOUND", ZL_AGAIN_NO},
        {"OPERATION_DENIED_INSTANCE_NOT_RUNNING", ZL_AGAIN_NO},
        {"MISSING_PARAMETER", ZL_AGAIN_NO},
        {"SOMETHING_NEW", ZL_AGAIN_NO},
        {"SERVICE_TEMPORARY_UNAVAILABLE", ZL_AGAIN_NO}, /* a code is judged by its status */
        {"REQUEST_LIMIT_EXCEEDED", ZL_AGAIN_NO},
        {"AUTHFAILURE_SIGNATURE_EXPIRED", ZL_AGAIN_CLOCK},
        {"AUTHFAILURE_SIGNATURE_FAILURE", ZL_AGAIN_CLOCK},
        {"AUTHFAILURE_UNAUTHORIZED_OPERATION", ZL_AGAIN_CLOCK},
        {"AUTHFAILURE", ZL_AGAIN_CLOCK},
        {"AUTHFAILUR", ZL_AGAIN_NO},
        {"NO_AUTHFAILURE", ZL_AGAIN_NO},
        {"", ZL_AGAIN_NO},
    };
    static const int statuses[] = {400, 401, 403, 404, 408, 409, 410, 418, 422, 499};
    for (size_t i = 0; i < COUNT(statuses); i++) {
        for (size_t k = 0; k < COUNT(rows); k++) {
            zl_answer a = answer_api_error(statuses[i], rows[k].code);
            expect_api(&a, ZL_OUTCOME_REJECTED, rows[k].again);
        }
    }
}

static void test_other_4xx(void **state) {
    (void)state;
    for (int status = 400; status <= 499; status++) {
        zl_answer a = answer_of_no_api(status);
        if (status != 429 && status != 451) {
            zl_again again = status == 408 ? ZL_AGAIN_YES : ZL_AGAIN_NO;
            expect_ours(&a, ZL_OUTCOME_REJECTED, again, ZL_CODE_BAD_RESPONSE);
            a = answer_accepted("T-1");
            a.status = status;
            expect_ours(&a, ZL_OUTCOME_REJECTED, again, ZL_CODE_BAD_RESPONSE);
        }
    }
}

static void test_5xx(void **state) {
    (void)state;
    for (int status = 500; status <= 599; status++) {
        zl_answer api = answer_api_error(status, "AUTHFAILURE_X"), plain = answer_of_no_api(status);
        expect_api(&api, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE);
        expect_ours(&plain, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE, ZL_CODE_BAD_RESPONSE);
        plain = answer_accepted("T-1");
        plain.status = status;
        expect_ours(&plain, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE, ZL_CODE_BAD_RESPONSE);
    }
}

/* Every status with every kind of body: accepted is 200 alone; "nothing was done" is 3xx and 4xx
 * alone; what may have been done is never sent again by itself unless that is safe. */
static void test_no_status_is_judged_too_well(void **state) {
    (void)state;
    for (int status = 100; status <= 999; status++) {
        for (unsigned bits = 0; bits < 32; bits++) {
            zl_answer a = answer_of_no_api(status);
            a.is_object = (bits & 1) != 0;
            a.is_well_formed = (bits & 2) != 0;
            a.has_code = (bits & 4) != 0;
            a.challenge = (bits & 8) != 0;
            a.code = (bits & 16) != 0 ? ZL_LIT("AUTHFAILURE_X") : ZL_LIT("X");
            zl_verdict v = zl_judge_answer(&a);
            bool refused = status >= 300 && status <= 499;
            bool good = status == 200 && a.is_object && a.is_well_formed && !a.has_code;
            assert_int_equal(v.outcome == ZL_OUTCOME_ACCEPTED, good);
            assert_int_equal(v.outcome == ZL_OUTCOME_REJECTED, refused);
            assert_int_not_equal(v.outcome, ZL_OUTCOME_NOT_SENT); /* it was answered */
            assert_int_equal(v.rate_limited, status == 429);
            assert_true(v.again != ZL_AGAIN_YES || status == 429 || status == 408);
            assert_true(v.again != ZL_AGAIN_CLOCK || (status >= 400 && status <= 499));
            assert_true(v.again != ZL_AGAIN_IF_SAFE || v.outcome == ZL_OUTCOME_UNKNOWN);
            assert_true(!v.is_api || (a.is_object && a.has_code));
        }
    }
}

/* --- no answer -------------------------------------------------------------------------------- */

static void test_failures(void **state) {
    (void)state;
    static const struct {
        zl_code code;
        bool sent;
        zl_kind kind;
        zl_outcome outcome;
        zl_again again;
    } rows[] = {
        {ZL_CODE_RESOLVE_FAILED, false, ZL_KIND_NETWORK, ZL_OUTCOME_NOT_SENT, ZL_AGAIN_YES},
        {ZL_CODE_CONNECT_FAILED, false, ZL_KIND_NETWORK, ZL_OUTCOME_NOT_SENT, ZL_AGAIN_YES},
        {ZL_CODE_TLS_FAILED, false, ZL_KIND_NETWORK, ZL_OUTCOME_NOT_SENT, ZL_AGAIN_YES},
        {ZL_CODE_TLS_VERIFY_FAILED, false, ZL_KIND_NETWORK, ZL_OUTCOME_NOT_SENT, ZL_AGAIN_NO},
        {ZL_CODE_PROXY_FAILED, false, ZL_KIND_NETWORK, ZL_OUTCOME_NOT_SENT, ZL_AGAIN_YES},
        {ZL_CODE_CONNECT_TIMEOUT, false, ZL_KIND_TIMEOUT, ZL_OUTCOME_NOT_SENT, ZL_AGAIN_YES},
        {ZL_CODE_CONNECTION_LOST, true, ZL_KIND_NETWORK, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE},
        {ZL_CODE_TIMEOUT, true, ZL_KIND_TIMEOUT, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE},
        {ZL_CODE_BAD_RESPONSE, true, ZL_KIND_PROTOCOL, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE},
        {ZL_CODE_RESPONSE_TOO_LARGE, true, ZL_KIND_PROTOCOL, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_NO},
        {ZL_CODE_CANCELLED, true, ZL_KIND_CANCELLED, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_NO},
        {ZL_CODE_CANCELLED, false, ZL_KIND_CANCELLED, ZL_OUTCOME_NOT_SENT, ZL_AGAIN_NO},
        {ZL_CODE_DEADLINE_EXCEEDED, true, ZL_KIND_TIMEOUT, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_NO},
        {ZL_CODE_DEADLINE_EXCEEDED, false, ZL_KIND_TIMEOUT, ZL_OUTCOME_NOT_SENT, ZL_AGAIN_NO},
        /* A connection that broke before a byte left, and a late failure of TLS after some had. */
        {ZL_CODE_CONNECTION_LOST, false, ZL_KIND_NETWORK, ZL_OUTCOME_NOT_SENT, ZL_AGAIN_YES},
        {ZL_CODE_TIMEOUT, false, ZL_KIND_TIMEOUT, ZL_OUTCOME_NOT_SENT, ZL_AGAIN_YES},
        {ZL_CODE_TLS_FAILED, true, ZL_KIND_NETWORK, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_verdict v = zl_judge_failure(rows[i].code, rows[i].sent);
        assert_int_equal(v.code, rows[i].code);
        assert_int_equal(zl_code_kind(v.code), rows[i].kind);
        assert_int_equal(v.outcome, rows[i].outcome);
        assert_int_equal(v.again, rows[i].again);
        assert_false(v.is_api);
        assert_false(v.rate_limited);
    }
}

static void test_no_failure_is_judged_too_well(void **state) {
    (void)state;
    for (int code = 0; code < ZL_CODE_COUNT; code++) {
        zl_verdict sent = zl_judge_failure((zl_code)code, true);
        assert_int_equal(sent.outcome, ZL_OUTCOME_UNKNOWN);
        assert_true(sent.again == ZL_AGAIN_NO || sent.again == ZL_AGAIN_IF_SAFE);
        assert_int_equal(zl_judge_failure((zl_code)code, false).outcome, ZL_OUTCOME_NOT_SENT);
    }
}

/* --- names ------------------------------------------------------------------------------------ */

static void test_names(void **state) {
    (void)state;
    assert_string_equal(zl_code_name(ZL_CODE_TLS_VERIFY_FAILED), "TLS_VERIFY_FAILED");
    assert_string_equal(zl_kind_name(ZL_KIND_PROTOCOL), "protocol");
    assert_string_equal(zl_outcome_name(ZL_OUTCOME_NOT_SENT), "not_sent");
    assert_int_equal(zl_code_kind(ZL_CODE_PARTIAL_FAILURE), ZL_KIND_API);
    assert_int_equal(zl_code_kind(ZL_CODE_REQUEST_LIMIT_EXCEEDED), ZL_KIND_API);
    assert_int_equal(zl_code_kind(ZL_CODE_SECURITY_CHALLENGE), ZL_KIND_BLOCKED);
    for (int code = 0; code < ZL_CODE_COUNT; code++) {
        assert_true(strlen(zl_code_meaning((zl_code)code)) > 0);
        for (int other = 0; other < code; other++) {
            assert_string_not_equal(zl_code_name((zl_code)code), zl_code_name((zl_code)other));
        }
    }
    assert_string_equal(zl_code_name(ZL_CODE_COUNT), "");
    assert_string_equal(zl_code_meaning(ZL_CODE_COUNT), "");
    assert_string_equal(zl_outcome_name((zl_outcome)4), "");
    assert_string_equal(zl_kind_name((zl_kind)9), "");
}

static void test_the_weight_of_outcomes(void **state) {
    (void)state; /* unknown if any is, else rejected if any is, else not_sent */
    static const zl_outcome in_order[] = {ZL_OUTCOME_ACCEPTED, ZL_OUTCOME_NOT_SENT,
                                          ZL_OUTCOME_REJECTED, ZL_OUTCOME_UNKNOWN};
    for (size_t a = 0; a < COUNT(in_order); a++) {
        for (size_t b = 0; b < COUNT(in_order); b++) {
            assert_int_equal(zl_outcome_max(in_order[a], in_order[b]), in_order[a > b ? a : b]);
        }
    }
}

/* --- heads ------------------------------------------------------------------------------------ */

/* In memory of its own, exactly as long. */
static zl_answer answer_with_head(zl_view head) {
    zl_answer a;
    zl_answer_init(&a, 429);
    char *own = malloc(head.len == 0 ? 1 : head.len);
    assert_non_null(own);
    memcpy(own, head.data == NULL ? "" : head.data, head.len);
    zl_answer_add_head(&a, (zl_view){own, head.len});
    a.content_type = (zl_view){NULL, 0}; /* it is borrowed */
    free(own);
    return a;
}

static void test_a_head(void **state) {
    (void)state;
    static const char head[] = "HTTP/1.1 429 Too Many Requests: slow down\r\n"
                               "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                               "CONTENT-TYPE:  text/html; charset=utf-8 \r\n"
                               "retry-after:17\r\n"
                               "cf-Mitigated: Challenge\t\r\n"
                               "X-Other: Retry-After: 99\r\n"
                               "\r\n";
    zl_answer a;
    zl_answer_init(&a, 429);
    zl_answer_add_head(&a, ZL_LIT(head));
    assert_int_equal(a.status, 429);
    assert_int_equal(a.date_s, 784111777);
    assert_int_equal(a.retry_after_s, 17);
    assert_int_equal(a.retry_date_s, -1);
    assert_true(a.challenge);
    assert_view(a.content_type, "text/html; charset=utf-8");
    assert_int_equal(zl_answer_retry_after(&a, 0), 17);
}

static void test_an_answer_of_which_nothing_is_known(void **state) {
    (void)state;
    zl_answer a;
    zl_answer_init(&a, 200);
    assert_int_equal(a.date_s, -1);
    assert_int_equal(a.retry_after_s, -1);
    assert_int_equal(a.retry_date_s, -1);
    assert_int_equal(a.total_count, -1);
    assert_false(a.challenge || a.is_object || a.is_well_formed || a.has_code);
    assert_int_equal(zl_answer_retry_after(&a, 5), -1);
}

static void test_weird_heads(void **state) {
    (void)state;
    static const char *const nothing[] = {
        "",
        "\r\n",
        "\n\n\n",
        ":",
        ":::\r\n",
        "Retry-After 5\r\n",
        "Retry-After : 5\r\n", /* a blank before the colon: no such name */
        " Retry-After: 5\r\n", /* a folded line is a part of the one before */
        "X-Other: a\r\n Retry-After: 5\r\n",
        "X-Other: a\r\n\tRetry-After: 5\r\n",
        "X-Retry-After: 5\r\n",
        "Retry-After-X: 5\r\n",
        "Retry-Afte: 5\r\n",
        "X: Retry-After: 5\r\n",
        "Retry-After: 5 seconds\r\n",
        "Retry-After: 5.5\r\n",
        "Retry-After: -5\r\n",
        "Retry-After: +5\r\n",
        "Retry-After: 0x10\r\n",
        "Retry-After: 1e3\r\n",
        "Retry-After: 5, 6\r\n",
        "Retry-After:\r\n",
        "Retry-After:   \r\n",
        "Retry-After: soon\r\n",
        "Retry-After: Sun, 06 Nov 1994 08:49:37\r\n",
        "cf-mitigated: challenged\r\n",
        "cf-mitigated:\r\n",
        "cf-mitigated-x: challenge\r\n",
        "Date: yesterday\r\n",
        "Date: 784111777\r\n",
    };
    for (size_t i = 0; i < COUNT(nothing); i++) {
        zl_answer a = answer_with_head(zl_view_of(nothing[i]));
        if (a.date_s != -1 || zl_answer_retry_after(&a, 0) != -1 || a.challenge) {
            fail_with("something was read from \"%s\"", nothing[i]);
        }
    }
    zl_answer a = answer_with_head(ZL_LIT("Retry-After: 5\n"
                                          "Date: Sun Nov  6 08:49:37 1994")); /* bare LF, no end */
    assert_int_equal(a.retry_after_s, 5);
    assert_int_equal(a.date_s, 784111777);
    a = answer_with_head(ZL_LIT("X: \0\0\r\nRetry-After: 5\r\n"));
    assert_int_equal(a.retry_after_s, 5);
    a = answer_with_head(ZL_LIT("Retry-After: 5\0\r\n"));
    assert_int_equal(a.retry_after_s, -1);
    a = answer_with_head((zl_view){NULL, 0});
    assert_int_equal(a.retry_after_s, -1);
}

static void test_retry_after_as_seconds(void **state) {
    (void)state;
    static const struct {
        const char *value;
        int64_t want;
    } rows[] = {{"0", 0}, {"1", 1}, {"007", 7}, {"120", 120}, {" 120\t", 120}, {"86400", 86400}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_answer a;
        zl_answer_init(&a, 429);
        zl_answer_add_header(&a, ZL_LIT("Retry-After"), zl_view_of(rows[i].value));
        assert_int_equal(zl_answer_retry_after(&a, 1000), rows[i].want);
    }
    static const char *const huge[] = {"2147483648", "99999999999", "18446744073709551617",
                                       "999999999999999999999999999999999999999999"};
    for (size_t i = 0; i < COUNT(huge); i++) { /* long, never negative or small by overflow */
        zl_answer a;
        zl_answer_init(&a, 429);
        zl_answer_add_header(&a, ZL_LIT("Retry-After"), zl_view_of(huge[i]));
        assert_true(zl_answer_retry_after(&a, 1000) > ZL_RETRY_AFTER_MAX_S);
        assert_true(zl_answer_retry_after(&a, 1000) < INT64_MAX / 1000);
    }
}

static void test_retry_after_as_a_date(void **state) {
    (void)state;
    const zl_view name = ZL_LIT("Retry-After"), at = ZL_LIT("Sun, 06 Nov 1994 08:49:37 GMT");
    zl_answer a;
    zl_answer_init(&a, 503);
    zl_answer_add_header(&a, name, at);
    assert_int_equal(zl_answer_retry_after(&a, 784111777 - 30), 30); /* by our clock */
    assert_int_equal(zl_answer_retry_after(&a, 784111777), 0);
    assert_int_equal(zl_answer_retry_after(&a, 784111777 + 30), 0); /* gone by: now, never before */
    a.date_s = 784111777 - 5; /* by the server's, where it is told: ours may be wrong */
    assert_int_equal(zl_answer_retry_after(&a, 0), 5);
    zl_answer_add_header(&a, name, ZL_LIT("Fri, 31 Dec 9999 23:59:59 GMT"));
    assert_true(zl_answer_retry_after(&a, 0) > ZL_RETRY_AFTER_MAX_S);
}

/* Whatever bytes a head has, what is read is in its bounds. */
static void test_random_heads(void **state) {
    (void)state;
    rng r = {1};
    static const char *const pieces[] = {"Retry-After",
                                         "Date",
                                         "cf-mitigated",
                                         ":",
                                         ": ",
                                         "\r\n",
                                         "\n",
                                         "\r",
                                         " ",
                                         "\t",
                                         "challenge",
                                         "5",
                                         "9999",
                                         "-",
                                         "",
                                         "Content-Type",
                                         "Sun, 06 Nov 1994 08:49:37 GMT",
                                         "\xFF"};
    for (size_t round = 0; round < repetitions(100000); round++) {
        zl_buf head = {0};
        for (size_t n = rng_below(&r, 12); n > 0; n--) {
            zl_buf_add_text(&head, pieces[rng_below(&r, COUNT(pieces))]);
        }
        zl_answer a = answer_with_head(zl_buf_view(&head));
        zl_buf_free(&head);
        assert_true(a.date_s >= -1 && a.retry_after_s >= -1 && a.retry_date_s >= -1);
        assert_true(zl_answer_retry_after(&a, 0) >= -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_200_with_a_code),
        cmocka_unit_test(test_other_2xx),
        cmocka_unit_test(test_3xx),
        cmocka_unit_test(test_blocked),
        cmocka_unit_test(test_429),
        cmocka_unit_test(test_4xx_with_a_code),
        cmocka_unit_test(test_other_4xx),
        cmocka_unit_test(test_5xx),
        cmocka_unit_test(test_no_status_is_judged_too_well),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_no_failure_is_judged_too_well),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_the_weight_of_outcomes),
        cmocka_unit_test(test_a_head),
        cmocka_unit_test(test_an_answer_of_which_nothing_is_known),
        cmocka_unit_test(test_weird_heads),
        cmocka_unit_test(test_retry_after_as_seconds),
        cmocka_unit_test(test_retry_after_as_a_date),
        cmocka_unit_test(test_random_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
