/* Many calls with one aim, the waiting that may follow, and the account of every id.
 *
 * An operation moves no bytes. A driver asks it for the next step, sends what it says, and reports
 * what came:
 *
 *     for (;;) {
 *         zl_operation_step(op, &now, &step);
 *         SEND     send step.request as call step.n, then ask again
 *         WAIT     nothing is in flight: ask again in step.wait_ms
 *         PENDING  an answer is awaited: ask again after reporting one, or in step.wait_ms
 *         CREDENTIALS  whoever gives them is to be asked: zl_client_set_signer or _lack_signer,
 *                  then ask again. Until then others of the client that need them are PENDING
 *         DONE     the results are there
 *     }
 *
 * Calls are numbered from 1, and no number is used for two. Instance ids go in batches of
 * ZL_REQUEST_IDS_MAX, one call each; with `isolate`, a batch may turn into several. */
#ifndef ZL_OPERATION_H
#define ZL_OPERATION_H

#include "call.h"
#include "client.h"
#include "ids.h"
#include "watch.h"

typedef struct zl_operation zl_operation;

/* StopInstances; DescribeInstancesStatus of ids, or of all there are; any one call; one whose
 * answer is to be a page of a list; waiting until ids are STOPPED. */
typedef enum zl_aim {
    ZL_AIM_STOP,
    ZL_AIM_STATUS,
    ZL_AIM_STATUS_PAGES,
    ZL_AIM_CALL,
    ZL_AIM_PAGE,
    ZL_AIM_WAIT
} zl_aim;

/* What an operation is given besides its aim. Borrowed for the time of the constructor. */
typedef struct zl_operation_options {
    zl_view service;        /* empty: the client's, with its version */
    zl_view version;        /* empty: the service's default; ZL_ERR_ARG if it has none */
    int max_attempts;       /* 0: the client's */
    int64_t deadline_ms;    /* from now; 0: the client's */
    int64_t timeout_ms;     /* of one attempt; 0: the client's */
    bool continue_on_error; /* start further batches after one failed, and wait for the others */
    bool isolate;           /* STOP: find the ids for which a batch is refused, stop the rest */
    bool wait;              /* STOP: until what was accepted is STOPPED, as `watch` says */
    zl_watch_options watch; /* STOP with wait, WAIT; its times are over 0, but for the grace */
} zl_operation_options;

/* The constructors. Each takes a reference to the client. *ids and *body are moved into the
 * operation, also when it fails (they are empty afterwards). ZL_ERR_NOMEM, ZL_ERR_ARG. */

/* StopInstances for every id; force: forceShutdown (of the first stop; after a grace it is true).
 */
int zl_operation_new_stop(zl_operation **out, zl_client *client,
                          const zl_operation_options *options, const zl_moment *now, zl_ids *ids,
                          zl_tristate force);

/* DescribeInstancesStatus for every id; with no ids (NULL), for all there are, page by page. */
int zl_operation_new_status(zl_operation **out, zl_client *client,
                            const zl_operation_options *options, const zl_moment *now, zl_ids *ids);

/* Wait until every id is STOPPED, from now on for options->watch.timeout_ms. */
int zl_operation_new_wait(zl_operation **out, zl_client *client,
                          const zl_operation_options *options, const zl_moment *now, zl_ids *ids);

/* One call of any action, with a JSON text for a body. `Describe…` and StopInstances are idempotent
 * by themselves. */
int zl_operation_new_call(zl_operation **out, zl_client *client,
                          const zl_operation_options *options, const zl_moment *now, zl_view action,
                          zl_buf *body, bool idempotent);

/* Of such a call, before its first step: its answer is to be a page of a list, before which `seen`
 * rows lie. It may have any number of rows, but none only at the list's end; with a size over 0
 * exactly so many, or those that are left. */
void zl_operation_expect_page(zl_operation *op, int64_t seen, int64_t size);

/* NULL is fine. Calls in flight are forgotten; the driver has dropped them before. */
void zl_operation_free(zl_operation *op);

typedef enum zl_step_kind {
    ZL_STEP_SEND,
    ZL_STEP_WAIT,
    ZL_STEP_PENDING,
    ZL_STEP_CREDENTIALS,
    ZL_STEP_DONE
} zl_step_kind;

