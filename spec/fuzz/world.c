#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static zl_moment now_of(const world *w) {
    return (zl_moment){.mono_ms = w->now_ms,
                       .wall_s = WORLD_WALL_S + w->skew_s + w->now_ms / 1000,
                       .random = w->random};
}

/* --- memory that runs out --------------------------------------------------------------------- */

/* The linker puts these between the core and libc. */
void *real_malloc(size_t size) __asm__("__real_malloc");
void *real_calloc(size_t count, size_t size) __asm__("__real_calloc");
void *real_realloc(void *old, size_t size) __asm__("__real_realloc");
void *tried_malloc(size_t size) __asm__("__wrap_malloc");
void *tried_calloc(size_t count, size_t size) __asm__("__wrap_calloc");
void *tried_realloc(void *old, size_t size) __asm__("__wrap_realloc");

static size_t allocations_left; /* until one fails; 0: none will */
static bool has_failed;

static bool must_fail(void) {
    bool fails = allocations_left > 0 && --allocations_left == 0;
    has_failed = has_failed || fails;
    return fails;
}

void *tried_malloc(size_t size) {
    return must_fail() ? NULL : real_malloc(size);
}

void *tried_calloc(size_t count, size_t size) {
    return must_fail() ? NULL : real_calloc(count, size);
}

void *tried_realloc(void *old, size_t size) {
    return must_fail() ? NULL : real_realloc(old, size);
}

/* Around each call of the core that may allocate. */
static void enter(world *w) {
    has_failed = false;
    allocations_left = w->failing_from;
    w->failing_from = 0;
}

/* Whether an allocation has failed since. */
static bool leave(void) {
    allocations_left = 0;
    return has_failed;
}

/* --- the account ------------------------------------------------------------------------------ */

call_truth *world_call(op_truth *o, size_t n) {
    if (n >= o->call_room) {
        size_t room = n < 16 ? 16 : n * 2;
        CHECK(n < 100000);
        o->calls = realloc(o->calls, room * sizeof *o->calls);
        CHECK(o->calls != NULL);
        memset(o->calls + o->call_room, 0, (room - o->call_room) * sizeof *o->calls);
        o->call_room = room;
    }
    return &o->calls[n];
}

/* The place of an id, which is its number; the ids are "i-0" … */
static size_t place_of(const op_truth *o, zl_view id) {
    size_t place = 0;
    CHECK(id.len >= 3 && id.len <= 5 && id.data[0] == 'i' && id.data[1] == '-');
    for (size_t i = 2; i < id.len; i++) {
        CHECK(id.data[i] >= '0' && id.data[i] <= '9');
        place = place * 10 + (size_t)(id.data[i] - '0');
    }
    CHECK(place < o->id_count);
    return place;
}

/* What a batch says of what is true. */
static void check_outcome(zl_outcome outcome, const truth *t) {
    switch (outcome) {
    case ZL_OUTCOME_ACCEPTED: CHECK(t->accepted); break;
    case ZL_OUTCOME_REJECTED: CHECK(!t->accepted && !t->ambiguous && t->reached); break;
    case ZL_OUTCOME_NOT_SENT: CHECK(!t->accepted && !t->reached); break;
    case ZL_OUTCOME_UNKNOWN: CHECK(!t->accepted && t->ambiguous); break;
    default: FAIL("an outcome is set");
    }
}

/* Of a forced stop. Its ids are ids of its batch. */
static void check_forced(op_truth *o, const zl_batch *batch, const zl_batch *forced) {
    call_truth *c = world_call(o, forced->call);
    CHECK(forced->call > 0 && c->purpose == FORCE && c->sends == forced->attempts);
    CHECK(forced->count > 0 && forced->count <= batch->count);
    for (size_t i = 0; i < forced->count; i++) {
        zl_view id = zl_operation_batch_id(o->op, forced, i);
        CHECK(o->ids[place_of(o, id)].owner == batch->call);
    }
    if (c->sends == 0) { /* begun, and never sent */
        CHECK(forced->outcome == ZL_OUTCOME_NOT_SENT);
    } else {
        check_outcome(forced->outcome, &c->truth);
    }
}

static void check_ids(op_truth *o, const zl_batch *b, bool *seen) {
    size_t failed = 0;
    for (size_t i = 0; i < b->count; i++) {
        size_t place = place_of(o, zl_operation_batch_id(o->op, b, i));
        const truth *t = &o->ids[place];
        CHECK(!seen[place]); /* every id in exactly one batch */
        seen[place] = true;
        failed += t->failed;
        if (o->aim == ZL_AIM_WAIT) {
            CHECK(b->outcome != ZL_OUTCOME_ACCEPTED || t->stopped);
        } else {
            check_outcome(b->outcome, t);
        }
    }
    CHECK(o->short_of_memory || (b->failed_ids != NULL ? b->failed_ids->count : 0) == failed);
    for (size_t i = 0; b->failed_ids != NULL && i < b->failed_ids->count; i++) {
        CHECK(o->ids[place_of(o, zl_ids_at(b->failed_ids, i))].failed);
    }
}

