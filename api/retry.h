/* When to try again: backoff, the quota of retries, the pause after a rate limit, the correction of
 * the clock. One zl_retry is shared by all calls of a client.
 *
 * Nothing in here reads a clock or draws a random number: both come in by a zl_moment. */
#ifndef ZL_RETRY_H
#define ZL_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a driver knows of the world when it reports or asks something. */
typedef struct zl_moment {
    int64_t mono_ms; /* a clock that never goes back; deadlines and waits are counted on it */
    int64_t wall_s;  /* UNIX time, seconds */
    double random;   /* in [0, 1), a fresh one each time */
    /* If it is not NULL, gives that number once one is needed, which is seldom: the kernel takes
     * longer for it than the core for a step. */
    double (*draw)(void);
} zl_moment;

double zl_moment_random(const zl_moment *now);

typedef struct zl_retry {
    int64_t pause_until_ms; /* on the monotonic clock; no request is sent before */
    int64_t clock_offset_s; /* what must be added to the wall clock to get the server's */
    size_t window;          /* how many requests may be in flight */
    int answers;            /* since it was last changed */
    int quota;              /* tokens left for retries */
} zl_retry;

enum {
    ZL_RETRY_QUOTA = 500,
    ZL_RETRY_COST = 14,           /* of one retry */
    ZL_RETRY_COST_RATE_LIMIT = 5, /* of one after a rate limit: the server is well, just busy */
    ZL_RETRY_BASE_MS = 50,
    ZL_RETRY_BASE_RATE_LIMIT_MS = 1000,
    ZL_RETRY_MAX_MS = 20000,
    ZL_RETRY_WINDOW_STEP = 4,
    ZL_RETRY_AFTER_MAX_S = 86400, /* a server's longer wish is taken as this: a day */
    ZL_RETRY_SKEW_S = 240 /* the API refuses at 300; dates are whole seconds, answers late */
};

void zl_retry_init(zl_retry *retry);

/* How long to wait before retry number `retries` (from 0), in ms: random · min(20 s, base · 2^n),
 * full jitter, and on top of it what the server asked for (retry_after_s; negative: nothing), so
 * that clients which were told the same time do not return together. */
int64_t zl_retry_delay_ms(bool rate_limited, int retries, double random, int64_t retry_after_s);

/* Take `cost` tokens for a retry. False, with none taken, when there are not that many left: then
 * the retry must not be made. */
bool zl_retry_spend(zl_retry *retry, int cost);

/* A call succeeded that had spent `spent` tokens: they come back, or 1 if there were none. */
void zl_retry_refund(zl_retry *retry, int spent);

/* An answer came that was no rate limit: every ZL_RETRY_WINDOW_STEP of them open the window by one.
 */
void zl_retry_widen(zl_retry *retry);

/* After a rate limit: nothing is sent before until_ms (a pause is never shortened), and then one
 * request at a time, more only as they are let through. Were all sent together again, the server
 * would see them in any order, and a call could lose every one of its attempts to others. */
void zl_retry_pause(zl_retry *retry, int64_t until_ms);

/* The server refused the time of a request made with `offset_used_s`, and says it is date_s. True
 * when the two clocks really are apart; then the client's correction is set, for every call to
 * come. */
bool zl_retry_correct_clock(zl_retry *retry, int64_t offset_used_s, int64_t wall_s, int64_t date_s);

#endif
