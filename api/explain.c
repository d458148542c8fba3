#include "explain.h"

#include <errno.h>
#include <openssl/x509_vfy.h>
#include <string.h>

typedef enum phase {
    QUEUED,
    RESOLVING,
    CONNECTING,
    TUNNEL,
    HANDSHAKE,
    SENDING,
    WAITING,
    RECEIVING
} phase;

/* What is known of an exchange that went wrong. */
typedef struct failure {
    const zl_transfer *t;
    CURLcode rc;
    zl_code code;
    phase phase;
    bool proxied;    /* for certain */
    long tunnel;     /* the proxy's answer to CONNECT; 0: none */
    size_t received; /* bytes of an answer */
} failure;

/* --- the code --------------------------------------------------------------------------------- */

static bool is_verify_failure(CURLcode rc) {
    return rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE ||
           rc == CURLE_SSL_ISSUER_ERROR || rc == CURLE_SSL_INVALIDCERTSTATUS;
}

static bool is_tls_failure(CURLcode rc) {
    return rc == CURLE_SSL_CONNECT_ERROR || rc == CURLE_SSL_CIPHER || rc == CURLE_SSL_CERTPROBLEM ||
           rc == CURLE_SSL_ENGINE_INITFAILED;
}

static bool was_refused_by_proxy(const failure *f) {
    return f->tunnel != 0 && f->tunnel / 100 != 2;
}

/* Nothing was sent. */
static zl_code classify_unsent(const failure *f) {
    if (was_refused_by_proxy(f)) {
        return ZL_CODE_PROXY_FAILED;
    } else if (is_verify_failure(f->rc)) {
        return ZL_CODE_TLS_VERIFY_FAILED;
    } else if (is_tls_failure(f->rc)) {
        return ZL_CODE_TLS_FAILED;
    }
    switch (f->rc) {
    case CURLE_COULDNT_RESOLVE_HOST: return ZL_CODE_RESOLVE_FAILED;
    case CURLE_OPERATION_TIMEDOUT: return ZL_CODE_CONNECT_TIMEOUT;
    default: return f->proxied ? ZL_CODE_PROXY_FAILED : ZL_CODE_CONNECT_FAILED;
    }
}

/* libcurl has a limit of its own for one header line, 100 KiB, and says "out of memory" when it is
 * passed; from 8.6 on CURLE_TOO_LARGE, which is 100. */
static bool is_line_too_long(const zl_transfer *t, CURLcode rc) {
    return t->sends > 0 && !t->out_of_memory && !t->head_ended &&
           (rc == CURLE_OUT_OF_MEMORY || (int)rc == 100);
}

static zl_code classify(const failure *f) {
    const zl_transfer *t = f->t;
    if (t->too_large || is_line_too_long(t, f->rc) || f->rc == CURLE_FILESIZE_EXCEEDED) {
        return ZL_CODE_RESPONSE_TOO_LARGE;
    }
    if (t->sends == 0) {
        return classify_unsent(f);
    }
    switch (f->rc) {
    case CURLE_OPERATION_TIMEDOUT: return ZL_CODE_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL: /* what came was no HTTP */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING: return ZL_CODE_BAD_RESPONSE;
    default: return ZL_CODE_CONNECTION_LOST;
    }
}

/* --- the phase -------------------------------------------------------------------------------- */

/* Whether libcurl got to some point of a connection, by the time when it did. */
static bool was_reached(const zl_transfer *t, CURLINFO time) {
    curl_off_t us = 0;
    (void)curl_easy_getinfo(t->easy, time, &us);
    return us > 0;
}

static bool is_uploading(const zl_transfer *t) {
    curl_off_t sent = 0, all = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    (void)curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_UPLOAD_T, &all);
    return sent < all;
}

/* Between a connection's being made and the request. */
static phase phase_connected(const failure *f) {
    return f->proxied && f->tunnel == 0 ? TUNNEL : f->t->wire->tls ? HANDSHAKE : CONNECTING;
}

