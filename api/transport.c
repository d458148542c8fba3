#include "transport.h"

#include <limits.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "explain.h"
#include "forked.h"
#include "hot.h"
#include "sigpipe.h"

struct zl_transport {
    zl_client *client;
    CURLM *multi;   /* NULL: it broke, and there was no memory for another */
    zl_maker maker; /* the process whose connections these are */
    zl_wire wire;
    zl_operation **ops;
    size_t op_count, op_room;
    zl_transfer *running; /* in the multi handle; those that nobody waits for too */
    size_t running_count; /* those that somebody waits for */
    zl_transfer *finished, **finished_tail; /* answered, not released; oldest first */
    zl_transfer *idle;
    int64_t timer_ms;  /* when libcurl wants to be called; -1: it does not */
    int64_t wake_ms;   /* when an operation wants to be asked; INT64_MAX: none does */
    int64_t expiry_ms; /* none of `running` is out of time before this; INT64_MAX: none ever is */
    size_t in_flight;  /* the client's, when they were asked: operations that others drive count */
    bool multiplexes;  /* the last answer came over HTTP/2 */
    bool may_raise_sigpipe; /* libcurl may: it is an old one */
    bool quick_exit; /* libcurl can drop a transfer without waiting for its name's resolution */
    bool ended;      /* a transfer did, or an operation, in this turn */
    bool asked;      /* operations were, in this turn */
    bool needs_credentials; /* an operation does, in this turn */
    bool broken;            /* libcurl failed, and may no longer know what it is doing */
    bool connected;         /* a connection was made with this multi handle */
    bool renew;             /* another multi handle is to take its place once it is idle */
    bool warming_up;
    zl_error warm_up_error;
};

/* --- libcurl, once per process ---------------------------------------------------------------- */

/* The one thing here that is global: never cleaned up, and the module is linked so that it is never
 * unloaded. Not pthread_once, which would remember a failure. */
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static bool init_done = false;

static int init_libcurl(void) {
    int rc = ZL_OK;
    (void)pthread_mutex_lock(&init_lock);
    if (!init_done) {
        rc = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? ZL_OK : ZL_ERR_INIT;
        init_done = rc == ZL_OK;
    }
    (void)pthread_mutex_unlock(&init_lock);
    return rc;
}

const char *zl_transport_curl_version(void) {
    return curl_version_info(CURLVERSION_NOW)->version;
}

/* With CURLOPT_NOSIGNAL libcurl leaves SIGPIPE alone. From 7.87 on it writes with MSG_NOSIGNAL,
 * even under OpenSSL's TLS; before, or with another library for TLS, a broken connection would kill
 * the host. */
static bool may_raise_sigpipe(const curl_version_info_data *info) {
    return info->version_num < 0x075700 || info->ssl_version == NULL ||
           strncmp(info->ssl_version, "OpenSSL/", 8) != 0;
}

static void hold_sigpipe(const zl_transport *t, zl_sigpipe *held) {
    if (t->may_raise_sigpipe) {
        zl_sigpipe_hold(held);
    }
}

/* --- the multi handle's callbacks ------------------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *socket_context) {
    zl_transport *t = context;
    (void)easy;
    (void)socket_context;
    short events = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) {
        events |= POLLIN;
    }
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) {
        events |= POLLOUT;
    }
    return zl_sockets_watch(&t->wire.sockets, fd, events) ? 0 : -1;
}

ZL_HOT static int on_timer(CURLM *multi, long timeout_ms, void *context) {
    zl_transport *t = context;
    (void)multi;
    t->timer_ms = timeout_ms < 0 ? -1 : zl_clock_mono_ms() + timeout_ms;
    return 0;
}

/* --- construction ----------------------------------------------------------------------------- */

/* Memory that ran out in it leaves OpenSSL's generator of random numbers in an error, which ends
 * when it is used. libcurl just asks once for each multi handle whether there is one, and gives up.
 */
static void wake_generator(void) {
    unsigned char byte;
    if (RAND_status() != 1) {
        (void)RAND_bytes(&byte, 1);
    }
}