static void check_batch(op_truth *o, const zl_batch *b) {
    call_truth *c = world_call(o, b->call);
    if (b->call > 0) {
        CHECK(c->sends == 0 || (c->purpose == OWN && !c->replaced));
        CHECK(b->attempts == c->sends || (o->options.isolate && b->attempts > c->sends));
        CHECK(b->confirmed == c->confirmed);
    } else if (o->aim != ZL_AIM_WAIT) {
        CHECK(b->outcome == ZL_OUTCOME_NOT_SENT && b->attempts == 0);
    }
    if (o->id_count == 0) {
        check_outcome(b->outcome, &c->truth);
    }
    if (b->error != NULL) {
        CHECK(b->error->outcome != ZL_OUTCOME_ACCEPTED && b->error->attempts == b->attempts);
        CHECK(b->error->outcome >= b->outcome);
        CHECK(o->short_of_memory || b->error->code.len > 0);
        /* Of a lost attempt nobody knows whether it stopped those that another says have failed. */
        zl_outcome of_failed = c->truth.ambiguous ? ZL_OUTCOME_UNKNOWN : ZL_OUTCOME_REJECTED;
        CHECK(b->failed_ids == NULL || b->error->outcome == of_failed);
    } else {
        CHECK(b->outcome == ZL_OUTCOME_ACCEPTED || b->call == 0);
    }
    bool known = b->outcome == ZL_OUTCOME_ACCEPTED && !b->confirmed && o->aim != ZL_AIM_WAIT;
    CHECK(!known || b->request_id.len > 0 || o->short_of_memory);
}

static void check_error(const world *w, const op_truth *o, zl_outcome worst) {
    const zl_error *e = zl_operation_error(o->op);
    if (e == NULL) {
        CHECK(worst == ZL_OUTCOME_ACCEPTED);
        for (size_t i = 0; i < o->id_count && (o->options.wait || o->aim == ZL_AIM_WAIT); i++) {
            CHECK(o->ids[i].stopped);
        }
        return;
    }
    CHECK(e->is_set && e->outcome != ZL_OUTCOME_ACCEPTED && e->outcome >= worst);
    CHECK(o->short_of_memory || (zl_error_ok(e) && e->code.len > 0));
    CHECK(e->retry_after_s >= -1 && (e->kind != ZL_KIND_CREDENTIALS || w->lacked));
    /* Of a waiting that failed nobody knows how it will end. */
    CHECK(e->outcome == worst || o->options.wait || o->aim == ZL_AIM_WAIT);
}

/* Everything that an operation which is done says. */
static void check_account(const world *w, op_truth *o) {
    bool seen[WORLD_IDS] = {false};
    size_t ids = 0, count = zl_operation_count(o->op);
    zl_outcome worst = ZL_OUTCOME_ACCEPTED;
    CHECK(zl_operation_is_done(o->op));
    CHECK(o->short_of_memory || !zl_operation_is_incomplete(o->op));
    for (size_t n = 1; n <= count; n++) {
        zl_batch b = zl_operation_batch(o->op, n);
        CHECK((b.count > 0 || o->id_count == 0) && b.count <= ZL_REQUEST_IDS_MAX);
        check_ids(o, &b, seen);
        check_batch(o, &b);
        for (size_t k = 1; k <= b.forced_count; k++) {
            zl_batch forced = zl_operation_forced(o->op, n, k);
            check_forced(o, &b, &forced);
        }
        ids += b.count;
        worst = zl_outcome_max(worst, b.error != NULL ? b.error->outcome : b.outcome);
    }
    CHECK(ids == o->id_count);
    check_error(w, o, worst);
}

/* --- events ----------------------------------------------------------------------------------- */

static void copy_text(char *out, size_t room, zl_view text) {
    CHECK(text.len < room);
    (void)snprintf(out, room, "%.*s", (int)text.len, text.len > 0 ? text.data : "");
}

