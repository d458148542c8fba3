/* Random operations against a model server on a virtual clock. The server knows what it did; the
 * account must never say otherwise. Every run comes from its seed, which a failure tells; one seed
 * alone is run by ZENLAYER_TEST_SEED. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SEEDS = 20000, OPS_MAX = 3, CALLS_MAX = 24, FLIGHTS_MAX = 16, STEPS_MAX = 20000 };

/* --- what is known of the truth --------------------------------------------------------------- */

typedef struct call_truth {
    int sends;
    bool in_flight;
    bool reached;   /* some attempt's bytes came to the server, or may have */
    bool acted;     /* the server did it */
    bool accepted;  /* and an answer that says so was handed over */
    bool ambiguous; /* some attempt ended so that it may have been done */
    bool ended;     /* an attempt ended so that none may follow */
    int64_t not_before_ms;
    size_t failed_ids;
    zl_view failed[2]; /* the ids that the last answer said had failed */

    /* By the events: */
    int started, reported, retried, settled;
    zl_outcome settled_as;
} call_truth;

typedef struct op_truth {
    zl_operation *op; /* NULL: freed */
    zl_aim aim;
    bool idempotent, continue_on_error, done, cancelled;
    int max_attempts;
    int64_t deadline_ms;
    int64_t total; /* of pages */
    size_t ids;
    bool refused;                  /* some call has failed for good */
    size_t told_unbegun, told_ids; /* by the events: batches never begun; ids of settled ones */
    call_truth calls[CALLS_MAX + 1];
} op_truth;

/* What will come of an attempt. */
typedef struct flight {
    size_t op, n;
    int64_t lands_ms;
    bool lost, sent; /* no answer; whether bytes left */
    zl_code code;
    zl_answer answer;
} flight;

/* How likely what is, in this run. */
typedef struct weather {
    bool fair; /* nothing goes wrong but the clock */
    double not_sent, lost, acts_when_lost, limited, retry_after, server_error, refused, odd_200;
    double cancels, partial;
    double key_dies, asked_in_vain; /* of renewable credentials */
} weather;

typedef struct world {
    uint64_t seed;
    rng rng;
    weather weather;
    zl_client *client;
    int64_t now_ms, skew_s;
    int64_t pause_until_ms; /* at least so long must all be silent */
    op_truth ops[OPS_MAX];
    size_t op_count;
    flight flights[FLIGHTS_MAX];
    size_t flight_count;
    zl_view failed_id;
    int bad_generation;    /* the server refuses credentials up to this one */
    int64_t answer_due_ms; /* when whoever is asked for credentials answers; -1: nobody is */
} world;

