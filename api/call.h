/* One API call: its attempts, and when to make another. It moves no bytes: it is told what happened
 * and when, and says what to do next.
 *
 *   READY ── send ──> IN_FLIGHT ── answered, failed ──> SETTLED
 *                        ^                │
 *                        └── send ── WAITING (until due_ms)
 */
#ifndef ZL_CALL_H
#define ZL_CALL_H

#include "credentials.h"
#include "error.h"
#include "judge.h"
#include "request.h"
#include "retry.h"

typedef enum zl_call_state {
    ZL_CALL_READY,
    ZL_CALL_IN_FLIGHT,
    ZL_CALL_WAITING,
    ZL_CALL_SETTLED
} zl_call_state;

/* How far a call may go. */
typedef struct zl_policy {
    bool idempotent;     /* doing it twice does no harm: it may be sent again when in doubt */
    int max_attempts;    /* of all kinds, at least 1 */
    int64_t deadline_ms; /* on the monotonic clock: no attempt begins at or after it */
    zl_credentials *credentials; /* those that sign it; NULL: they never change. Borrowed */
} zl_policy;

/* Owns its buffers; all zero is a READY call without a body. */
typedef struct zl_call {
    zl_call_state state;
    zl_outcome outcome; /* settled: the call's; before: what the failed attempts add up to */
    int attempts;
    int retries; /* those of the attempts that backoff counts */
    int spent;   /* tokens of the client's quota */
    bool clock_corrected;
    bool credentials_renewed;
    int generation;        /* of the credentials that signed the attempt in flight */
    int64_t sent_ms;       /* when that began */
    int64_t offset_used_s; /* the clock correction of the attempt in flight */
    const char *blanks;    /* zl_signer_blanks of that attempt */
    int64_t due_ms;        /* WAITING: send again at this time */
    zl_buf body;
    zl_request request;
    zl_error error;    /* settled and not accepted: why; before: of the last attempt */
    zl_buf request_id; /* accepted: the answer's */
} zl_call;

/* Begin an attempt: build and sign call->request afresh, by the credentials of that generation. For
 * READY and WAITING calls. On an error (as zl_request_build) the call is as before. */
int zl_call_send(zl_call *call, const zl_sender *sender, int generation, const zl_action *action,
                 const zl_retry *retry, const zl_moment *now);

/* The attempt in flight was answered. */
void zl_call_answered(zl_call *call, zl_retry *retry, const zl_policy *policy, const zl_moment *now,
                      const zl_answer *answer);

/* The attempt in flight brought no answer; `code` and `sent` as for zl_judge_failure. */
void zl_call_failed(zl_call *call, zl_retry *retry, const zl_policy *policy, const zl_moment *now,
                    zl_code code, zl_view message, bool sent);

/* No further attempt: settle a call that is not in flight, with the outcome of the attempts so far.
 * retry_after_s: -1 if not known. */
void zl_call_give_up(zl_call *call, zl_code code, zl_view message, int64_t retry_after_s);

void zl_call_free(zl_call *call);

#endif
