#include "face.h"

#include <math.h>

#include "../api/sign.h"
#include "../api/zenlayer.h"
#include "client.h"
#include "errors.h"
#include "job.h"
#include "json.h"
#include "options.h"
#include "prepared.h"
#include "safe.h"
#include "scratch.h"

/* zenlayer.new([options]) → client, which raises its errors */
static int m_new(lua_State *L) {
    lua_settop(L, 1);
    zlb_client_new(L, false);
    return 1;
}

/* zenlayer.safe.new([options]) → client, which returns nil, err */
static int m_new_safe(lua_State *L) {
    lua_settop(L, 1);
    zlb_client_new(L, true);
    return 1;
}

/* --- zenlayer.sign ---------------------------------------------------------------------------- */

static const char *const sign_options[] = {
    "access_key_id", "access_key_password", "action", "api_version", "body", "content_type",
    "host",          "timestamp",           NULL,
};

static int missing(lua_State *L, const char *name) {
    const char *where = lua_pushfstring(L, "options.%s", name);
    return zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, where, "is required");
}

static zl_view required_header(lua_State *L, const zlb_options *given, const char *name) {
    zl_view value = zlb_option_header(L, given, name);
    if (value.len == 0) {
        (void)missing(L, name);
    }
    return value;
}

/* Any bytes, none too. */
static zl_view body_option(lua_State *L, const zlb_options *given) {
    zl_view body = {NULL, 0};
    int type = zlb_option_push(L, given, "body");
    if (type == LUA_TNIL) {
        (void)missing(L, "body");
    } else if (type != LUA_TSTRING) {
        (void)zlb_option_error(L, "body", "a string");
    }
    body.data = lua_tolstring(L, -1, &body.len);
    lua_pop(L, 1); /* the stack holds it */
    return body;
}

static int64_t timestamp_option(lua_State *L, const zlb_options *given) {
    int type = zlb_option_push(L, given, "timestamp");
    double value = lua_tonumber(L, -1);
    if (type == LUA_TNIL) {
        return missing(L, "timestamp");
    }
    if (type != LUA_TNUMBER || !(value >= 0 && value <= 9007199254740992.0) ||
        floor(value) != value) {
        return zlb_option_error(L, "timestamp", "whole UNIX seconds from 0");
    }
    lua_pop(L, 1);
    return (int64_t)value;
}

/* The Authorization value, of *len bytes, by the signer of `kept`, which is there for what OpenSSL
 * would have to look up each time. It has the key while this runs, in which nothing of Lua's is
 * called. */
static int authorize(zlb_scratch *kept, zl_view id, zl_view password, const zl_sign_input *in,
                     char out[ZL_SIGN_AUTHORIZATION_MAX], size_t *len) {
    int rc = kept->signer != NULL ? zl_signer_change_key(kept->signer, id, password)
                                  : zl_signer_new_key(&kept->signer, id, password);
    if (rc == ZL_OK) {
        *len = zl_signer_authorization_len(kept->signer);
        rc = zl_sign(kept->signer, in, out);
    }
    if (kept->is_over || kept->signer == NULL || !zl_signer_forget_key(kept->signer)) {
        zl_signer_free(kept->signer);
        kept->signer = NULL;
    }
    return rc;
}

/* Push the Authorization value. */
static void push_authorization(lua_State *L, zl_view id, zl_view password,
                               const zl_sign_input *in) {
    char text[ZL_SIGN_AUTHORIZATION_MAX];
    size_t len = 0;
    int rc = authorize(lua_touserdata(L, lua_upvalueindex(1)), id, password, in, text, &len);
    if (rc == ZL_ERR_ARG) {
        (void)zlb_raise(L, ZL_CODE_INVALID_ARGUMENT, "options",
                        "access_key_id, host and content_type have at most 512 bytes");
    } else if (rc != ZL_OK) {
        (void)zlb_raise_memory(L);
    }
    lua_pushlstring(L, text, len);
    zl_wipe(text, len);
}

/* zenlayer.sign { access_key_id =, access_key_password =, host =, body =, timestamp =
 *     [, content_type =] [, action =] [, api_version =] } → table of headers.
 * Pure: reads no clock and sends nothing. timestamp in UNIX seconds; host is signed as given. */
static int m_sign(lua_State *L) {
    lua_settop(L, 1);
    zlb_options given;
    zlb_options_read(L, 1, sign_options, &given);
    zl_view id = required_header(L, &given, "access_key_id");
    zl_view password = zlb_option_string(L, &given, "access_key_password");
    if (password.len == 0) {
        return missing(L, "access_key_password");
    }
    zl_sign_input in = {
        .host = required_header(L, &given, "host"),
        .content_type = zlb_option_header(L, &given, "content_type"),
        .body = body_option(L, &given),
        .timestamp_s = timestamp_option(L, &given),
    };
    if (in.content_type.len == 0) {
        in.content_type = ZL_LIT("application/json; charset=utf-8");
    }
    zl_view action = zlb_option_header(L, &given, "action");
    zl_view version = zlb_option_header(L, &given, "api_version");

    char timestamp[ZL_INT_MAX];
    zl_view timestamp_text = {timestamp, zl_write_int(timestamp, in.timestamp_s)};
    lua_createtable(L, 0, 7);
    push_authorization(L, id, password, &in);
    lua_setfield(L, -2, "Authorization");
    zlb_set_view(L, "Host", in.host);
    zlb_set_view(L, "Content-Type", in.content_type);
    zlb_set_text(L, "X-ZC-Signature-Method", "ZC2-HMAC-SHA256");
    zlb_set_view(L, "X-ZC-Timestamp", timestamp_text);
    zlb_set_view(L, "X-ZC-Action", action);
    zlb_set_view(L, "X-ZC-Version", version);
    return 1;
}

/* --- the table -------------------------------------------------------------------------------- */

/* zenlayer.is_error(value) → boolean */
static int m_is_error(lua_State *L) {
    lua_pushboolean(L, zlb_is_error(L, 1));
    return 1;
}

/* The function on top, which is popped, becomes a field of the table below. */
static void set_function(lua_State *L, const char *name, bool safe) {
    if (safe) {
        lua_pushcclosure(L, zlb_safe_call, 1);
    }
    lua_setfield(L, -2, name);
}

void zlb_face_push(lua_State *L, bool safe) {
    zlb_errors_open(L);
    zlb_scratch_open(L);
    zlb_json_open(L);
    zlb_job_open(L);
    zlb_prepared_open(L);
    zlb_client_open(L);
    lua_newtable(L);
    lua_pushcfunction(L, safe ? m_new_safe : m_new);
    set_function(L, "new", safe);
    (void)zlb_scratch_new(L);
    lua_pushcclosure(L, m_sign, 1);
    set_function(L, "sign", safe);
    lua_pushcfunction(L, m_is_error);
    set_function(L, "is_error", false);
    zlb_json_push_null(L);
    lua_setfield(L, -2, "null");
    zlb_json_push_empty_array(L);
    lua_setfield(L, -2, "empty_array");
    zlb_set_text(L, "_VERSION", ZL_VERSION);
}
