/* Growable byte buffers and borrowed byte ranges.
 *
 * Any buffer of this module may come to hold a key or a token, so every one is wiped before its
 * memory goes back, also when it grows. */
#ifndef ZL_BUF_H
#define ZL_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes owned by somebody else; data may be NULL when len is 0. Not NUL-terminated. */
typedef struct zl_view {
    const char *data;
    size_t len;
} zl_view;

/* An owned buffer. All zero is the empty buffer. Once anything was appended, data[len] is NUL.
 * A failed allocation sets `failed` and makes every later append a no-op, so a writer may append
 * many times and ask once, by zl_buf_ok. */
typedef struct zl_buf {
    char *data;
    size_t len;
    size_t cap;
    bool failed;
} zl_buf;

/* The view of a string literal, of a C string (NULL: empty), of a buffer's bytes. */
#define ZL_LIT(text) ((zl_view){(text), sizeof(text) - 1})
zl_view zl_view_of(const char *text);
zl_view zl_buf_view(const zl_buf *buf);

/* Equality; the second without regard to the case of ASCII letters. */
bool zl_view_equal(zl_view a, zl_view b);
bool zl_view_equal_nocase(zl_view a, zl_view b);
bool zl_view_starts_with(zl_view text, zl_view prefix);

/* A header's value without the blanks and tabs around it, and without the CR of its line's end. */
zl_view zl_view_trim(zl_view text);

/* True when no append has failed since init or clear. */
bool zl_buf_ok(const zl_buf *buf);

/* Room for `more` bytes beyond len (and the NUL). False, with `failed` set, when out of memory. */
bool zl_buf_reserve(zl_buf *buf, size_t more);

void zl_buf_add(zl_buf *buf, const char *data, size_t len);
void zl_buf_add_view(zl_buf *buf, zl_view view);
void zl_buf_add_text(zl_buf *buf, const char *text);
void zl_buf_add_char(zl_buf *buf, char c);
void zl_buf_add_int(zl_buf *buf, int64_t value); /* in decimal */
void zl_buf_addf(zl_buf *buf, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* Write a number in decimal, without a NUL. Returns its length. */
enum { ZL_INT_MAX = 20 };
size_t zl_write_int(char out[ZL_INT_MAX], int64_t value);

/* Replace the contents. */
void zl_buf_set(zl_buf *buf, zl_view view);

/* Empty it and keep its memory (its old bytes are wiped); give its memory back, wiped. */
void zl_buf_clear(zl_buf *buf);
void zl_buf_free(zl_buf *buf);

/* Wipe bytes that are no buffer's. */
void zl_wipe(void *bytes, size_t len);

/* True for well-formed UTF-8 (no surrogates, nothing over U+10FFFF, no overlong forms). */
bool zl_utf8_valid(zl_view text);

/* How many bytes the first character of text has, as well-formed UTF-8; 0: it is none. */
size_t zl_utf8_sequence(zl_view text);

/* True when text may stand in a header's value: no CR, LF or NUL. */
bool zl_header_safe(zl_view text);

#endif
