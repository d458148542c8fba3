/* Stops, waiting, isolation and graces against a model of the service, on a virtual clock:
 * instances with states, batches refused as a whole, answers lost on the way, cancels at any
 * moment. Whatever the account says of an id must be true of it. Every run comes from its seed,
 * which a failure tells; one seed alone is run by ZENLAYER_TEST_SEED. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "support.h"

enum { SEEDS = 5000, IDS_MAX = 1000, FLIGHTS_MAX = 16, STEPS_MAX = 200000 };

typedef enum status { RUNNING, STOPPING, STOPPED, RECYCLED, RELEASING, MISSING } status;
static const char *const names[] = {"RUNNING", "STOPPING",  "STOPPED",
                                    "RECYCLE", "RELEASING", "DEPLOYING"};

/* One instance, and what the service knows that was done to it in this run. */
typedef struct instance {
    status state;
    status ends_as;      /* what STOPPING turns into */
    bool deaf;           /* a stop without force leaves it STOPPING for ever */
    int64_t stops_at_ms; /* INT64_MAX: never */
    int sends;           /* plain stops that named it and left the client */
    int forced_sends;
    int acted, forced;
    bool reached;   /* some plain stop that named it came to the service, or may have */
    bool ambiguous; /* some plain stop that named it ended so that it may have been done */
    bool was_bad;   /* an answer refused a stop, or showed a status, because of it */
    int absent;     /* looks that it was absent from */
    bool ended_badly;
} instance;

typedef struct flight {
    size_t n;
    int64_t lands_ms;
    bool lost, sent, is_force;
    zl_code code;
    zl_answer answer;
    size_t count;
    size_t ids[ZL_REQUEST_IDS_MAX];
    zl_status rows[ZL_REQUEST_IDS_MAX];
    zl_view failed[ZL_REQUEST_IDS_MAX];
} flight;

typedef struct world {
    uint64_t seed;
    rng rng;
    zl_client *client;
    zl_operation *op;
    zl_operation_options options;
    bool is_wait, zec, bmc, refused_hard, cancelled;
    bool out_of_memory; /* some allocation of the core fails, or all from some on */
    int failed_steps;
    zl_tristate force;
    int64_t now_ms, ends_ms;
    size_t count;
    instance ids[IDS_MAX];
    flight flights[FLIGHTS_MAX];
    size_t flight_count;
    double lost, not_sent, limited, server_error, refused, odd, cancels;
} world;