/* It took too long, and libcurl is still at it. */
static phase phase_of_timeout(const failure *f) {
    const zl_transfer *t = f->t;
    if (!was_reached(t, CURLINFO_NAMELOOKUP_TIME_T)) {
        return t->began ? RESOLVING : QUEUED;
    }
    /* Some versions of libcurl (7.88) tell of a connection only when TLS is there too. */
    bool is_connected =
        was_reached(t, CURLINFO_CONNECT_TIME_T) || zl_sockets_is_connected(&t->wire->sockets, t);
    return is_connected ? phase_connected(f) : CONNECTING;
}

static phase phase_unsent(const failure *f) {
    if (was_refused_by_proxy(f)) {
        return TUNNEL;
    } else if (is_verify_failure(f->rc) || is_tls_failure(f->rc)) {
        return HANDSHAKE;
    }
    switch (f->rc) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return RESOLVING;
    case CURLE_PROXY: return TUNNEL;
    case CURLE_COULDNT_CONNECT:
        return strncmp(f->t->error_text, "Proxy CONNECT", 13) == 0 ? TUNNEL : CONNECTING;
    case CURLE_OPERATION_TIMEDOUT: return phase_of_timeout(f);
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR: return phase_connected(f);
    default: return CONNECTING;
    }
}

static phase phase_of(const failure *f) {
    if (f->t->sends == 0) {
        return phase_unsent(f);
    }
    return f->received > 0 ? RECEIVING : is_uploading(f->t) ? SENDING : WAITING;
}

/* --- the message ------------------------------------------------------------------------------ */

/* The first handshake is with the proxy, where that is an https one. */
static bool is_with_proxy(const failure *f) {
    return f->proxied && (f->phase < HANDSHAKE ||
                          (f->phase == HANDSHAKE && f->t->wire->via_tls && f->tunnel == 0));
}

static void add_proxy(zl_buf *message, const zl_wire *wire) {
    zl_buf_add_text(message, wire->via.len > 0 ? "the proxy " : "the proxy");
    zl_buf_add_view(message, zl_buf_view(&wire->via));
}

/* "connecting to 127.0.0.1:443 (connect_to), for https://api.example: " */
static void add_place(zl_buf *message, const failure *f) {
    static const char *const doing[] = {
        [QUEUED] = "waiting for a connection to ", [RESOLVING] = "resolving ",
        [CONNECTING] = "connecting to ",           [TUNNEL] = "CONNECT by ",
        [HANDSHAKE] = "TLS handshake with ",       [SENDING] = "sending to ",
        [WAITING] = "waiting for the answer of ",  [RECEIVING] = "receiving from ",
    };
    const zl_wire *wire = f->t->wire;
    bool with_proxy = is_with_proxy(f);
    /* With SOCKS, or TLS before CONNECT, it is not to be seen how far it got. */
    bool is_vague = f->phase == TUNNEL && f->tunnel == 0 && (wire->via_socks || wire->via_tls);
    zl_buf_add_text(message, is_vague ? "connecting through " : doing[f->phase]);
    if (with_proxy) {
        add_proxy(message, wire);
    } else {
        zl_buf_add_view(message, zl_buf_view(&wire->target));
        zl_buf_add_text(message, wire->connect_to != NULL ? " (connect_to)" : "");
    }
    if (!with_proxy && wire->proxied != ZL_PROXIED_NO && (f->proxied || f->phase < SENDING)) {
        zl_buf_add_text(message, f->proxied ? " through " : " or ");
        add_proxy(message, wire);
    }
    if (with_proxy || wire->connect_to != NULL) {
        zl_buf_add_text(message, ", for ");
        zl_buf_add_view(message, zl_buf_view(&wire->base));
    }
    zl_buf_add_text(message, ": ");
}

static void add_seconds(zl_buf *message, int64_t ms) {
    zl_buf_add_int(message, ms % 1000 == 0 ? ms / 1000 : ms);
    zl_buf_add_text(message, ms % 1000 == 0 ? " s" : " ms");
}

