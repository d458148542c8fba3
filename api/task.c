#include "task.h"

#include <stdlib.h>

#define NOT_FOUND ZL_LIT("INVALID_INSTANCE_NOT_FOUND")
#define RECYCLED ZL_LIT("OPERATION_DENIED_INSTANCE_RECYCLED")
#define NOT_RUNNING ZL_LIT("OPERATION_DENIED_INSTANCE_NOT_RUNNING")

zl_task *zl_task_new(zl_task_kind kind, size_t count) {
    zl_task *t = calloc(1, sizeof *t + count * sizeof t->which[0]);
    if (t != NULL) {
        t->kind = kind;
        t->count = count;
    }
    return t;
}

static void free_look(zl_task *t) {
    if (t->look_call != NULL) {
        zl_call_free(t->look_call);
        free(t->look_call);
        t->look_call = NULL;
    }
}

void zl_task_free(zl_task *t) {
    while (t != NULL) {
        zl_task *forced = t->forced;
        t->forced = NULL;
        zl_call_free(&t->call);
        free_look(t);
        zl_ids_free(&t->failed_ids);
        free(t);
        t = forced;
        if (t != NULL) { /* the rest of the list */
            t->forced = t->next;
        }
    }
}

bool zl_task_make_look(zl_task *t) {
    if (t->look_call == NULL) {
        t->look_call = calloc(1, sizeof *t->look_call);
    }
    return t->look_call != NULL;
}

zl_call *zl_task_current(zl_task *t) {
    return t->look != ZL_LOOK_NONE ? t->look_call : &t->call;
}

void zl_task_finish(zl_task *t) {
    t->look = ZL_LOOK_NONE;
    free_look(t);
    zl_request_free(&t->call.request);
    zl_buf_free(&t->call.body);
}

bool zl_task_find(const zl_task *t, const zl_ids *ids, zl_view id, size_t *place) {
    size_t index;
    if (!zl_ids_find(ids, id, &index)) {
        return false;
    }
    for (*place = 0; *place < t->count; ++*place) {
        if (t->which[*place] == index) {
            return true;
        }
    }
    return false;
}

bool zl_task_owns_failed(const zl_task *t, const zl_ids *ids, const zl_answer *answer) {
    size_t place;
    for (size_t i = 0; i < answer->failed_count; i++) {
        if (!zl_task_find(t, ids, answer->failed_ids[i], &place)) {
            return false;
        }
    }
    return true;
}

bool zl_task_note_failed(zl_task *t, const zl_answer *answer) {
    bool ok = true;
    for (size_t i = 0; i < answer->failed_count; i++) {
        ok = zl_ids_add(&t->failed_ids, answer->failed_ids[i]) != ZL_ERR_NOMEM && ok;
    }
    return ok;
}

bool zl_task_is_confirmed_by(const zl_task *t, const zl_ids *ids, const zl_answer *answer) {
    bool seen[ZL_REQUEST_IDS_MAX] = {false};
    size_t confirmed = 0;
    for (size_t i = 0; i < answer->item_count; i++) {
        const zl_status *row = &answer->statuses[i];
        size_t place;
        bool stops = zl_view_equal(row->status, ZL_LIT("STOPPING")) ||
                     zl_view_equal(row->status, ZL_LIT("STOPPED"));
        if (stops && zl_task_find(t, ids, row->id, &place) && !seen[place]) {
            seen[place] = true;
            confirmed++;
        }
    }
    return confirmed == t->count;
}

zl_view zl_task_refusal(zl_view status, zl_view service) {
    bool may_stop_again = zl_view_equal(service, ZL_LIT("zec"));
    if (status.len == 0) {
        return NOT_FOUND;
    } else if (zl_view_equal(status, ZL_LIT("RECYCLE")) ||
               zl_view_equal(status, ZL_LIT("RECYCLING"))) {
        return RECYCLED;
    } else if (zl_view_equal(status, ZL_LIT("RUNNING")) ||
               (may_stop_again && zl_view_equal(status, ZL_LIT("STOPPING")))) {
        return (zl_view){NULL, 0};
    }
    return NOT_RUNNING;
}

bool zl_task_is_about_ids(zl_view code) {
    return zl_view_equal(code, NOT_FOUND) || zl_view_equal(code, RECYCLED) ||
           zl_view_equal(code, NOT_RUNNING) ||
           zl_view_equal(code, ZL_LIT("OPERATION_FAILED_RESOURCE_NOT_FOUND")) ||
           zl_view_equal(code, ZL_LIT("OPERATION_FAILED_FOR_RECYCLE_RESOURCE"));
}
