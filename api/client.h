/* What all operations of one client share: who sends, the retry state, the calls in flight, the
 * defaults. Counted by reference, because a client may be closed while operations of it live. Not
 * for two threads at once. */
#ifndef ZL_CLIENT_H
#define ZL_CLIENT_H

#include "credentials.h"
#include "event.h"
#include "request.h"
#include "retry.h"

typedef struct zl_client {
    zl_sender sender; /* owned */
    zl_credentials credentials;
    zl_events events;
    zl_buf service; /* the default service and its API version; owned */
    zl_buf version;
    zl_retry retry;
    size_t max_concurrency; /* calls in flight, of all operations together */
    size_t in_flight;
    bool hold;        /* set by a driver that takes no further request just now */
    int max_attempts; /* defaults of an operation */
    int64_t deadline_ms;
    int64_t timeout_ms; /* of one attempt; the drivers keep it */
    size_t operations;  /* how many were made: their numbers */
    size_t references;
} zl_client;

enum {
    ZL_DEFAULT_CONNECT_TIMEOUT_MS = 5000,
    ZL_DEFAULT_TIMEOUT_MS = 30000,
    ZL_DEFAULT_DEADLINE_MS = 120000,
    ZL_DEFAULT_MAX_ATTEMPTS = 4,
    ZL_DEFAULT_MAX_CONCURRENCY = 8,
    ZL_DEFAULT_MAX_RESPONSE_BYTES = 8 * 1024 * 1024
};

/* A client with one reference, the defaults and nothing else: no signer, no endpoint. NULL when out
 * of memory. */
zl_client *zl_client_new(void);

/* Sign with this from now on; it is taken over. lifetime_ms: how long it is good for; 0: for ever.
 */
void zl_client_set_signer(zl_client *client, zl_signer *signer, const zl_moment *now,
                          int64_t lifetime_ms);

/* There is nothing to sign with: whoever was asked did not give it. */
void zl_client_lack_signer(zl_client *client, const zl_moment *now, zl_code code, zl_view message);

void zl_client_ref(zl_client *client);

/* Give a reference back; the last one frees the client, its signer with it. NULL is fine. */
void zl_client_unref(zl_client *client);

#endif