static bool open_multi(zl_transport *t) {
    wake_generator();
    t->multi = curl_multi_init();
    if (t->multi == NULL) {
        return false;
    }
    zl_maker_set(&t->maker);
    t->timer_ms = -1;
    t->wake_ms = t->expiry_ms = INT64_MAX;
    size_t kept = t->client->max_concurrency + 2;
    CURLMcode rc = curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    rc = rc != CURLM_OK ? rc : curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
    rc = rc != CURLM_OK ? rc : curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    rc = rc != CURLM_OK ? rc : curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
    rc = rc != CURLM_OK ? rc : curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)kept);
    return rc == CURLM_OK;
}

int zl_transport_new(zl_transport **out, zl_client *client, const zl_transport_options *options) {
    *out = NULL;
    int rc = init_libcurl();
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    if (rc != ZL_OK || info->version_num < 0x075000) {
        return ZL_ERR_INIT;
    }
    zl_transport *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return ZL_ERR_NOMEM;
    }
    zl_client_ref(client);
    t->client = client;
    t->finished_tail = &t->finished;
    t->wire.events = &client->events;
    t->may_raise_sigpipe = may_raise_sigpipe(info);
    t->quick_exit = info->version_num >= 0x075700 && LIBCURL_VERSION_NUM >= 0x075700;
    if (!open_multi(t) || !zl_wire_init(&t->wire, &client->sender.endpoint, options)) {
        zl_transport_free(t);
        return ZL_ERR_NOMEM;
    }
    *out = t;
    return ZL_OK;
}

static void free_transfers(zl_transport *t, zl_transfer *list) {
    while (list != NULL) {
        zl_transfer *next = list->next;
        (void)curl_multi_remove_handle(t->multi, list->easy);
        zl_transfer_free(list);
        list = next;
    }
}

void zl_transport_free(zl_transport *t) {
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->op_count; i++) {
        zl_operation_set_driver(t->ops[i], NULL);
    }
    if (zl_maker_is_here(&t->maker)) {
        zl_sigpipe held = {0};
        hold_sigpipe(t, &held);
        free_transfers(t, t->running);
        free_transfers(t, t->finished);
        free_transfers(t, t->idle);
        (void)curl_multi_cleanup(t->multi);
        zl_sigpipe_release(&held);
    }
    /* In a forked process the handles stay, leaked: cleaning up would speak on the parent's
     * connections. */
    zl_wire_free(&t->wire);
    zl_error_free(&t->warm_up_error);
    zl_maker_free(&t->maker);
    free(t->ops);
    zl_client_unref(t->client);
    free(t);
}

/* If this process was forked from the one that made the transport: leave everything of the parent's
 * where it is, and begin with nothing. What was under way is the parent's to finish. */
static int start_over_after_fork(zl_transport *t) {
    zl_moment now;
    if (zl_maker_is_here(&t->maker)) {
        return ZL_OK;
    }
    zl_clock_now(&now);
    for (size_t i = 0; i < t->op_count; i++) {
        (void)zl_operation_cancel(t->ops[i], &now,
                                  ZL_LIT("begun in another process, before a fork"));
        zl_operation_set_driver(t->ops[i], NULL);
    }
    t->op_count = 0;
    zl_sockets_free(&t->wire.sockets);
    t->running = t->finished = t->idle = NULL;
    t->finished_tail = &t->finished;
    t->running_count = 0;
    t->multiplexes = t->warming_up = false;
    return open_multi(t) ? ZL_OK : ZL_ERR_NOMEM;
}

/* --- transfers -------------------------------------------------------------------------------- */

static zl_transfer *take_transfer(zl_transport *t) {
    zl_transfer *transfer = t->idle;
    if (transfer == NULL) {
        return zl_transfer_new(&t->wire);
    }
    t->idle = transfer->next;
    transfer->next = NULL;
    return transfer;
}

static void put_back(zl_transport *t, zl_transfer *transfer) {
    zl_transfer_reset(transfer);
    transfer->next = t->idle;
    t->idle = transfer;
}

