/* Waiting for instances to be STOPPED: whom to ask for next and when, and what became of each. It
 * makes no call; the operation does.
 *
 *   ASK ── every pending id was asked for ──> REST (until due_ms) ──> ASK …
 *                     └── the grace is over ──> FORCE ──> REST */
#ifndef ZL_WATCH_H
#define ZL_WATCH_H

#include "ids.h"
#include "judge.h"
#include "retry.h"

typedef struct zl_watch_options {
    int64_t timeout_ms;   /* from the beginning, or from the end of the grace */
    int64_t min_delay_ms; /* between two rounds of looks, growing from this … */
    int64_t max_delay_ms; /* … to this */
    int64_t grace_ms;     /* after this, what is not STOPPED is stopped with force; 0: it is not */
} zl_watch_options;

enum { ZL_WATCH_TIMEOUT_MS = 600000, ZL_WATCH_MIN_DELAY_MS = 2000, ZL_WATCH_MAX_DELAY_MS = 15000 };

typedef enum zl_watch_phase { ZL_WATCH_ASK, ZL_WATCH_FORCE, ZL_WATCH_REST } zl_watch_phase;

/* What became of forced stops of an id. NEVER: none was answered for certain. */
typedef enum zl_force { ZL_FORCE_NEVER, ZL_FORCE_REFUSED, ZL_FORCE_ACCEPTED } zl_force;

/* What is known of one id. */
typedef struct zl_watched {
    enum { ZL_WATCHED_NOT, ZL_WATCHED_PENDING, ZL_WATCHED_STOPPED, ZL_WATCHED_FAILED } state;
    zl_force force;
    size_t status; /* its last one's place in `statuses`, plus one; 0: none */
    size_t batch;  /* the caller's */
    bool seen;     /* in the answer at hand */
    bool absent;   /* from the last answer that it should have been in */
} zl_watched;

typedef struct zl_watch {
    zl_watch_options options;
    zl_watch_phase phase;
    zl_watched *watched; /* of every id, by its place in the list */
    size_t *pending;     /* the places of those that are pending; some may have ended this round */
    size_t pending_count;
    size_t next; /* the first of `pending` that was not taken in this phase */
    size_t total, stopped, failed;
    size_t first_failed; /* the place of the id that failed first */
    int64_t until_ms, grace_until_ms, due_ms;
    bool grace_over;    /* at the beginning of this round */
    int growth;         /* rounds since the delay began to grow */
    size_t rounds;      /* that were finished */
    zl_ids statuses;    /* every text that came as a status, once */
    bool out_of_memory; /* for one of them */
} zl_watch;

/* For a list of id_count ids, of which none is watched yet. ZL_ERR_NOMEM. */
int zl_watch_init(zl_watch *watch, size_t id_count, const zl_watch_options *options);
void zl_watch_free(zl_watch *watch);

/* Watch one more id. In the order of the list's batches. */
void zl_watch_add(zl_watch *watch, size_t place, size_t batch);

/* The waiting begins. */
void zl_watch_start(zl_watch *watch, const zl_moment *now);

/* Whether this phase has a further call to make. */
bool zl_watch_has_more(const zl_watch *watch);

/* How many ids the next call is for, with their places; 0: there is no further one. ASK: a look at
 * up to ZL_REQUEST_IDS_MAX ids. FORCE: a forced stop of ids that are all of *batch. */
size_t zl_watch_take(zl_watch *watch, size_t *places, size_t *batch);

/* A look at ids was answered. */
void zl_watch_note(zl_watch *watch, const zl_ids *ids, const size_t *places, size_t count,
                   const zl_answer *answer);

/* What became of a forced stop of one id. */
void zl_watch_note_force(zl_watch *watch, size_t place, zl_force force);

/* Every call of the phase is settled, and `take` has no further: on to the next phase. */
void zl_watch_proceed(zl_watch *watch, const zl_moment *now);

/* From REST to the next round, once its time has come. */
void zl_watch_wake(zl_watch *watch, int64_t now_ms);

/* How many ids are neither stopped nor failed. */
size_t zl_watch_pending(const zl_watch *watch);

/* The last status of an id; empty: none is known. */
zl_view zl_watch_status(const zl_watch *watch, size_t place);

#endif
