/* Operations of one client on a virtual clock, in the hands of a fuzzer: it decides what happens
 * next, and this keeps the truth about it. Whatever the operations do or say is held against that;
 * see api/operation.h. */
#ifndef WORLD_H
#define WORLD_H

#include "fuzz.h"
#include "operation.h"

enum { WORLD_OPS = 3, WORLD_IDS = 320, WORLD_FLIGHTS = 6, WORLD_WALL_S = 1700000000 };

/* What a request is: the operation's own call; a look at the ids of a stop; a look at ids that are
 * waited for; a stop with force after the grace. */
typedef enum purpose { OWN, LOOK, WATCH, FORCE } purpose;

/* What is true of an id, or of a call without ids, by its own call's attempts. */
typedef struct truth {
    bool reached;   /* some attempt came to the server, or may have */
    bool ambiguous; /* some attempt ended so that it may have been done */
    bool accepted;  /* an answer or a look says so */
    bool failed;    /* … but for this id */
    bool stopped;   /* a look of the waiting found it so */
    size_t owner;   /* the last call that was about it */
} truth;

/* A call by its number. */
typedef struct call_truth {
    purpose purpose; /* of its first request */
    int sends, looks, reports;
    bool in_flight;
    bool ended;     /* no request may follow */
    bool replaced;  /* by calls for parts of it */
    bool confirmed; /* by a look */
    truth truth;
    int64_t not_before_ms;
    size_t count, ids[ZL_REQUEST_IDS_MAX];

    /* By the events: */
    int started, reported, settled, attempts;
    zl_outcome outcome;
    size_t id_count;
    char code[64], request_id[16];
} call_truth;

typedef struct op_truth {
    zl_operation *op; /* NULL: freed */
    zl_aim aim;
    zl_operation_options options;
    zl_tristate force;
    bool idempotent, watching, done;
    bool short_of_memory; /* once: texts and events may be missing */
    int max_attempts;
    int64_t deadline_ms, grace_end_ms;
    int64_t seen, page_size; /* of pages: rows before this one; rows of each, 0: any */
    size_t id_count;
    truth ids[WORLD_IDS];
    call_truth *calls; /* by number; [0] is for the events of what was never begun */
    size_t call_room;
    size_t unbegun[4];  /* by the events: batches that were never begun, by their outcome; */
    size_t unbegun_ids; /* the ids of them */
} op_truth;

/* A request that was sent and not reported on. Its call has the ids. */
typedef struct flight {
    size_t op, n;
    purpose purpose;
} flight;

typedef struct world {
    zl_client *client;
    int64_t now_ms, skew_s, event_ms;
    double random;
    int64_t pause_until_ms;
    op_truth ops[WORLD_OPS];
    size_t op_count;
    flight flights[WORLD_FLIGHTS];
    size_t flight_count;
    bool asked;          /* for credentials, and they were not given yet */
    bool lacked;         /* they were not, once */
    bool fair;           /* nothing has gone wrong, and nobody has to wait */
    size_t failing_from; /* the allocation that fails in the next call of the core; 0: none */
} world;

/* A client, made as the input says. To be ended. */
void world_begin(world *w, input *in);
void world_end(world *w);

/* One more operation. */
void world_add(world *w, input *in);

/* Ask an operation for its next step. How long it would wait: 0 after a request was sent, or
 * credentials asked for; -1 when it is done. */
int64_t world_step(world *w, size_t op);

/* Report on a flight: with an answer, or that there is none. */
void world_answer(world *w, size_t i, const zl_answer *answer);
void world_fail(world *w, size_t i, zl_code code, bool sent);

/* A report on a call that is not in flight. */
void world_report_stray(world *w, size_t op, size_t n, const zl_answer *answer);

void world_cancel(world *w, size_t op);
void world_free(world *w, size_t op);

/* Credentials were given, for so long (0: for ever), or not. */
void world_give_credentials(world *w, int64_t lifetime_ms);
void world_lack_credentials(world *w);

call_truth *world_call(op_truth *o, size_t n);

#endif