static void unlink_running(zl_transport *t, const zl_transfer *transfer) {
    for (zl_transfer **p = &t->running; *p != NULL; p = &(*p)->next) {
        if (*p == transfer) {
            *p = transfer->next;
            return;
        }
    }
}

static bool is_wanted(const zl_transfer *transfer) {
    return transfer->op != NULL || transfer->is_warm_up;
}

static bool is_in_use(const zl_transport *t, int local_port) {
    const zl_transfer *transfer = t->running;
    while (transfer != NULL && (transfer->sends == 0 || transfer->local_port != local_port)) {
        transfer = transfer->next;
    }
    return transfer != NULL;
}

/* Take a transfer out of the multi handle; the caller owns it then. */
static void detach(zl_transport *t, zl_transfer *transfer) {
    (void)curl_multi_remove_handle(t->multi, transfer->easy);
    t->ended = true;
    t->wake_ms = INT64_MIN; /* there is room for another */
    unlink_running(t, transfer);
    t->running_count -= is_wanted(transfer) ? 1 : 0;
    if (zl_sockets_is_doubted(&t->wire.sockets, transfer->local_port) &&
        !is_in_use(t, transfer->local_port)) {
        zl_sockets_shut_down(&t->wire.sockets, transfer->local_port);
    }
}

static bool is_resolving(const zl_transfer *transfer) {
    curl_off_t lookup_us = 0; /* 0 until the name is resolved */
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_NAMELOOKUP_TIME_T, &lookup_us);
    return transfer->sends == 0 && lookup_us == 0;
}

/* Nobody waits for this transfer any more. Without QUICK_EXIT, libcurl would wait here for the
 * thread that resolves the name: then it stays until it ends by itself, and sends nothing
 * (on_send). */
static void abandon(zl_transport *t, zl_transfer *transfer) {
    if (t->quick_exit || !is_resolving(transfer)) {
        detach(t, transfer);
        put_back(t, transfer);
        return;
    }
    (void)curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
    (void)curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, "");
    t->ended = true;
    t->wake_ms = INT64_MIN;
    t->running_count--;
    transfer->op = NULL;
    transfer->is_warm_up = false;
}

/* When a transfer is out of time. */
static int64_t expiry_of(const zl_transfer *transfer) {
    bool connecting = transfer->sends == 0 && transfer->connect_until_ms < transfer->until_ms;
    return connecting ? transfer->connect_until_ms : transfer->until_ms;
}

/* To be called when transfers ended or their time has come, not at every turn: that one of them
 * moved on, and so has more time, need not be seen at once. */
static void set_expiry(zl_transport *t) {
    int64_t time = INT64_MAX;
    for (const zl_transfer *transfer = t->running; transfer != NULL; transfer = transfer->next) {
        int64_t expiry_ms = expiry_of(transfer);
        time = is_wanted(transfer) && expiry_ms < time ? expiry_ms : time;
    }
    t->expiry_ms = time;
}

/* Another multi handle, without the connections of the one before and without what it has read.
 * False, with none, when out of memory. */
static bool renew_multi(zl_transport *t) {
    zl_sigpipe held = {0};
    hold_sigpipe(t, &held);
    (void)curl_multi_cleanup(t->multi);
    zl_sigpipe_release(&held);
    zl_sockets_free(&t->wire.sockets);
    t->broken = t->renew = t->connected = t->multiplexes = false;
    return open_multi(t);
}

/* Hand a prepared transfer to libcurl. */
static bool launch(zl_transport *t, zl_transfer *transfer, int64_t now_ms, int64_t timeout_ms) {
    transfer->until_ms = now_ms + timeout_ms;
    transfer->connect_until_ms = now_ms + t->wire.connect_timeout_ms;
    if (((t->multi == NULL || (t->renew && t->running == NULL)) && !renew_multi(t)) ||
        curl_multi_add_handle(t->multi, transfer->easy) != CURLM_OK) {
        return false;
    }
    transfer->next = t->running;
    t->running = transfer;
    t->running_count++;
    int64_t expiry_ms = expiry_of(transfer);
    t->expiry_ms = expiry_ms < t->expiry_ms ? expiry_ms : t->expiry_ms;
    return true;
}

