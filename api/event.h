/* What happened, for whoever wants to watch: a queue of events that operations and the transport
 * add to, and that the owner of a client empties. Never a header, a body or a key. */
#ifndef ZL_EVENT_H
#define ZL_EVENT_H

#include "error.h"

/* X(NAME, text): what the event is, as users see it. */
#define ZL_EVENTS(X)                                                                               \
    X(ATTEMPT_STARTED, "attempt_started")                                                          \
    X(ANSWERED, "answered")                                                                        \
    X(FAILED, "failed")                                                                            \
    X(RETRIED, "retried")                                                                          \
    X(PAUSED, "paused")                                                                            \
    X(CLOCK_CORRECTED, "clock_corrected")                                                          \
    X(CREDENTIALS_RENEWED, "credentials_renewed")                                                  \
    X(CONNECTION_OPENED, "connection_opened")                                                      \
    X(BATCH_SETTLED, "batch_settled")

typedef enum zl_event_kind {
#define X(name, text) ZL_EVENT_##name,
    ZL_EVENTS(X)
#undef X
} zl_event_kind;

/* Static; "" for a value outside the list. */
const char *zl_event_name(zl_event_kind kind);

/* One event; what does not apply is empty, 0, or negative for a time. Owns its buffers. */
typedef struct zl_event {
    zl_event_kind kind;
    int64_t mono_ms;  /* when, on the monotonic clock */
    size_t operation; /* its number in the client, from 1 */
    size_t call;      /* the number of its call in the operation, from 1 */
    int attempt;      /* which attempt of the call, from 1; of a batch: how many it took */
    int status;       /* HTTP */
    size_t id_count;  /* instance ids that it is about */
    bool has_outcome; /* BATCH_SETTLED, FAILED */
    zl_outcome outcome;
    zl_buf action;
    zl_buf code; /* of the error; why something is done again */
    zl_buf request_id;
    zl_buf address;      /* CONNECTION_OPENED: what was dialled */
    int64_t duration_ms; /* how long it took; -1: does not apply */
    int64_t delay_ms;    /* how long until it goes on; -1: does not apply */
    int64_t offset_s;    /* CLOCK_CORRECTED: added to this machine's clock to get the server's */
    struct zl_event *next;
} zl_event;

/* The events of a client that were not taken yet, oldest first. All zero is empty and not wanted.
 */
typedef struct zl_events {
    bool wanted; /* else nothing is ever added */
    zl_event *first, *last;
} zl_events;

/* Add an event of this kind, to be filled in. NULL: none is wanted, or memory ran out; then it is
 * lost, and nothing else. */
zl_event *zl_events_add(zl_events *events, zl_event_kind kind, int64_t mono_ms);

/* Take the oldest, which the caller frees; NULL: there is none. */
zl_event *zl_events_take(zl_events *events);

void zl_event_free(zl_event *event);
void zl_events_free(zl_events *events);

#endif
