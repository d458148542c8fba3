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

void zl_client_ref(zl_client *client) {
    client->references++;
}

void zl_client_unref(zl_client *client) {
    if (client == NULL || --client->references > 0) {
        return;
    }
    zl_signer_free(client->sender.signer);
    zl_endpoint_free(&client->sender.endpoint);
    zl_buf_free(&client->sender.user_agent);
    zl_buf_free(&client->service);
    zl_buf_free(&client->version);
    free(client);
}
