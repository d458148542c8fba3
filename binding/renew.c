#include "renew.h"

#include <string.h>

#include "../api/clock.h"
#include "credentials.h"
#include "errors.h"
#include "kept.h"
#include "options.h"

bool zlb_renew_begin(lua_State *L, const zlb_options *given, zlb_client *client) {
    static const char *const others[] = {"access_key_id", "access_key_password", "profile",
                                         "token"};
    int type = zlb_option_push(L, given, "credentials");
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    } else if (type != LUA_TFUNCTION) {
        (void)zlb_option_error(L, "credentials", "a function");
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (zlb_option_push(L, given, others[i]) != LUA_TNIL) {
            (void)zlb_raise(L, ZL_CODE_CREDENTIALS_INVALID, NULL,
                            "options: both credentials and %s; give one of them", others[i]);
        }
        lua_pop(L, 1);
    }
    lua_getuservalue(L, -2);
    lua_insert(L, -2);
    lua_setfield(L, -2, "credentials");
    lua_pop(L, 1);
    client->core->credentials.renewable = true;
    return true;
}

/* --- what the function returned --------------------------------------------------------------- */

static const char *const field_names[] = {"access_key_id", "access_key_password", "expires_at",
                                          "token", NULL};

/* Replace the table by a copy: that holds its strings, whatever a finaliser does to the function's
 * own meanwhile. A slip in a name would lose what it was to say. */
static void take_copy(lua_State *L, int index) {
    lua_newtable(L);
    int copy = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        size_t i = 0;
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        while (field_names[i] != NULL && strcmp(name, field_names[i]) != 0) {
            i++;
        }
        if (*name == '\0') {
            (void)zlb_raise(L, ZL_CODE_CREDENTIALS_INVALID, NULL,
                            "the credentials function returned a table without names for keys");
        } else if (field_names[i] == NULL) {
            (void)zlb_raise(L, ZL_CODE_CREDENTIALS_INVALID, NULL,
                            "the credentials function returned a field '%s'; it is to return "
                            "access_key_id and access_key_password, or token, and expires_at if "
                            "they expire",
                            name);
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, copy);
    }
    lua_replace(L, index);
}

static zl_view field(lua_State *L, int index, const char *name) {
    zl_view value = {NULL, 0};
    int type = zlb_push_raw(L, index, name);
    if (type == LUA_TSTRING) {
        value.data = lua_tolstring(L, -1, &value.len);
    }
    if (type != LUA_TNIL && value.len == 0) {
        (void)zlb_raise(L, ZL_CODE_CREDENTIALS_INVALID, NULL,
                        "the credentials function returned %s: expected a non-empty string, got "
                        "%s",
                        name, type == LUA_TSTRING ? "an empty one" : luaL_typename(L, -1));
    }
    lua_pop(L, 1); /* the table holds it */
    return value;
}

/* How long they are good for, by the server's clock as far as it is known; 0: for ever. */
static int64_t read_lifetime_ms(lua_State *L, int index, const zl_client *core) {
    zl_moment now;
    int type = zlb_push_raw(L, index, "expires_at");
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return 0;
    }
    double expires_s = type == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    lua_pop(L, 1);
    if (!(expires_s >= 0 && expires_s <= 1e11)) { /* the year 5138; or it is milliseconds */
        (void)zlb_raise(L, ZL_CODE_CREDENTIALS_INVALID, NULL,
                        "the credentials function returned expires_at: expected UNIX seconds");
    }
    zl_clock_now(&now);
    double left_s = expires_s - (double)(now.wall_s + core->retry.clock_offset_s);
    if (left_s <= 0) {
        (void)zlb_raise(L, ZL_CODE_CREDENTIALS_INVALID, NULL,
                        "the credentials function returned some that have expired (expires_at)");
    }
    return (int64_t)((left_s < ZLB_SECONDS_MAX ? left_s : ZLB_SECONDS_MAX) * 1000);
}

/* What was read. */
typedef struct given {
    const zl_client *core;
    zl_signer *signer;
    int64_t lifetime_ms;
    zl_code code; /* of why there are none */
    zl_buf message;
} given;

/* The results of the function are at `index` and after it. */
static void read_given(lua_State *L, int index, given *out) {
    if (!lua_toboolean(L, index)) {
        const char *why = lua_type(L, index + 1) == LUA_TSTRING ? lua_tostring(L, index + 1) : NULL;
        (void)zlb_raise(L, ZL_CODE_CREDENTIALS_UNAVAILABLE, NULL,
                        "the credentials function returned %s%s%s", luaL_typename(L, index),
                        why != NULL ? ": " : "", why != NULL ? why : "");
    } else if (lua_type(L, index) != LUA_TTABLE) {
        (void)zlb_raise(L, ZL_CODE_CREDENTIALS_INVALID, NULL,
                        "the credentials function returned a %s, expected a table",
                        luaL_typename(L, index));
    }
    take_copy(L, index);
    zl_view id = field(L, index, "access_key_id");
    zl_view password = field(L, index, "access_key_password");
    zl_view token = field(L, index, "token");
    out->lifetime_ms = read_lifetime_ms(L, index, out->core);
    out->signer = zlb_credentials_signer(L, "the credentials function", id, password, token);
    if (out->signer == NULL) {
        (void)zlb_raise(L, ZL_CODE_CREDENTIALS_INVALID, NULL,
                        "the credentials function returned neither a key pair nor a token");
    }
}