static void start(zl_transport *t, zl_operation *op, const zl_step *step, const zl_moment *now) {
    zl_transfer *transfer = take_transfer(t);
    int64_t left_ms = zl_operation_deadline_ms(op) - now->mono_ms;
    int64_t timeout_ms = zl_operation_timeout_ms(op);
    timeout_ms = timeout_ms < left_ms ? timeout_ms : left_ms;
    bool ok = transfer != NULL && zl_transfer_prepare(transfer, step->request);
    if (ok) {
        transfer->op = op;
        transfer->n = step->n;
        ok = launch(t, transfer, now->mono_ms, timeout_ms);
    }
    if (!ok) {
        if (transfer != NULL) {
            put_back(t, transfer);
        }
        (void)zl_operation_failed(op, step->n, now, ZL_CODE_CONNECT_FAILED,
                                  ZL_LIT("out of memory before anything was sent"), false);
    }
}

static void report_failure(zl_transport *t, zl_transfer *transfer, CURLcode rc) {
    zl_buf message = {0};
    zl_code code = zl_explain(transfer, rc, &message);
    /* libcurl keeps the certificates that it has read, for a day. If memory ran out while it did
     * they may be of no use: unless they have been, it reads them again. */
    t->renew = t->renew ||
               (!t->connected && (code == ZL_CODE_TLS_FAILED || code == ZL_CODE_TLS_VERIFY_FAILED));
    if (transfer->is_warm_up && transfer->sends > 0) {
        t->warming_up = false; /* the connection was made, which was all that was wanted */
    } else if (transfer->is_warm_up) {
        zl_error_set(&t->warm_up_error, code, zl_buf_view(&message));
        t->warm_up_error.retryable = code != ZL_CODE_TLS_VERIFY_FAILED;
        t->warm_up_error.attempts = 1;
        t->warming_up = false;
    } else if (transfer->op != NULL) {
        zl_moment now;
        zl_clock_now(&now);
        t->wake_ms = now.mono_ms;
        (void)zl_operation_failed(transfer->op, transfer->n, &now, code, zl_buf_view(&message),
                                  transfer->sends > 0);
    }
    zl_buf_free(&message);
}

static void keep_answer(zl_transport *t, zl_transfer *transfer) {
    long version = 0, status = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    transfer->status = (int)status;
    t->multiplexes = version >= CURL_HTTP_VERSION_2_0;
    transfer->next = NULL;
    *t->finished_tail = transfer;
    t->finished_tail = &transfer->next;
}

/* libcurl is done with a transfer. */
static void finish(zl_transport *t, zl_transfer *transfer, CURLcode rc) {
    if (transfer->tainted && is_wanted(transfer)) {
        (void)curl_multi_remove_handle(t->multi, transfer->easy);
        zl_transfer_rewind(transfer);
        if (curl_multi_add_handle(t->multi, transfer->easy) == CURLM_OK) {
            return;
        }
        rc = CURLE_OUT_OF_MEMORY;
    }
    if (zl_transfer_broke_connection(transfer, rc)) {
        zl_sockets_doubt(&t->wire.sockets, transfer->local_port);
    }
    detach(t, transfer);
    if (transfer->sends > 0) {
        t->connected = true;
        t->renew = false;
    }
    if (rc == CURLE_OK && !transfer->head_ended) { /* cut inside the head: libcurl does not mind */
        rc = CURLE_PARTIAL_FILE;
    }
    if (rc != CURLE_OK) {
        report_failure(t, transfer, rc);
    } else if (transfer->op != NULL) {
        keep_answer(t, transfer);
        return;
    } else if (transfer->is_warm_up) {
        t->warming_up = false;
    }
    put_back(t, transfer);
}

/* Whoever waits for an answer in vain while others get theirs waits for the server alone. */
static void doubt_if_silent(zl_transport *t, const zl_transfer *transfer) {
    zl_sockets *sockets = &t->wire.sockets;
    if (zl_sockets_answers(sockets, transfer->local_port) == transfer->answers) {
        zl_sockets_doubt(sockets, transfer->local_port);
    }
}