static void note_event(world *w, const zl_event *e) {
    CHECK(e->mono_ms >= w->event_ms && e->mono_ms <= w->now_ms);
    w->event_ms = e->mono_ms;
    if (e->operation == 0) {
        CHECK(e->kind == ZL_EVENT_CREDENTIALS_RENEWED);
        return;
    }
    CHECK(e->operation <= w->op_count);
    op_truth *o = &w->ops[e->operation - 1];
    call_truth *c = world_call(o, e->call);
    switch (e->kind) {
    case ZL_EVENT_ATTEMPT_STARTED:
        c->started++;
        CHECK(c->settled == 0 && e->attempt >= 1);
        break;
    case ZL_EVENT_ANSWERED:
    case ZL_EVENT_FAILED:
        c->reported++;
        CHECK(c->settled == 0 && e->duration_ms >= 0 && e->attempt >= 1);
        break;
    case ZL_EVENT_RETRIED:
        CHECK(c->settled == 0 && e->delay_ms >= 0 && e->attempt >= 2);
        CHECK(e->mono_ms + e->delay_ms < o->deadline_ms); /* or it would fail at once */
        CHECK(o->short_of_memory || e->code.len > 0);
        break;
    case ZL_EVENT_PAUSED: CHECK(e->delay_ms >= 0); break;
    case ZL_EVENT_BATCH_SETTLED:
        CHECK(e->has_outcome && e->outcome <= ZL_OUTCOME_UNKNOWN);
        if (e->call == 0) {
            o->unbegun[e->outcome]++;
            o->unbegun_ids += e->id_count;
        }
        c->settled++;
        c->outcome = e->outcome;
        c->attempts = e->attempt;
        c->id_count = e->id_count;
        copy_text(c->code, sizeof c->code, zl_buf_view(&e->code));
        copy_text(c->request_id, sizeof c->request_id, zl_buf_view(&e->request_id));
        break;
    case ZL_EVENT_CLOCK_CORRECTED: break;
    default: FAIL("operations have no other events");
    }
}

static void take_events(world *w) {
    for (zl_event *e; (e = zl_events_take(&w->client->events)) != NULL; zl_event_free(e)) {
        note_event(w, e);
    }
}

static void check_told_batch(op_truth *o, const zl_batch *b) {
    const call_truth *c = world_call(o, b->call);
    CHECK(c->settled == 1 && c->outcome == b->outcome && c->attempts == b->attempts);
    CHECK(c->id_count == b->count);
    CHECK(zl_view_equal(zl_view_of(c->request_id), b->request_id));
    zl_view code = b->error != NULL ? zl_buf_view(&b->error->code) : ZL_LIT("");
    CHECK(zl_view_equal(zl_view_of(c->code), code));
}

/* What was told of an operation that is done is what its account says. */
static void check_told(op_truth *o) {
    size_t unbegun[4] = {0}, unbegun_ids = 0, told = 0, settled = 0;
    for (size_t n = 1; n <= zl_operation_count(o->op); n++) {
        zl_batch b = zl_operation_batch(o->op, n);
        for (size_t k = 1; k <= b.forced_count; k++) {
            zl_batch forced = zl_operation_forced(o->op, n, k);
            check_told_batch(o, &forced);
            told++;
        }
        if (b.call == 0) {
            unbegun[b.outcome]++;
            unbegun_ids += b.count;
        } else {
            check_told_batch(o, &b);
            told++;
        }
    }
    CHECK(memcmp(unbegun, o->unbegun, sizeof unbegun) == 0 && unbegun_ids == o->unbegun_ids);
    for (size_t n = 1; n < o->call_room; n++) {
        const call_truth *c = &o->calls[n];
        settled += (size_t)c->settled;
        CHECK(c->started == c->sends + c->looks && c->reported == c->reports);
    }
    CHECK(settled == told); /* and nothing else was */
}

/* --- after every call of the core ------------------------------------------------------------- */

/* A request that nobody waits for: it may have been done. */
static void forget_flight(world *w, size_t i) {
    const flight *f = &w->flights[i];
    op_truth *o = &w->ops[f->op];
    call_truth *c = world_call(o, f->n);
    c->in_flight = false;
    if (f->purpose == OWN || f->purpose == FORCE) {
        c->truth.ambiguous = c->truth.reached = true;
    }
    for (size_t k = 0; k < c->count && f->purpose == OWN; k++) {
        o->ids[c->ids[k]].ambiguous = o->ids[c->ids[k]].reached = true;
    }
    w->flights[i] = w->flights[--w->flight_count];
}

static void forget_flights(world *w, size_t op) {
    for (size_t i = w->flight_count; i-- > 0;) {
        if (w->flights[i].op == op) {
            forget_flight(w, i);
        }
    }
}

/* The waiting may have begun just now: it has a deadline of its own. */
static void note_watch(const world *w, op_truth *o) {
    if (!o->watching && zl_operation_watch(o->op) != NULL) {
        o->watching = true;
        o->grace_end_ms = w->now_ms + (o->aim == ZL_AIM_STOP ? o->options.watch.grace_ms : 0);
        o->deadline_ms = o->grace_end_ms + o->options.watch.timeout_ms;
    }
}

