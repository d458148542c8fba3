/* A call of an operation, and the ids that it is about. Private to the operation. */
#ifndef ZL_TASK_H
#define ZL_TASK_H

#include "call.h"
#include "ids.h"

typedef enum zl_task_kind {
    ZL_TASK_OWN,   /* of the operation's own aim: a batch, a page, the one call */
    ZL_TASK_WATCH, /* DescribeInstancesStatus, of ids that are waited for */
    ZL_TASK_FORCE  /* StopInstances with force, of ids that did not stop in time */
} zl_task_kind;

/* Why the status of a stop's ids is asked for. */
typedef enum zl_look {
    ZL_LOOK_NONE,
    ZL_LOOK_CONFIRM, /* the answer was lost: was it done? */
    ZL_LOOK_ISOLATE  /* the batch was refused: because of which ids? */
} zl_look;

typedef struct zl_task {
    size_t n; /* the number of its call */
    zl_task_kind kind;
    zl_call call;
    zl_call *look_call; /* under way while look is not NONE; the call is settled then. Owned */
    zl_look look;
    bool was_looked_at; /* a part of a batch that was looked at, or cannot be */
    bool confirmed;     /* by a look */
    bool in_doubt;      /* an attempt was lost before the one that was answered last */
    bool was_told;      /* that it is settled */
    int64_t began_ms;
    int inherited; /* attempts of the batch that this is a part of; in call.attempts too */
    zl_ids failed_ids;
    struct zl_task *next;   /* in the queue of parts, or among the forced stops of a batch */
    struct zl_task *forced; /* of a batch: its forced stops, oldest first; owned */
    size_t count;
    size_t which[]; /* the places of its ids in the operation's list */
} zl_task;

/* A task for `count` ids, whose places are still to be filled in. NULL when out of memory. */
zl_task *zl_task_new(zl_task_kind kind, size_t count);
void zl_task_free(zl_task *task);

/* Room for the call of a look. False when out of memory. */
bool zl_task_make_look(zl_task *task);

/* The call that is under way. */
zl_call *zl_task_current(zl_task *task);

/* Give back what only sending needs. */
void zl_task_finish(zl_task *task);

/* Whether the id is one of the task's; *place: where in `which`. */
bool zl_task_find(const zl_task *task, const zl_ids *ids, zl_view id, size_t *place);

/* Whether every failed id that an answer names is one of the task's. */
bool zl_task_owns_failed(const zl_task *task, const zl_ids *ids, const zl_answer *answer);

/* Take note of the ids that an answer says were refused. False when out of memory. */
bool zl_task_note_failed(zl_task *task, const zl_answer *answer);

/* Whether an answer has each of the ids, as STOPPING or STOPPED. */
bool zl_task_is_confirmed_by(const zl_task *task, const zl_ids *ids, const zl_answer *answer);

/* Why StopInstances refuses an instance with that status (empty: there is no such instance); an
 * empty code: it does not. */
zl_view zl_task_refusal(zl_view status, zl_view service);

/* Whether a refusal with that code is about single ids of a batch. */
bool zl_task_is_about_ids(zl_view code);

#endif
