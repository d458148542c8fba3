/* Backoff, quota, pause and clock correction, by exact numbers. */
#include <stdio.h>

#include "retry.h"
#include "support.h"

#define NEARLY_1 (1023.0 / 1024) /* exact, and so is what it is multiplied to */

static void test_delays(void **state) {
    (void)state;
    static const struct {
        bool rate_limited;
        int retries;
        double random;
        int64_t retry_after_s, want_ms;
    } rows[] = {
        {false, 0, 0.0, -1, 0},          {false, 0, 0.5, -1, 25},
        {false, 0, NEARLY_1, -1, 49},    {false, 1, 0.5, -1, 50},
        {false, 2, 0.5, -1, 100},        {false, 3, NEARLY_1, -1, 399},
        {false, 8, 0.5, -1, 6400},       {false, 9, 0.5, -1, 10000}, /* 50 · 2^9 is over 20 s */
        {false, 9, NEARLY_1, -1, 19980}, {false, 100, 0.5, -1, 10000},
        {false, 100000, 0.5, -1, 10000}, {true, 0, 0.0, -1, 0},
        {true, 0, 0.5, -1, 500},         {true, 0, NEARLY_1, -1, 999},
        {true, 1, 0.5, -1, 1000},        {true, 2, 0.5, -1, 2000},
        {true, 3, 0.5, -1, 4000},        {true, 4, 0.5, -1, 8000},
        {true, 5, 0.5, -1, 10000},       {true, 5, NEARLY_1, -1, 19980},
        {true, 60, 0.5, -1, 10000},      {true, 0, 0.5, 0, 500}, /* Retry-After is added */
        {true, 0, 0.0, 1, 1000},         {true, 0, 0.5, 1, 1500},
        {true, 5, 0.5, 30, 40000},       {false, 0, 0.5, 2, 2025},
        {true, 0, 0.5, 86400, 86400500},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t got = zl_retry_delay_ms(rows[i].rate_limited, rows[i].retries, rows[i].random,
                                        rows[i].retry_after_s);
        if (got != rows[i].want_ms) {
            fail_with("row %zu: %lld ms, not %lld", i, (long long)got, (long long)rows[i].want_ms);
        }
    }
}

static void test_delays_are_spread_over_the_whole_span(void **state) {
    (void)state;
    rng r = {1};
    for (int retries = 0; retries < 12; retries++) {
        int64_t span = 1000;
        for (int i = 0; i < retries && span < 20000; i++) {
            span *= 2;
        }
        span = span < 20000 ? span : 20000;
        int64_t low = span, high = 0;
        for (int i = 0; i < 2000; i++) {
            int64_t delay = zl_retry_delay_ms(true, retries, rng_unit(&r), -1);
            assert_true(delay >= 0 && delay < span);
            low = delay < low ? delay : low;
            high = delay > high ? delay : high;
        }
        assert_true(low < span / 50 && high > span - span / 50);
    }
}

static void test_the_quota(void **state) {
    (void)state;
    zl_retry retry;
    zl_retry_init(&retry);
    assert_int_equal(retry.quota, 500);
    assert_int_equal(ZL_RETRY_COST, 14);
    assert_int_equal(ZL_RETRY_COST_RATE_LIMIT, 5);
    for (int i = 0; i < 35; i++) { /* 500 = 35 · 14 + 10 */
        assert_true(zl_retry_spend(&retry, ZL_RETRY_COST));
    }
    assert_int_equal(retry.quota, 10);
    assert_false(zl_retry_spend(&retry, ZL_RETRY_COST));
    assert_int_equal(retry.quota, 10); /* none taken */
    assert_true(zl_retry_spend(&retry, ZL_RETRY_COST_RATE_LIMIT));
    assert_true(zl_retry_spend(&retry, ZL_RETRY_COST_RATE_LIMIT));
    assert_int_equal(retry.quota, 0);
    assert_false(zl_retry_spend(&retry, 1));
    zl_retry_refund(&retry, 0); /* a success that spent nothing gives 1 */
    assert_int_equal(retry.quota, 1);
    zl_retry_refund(&retry, 14); /* one that spent, what it spent: not one more */
    assert_int_equal(retry.quota, 15);
    assert_true(zl_retry_spend(&retry, ZL_RETRY_COST));
    assert_int_equal(retry.quota, 1);
    zl_retry_refund(&retry, 490);
    zl_retry_refund(&retry, 490);
    assert_int_equal(retry.quota, 500); /* never more than at the start */
    zl_retry_refund(&retry, 0);
    assert_int_equal(retry.quota, 500);
}