/* The multi handle failed, and to go on with it may hang or crash: without memory for what it wants
 * to remember of a socket, libcurl 7.88 divides by zero the next time that it looks there. What is
 * under way ends here, and another takes its place. */
static void start_over_after_failure(zl_transport *t) {
    while (t->running != NULL) {
        zl_transfer *transfer = t->running;
        detach(t, transfer);
        transfer->out_of_memory = true;
        report_failure(t, transfer, CURLE_OUT_OF_MEMORY);
        put_back(t, transfer);
    }
    (void)renew_multi(t); /* or when the next transfer begins */
    t->wake_ms = INT64_MIN;
}

/* End what has run out of time. The engine keeps the time itself: libcurl's own limits are late
 * while a name is being resolved. */
static void expire(zl_transport *t, int64_t now_ms) {
    for (zl_transfer *transfer = t->running, *next; transfer != NULL; transfer = next) {
        next = transfer->next;
        if (is_wanted(transfer) && now_ms >= expiry_of(transfer)) {
            doubt_if_silent(t, transfer);
            report_failure(t, transfer, CURLE_OPERATION_TIMEDOUT);
            abandon(t, transfer);
        }
    }
}

/* --- operations ------------------------------------------------------------------------------- */

int zl_transport_add(zl_transport *t, zl_operation *op) {
    int rc = start_over_after_fork(t);
    if (rc != ZL_OK) {
        return rc;
    }
    if (t->op_count == t->op_room) {
        size_t room = t->op_room == 0 ? 8 : t->op_room * 2;
        zl_operation **ops = realloc(t->ops, room * sizeof(zl_operation *));
        if (ops == NULL) {
            return ZL_ERR_NOMEM;
        }
        t->ops = ops;
        t->op_room = room;
    }
    t->ops[t->op_count++] = op;
    t->wake_ms = INT64_MIN;
    zl_operation_set_driver(op, t);
    return ZL_OK;
}

/* The next transfer for op in a list, from `from` on. */
static zl_transfer *find_for(zl_transfer *from, const zl_operation *op) {
    while (from != NULL && from->op != op) {
        from = from->next;
    }
    return from;
}

static void drop_answers(zl_transport *t, const zl_operation *op) {
    for (zl_transfer **p = &t->finished; *p != NULL;) {
        zl_transfer *transfer = *p;
        if (transfer->op == op) {
            *p = transfer->next;
            put_back(t, transfer);
        } else {
            p = &transfer->next;
        }
    }
    t->finished_tail = &t->finished;
    while (*t->finished_tail != NULL) {
        t->finished_tail = &(*t->finished_tail)->next;
    }
}

void zl_transport_drop(zl_transport *t, zl_operation *op) {
    if (zl_maker_is_here(&t->maker)) {
        zl_sigpipe held = {0};
        hold_sigpipe(t, &held);
        for (zl_transfer *transfer; (transfer = find_for(t->running, op)) != NULL;) {
            abandon(t, transfer);
        }
        zl_sigpipe_release(&held);
        set_expiry(t);
        drop_answers(t, op);
    }
    for (size_t i = 0; i < t->op_count; i++) {
        if (t->ops[i] == op) {
            memmove(&t->ops[i], &t->ops[i + 1], (t->op_count - i - 1) * sizeof(zl_operation *));
            t->op_count--;
            zl_operation_set_driver(op, NULL);
            return;
        }
    }
}

bool zl_transport_cancel(zl_transport *t, zl_operation *op, zl_view message) {
    bool was_running = !zl_operation_is_done(op);
    zl_moment now;
    zl_clock_now(&now);
    for (zl_transfer *transfer = find_for(t->running, op); transfer != NULL && was_running;
         transfer = find_for(transfer->next, op)) {
        (void)zl_operation_failed(op, transfer->n, &now, ZL_CODE_CANCELLED, message,
                                  transfer->sends > 0);
    }
    (void)zl_operation_cancel(op, &now, message);
    zl_transport_drop(t, op);
    return was_running;
}

void zl_transport_cancel_all(zl_transport *t, zl_view message) {
    while (t->op_count > 0) {
        (void)zl_transport_cancel(t, t->ops[0], message);
    }
}