/* --- asking it -------------------------------------------------------------------------------- */

/* (a given, client) */
static int ask(lua_State *L) {
    given *out = zlb_kept_argument(L);
    luaL_checkstack(L, 20, "zenlayer");
    lua_getuservalue(L, 2);
    lua_getfield(L, -1, "credentials");
    lua_call(L, 0, 2);
    read_given(L, lua_gettop(L) - 1, out);
    return 0;
}

/* (a given, ok, results of a pcall …) */
static int take(lua_State *L) {
    given *out = zlb_kept_argument(L);
    luaL_checkstack(L, 20, "zenlayer");
    lua_settop(L, 4);
    if (!lua_toboolean(L, 2)) {
        lua_pushvalue(L, 3);
        return lua_error(L);
    }
    read_given(L, 3, out);
    return 0;
}

/* (a given, what was raised): its message. */
static int explain(lua_State *L) {
    given *out = zlb_kept_argument(L);
    zl_buf *message = &out->message;
    luaL_checkstack(L, 5, "zenlayer");
    if (zlb_is_error(L, 2)) { /* of ours, or of some other client's that the function uses */
        lua_pushliteral(L, "code");
        lua_rawget(L, 2);
        lua_pushliteral(L, "CREDENTIALS_INVALID");
        out->code = lua_rawequal(L, -1, -2) ? ZL_CODE_CREDENTIALS_INVALID : out->code;
        lua_pushliteral(L, "message");
        lua_rawget(L, 2);
        lua_replace(L, 2);
    } else {
        zl_buf_add_text(message, "the credentials function raised ");
    }
    if (lua_type(L, 2) == LUA_TSTRING) {
        zl_buf_add_text(message, lua_tostring(L, 2));
    } else {
        zl_buf_add_text(message, "a ");
        zl_buf_add_text(message, luaL_typename(L, 2));
    }
    return 0;
}

static const zlb_kept asker = {"ask_for_credentials", ask};
static const zlb_kept taker = {"take_credentials", take};
static const zlb_kept explainer = {"explain_credentials", explain};

void zlb_renew_keep(lua_State *L) {
    zlb_kept_add(L, &asker);
    zlb_kept_add(L, &taker);
    zlb_kept_add(L, &explainer);
}

/* Call `read` with a given and the `count` values from index `first` on, which stay; the core gets
 * what comes of it. Raises nothing, also where memory has run out: all of the client's calls wait
 * for it. False, with what was raised on top of the stack, if the interpreter was interrupted. */
static bool get(lua_State *L, zl_client *core, const zlb_kept *read, int first, int count) {
    zl_moment now;
    int top = lua_gettop(L);
    given out = {.core = core, .code = ZL_CODE_CREDENTIALS_UNAVAILABLE};
    zlb_kept_push(L, read, &out);
    for (int i = first; i < first + count; i++) {
        lua_pushvalue(L, i);
    }
    zl_client_ref(core); /* the function may close the client */
    int rc = lua_pcall(L, count + 1, 0, 0);
    bool interrupted = rc != 0 && zlb_is_interrupt(L, -1);
    zl_clock_now(&now);
    if (rc == 0) {
        zl_client_set_signer(core, out.signer, &now, out.lifetime_ms);
    } else {
        zl_signer_free(out.signer); /* a hook may raise when all is done */
        zlb_kept_push(L, &explainer, &out);
        lua_pushvalue(L, top + 1);
        bool explained = lua_pcall(L, 2, 0, 0) == 0 && zl_buf_ok(&out.message);
        zl_client_lack_signer(core, &now, out.code,
                              explained ? zl_buf_view(&out.message)
                                        : ZL_LIT("memory ran out in the credentials function"));
    }
    zl_buf_free(&out.message);
    zl_client_unref(core);
    lua_settop(L, interrupted ? top + 1 : top);
    return !interrupted;
}

void zlb_renew(lua_State *L, int client_index, zl_client *core) {
    zlb_client *client = lua_touserdata(L, client_index);
    client->asking = true;
    bool ok = get(L, core, &asker, lua_absindex(L, client_index), 1);
    client->asking = false;
    if (!ok) {
        (void)lua_error(L);
    }
}

bool zlb_renew_is_due(const zlb_client *client) {
    return client->core != NULL && client->core->credentials.under_way && !client->asking;
}

void zlb_renew_take(lua_State *L, zl_client *core) {
    int count = lua_gettop(L) - 1;
    if (!get(L, core, &taker, 2, count < 3 ? count : 3)) {
        (void)lua_error(L);
    }
}

void zlb_renew_check(lua_State *L, const zlb_client *client) {
    if (client->asking) {
        (void)zlb_raise(L, ZL_CODE_CREDENTIALS_UNAVAILABLE, NULL,
                        "the credentials function used its own client, which waits for it");
    }
}
