#include "transfer.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum { HEAD_MAX = 64 * 1024, HEAD_USUAL = 120, KEPT_BUFFER_MAX = 64 * 1024 };

/* --- libcurl's callbacks ---------------------------------------------------------------------- */

static size_t on_header(char *data, size_t size, size_t count, void *context) {
    zl_transfer *t = context;
    size_t len = size * count;
    t->head_total += len;
    if (t->head_total > HEAD_MAX) {
        t->too_large = true;
        return 0;
    }
    if (len >= 5 &&
        memcmp(data, "HTTP/", 5) == 0) { /* an interim answer's head is not the answer's */
        zl_buf_clear(&t->head);
        (void)zl_buf_reserve(&t->head, HEAD_USUAL); /* if it fails, what is added tells */
        t->head_ended = false;
        zl_sockets_answered(&t->wire->sockets, t->local_port,
                            len >= 7 && memcmp(data, "HTTP/1.", 7) == 0);
        t->answers = zl_sockets_answers(&t->wire->sockets, t->local_port);
        return len;
    }
    if (t->head_ended) { /* trailers say nothing that matters here */
        return len;
    }
    t->head_ended = data[0] == '\r' || data[0] == '\n';
    if (zl_answer_wants((zl_view){data, len})) {
        zl_buf_add(&t->head, data, len);
    }
    t->out_of_memory = t->out_of_memory || !zl_buf_ok(&t->head);
    return t->out_of_memory ? 0 : len;
}

static size_t on_body(char *data, size_t size, size_t count, void *context) {
    zl_transfer *t = context;
    size_t len = size * count;
    if (len > t->wire->max_response_bytes - t->body.len) {
        t->too_large = true;
        return 0;
    }
    zl_buf_add(&t->body, data, len);
    t->out_of_memory = t->out_of_memory || !zl_buf_ok(&t->body);
    return t->out_of_memory ? 0 : len;
}

static void tell_opened(const zl_transfer *t, const char *remote_ip, int remote_port) {
    zl_event *event =
        zl_events_add(t->wire->events, ZL_EVENT_CONNECTION_OPENED, zl_clock_mono_ms());
    if (event == NULL) {
        return;
    }
    curl_off_t took_us = 0;
    (void)curl_easy_getinfo(
        t->easy, t->wire->tls ? CURLINFO_APPCONNECT_TIME_T : CURLINFO_CONNECT_TIME_T, &took_us);
    event->duration_ms = took_us / 1000;
    zl_buf_addf(&event->address, strchr(remote_ip, ':') != NULL ? "[%s]:%d" : "%s:%d", remote_ip,
                remote_port);
}

/* Called before each sending of the request, and there are more of them than one may think: when a
 * kept connection dies before the first byte of an answer, libcurl sends a POST again by itself.
 * The server may have acted on the first; whether to try again is not libcurl's to decide. */
static int on_send(void *context, char *remote_ip, char *local_ip, int remote_port,
                   int local_port) {
    zl_transfer *t = context;
    (void)local_ip;
    if (t->sends > 0) {
        t->resent = true;
        return CURL_PREREQFUNC_ABORT;
    }
    if (t->op == NULL && !t->is_warm_up) { /* given up while its name was being resolved */
        return CURL_PREREQFUNC_ABORT;
    }
    t->local_port = local_port;
    bool is_first;
    if (!zl_sockets_use(&t->wire->sockets, local_port, &is_first)) {
        t->tainted = true;
        return CURL_PREREQFUNC_ABORT;
    }
    t->answers = zl_sockets_answers(&t->wire->sockets, local_port);
    if (is_first) {
        tell_opened(t, remote_ip, remote_port);
    }
    t->sends++;
    return CURL_PREREQFUNC_OK;
}

/* Before a name is resolved, or an address read. */
static int on_resolve(void *resolver, void *reserved, void *context) {
    zl_transfer *t = context;
    (void)resolver;
    (void)reserved;
    t->began = true;
    return 0;
}

static curl_socket_t on_open_socket(void *context, curlsocktype purpose,
                                    struct curl_sockaddr *address) {
    zl_transfer *t = context;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd >= 0 && !zl_sockets_open(&t->wire->sockets, fd, t)) {
        (void)close(fd);
        return CURL_SOCKET_BAD;
    }
    return fd;
}