/* Whether another request may be handed to libcurl: if there is a connection for it, or, once a
 * turn, if it may open one. While the first is being made, none: it may turn out to be HTTP/2. */
static bool may_start(const zl_transport *t, bool opened) {
    if (t->running_count == 0) {
        return true;
    }
    if (!zl_sockets_has_ready(&t->wire.sockets)) {
        return false;
    }
    return t->multiplexes || t->running_count < t->wire.sockets.connections || !opened;
}

/* Ask every operation what to do. */
static int advance(zl_transport *t, const zl_moment *now) {
    int64_t wait_ms = INT64_MAX;
    bool opened = false;
    int rc = ZL_OK;
    for (size_t i = 0; i < t->op_count && rc == ZL_OK;) {
        zl_operation *op = t->ops[i];
        zl_step step;
        t->client->hold = !may_start(t, opened);
        rc = zl_operation_step(op, now, &step);
        if (rc != ZL_OK) {
            wait_ms = 0; /* it is to be asked again */
            break;
        }
        switch (step.kind) {
        case ZL_STEP_SEND:
            opened = opened || t->running_count >= t->wire.sockets.connections;
            start(t, op, &step, now);
            break;
        case ZL_STEP_DONE: /* the next one moves to place i */
            wait_ms = 0;
            t->ended = true;
            zl_transport_drop(t, op);
            break;
        case ZL_STEP_CREDENTIALS:
            t->needs_credentials = true;
            wait_ms = 0;
            i++;
            break;
        case ZL_STEP_WAIT:
        case ZL_STEP_PENDING:
            wait_ms = step.wait_ms < wait_ms ? step.wait_ms : wait_ms;
            i++;
            break;
        }
    }
    if (opened && t->client->hold) {
        wait_ms = 0; /* more may be waiting: the next turn opens the next connection */
    }
    t->client->hold = false;
    t->wake_ms = wait_ms < INT64_MAX ? now->mono_ms + wait_ms : INT64_MAX;
    t->in_flight = t->client->in_flight;
    return rc;
}

/* --- a turn ----------------------------------------------------------------------------------- */

/* When to act though nothing came: a transfer runs out of time, or an operation wants to be asked.
 * INT64_MAX: never. */
static int64_t next_act(const zl_transport *t) {
    int64_t time = t->expiry_ms;
    if (t->op_count > 0) {
        int64_t wake_ms = t->in_flight == t->client->in_flight ? t->wake_ms : INT64_MIN;
        time = wake_ms < time ? wake_ms : time;
    }
    return time;
}

/* The same, or libcurl wants to be called. */
static int64_t next_due(const zl_transport *t) {
    int64_t time = next_act(t);
    return t->timer_ms >= 0 && t->timer_ms < time ? t->timer_ms : time;
}

/* Give libcurl a socket that is ready, or CURL_SOCKET_TIMEOUT. */
static void socket_action(zl_transport *t, curl_socket_t fd, int mask) {
    int still_running;
    CURLMcode rc = curl_multi_socket_action(t->multi, fd, mask, &still_running);
    t->broken = t->broken || rc == CURLM_OUT_OF_MEMORY || rc == CURLM_INTERNAL_ERROR ||
                rc == CURLM_ABORTED_BY_CALLBACK;
}

static bool timer_is_due(const zl_transport *t) {
    return t->timer_ms >= 0 && zl_clock_mono_ms() >= t->timer_ms;
}

static void run_timer(zl_transport *t) {
    if (timer_is_due(t)) {
        t->timer_ms = -1;
        socket_action(t, CURL_SOCKET_TIMEOUT, 0);
    }
}

/* Whether a socket is ready; polls[i].revents say which. */
static bool wait_for_sockets(zl_transport *t, int64_t wait_ms) {
    zl_sockets *sockets = &t->wire.sockets;
    int timeout = wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
    return poll(sockets->polls, (nfds_t)sockets->count, timeout) > 0;
}

/* libcurl's callbacks change the array meanwhile; what is missed that way is still there at the
 * next turn. */
