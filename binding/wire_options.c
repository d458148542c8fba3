#include "wire_options.h"

#include <string.h>

#include "../api/client.h"
#include "../api/endpoint.h"
#include "errors.h"
#include "options.h"

enum { MAX_RESPONSE_MOST = 1 << 30 };

/* Whether its scheme is one of these, with NULL at the end. Without a scheme it is http. */
static bool has_scheme(const char *proxy, const char *const *schemes) {
    const char *end = strstr(proxy, "://");
    zl_view scheme = end == NULL ? ZL_LIT("http") : (zl_view){proxy, (size_t)(end - proxy)};
    for (; *schemes != NULL; schemes++) {
        if (zl_view_equal_nocase(scheme, zl_view_of(*schemes))) {
            return true;
        }
    }
    return false;
}

static const char *proxy_option(lua_State *L, const zlb_options *given, bool tls,
                                const char *const *schemes, const char *problem) {
    int type = zlb_option_push(L, given, "proxy");
    bool is_false = type == LUA_TBOOLEAN && !lua_toboolean(L, -1);
    if (type != LUA_TNIL && type != LUA_TSTRING && !is_false) {
        (void)zlb_option_error(L, "proxy", "a URL or false");
    }
    lua_pop(L, 1);
    if (is_false) {
        return "";
    }
    const char *proxy = zlb_option_header(L, given, "proxy").data;
    if (proxy != NULL && !has_scheme(proxy, schemes)) {
        (void)zlb_option_refuse(L, "proxy", problem);
    }
    if (proxy != NULL && !tls) {
        (void)zlb_option_refuse(L, "proxy", "cannot be used with an http:// endpoint");
    }
    return proxy;
}

static const char *connect_to_option(lua_State *L, const zlb_options *given, bool tls) {
    zl_view address = zlb_option_string(L, given, "connect_to");
    bool loopback = true;
    const char *problem = address.len > 0 ? zl_endpoint_check_address(address, &loopback) : NULL;
    if (problem != NULL) {
        (void)zlb_option_refuse(L, "connect_to", problem);
    }
    if (!tls && !loopback) {
        (void)zlb_option_refuse(L, "connect_to",
                                "must be a loopback address with an http:// endpoint");
    }
    return address.data;
}

zlb_wire_options zlb_wire_options_read(lua_State *L, const zlb_options *given, bool tls,
                                       const char *const *schemes, const char *problem) {
    int64_t connect_timeout_ms = zlb_option_seconds(L, given, "connect_timeout");
    int64_t max_bytes = zlb_option_count(L, given, "max_response_bytes", MAX_RESPONSE_MOST);
    return (zlb_wire_options){
        .connect_to = connect_to_option(L, given, tls),
        .proxy = proxy_option(L, given, tls, schemes, problem),
        .connect_timeout_ms =
            connect_timeout_ms > 0 ? connect_timeout_ms : ZL_DEFAULT_CONNECT_TIMEOUT_MS,
        .max_response_bytes = max_bytes > 0 ? (size_t)max_bytes : ZL_DEFAULT_MAX_RESPONSE_BYTES,
    };
}
