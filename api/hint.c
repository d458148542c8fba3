#include "hint.h"

/* By the error's code, the API's or ours. */
static const struct hint {
    const char *code, *text;
} hints[] = {
    {"AUTHFAILURE_INVALID_AUTHORIZATION",
     "usually the access key id, or the token, is mistyped, disabled or deleted"},
    {"AUTHFAILURE_SIGNATURE_FAILURE",
     "usually the access key password is not that of the access key id, or a proxy rewrites the "
     "request's body or headers"},
    {"AUTHFAILURE_UNAUTHORIZED_OPERATION",
     "the key's user may not do this, or there is no such action in this service and api_version"},
    {"REQUEST_LIMIT_EXCEEDED", "a lower max_concurrency sends fewer requests at a time"},
    {"SECURITY_CHALLENGE",
     "the network edge does not trust this machine's address: call from another one, or ask "
     "Zenlayer to let it through"},
    {"UNAUTHORIZED_OPERATION",
     "the key's user may not do this, or there is no such action in this service and api_version"},
};

static const char *find(zl_view code) {
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (zl_view_equal(code, zl_view_of(hints[i].code))) {
            return hints[i].text;
        }
    }
    return NULL;
}

static void add_part(zl_buf *hint, const char *text) {
    zl_buf_add_text(hint, hint->len > 0 ? "; " : "");
    zl_buf_add_text(hint, text);
}

static void add_skew(zl_buf *hint, int64_t ahead_s, bool corrected) {
    add_part(hint, "this machine's clock is ");
    zl_buf_addf(hint, "%lld s %s the server's%s", (long long)(ahead_s < 0 ? -ahead_s : ahead_s),
                ahead_s < 0 ? "behind" : "ahead of", corrected ? ", which was allowed for" : "");
}

static bool is_small(int64_t seconds) {
    return seconds >= -ZL_HINT_SKEW_S && seconds <= ZL_HINT_SKEW_S;
}

void zl_hint_set(zl_error *error, const zl_answer *answer, const char *blanks, int64_t wall_s,
                 int64_t offset_s) {
    zl_view code = zl_buf_view(&error->code);
    zl_buf *hint = &error->hint;
    bool is_auth = zl_view_starts_with(code, ZL_LIT("AUTHFAILURE"));
    const char *text = find(code);
    zl_buf_clear(hint);
    if (is_auth && blanks != NULL) { /* more than a guess */
        zl_buf_addf(hint, "%s begins or ends with white space", blanks);
    } else if (text != NULL) {
        add_part(hint, text);
    }
    if (is_auth && answer->date_s >= 0 && !is_small(wall_s - answer->date_s)) {
        add_skew(hint, wall_s - answer->date_s, is_small(wall_s + offset_s - answer->date_s));
    }
}

void zl_hint_set_batch(zl_error *error) {
    zl_buf_set(&error->hint, ZL_LIT("isolate = true finds which of the ids, and stops the rest"));
}
