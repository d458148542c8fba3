#include "credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "options.h"
#include "scratch.h"

/* One place that may hold a pair or a token. Empty views: not there. */
typedef struct source {
    const char *place; /* "options", "environment", a profile of a file */
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
    if (password && memchr(s->password.data, '\0', s->password.len) != NULL) {
        (void)refuse(L, "%s: NUL in %s%s", s->place, s->password_name, "");
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
        if (s.password.len == 0 && other.len > 0) {
            s.password = other;
            s.password_name = names->other_password;
        }
        if (is_complete(L, &s)) {
            return make_signer(L, &s);
        }
    }
    return NULL;
}

/* --- the files of the official command line --------------------------------------------------- */

/* What the files do not have, in a word; NULL: there is something that must not be skipped. */
static const char *lack(const zl_credentials_file *file) {
    switch (file->status) {
    case ZL_FILE_NO_HOME: return "HOME is not set";
    case ZL_FILE_NO_FILE: return "no such file";
    case ZL_FILE_NO_PROFILE: return "no such profile";
    case ZL_FILE_OK: return "neither a key pair nor a token in it";
    default: return NULL;
    }
}

static int raise_too_open(lua_State *L, const char *path, unsigned mode) {
    char octal[16];
    (void)snprintf(octal, sizeof octal, "%04o", mode);
    return zlb_raise(L, ZL_CODE_CREDENTIALS_INVALID, NULL,
                     "others than its owner may read or write %s (mode %s); run: chmod 600 '%s'",
                     path, octal, path);
}

/* A file that is there, but cannot be taken. */
static int raise_unfit(lua_State *L, const zl_credentials_file *file) {
    const zl_code code = ZL_CODE_CREDENTIALS_INVALID;
    const char *path = file->path.data;
    switch (file->status) {
    case ZL_FILE_UNREADABLE:
        return zlb_raise(L, code, NULL, "cannot read %s: %s", path, strerror(file->error_number));
    case ZL_FILE_NOT_REGULAR: return zlb_raise(L, code, NULL, "%s is no regular file", path);
    case ZL_FILE_TOO_LARGE: return zlb_raise(L, code, NULL, "%s is over 1 MiB", path);
    case ZL_FILE_TOO_OPEN: return raise_too_open(L, path, file->mode);
    case ZL_FILE_MALFORMED:
        return zlb_raise(L, code, NULL, "%s: %s at byte %d", path, file->problem,
                         (int)file->at + 1);
    default: return zlb_raise_memory(L);
    }
}

/* There are none. A profile that was asked for is the only place that counts; `asked` is "" if none
 * was: then every place is named. */
static int raise_missing(lua_State *L, const zl_credentials_file *file, const char *asked) {
    int top = lua_gettop(L);
    luaL_checkstack(L, 24, "zenlayer");
    if (*asked == '\0') {
        lua_pushliteral(L, "the options access_key_id and access_key_password, or token, or "
                           "profile, or credentials; in the environment for ");
        for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
            const struct variables *names = &variables[i];
            lua_pushfstring(L, "%s%s with %s", i == 0 ? "" : ", or ", names->id, names->password);
            if (names->other_password != NULL) {
                lua_pushfstring(L, " or %s", names->other_password);
            }
            if (names->token != NULL) {
                lua_pushfstring(L, ", or %s", names->token);
            }
        }
        lua_pushliteral(L, "; for ");
        asked = file->is_current ? " (current_profile of config.json)" : "";
    }
    lua_pushfstring(L, "profile '%s'%s in %s: %s", file->profile.data, asked, file->path.data,
                    lack(file));
    lua_concat(L, lua_gettop(L) - top);
    return zlb_raise(L, ZL_CODE_CREDENTIALS_MISSING, NULL, "no credentials: looked for %s",
                     lua_tostring(L, -1));
}

/* The signer of a profile of the files; raises if there is none. `wanted` is the option; if it is
 * empty, ZENLAYER_PROFILE or the files say which. */
static zl_signer *find_in_files(lua_State *L, zl_view wanted) {
    int top = lua_gettop(L);
    zlb_scratch *scratch = zlb_scratch_new(L);
    zl_credentials_file *file = &scratch->file;
    const char *asked = " (option profile)";
    if (wanted.len == 0) {
        wanted = from_environment("ZENLAYER_PROFILE");
        asked = wanted.len > 0 ? " (ZENLAYER_PROFILE)" : "";
    }
    if (!zl_credentials_dir(&scratch->buf)) {
        (void)zlb_raise_memory(L);
    }
    (void)zl_credentials_file_read(file, zl_buf_view(&scratch->buf), wanted);
    if (lack(file) == NULL) {
        (void)raise_unfit(L, file);
    }
    source s = {
        .place = lua_pushfstring(L, "profile '%s' of %s", file->profile.data, file->path.data),
        .id_name = "access_key_id",
        .password_name = "access_key_secret",
        .token_name = "token",
        .id = zl_buf_view(&file->id),
        .password = zl_buf_view(&file->password),
        .token = zl_buf_view(&file->token),
    };
    if (!is_complete(L, &s)) {
        (void)raise_missing(L, file, asked);
    }
    zl_signer *signer = make_signer(L, &s);
    zlb_scratch_clear(scratch);
    lua_settop(L, top);
    return signer;
}

/* --- all of them ------------------------------------------------------------------------------ */

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

static void refuse_beside_profile(lua_State *L, const zlb_options *given) {
    static const char *const others[] = {"access_key_id", "access_key_password", "token"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (zlb_option_push(L, given, others[i]) != LUA_TNIL) {
            (void)refuse(L, "%s: both profile and %s; give one of them%s", "options", others[i],
                         "");
        }
        lua_pop(L, 1);
    }
}

zl_signer *zlb_credentials_find(lua_State *L, const zlb_options *given) {
    zl_view profile = zlb_option_string(L, given, "profile");
    if (profile.len > 0) {
        refuse_beside_profile(L, given);
        return find_in_files(L, profile);
    }
    zl_signer *signer = zlb_credentials_signer(
        L, "options", zlb_option_header(L, given, "access_key_id"),
        zlb_option_string(L, given, "access_key_password"), zlb_option_header(L, given, "token"));
    signer = signer != NULL ? signer : find_in_environment(L);
    return signer != NULL ? signer : find_in_files(L, profile);
}
