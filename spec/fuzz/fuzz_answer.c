/* Answers: what is read of their heads, what they mean, and what a call makes of them, by the table
 * "What is retried" of the README.
 *
 * Input: FRONT bytes that say what the answer and its call are like, a line that is its code, then
 * its head. */
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "fuzz.h"
#include "http_date.h"

enum { FRONT = 16, WALL_S = 1700000000 };

/* --- the head --------------------------------------------------------------------------------- */

/* The last value of a header. */
static bool last_value(zl_view head, const char *name, zl_view *value) {
    bool found = false;
    for (size_t start = 0, i = 0; i <= head.len; i++) {
        if (i < head.len && head.data[i] != '\n') {
            continue;
        }
        zl_view line = {head.data + start, i - start};
        size_t len = strlen(name);
        if (line.len > len && line.data[len] == ':' &&
            zl_view_equal_nocase((zl_view){line.data, len}, zl_view_of(name))) {
            *value = zl_view_trim((zl_view){line.data + len + 1, line.len - len - 1});
            found = true;
        }
        start = i + 1;
    }
    return found;
}

static bool is_seconds(zl_view text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return text.len > 0;
}

static void check_head(const zl_answer *a, zl_view head) {
    zl_view value = {NULL, 0};
    int64_t date_s;
    CHECK(a->date_s >= -1 && a->retry_after_s >= -1 && a->retry_date_s >= -1);
    if (last_value(head, "Retry-After", &value)) {
        CHECK((a->retry_after_s >= 0) == is_seconds(value));
        if (is_seconds(value) && value.len <= 9) {
            char digits[10] = "";
            memcpy(digits, value.data, value.len);
            CHECK(a->retry_after_s == strtol(digits, NULL, 10));
        }
        CHECK(!zl_http_date_parse(value, &date_s) || a->retry_date_s == date_s);
    } else {
        CHECK(a->retry_after_s < 0 && a->retry_date_s < 0);
    }
    if (!last_value(head, "Date", &value)) {
        CHECK(a->date_s == -1);
    } else if (zl_http_date_parse(value, &date_s)) {
        CHECK(a->date_s == date_s);
    }
    bool challenge = last_value(head, "CF-Mitigated", &value) &&
                     zl_view_equal_nocase(value, ZL_LIT("challenge"));
    CHECK(a->challenge == challenge);
    if (last_value(head, "Content-Type", &value)) {
        CHECK(zl_view_equal(a->content_type, value));
    } else {
        CHECK(a->content_type.len == 0);
    }
    int64_t asked_s = zl_answer_retry_after(a, WALL_S);
    CHECK(asked_s >= -1 && asked_s < (int64_t)1 << 38);
    CHECK((asked_s >= 0) == (a->retry_after_s >= 0 || a->retry_date_s >= 0));
}

/* --- the verdict ------------------------------------------------------------------------------ */

static void check_verdict(const zl_answer *a, const zl_verdict *v) {
    int hundreds = a->status / 100;
    bool has_code = a->is_object && a->has_code;
    bool accepted = a->status == 200 && a->is_object && a->is_well_formed && !a->has_code;
    bool limited = a->status == 429;
    bool challenged = a->status == 403 && a->challenge;
    bool blocked = challenged || a->status == 451;
    CHECK((v->outcome == ZL_OUTCOME_ACCEPTED) == accepted);
    CHECK(v->outcome != ZL_OUTCOME_NOT_SENT);
    CHECK((v->outcome == ZL_OUTCOME_REJECTED) == (hundreds == 3 || hundreds == 4));
    CHECK(v->rate_limited == limited);
    if (accepted) {
        CHECK(v->again == ZL_AGAIN_NO && !v->is_api);
        return;
    }
    switch (v->again) {
    case ZL_AGAIN_NO: CHECK(!limited && (hundreds < 5 || a->status == 200)); break;
    case ZL_AGAIN_YES: CHECK(limited || (a->status == 408 && !has_code)); break;
    case ZL_AGAIN_IF_SAFE: CHECK(v->outcome == ZL_OUTCOME_UNKNOWN); break;
    case ZL_AGAIN_CLOCK:
        CHECK(hundreds == 4 && has_code && !blocked);
        CHECK(zl_view_starts_with(a->code, ZL_LIT("AUTHFAILURE")));
        break;
    }
    CHECK(v->is_api == (has_code && !blocked && (a->status == 200 || hundreds >= 4)));
    if (!v->is_api) {
        zl_code code = limited         ? ZL_CODE_REQUEST_LIMIT_EXCEEDED
                       : challenged    ? ZL_CODE_SECURITY_CHALLENGE
                       : blocked       ? ZL_CODE_REQUEST_BLOCKED
                       : hundreds == 3 ? ZL_CODE_UNEXPECTED_STATUS
                                       : ZL_CODE_BAD_RESPONSE;
        CHECK(v->code == code);
    }
}