static void add_timeout(zl_buf *message, const failure *f) {
    const zl_transfer *t = f->t;
    int64_t connect_ms = t->wire->connect_timeout_ms;
    int64_t began_ms = t->connect_until_ms - connect_ms;
    bool unsent = t->sends == 0, by_connect = unsent && t->connect_until_ms < t->until_ms;
    if (f->phase == RECEIVING) {
        zl_buf_addf(message, "%zu bytes came within ", f->received);
    } else {
        zl_buf_add_text(message, unsent ? "not done within "
                                 : f->phase == SENDING
                                     ? "not all was taken within "
                                     : "not a line of it came within "); /* libcurl gives lines */
    }
    add_seconds(message, by_connect ? connect_ms : t->until_ms - began_ms);
    zl_buf_add_text(message, by_connect ? " (connect_timeout)" : "");
}

/* Why no connection was made: libcurl just says that it was not. NULL: for a rarer reason. */
static const char *connect_problem(const failure *f) {
    long number = 0;
    (void)curl_easy_getinfo(f->t->easy, CURLINFO_OS_ERRNO, &number);
    switch (f->rc == CURLE_COULDNT_CONNECT && f->phase == CONNECTING ? number : 0) {
    case ECONNREFUSED: return "connection refused";
    case EHOSTUNREACH: return "no route to the host";
    case ENETUNREACH: return "the network is unreachable";
    case ETIMEDOUT: return "timed out";
    default: return NULL;
    }
}

/* libcurl's own words are the best there are, but where it does not like a proxy's URL it quotes
 * that, password and all. Some are of several lines. */
static void add_words_of_curl(zl_buf *message, const failure *f) {
    const char *text = f->t->error_text;
    if (text[0] == '\0' || strchr(text, '@') != NULL || strstr(text, "://") != NULL) {
        text = curl_easy_strerror(f->rc);
    }
    for (; *text != '\0'; text++) {
        zl_buf_add_char(message, (unsigned char)*text < ' ' ? ' ' : *text);
    }
}

