/* What an operation consists of. Private to the files that make, drive and account for one. */
#ifndef ZL_OPERATION_STATE_H
#define ZL_OPERATION_STATE_H

#include "operation.h"
#include "task.h"

struct zl_operation {
    zl_client *client;
    zl_aim aim;
    zl_tristate force;
    bool continue_on_error, isolate;
    bool waits;      /* after its calls */
    bool stopping;   /* begin nothing more */
    bool incomplete; /* memory ran out for a part of the account */
    bool watching, watch_over;
    zl_ids ids;
    zl_buf name, service, version;
    zl_buf body; /* ZL_AIM_CALL, until it is begun */
    zl_policy policy;
    int64_t timeout_ms;

    /* The account: what was begun, in the order of the ids; what is not in it yet are the ids from
     * next_id on. */
    zl_task **tasks;
    size_t made, room;
    size_t next_id;
    size_t calls;                 /* without ids: how many there are to make, as far as known */
    zl_task *parts, **parts_tail; /* of isolated batches, to be begun */
    size_t last_n;

    zl_task **active; /* begun and not settled; at most the client's max_concurrency */
    size_t active_count;
    size_t in_flight;
    int64_t seen; /* ZL_AIM_STATUS_PAGES: rows so far */
    zl_error error;

    zl_watch watch;
    void *driver;
    int watch_requests; /* sent while watching */
    int tag;
};

/* How many batches so many ids make. */
static inline size_t zl_batches_of(size_t ids) {
    return (ids + ZL_REQUEST_IDS_MAX - 1) / ZL_REQUEST_IDS_MAX;
}

#endif