static void look_after(world *w, size_t op, bool ran_out) {
    op_truth *o = &w->ops[op];
    o->short_of_memory = o->short_of_memory || ran_out;
    w->fair = w->fair && !ran_out;
    take_events(w);
    note_watch(w, o);
    CHECK(zl_operation_deadline_ms(o->op) == o->deadline_ms);
    if (!o->done && zl_operation_is_done(o->op)) {
        o->done = true;
        forget_flights(w, op);
        check_account(w, o);
        if (!o->short_of_memory) {
            check_told(o);
        }
    }
    const zl_retry *retry = &w->client->retry;
    CHECK(w->client->in_flight == w->flight_count);
    CHECK(retry->quota >= 0 && retry->quota <= ZL_RETRY_QUOTA && retry->window >= 1);
    CHECK(retry->pause_until_ms >= w->pause_until_ms);
}

/* --- what is sent ----------------------------------------------------------------------------- */

static zl_view header_of(const zl_request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++) {
        if (zl_view_equal(zl_request_header_name(request, i), zl_view_of(name))) {
            return zl_request_header_value(request, i);
        }
    }
    FAIL("a request has its headers");
}

/* The ids that a body asks for. */
static void read_ids(const op_truth *o, const char *body, call_truth *out) {
    static const char key[] = "\"instanceIds\":[";
    const char *at = strstr(body, key);
    bool seen[WORLD_IDS] = {false};
    out->count = 0;
    CHECK(at != NULL);
    for (at += sizeof key - 1; *at == '"'; at += at[1] == ',' ? 2 : 1) {
        const char *start = ++at;
        at = strchr(at, '"');
        size_t place = place_of(o, (zl_view){start, (size_t)(at - start)});
        CHECK(!seen[place] && out->count < ZL_REQUEST_IDS_MAX);
        seen[place] = true;
        out->ids[out->count++] = place;
    }
    CHECK(*at == ']' && out->count > 0);
}

static purpose purpose_of(const op_truth *o, const zl_step *s) {
    bool looks =
        zl_view_equal(header_of(s->request, "X-ZC-Action"), ZL_LIT("DescribeInstancesStatus"));
    purpose p = o->watching ? (looks ? WATCH : FORCE) : looks && o->aim == ZL_AIM_STOP ? LOOK : OWN;
    CHECK(zl_operation_expects(o->op, s->n) == (p == LOOK || p == WATCH ? ZL_AIM_STATUS : o->aim));
    return p;
}

/* An id may be in one stop at a time, and in none after it was accepted. */
static void take_ids(op_truth *o, size_t n, const call_truth *c) {
    for (size_t i = 0; i < c->count; i++) {
        truth *t = &o->ids[c->ids[i]];
        CHECK(!t->accepted);
        if (t->owner != n && t->owner != 0) {
            call_truth *before = world_call(o, t->owner);
            CHECK(!before->in_flight && o->options.isolate && !before->truth.ambiguous);
            before->replaced = true;
        }
        t->owner = n;
    }
}

static void check_ids_of(op_truth *o, const zl_step *s, purpose p, bool is_first) {
    call_truth asked = {0};
    read_ids(o, s->request->body.data, &asked);
    call_truth *c = world_call(o, s->n);
    if (is_first) {
        c->count = asked.count;
        memcpy(c->ids, asked.ids, sizeof c->ids);
    } else { /* or a look at it: the same ids */
        CHECK(c->count == asked.count && memcmp(c->ids, asked.ids, c->count * sizeof *c->ids) == 0);
    }
    if (p == OWN) {
        take_ids(o, s->n, c);
    }
    for (size_t i = 0; i < c->count && o->watching; i++) {
        const truth *t = &o->ids[c->ids[i]];
        CHECK(!t->stopped && (t->accepted || o->aim == ZL_AIM_WAIT));
        CHECK(!t->failed || o->short_of_memory);
    }
}

static void check_body(op_truth *o, const zl_step *s, purpose p, bool is_first) {
    zl_view body = s->request->body; /* of a buffer, which ends in a NUL */
    if (o->aim == ZL_AIM_CALL || o->aim == ZL_AIM_PAGE) {
        CHECK(zl_view_equal(body, ZL_LIT("{\"a\":1}")));
    } else if (o->aim == ZL_AIM_STATUS_PAGES) {
        char want[64];
        (void)snprintf(want, sizeof want, "{\"pageNum\":%zu,\"pageSize\":1000}", s->n);
        CHECK(zl_view_equal(body, zl_view_of(want)));
    } else {
        bool stops = p == FORCE || (p == OWN && o->aim == ZL_AIM_STOP);
        zl_tristate force = p == FORCE ? ZL_TRUE : stops ? o->force : ZL_UNSET;
        CHECK((strstr(body.data, "\"forceShutdown\":true") != NULL) == (force == ZL_TRUE));
        CHECK((strstr(body.data, "\"forceShutdown\":false") != NULL) == (force == ZL_FALSE));
        check_ids_of(o, s, p, is_first);
    }
}

