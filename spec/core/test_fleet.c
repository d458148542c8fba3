/* A large fleet against a rate limit: 100 batches, a server that lets five requests a second
 * through, a client with all defaults. The pause of the whole client must bring every batch home.
 * (With a backoff of each batch for itself, nearly no run finishes.) */
#include <stdio.h>

#include "support.h"

enum { IDS = 10000, BATCHES = 100, SEEDS = 300 };

typedef enum limit { TOKEN_BUCKET, FIXED_WINDOW } limit;

/* A server, and the way to it. */
typedef struct scene {
    limit kind;
    int per_second;
    int burst;         /* of the token bucket */
    int retry_after_s; /* -1: the server does not tell */
    int way_min_ms; /* a request takes so long to the server, each time anew: what is sent together
                     */
    int way_max_ms; /* arrives in any order */
} scene;

/* The server's limiter. It is asked in the order of time. */
typedef struct limiter {
    const scene *scene;
    double tokens;
    int64_t last_ms;
    int64_t phase_ms; /* of the windows */
    int64_t window;
    int used;
} limiter;

static bool admits(limiter *l, int64_t now_ms) {
    if (l->scene->kind == TOKEN_BUCKET) {
        l->tokens += (double)(now_ms - l->last_ms) * l->scene->per_second / 1000.0;
        l->tokens = l->tokens < l->scene->burst ? l->tokens : l->scene->burst;
        l->last_ms = now_ms;
        if (l->tokens < 1.0) {
            return false;
        }
        l->tokens -= 1.0;
        return true;
    }
    int64_t window = (now_ms + l->phase_ms) / 1000;
    if (window != l->window) {
        l->window = window;
        l->used = 0;
    }
    return ++l->used <= l->scene->per_second;
}

typedef struct flight {
    size_t n;
    int64_t arrival_ms, answer_ms;
    bool arrived, admitted;
} flight;

typedef struct fleet {
    rng rng;
    limiter limiter;
    int64_t now_ms;
    flight flights[ZL_DEFAULT_MAX_CONCURRENCY];
    size_t flight_count;
    size_t sends, refused;
} fleet;

static void take_request(fleet *f, size_t n) {
    assert_true(f->flight_count < COUNT(f->flights));
    const scene *at = f->limiter.scene;
    int spread = at->way_max_ms - at->way_min_ms + 1;
    int way = at->way_min_ms + (int)rng_below(&f->rng, (size_t)spread);
    int64_t arrival = f->now_ms + way;
    f->flights[f->flight_count++] =
        (flight){.n = n, .arrival_ms = arrival, .answer_ms = arrival + at->way_min_ms};
    f->sends++;
}

/* The flight whose next event comes first, if it comes until `until_ms`. */
static flight *next_event(fleet *f, int64_t until_ms) {
    flight *first = NULL;
    for (size_t i = 0; i < f->flight_count; i++) {
        flight *g = &f->flights[i];
        int64_t time = g->arrived ? g->answer_ms : g->arrival_ms;
        if (time <= until_ms) {
            until_ms = time;
            first = g;
        }
    }
    return first;
}

/* Let time pass until an answer is there, or until `until_ms`; hand over what came. */
static void pass_time(fleet *f, zl_operation *op, int64_t until_ms) {
    flight *g;
    while ((g = next_event(f, until_ms)) != NULL && !g->arrived) {
        g->arrived = true;
        g->admitted = admits(&f->limiter, g->arrival_ms);
        f->refused += !g->admitted;
    }
    f->now_ms = until_ms;
    if (g == NULL) {
        return;
    }
    f->now_ms = g->answer_ms;
    zl_answer answer =
        g->admitted ? answer_accepted("T-1") : answer_api_error(429, "REQUEST_LIMIT_EXCEEDED");
    answer.retry_after_s = g->admitted ? -1 : f->limiter.scene->retry_after_s;
    zl_moment now = moment(f->now_ms, rng_unit(&f->rng));
    assert_true(zl_operation_answered(op, g->n, &now, &answer));
    *g = f->flights[--f->flight_count];
}

