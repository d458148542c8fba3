#include "buf.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

zl_view zl_view_of(const char *text) {
    return (zl_view){text, text == NULL ? 0 : strlen(text)};
}

zl_view zl_buf_view(const zl_buf *buf) {
    return (zl_view){buf->data, buf->len};
}

bool zl_view_equal(zl_view a, zl_view b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static unsigned char lower(char c) {
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool zl_view_equal_nocase(zl_view a, zl_view b) {
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

bool zl_view_starts_with(zl_view text, zl_view prefix) {
    return text.len >= prefix.len && zl_view_equal((zl_view){text.data, prefix.len}, prefix);
}

zl_view zl_view_trim(zl_view text) {
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0) {
        char c = text.data[text.len - 1];
        if (c != ' ' && c != '\t' && c != '\r') {
            break;
        }
        text.len--;
    }
    return text;
}

bool zl_buf_ok(const zl_buf *buf) {
    return !buf->failed;
}

static bool grow(zl_buf *buf, size_t more) {
    if (buf->failed) {
        return false;
    }
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    while (cap - buf->len <= more) {
        if (cap > SIZE_MAX / 2) {
            buf->failed = true;
            return false;
        }
        cap *= 2;
    }
    /* Not realloc: it may move the bytes and leave the old ones behind unwiped. */
    char *data = malloc(cap);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    if (buf->data != NULL) {
        memcpy(data, buf->data, buf->len + 1);
        OPENSSL_cleanse(buf->data, buf->cap);
        free(buf->data);
    }
    data[buf->len] = '\0';
    buf->data = data;
    buf->cap = cap;
    return true;
}

bool zl_buf_reserve(zl_buf *buf, size_t more) {
    /* The former is never true of cap 0: the NUL needs its place too. */
    return (more < buf->cap - buf->len && !buf->failed) || grow(buf, more);
}

void zl_buf_add(zl_buf *buf, const char *data, size_t len) {
    if (!zl_buf_reserve(buf, len)) {
        return;
    }
    if (len > 0) {
        memcpy(buf->data + buf->len, data, len);
        buf->len += len;
    }
    buf->data[buf->len] = '\0';
}

void zl_buf_add_view(zl_buf *buf, zl_view view) {
    zl_buf_add(buf, view.data, view.len);
}

void zl_buf_add_text(zl_buf *buf, const char *text) {
    zl_buf_add(buf, text, strlen(text));
}

void zl_buf_add_char(zl_buf *buf, char c) {
    if (zl_buf_reserve(buf, 1)) {
        buf->data[buf->len++] = c;
        buf->data[buf->len] = '\0';
    }
}

size_t zl_write_int(char out[ZL_INT_MAX], int64_t value) {
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char digits[ZL_INT_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0) {
        digits[--at] = '-';
    }
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

void zl_buf_add_int(zl_buf *buf, int64_t value) {
    char digits[ZL_INT_MAX];
    zl_buf_add(buf, digits, zl_write_int(digits, value));
}

void zl_buf_addf(zl_buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0 || !zl_buf_reserve(buf, (size_t)need)) {
        buf->failed = true;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(buf->data + buf->len, (size_t)need + 1, format, args);
    va_end(args);
    buf->len += (size_t)need;
}

void zl_buf_set(zl_buf *buf, zl_view view) {
    zl_buf_clear(buf);
    zl_buf_add_view(buf, view);
}

void zl_buf_clear(zl_buf *buf) {
    if (buf->data != NULL) {
        OPENSSL_cleanse(buf->data, buf->len);
        buf->data[0] = '\0';
    }
    buf->len = 0;
    buf->failed = false;
}

void zl_buf_free(zl_buf *buf) {
    if (buf->data != NULL) {
        OPENSSL_cleanse(buf->data, buf->cap); /* all of it: some write behind len at first */
        free(buf->data);
    }
    *buf = (zl_buf){0};
}

void zl_wipe(void *bytes, size_t len) {
    OPENSSL_cleanse(bytes, len);
}

/* The bounds of the second byte are those of RFC 3629, section 4. */
size_t zl_utf8_sequence(zl_view text) {
    const unsigned char *s = (const unsigned char *)text.data;
    unsigned char low = 0x80, high = 0xBF;
    size_t len;
    if (text.len == 0) {
        return 0;
    } else if (s[0] < 0x80) {
        return 1;
    } else if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        len = 2;
    } else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        len = 3;
        low = s[0] == 0xE0 ? 0xA0 : 0x80;
        high = s[0] == 0xED ? 0x9F : 0xBF;
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        len = 4;
        low = s[0] == 0xF0 ? 0x90 : 0x80;
        high = s[0] == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 0;
    }
    if (text.len < len || s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if (s[i] < 0x80 || s[i] > 0xBF) {
            return 0;
        }
    }
    return len;
}

/* Of eight bytes. */
static bool is_ascii(const char *text) {
    uint64_t bytes;
    memcpy(&bytes, text, sizeof bytes);
    return (bytes & 0x8080808080808080u) == 0;
}

bool zl_utf8_valid(zl_view text) {
    while (text.len > 0) {
        size_t len = text.len >= 8 && is_ascii(text.data) ? 8 : zl_utf8_sequence(text);
        if (len == 0) {
            return false;
        }
        text = (zl_view){text.data + len, text.len - len};
    }
    return true;
}

bool zl_header_safe(zl_view text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\r' || text.data[i] == '\n' || text.data[i] == '\0') {
            return false;
        }
    }
    return true;
}