/* Whether it is the time and the place for any request. */
static void check_may_send(const world *w, const op_truth *o) {
    const zl_client *client = w->client;
    const zl_credentials *credentials = &client->credentials;
    CHECK(!o->done && w->now_ms < o->deadline_ms);
    CHECK(w->now_ms >= w->pause_until_ms && w->now_ms >= client->retry.pause_until_ms);
    CHECK(!client->hold && w->flight_count < client->max_concurrency);
    CHECK(w->flight_count < client->retry.window && w->flight_count < WORLD_FLIGHTS);
    CHECK(!credentials->renewable || (credentials->generation > 0 && !credentials->refused &&
                                      w->now_ms < credentials->expiry_ms));
}

static void note_send(world *w, size_t op, const zl_step *s) {
    op_truth *o = &w->ops[op];
    CHECK(s->n >= 1);
    call_truth *c = world_call(o, s->n);
    bool is_first = c->sends + c->looks == 0;
    check_may_send(w, o);
    purpose p = purpose_of(o, s);
    c->purpose = is_first ? p : c->purpose;
    CHECK(p == c->purpose || (p == LOOK && c->purpose == OWN));
    CHECK(!c->in_flight && !c->replaced && w->now_ms >= c->not_before_ms);
    if (p == LOOK) { /* the call itself is over, and its answer was lost, or it was refused */
        c->looks++;
        CHECK(c->looks <= o->max_attempts && !c->truth.accepted && c->truth.reached);
        CHECK(c->truth.ambiguous || o->options.isolate);
    } else {
        c->sends++;
        CHECK(c->looks == 0 && c->sends <= o->max_attempts && !c->ended && !c->truth.accepted);
        CHECK(o->idempotent || !c->truth.ambiguous);
    }
    if (p == OWN && is_first && !o->options.continue_on_error && !o->options.isolate) {
        CHECK(zl_operation_error(o->op) == NULL); /* nothing new after a failure */
    }
    CHECK(p != FORCE || (o->options.watch.grace_ms > 0 && w->now_ms >= o->grace_end_ms));
    check_body(o, s, p, is_first);
    c->in_flight = true;
    w->flights[w->flight_count++] = (flight){.op = op, .n = s->n, .purpose = p};
}

/* --- steps ------------------------------------------------------------------------------------ */

static void check_waiting(const world *w, size_t op, const zl_step *s) {
    const op_truth *o = &w->ops[op];
    bool own = false;
    for (size_t i = 0; i < w->flight_count; i++) {
        own = own || w->flights[i].op == op;
    }
    CHECK(s->wait_ms >= 1 && w->now_ms + s->wait_ms <= o->deadline_ms);
    CHECK(s->kind == ZL_STEP_PENDING || !own);
    CHECK(s->kind == ZL_STEP_WAIT || w->flight_count > 0 || w->asked || w->client->hold);
}

int64_t world_step(world *w, size_t op) {
    op_truth *o = &w->ops[op];
    zl_moment now = now_of(w);
    zl_step s;
    enter(w);
    int rc = zl_operation_step(o->op, &now, &s);
    bool ran_out = leave();
    CHECK(rc == ZL_OK || (rc == ZL_ERR_NOMEM && ran_out));
    if (rc != ZL_OK) {
        look_after(w, op, ran_out);
        return o->done ? -1 : 0;
    }
    bool was_done = o->done;
    if (s.kind == ZL_STEP_SEND) {
        note_watch(w, o);
        note_send(w, op, &s);
    }
    look_after(w, op, ran_out);
    CHECK(!was_done || s.kind == ZL_STEP_DONE);
    CHECK(o->done == (s.kind == ZL_STEP_DONE));
    switch (s.kind) {
    case ZL_STEP_DONE: return -1;
    case ZL_STEP_SEND: return 0;
    case ZL_STEP_CREDENTIALS:
        CHECK(!w->asked && w->client->credentials.renewable);
        w->asked = true;
        return 0;
    default: check_waiting(w, op, &s); return s.wait_ms;
    }
}

/* --- reports ---------------------------------------------------------------------------------- */

typedef enum sense { ACCEPTED, REFUSED, UNSURE } sense;

static bool has_status(const zl_answer *a, const op_truth *o, size_t place, const char *first,
                       const char *second) {
    for (size_t i = 0; i < a->item_count && a->statuses != NULL; i++) {
        zl_view status = a->statuses[i].status;
        if (zl_view_equal(a->statuses[i].id, zl_ids_at(zl_operation_ids(o->op), place)) &&
            (zl_view_equal(status, zl_view_of(first)) ||
             zl_view_equal(status, zl_view_of(second)))) {
            return true;
        }
    }
    return false;
}

