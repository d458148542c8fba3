#include "json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_escape(zl_buf *out, unsigned char c) {
    switch (c) {
    case '"': zl_buf_add(out, "\\\"", 2); break;
    case '\\': zl_buf_add(out, "\\\\", 2); break;
    case '\b': zl_buf_add(out, "\\b", 2); break;
    case '\f': zl_buf_add(out, "\\f", 2); break;
    case '\n': zl_buf_add(out, "\\n", 2); break;
    case '\r': zl_buf_add(out, "\\r", 2); break;
    case '\t': zl_buf_add(out, "\\t", 2); break;
    default: zl_buf_addf(out, "\\u%04x", (unsigned)c); break;
    }
}

#define EACH(byte) (0x0101010101010101u * (byte))

/* Whether none of eight bytes needs an escape, at once: the high bit of each byte says if it is one
 * that does, or comes after one, or is not ASCII. */
static bool are_plain(const char *text) {
    uint64_t bytes;
    memcpy(&bytes, text, sizeof bytes);
    uint64_t quote = (bytes ^ EACH('"')) - EACH(1);
    uint64_t backslash = (bytes ^ EACH('\\')) - EACH(1);
    uint64_t control = bytes - EACH(0x20);
    return ((quote | backslash | control | bytes) & EACH(0x80)) == 0;
}

static bool needs_escape(char c) {
    return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

/* How many bytes at the front of text need no escape. */
static size_t plain_len(zl_view text) {
    size_t len = 0;
    while (text.len - len >= 8 && are_plain(text.data + len)) {
        len += 8;
    }
    while (len < text.len && !needs_escape(text.data[len])) {
        len++;
    }
    return len;
}

bool zl_json_is_plain(zl_view text) {
    size_t i = 0;
    if (text.len < 8) {
        while (i < text.len && (unsigned char)text.data[i] < 0x80 && !needs_escape(text.data[i])) {
            i++;
        }
        return i > 0 && i == text.len;
    }
    while (i + 8 < text.len && are_plain(text.data + i)) {
        i += 8;
    }
    return i + 8 >= text.len && are_plain(text.data + text.len - 8); /* some of them again */
}

/* A string of which nothing needs an escape, for which there is room. */
static void add_plain_string(zl_buf *out, zl_view text) {
    char *to = out->data + out->len;
    to[0] = '"';
    if (text.len > 0) {
        memcpy(to + 1, text.data, text.len);
    }
    memcpy(to + 1 + text.len, "\"", 2);
    out->len += text.len + 2;
}

void zl_json_add_string(zl_buf *out, zl_view text) {
    size_t len = plain_len(text);
    if (zl_buf_reserve(out, text.len + 2) && len == text.len) { /* as most are */
        add_plain_string(out, text);
        return;
    }
    zl_buf_add_char(out, '"');
    for (;; len = plain_len(text)) {
        zl_buf_add(out, text.data, len);
        if (len == text.len) {
            break;
        }
        add_escape(out, (unsigned char)text.data[len]);
        text = (zl_view){text.data + len + 1, text.len - len - 1};
    }
    zl_buf_add_char(out, '"');
}

/* printf writes the locale's decimal point and pads exponents ("1e+05", "1,5"): make it "1e5",
 * "1.5". The result is never longer than what it is made from. */
static void add_plain(zl_buf *out, const char *text) {
    const char *exponent = strchr(text, 'e');
    for (const char *p = text; *p != '\0' && p != exponent; p++) {
        bool digit = (*p >= '0' && *p <= '9') || *p == '-';
        zl_buf_add_char(out, digit ? *p : '.');
    }
    if (exponent != NULL) {
        zl_buf_add_char(out, 'e');
        zl_buf_add_int(out, strtol(exponent + 1, NULL, 10));
    }
}

/* Write the next decimal of as many digits, away from zero, over text. */
static void bump(char *text) {
    char *p = strchr(text, 'e');
    for (p = p == NULL ? text + strlen(text) : p; p > text; p--) {
        if (p[-1] >= '0' && p[-1] < '9') {
            p[-1]++;
            return;
        } else if (p[-1] == '9') {
            p[-1] = '0';
        }
    }
}

static bool reads_back(const char *text, double value) {
    return strtod(text, NULL) == value;
}

enum { DOUBLE_TEXT_MAX = 40 };

/* The shortest text that reads back the same; 17 digits always do. With 15, printf drops the zeros
 * of what is shorter by itself, but subnormals have fewer digits to begin with. */
static void print_shortest(char text[DOUBLE_TEXT_MAX], double value) {
    for (int digits = fabs(value) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        (void)snprintf(text, DOUBLE_TEXT_MAX, "%.*g", digits, value);
        if (reads_back(text, value)) {
            return;
        }
        if (digits ==
            16) { /* at a power of two the decimal above may read back where this does not */
            (void)snprintf(text, DOUBLE_TEXT_MAX, "%#.16g", value); /* with its zeros */
            bump(text);
            if (reads_back(text, value)) {
                return;
            }
        }
    }
}

bool zl_json_add_double(zl_buf *out, double value) {
    if (!isfinite(value)) {
        return false;
    }
    if (fabs(value) <= 9007199254740992.0 && floor(value) == value) {
        if (signbit(value) && value == 0.0) {
            zl_buf_add_text(out, "-0");
        } else {
            zl_buf_add_int(out, (int64_t)value);
        }
        return true;
    }
    char text[DOUBLE_TEXT_MAX];
    print_shortest(text, value);
    add_plain(out, text);
    return true;
}