static int on_close_socket(void *context, curl_socket_t fd) {
    zl_wire *wire = context;
    zl_sockets_forget(&wire->sockets, fd);
    return close(fd);
}

/* --- options ---------------------------------------------------------------------------------- */

/* Whether every option so far was taken. */
typedef struct setter {
    CURL *easy;
    CURLcode rc;
} setter;

#define SET(s, option, value)                                                                      \
    do {                                                                                           \
        if ((s)->rc == CURLE_OK) {                                                                 \
            (s)->rc = curl_easy_setopt((s)->easy, (option), (value));                              \
        }                                                                                          \
    } while (0)

static void set_callbacks(setter *s, zl_transfer *t) {
    SET(s, CURLOPT_PRIVATE, t);
    SET(s, CURLOPT_ERRORBUFFER, t->error_text);
    SET(s, CURLOPT_HEADERFUNCTION, on_header);
    SET(s, CURLOPT_HEADERDATA, t);
    SET(s, CURLOPT_WRITEFUNCTION, on_body);
    SET(s, CURLOPT_WRITEDATA, t);
    SET(s, CURLOPT_PREREQFUNCTION, on_send);
    SET(s, CURLOPT_PREREQDATA, t);
    SET(s, CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
    SET(s, CURLOPT_RESOLVER_START_DATA, t);
    SET(s, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(s, CURLOPT_OPENSOCKETDATA, t);
    SET(s, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    SET(s, CURLOPT_CLOSESOCKETDATA, t->wire);
}

static void set_protocol(setter *s, const zl_wire *wire) {
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(s, CURLOPT_PROTOCOLS_STR, wire->tls ? "https" : "http");
#else
    SET(s, CURLOPT_PROTOCOLS, (long)(wire->tls ? CURLPROTO_HTTPS : CURLPROTO_HTTP));
#endif
    SET(s, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* Without TLS nothing but an answer would tell that there is nothing to wait for. */
    SET(s, CURLOPT_PIPEWAIT, wire->tls ? 1L : 0L);
    SET(s, CURLOPT_NOSIGNAL, 1L);
    SET(s, CURLOPT_FOLLOWLOCATION, 0L);
    SET(s, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(s, CURLOPT_MAXAGE_CONN, 50L); /* servers close idle connections soon after a minute */
    /* The engine ends it before, while there is still to be seen how far it got. */
    SET(s, CURLOPT_CONNECTTIMEOUT_MS, (long)wire->connect_timeout_ms + 1000);
    SET(s, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)wire->max_response_bytes);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Do not wait for a resolver's thread. The libcurl that runs may be too old to know this. */
    (void)curl_easy_setopt(s->easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    if (wire->connect_to != NULL) {
        SET(s, CURLOPT_CONNECT_TO, wire->connect_to);
    }
    if (wire->has_proxy) {
        SET(s, CURLOPT_PROXY, wire->proxy.len > 0 ? wire->proxy.data : "");
    }
    if (wire->no_proxy.len > 0) {
        SET(s, CURLOPT_NOPROXY, wire->no_proxy.data);
    } else if (wire->has_proxy) { /* it replaces the environment's no_proxy too */
        SET(s, CURLOPT_NOPROXY, "");
    }
}

static void set_trust(setter *s, const zl_wire *wire) {
    SET(s, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(s, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(s, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    /* With neither, the trust is libcurl's own default. With one of them the other must go: the
     * built-in default would be trusted besides, and libcurl's cache of the file would not work. */
    if (wire->ca_file.len > 0 || wire->ca_path.len > 0) {
        SET(s, CURLOPT_CAINFO, wire->ca_file.len > 0 ? wire->ca_file.data : NULL);
        SET(s, CURLOPT_CAPATH, wire->ca_path.len > 0 ? wire->ca_path.data : NULL);
    }
}

zl_transfer *zl_transfer_new(zl_wire *wire) {
    zl_transfer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return NULL;
    }
    t->wire = wire;
    t->easy = curl_easy_init();
    setter s = {t->easy, t->easy == NULL ? CURLE_OUT_OF_MEMORY : CURLE_OK};
    set_callbacks(&s, t);
    set_protocol(&s, wire);
    set_trust(&s, wire);
    if (s.rc != CURLE_OK) {
        zl_transfer_free(t);
        return NULL;
    }
    return t;
}

void zl_transfer_free(zl_transfer *t) {
    if (t->easy != NULL) {
        curl_easy_cleanup(t->easy);
    }
    zl_buf_free(&t->lines);
    zl_buf_free(&t->head);
    zl_buf_free(&t->body);
    OPENSSL_cleanse(t->error_text, sizeof t->error_text); /* may quote a proxy's URL */
    free(t);
}

/* --- one exchange ----------------------------------------------------------------------------- */

/* In place of libcurl's own: the first would stall bodies over 1 KiB for a second, the second says
 * nothing. */
static const char *const own_lines[] = {"Expect:", "Accept: application/json"};

/* The headers of a request, as a list for libcurl. False when out of memory. */
static bool set_headers(zl_transfer *t, const zl_request *request) {
    size_t count = request->header_count, all = count + sizeof own_lines / sizeof own_lines[0];
    zl_buf_set(&t->lines, zl_buf_view(&request->lines)); /* each ends in NUL there */
    if (!zl_buf_ok(&t->lines)) {
        return false;
    }
    for (size_t i = 0; i < all; i++) {
        t->headers[i].data =
            i < count ? t->lines.data + request->headers[i].start : (char *)own_lines[i - count];
        t->headers[i].next = i + 1 < all ? &t->headers[i + 1] : NULL;
    }
    return true;
}

bool zl_transfer_prepare(zl_transfer *t, const zl_request *request) {
    setter s = {t->easy, set_headers(t, request) ? CURLE_OK : CURLE_OUT_OF_MEMORY};
    SET(&s, CURLOPT_POST, 1L); /* also undoes a warm-up's HEAD */
    SET(&s, CURLOPT_URL, request->url.data);
    SET(&s, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    SET(&s, CURLOPT_POSTFIELDS, request->body.len > 0 ? request->body.data : "");
    SET(&s, CURLOPT_HTTPHEADER, t->headers);
    SET(&s, CURLOPT_FRESH_CONNECT, 0L);
    return s.rc == CURLE_OK;
}

bool zl_transfer_prepare_warm_up(zl_transfer *t) {
    t->is_warm_up = true;
    setter s = {t->easy, CURLE_OK};
    SET(&s, CURLOPT_NOBODY, 1L);
    SET(&s, CURLOPT_URL, t->wire->base.data);
    SET(&s, CURLOPT_HTTPHEADER, NULL);
    SET(&s, CURLOPT_FRESH_CONNECT, 0L);
    return s.rc == CURLE_OK;
}

void zl_transfer_rewind(zl_transfer *t) {
    t->began = t->tainted = false;
    t->error_text[0] = '\0';
    (void)curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L);
}

bool zl_transfer_broke_connection(const zl_transfer *t, CURLcode rc) {
    bool large_body = rc == CURLE_FILESIZE_EXCEEDED || (t->too_large && t->head_total <= HEAD_MAX);
    bool unsent = rc == CURLE_ABORTED_BY_CALLBACK && !t->resent;
    return rc != CURLE_OK && !large_body && !unsent;
}

static void reset_buffer(zl_buf *buf) {
    if (buf->cap > KEPT_BUFFER_MAX) {
        zl_buf_free(buf);
    } else {
        zl_buf_clear(buf);
    }
}

void zl_transfer_reset(zl_transfer *t) {
    (void)curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
    zl_buf_clear(&t->lines);
    (void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, NULL);
    reset_buffer(&t->head);
    reset_buffer(&t->body);
    t->op = NULL;
    t->n = 0;
    t->is_warm_up = t->began = false;
    t->sends = 0;
    t->local_port = 0;
    t->resent = t->tainted = t->too_large = t->out_of_memory = t->head_ended = false;
    t->head_total = 0;
    t->error_text[0] = '\0';
    t->next = NULL;
}
