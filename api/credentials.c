#include "credentials.h"

static bool is_usable(const zl_credentials *c, int64_t now_ms) {
    return c->generation > 0 && !c->refused && now_ms < c->expiry_ms;
}

zl_readiness zl_credentials_ask(const zl_credentials *c, const zl_moment *now) {
    if (!c->renewable) {
        return ZL_READY;
    }
    bool usable = is_usable(c, now->mono_ms);
    if (usable && (c->under_way || now->mono_ms < c->renew_ms)) {
        return ZL_READY;
    }
    if (c->under_way) {
        return ZL_UNDER_WAY;
    }
    return !usable && now->mono_ms < c->failure_end_ms ? ZL_UNAVAILABLE : ZL_NEEDED;
}

void zl_credentials_begin(zl_credentials *c) {
    c->under_way = true;
}

void zl_credentials_set(zl_credentials *c, const zl_moment *now, int64_t lifetime_ms) {
    zl_buf_free(&c->failure_message);
    c->under_way = c->refused = false;
    c->generation++;
    c->failure_end_ms = INT64_MIN;
    c->renew_ms = c->expiry_ms = INT64_MAX;
    if (lifetime_ms > 0) {
        /* What is short-lived is not asked for all the time. */
        int64_t half_ms = lifetime_ms / 2;
        int64_t margin_ms = half_ms < ZL_CREDENTIALS_MARGIN_MS ? half_ms : ZL_CREDENTIALS_MARGIN_MS;
        c->expiry_ms = now->mono_ms + lifetime_ms;
        c->renew_ms = c->expiry_ms - margin_ms;
    }
}

void zl_credentials_fail(zl_credentials *c, const zl_moment *now, zl_code code, zl_view message) {
    c->under_way = false;
    c->failure_code = code;
    zl_buf_set(&c->failure_message, message);
    c->failure_end_ms = c->renew_ms = now->mono_ms + ZL_CREDENTIALS_AGAIN_MS;
}

bool zl_credentials_refuse(zl_credentials *c, int generation, const zl_moment *now) {
    if (!c->renewable) {
        return false;
    }
    if (generation != c->generation || c->refused) { /* there are new ones, or soon will be */
        return true;
    }
    if (c->refusals > 0 && now->mono_ms < c->patience_ms) {
        return false;
    }
    int64_t patience_ms = 1000;
    for (int i = 0; i < c->refusals && patience_ms < ZL_CREDENTIALS_PATIENCE_MS; i++) {
        patience_ms *= 2;
    }
    patience_ms =
        patience_ms < ZL_CREDENTIALS_PATIENCE_MS ? patience_ms : ZL_CREDENTIALS_PATIENCE_MS;
    c->patience_ms = now->mono_ms + patience_ms;
    c->refusals++;
    c->refused = true;
    return true;
}

void zl_credentials_confirm(zl_credentials *c, int generation) {
    if (generation == c->generation) {
        c->refusals = 0;
    }
}

void zl_credentials_free(zl_credentials *c) {
    zl_buf_free(&c->failure_message);
    *c = (zl_credentials){0};
}