typedef struct zl_step {
    zl_step_kind kind;
    size_t n;                  /* SEND: the number of the call */
    const zl_request *request; /* SEND: valid until this call is reported on */
    int64_t wait_ms;           /* WAIT, PENDING: at least 1 */
} zl_step;

/* What to do next. CREDENTIALS is said once: whoever is told must see to it. ZL_ERR_NOMEM,
 * ZL_ERR_CRYPTO, ZL_ERR_ARG (action, service or version are not fit for a header): nothing changed,
 * and it may be asked again. */
int zl_operation_step(zl_operation *op, const zl_moment *now, zl_step *out);

/* Report on call n: it was answered; or there is no answer (code, sent: see zl_judge_failure). A
 * report on a call that is not in flight is ignored, and false. */
bool zl_operation_answered(zl_operation *op, size_t n, const zl_moment *now,
                           const zl_answer *answer);
bool zl_operation_failed(zl_operation *op, size_t n, const zl_moment *now, zl_code code,
                         zl_view message, bool sent);

/* End it now: what is not settled fails with CANCELLED, what is in flight as unknown (report its
 * failure before, if more is known). False if it was done already. */
bool zl_operation_cancel(zl_operation *op, const zl_moment *now, zl_view message);

bool zl_operation_is_done(const zl_operation *op);

/* Whether one call is under way, and no other may be begun before that one is reported. */
bool zl_operation_is_alone(const zl_operation *op);

/* When it must be over, or its waiting once that has begun, on the monotonic clock; how long one
 * attempt may take. */
int64_t zl_operation_deadline_ms(const zl_operation *op);
int64_t zl_operation_timeout_ms(const zl_operation *op);

zl_aim zl_operation_aim(const zl_operation *op);

/* Whose it is. Borrowed: the operation holds a reference. */
zl_client *zl_operation_client(const zl_operation *op);

/* What the answer to call n is an answer to: a stop's may be to a look at the status of its ids,
 * for which the number of the stop is used. */
zl_aim zl_operation_expects(const zl_operation *op, size_t n);

/* The pointer of the driver that carries it, for whoever frees the operation to find it (NULL at
 * first); and a number that its owner may give it (0 at first). */
void *zl_operation_driver(const zl_operation *op);
void zl_operation_set_driver(zl_operation *op, void *driver);
int zl_operation_tag(const zl_operation *op);
void zl_operation_set_tag(zl_operation *op, int tag);

/* The results. Views and pointers live as long as the operation. */

/* NULL: every call was accepted, and no id refused in passing. Otherwise the failure that came
 * first, with the outcome of the whole operation. */
const zl_error *zl_operation_error(const zl_operation *op);

/* True when memory ran out for a part of the account: then no result must be made of it. */
bool zl_operation_is_incomplete(const zl_operation *op);

/* The action's name; the ids. */
zl_view zl_operation_action(const zl_operation *op);
const zl_ids *zl_operation_ids(const zl_operation *op);

/* One call or batch, or a forced stop of some ids of a batch. */
typedef struct zl_batch {
    size_t call;         /* the number of its call; 0: never begun */
    size_t first, count; /* its ids: `count` from place `first` on, … */
    const size_t *which; /* … or those at these places (then first is which[0]); NULL: the former */
    zl_outcome outcome;
    int attempts;
    bool confirmed;     /* accepted, by what DescribeInstancesStatus says: the answer was lost */
    zl_view request_id; /* empty: not known */
    const zl_ids *failed_ids; /* NULL: none */
    const zl_error *error;    /* NULL: none, or never begun */
    size_t forced_count;      /* the forced stops that followed its grace */
} zl_batch;

/* How many there are; number n, from 1, in the order of the ids as far as that was kept. Of a wait:
 * the ids in batches of ZL_REQUEST_IDS_MAX, `accepted` if all of them are STOPPED. */
size_t zl_operation_count(const zl_operation *op);
zl_batch zl_operation_batch(const zl_operation *op, size_t n);

/* Id i (from 0) of a batch; forced stop k (from 1) of batch n. */
zl_view zl_operation_batch_id(const zl_operation *op, const zl_batch *batch, size_t i);
zl_batch zl_operation_forced(const zl_operation *op, size_t n, size_t k);

/* The waiting, from its beginning on; NULL: none has begun. */
const zl_watch *zl_operation_watch(const zl_operation *op);

#endif
