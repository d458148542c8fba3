#include "credentials.h"

#include <stdlib.h>

#include "errors.h"
#include "options.h"

/* One place that may hold a pair or a token. Empty views: not there. */
typedef struct source {
    const char *place; /* "the options", "the environment" */
    const char *id_name, *password_name, *token_name;
    zl_view id, password, token;
} source;

static int refuse(lua_State *L, const char *format, const char *a, const char *b, const char *c) {
    return zlb_raise(L, ZL_CODE_CREDENTIALS_INVALID, NULL, format, a, b, c);
}

/* False if the source has none; raises if it has a part, or too many. */
static bool is_complete(lua_State *L, const source *s) {
    bool id = s->id.len > 0, password = s->password.len > 0, token = s->token.len > 0;
    if (token && (id || password)) {
        (void)refuse(L, "%s: both an access key and a token (%s, %s); give one of them", s->place,
                     id ? s->id_name : s->password_name, s->token_name);
    }
    if (id != password) {
        (void)refuse(L, "%s: %s without %s", s->place, id ? s->id_name : s->password_name,
                     id ? s->password_name : s->id_name);
    }
    if (!zl_header_safe(s->id) || !zl_header_safe(s->token)) {
        (void)refuse(L, "%s: CR, LF or NUL in %s%s", s->place, token ? s->token_name : s->id_name,
                     "");
    }
    return id || token;
}

static zl_signer *make_signer(lua_State *L, const source *s) {
    zl_signer *signer = NULL;
    int rc = s->token.len > 0 ? zl_signer_new_token(&signer, s->token)
                              : zl_signer_new_key(&signer, s->id, s->password);
    if (rc == ZL_ERR_NOMEM) {
        (void)zlb_raise_memory(L);
    } else if (rc != ZL_OK) {
        (void)refuse(L, "%s: %s is not usable%s", s->place,
                     s->token.len > 0 ? s->token_name : s->id_name, "");
    }
    return signer;
}

static zl_view from_environment(const char *name) {
    return zl_view_of(getenv(name));
}

zl_signer *zlb_credentials_find(lua_State *L, int index) {
    source options = {
        .place = "options",
        .id_name = "access_key_id",
        .password_name = "access_key_password",
        .token_name = "token",
        .id = zlb_option_header(L, index, "access_key_id"),
        .password = zlb_option_string(L, index, "access_key_password"),
        .token = zlb_option_header(L, index, "token"),
    };
    if (is_complete(L, &options)) {
        return make_signer(L, &options);
    }
    source environment = {
        .place = "environment",
        .id_name = "ZENLAYER_ACCESS_KEY_ID",
        .password_name = "ZENLAYER_ACCESS_KEY_SECRET",
        .token_name = "ZENLAYER_TOKEN",
    };
    environment.id = from_environment(environment.id_name);
    environment.password = from_environment(environment.password_name);
    environment.token = from_environment(environment.token_name);
    if (is_complete(L, &environment)) {
        return make_signer(L, &environment);
    }
    (void)zlb_raise(L, ZL_CODE_CREDENTIALS_MISSING, NULL,
                    "no credentials: looked for the options access_key_id and access_key_password, "
                    "or token, then for %s and %s, or %s, in the environment",
                    environment.id_name, environment.password_name, environment.token_name);
    return NULL;
}
