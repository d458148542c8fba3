/* The engine: moves the bytes of operations over libcurl, any number at once, in one thread. A
 * blocking call is an operation that is waited for; a polled one is the same, looked at now and
 * then.
 *
 *     zl_transport_add(t, op);
 *     while (!zl_operation_is_done(op)) {
 *         zl_transport_turn(t, 250);
 *         while (zl_transport_take(t, &d)) {
 *             … decode d.body, fill in a zl_answer, zl_operation_answered(d.op, d.n, …) …
 *         }
 *     }
 *
 * What brought no answer is reported to its operation by the engine itself. */
#ifndef ZL_TRANSPORT_H
#define ZL_TRANSPORT_H

#include "client.h"
#include "operation.h"

typedef struct zl_transport zl_transport;

/* How to reach the endpoint. Borrowed; strings are NUL-terminated, NULL where not given. */
typedef struct zl_transport_options {
    const char *ca_file;    /* replaces the system's trust */
    const char *ca_path;    /* the same, a directory */
    const char *proxy;      /* "": none; NULL: the environment's */
    const char *connect_to; /* host[:port] to dial in the endpoint's place */
    int64_t connect_timeout_ms;
    size_t max_response_bytes;
} zl_transport_options;

/* An engine for a client, of which it takes a reference; its endpoint must be set. ZL_ERR_NOMEM;
 * ZL_ERR_INIT: libcurl's one-time initialisation failed, or the libcurl found is older than 7.80.
 */
int zl_transport_new(zl_transport **out, zl_client *client, const zl_transport_options *options);

/* Close every connection. Operations that were added are left as they are. In a process forked from
 * the one that made it nothing of the parent's is touched: its connections are not said goodbye to.
 * NULL is fine. */
void zl_transport_free(zl_transport *transport);

/* Carry an operation from now on. It is borrowed until it is done or dropped. */
int zl_transport_add(zl_transport *transport, zl_operation *op);

/* Let go of an operation, whatever is in flight for it. Not added: nothing happens. */
void zl_transport_drop(zl_transport *transport, zl_operation *op);

/* End an operation as zl_operation_cancel does, but exact about what was sent and what was not. */
bool zl_transport_cancel(zl_transport *transport, zl_operation *op, zl_view message);

/* The same for every operation that was added. */
void zl_transport_cancel_all(zl_transport *transport, zl_view message);

/* Move everything on: send what is due, wait for at most max_wait_ms for something to happen, take
 * in what came. Waits not at all while an answer is there to be taken. Returns ZL_OK, also when a
 * signal ended the wait, or ZL_ERR_NOMEM. Opens at most one new connection a turn. */
int zl_transport_turn(zl_transport *transport, int64_t max_wait_ms);

/* Whether the last turn left every operation as it was, and brought no answer. */
bool zl_transport_was_quiet(const zl_transport *transport);

/* Ask every operation at the next turn: something that they wait for has come. */
void zl_transport_wake(zl_transport *transport);

/* How many operations it has, those that have been done since the last zl_transport_reap too. */
size_t zl_transport_count(const zl_transport *transport);

/* Let go of every operation that is done. Returns how many are not. */
size_t zl_transport_reap(zl_transport *transport);

/* For a loop of one's own. Socket i, from 0, and what is waited for on it: 1 to read, 2 to write, 3
 * both, 0 nothing; false if there are not that many. */
bool zl_transport_socket(const zl_transport *transport, size_t i, int *fd, int *events);

/* In how many ms to turn again though no socket is ready; -1: not for that. */
int64_t zl_transport_next_timeout_ms(const zl_transport *transport);

/* An answer. Whoever takes it owns the buffers. */
typedef struct zl_delivery {
    zl_operation *op;
    size_t n;
    int status;
    zl_buf head;
    zl_buf body;
} zl_delivery;

/* Take the oldest answer that came; false if there is none. It must be reported to its operation.
 */
bool zl_transport_take(zl_transport *transport, zl_delivery *out);

/* Open a connection now, by a HEAD of the endpoint whose answer does not matter: begin, then turn
 * until it is over. */
int zl_transport_warm_up(zl_transport *transport, int64_t timeout_ms);
bool zl_transport_is_warming_up(const zl_transport *transport);

void zl_transport_stop_warming_up(zl_transport *transport);

/* Why warming up failed; NULL: it did not. Once the connection is made it has not. */
const zl_error *zl_transport_warm_up_error(const zl_transport *transport);

/* libcurl's version, as it runs. Static. */
const char *zl_transport_curl_version(void);

#endif
