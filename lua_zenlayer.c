/* What `require "zenlayer"` and `require "zenlayer.safe"` return. */
#include "api/zenlayer.h"

#include <openssl/crypto.h>

#include "api/transport.h"
#include "binding/compat.h"
#include "binding/errors.h"
#include "binding/face.h"
#include "binding/json.h"

/* zenlayer.versions() → { zenlayer =, lua =, libcurl =, openssl =, cjson = }, as they run */
static int m_versions(lua_State *L) {
    lua_createtable(L, 0, 5);
    zlb_set_text(L, "zenlayer", ZL_VERSION);
    lua_getglobal(L, "_VERSION");
    lua_setfield(L, -2, "lua");
    zlb_set_text(L, "libcurl", zl_transport_curl_version());
    zlb_set_text(L, "openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
    zlb_json_push_version(L);
    lua_setfield(L, -2, "cjson");
    return 1;
}

static void push_module(lua_State *L, bool safe) {
    zlb_face_push(L, safe);
    lua_pushcfunction(L, m_versions);
    lua_setfield(L, -2, "versions");
}

ZL_EXPORT int luaopen_zenlayer(lua_State *L) {
    push_module(L, false);
    return 1;
}

ZL_EXPORT int luaopen_zenlayer_safe(lua_State *L) {
    push_module(L, true);
    return 1;
}
