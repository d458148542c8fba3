/* The least that a call from Lua can be: the ids of a table are written into a body, which is
 * signed by the core and posted by curl_easy_perform on one handle whose options were set once; the
 * answer is decoded by lua-cjson, and the tables are made that stop_instances returns. Nothing is
 * checked, nothing tried again, nothing accounted for. What of the module's time is more than this
 * is the module's own; what of this is more than libcurl's, no module for Lua can save.
 *
 *     local client = require "bench.least".new(endpoint, ca_file)
 *     local request_ids, batches = client:stop_instances(ids)
 */
#include <curl/curl.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../binding/compat.h"
#include "api/error.h"
#include "api/sign.h"
#include "api/zenlayer.h"

#define TYPE "bench.least"

enum { BODY_MAX = 64 * 1024, ANSWER_MAX = 16 * 1024, LINE_MAX_BYTES = 512, LINES = 13 };

typedef struct least {
    CURL *easy;
    zl_signer *signer;
    char host[LINE_MAX_BYTES];
    char lines[LINES][LINE_MAX_BYTES];
    struct curl_slist headers[LINES];
    char body[BODY_MAX];
    size_t answer_len;
    char answer[ANSWER_MAX];
} least;

/* Of the lines, those that do not stand here whole. */
enum { HOST_LINE, USER_AGENT_LINE, VERSION_LINE, TIME_LINE, AUTHORIZATION_LINE };

static const char *const beginnings[LINES] = {
    "Host: ",
    "User-Agent: lua-zenlayer/",
    "X-ZC-Sdk-Version: ",
    "X-ZC-Timestamp: ",
    "Authorization: ",
    "Content-Type: application/json; charset=utf-8",
    "X-ZC-Action: StopInstances",
    "X-ZC-Version: 2026-04-01",
    "X-ZC-Service: vm",
    "X-ZC-Signature-Method: ZC2-HMAC-SHA256",
    "X-ZC-Sdk-Lang: lua",
    "Expect:",
    "Accept: application/json",
};

static size_t on_body(char *data, size_t size, size_t count, void *context) {
    least *l = context;
    size_t len = size * count;
    if (len > ANSWER_MAX - l->answer_len) {
        return 0;
    }
    memcpy(l->answer + l->answer_len, data, len);
    l->answer_len += len;
    return len;
}