/* --- the call --------------------------------------------------------------------------------- */

/* What an attempt that was answered so leaves of its call. */
static void check_call(const zl_answer *a, const zl_verdict *v, input *in) {
    zl_call call = {.state = ZL_CALL_IN_FLIGHT};
    zl_retry retry;
    zl_policy policy = {.idempotent = input_chance(in, 128)};
    zl_moment now = {.mono_ms = 1000, .wall_s = WALL_S + (int8_t)input_byte(in) * 10};
    now.random = (double)input_byte(in) / 256;
    policy.max_attempts = 1 + (int)input_below(in, 4);
    policy.deadline_ms = now.mono_ms + (int64_t)input_number(in, 2);
    call.attempts = 1 + (int)input_below(in, (size_t)policy.max_attempts);
    call.retries = call.attempts - 1;
    call.outcome = input_chance(in, 64) ? ZL_OUTCOME_UNKNOWN : ZL_OUTCOME_NOT_SENT;
    zl_outcome before = call.outcome;
    zl_retry_init(&retry);
    retry.quota = input_chance(in, 32) ? (int)input_below(in, 20) : ZL_RETRY_QUOTA;
    zl_call_answered(&call, &retry, &policy, &now, a);

    const zl_error *e = &call.error;
    CHECK(call.state == ZL_CALL_SETTLED || call.state == ZL_CALL_WAITING);
    CHECK(e->is_set == (v->outcome != ZL_OUTCOME_ACCEPTED) && zl_error_ok(e));
    CHECK(retry.quota >= 0 && retry.quota <= ZL_RETRY_QUOTA);
    CHECK(retry.window >= 1 && (retry.pause_until_ms >= now.mono_ms) == v->rate_limited);
    if (!e->is_set) {
        CHECK(call.state == ZL_CALL_SETTLED && call.outcome == ZL_OUTCOME_ACCEPTED);
    } else {
        CHECK(call.outcome == zl_outcome_max(before, v->outcome));
        CHECK(e->code.len > 0 || v->is_api);
        CHECK(e->http_status == a->status);
        CHECK(e->retry_after_s >= -1 && e->retry_after_s <= ZL_RETRY_AFTER_MAX_S);
    }
    if (call.state == ZL_CALL_WAITING) {
        bool safe = v->again == ZL_AGAIN_IF_SAFE && policy.idempotent;
        CHECK(v->again == ZL_AGAIN_YES || v->again == ZL_AGAIN_CLOCK || safe);
        CHECK(call.attempts < policy.max_attempts && e->retryable);
        CHECK(call.due_ms >= now.mono_ms && call.due_ms < policy.deadline_ms);
        int64_t asked_s = zl_answer_retry_after(a, now.wall_s);
        CHECK(v->again == ZL_AGAIN_CLOCK || call.due_ms >= now.mono_ms + asked_s * 1000);
    } else if (e->is_set) {
        CHECK(e->outcome == call.outcome && e->attempts == call.attempts);
    }
    zl_call_free(&call);
    CHECK(!call.error.is_set);
}

/* The judge of failures, which has few inputs. */
static void check_failure(input *in) {
    zl_code code = (zl_code)input_below(in, ZL_CODE_COUNT);
    bool sent = input_chance(in, 128);
    zl_verdict v = zl_judge_failure(code, sent);
    CHECK(v.outcome == (sent ? ZL_OUTCOME_UNKNOWN : ZL_OUTCOME_NOT_SENT));
    CHECK(v.again == ZL_AGAIN_NO || v.again == (sent ? ZL_AGAIN_IF_SAFE : ZL_AGAIN_YES));
    CHECK(!v.rate_limited && !v.is_api && v.code == code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    zl_view front = input_text(&in, FRONT);
    input about = {(const uint8_t *)front.data, front.len};
    zl_view code = input_line(&in), head = input_rest(&in);
    char *own_code = own_bytes(code), *own_head = own_bytes(head);
    zl_answer answer;
    uint8_t flags = input_byte(&about);
    zl_answer_init(&answer, 100 + (int)(input_number(&about, 2) % 900));
    answer.is_object = (flags & 1) != 0;
    answer.is_well_formed = (flags & 2) != 0;
    answer.has_code = (flags & 4) != 0;
    answer.code = answer.message = answer.request_id = (zl_view){own_code, code.len};
    zl_answer_add_head(&answer, (zl_view){own_head, head.len});
    check_head(&answer, (zl_view){own_head, head.len});
    zl_verdict verdict = zl_judge_answer(&answer);
    check_verdict(&answer, &verdict);
    check_call(&answer, &verdict, &about);
    check_failure(&about);
    free(own_code);
    free(own_head);
    return 0;
}