#define CHECK(w, condition)                                                                        \
    ((condition) ? (void)0                                                                         \
                 : fail_with("seed %llu at %lld ms, line %d: %s", (unsigned long long)(w)->seed,   \
                             (long long)(w)->now_ms, __LINE__, #condition))

static int64_t server_time_s(const world *w) {
    return WALL_AT_ZERO + w->now_ms / 1000;
}

static zl_moment now_of(world *w) {
    return (zl_moment){
        .mono_ms = w->now_ms, .wall_s = server_time_s(w) + w->skew_s, .random = rng_unit(&w->rng)};
}

/* --- the server ------------------------------------------------------------------------------- */

static int64_t timestamp_of(const world *w, const zl_request *request) {
    for (size_t i = 0; i < request->header_count; i++) {
        if (zl_view_equal(zl_request_header_name(request, i), ZL_LIT("X-ZC-Timestamp"))) {
            return strtoll(zl_request_header_value(request, i).data, NULL, 10);
        }
    }
    fail_with("seed %llu: a request without a timestamp", (unsigned long long)w->seed);
}

/* The body asks for exactly the ids of its batch, or for its page. */
static void check_body(world *w, const op_truth *o, size_t n, zl_view body) {
    if (o->aim == ZL_AIM_CALL) {
        CHECK(w, zl_view_equal(body, ZL_LIT("{\"a\":1}")));
    } else if (o->aim == ZL_AIM_STATUS_PAGES) {
        char want[64];
        (void)snprintf(want, sizeof want, "{\"pageNum\":%zu,\"pageSize\":1000}", n);
        CHECK(w, zl_view_equal(body, zl_view_of(want)));
    } else {
        zl_view ids[ZL_REQUEST_IDS_MAX + 1];
        zl_batch b = zl_operation_batch(o->op, n);
        CHECK(w, ids_of_body(body, ids, COUNT(ids)) == b.count);
        for (size_t i = 0; i < b.count; i++) {
            CHECK(w, zl_view_equal(ids[i], zl_ids_at(zl_operation_ids(o->op), b.first + i)));
        }
    }
}

static zl_answer success(world *w, op_truth *o, size_t n) {
    zl_answer a = answer_accepted("T-1");
    if (o->aim == ZL_AIM_STATUS_PAGES) {
        int64_t left = o->total - 1000 * ((int64_t)n - 1);
        a.total_count = o->total;
        a.item_count = (size_t)(left < 0 ? 0 : left < 1000 ? left : 1000);
    } else if (o->aim == ZL_AIM_STOP && rng_chance(&w->rng, w->weather.partial)) {
        zl_batch b = zl_operation_batch(o->op, n);
        zl_view *failed = o->calls[n].failed;
        a.failed_ids = failed;
        a.failed_count = 1 + rng_below(&w->rng, b.count < 2 ? b.count : 2);
        for (size_t i = 0; i < a.failed_count; i++) {
            failed[i] = zl_ids_at(zl_operation_ids(o->op), b.first + b.count - 1 - i);
        }
    }
    return a;
}

/* What the server, and the network before it, make of one attempt. */
static void serve(world *w, size_t op, size_t n, const zl_request *request) {
    static const zl_code unsent[] = {ZL_CODE_RESOLVE_FAILED,  ZL_CODE_CONNECT_FAILED,
                                     ZL_CODE_TLS_FAILED,      ZL_CODE_PROXY_FAILED,
                                     ZL_CODE_CONNECT_TIMEOUT, ZL_CODE_TLS_VERIFY_FAILED};
    static const zl_code broken[] = {ZL_CODE_CONNECTION_LOST, ZL_CODE_TIMEOUT,
                                     ZL_CODE_RESPONSE_TOO_LARGE, ZL_CODE_BAD_RESPONSE};
    static const int refusals[] = {400, 401, 403, 404, 409, 302, 451, 408};
    const weather *odds = &w->weather;
    rng *r = &w->rng;
    op_truth *o = &w->ops[op];
    call_truth *c = &o->calls[n];
    flight f = {.op = op, .n = n, .sent = true};
    f.lands_ms = w->now_ms + 1 + (int64_t)rng_below(r, rng_chance(r, 0.1) ? 20000 : 300);
    bool acts = false;
    int64_t apart = timestamp_of(w, request) - server_time_s(w);
    if (rng_chance(r, odds->not_sent)) {
        f.lost = true;
        f.sent = false;
        f.code = unsent[rng_below(r, COUNT(unsent) - (rng_chance(r, 0.9) ? 1 : 0))];
    } else if (rng_chance(r, odds->lost)) {
        f.lost = true;
        f.code = broken[rng_below(r, COUNT(broken))];
        acts = rng_chance(r, odds->acts_when_lost);
    } else if (rng_chance(r, odds->limited)) {
        f.answer = rng_chance(r, 0.5) ? answer_of_no_api(429)
                                      : answer_api_error(429, "REQUEST_LIMIT_EXCEEDED");
        if (rng_chance(r, odds->retry_after)) {
            f.answer.retry_after_s = (int64_t)rng_below(r, rng_chance(r, 0.05) ? 300 : 5);
        }
    } else if (apart > 300 || apart < -300) {
        f.answer = answer_api_error(401, "AUTHFAILURE_SIGNATURE_EXPIRED");
        f.answer.date_s = server_time_s(w);
    } else if (w->client->credentials.generation <= w->bad_generation) {
        f.answer = answer_api_error(401, "AUTHFAILURE_SIGNATURE_FAILURE");
    } else if (rng_chance(r, odds->server_error)) {
        f.answer = rng_chance(r, 0.5) ? answer_of_no_api(502)
                                      : answer_api_error(500, "INTERNAL_SERVER_ERROR");
        acts = rng_chance(r, 0.5);
    } else if (rng_chance(r, odds->refused)) {
        int status = refusals[rng_below(r, COUNT(refusals))];
        f.answer =
            rng_chance(r, 0.7) ? answer_api_error(status, "REFUSED") : answer_of_no_api(status);
    } else if (rng_chance(r, odds->odd_200)) {
        f.answer = rng_chance(r, 0.5) ? answer_of_no_api(200) : answer_api_error(200, "HM");
        acts = rng_chance(r, 0.5);
    } else {
        f.answer = success(w, o, n);
        acts = true;
    }
    c->acted = c->acted || acts;
    c->reached = c->reached || f.sent;
    CHECK(w, w->flight_count < FLIGHTS_MAX);
    w->flights[w->flight_count++] = f;
}

/* --- sends ------------------------------------------------------------------------------------ */

static void check_send(world *w, size_t op, const zl_step *step) {
    op_truth *o = &w->ops[op];
    CHECK(w, step->n >= 1 && step->n <= zl_operation_count(o->op) && step->n <= CALLS_MAX);
    call_truth *c = &o->calls[step->n];
    CHECK(w, !o->done && !o->cancelled);
    CHECK(w, !c->in_flight && !c->accepted && !c->ended);
    CHECK(w, w->now_ms >= w->pause_until_ms);
    CHECK(w, w->now_ms >= w->client->retry.pause_until_ms);
    CHECK(w, w->now_ms >= c->not_before_ms);
    CHECK(w, w->now_ms < o->deadline_ms);
    CHECK(w, c->sends < o->max_attempts);
    CHECK(w, o->idempotent || !c->ambiguous);
    CHECK(w, w->flight_count < w->client->max_concurrency);
    CHECK(w, c->sends > 0 || o->continue_on_error || !o->refused); /* nothing new after a refusal */
    const zl_credentials *credentials = &w->client->credentials;
    CHECK(w, !credentials->renewable || (credentials->generation > 0 && !credentials->refused &&
                                         w->now_ms < credentials->expiry_ms));
    check_body(w, o, step->n, step->request->body);
    c->sends++;
    c->in_flight = true;
    serve(w, op, step->n, step->request);
    CHECK(w, w->client->in_flight == w->flight_count);
}

/* --- credentials ------------------------------------------------------------------------------ */

/* Whoever gives them is asked; the answer comes at once or later. */
static void ask_for_credentials(world *w) {
    CHECK(w, w->answer_due_ms < 0); /* once for all who wait */
    w->answer_due_ms = w->now_ms + (int64_t)rng_below(&w->rng, rng_chance(&w->rng, 0.5) ? 2 : 3000);
}

static void give_credentials(world *w) {
    zl_moment now = now_of(w);
    w->answer_due_ms = -1;
    if (rng_chance(&w->rng, w->weather.asked_in_vain)) {
        zl_client_lack_signer(w->client, &now, ZL_CODE_CREDENTIALS_UNAVAILABLE, ZL_LIT("sealed"));
        return;
    }
    zl_signer *signer;
    CHECK(w, zl_signer_new_key(&signer, ZL_LIT("key"), ZL_LIT("another password")) == ZL_OK);
    int64_t lifetime_ms = rng_chance(&w->rng, 0.5) ? 0 : 1 + (int64_t)rng_below(&w->rng, 200000);
    zl_client_set_signer(w->client, signer, &now, lifetime_ms);
}

/* --- events ----------------------------------------------------------------------------------- */

static void note_event(world *w, const zl_event *e) {
    if (e->operation == 0) {
        return;
    }
    CHECK(w, e->operation <= w->op_count && e->call <= CALLS_MAX);
    CHECK(w, e->mono_ms <= w->now_ms);
    op_truth *o = &w->ops[e->operation - 1];
    call_truth *c = &o->calls[e->call];
    switch (e->kind) {
    case ZL_EVENT_ATTEMPT_STARTED:
        c->started++;
        CHECK(w, e->attempt == c->started && c->settled == 0);
        break;
    case ZL_EVENT_ANSWERED:
    case ZL_EVENT_FAILED:
        c->reported++;
        CHECK(w, e->attempt == c->started && e->duration_ms >= 0 && c->settled == 0);
        break;
    case ZL_EVENT_RETRIED:
        c->retried++;
        CHECK(w, e->attempt == c->started + 1 && e->delay_ms >= 0 && e->code.len > 0);
        break;
    case ZL_EVENT_BATCH_SETTLED:
        o->told_unbegun += e->call == 0;
        o->told_ids += e->id_count;
        c->settled++;
        c->settled_as = e->outcome;
        break;
    default: break;
    }
}

static void take_events(world *w) {
    for (zl_event *e; (e = zl_events_take(&w->client->events)) != NULL; zl_event_free(e)) {
        note_event(w, e);
    }
}

/* What was told of an operation that is done is what is in its account. */
static void check_told(world *w, const op_truth *o) {
    size_t unbegun = 0;
    for (size_t n = 1; n <= zl_operation_count(o->op); n++) {
        const call_truth *c = &o->calls[n];
        zl_batch b = zl_operation_batch(o->op, n);
        if (b.call == 0) {
            unbegun++;
            continue;
        }
        CHECK(w, c->settled == 1 && c->settled_as == b.outcome);
        CHECK(w, c->started == c->sends && c->reported <= c->sends);
        CHECK(w, c->started <= c->retried + 1);
    }
    CHECK(w, o->told_unbegun == unbegun && o->told_ids == o->ids);
}

/* --- landings --------------------------------------------------------------------------------- */

/* What must be true of the call after the report, as the judge table has it. */
static void note_answer(world *w, op_truth *o, call_truth *c, const flight *f) {
    int status = f->answer.status;
    if (status == 200 && f->answer.is_well_formed && !f->answer.has_code) {
        c->accepted = true;
        c->failed_ids = f->answer.failed_count;
        o->refused = o->refused || f->answer.failed_count > 0;
        return;
    }
    if (status == 200 || status >= 500) {
        c->ambiguous = true;
        c->ended = status == 200 && f->answer.has_code;
    } else if (status == 429) {
        int64_t asked_ms = f->answer.retry_after_s > 0 ? f->answer.retry_after_s * 1000 : 0;
        c->not_before_ms = w->now_ms + asked_ms;
        if (c->not_before_ms > w->pause_until_ms) {
            w->pause_until_ms = c->not_before_ms;
        }
    } else {
        bool clock = zl_view_starts_with(f->answer.code, ZL_LIT("AUTHFAILURE"));
        c->ended = !clock && !(status == 408 && !f->answer.has_code);
    }
}

static void land(world *w, size_t i) {
    flight f = w->flights[i];
    w->flights[i] = w->flights[--w->flight_count];
    op_truth *o = &w->ops[f.op];
    call_truth *c = &o->calls[f.n];
    zl_moment now = now_of(w);
    if (f.lost) {
        CHECK(w, zl_operation_failed(o->op, f.n, &now, f.code, ZL_LIT("gone"), f.sent));
        c->ambiguous = c->ambiguous || f.sent;
        c->ended = f.code == ZL_CODE_TLS_VERIFY_FAILED || f.code == ZL_CODE_RESPONSE_TOO_LARGE;
    } else {
        CHECK(w, zl_operation_answered(o->op, f.n, &now, &f.answer));
        note_answer(w, o, c, &f);
    }
    c->in_flight = false;
    o->refused = o->refused || c->ended;
    if (rng_chance(&w->rng, 0.1)) { /* the same report once more is ignored */
        CHECK(w, !zl_operation_answered(o->op, f.n, &now, &f.answer));
    }
    take_events(w);
    CHECK(w, w->client->in_flight == w->flight_count);
    CHECK(w, w->client->retry.quota >= 0 && w->client->retry.quota <= ZL_RETRY_QUOTA);
}

/* The driver drops what an operation has in flight. */
static void drop_flights(world *w, size_t op) {
    for (size_t i = 0; i < w->flight_count;) {
        if (w->flights[i].op == op) {
            w->ops[op].calls[w->flights[i].n].ambiguous = true;
            w->flights[i] = w->flights[--w->flight_count];
        } else {
            i++;
        }
    }
}

/* --- the account ------------------------------------------------------------------------------ */

static void check_account(world *w, size_t op) {
    op_truth *o = &w->ops[op];
    size_t ids = 0, count = zl_operation_count(o->op);
    zl_outcome worst = ZL_OUTCOME_ACCEPTED;
    CHECK(w, zl_operation_is_done(o->op) && !zl_operation_is_incomplete(o->op));
    for (size_t n = 1; n <= count; n++) {
        const call_truth *c = &o->calls[n];
        zl_batch b = zl_operation_batch(o->op, n);
        CHECK(w, b.first == ids);
        ids += b.count;
        CHECK(w, b.attempts == c->sends);
        CHECK(w, (b.outcome == ZL_OUTCOME_ACCEPTED) == c->accepted);
        CHECK(w, b.outcome != ZL_OUTCOME_ACCEPTED || c->acted);
        CHECK(w, b.outcome != ZL_OUTCOME_REJECTED || !c->acted);
        CHECK(w, b.outcome != ZL_OUTCOME_NOT_SENT || !c->reached);
        CHECK(w,
              b.outcome != ZL_OUTCOME_REJECTED || c->reached); /* and no lighter word than that */
        CHECK(w, b.outcome != ZL_OUTCOME_UNKNOWN || c->ambiguous);
        CHECK(w, (b.failed_ids != NULL) == (c->failed_ids > 0));
        CHECK(w, b.failed_ids == NULL || b.failed_ids->count == c->failed_ids);
        bool failed = b.outcome != ZL_OUTCOME_ACCEPTED || c->failed_ids > 0;
        CHECK(w, b.error == NULL || failed);
        CHECK(w, b.error != NULL || !failed || c->sends == 0);
        if (b.error != NULL) {
            CHECK(w, b.error->code.len > 0 && b.error->attempts == c->sends);
            /* Ids that have failed are refused for sure only if no attempt was lost before. */
            zl_outcome of_failed = c->ambiguous ? ZL_OUTCOME_UNKNOWN : ZL_OUTCOME_REJECTED;
            CHECK(w, b.error->outcome == (c->failed_ids > 0 ? of_failed : b.outcome));
            worst = zl_outcome_max(worst, b.error->outcome);
        }
        CHECK(w, b.outcome != ZL_OUTCOME_ACCEPTED || b.request_id.len > 0);
        worst = zl_outcome_max(worst, b.outcome);
    }
    CHECK(w, ids == o->ids);
    const zl_error *e = zl_operation_error(o->op);
    CHECK(w, (e == NULL) == (worst == ZL_OUTCOME_ACCEPTED));
    if (e != NULL) {
        CHECK(w, e->code.len > 0 && e->message.data != NULL);
        CHECK(w, e->outcome == worst);
    }
    if (e != NULL && w->weather.fair && o->max_attempts > 1) {
        CHECK(w, w->now_ms >= o->deadline_ms); /* a wrong clock alone stops nobody */
    }
    if (e == NULL && o->aim == ZL_AIM_STATUS_PAGES) { /* every page, and none too many */
        CHECK(w, count == (size_t)(o->total <= 1000 ? 1 : (o->total + 999) / 1000));
    }
}

/* --- runs ------------------------------------------------------------------------------------- */

static double sometimes(rng *r, double most) {
    return rng_chance(r, 0.5) ? 0.0 : rng_unit(r) * most;
}

static void make_weather(world *w) {
    rng *r = &w->rng;
    bool fair = rng_chance(r, 0.1);
    double most = fair ? 0.0 : rng_chance(r, 0.2) ? 0.9 : 0.3;
    w->weather = (weather){
        .fair = fair,
        .not_sent = sometimes(r, most),
        .lost = sometimes(r, most),
        .acts_when_lost = rng_unit(r),
        .limited = sometimes(r, most),
        .retry_after = sometimes(r, 1.0),
        .server_error = sometimes(r, most),
        .refused = sometimes(r, most),
        .odd_200 = sometimes(r, most / 3),
        .cancels = fair ? 0.0 : sometimes(r, 0.01),
        .partial = sometimes(r, most / 3),
        .key_dies = fair ? 0.0 : sometimes(r, 0.05),
        .asked_in_vain = sometimes(r, most),
    };
    w->skew_s = rng_chance(r, 0.2) ? (int64_t)rng_below(r, 20000) - 10000 : 0;
}

static void new_operation(world *w) {
    rng *r = &w->rng;
    op_truth *o = &w->ops[w->op_count++];
    zl_operation_options options = {.continue_on_error = rng_chance(r, 0.5)};
    options.max_attempts = rng_chance(r, 0.5) ? 0 : 1 + (int)rng_below(r, 6);
    options.deadline_ms = rng_chance(r, 0.5) ? 0 : 1 + (int64_t)rng_below(r, 30000);
    *o = (op_truth){.continue_on_error = options.continue_on_error, .idempotent = true};
    zl_moment now = now_of(w);
    zl_ids ids = {0};
    zl_buf body = {0};
    int rc = ZL_OK;
    o->aim = (zl_aim)rng_below(r, 4);
    if (o->aim == ZL_AIM_STOP || o->aim == ZL_AIM_STATUS) {
        o->ids = 1 + rng_below(r, rng_chance(r, 0.5) ? 99 : 1999);
        add_ids(&ids, "i-", o->ids);
        add_ids(&ids, "i-", rng_below(r, o->ids)); /* repeats */
    }
    switch (o->aim) {
    case ZL_AIM_STOP:
        rc = zl_operation_new_stop(&o->op, w->client, &options, &now, &ids, ZL_FALSE);
        break;
    case ZL_AIM_STATUS:
        rc = zl_operation_new_status(&o->op, w->client, &options, &now, &ids);
        break;
    case ZL_AIM_STATUS_PAGES:
        o->total = (int64_t)rng_below(r, 6000);
        rc = zl_operation_new_status(&o->op, w->client, &options, &now, NULL);
        break;
    case ZL_AIM_CALL:
        o->idempotent = rng_chance(r, 0.3);
        zl_buf_add_text(&body, "{\"a\":1}");
        rc = zl_operation_new_call(&o->op, w->client, &options, &now, ZL_LIT("CreateInstances"),
                                   &body, o->idempotent);
        break;
    case ZL_AIM_PAGE:
    case ZL_AIM_WAIT: break; /* not drawn here */
    }
    CHECK(w, rc == ZL_OK);
    o->max_attempts = options.max_attempts == 0 ? 4 : options.max_attempts;
    o->deadline_ms = w->now_ms + (options.deadline_ms == 0 ? 120000 : options.deadline_ms);
    CHECK(w, zl_operation_deadline_ms(o->op) == o->deadline_ms);
}

/* Ask one operation until it has nothing to do now. When it wants to be asked again at the latest.
 */
static int64_t drive(world *w, size_t op) {
    op_truth *o = &w->ops[op];
    for (;;) {
        zl_step step;
        zl_moment now = now_of(w);
        size_t own = 0;
        CHECK(w, zl_operation_step(o->op, &now, &step) == ZL_OK);
        if (w->now_ms >= o->deadline_ms) {
            CHECK(w, step.kind == ZL_STEP_DONE);
        }
        if (step.kind == ZL_STEP_SEND) {
            check_send(w, op, &step);
            continue;
        }
        if (step.kind == ZL_STEP_CREDENTIALS) {
            ask_for_credentials(w);
            continue;
        }
        if (step.kind == ZL_STEP_DONE) {
            drop_flights(w, op); /* of a deadline */
            CHECK(w, w->client->in_flight == w->flight_count);
            o->done = true;
            check_account(w, op);
            take_events(w);
            if (w->client->events.wanted) {
                check_told(w, o);
            }
            CHECK(w, !zl_operation_cancel(o->op, &now, ZL_LIT("late")));
            return INT64_MAX;
        }
        CHECK(w, step.wait_ms >= 1 && w->now_ms + step.wait_ms <= o->deadline_ms);
        for (size_t i = 0; i < w->flight_count; i++) {
            own += w->flights[i].op == op;
        }
        CHECK(w, step.kind == ZL_STEP_PENDING || own == 0);
        CHECK(w, step.kind == ZL_STEP_WAIT || w->flight_count > 0 || w->answer_due_ms >= 0);
        return w->now_ms + step.wait_ms;
    }
}

static void maybe_cancel(world *w, size_t op) {
    op_truth *o = &w->ops[op];
    if (o->done || !rng_chance(&w->rng, w->weather.cancels)) {
        return;
    }
    if (rng_chance(&w->rng, 0.3)) { /* freed as it is: the slots come back */
        drop_flights(w, op);
        zl_operation_free(o->op);
        o->op = NULL;
        o->done = true;
    } else {
        bool done = zl_operation_is_done(o->op); /* the last report ended it */
        zl_moment now = now_of(w);
        o->cancelled = true;
        CHECK(w, zl_operation_cancel(o->op, &now, ZL_LIT("enough")) == !done);
        drop_flights(w, op);
    }
    CHECK(w, w->client->in_flight == w->flight_count);
}

static void run(uint64_t seed) {
    world w = {.seed = seed, .rng = {seed}};
    w.client = new_client();
    w.client->max_concurrency = 1 + rng_below(&w.rng, 10);
    w.now_ms = (int64_t)rng_below(&w.rng, 1000000);
    make_weather(&w);
    w.answer_due_ms = -1;
    w.bad_generation = -1;
    w.client->credentials.renewable = rng_chance(&w.rng, 0.3);
    w.client->events.wanted = rng_chance(&w.rng, 0.5);
    for (size_t wanted = 1 + rng_below(&w.rng, OPS_MAX); wanted > 0; wanted--) {
        new_operation(&w);
    }
    size_t steps = 0;
    for (bool busy = true; busy; steps++) {
        CHECK(&w, steps < STEPS_MAX); /* it comes to an end, and does not spin */
        int64_t until = INT64_MAX;
        busy = false;
        for (size_t i = 0; i < w.op_count; i++) {
            if (!w.ops[i].done) {
                maybe_cancel(&w, i);
            }
            if (!w.ops[i].done) {
                int64_t wish = drive(&w, i);
                until = wish < until ? wish : until;
                busy = busy || !w.ops[i].done;
            }
        }
        for (size_t i = 0; i < w.flight_count; i++) {
            until = w.flights[i].lands_ms < until ? w.flights[i].lands_ms : until;
        }
        if (until == INT64_MAX) {
            continue; /* all done */
        }
        until = w.answer_due_ms >= 0 && w.answer_due_ms < until ? w.answer_due_ms : until;
        /* Asking earlier than told does no harm. */
        bool early = rng_chance(&w.rng, 0.1) && until > w.now_ms + 1;
        w.now_ms = early ? w.now_ms + 1 : until;
        if (w.answer_due_ms >= 0 && w.answer_due_ms <= w.now_ms) {
            give_credentials(&w);
        }
        if (w.client->credentials.renewable && rng_chance(&w.rng, w.weather.key_dies)) {
            w.bad_generation = w.client->credentials.generation;
        }
        for (size_t i = 0; i < w.flight_count;) {
            if (w.flights[i].lands_ms <= w.now_ms) {
                land(&w, i);
            } else {
                i++;
            }
        }
    }
    for (size_t i = 0; i < w.op_count; i++) {
        zl_operation_free(w.ops[i].op);
    }
    CHECK(&w, w.client->in_flight == 0 && w.client->references == 1);
    zl_client_unref(w.client);
}

static void test_random_runs(void **state) {
    (void)state;
    const char *only = getenv("ZENLAYER_TEST_SEED");
    if (only != NULL) {
        run(strtoull(only, NULL, 10));
        return;
    }
    size_t seeds = repetitions(SEEDS);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        run(seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