static void serve_sockets(zl_transport *t) {
    zl_sockets *sockets = &t->wire.sockets;
    for (size_t i = 0; i < sockets->count && !t->broken;) {
        short events = sockets->polls[i].revents;
        if (events == 0) {
            i++;
            continue;
        }
        sockets->polls[i].revents = 0;
        int mask = (events & POLLIN ? CURL_CSELECT_IN : 0) |
                   (events & POLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events & (POLLERR | POLLHUP | POLLNVAL) ? CURL_CSELECT_ERR : 0);
        socket_action(t, sockets->infos[i].fd, mask);
    }
}

static void collect(zl_transport *t) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(t->multi, &left)) != NULL) {
        CURLcode rc = message->data.result; /* gone once the handle is removed */
        zl_transfer *transfer = NULL;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        finish(t, transfer, rc);
    }
    if (t->ended) {
        set_expiry(t);
    }
}

/* What the sockets and libcurl's timer have; `ready`: wait_for_sockets said so. */
static void take_in(zl_transport *t, bool ready) {
    bool was_ready = zl_sockets_has_ready(&t->wire.sockets);
    if (ready) {
        serve_sockets(t);
    }
    if (!t->broken) {
        run_timer(t);
    }
    collect(t);
    if (t->broken) {
        start_over_after_failure(t);
    }
    if (!was_ready && zl_sockets_has_ready(&t->wire.sockets)) {
        t->wake_ms = INT64_MIN; /* what waited for the first connection need wait no longer */
    }
}

/* End what has run out of time, and ask the operations. */
static int act(zl_transport *t) {
    zl_moment now;
    zl_clock_now(&now);
    if (t->expiry_ms <= now.mono_ms) {
        /* After a long pause between turns: what came in the meantime counts. */
        take_in(t, wait_for_sockets(t, 0));
        if (t->finished != NULL) {
            return ZL_OK;
        }
        expire(t, now.mono_ms);
        set_expiry(t);
    }
    int rc = advance(t, &now);
    if (rc == ZL_OK) {
        take_in(t, false);
    }
    return rc;
}

/* In most frames of a game nothing is due and nothing came: then this is a reading of the clock or
 * two, and one poll(2). */
static int turn(zl_transport *t, int64_t wait_ms, zl_sigpipe *held) {
    int64_t now_ms = zl_clock_mono_ms();
    t->ended = t->needs_credentials = false;
    if (next_act(t) <= now_ms) {
        t->asked = true;
        hold_sigpipe(t, held);
        int rc = act(t);
        if (rc != ZL_OK) {
            return rc;
        }
        now_ms = zl_clock_mono_ms();
    }
    int64_t due_ms = next_due(t);
    int64_t left_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    if (t->finished != NULL || t->ended ||
        t->needs_credentials) { /* well or not: it must not wait for anything */
        left_ms = 0;
    }
    bool ready = wait_for_sockets(t, left_ms < wait_ms ? left_ms : wait_ms);
    if (ready || timer_is_due(t)) {
        hold_sigpipe(t, held);
        take_in(t, ready);
    }
    return ZL_OK;
}

ZL_HOT int zl_transport_turn(zl_transport *t, int64_t max_wait_ms) {
    t->asked = !zl_maker_is_here(&t->maker); /* or they are told that they ended */
    int rc = start_over_after_fork(t);
    if (rc != ZL_OK) {
        return rc;
    }
    zl_sigpipe held = {0};
    rc = turn(t, max_wait_ms > 0 ? max_wait_ms : 0, &held);
    zl_sigpipe_release(&held);
    return rc;
}

ZL_HOT bool zl_transport_was_quiet(const zl_transport *t) {
    return !t->asked && !t->ended && t->finished == NULL;
}

void zl_transport_wake(zl_transport *t) {
    t->wake_ms = INT64_MIN;
}

ZL_HOT size_t zl_transport_count(const zl_transport *t) {
    return t->op_count;
}

size_t zl_transport_reap(zl_transport *t) {
    for (size_t i = 0; i < t->op_count;) {
        if (zl_operation_is_done(t->ops[i])) {
            zl_transport_drop(t, t->ops[i]);
        } else {
            i++;
        }
    }
    return t->op_count;
}

