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
    zl_buf names; /* what these are views of */
    zl_view name, service, version;
    zl_buf body; /* ZL_AIM_CALL and ZL_AIM_PAGE, until it is begun */
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
    int64_t seen;      /* ZL_AIM_STATUS_PAGES, ZL_AIM_PAGE: rows so far */
    int64_t page_size; /* ZL_AIM_PAGE; 0: any */
    zl_error error;

    zl_watch watch;
    void *driver;
    int watch_requests; /* sent while watching */
    int tag;

    size_t number;     /* in its client, from 1 */
    int64_t now_ms;    /* when it was asked or told something last */
    bool end_was_told; /* by an event for each batch */
};

/* The action that a task's current call asks for. */
zl_view zl_operation_action_of(const zl_operation *op, const zl_task *t);

zl_batch zl_batch_of_task(const zl_task *t);

/* Telling the client's events what happened: an attempt of a task began; it was answered, or it
 * failed, and what followed from that; a task is settled; the operation is done, if it is. */
typedef struct zl_before {
    int64_t pause_until_ms, clock_offset_s;
} zl_before;

void zl_operation_tell_sent(zl_operation *op, zl_task *t);
zl_before zl_operation_before(const zl_operation *op);
void zl_operation_tell_answered(zl_operation *op, zl_task *t, const zl_before *before,
                                const zl_answer *answer);
void zl_operation_tell_failed(zl_operation *op, zl_task *t, const zl_before *before, zl_code code,
                              bool sent);
void zl_operation_tell_settled(zl_operation *op, zl_task *t);
void zl_operation_tell_end(zl_operation *op);

#endif
