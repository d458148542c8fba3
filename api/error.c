#include "error.h"

static const char *const kind_names[] = {
#define X(name, text) text,
    ZL_KINDS(X)
#undef X
};

static const char *const outcome_names[] = {
#define X(name, text) text,
    ZL_OUTCOMES(X)
#undef X
};

static const struct {
    const char *name;
    const char *meaning;
    zl_kind kind;
} codes[] = {
#define X(name, kind, meaning) {#name, meaning, ZL_KIND_##kind},
    ZL_CODES(X)
#undef X
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *zl_kind_name(zl_kind kind) {
    return (size_t)kind < COUNT(kind_names) ? kind_names[kind] : "";
}

const char *zl_outcome_name(zl_outcome outcome) {
    return (size_t)outcome < COUNT(outcome_names) ? outcome_names[outcome] : "";
}

const char *zl_code_name(zl_code code) {
    return (size_t)code < COUNT(codes) ? codes[code].name : "";
}

const char *zl_code_meaning(zl_code code) {
    return (size_t)code < COUNT(codes) ? codes[code].meaning : "";
}

zl_kind zl_code_kind(zl_code code) {
    return (size_t)code < COUNT(codes) ? codes[code].kind : ZL_KIND_STATE;
}

zl_outcome zl_outcome_max(zl_outcome a, zl_outcome b) {
    return a > b ? a : b;
}

void zl_error_set(zl_error *error, zl_code code, zl_view message) {
    error->is_set = true;
    error->kind = zl_code_kind(code);
    error->outcome = ZL_OUTCOME_NOT_SENT;
    zl_buf_set(&error->code, zl_view_of(zl_code_name(code)));
    zl_buf_set(&error->message, message);
    zl_buf_clear(&error->request_id);
    zl_buf_clear(&error->hint);
    error->http_status = 0;
    error->attempts = 0;
    error->retryable = false;
    error->retry_after_s = -1;
}

bool zl_error_ok(const zl_error *error) {
    return zl_buf_ok(&error->code) && zl_buf_ok(&error->message) && zl_buf_ok(&error->request_id) &&
           zl_buf_ok(&error->hint);
}

void zl_error_copy(zl_error *to, const zl_error *from) {
    zl_buf code = to->code, message = to->message, request_id = to->request_id, hint = to->hint;
    *to = *from;
    to->code = code;
    to->message = message;
    to->request_id = request_id;
    to->hint = hint;
    zl_buf_set(&to->code, zl_buf_view(&from->code));
    zl_buf_set(&to->message, zl_buf_view(&from->message));
    zl_buf_set(&to->request_id, zl_buf_view(&from->request_id));
    zl_buf_set(&to->hint, zl_buf_view(&from->hint));
}

void zl_error_move(zl_error *to, zl_error *from) {
    zl_error_free(to);
    *to = *from;
    *from = (zl_error){0};
}

void zl_error_free(zl_error *error) {
    zl_buf_free(&error->code);
    zl_buf_free(&error->message);
    zl_buf_free(&error->request_id);
    zl_buf_free(&error->hint);
    *error = (zl_error){0};
}