/* One whole run; the number of batches that were accepted. */
static size_t run_fleet(uint64_t seed, const scene *at, fleet *f) {
    *f = (fleet){.rng = {seed}};
    f->limiter = (limiter){.scene = at, .tokens = at->burst};
    f->limiter.phase_ms = (int64_t)rng_below(&f->rng, 1000);
    zl_client *client = new_client();
    zl_ids ids = {0};
    add_ids(&ids, "instance-", IDS);
    zl_operation *op;
    zl_moment now = moment(0, 0);
    assert_int_equal(
        zl_operation_new_stop(&op, client, &(zl_operation_options){0}, &now, &ids, ZL_FALSE),
        ZL_OK);
    assert_int_equal(zl_operation_count(op), BATCHES);
    for (;;) {
        zl_step step;
        now = moment(f->now_ms, rng_unit(&f->rng));
        assert_int_equal(zl_operation_step(op, &now, &step), ZL_OK);
        if (step.kind == ZL_STEP_DONE) {
            break;
        } else if (step.kind == ZL_STEP_SEND) {
            take_request(f, step.n);
        } else {
            pass_time(f, op, f->now_ms + step.wait_ms);
        }
    }
    size_t accepted = 0;
    for (size_t n = 1; n <= BATCHES; n++) {
        accepted += zl_operation_batch(op, n).outcome == ZL_OUTCOME_ACCEPTED;
    }
    assert_int_equal(accepted == BATCHES, zl_operation_error(op) == NULL);
    zl_operation_free(op);
    zl_client_unref(client);
    return accepted;
}

static void run_fleets(const scene *at) {
    size_t seeds = repetitions(SEEDS), finished = 0;
    uint64_t first_lost = 0;
    size_t sends = 0;
    int64_t longest_ms = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        fleet f;
        if (run_fleet(seed, at, &f) == BATCHES) {
            finished++;
        } else if (first_lost == 0) {
            first_lost = seed;
        }
        sends += f.sends;
        longest_ms = f.now_ms > longest_ms ? f.now_ms : longest_ms;
    }
    if (finished != seeds) {
        fail_with("%zu of %zu runs finished; the first that did not has seed %llu; "
                  "%.1f requests a run, the longest took %.1f s",
                  finished, seeds, (unsigned long long)first_lost, (double)sends / (double)seeds,
                  (double)longest_ms / 1000.0);
    }
}

/* The scene of the promise: five a second, and the same told by Retry-After. */
static void test_token_bucket(void **state) {
    (void)state;
    run_fleets(&(scene){TOKEN_BUCKET, 5, 5, -1, 15, 40});
}

static void test_token_bucket_with_retry_after(void **state) {
    (void)state;
    run_fleets(&(scene){TOKEN_BUCKET, 5, 5, 1, 15, 40});
}

static void test_fixed_window(void **state) {
    (void)state;
    run_fleets(&(scene){FIXED_WINDOW, 5, 0, -1, 15, 40});
}

static void test_fixed_window_with_retry_after(void **state) {
    (void)state;
    run_fleets(&(scene){FIXED_WINDOW, 5, 0, 1, 15, 40});
}

/* No two at once: every success is followed by a refusal. */
static void test_no_burst(void **state) {
    (void)state;
    run_fleets(&(scene){TOKEN_BUCKET, 5, 1, -1, 15, 40});
}

static void test_small_burst(void **state) {
    (void)state;
    run_fleets(&(scene){TOKEN_BUCKET, 2, 2, -1, 15, 40});
}

static void test_near_server(void **state) {
    (void)state;
    run_fleets(&(scene){FIXED_WINDOW, 5, 0, -1, 1, 3});
}

static void test_far_server(void **state) {
    (void)state;
    run_fleets(&(scene){TOKEN_BUCKET, 5, 5, -1, 100, 300});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_bucket), cmocka_unit_test(test_token_bucket_with_retry_after),
        cmocka_unit_test(test_fixed_window), cmocka_unit_test(test_fixed_window_with_retry_after),
        cmocka_unit_test(test_no_burst),     cmocka_unit_test(test_small_burst),
        cmocka_unit_test(test_near_server),  cmocka_unit_test(test_far_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
