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

/* The names in the environment, in the order in which they are looked for: those of the official
 * command line, which calls a password a secret, and those of the official SDKs. */
static const struct variables {
    const char *id, *password, *other_password, *token; /* NULL: there is no such name */
} variables[] = {
    {"ZENLAYER_ACCESS_KEY_ID", "ZENLAYER_ACCESS_KEY_SECRET", "ZENLAYER_ACCESS_KEY_PASSWORD",
     "ZENLAYER_TOKEN"},
    {"ZENLAYERCLOUD_SECRET_KEY_ID", "ZENLAYERCLOUD_SECRET_KEY_PASSWORD", NULL, NULL},
    {"ZENLAYERCLOUD_ACCESS_KEY_ID", "ZENLAYERCLOUD_ACCESS_KEY_PASSWORD", NULL, NULL},
};

static zl_view from_environment(const char *name) {
    return zl_view_of(name == NULL ? NULL : getenv(name));
}

/* The signer of the first names that are set; NULL if none is. */
static zl_signer *find_in_environment(lua_State *L) {
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const struct variables *names = &variables[i];
        source s = {
            .place = "environment",
            .id_name = names->id,
            .password_name = names->password,
            .token_name = names->token,
            .id = from_environment(names->id),
            .password = from_environment(names->password),
            .token = from_environment(names->token),
        };
        zl_view other = from_environment(names->other_password);
        if (s.password.len > 0 && other.len > 0 && !zl_view_equal(s.password, other)) {
            (void)refuse(L, "%s: %s and %s are not the same", s.place, names->password,
                         names->other_password);
        }
        s.password = s.password.len > 0 ? s.password : other;
        if (is_complete(L, &s)) {
            return make_signer(L, &s);
        }
    }
    return NULL;
}

static int raise_missing(lua_State *L) {
    int top = lua_gettop(L);
    luaL_checkstack(L, 20, "zenlayer");
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        lua_pushfstring(L, "%s%s with %s", i == 0 ? "" : ", or ", variables[i].id,
                        variables[i].password);
        if (variables[i].token != NULL) {
            lua_pushfstring(L, ", or %s", variables[i].token);
        }
    }
    lua_concat(L, lua_gettop(L) - top);
    return zlb_raise(L, ZL_CODE_CREDENTIALS_MISSING, NULL,
                     "no credentials: looked for the options access_key_id and "
                     "access_key_password, or token, then in the environment for %s",
                     lua_tostring(L, -1));
}

zl_signer *zlb_credentials_signer(lua_State *L, const char *place, zl_view key_id, zl_view password,
                                  zl_view token) {
    source s = {
        .place = place,
        .id_name = "access_key_id",
        .password_name = "access_key_password",
        .token_name = "token",
        .id = key_id,
        .password = password,
        .token = token,
    };
    return is_complete(L, &s) ? make_signer(L, &s) : NULL;
}

zl_signer *zlb_credentials_find(lua_State *L, int index) {
    zl_signer *signer = zlb_credentials_signer(
        L, "options", zlb_option_header(L, index, "access_key_id"),
        zlb_option_string(L, index, "access_key_password"), zlb_option_header(L, index, "token"));
    signer = signer != NULL ? signer : find_in_environment(L);
    if (signer == NULL) {
        (void)raise_missing(L);
    }
    return signer;
}
