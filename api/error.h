/* What can go wrong, and what is known of the work when it does: kinds, outcomes and codes, one
 * list each. */
#ifndef ZL_ERROR_H
#define ZL_ERROR_H

#include "buf.h"

/* What the core's functions return. Anything that failed leaves its out-parameters NULL or
 * untouched. */
enum {
    ZL_OK = 0,
    ZL_ERR_NOMEM = -1,  /* an allocation failed, in here or inside OpenSSL or libcurl */
    ZL_ERR_ARG = -2,    /* an argument is out of its bounds */
    ZL_ERR_CRYPTO = -3, /* OpenSSL refused; does not happen with a working libcrypto */
    ZL_ERR_INIT = -4    /* libcurl could not be initialised */
};

/* X(NAME, text) */
#define ZL_KINDS(X)                                                                                \
    X(ARGUMENT, "argument")                                                                        \
    X(CREDENTIALS, "credentials")                                                                  \
    X(NETWORK, "network")                                                                          \
    X(TIMEOUT, "timeout")                                                                          \
    X(API, "api")                                                                                  \
    X(PROTOCOL, "protocol")                                                                        \
    X(BLOCKED, "blocked")                                                                          \
    X(CANCELLED, "cancelled")                                                                      \
    X(STATE, "state")

/* In order of weight: an operation's outcome is the heaviest of its batches'. ACCEPTED is a
 * batch's alone; an error never has it. */
#define ZL_OUTCOMES(X)                                                                             \
    X(ACCEPTED, "accepted")                                                                        \
    X(NOT_SENT, "not_sent")                                                                        \
    X(REJECTED, "rejected")                                                                        \
    X(UNKNOWN, "unknown")

/* X(NAME, KIND, meaning): the codes of our own. The API's codes are open-ended and pass through. */
#define ZL_CODES(X)                                                                                \
    X(INVALID_ARGUMENT, ARGUMENT, "an argument has the wrong type or value")                       \
    X(UNKNOWN_OPTION, ARGUMENT, "an option's name is not known")                                   \
    X(UNKNOWN_METHOD, ARGUMENT, "a client, a job or an operation has no such method")              \
    X(CLIENT_CLOSED, ARGUMENT, "the client was closed before the call")                            \
    X(WRONG_PHASE, ARGUMENT, "not possible in this phase of nginx")                                \
    X(NOT_CONFIGURED, ARGUMENT, "a directive is missing in nginx.conf")                            \
    X(CREDENTIALS_MISSING, CREDENTIALS, "no credentials were found")                               \
    X(CREDENTIALS_INVALID, CREDENTIALS, "credentials are incomplete, doubled or malformed")        \
    X(CREDENTIALS_UNAVAILABLE, CREDENTIALS, "the credentials function gave none")                  \
    X(REQUEST_LIMIT_EXCEEDED, API, "HTTP 429 without a code of the API's")                         \
    X(PARTIAL_FAILURE, API, "accepted, but some ids failed")                                       \
    X(BAD_RESPONSE, PROTOCOL, "the answer is not the API's")                                       \
    X(UNEXPECTED_STATUS, PROTOCOL, "a redirect; none is followed")                                 \
    X(RESPONSE_TOO_LARGE, PROTOCOL, "the answer is over its bounds")                               \
    X(SECURITY_CHALLENGE, BLOCKED, "the network edge asks for a browser's challenge")              \
    X(REQUEST_BLOCKED, BLOCKED, "blocked by policy (HTTP 451)")                                    \
    X(RESOLVE_FAILED, NETWORK, "the host's name was not resolved")                                 \
    X(CONNECT_FAILED, NETWORK, "no connection could be made")                                      \
    X(TLS_FAILED, NETWORK, "the TLS handshake failed")                                             \
    X(TLS_VERIFY_FAILED, NETWORK, "the server's certificate could not be verified")                \
    X(PROXY_FAILED, NETWORK, "the proxy was not found, or refused")                                \
    X(CONNECTION_LOST, NETWORK, "the connection broke after sending began")                        \
    X(CONNECT_TIMEOUT, TIMEOUT, "not connected in time; nothing was sent")                         \
    X(TIMEOUT, TIMEOUT, "no complete answer in time")                                              \
    X(DEADLINE_EXCEEDED, TIMEOUT, "the operation's deadline passed")                               \
    X(WAIT_TIMEOUT, TIMEOUT, "not all were STOPPED in time")                                       \
    X(UNEXPECTED_STATE, STATE, "an instance is gone, or in a state from which it will not stop")   \
    X(CANCELLED, CANCELLED, "cancelled, or the client was closed")

typedef enum zl_kind {
#define X(name, text) ZL_KIND_##name,
    ZL_KINDS(X)
#undef X
} zl_kind;

typedef enum zl_outcome {
#define X(name, text) ZL_OUTCOME_##name,
    ZL_OUTCOMES(X)
#undef X
} zl_outcome;

typedef enum zl_code {
#define X(name, kind, meaning) ZL_CODE_##name,
    ZL_CODES(X)
#undef X
        ZL_CODE_COUNT
} zl_code;

/* Static texts; "" for a value outside its list. */
const char *zl_kind_name(zl_kind kind);
const char *zl_outcome_name(zl_outcome outcome);
const char *zl_code_name(zl_code code);
const char *zl_code_meaning(zl_code code);
zl_kind zl_code_kind(zl_code code);

/* The heavier of two outcomes. */
zl_outcome zl_outcome_max(zl_outcome a, zl_outcome b);

/* One error, as far as the core knows it. Owns its buffers; all zero is "no error". */
typedef struct zl_error {
    bool is_set; /* not told by the texts: those may have run out of memory */
    zl_kind kind;
    zl_outcome outcome;
    zl_buf code;    /* ours by its name, or the API's as it came */
    zl_buf message; /* for people; of an API error word for word */
    zl_buf request_id;
    zl_buf hint;           /* what usually causes it, and what helps; empty: nothing to say */
    int http_status;       /* 0: no answer */
    int attempts;          /* requests sent, or tried */
    bool retryable;        /* the same call may succeed later */
    int64_t retry_after_s; /* how long to wait before that, where known; -1: unknown */
} zl_error;

/* Make *error one of ours: kind and code from `code`, the message copied, the rest reset. */
void zl_error_set(zl_error *error, zl_code code, zl_view message);

/* False when memory ran out for one of its texts. */
bool zl_error_ok(const zl_error *error);

/* Copy and move; the old contents of *to are freed. A move leaves *from all zero. */
void zl_error_copy(zl_error *to, const zl_error *from);
void zl_error_move(zl_error *to, zl_error *from);
void zl_error_free(zl_error *error);

#endif
