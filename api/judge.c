#include "judge.h"

#include <string.h>

#include "http_date.h"

void zl_answer_init(zl_answer *answer, int status) {
    *answer = (zl_answer){
        .status = status,
        .date_s = -1,
        .retry_after_s = -1,
        .retry_date_s = -1,
        .total_count = -1,
    };
}

/* Whole seconds: digits alone. Anything too long for the sum is far beyond any bound of ours. */
static int64_t parse_seconds(zl_view text) {
    int64_t value = 0;
    if (text.len == 0) {
        return -1;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return -1;
        }
        value = value > INT32_MAX ? value : value * 10 + (text.data[i] - '0');
    }
    return value;
}

/* Whether a name is as long as one of those below: most are not, and need no look. */
static bool may_matter(size_t name_len) {
    return name_len == sizeof "date" - 1 || name_len == sizeof "retry-after" - 1 ||
           name_len == sizeof "cf-mitigated" - 1; /* which is as long as content-type */
}

bool zl_answer_wants(zl_view line) {
    const char *colon = line.len > 0 ? memchr(line.data, ':', line.len) : NULL;
    return colon != NULL && may_matter((size_t)(colon - line.data));
}

void zl_answer_add_header(zl_answer *answer, zl_view name, zl_view value) {
    if (!may_matter(name.len)) {
        return;
    }
    value = zl_view_trim(value);
    if (zl_view_equal_nocase(name, ZL_LIT("date"))) {
        (void)zl_http_date_parse(value, &answer->date_s);
    } else if (zl_view_equal_nocase(name, ZL_LIT("retry-after"))) {
        answer->retry_after_s = parse_seconds(value);
        (void)zl_http_date_parse(value, &answer->retry_date_s);
    } else if (zl_view_equal_nocase(name, ZL_LIT("cf-mitigated"))) {
        answer->challenge = zl_view_equal_nocase(value, ZL_LIT("challenge"));
    } else if (zl_view_equal_nocase(name, ZL_LIT("content-type"))) {
        answer->content_type = value;
    }
}

void zl_answer_add_head(zl_answer *answer, zl_view head) {
    const char *at = head.data;
    const char *end = head.data + head.len;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        const char *colon = memchr(at, ':', (size_t)(stop - at));
        if (colon != NULL) {
            zl_answer_add_header(answer, (zl_view){at, (size_t)(colon - at)},
                                 (zl_view){colon + 1, (size_t)(stop - colon - 1)});
        }
        at = stop < end ? stop + 1 : end;
    }
}

int64_t zl_answer_retry_after(const zl_answer *answer, int64_t wall_s) {
    if (answer->retry_date_s >= 0) {
        int64_t now = answer->date_s >= 0 ? answer->date_s : wall_s;
        return answer->retry_date_s > now ? answer->retry_date_s - now : 0;
    }
    return answer->retry_after_s;
}

/* The API's refusals are objects with a code. */
static bool is_api_error(const zl_answer *answer) {
    return answer->is_object && answer->has_code;
}

static zl_verdict api_error(zl_outcome outcome, zl_again again) {
    return (zl_verdict){.outcome = outcome, .again = again, .is_api = true};
}

static zl_verdict our_error(zl_code code, zl_outcome outcome, zl_again again) {
    return (zl_verdict){.outcome = outcome, .again = again, .code = code};
}

static zl_verdict judge_client_error(const zl_answer *answer) {
    if (answer->status == 429) {
        zl_verdict verdict = is_api_error(answer) ? api_error(ZL_OUTCOME_REJECTED, ZL_AGAIN_YES)
                                                  : our_error(ZL_CODE_REQUEST_LIMIT_EXCEEDED,
                                                              ZL_OUTCOME_REJECTED, ZL_AGAIN_YES);
        verdict.rate_limited = true;
        return verdict;
    }
    if (answer->status == 403 && answer->challenge) {
        return our_error(ZL_CODE_SECURITY_CHALLENGE, ZL_OUTCOME_REJECTED, ZL_AGAIN_NO);
    }
    if (answer->status == 451) {
        return our_error(ZL_CODE_REQUEST_BLOCKED, ZL_OUTCOME_REJECTED, ZL_AGAIN_NO);
    }
    if (is_api_error(answer)) {
        bool auth = zl_view_starts_with(answer->code, ZL_LIT("AUTHFAILURE"));
        return api_error(ZL_OUTCOME_REJECTED, auth ? ZL_AGAIN_CLOCK : ZL_AGAIN_NO);
    }
    return our_error(ZL_CODE_BAD_RESPONSE, ZL_OUTCOME_REJECTED,
                     answer->status == 408 ? ZL_AGAIN_YES : ZL_AGAIN_NO);
}

zl_verdict zl_judge_answer(const zl_answer *answer) {
    int hundreds = answer->status / 100;
    if (answer->status == 200 && is_api_error(answer)) {
        return api_error(ZL_OUTCOME_UNKNOWN, ZL_AGAIN_NO);
    }
    if (answer->status == 200 && answer->is_object && answer->is_well_formed) {
        return (zl_verdict){.outcome = ZL_OUTCOME_ACCEPTED};
    }
    if (hundreds == 3) {
        return our_error(ZL_CODE_UNEXPECTED_STATUS, ZL_OUTCOME_REJECTED, ZL_AGAIN_NO);
    }
    if (hundreds == 4) {
        return judge_client_error(answer);
    }
    if (hundreds >= 5 && is_api_error(answer)) {
        return api_error(ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE);
    }
    return our_error(ZL_CODE_BAD_RESPONSE, ZL_OUTCOME_UNKNOWN, ZL_AGAIN_IF_SAFE);
}

zl_verdict zl_judge_failure(zl_code code, bool sent) {
    zl_outcome outcome = sent ? ZL_OUTCOME_UNKNOWN : ZL_OUTCOME_NOT_SENT;
    zl_again again = sent ? ZL_AGAIN_IF_SAFE : ZL_AGAIN_YES;
    if (zl_code_kind(code) == ZL_KIND_ARGUMENT || code == ZL_CODE_TLS_VERIFY_FAILED ||
        code == ZL_CODE_RESPONSE_TOO_LARGE || code == ZL_CODE_CANCELLED ||
        code == ZL_CODE_DEADLINE_EXCEEDED) {
        again = ZL_AGAIN_NO;
    }
    return our_error(code, outcome, again);
}
