#include "http_head.h"

#include <string.h>

/* The next line of *rest, without its CR LF; false if there is no whole one. A CR or LF alone, and
 * a NUL, end no line: with one of them this is false, too. */
static bool next_line(zl_view *rest, zl_view *line) {
    for (size_t i = 0; i < rest->len; i++) {
        char c = rest->data[i];
        if (c == '\r' && i + 1 < rest->len && rest->data[i + 1] == '\n') {
            *line = (zl_view){rest->data, i};
            *rest = (zl_view){rest->data + i + 2, rest->len - i - 2};
            return true;
        }
        if (c == '\r' || c == '\n' || c == '\0') {
            return false;
        }
    }
    return false;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* RFC 9110, section 5.6.2 */
static bool is_token_char(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* "HTTP/1.1 200" and whatever follows a space */
static bool read_status(zl_http_head *out, zl_view line) {
    const char *p = line.data;
    if (line.len < 12 || memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1') ||
        p[8] != ' ' || p[9] < '1' || !is_digit(p[9]) || !is_digit(p[10]) || !is_digit(p[11]) ||
        (line.len > 12 && p[12] != ' ')) {
        return false;
    }
    out->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    out->close = p[7] == '0';
    return true;
}

/* False for what is no number, or too large for any body, or another one than before. */
static bool read_length(zl_http_head *out, zl_view value) {
    int64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.data[i]) || i == 15) {
            return false;
        }
        length = length * 10 + (value.data[i] - '0');
    }
    bool fits = value.len > 0 && (out->length < 0 || out->length == length);
    out->length = length;
    return fits;
}

/* Whether one of the words between commas is "close". */
static bool says_close(zl_view value) {
    for (size_t start = 0, i = 0; i <= value.len; i++) {
        if (i == value.len || value.data[i] == ',') {
            if (zl_view_equal_nocase(zl_view_trim((zl_view){value.data + start, i - start}),
                                     ZL_LIT("close"))) {
                return true;
            }
            start = i + 1;
        }
    }
    return false;
}

static const char *read_field(zl_http_head *out, zl_view line) {
    size_t len = 0;
    while (len < line.len && is_token_char(line.data[len])) {
        len++;
    }
    if (len == 0 || len == line.len || line.data[len] != ':') {
        return "a header that is none";
    }
    zl_view name = {line.data, len};
    zl_view value = zl_view_trim((zl_view){line.data + len + 1, line.len - len - 1});
    if (zl_view_equal_nocase(name, ZL_LIT("content-length")) && !read_length(out, value)) {
        return "a bad Content-Length";
    }
    if (zl_view_equal_nocase(name, ZL_LIT("transfer-encoding"))) {
        if (out->chunked || !zl_view_equal_nocase(value, ZL_LIT("chunked"))) {
            return "a Transfer-Encoding other than chunked";
        }
        out->chunked = true;
    }
    if (zl_view_equal_nocase(name, ZL_LIT("connection"))) {
        out->close = out->close || says_close(value);
    }
    return NULL;
}

const char *zl_http_head_parse(zl_http_head *out, zl_view head) {
    zl_view line;
    *out = (zl_http_head){.length = -1};
    if (!next_line(&head, &line) || !read_status(out, line)) {
        return "what came is no HTTP/1.1";
    }
    out->fields = head;
    while (next_line(&head, &line)) {
        if (line.len == 0 && head.len == 0) {
            out->fields.len -= 2;
            bool both = out->chunked && out->length >= 0;
            return both ? "both Content-Length and Transfer-Encoding" : NULL;
        }
        const char *problem = read_field(out, line);
        if (problem != NULL) {
            return problem;
        }
    }
    return "a header that is none";
}