static void set_options(least *l, const char *url, const char *ca_file) {
    (void)curl_easy_setopt(l->easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(l->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(l->easy, CURLOPT_WRITEDATA, l);
    (void)curl_easy_setopt(l->easy, CURLOPT_CAINFO, ca_file);
    (void)curl_easy_setopt(l->easy, CURLOPT_CAPATH, NULL); /* so that the file is read once */
    (void)curl_easy_setopt(l->easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(l->easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(l->easy, CURLOPT_TIMEOUT, 30L);
    (void)curl_easy_setopt(l->easy, CURLOPT_HTTPHEADER, l->headers);
}

/* (endpoint, ca_file) → client */
static int new_least(lua_State *L) {
    const char *endpoint = luaL_checkstring(L, 1), *ca_file = luaL_checkstring(L, 2);
    least *l = lua_newuserdata(L, sizeof *l);
    memset(l, 0, sizeof *l);
    luaL_getmetatable(L, TYPE);
    lua_setmetatable(L, -2);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    l->easy = curl_easy_init();
    if (l->easy == NULL ||
        zl_signer_new_key(&l->signer, ZL_LIT("BENCHKEY"), ZL_LIT("bench-password")) != ZL_OK) {
        return luaL_error(L, "out of memory");
    }
    const char *host = strstr(endpoint, "://") + 3;
    (void)snprintf(l->host, sizeof l->host, "%s", host);
    for (int i = 0; i < LINES; i++) {
        const char *rest = i == HOST_LINE                              ? host
                           : i == USER_AGENT_LINE || i == VERSION_LINE ? ZL_VERSION
                                                                       : "";
        (void)snprintf(l->lines[i], LINE_MAX_BYTES, "%s%s", beginnings[i], rest);
        l->headers[i].data = l->lines[i];
        l->headers[i].next = i + 1 < LINES ? &l->headers[i + 1] : NULL;
    }
    set_options(l, lua_pushfstring(L, "%s/api/v2/vm", endpoint), ca_file);
    lua_pop(L, 1);
    return 1;
}

static char *put(char *to, const char *text, size_t len) {
    memcpy(to, text, len);
    return to + len;
}

/* Write the body for the ids of the table at index 2, and push a table of them. → its length */
static size_t write_body(lua_State *L, least *l) {
    static const char begin[] = "{\"forceShutdown\":false,\"instanceIds\":[\"";
    size_t count = (size_t)lua_rawlen(L, 2);
    char *to = put(l->body, begin, sizeof begin - 1);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 1; i <= count; i++) {
        size_t len;
        lua_rawgeti(L, 2, (int)i);
        const char *id = lua_tolstring(L, -1, &len);
        if (len > BODY_MAX / 2 - (size_t)(to - l->body)) {
            return (size_t)luaL_error(L, "too many ids");
        }
        to = put(i > 1 ? put(to, "\",\"", 3) : to, id, len);
        lua_rawseti(L, -2, (int)i);
    }
    return (size_t)(put(to, "\"]}", 3) - l->body);
}

static void post(lua_State *L, least *l, size_t body_len) {
    char *authorization = l->lines[AUTHORIZATION_LINE] + strlen(beginnings[AUTHORIZATION_LINE]);
    char *timestamp = l->lines[TIME_LINE] + strlen(beginnings[TIME_LINE]);
    zl_sign_input in = {
        .host = zl_view_of(l->host),
        .content_type = ZL_LIT("application/json; charset=utf-8"),
        .body = {l->body, body_len},
        .timestamp_s = time(NULL),
    };
    timestamp[zl_write_int(timestamp, in.timestamp_s)] = '\0';
    int rc = zl_sign(l->signer, &in, authorization);
    authorization[zl_signer_authorization_len(l->signer)] = '\0';
    (void)curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE, (long)body_len);
    (void)curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, l->body);
    l->answer_len = 0;
    long status = 0;
    if (rc != ZL_OK || curl_easy_perform(l->easy) != CURLE_OK ||
        curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || status != 200) {
        (void)luaL_error(L, "not the answer that was expected");
    }
}

/* (client, ids) → request_ids, batches */
static int stop_instances(lua_State *L) {
    enum { IDS = 3, DECODED, REQUEST_ID };
    least *l = lua_touserdata(L, 1);
    lua_settop(L, 2);
    size_t body_len = write_body(L, l);
    post(L, l, body_len);
    lua_pushvalue(L, lua_upvalueindex(1)); /* lua-cjson's decode */
    lua_pushlstring(L, l->answer, l->answer_len);
    lua_call(L, 1, 1);
    lua_getfield(L, DECODED, "requestId");
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, REQUEST_ID);
    lua_rawseti(L, -2, 1);
    lua_createtable(L, 1, 0);
    lua_createtable(L, 0, 5);
    lua_pushliteral(L, "accepted");
    lua_setfield(L, -2, "outcome");
    lua_pushvalue(L, REQUEST_ID);
    lua_setfield(L, -2, "request_id");
    lua_pushvalue(L, IDS);
    lua_setfield(L, -2, "instance_ids");
    lua_pushinteger(L, 1);
    lua_setfield(L, -2, "attempts");
    lua_getfield(L, DECODED, "response");
    lua_setfield(L, -2, "response");
    lua_rawseti(L, -2, 1);
    return 2;
}

static int collect(lua_State *L) {
    least *l = lua_touserdata(L, 1);
    curl_easy_cleanup(l->easy);
    zl_signer_free(l->signer);
    return 0;
}

int luaopen_bench_least(lua_State *L);
__attribute__((visibility("default"))) int luaopen_bench_least(lua_State *L) {
    (void)luaL_newmetatable(L, TYPE);
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "cjson");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "decode");
    lua_remove(L, -2);
    lua_pushcclosure(L, stop_instances, 1);
    lua_setfield(L, -2, "stop_instances");
    lua_setfield(L, -2, "__index");
    lua_newtable(L);
    lua_pushcfunction(L, new_least);
    lua_setfield(L, -2, "new");
    return 1;
}
