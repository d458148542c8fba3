#include "request.h"

#include <string.h>

#include "error.h"
#include "json.h"
#include "zenlayer.h"

#define CONTENT_TYPE "application/json; charset=utf-8"

/* The header lines but for the Authorization, mostly. Growing to that would copy and wipe often. */
enum { LINES_ROOM = 512 };

/* Append a header's line, whose name comes with ": ". Returns where its value is to be written;
 * NULL when out of memory. */
static char *add_line(zl_request *out, zl_view name, size_t value_len) {
    zl_buf *lines = &out->lines;
    size_t len = name.len + value_len;
    if (!zl_buf_reserve(lines, len + 1)) {
        return NULL;
    }
    char *line = lines->data + lines->len;
    memcpy(line, name.data, name.len);
    out->headers[out->header_count++] =
        (struct zl_header_place){.start = lines->len, .name_len = name.len - 2, .len = len};
    lines->len += len + 1;
    memset(line + len, 0, 2); /* the line's NUL, and the buffer's own */
    return line + name.len;
}

static void add_header(zl_request *out, zl_view name, zl_view value) {
    char *to = add_line(out, name, value.len);
    if (to != NULL && value.len > 0) {
        memcpy(to, value.data, value.len);
    }
}

static int add_authorization(zl_request *out, zl_signer *signer, const zl_sign_input *in) {
    char *to = add_line(out, ZL_LIT("Authorization: "), zl_signer_authorization_len(signer));
    return to != NULL ? zl_sign(signer, in, to) : ZL_ERR_NOMEM;
}

/* Nothing that a caller gave may end a header's line. */
static bool is_fit(const zl_sender *sender, const zl_action *action) {
    return zl_header_safe(action->name) && zl_header_safe(action->version) &&
           zl_header_safe(action->service) && zl_header_safe(zl_buf_view(&sender->user_agent));
}

int zl_request_build(zl_request *out, const zl_sender *sender, const zl_action *action,
                     zl_view body, int64_t timestamp_s) {
    if (!is_fit(sender, action)) {
        return ZL_ERR_ARG;
    }
    zl_buf_clear(&out->url);
    zl_buf_clear(&out->lines);
    out->header_count = 0;
    out->body = body;
    (void)zl_buf_reserve(&out->lines, LINES_ROOM + zl_signer_authorization_len(sender->signer));

    zl_buf_add_view(&out->url, zl_buf_view(&sender->endpoint.base));
    zl_buf_add_text(&out->url, "/api/v2/");
    zl_buf_add_view(&out->url, action->service);

    add_header(out, ZL_LIT("Host: "), zl_buf_view(&sender->endpoint.host));
    add_header(out, ZL_LIT("Content-Type: "), ZL_LIT(CONTENT_TYPE));
    add_header(out, ZL_LIT("User-Agent: "), zl_buf_view(&sender->user_agent));
    add_header(out, ZL_LIT("X-ZC-Action: "), action->name);
    add_header(out, ZL_LIT("X-ZC-Version: "), action->version);
    add_header(out, ZL_LIT("X-ZC-Service: "), action->service);
    char seconds[ZL_INT_MAX];
    add_header(out, ZL_LIT("X-ZC-Timestamp: "),
               (zl_view){seconds, zl_write_int(seconds, timestamp_s)});
    if (!zl_signer_is_token(sender->signer)) {
        add_header(out, ZL_LIT("X-ZC-Signature-Method: "), ZL_LIT("ZC2-HMAC-SHA256"));
    }
    add_header(out, ZL_LIT("X-ZC-Sdk-Lang: "), ZL_LIT("lua"));
    add_header(out, ZL_LIT("X-ZC-Sdk-Version: "), ZL_LIT(ZL_VERSION));
    zl_sign_input in = {
        .host = zl_buf_view(&sender->endpoint.host),
        .content_type = ZL_LIT(CONTENT_TYPE),
        .body = body,
        .timestamp_s = timestamp_s,
    };
    int rc = add_authorization(out, sender->signer, &in);
    if (rc == ZL_OK && !(zl_buf_ok(&out->url) && zl_buf_ok(&out->lines))) {
        rc = ZL_ERR_NOMEM;
    }
    return rc;
}

void zl_request_free(zl_request *request) {
    zl_buf_free(&request->url);
    zl_buf_free(&request->lines);
    *request = (zl_request){0};
}

const char *zl_request_line(const zl_request *request, size_t i) {
    return request->lines.data + request->headers[i].start;
}

zl_view zl_request_header_name(const zl_request *request, size_t i) {
    return (zl_view){zl_request_line(request, i), request->headers[i].name_len};
}

zl_view zl_request_header_value(const zl_request *request, size_t i) {
    size_t skip = request->headers[i].name_len + 2; /* ": " */
    return (zl_view){zl_request_line(request, i) + skip, request->headers[i].len - skip};
}

static void add_each(zl_buf *out, const zl_ids *ids, const size_t *which, size_t count) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += zl_ids_at(ids, which[i]).len + sizeof "\"\",";
    }
    (void)zl_buf_reserve(out, len); /* at once, if no id needs an escape */
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            zl_buf_add_char(out, ',');
        }
        zl_json_add_string(out, zl_ids_at(ids, which[i]));
    }
}

static void add_ids(zl_buf *out, const zl_ids *ids, const size_t *which, size_t count) {
    zl_view piece = zl_ids_in_json(ids, which, count);
    zl_buf_add_text(out, "\"instanceIds\":[");
    if (piece.len > 0) {
        (void)zl_buf_reserve(out, piece.len + sizeof "\"\"]}");
        zl_buf_add_char(out, '"');
        zl_buf_add_view(out, piece);
        zl_buf_add_char(out, '"');
    } else {
        add_each(out, ids, which, count);
    }
    zl_buf_add_char(out, ']');
}

void zl_request_add_stop(zl_buf *out, const zl_ids *ids, const size_t *which, size_t count,
                         zl_tristate force) {
    zl_buf_add_char(out, '{');
    if (force != ZL_UNSET) {
        zl_buf_add_text(out, "\"forceShutdown\":");
        zl_buf_add_text(out, force == ZL_TRUE ? "true," : "false,");
    }
    add_ids(out, ids, which, count);
    zl_buf_add_char(out, '}');
}

void zl_request_add_status(zl_buf *out, const zl_ids *ids, const size_t *which, size_t count) {
    zl_buf_add_char(out, '{');
    add_ids(out, ids, which, count);
    /* The server's default page is 20 long: without this most of 100 ids would not be answered. */
    zl_buf_addf(out, ",\"pageSize\":%zu}", count);
}

void zl_request_add_status_page(zl_buf *out, int64_t page_num) {
    zl_buf_addf(out, "{\"pageNum\":%lld,\"pageSize\":%d}", (long long)page_num,
                ZL_REQUEST_PAGE_SIZE);
}

zl_view zl_request_default_version(zl_view service) {
    static const struct {
        const char *service;
        const char *version;
    } known[] = {{"vm", "2026-04-01"}, {"bmc", "2026-02-01"}, {"zec", "2025-09-01"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (zl_view_equal(service, zl_view_of(known[i].service))) {
            return zl_view_of(known[i].version);
        }
    }
    return (zl_view){NULL, 0};
}