/* Whether an answer can be one to what was asked. */
static bool fits(const op_truth *o, const call_truth *c, purpose p, const zl_answer *a) {
    size_t found = 0;
    if (o->aim == ZL_AIM_STATUS_PAGES || o->aim == ZL_AIM_PAGE) {
        int64_t left = a->total_count > o->seen ? a->total_count - o->seen : 0;
        int64_t whole = left < o->page_size ? left : o->page_size;
        return (a->item_count > 0 || left == 0) &&
               (o->page_size == 0 || (int64_t)a->item_count == whole);
    }
    if (o->aim != ZL_AIM_STOP || p == LOOK || p == WATCH) {
        return true;
    }
    for (size_t i = 0; i < a->failed_count; i++) {
        for (size_t k = 0; k < c->count; k++) {
            found += zl_view_equal(a->failed_ids[i], zl_ids_at(zl_operation_ids(o->op), c->ids[k]));
        }
    }
    return found == a->failed_count;
}

/* What an answer says of an attempt, and whether there may be another: the table of the README. */
static sense sense_of(const zl_answer *a, bool fits_what_was_asked, bool *ends) {
    bool has_code = a->is_object && a->has_code;
    bool accepted = a->status == 200 && a->is_object && a->is_well_formed && fits_what_was_asked;
    *ends = true;
    if (accepted && !has_code) {
        return ACCEPTED;
    }
    if (a->status >= 300 && a->status < 400) {
        return REFUSED;
    }
    if (a->status >= 400 && a->status < 500) {
        bool blocked = a->status == 451 || (a->status == 403 && a->challenge);
        bool auth = has_code && !blocked && zl_view_starts_with(a->code, ZL_LIT("AUTHFAILURE"));
        *ends = a->status != 429 && !auth && (a->status != 408 || has_code);
        return REFUSED;
    }
    *ends = a->status == 200 && has_code;
    return UNSURE;
}

static void note_truth(truth *t, sense s) {
    t->reached = true;
    t->accepted = t->accepted || s == ACCEPTED;
    t->ambiguous = t->ambiguous || s == UNSURE;
}

/* An answer to the call itself, or to a stop with force. */
static void note_answer(op_truth *o, call_truth *c, purpose p, sense s, const zl_answer *a) {
    note_truth(&c->truth, s);
    if (p != OWN) {
        return;
    }
    for (size_t i = 0; i < c->count; i++) {
        note_truth(&o->ids[c->ids[i]], s);
    }
    for (size_t i = 0; i < a->failed_count && s == ACCEPTED && o->aim == ZL_AIM_STOP; i++) {
        o->ids[place_of(o, a->failed_ids[i])].failed = true;
    }
    if (s == ACCEPTED && o->aim == ZL_AIM_STATUS_PAGES) {
        o->seen += (int64_t)a->item_count;
    }
}

/* A look was answered: it may settle a stop, or a waiting for ids that need not be those asked for.
 */
static void note_look(op_truth *o, call_truth *c, purpose p, const zl_answer *a) {
    bool confirms = p == LOOK && c->truth.ambiguous;
    for (size_t i = 0; i < o->id_count && p == WATCH; i++) {
        o->ids[i].stopped = o->ids[i].stopped || has_status(a, o, i, "STOPPED", "STOPPED");
    }
    for (size_t i = 0; i < c->count && confirms; i++) {
        confirms = has_status(a, o, c->ids[i], "STOPPED", "STOPPING");
    }
    for (size_t i = 0; i < c->count && confirms; i++) {
        o->ids[c->ids[i]].accepted = true;
    }
    c->truth.accepted = c->truth.accepted || confirms;
    c->confirmed = c->confirmed || confirms;
}

/* The flight is over. */
static flight land(world *w, size_t i) {
    flight f = w->flights[i];
    call_truth *c = world_call(&w->ops[f.op], f.n);
    w->flights[i] = w->flights[--w->flight_count];
    c->in_flight = false;
    c->reports++;
    return f;
}

/* Not before what the server asked for is over may anything be sent: after a rate limit by nobody,
 * else by this call. */
static void note_retry_after(world *w, call_truth *c, const zl_answer *a) {
    int64_t wall_s = now_of(w).wall_s + w->client->retry.clock_offset_s;
    int64_t asked_s = zl_answer_retry_after(a, wall_s);
    asked_s = asked_s < 0 ? 0 : asked_s < ZL_RETRY_AFTER_MAX_S ? asked_s : ZL_RETRY_AFTER_MAX_S;
    int64_t until_ms = w->now_ms + asked_s * 1000;
    c->not_before_ms = until_ms;
    if (a->status == 429 && until_ms > w->pause_until_ms) {
        w->pause_until_ms = until_ms;
    }
}

