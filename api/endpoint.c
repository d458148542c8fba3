#include "endpoint.h"

#include <string.h>

typedef struct authority {
    zl_view host; /* with the brackets of an IPv6 address */
    int port;     /* 0: none given */
} authority;

static bool is_host_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

static bool is_v6_char(char c) {
    return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == ':' ||
           c == '.';
}

/* The length of the host that text begins with; 0 if there is none. */
static size_t host_length(zl_view text) {
    size_t len = 0;
    if (text.len > 0 && text.data[0] == '[') {
        for (len = 1; len < text.len && is_v6_char(text.data[len]); len++) {
        }
        return len > 1 && len < text.len && text.data[len] == ']' ? len + 1 : 0;
    }
    while (len < text.len && is_host_char(text.data[len])) {
        len++;
    }
    return len;
}

static const char *parse_authority(zl_view text, authority *out) {
    size_t host_len = host_length(text);
    if (host_len == 0 || host_len > 255) {
        return "has no valid host name";
    }
    out->host = (zl_view){text.data, host_len};
    out->port = 0;
    if (host_len == text.len) {
        return NULL;
    }
    if (text.data[host_len] != ':' || text.len - host_len > 6) {
        return "has something after its host that is no port";
    }
    for (size_t i = host_len + 1; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return "has something after its host that is no port";
        }
        out->port = out->port * 10 + (text.data[i] - '0');
    }
    return out->port >= 1 && out->port <= 65535 ? NULL : "has a port outside 1 to 65535";
}

/* "127." and three more numbers up to 255; "127.evil.example" and "127.0.0.256" are names like any
 * other. So is "127.0.0.08": with a zero in front a number is octal, which that is not. */
static bool is_loopback_v4(zl_view host) {
    int dots = 0, digits = 0, value = 0;
    if (!zl_view_starts_with(host, ZL_LIT("127."))) {
        return false;
    }
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        if (c == '.' && digits > 0) {
            dots++;
            digits = value = 0;
        } else if (c >= '0' && c <= '9' && ++digits <= 3 && (digits == 1 || value > 0)) {
            value = value * 10 + (c - '0');
        } else {
            return false;
        }
        if (value > 255) {
            return false;
        }
    }
    return dots == 3 && digits > 0;
}

static bool is_loopback(zl_view host) {
    return zl_view_equal_nocase(host, ZL_LIT("localhost")) ||
           zl_view_equal(host, ZL_LIT("[::1]")) || is_loopback_v4(host);
}

const char *zl_endpoint_parse(zl_endpoint *out, zl_view url) {
    *out = (zl_endpoint){0};
    bool tls = url.len >= 8 && zl_view_equal_nocase((zl_view){url.data, 8}, ZL_LIT("https://"));
    bool plain = url.len >= 7 && zl_view_equal_nocase((zl_view){url.data, 7}, ZL_LIT("http://"));
    if (!tls && !plain) {
        return "is no https:// URL";
    }
    size_t skip = tls ? 8 : 7;
    zl_view rest = {url.data + skip, url.len - skip};
    if (rest.len > 0 && rest.data[rest.len - 1] == '/') {
        rest.len--;
    }
    if (rest.len > 0 && memchr(rest.data, '@', rest.len) != NULL) {
        return "must not carry a user or a password";
    }
    if (rest.len > 0 &&
        (memchr(rest.data, '/', rest.len) != NULL || memchr(rest.data, '?', rest.len) != NULL ||
         memchr(rest.data, '#', rest.len) != NULL)) {
        return "must end after the host and port";
    }
    authority at;
    const char *problem = parse_authority(rest, &at);
    if (problem != NULL) {
        return problem;
    }
    if (plain && !is_loopback(at.host)) {
        return "is http://, which is accepted for loopback addresses alone";
    }
    out->tls = tls;
    zl_buf_add_view(&out->host, at.host);
    if (at.port != 0 && at.port != (tls ? 443 : 80)) {
        zl_buf_add_char(&out->host, ':');
        zl_buf_add_int(&out->host, at.port);
    }
    zl_buf_add_text(&out->base, tls ? "https://" : "http://");
    zl_buf_add_view(&out->base, zl_buf_view(&out->host));
    return NULL;
}

void zl_endpoint_free(zl_endpoint *endpoint) {
    zl_buf_free(&endpoint->base);
    zl_buf_free(&endpoint->host);
    *endpoint = (zl_endpoint){0};
}

const char *zl_endpoint_check_address(zl_view address, bool *loopback) {
    authority at;
    const char *problem = parse_authority(address, &at);
    if (problem == NULL) {
        *loopback = is_loopback(at.host);
    }
    return problem;
}

static void add_place(zl_buf *out, const authority *at, int otherwise) {
    zl_buf_add_view(out, at->host);
    zl_buf_add_char(out, ':');
    zl_buf_add_int(out, at->port != 0 ? at->port : otherwise);
}

void zl_endpoint_add_place(zl_buf *out, const zl_endpoint *endpoint, zl_view text) {
    authority own, at;
    if (parse_authority(zl_buf_view(&endpoint->host), &own) == NULL &&
        parse_authority(text, &at) == NULL) {
        int port = own.port != 0 ? own.port : endpoint->tls ? 443 : 80;
        add_place(out, &at, port);
    }
}

/* Where the first of these characters is in text; its length if none is. */
static size_t find_any(zl_view text, const char *characters) {
    size_t at = 0;
    while (at < text.len && strchr(characters, text.data[at]) == NULL) {
        at++;
    }
    return at;
}

zl_proxy_kind zl_endpoint_add_proxy(zl_buf *out, zl_view url) {
    zl_proxy_kind kind = ZL_PROXY_HTTP;
    size_t scheme = find_any(url, ":/@?#");
    if (scheme + 3 <= url.len && memcmp(url.data + scheme, "://", 3) == 0) {
        zl_view name = {url.data, scheme};
        kind = zl_view_equal_nocase(name, ZL_LIT("http"))    ? ZL_PROXY_HTTP
               : zl_view_equal_nocase(name, ZL_LIT("https")) ? ZL_PROXY_HTTPS
                                                             : ZL_PROXY_OTHER;
        url = (zl_view){url.data + scheme + 3, url.len - scheme - 3};
    }
    zl_view text = {url.data, find_any(url, "/?#")};
    if (text.len < url.len && memchr(url.data + text.len, '@', url.len - text.len) != NULL) {
        return kind; /* a password that should have been escaped? */
    }
    for (size_t i = text.len; i > 0; i--) {
        if (text.data[i - 1] == '@') {
            text = (zl_view){text.data + i, text.len - i};
            break;
        }
    }
    authority at;
    if (parse_authority(text, &at) == NULL) {
        add_place(out, &at, kind == ZL_PROXY_HTTPS ? 443 : 1080);
    }
    return kind;
}
