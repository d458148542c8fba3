#include "event.h"

#include <stdlib.h>

static const char *const names[] = {
#define X(name, text) text,
    ZL_EVENTS(X)
#undef X
};

const char *zl_event_name(zl_event_kind kind) {
    return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "";
}

zl_event *zl_events_add(zl_events *events, zl_event_kind kind, int64_t mono_ms) {
    zl_event *event = events->wanted ? calloc(1, sizeof *event) : NULL;
    if (event == NULL) {
        return NULL;
    }
    event->kind = kind;
    event->mono_ms = mono_ms;
    event->duration_ms = event->delay_ms = -1;
    if (events->last == NULL) {
        events->first = event;
    } else {
        events->last->next = event;
    }
    events->last = event;
    return event;
}

zl_event *zl_events_take(zl_events *events) {
    zl_event *event = events->first;
    if (event != NULL) {
        events->first = event->next;
        events->last = events->first == NULL ? NULL : events->last;
        event->next = NULL;
    }
    return event;
}

void zl_event_free(zl_event *event) {
    zl_buf_free(&event->action);
    zl_buf_free(&event->code);
    zl_buf_free(&event->request_id);
    zl_buf_free(&event->address);
    free(event);
}

void zl_events_free(zl_events *events) {
    for (zl_event *event; (event = zl_events_take(events)) != NULL;) {
        zl_event_free(event);
    }
}