bool zl_transport_socket(const zl_transport *t, size_t i, int *fd, int *events) {
    const zl_sockets *sockets = &t->wire.sockets;
    if (i >= sockets->count ||
        !zl_maker_is_here(&t->maker)) { /* a parent's are not to be watched */
        return false;
    }
    short wanted = sockets->polls[i].fd < 0 ? 0 : sockets->polls[i].events;
    *fd = sockets->infos[i].fd;
    *events = (wanted & POLLIN ? 1 : 0) | (wanted & POLLOUT ? 2 : 0);
    return true;
}

int64_t zl_transport_next_timeout_ms(const zl_transport *t) {
    if (!zl_maker_is_here(&t->maker)) { /* the next turn ends what a parent began */
        return t->op_count > 0 ? 0 : -1;
    }
    int64_t due_ms = next_due(t);
    if (due_ms == INT64_MAX) {
        return -1;
    }
    int64_t now_ms = zl_clock_mono_ms();
    return due_ms > now_ms ? due_ms - now_ms : 0;
}

bool zl_transport_take(zl_transport *t, zl_delivery *out) {
    zl_transfer *transfer = t->finished;
    if (transfer == NULL || !zl_maker_is_here(&t->maker)) {
        return false;
    }
    *out = (zl_delivery){
        .op = transfer->op,
        .n = transfer->n,
        .status = transfer->status,
        .head = transfer->head,
        .body = transfer->body,
    };
    transfer->head = transfer->body = (zl_buf){0};
    t->wake_ms = INT64_MIN; /* what it is reported to will want to be asked */
    t->finished = transfer->next;
    if (t->finished == NULL) {
        t->finished_tail = &t->finished;
    }
    put_back(t, transfer);
    return true;
}

/* --- warming up ------------------------------------------------------------------------------- */

enum { PREPARED_MOST = 8 };

/* Make the transfers that the first calls will need, or some of them, so that no frame of a game
 * has to. If memory runs out, they are made when they are needed. */
static void prepare_transfers(zl_transport *t) {
    size_t most = t->client->max_concurrency;
    size_t count = t->running_count;
    for (const zl_transfer *transfer = t->idle; transfer != NULL; transfer = transfer->next) {
        count++;
    }
    for (; count < most && count < PREPARED_MOST; count++) {
        zl_transfer *transfer = zl_transfer_new(&t->wire);
        if (transfer == NULL) {
            return;
        }
        put_back(t, transfer);
    }
}

int zl_transport_warm_up(zl_transport *t, int64_t timeout_ms) {
    int rc = start_over_after_fork(t);
    if (rc != ZL_OK) {
        return rc;
    }
    zl_transport_stop_warming_up(t);
    zl_error_free(&t->warm_up_error);
    zl_transfer *transfer = take_transfer(t);
    if (transfer == NULL) {
        return ZL_ERR_NOMEM;
    }
    if (!zl_transfer_prepare_warm_up(transfer) ||
        !launch(t, transfer, zl_clock_mono_ms(), timeout_ms)) {
        put_back(t, transfer);
        return ZL_ERR_NOMEM;
    }
    t->warming_up = true;
    prepare_transfers(t);
    return ZL_OK;
}

bool zl_transport_is_warming_up(const zl_transport *t) {
    return t->warming_up;
}

const zl_error *zl_transport_warm_up_error(const zl_transport *t) {
    return t->warm_up_error.is_set ? &t->warm_up_error : NULL;
}

void zl_transport_stop_warming_up(zl_transport *t) {
    if (!t->warming_up || !zl_maker_is_here(&t->maker)) {
        return;
    }
    zl_transfer *transfer = t->running;
    while (transfer != NULL && !transfer->is_warm_up) {
        transfer = transfer->next;
    }
    t->warming_up = false;
    if (transfer != NULL) {
        zl_sigpipe held = {0};
        hold_sigpipe(t, &held);
        abandon(t, transfer);
        zl_sigpipe_release(&held);
        set_expiry(t);
    }
}
