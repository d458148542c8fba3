#include "wire.h"

#include <stdlib.h>
#include <string.h>

static void set_buf(zl_buf *buf, const char *text) {
    if (text != NULL) {
        zl_buf_add_text(buf, text);
    }
}

/* "::address", libcurl's way to say: whatever the host, whatever the port, dial this. */
static bool set_connect_to(zl_wire *wire, const char *address) {
    zl_buf entry = {0};
    zl_buf_add_text(&entry, "::");
    zl_buf_add_text(&entry, address);
    /* The port has a place of its own after the host; empty: the URL's. */
    const char *after_host = strrchr(address, ']');
    if (strchr(after_host == NULL ? address : after_host, ':') == NULL) {
        zl_buf_add_char(&entry, ':');
    }
    wire->connect_to = zl_buf_ok(&entry) ? curl_slist_append(NULL, entry.data) : NULL;
    zl_buf_free(&entry);
    return wire->connect_to != NULL;
}

/* The first of these variables, with NULL at the end, that is set and not empty; NULL: none is. */
static const char *from_environment(const char *const *names) {
    const char *value = NULL;
    for (; *names != NULL && (value == NULL || value[0] == '\0'); names++) {
        value = getenv(*names);
    }
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Whether there is a proxy, and where. libcurl reads the environment's by itself. */
static void find_proxy(zl_wire *wire) {
    static const char *const proxies[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                          NULL};
    static const char *const exceptions[] = {"no_proxy", "NO_PROXY", NULL};
    const char *url = wire->has_proxy ? wire->proxy.data : from_environment(proxies);
    wire->has_proxy = wire->has_proxy || url == NULL; /* libcurl need not look for each request */
    if (!wire->tls || url == NULL || url[0] == '\0') {
        return;
    }
    bool has_exceptions = !wire->has_proxy && from_environment(exceptions) != NULL;
    wire->proxied = has_exceptions ? ZL_PROXIED_MAYBE : ZL_PROXIED_YES;
    zl_proxy_kind kind = zl_endpoint_add_proxy(&wire->via, zl_view_of(url));
    wire->via_tls = kind == ZL_PROXY_HTTPS;
    wire->via_socks = kind == ZL_PROXY_OTHER;
}

static void set_trust(zl_wire *wire, const zl_transport_options *options) {
    set_buf(&wire->ca_file, options->ca_file);
    set_buf(&wire->ca_path, options->ca_path);
    wire->has_trust = options->ca_file != NULL || options->ca_path != NULL;
    if (!wire->has_trust) {
        /* Debian's libcurl has a bundle and a directory for defaults. The bundle alone holds the
         * same certificates, and it alone can be cached. */
        set_buf(&wire->ca_file, curl_version_info(CURLVERSION_NOW)->cainfo);
    }
}

bool zl_wire_init(zl_wire *wire, const zl_endpoint *endpoint, const zl_transport_options *options) {
    zl_view dial = options->connect_to != NULL ? zl_view_of(options->connect_to)
                                               : zl_buf_view(&endpoint->host);
    zl_buf_add_view(&wire->base, zl_buf_view(&endpoint->base));
    zl_endpoint_add_place(&wire->target, endpoint, dial);
    wire->tls = endpoint->tls;
    wire->connect_timeout_ms = options->connect_timeout_ms;
    wire->max_response_bytes = options->max_response_bytes;
    set_trust(wire, options);
    wire->has_proxy = options->proxy != NULL;
    set_buf(&wire->proxy, options->proxy);
    find_proxy(wire);
    if (!endpoint->tls) { /* plain text stays on this machine */
        zl_buf_add_text(&wire->no_proxy, "*");
    }
    bool ok = zl_buf_ok(&wire->base) && zl_buf_ok(&wire->target) && zl_buf_ok(&wire->via) &&
              zl_buf_ok(&wire->ca_file) && zl_buf_ok(&wire->ca_path) && zl_buf_ok(&wire->proxy) &&
              zl_buf_ok(&wire->no_proxy);
    return ok && (options->connect_to == NULL || set_connect_to(wire, options->connect_to));
}

void zl_wire_free(zl_wire *wire) {
    zl_sockets_free(&wire->sockets);
    curl_slist_free_all(wire->connect_to);
    zl_buf_free(&wire->base);
    zl_buf_free(&wire->target);
    zl_buf_free(&wire->via);
    zl_buf_free(&wire->ca_file);
    zl_buf_free(&wire->ca_path);
    zl_buf_free(&wire->proxy);
    zl_buf_free(&wire->no_proxy);
}