void world_answer(world *w, size_t i, const zl_answer *answer) {
    flight f = land(w, i);
    op_truth *o = &w->ops[f.op];
    call_truth *c = world_call(o, f.n);
    zl_moment now = now_of(w);
    bool ends;
    sense s = sense_of(answer, fits(o, c, f.purpose, answer), &ends);
    bool auth = zl_view_starts_with(answer->code, ZL_LIT("AUTHFAILURE"));
    if (!ends && !(answer->status / 100 == 4 && auth && answer->status != 429)) {
        note_retry_after(w, c, answer);
    }
    if (f.purpose == OWN || f.purpose == FORCE) {
        c->ended = ends;
        note_answer(o, c, f.purpose, s, answer);
    } else if (s == ACCEPTED) {
        note_look(o, c, f.purpose, answer);
    }
    enter(w);
    CHECK(zl_operation_answered(o->op, f.n, &now, answer));
    look_after(w, f.op, leave());
}

void world_fail(world *w, size_t i, zl_code code, bool sent) {
    flight f = land(w, i);
    op_truth *o = &w->ops[f.op];
    call_truth *c = world_call(o, f.n);
    zl_moment now = now_of(w);
    if (f.purpose == OWN || f.purpose == FORCE) {
        c->ended = code == ZL_CODE_TLS_VERIFY_FAILED || code == ZL_CODE_RESPONSE_TOO_LARGE ||
                   code == ZL_CODE_CANCELLED || zl_code_kind(code) == ZL_KIND_ARGUMENT;
        if (sent) {
            zl_answer none = {0};
            note_answer(o, c, f.purpose, UNSURE, &none);
        }
    }
    enter(w);
    CHECK(zl_operation_failed(o->op, f.n, &now, code, ZL_LIT("gone"), sent));
    look_after(w, f.op, leave());
}

void world_report_stray(world *w, size_t op, size_t n, const zl_answer *answer) {
    op_truth *o = &w->ops[op];
    zl_moment now = now_of(w);
    if (!world_call(o, n)->in_flight) {
        CHECK(!zl_operation_answered(o->op, n, &now, answer));
        CHECK(!zl_operation_failed(o->op, n, &now, ZL_CODE_TIMEOUT, ZL_LIT("stray"), true));
        look_after(w, op, false);
    }
}

void world_cancel(world *w, size_t op) {
    op_truth *o = &w->ops[op];
    zl_moment now = now_of(w);
    w->fair = false;
    enter(w);
    CHECK(zl_operation_cancel(o->op, &now, ZL_LIT("enough")) == !o->done);
    look_after(w, op, leave());
    CHECK(o->done);
}

void world_free(world *w, size_t op) {
    op_truth *o = &w->ops[op];
    forget_flights(w, op);
    zl_operation_free(o->op);
    o->op = NULL;
    CHECK(w->client->in_flight == w->flight_count);
}

/* --- credentials ------------------------------------------------------------------------------ */

static zl_signer *new_signer(void) {
    zl_signer *signer;
    CHECK(zl_signer_new_key(&signer, ZL_LIT("key-id"), ZL_LIT("the password")) == ZL_OK);
    return signer;
}

void world_give_credentials(world *w, int64_t lifetime_ms) {
    zl_moment now = now_of(w);
    zl_client_set_signer(w->client, new_signer(), &now, lifetime_ms);
    w->asked = false;
    take_events(w);
}

void world_lack_credentials(world *w) {
    zl_moment now = now_of(w);
    zl_client_lack_signer(w->client, &now, ZL_CODE_CREDENTIALS_UNAVAILABLE, ZL_LIT("sealed"));
    w->asked = w->fair = false;
    w->lacked = true;
    take_events(w);
}

/* --- beginnings and ends ---------------------------------------------------------------------- */

void world_begin(world *w, input *in) {
    zl_client *client = zl_client_new();
    CHECK(client != NULL);
    *w = (world){.client = client, .pause_until_ms = INT64_MIN, .fair = true};
    w->now_ms = (int64_t)input_number(in, 2);
    w->skew_s = (int8_t)input_byte(in) * 100;
    client->sender.signer = new_signer();
    CHECK(zl_endpoint_parse(&client->sender.endpoint, ZL_LIT("https://api.example")) == NULL);
    zl_buf_add_text(&client->sender.user_agent, "a fuzzer");
    zl_buf_add_text(&client->service, "vm");
    zl_buf_add_text(&client->version, "2026-04-01");
    client->max_concurrency = 1 + input_below(in, WORLD_FLIGHTS);
    client->credentials.renewable = input_chance(in, 64);
    client->events.wanted = true;
    client->retry.quota = input_chance(in, 64) ? input_byte(in) : ZL_RETRY_QUOTA;
}

void world_end(world *w) {
    for (size_t i = 0; i < w->op_count; i++) {
        if (w->ops[i].op != NULL) {
            world_free(w, i);
        }
        free(w->ops[i].calls);
    }
    CHECK(w->client->in_flight == 0 && w->client->references == 1);
    zl_client_unref(w->client);
}