static void add_reason(zl_buf *message, const failure *f) {
    const zl_transfer *t = f->t;
    const char *problem = connect_problem(f);
    if (t->out_of_memory) {
        zl_buf_add_text(message, "out of memory");
    } else if (f->code == ZL_CODE_RESPONSE_TOO_LARGE) {
        zl_buf_add_text(message, "a head over 64 KiB, or a body over max_response_bytes");
    } else if (t->resent) {
        zl_buf_add_text(message, "the connection closed without an answer");
    } else if (f->rc == CURLE_OPERATION_TIMEDOUT) {
        add_timeout(message, f);
    } else if (problem != NULL) {
        zl_buf_add_text(message, problem);
    } else {
        add_words_of_curl(message, f);
    }
    if (f->code == ZL_CODE_CONNECTION_LOST && f->received > 0) {
        zl_buf_addf(message, " (%zu bytes came)", f->received);
    }
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* "/etc/ca.pem (ca_file)" */
static void add_trust(zl_buf *message, const zl_wire *wire) {
    bool file = wire->ca_file.len > 0, path = wire->ca_path.len > 0;
    zl_buf_add_view(message, zl_buf_view(&wire->ca_file));
    zl_buf_add_text(message, file && path ? " and " : !file && !path ? "libcurl's own place" : "");
    zl_buf_add_view(message, zl_buf_view(&wire->ca_path));
    zl_buf_add_text(message, !wire->has_trust ? ", the system's; ca_file or ca_path names others"
                             : !path          ? " (ca_file)"
                             : !file          ? " (ca_path)"
                                              : " (ca_file, ca_path)");
}

/* The host of an endpoint or a proxy, as it is in a certificate. */
static zl_view name_of(zl_view place) {
    const char *scheme_end = "://";
    for (size_t i = 0; i + 3 <= place.len; i++) {
        if (memcmp(place.data + i, scheme_end, 3) == 0) {
            place = (zl_view){place.data + i + 3, place.len - i - 3};
            break;
        }
    }
    if (place.len > 0 && place.data[0] == '[') {
        const char *end = memchr(place.data, ']', place.len);
        return (zl_view){place.data + 1, end == NULL ? 0 : (size_t)(end - place.data) - 1};
    }
    const char *end = memchr(place.data, ':', place.len);
    return (zl_view){place.data, end == NULL ? place.len : (size_t)(end - place.data)};
}

static void add_name(zl_buf *message, const failure *f) {
    const zl_wire *wire = f->t->wire;
    bool with_proxy = is_with_proxy(f);
    zl_buf_add_text(message, with_proxy ? "; the name that was verified is the proxy's, "
                                        : "; the name that was verified is the endpoint's, ");
    zl_buf_add_view(message, name_of(zl_buf_view(with_proxy ? &wire->via : &wire->base)));
    if (!with_proxy && wire->connect_to != NULL) {
        zl_buf_add_text(message, ", not that of connect_to");
    }
}

/* Whether the certificate is good, but for its name. */
static bool is_of_another_name(const failure *f) {
    return f->rc == CURLE_PEER_FAILED_VERIFICATION && strstr(f->t->error_text, " match") != NULL;
}

/* Why the certificate was not good enough, and what can be done. */
static void add_verify_failure(zl_buf *message, const failure *f) {
    const zl_wire *wire = f->t->wire;
    bool with_proxy = is_with_proxy(f);
    long result = -1;
    (void)curl_easy_getinfo(
        f->t->easy, with_proxy ? CURLINFO_PROXY_SSL_VERIFYRESULT : CURLINFO_SSL_VERIFYRESULT,
        &result);
    if (f->rc == CURLE_SSL_CACERT_BADFILE && !with_proxy) {
        zl_buf_add_text(message, "cannot load the certificates to trust, from ");
        add_trust(message, wire);
        return;
    }
    add_words_of_curl(message, f);
    if (is_of_another_name(f)) {
        add_name(message, f);
        return;
    }
    if (result == X509_V_ERR_CERT_HAS_EXPIRED || result == X509_V_ERR_CERT_NOT_YET_VALID) {
        zl_buf_add_text(message, ", or this machine's clock is wrong");
    }
    if (with_proxy) {
        zl_buf_add_text(message, "; of a proxy the system's certificates are trusted");
    } else {
        zl_buf_add_text(message, "; trusted are the certificates in ");
        add_trust(message, wire);
    }
}

static void add_tls_help(zl_buf *message, const zl_transfer *t) {
    static const char *const old[] = {"protocol version", "unsupported protocol", "version too low",
                                      "no protocols available"};
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        if (strstr(t->error_text, old[i]) != NULL) {
            zl_buf_add_text(message, "; TLS 1.2 or newer is needed");
            return;
        }
    }
    if (strstr(t->error_text, "wrong version number") != NULL) {
        zl_buf_add_text(message, "; that port may speak no TLS");
    }
}

/* --- all of it -------------------------------------------------------------------------------- */

zl_code zl_explain(const zl_transfer *t, CURLcode rc, zl_buf *message) {
    failure f = {.t = t, .rc = rc, .received = t->head_total + t->body.len};
    (void)curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &f.tunnel);
    f.proxied = t->wire->proxied == ZL_PROXIED_YES || f.tunnel != 0 || rc == CURLE_PROXY ||
                rc == CURLE_COULDNT_RESOLVE_PROXY;
    f.code = classify(&f);
    f.phase = phase_of(&f);
    add_place(message, &f);
    if (f.code == ZL_CODE_TLS_VERIFY_FAILED) {
        add_verify_failure(message, &f);
        return f.code;
    }
    add_reason(message, &f);
    if (f.code == ZL_CODE_TLS_FAILED) {
        add_tls_help(message, t);
    }
    return f.code;
}
