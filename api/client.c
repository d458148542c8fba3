#include "client.h"

#include <stdlib.h>

zl_client *zl_client_new(void) {
    zl_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return NULL;
    }
    zl_retry_init(&client->retry);
    client->max_concurrency = ZL_DEFAULT_MAX_CONCURRENCY;
    client->max_attempts = ZL_DEFAULT_MAX_ATTEMPTS;
    client->deadline_ms = ZL_DEFAULT_DEADLINE_MS;
    client->timeout_ms = ZL_DEFAULT_TIMEOUT_MS;
    client->references = 1;
    return client;
}

void zl_client_set_signer(zl_client *client, zl_signer *signer, const zl_moment *now,
                          int64_t lifetime_ms) {
    zl_signer_free(client->sender.signer);
    client->sender.signer = signer;
    zl_credentials_set(&client->credentials, now, lifetime_ms);
    if (client->credentials.renewable) {
        (void)zl_events_add(&client->events, ZL_EVENT_CREDENTIALS_RENEWED, now->mono_ms);
    }
}

void zl_client_lack_signer(zl_client *client, const zl_moment *now, zl_code code, zl_view message) {
    zl_credentials_fail(&client->credentials, now, code, message);
    zl_event *event = zl_events_add(&client->events, ZL_EVENT_CREDENTIALS_RENEWED, now->mono_ms);
    if (event != NULL) {
        zl_buf_add_text(&event->code, zl_code_name(code));
    }
}

void zl_client_ref(zl_client *client) {
    client->references++;
}

void zl_client_unref(zl_client *client) {
    if (client == NULL || --client->references > 0) {
        return;
    }
    zl_signer_free(client->sender.signer);
    zl_credentials_free(&client->credentials);
    zl_events_free(&client->events);
    zl_endpoint_free(&client->sender.endpoint);
    zl_buf_free(&client->sender.user_agent);
    zl_buf_free(&client->service);
    zl_buf_free(&client->version);
    free(client);
}