static void read_options(op_truth *o, input *in) {
    static const char *const services[] = {"", "vm", "zec", "bmc"};
    zl_operation_options *options = &o->options;
    unsigned flags = input_byte(in);
    options->continue_on_error = (flags & 1) != 0;
    options->isolate = (flags & 2) != 0;
    options->wait = (flags & 4) != 0;
    options->service = zl_view_of(services[flags >> 6]);
    options->max_attempts = (int)input_below(in, 5);
    options->deadline_ms = (int64_t)input_number(in, 2);
    options->watch = (zl_watch_options){
        .timeout_ms = 1 + (int64_t)input_number(in, 2) * 2,
        .min_delay_ms = 1 + input_byte(in) * 16,
        .grace_ms = (flags & 8) != 0 ? (int64_t)input_number(in, 2) : 0,
    };
    options->watch.max_delay_ms = options->watch.min_delay_ms + input_byte(in) * 64;
    if (flags >> 6 == 3) { /* there are no statuses: nobody may wait there */
        options->wait = false;
    }
    o->force = (zl_tristate)((flags >> 4) % 3);
    o->idempotent = (o->aim != ZL_AIM_CALL && o->aim != ZL_AIM_PAGE) || (flags & 16) != 0;
}

static size_t add_ids(zl_ids *ids, input *in) {
    static const size_t round[] = {100, 101, 200, 250, 300};
    size_t choice = input_byte(in), count = choice < 200 ? 1 + choice % 10 : round[choice % 5];
    for (size_t i = 0; i < count + choice % 3; i++) { /* some of them twice */
        char id[16];
        int len = snprintf(id, sizeof id, "i-%zu", i % count);
        CHECK(zl_ids_add(ids, (zl_view){id, (size_t)len}) == ZL_OK);
    }
    return count;
}

static int make(world *w, op_truth *o, input *in) {
    zl_moment now = now_of(w);
    zl_ids ids = {0};
    zl_buf body = {0};
    const zl_operation_options *options = &o->options;
    if (o->aim == ZL_AIM_CALL || o->aim == ZL_AIM_PAGE) {
        zl_buf_add_text(&body, "{\"a\":1}");
    } else if (o->aim != ZL_AIM_STATUS_PAGES) {
        o->id_count = add_ids(&ids, in);
    }
    int rc = ZL_ERR_ARG;
    enter(w);
    switch (o->aim) {
    case ZL_AIM_STOP:
        rc = zl_operation_new_stop(&o->op, w->client, options, &now, &ids, o->force);
        break;
    case ZL_AIM_STATUS: rc = zl_operation_new_status(&o->op, w->client, options, &now, &ids); break;
    case ZL_AIM_STATUS_PAGES:
        rc = zl_operation_new_status(&o->op, w->client, options, &now, NULL);
        break;
    case ZL_AIM_CALL:
    case ZL_AIM_PAGE:
        rc = zl_operation_new_call(&o->op, w->client, options, &now, ZL_LIT("CreateInstances"),
                                   &body, o->idempotent);
        break;
    case ZL_AIM_WAIT: rc = zl_operation_new_wait(&o->op, w->client, options, &now, &ids); break;
    }
    bool ran_out = leave();
    CHECK(rc == ZL_OK || (rc == ZL_ERR_NOMEM && ran_out && o->op == NULL));
    CHECK(ids.ends == NULL && body.data == NULL); /* moved */
    return rc;
}

void world_add(world *w, input *in) {
    if (w->op_count == WORLD_OPS) {
        return;
    }
    op_truth *o = &w->ops[w->op_count];
    *o = (op_truth){.aim = (zl_aim)input_below(in, ZL_AIM_WAIT + 1)};
    read_options(o, in);
    if (o->aim != ZL_AIM_STOP) {
        o->options.wait = o->options.isolate = false;
    }
    size_t number = w->client->operations;
    w->fair = w->fair && !o->options.wait && o->aim != ZL_AIM_WAIT;
    if (make(w, o, in) != ZL_OK) {
        w->client->operations = number; /* so that numbers are places */
        return;
    }
    const zl_client *client = w->client;
    o->max_attempts = o->options.max_attempts > 0 ? o->options.max_attempts : client->max_attempts;
    o->deadline_ms =
        w->now_ms + (o->options.deadline_ms > 0 ? o->options.deadline_ms : client->deadline_ms);
    if (o->aim == ZL_AIM_PAGE) {
        o->seen = (int64_t)input_below(in, 4) * 50;
        o->page_size = (int64_t)input_below(in, 3) * 50;
        zl_operation_expect_page(o->op, o->seen, o->page_size);
    }
    w->op_count++;
    look_after(w, w->op_count - 1, false);
}