#define CHECK(w, condition)                                                                        \
    ((condition) ? (void)0                                                                         \
                 : fail_with("seed %llu at %lld ms, line %d: %s", (unsigned long long)(w)->seed,   \
                             (long long)(w)->now_ms, __LINE__, #condition))

static zl_moment now_of(world *w) {
    return moment(w->now_ms, rng_unit(&w->rng));
}

static status state_of(world *w, size_t id) {
    instance *it = &w->ids[id];
    if (it->state == STOPPING && w->now_ms >= it->stops_at_ms) {
        it->state = it->ends_as;
    }
    return it->state;
}

/* --- the service ------------------------------------------------------------------------------ */

static void stop_one(world *w, size_t id, bool force) {
    instance *it = &w->ids[id];
    it->acted++;
    it->forced += force ? 1 : 0;
    it->state = STOPPING;
    it->stops_at_ms =
        it->deaf && !force ? INT64_MAX : w->now_ms + (int64_t)rng_below(&w->rng, 20000);
}

/* Why it cannot be stopped; NULL: it can. */
static const char *refusal(world *w, size_t id, bool force, int *http) {
    status now = state_of(w, id);
    *http = now == MISSING ? 404 : 403;
    if (now == RUNNING || (now == STOPPING && w->zec && force)) {
        return NULL;
    }
    return now == MISSING    ? "INVALID_INSTANCE_NOT_FOUND"
           : now == RECYCLED ? "OPERATION_DENIED_INSTANCE_RECYCLED"
                             : "OPERATION_DENIED_INSTANCE_NOT_RUNNING";
}

/* zec stops what it can and lists those that do not run. */
static void serve_stop(world *w, flight *f, bool force) {
    f->answer = answer_accepted("T-1");
    for (size_t i = 0; i < f->count; i++) {
        int http;
        const char *code = refusal(w, f->ids[i], force, &http);
        bool listed = w->zec && code != NULL && strcmp(code + 17, "INSTANCE_NOT_RUNNING") == 0;
        if (listed) {
            f->failed[f->answer.failed_count++] = zl_ids_at(zl_operation_ids(w->op), f->ids[i]);
            f->answer.failed_ids = f->failed;
        } else if (code != NULL) {
            w->ids[f->ids[i]].was_bad = true;
            f->answer = answer_api_error(http, code);
            return;
        }
    }
    for (size_t i = 0; i < f->count; i++) {
        int http;
        if (refusal(w, f->ids[i], force, &http) == NULL) {
            stop_one(w, f->ids[i], force);
        }
    }
}

static void serve_status(world *w, flight *f) {
    f->answer = answer_accepted("T-look");
    f->answer.statuses = f->rows;
    for (size_t i = 0; i < f->count; i++) {
        status now = state_of(w, f->ids[i]);
        instance *it = &w->ids[f->ids[i]];
        it->was_bad = it->was_bad || now != RUNNING;
        it->ended_badly = it->ended_badly || now == RECYCLED || now == RELEASING;
        it->absent += now == MISSING ? 1 : 0;
        if (now != MISSING) {
            f->rows[f->answer.item_count++] =
                (zl_status){zl_ids_at(zl_operation_ids(w->op), f->ids[i]), zl_view_of(names[now])};
        }
    }
    f->answer.total_count = (int64_t)f->answer.item_count;
}

/* What the network and the service make of one request. */
static void serve(world *w, flight *f, bool is_look) {
    rng *r = &w->rng;
    bool ambiguous = false;
    f->sent = true;
    f->lands_ms = w->now_ms + 1 + (int64_t)rng_below(r, rng_chance(r, 0.05) ? 40000 : 300);
    if (rng_chance(r, w->not_sent)) {
        f->lost = true;
        f->sent = false;
        f->code = ZL_CODE_CONNECT_FAILED;
    } else if (rng_chance(r, w->limited)) {
        f->answer = answer_api_error(429, "REQUEST_LIMIT_EXCEEDED");
        f->answer.retry_after_s = rng_chance(r, 0.3) ? (int64_t)rng_below(r, 4) : -1;
    } else if (rng_chance(r, w->refused)) {
        f->answer = answer_api_error(403, "AUTHFAILURE_UNAUTHORIZED_OPERATION");
    } else if (rng_chance(r, w->server_error) || rng_chance(r, w->odd)) {
        ambiguous = true;
        if (!is_look && rng_chance(r, 0.5)) {
            serve_stop(w, f, f->is_force);
        }
        f->answer = rng_chance(r, 0.5) ? answer_api_error(500, "INTERNAL_SERVER_ERROR")
                                       : answer_of_no_api(200);
    } else {
        if (is_look) {
            serve_status(w, f);
        } else {
            serve_stop(w, f, f->is_force);
        }
        f->lost = rng_chance(r, w->lost);
        f->code = rng_chance(r, 0.5) ? ZL_CODE_CONNECTION_LOST : ZL_CODE_TIMEOUT;
        ambiguous = f->lost;
    }
    for (size_t i = 0; i < f->count && !is_look && !f->is_force; i++) {
        w->ids[f->ids[i]].reached = w->ids[f->ids[i]].reached || f->sent;
        w->ids[f->ids[i]].ambiguous = w->ids[f->ids[i]].ambiguous || ambiguous;
    }
}

/* --- the client's side ------------------------------------------------------------------------ */

static void check_send(world *w, const zl_step *step) {
    zl_view body = step->request->body;
    zl_view read[ZL_REQUEST_IDS_MAX + 1];
    CHECK(w, w->flight_count < w->client->max_concurrency && w->flight_count < FLIGHTS_MAX);
    CHECK(w, w->now_ms >= w->client->retry.pause_until_ms && !w->cancelled);
    CHECK(w, w->now_ms < zl_operation_deadline_ms(w->op));
    bool is_look = zl_operation_expects(w->op, step->n) == ZL_AIM_STATUS;
    flight *f = &w->flights[w->flight_count++];
    *f = (flight){.n = step->n, .count = ids_of_body(body, read, COUNT(read))};
    CHECK(w, f->count >= 1 && f->count <= ZL_REQUEST_IDS_MAX);
    CHECK(w, is_look || !w->is_wait);
    CHECK(w, !(is_look && w->bmc));
    /* After a grace the first stop is gentle, so what says true is a forced one. */
    bool says_true = zl_view_starts_with(body, ZL_LIT("{\"forceShutdown\":true"));
    f->is_force = !is_look && w->options.watch.grace_ms > 0 && says_true;
    bool is_new = true;
    for (size_t i = 0; i < f->count; i++) {
        CHECK(w, zl_ids_find(zl_operation_ids(w->op), read[i], &f->ids[i]));
        instance *it = &w->ids[f->ids[i]];
        is_new = is_new && it->sends == 0;
        it->sends += is_look || f->is_force ? 0 : 1;
        it->forced_sends += f->is_force ? 1 : 0;
    }
    bool may_begin = w->options.continue_on_error || !w->refused_hard;
    CHECK(w, is_look || f->is_force || !is_new || may_begin); /* nothing new after a refusal */
    serve(w, f, is_look);
}

/* Whether a refusal is about the batch as a whole, so that nothing new may begin. */
static bool is_hard(const world *w, const flight *f) {
    bool is_about_ids = zl_view_starts_with(f->answer.code, ZL_LIT("INVALID_INSTANCE")) ||
                        zl_view_starts_with(f->answer.code, ZL_LIT("OPERATION_DENIED"));
    if (f->answer.status == 200) {
        return !f->lost && f->answer.failed_count > 0 && !w->options.isolate;
    }
    bool is_confirmable =
        w->ids[f->ids[0]].ambiguous && !w->bmc &&
        zl_view_equal(f->answer.code, ZL_LIT("OPERATION_DENIED_INSTANCE_NOT_RUNNING"));
    return !f->lost && !is_confirmable && f->answer.status >= 400 && f->answer.status < 429 &&
           !(w->options.isolate && is_about_ids);
}

static void land(world *w, size_t i) {
    flight f = w->flights[i]; /* its rows and failed ids are pointed to: not from the copy */
    zl_moment now = now_of(w);
    bool is_look = zl_operation_expects(w->op, f.n) == ZL_AIM_STATUS;
    if (f.lost) {
        CHECK(w, zl_operation_failed(w->op, f.n, &now, f.code, ZL_LIT("gone"), f.sent));
    } else {
        f.answer.statuses = f.answer.statuses != NULL ? f.rows : NULL;
        f.answer.failed_ids = f.answer.failed_ids != NULL ? f.failed : NULL;
        CHECK(w, zl_operation_answered(w->op, f.n, &now, &f.answer));
        w->refused_hard = w->refused_hard || (!is_look && !f.is_force && is_hard(w, &f));
    }
    w->flights[i] = w->flights[--w->flight_count];
    CHECK(w, w->client->in_flight == w->flight_count || zl_operation_is_done(w->op));
}

/* What the operation gave up while it was in flight is ambiguous. */
static void drop_flights(world *w) {
    for (size_t k = 0; k < w->flight_count; k++) {
        const flight *f = &w->flights[k];
        for (size_t i = 0; i < f->count; i++) {
            w->ids[f->ids[i]].ambiguous = true;
            w->ids[f->ids[i]].reached = true;
        }
    }
    w->flight_count = 0;
}

/* --- the account ------------------------------------------------------------------------------ */

static void check_id(world *w, const zl_batch *b, size_t id, bool failed) {
    const instance *it = &w->ids[id];
    CHECK(w, it->sends <= b->attempts);
    switch (b->outcome) {
    case ZL_OUTCOME_ACCEPTED:
        if (b->confirmed) {
            CHECK(w, it->state == STOPPING || it->state == STOPPED || it->state == it->ends_as);
        } else {
            CHECK(w, failed || it->acted > 0);
        }
        break;
    case ZL_OUTCOME_NOT_SENT: CHECK(w, !it->reached && it->acted == 0); break;
    case ZL_OUTCOME_REJECTED: CHECK(w, it->reached && it->acted == 0); break;
    case ZL_OUTCOME_UNKNOWN: CHECK(w, it->ambiguous); break;
    }
    /* What was stopped short of being sent again has the refusal of its whole batch. */
    if (w->options.isolate && w->options.continue_on_error && !w->cancelled &&
        b->outcome == ZL_OUTCOME_REJECTED && b->count == 1 && b->error != NULL &&
        zl_view_starts_with(zl_buf_view(&b->error->code), ZL_LIT("OPER"))) {
        CHECK(w, it->was_bad);
    }
}

static void check_forced(world *w, size_t n, size_t count) {
    int sends[IDS_MAX] = {0};
    for (size_t k = 1; k <= count; k++) {
        zl_batch f = zl_operation_forced(w->op, n, k);
        for (size_t i = 0; i < f.count; i++) {
            CHECK(w, f.outcome != ZL_OUTCOME_ACCEPTED || f.failed_ids != NULL ||
                         w->ids[f.which[i]].forced > 0);
            sends[f.which[i]] += f.attempts;
        }
    }
    zl_batch b = zl_operation_batch(w->op, n);
    for (size_t i = 0; i < b.count; i++) {
        size_t id = b.which != NULL ? b.which[i] : b.first + i;
        CHECK(w, w->ids[id].forced_sends == sends[id]);
    }
}

static void check_stop_account(world *w) {
    int held[IDS_MAX] = {0};
    zl_outcome worst = ZL_OUTCOME_ACCEPTED;
    const zl_error *error = zl_operation_error(w->op);
    for (size_t n = 1; n <= zl_operation_count(w->op); n++) {
        zl_batch b = zl_operation_batch(w->op, n);
        CHECK(w, b.count >= 1 && b.count <= ZL_REQUEST_IDS_MAX);
        CHECK(w, b.outcome == ZL_OUTCOME_ACCEPTED || b.error != NULL || b.attempts == 0);
        worst = zl_outcome_max(worst, b.outcome);
        for (size_t i = 0; i < b.count; i++) {
            size_t id = b.which != NULL ? b.which[i] : b.first + i;
            zl_view name = zl_operation_batch_id(w->op, &b, i);
            bool failed = b.failed_ids != NULL && zl_ids_find(b.failed_ids, name, NULL);
            held[id]++;
            check_id(w, &b, id, failed);
            CHECK(w, error != NULL || !failed);
            if (error == NULL && w->options.wait) {
                CHECK(w, state_of(w, id) == STOPPED);
            }
        }
        check_forced(w, n, b.forced_count);
    }
    for (size_t id = 0; id < w->count; id++) {
        CHECK(w, held[id] == 1);
    }
    CHECK(w, error != NULL || worst == ZL_OUTCOME_ACCEPTED);
    CHECK(w, error == NULL || error->outcome >= worst);
}

static void check_end(world *w) {
    const zl_error *error = zl_operation_error(w->op);
    CHECK(w, w->client->in_flight == 0);
    CHECK(w, !zl_operation_is_incomplete(w->op) || w->out_of_memory);
    if (zl_operation_is_incomplete(w->op)) { /* then nobody is shown it */
        return;
    }
    if (!w->is_wait) {
        check_stop_account(w);
    }
    if (error == NULL) {
        for (size_t id = 0; id < w->count && w->is_wait; id++) {
            CHECK(w, state_of(w, id) == STOPPED);
        }
        return;
    }
    CHECK(w, error->code.len > 0 && error->outcome != ZL_OUTCOME_ACCEPTED);
    bool bad = false;
    for (size_t id = 0; id < w->count; id++) {
        bad = bad || w->ids[id].ended_badly || w->ids[id].absent >= 2;
    }
    if (zl_view_equal(zl_buf_view(&error->code), ZL_LIT("UNEXPECTED_STATE"))) {
        CHECK(w, bad);
    } else if (zl_view_equal(zl_buf_view(&error->code), ZL_LIT("WAIT_TIMEOUT"))) {
        CHECK(w, w->now_ms >= zl_operation_watch(w->op)->until_ms);
    }
}

/* --- runs ------------------------------------------------------------------------------------- */

static double sometimes(rng *r, double most) {
    return rng_chance(r, 0.5) ? 0.0 : rng_unit(r) * most;
}

static void make_fleet(world *w) {
    rng *r = &w->rng;
    double healthy = rng_chance(r, 0.3) ? 1.0 : 1.0 - rng_unit(r) * (w->count < 20 ? 0.8 : 0.05);
    w->count = 1 + rng_below(r, rng_chance(r, 0.5) ? 10 : rng_chance(r, 0.7) ? 300 : IDS_MAX);
    for (size_t i = 0; i < w->count; i++) {
        instance *it = &w->ids[i];
        static const status others[] = {STOPPING, STOPPED, RECYCLED, RELEASING, MISSING};
        it->state = rng_chance(r, healthy) ? RUNNING : others[rng_below(r, COUNT(others))];
        it->ends_as = rng_chance(r, 0.99) ? STOPPED : rng_chance(r, 0.5) ? RELEASING : MISSING;
        it->deaf = rng_chance(r, 0.05);
        it->stops_at_ms = w->now_ms + (int64_t)rng_below(r, 20000);
    }
}

static void make_operation(world *w) {
    rng *r = &w->rng;
    zl_operation_options *o = &w->options;
    zl_moment now = now_of(w);
    zl_ids ids = {0};
    w->zec = rng_chance(r, 0.2);
    w->bmc = !w->zec && rng_chance(r, 0.1);
    w->is_wait = !w->bmc && rng_chance(r, 0.15);
    o->service = w->zec ? ZL_LIT("zec") : w->bmc ? ZL_LIT("bmc") : ZL_LIT("vm");
    o->continue_on_error = rng_chance(r, 0.4);
    o->isolate = rng_chance(r, 0.5);
    o->max_attempts = rng_chance(r, 0.5) ? 0 : 1 + (int)rng_below(r, 5);
    o->deadline_ms = rng_chance(r, 0.7) ? 0 : 1 + (int64_t)rng_below(r, 60000);
    o->watch = (zl_watch_options){.timeout_ms = 1 + (int64_t)rng_below(r, 120000)};
    o->watch.min_delay_ms = 1 + (int64_t)rng_below(r, 3000);
    o->watch.max_delay_ms = o->watch.min_delay_ms + (int64_t)rng_below(r, 12000);
    o->wait = !w->bmc && !w->is_wait && rng_chance(r, 0.5);
    o->watch.grace_ms = o->wait && rng_chance(r, 0.4) ? 1 + (int64_t)rng_below(r, 20000) : 0;
    w->force = w->bmc                  ? ZL_UNSET
               : o->watch.grace_ms > 0 ? ZL_FALSE
               : rng_chance(r, 0.5)    ? ZL_TRUE
                                       : ZL_FALSE;
    add_ids(&ids, "i-", w->count);
    if (w->out_of_memory) {
        alloc_fail_at(1 + rng_below(r, 300), rng_chance(r, 0.2));
    }
    int rc = w->is_wait ? zl_operation_new_wait(&w->op, w->client, o, &now, &ids)
                        : zl_operation_new_stop(&w->op, w->client, o, &now, &ids, w->force);
    CHECK(w, rc == ZL_OK || (w->out_of_memory && rc == ZL_ERR_NOMEM && w->op == NULL));
}

static void make_world(world *w, uint64_t seed, bool out_of_memory) {
    rng *r = &w->rng;
    *w = (world){.seed = seed, .rng = {seed}, .out_of_memory = out_of_memory};
    double most = rng_chance(r, 0.2) ? 0.6 : 0.15;
    w->client = new_client();
    w->client->max_concurrency = 1 + rng_below(r, FLIGHTS_MAX - 1);
    w->now_ms = (int64_t)rng_below(r, 1000000);
    w->lost = sometimes(r, most);
    w->not_sent = sometimes(r, most);
    w->limited = sometimes(r, most);
    w->server_error = sometimes(r, most);
    w->refused = sometimes(r, most / 10);
    w->odd = sometimes(r, most / 3);
    w->cancels = rng_chance(r, 0.2) ? rng_unit(r) * 0.05 : 0.0;
    make_fleet(w);
    make_operation(w);
}

/* Ask until there is nothing to do now; when it wants to be asked again. INT64_MAX: it is done. */
static int64_t drive(world *w) {
    for (;;) {
        zl_step step;
        zl_moment now = now_of(w);
        int rc = zl_operation_step(w->op, &now, &step);
        CHECK(w, rc == ZL_OK || (w->out_of_memory && rc == ZL_ERR_NOMEM));
        if (rc != ZL_OK) {
            if (++w->failed_steps == 3) { /* it will not get better */
                w->cancelled = true;
                CHECK(w, zl_operation_cancel(w->op, &now, ZL_LIT("out of memory")));
            }
        } else if (step.kind == ZL_STEP_SEND) {
            check_send(w, &step);
        } else if (step.kind == ZL_STEP_DONE) {
            return INT64_MAX;
        } else {
            CHECK(w, step.wait_ms >= 1);
            return w->now_ms + step.wait_ms;
        }
    }
}

static void play(world *w) {
    for (size_t steps = 0;; steps++) {
        CHECK(w, steps < STEPS_MAX); /* it comes to an end, and does not spin */
        if (rng_chance(&w->rng, w->cancels) && !zl_operation_is_done(w->op)) {
            zl_moment now = now_of(w);
            w->cancelled = true;
            CHECK(w, zl_operation_cancel(w->op, &now, ZL_LIT("enough")));
        }
        int64_t until = drive(w);
        if (until == INT64_MAX) {
            return;
        }
        for (size_t i = 0; i < w->flight_count; i++) {
            until = w->flights[i].lands_ms < until ? w->flights[i].lands_ms : until;
        }
        w->now_ms = until > w->now_ms ? until : w->now_ms;
        for (size_t i = 0; i < w->flight_count && !zl_operation_is_done(w->op);) {
            if (w->flights[i].lands_ms <= w->now_ms) {
                land(w, i);
            } else {
                i++;
            }
        }
    }
}

static void run(uint64_t seed, bool out_of_memory) {
    static world w; /* large */
    size_t live = alloc_live();
    make_world(&w, seed, out_of_memory);
    if (w.op != NULL) {
        play(&w);
        drop_flights(&w);
        alloc_fail_at(0, false);
        check_end(&w);
        zl_operation_free(w.op);
    }
    alloc_fail_at(0, false);
    CHECK(&w, w.client->in_flight == 0 && w.client->references == 1);
    zl_client_unref(w.client);
    CHECK(&w, alloc_live() == live);
}

static void run_all(bool out_of_memory) {
    const char *only = getenv("ZENLAYER_TEST_SEED");
    if (only != NULL) {
        run(strtoull(only, NULL, 10), out_of_memory);
        return;
    }
    size_t seeds = repetitions(SEEDS);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        run(seed, out_of_memory);
    }
}

static void test_the_account_is_true(void **state) {
    (void)state;
    run_all(false);
}

static void test_the_account_is_true_or_none_without_memory(void **state) {
    (void)state;
    run_all(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_account_is_true),
        cmocka_unit_test(test_the_account_is_true_or_none_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
