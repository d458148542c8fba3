#include "watch.h"

#include <stdlib.h>

#include "error.h"
#include "request.h"

int zl_watch_init(zl_watch *w, size_t id_count, const zl_watch_options *options) {
    *w = (zl_watch){.options = *options};
    w->watched = calloc(id_count, sizeof *w->watched);
    w->pending = calloc(id_count, sizeof *w->pending);
    if (w->watched == NULL || w->pending == NULL) {
        zl_watch_free(w);
        return ZL_ERR_NOMEM;
    }
    return ZL_OK;
}

void zl_watch_free(zl_watch *w) {
    free(w->watched);
    free(w->pending);
    zl_ids_free(&w->statuses);
    *w = (zl_watch){0};
}

void zl_watch_add(zl_watch *w, size_t place, size_t batch) {
    w->watched[place].state = ZL_WATCHED_PENDING;
    w->watched[place].batch = batch;
    w->pending[w->pending_count++] = place;
    w->total++;
}

void zl_watch_start(zl_watch *w, const zl_moment *now) {
    w->grace_until_ms = now->mono_ms + w->options.grace_ms;
    w->until_ms = w->grace_until_ms + w->options.timeout_ms;
    w->phase = ZL_WATCH_ASK;
}

/* --- whom to ask for ---------------------------------------------------------------------------
 */

/* A refused force is tried again only on what runs: what does not may be stopping already, and one
 * such id makes the API refuse them all. */
static bool wants_force(const zl_watch *w, size_t place) {
    const zl_watched *id = &w->watched[place];
    return id->state == ZL_WATCHED_PENDING &&
           (id->force == ZL_FORCE_NEVER ||
            (id->force == ZL_FORCE_REFUSED &&
             zl_view_equal(zl_watch_status(w, place), ZL_LIT("RUNNING"))));
}

/* The first place in `pending`, from w->next on, that this phase has a call for. */
static size_t next_wanted(const zl_watch *w) {
    size_t next = w->phase == ZL_WATCH_REST ? w->pending_count : w->next;
    while (w->phase == ZL_WATCH_FORCE && next < w->pending_count &&
           !wants_force(w, w->pending[next])) {
        next++;
    }
    return next;
}

bool zl_watch_has_more(const zl_watch *w) {
    return next_wanted(w) < w->pending_count;
}

size_t zl_watch_take(zl_watch *w, size_t *places, size_t *batch) {
    size_t count = 0;
    while ((w->next = next_wanted(w)) < w->pending_count && count < ZL_REQUEST_IDS_MAX) {
        size_t place = w->pending[w->next];
        bool other = count > 0 && w->watched[place].batch != *batch;
        if (w->phase == ZL_WATCH_FORCE && other) {
            break;
        }
        *batch = w->watched[place].batch;
        places[count++] = place;
        w->next++;
    }
    return count;
}

/* --- what was found ----------------------------------------------------------------------------
 */

static bool will_not_stop(zl_view status) {
    return zl_view_equal(status, ZL_LIT("RELEASING")) || zl_view_equal(status, ZL_LIT("RECYCLE")) ||
           zl_view_equal(status, ZL_LIT("RECYCLING")) ||
           zl_view_equal(status, ZL_LIT("CREATE_FAILED"));
}

static void fail_id(zl_watch *w, size_t place) {
    w->watched[place].state = ZL_WATCHED_FAILED;
    w->first_failed = w->failed == 0 ? place : w->first_failed;
    w->failed++;
}

static void note_status(zl_watch *w, size_t place, zl_view status) {
    zl_watched *id = &w->watched[place];
    size_t index;
    int rc = zl_ids_add(&w->statuses, status);
    w->out_of_memory = w->out_of_memory || rc == ZL_ERR_NOMEM;
    id->status = rc == ZL_OK && zl_ids_find(&w->statuses, status, &index) ? index + 1 : 0;
    if (zl_view_equal(status, ZL_LIT("STOPPED"))) {
        id->state = ZL_WATCHED_STOPPED;
        w->stopped++;
    } else if (will_not_stop(status)) {
        fail_id(w, place);
    }
}

void zl_watch_note(zl_watch *w, const zl_ids *ids, const size_t *places, size_t count,
                   const zl_answer *answer) {
    for (size_t i = 0; i < count; i++) {
        w->watched[places[i]].seen = false;
    }
    for (size_t i = 0; i < answer->item_count; i++) {
        size_t place;
        if (zl_ids_find(ids, answer->statuses[i].id, &place) &&
            w->watched[place].state == ZL_WATCHED_PENDING) {
            w->watched[place].seen = true;
            note_status(w, place, answer->statuses[i].status);
        }
    }
    for (size_t i = 0; i < count; i++) {
        zl_watched *id = &w->watched[places[i]];
        if (id->state == ZL_WATCHED_PENDING && !id->seen && id->absent) { /* twice in a row */
            id->status = 0;
            fail_id(w, places[i]);
        }
        id->absent = !id->seen;
    }
}

void zl_watch_note_force(zl_watch *w, size_t place, zl_force force) {
    w->watched[place].force = force;
}

/* --- when --------------------------------------------------------------------------------------
 */

/* Smithy's delay of waiters: random(min, min · 2^(round - 1)), at most max. The last look is made
 * while there is still time for its answer. */
static void rest(zl_watch *w, const zl_moment *now) {
    int64_t min = w->options.min_delay_ms, span = min;
    for (int i = 0; i < w->growth && span < w->options.max_delay_ms; i++) {
        span *= 2;
    }
    span = span < w->options.max_delay_ms ? span : w->options.max_delay_ms;
    w->growth++;
    w->due_ms = now->mono_ms + min + (int64_t)(zl_moment_random(now) * (double)(span - min));
    int64_t last_ms = w->until_ms - min;
    if (w->due_ms > last_ms) {
        w->due_ms = last_ms > now->mono_ms ? last_ms : w->until_ms;
    }
    if (!w->grace_over && w->options.grace_ms > 0 && w->due_ms > w->grace_until_ms) {
        w->due_ms = w->grace_until_ms;
    }
    w->phase = ZL_WATCH_REST;
}

static void forget_ended(zl_watch *w) {
    size_t kept = 0;
    for (size_t i = 0; i < w->pending_count; i++) {
        if (w->watched[w->pending[i]].state == ZL_WATCHED_PENDING) {
            w->pending[kept++] = w->pending[i];
        }
    }
    w->pending_count = kept;
}

void zl_watch_proceed(zl_watch *w, const zl_moment *now) {
    w->next = 0;
    if (w->phase == ZL_WATCH_FORCE) {
        rest(w, now);
        return;
    }
    w->rounds++;
    forget_ended(w);
    if (w->grace_over) {
        w->phase = ZL_WATCH_FORCE;
    } else {
        rest(w, now);
    }
}

void zl_watch_wake(zl_watch *w, int64_t now_ms) {
    if (w->phase != ZL_WATCH_REST || now_ms < w->due_ms) {
        return;
    }
    if (!w->grace_over && w->options.grace_ms > 0 && now_ms >= w->grace_until_ms) {
        w->grace_over = true;
        w->growth = 0; /* from now on it goes fast again */
    }
    w->phase = ZL_WATCH_ASK;
}

size_t zl_watch_pending(const zl_watch *w) {
    return w->total - w->stopped - w->failed;
}

zl_view zl_watch_status(const zl_watch *w, size_t place) {
    size_t status = w->watched[place].status;
    return status == 0 ? (zl_view){NULL, 0} : zl_ids_at(&w->statuses, status - 1);
}
