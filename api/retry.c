#include "retry.h"

double zl_moment_random(const zl_moment *now) {
    return now->draw != NULL ? now->draw() : now->random;
}

void zl_retry_init(zl_retry *retry) {
    *retry = (zl_retry){.pause_until_ms = INT64_MIN, .quota = ZL_RETRY_QUOTA, .window = SIZE_MAX};
}

int64_t zl_retry_delay_ms(bool rate_limited, int retries, double random, int64_t retry_after_s) {
    int64_t span = rate_limited ? ZL_RETRY_BASE_RATE_LIMIT_MS : ZL_RETRY_BASE_MS;
    for (int i = 0; i < retries && span < ZL_RETRY_MAX_MS; i++) {
        span *= 2;
    }
    span = span < ZL_RETRY_MAX_MS ? span : ZL_RETRY_MAX_MS;
    int64_t delay = (int64_t)(random * (double)span);
    return retry_after_s > 0 ? delay + retry_after_s * 1000 : delay;
}

bool zl_retry_spend(zl_retry *retry, int cost) {
    if (retry->quota < cost) {
        return false;
    }
    retry->quota -= cost;
    return true;
}

void zl_retry_refund(zl_retry *retry, int spent) {
    int quota = retry->quota + (spent > 0 ? spent : 1);
    retry->quota = quota < ZL_RETRY_QUOTA ? quota : ZL_RETRY_QUOTA;
}

void zl_retry_widen(zl_retry *retry) {
    if (retry->window < SIZE_MAX && ++retry->answers == ZL_RETRY_WINDOW_STEP) {
        retry->answers = 0;
        retry->window++;
    }
}

void zl_retry_pause(zl_retry *retry, int64_t until_ms) {
    retry->window = 1;
    retry->answers = 0;
    if (until_ms > retry->pause_until_ms) {
        retry->pause_until_ms = until_ms;
    }
}

bool zl_retry_correct_clock(zl_retry *retry, int64_t offset_used_s, int64_t wall_s,
                            int64_t date_s) {
    int64_t apart = date_s - (wall_s + offset_used_s);
    if (apart >= -ZL_RETRY_SKEW_S && apart <= ZL_RETRY_SKEW_S) {
        return false;
    }
    retry->clock_offset_s = date_s - wall_s;
    return true;
}