static void test_the_pause(void **state) {
    (void)state;
    zl_retry retry;
    zl_retry_init(&retry);
    /* A monotonic clock may begin anywhere: at first there is no pause at any time. */
    assert_true(retry.pause_until_ms <= INT64_MIN / 2);
    zl_retry_pause(&retry, -5);
    assert_int_equal(retry.pause_until_ms, -5);
    zl_retry_pause(&retry, 1000);
    zl_retry_pause(&retry, 999);
    assert_int_equal(retry.pause_until_ms, 1000);
    zl_retry_pause(&retry, 1000);
    assert_int_equal(retry.pause_until_ms, 1000);
    zl_retry_pause(&retry, 1001);
    assert_int_equal(retry.pause_until_ms, 1001);
}

static void widen(zl_retry *retry, int answers, size_t want) {
    for (int i = 1; i <= answers; i++) {
        zl_retry_widen(retry);
    }
    if (retry->window != want) {
        fail_with("after %d answers: %zu at once, not %zu", answers, retry->window, want);
    }
}

static void test_the_window(void **state) {
    (void)state;
    zl_retry retry;
    zl_retry_init(&retry);
    assert_int_equal(ZL_RETRY_WINDOW_STEP, 4);
    assert_true(retry.window == SIZE_MAX); /* no limit before the first 429 */
    widen(&retry, 9, SIZE_MAX);
    zl_retry_pause(&retry, 1000);
    assert_true(retry.window == 1);
    static const size_t steps[] = {1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4};
    for (size_t i = 0; i < COUNT(steps); i++) {
        widen(&retry, 1, steps[i]);
    }
    for (size_t size = 5; size < 300; size++) {
        widen(&retry, 4, size);
    }
    zl_retry_pause(&retry, 500); /* an earlier end does not shorten the pause, but it narrows */
    widen(&retry, 3, 1);
    zl_retry_pause(&retry, 2000); /* and what was counted counts no more */
    widen(&retry, 3, 1);
    widen(&retry, 1, 2);
    for (int i = 0; i < 20; i++) {
        zl_retry_refund(&retry, 0); /* the quota is another thing */
        zl_retry_refund(&retry, 14);
    }
    assert_true(retry.window == 2);
    retry.window = SIZE_MAX - 1;
    widen(&retry, 3, SIZE_MAX - 1);
    widen(&retry, 1, SIZE_MAX);
    widen(&retry, 9, SIZE_MAX); /* never around */
}

static void test_clock_correction_thresholds(void **state) {
    (void)state;
    enum { NOW = 1700000000 };
    static const struct {
        int64_t offset_used, offset, date;
        bool corrected;
        int64_t want;
    } rows[] = {
        {0, 0, NOW, false, 0},
        {0, 0, NOW + 240, false, 0}, /* exactly 240 is not over 240 */
        {0, 0, NOW - 240, false, 0},
        {0, 0, NOW + 241, true, 241},
        {0, 0, NOW - 241, true, -241},
        {0, 0, NOW + 1000000, true, 1000000},
        {0, 0, 0, true, -NOW},
        /* The clock that counts is the one this attempt used … */
        {600, 600, NOW + 600, false, 600},
        {600, 600, NOW + 840, false, 600},
        {600, 600, NOW + 841, true, 841},
        {600, 600, NOW + 359, true, 359},
        {600, 600, NOW, true, 0},
        /* … not what another call corrected meanwhile. */
        {0, 600, NOW + 600, true, 600},
        {0, 600, NOW + 100, false, 600},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_retry retry;
        zl_retry_init(&retry);
        retry.clock_offset_s = rows[i].offset;
        bool corrected = zl_retry_correct_clock(&retry, rows[i].offset_used, NOW, rows[i].date);
        if (corrected != rows[i].corrected || retry.clock_offset_s != rows[i].want) {
            fail_with("row %zu: %s, offset %lld", i, corrected ? "corrected" : "not corrected",
                      (long long)retry.clock_offset_s);
        }
    }
}

static double quarter(void) {
    return 0.25;
}

static void test_a_random_number_that_is_given_or_drawn(void **state) {
    (void)state;
    zl_moment now = {.random = 0.75};
    assert_true(zl_moment_random(&now) == 0.75);
    now.draw = quarter;
    assert_true(zl_moment_random(&now) == 0.25);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_delays_are_spread_over_the_whole_span),
        cmocka_unit_test(test_the_quota),
        cmocka_unit_test(test_the_pause),
        cmocka_unit_test(test_the_window),
        cmocka_unit_test(test_clock_correction_thresholds),
        cmocka_unit_test(test_a_random_number_that_is_given_or_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
