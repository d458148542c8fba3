#include "json_read.h"

#include <string.h>

/* Each function below takes a part of the text, and leaves `at` behind it. If it is not what it
 * should be, the function returns false, and `at` is the position for the message. */
typedef struct scan {
    zl_view text;
    size_t at;
} scan;

/* The next byte; -1 at the end. */
static int look(const scan *s) {
    return s->at < s->text.len ? (unsigned char)s->text.data[s->at] : -1;
}

static zl_view rest(const scan *s) {
    return (zl_view){s->text.data + s->at, s->text.len - s->at};
}

static bool take(scan *s, char c) {
    bool is_there = look(s) == c;
    s->at += is_there;
    return is_there;
}

static void skip_blanks(scan *s) {
    while (take(s, ' ') || take(s, '\t') || take(s, '\n') || take(s, '\r')) {
    }
}

/* --- words and numbers ------------------------------------------------------------------------ */

static bool skip_word(scan *s, const char *word) {
    while (*word != '\0' && take(s, *word)) {
        word++;
    }
    return *word == '\0';
}

static bool skip_digits(scan *s) {
    size_t start = s->at;
    while (look(s) >= '0' && look(s) <= '9') {
        s->at++;
    }
    return s->at > start;
}

static bool skip_number(scan *s) {
    (void)take(s, '-');
    if (!take(s, '0') && !skip_digits(s)) {
        return false;
    }
    if (take(s, '.') && !skip_digits(s)) {
        return false;
    }
    if (take(s, 'e') || take(s, 'E')) {
        (void)(take(s, '+') || take(s, '-'));
        return skip_digits(s);
    }
    return true;
}

/* --- strings ---------------------------------------------------------------------------------- */

typedef struct character {
    char bytes[4]; /* UTF-8 */
    size_t len;
} character;

static void encode(character *c, uint32_t code) {
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0}; /* by length */
    c->len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = c->len - 1; i > 0; i--) {
        c->bytes[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    c->bytes[0] = (char)(first[c->len] | code);
}

static int hex_digit(char c) {
    char lower = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The \uXXXX that stands `ahead` bytes from here; -1: there is none. */
static int32_t code_unit(const scan *s, size_t ahead) {
    zl_view text = rest(s);
    if (text.len < ahead + 6 || text.data[ahead] != '\\' || text.data[ahead + 1] != 'u') {
        return -1;
    }
    int32_t unit = 0;
    for (size_t i = ahead + 2; i < ahead + 6; i++) {
        int digit = hex_digit(text.data[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

static bool take_code_units(scan *s, character *c) {
    int32_t code = code_unit(s, 0), low = 0;
    if (code >= 0xD800 && code <= 0xDBFF) { /* the first half of a pair */
        low = code_unit(s, 6);
        if (low < 0xDC00 || low > 0xDFFF) {
            return false;
        }
        code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00);
    } else if (code < 0 || (code >= 0xDC00 && code <= 0xDFFF)) {
        return false;
    }
    encode(c, (uint32_t)code);
    s->at += low > 0 ? 12 : 6;
    return true;
}

static bool take_escape(scan *s, character *c) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    zl_view text = rest(s);
    const char *name = text.len < 2 ? NULL : memchr(names, text.data[1], sizeof names - 1);
    if (name == NULL) {
        return take_code_units(s, c);
    }
    encode(c, (uint32_t)meanings[name - names]);
    s->at += 2;
    return true;
}

/* The next character of a string. False at the quote that ends it, too. */
static bool take_character(scan *s, character *c) {
    int next = look(s);
    if (next == '\\') {
        return take_escape(s, c);
    }
    if (next == '"' || next < 0x20) { /* also at the end */
        return false;
    }
    c->len = zl_utf8_sequence(rest(s));
    memcpy(c->bytes, s->text.data + s->at, c->len);
    s->at += c->len;
    return c->len > 0;
}

static bool skip_string(scan *s) {
    character c;
    if (!take(s, '"')) {
        return false;
    }
    while (take_character(s, &c)) {
    }
    return take(s, '"');
}

/* Whether a string that has been skipped stands for this text. */
static bool is_string(zl_view string, zl_view text) {
    scan s = {string, 1};
    character c;
    while (take_character(&s, &c)) {
        if (!zl_view_starts_with(text, (zl_view){c.bytes, c.len})) {
            return false;
        }
        text = (zl_view){text.data + c.len, text.len - c.len};
    }
    return text.len == 0;
}

/* --- values ----------------------------------------------------------------------------------- */

/* Members that are looked for while an object is gone through. */
typedef struct search {
    zl_view name;
    size_t found;
    zl_view value; /* of the first, then of the second */
} search;

static bool skip_value(scan *s, int depth);

static zl_view since(const scan *s, size_t start) {
    return (zl_view){s->text.data + start, s->at - start};
}

static bool skip_member(scan *s, int depth, search *wanted) {
    size_t start = s->at;
    if (!skip_string(s)) {
        return false;
    }
    bool is_wanted = wanted != NULL && is_string(since(s, start), wanted->name);
    skip_blanks(s);
    if (!take(s, ':')) {
        return false;
    }
    skip_blanks(s);
    start = s->at;
    if (!skip_value(s, depth)) {
        return false;
    }
    if (is_wanted && ++wanted->found <= 2) {
        wanted->value = since(s, start);
    }
    return true;
}

/* An object or array, of which the bracket is next; depth: how many may be within it. */
static bool skip_container(scan *s, int depth, char end, search *wanted) {
    s->at++;
    skip_blanks(s);
    if (take(s, end)) {
        return true;
    }
    do {
        skip_blanks(s);
        if (!(end == '}' ? skip_member(s, depth, wanted) : skip_value(s, depth))) {
            return false;
        }
        skip_blanks(s);
    } while (take(s, ','));
    return take(s, end);
}

/* depth: how many objects and arrays it may be, with those within it. */
static bool skip_value(scan *s, int depth) {
    switch (look(s)) {
    case '{': return depth > 0 && skip_container(s, depth - 1, '}', NULL);
    case '[': return depth > 0 && skip_container(s, depth - 1, ']', NULL);
    case '"': return skip_string(s);
    case 't': return skip_word(s, "true");
    case 'f': return skip_word(s, "false");
    case 'n': return skip_word(s, "null");
    default: return skip_number(s);
    }
}

bool zl_json_read(zl_view text, zl_view *value, size_t *at) {
    scan s = {text, 0};
    skip_blanks(&s);
    size_t start = s.at;
    if (skip_value(&s, ZL_JSON_DEPTH_MAX)) {
        zl_view all = since(&s, start);
        skip_blanks(&s);
        if (s.at == text.len) {
            *value = all;
            return true;
        }
    }
    *at = s.at;
    return false;
}

size_t zl_json_member(zl_view object, zl_view name, zl_view *value) {
    scan s = {object, 0};
    search wanted = {.name = name};
    if (look(&s) == '{' && skip_container(&s, ZL_JSON_DEPTH_MAX - 1, '}', &wanted) &&
        wanted.found > 0) {
        *value = wanted.value;
        return wanted.found;
    }
    return 0;
}

bool zl_json_string(zl_view value, zl_buf *out) {
    scan s = {value, 0};
    character c;
    if (!skip_string(&s)) {
        return false;
    }
    /* No more than it has here: the buffer does not grow on the way. */
    (void)zl_buf_reserve(out, value.len);
    s.at = 1;
    while (take_character(&s, &c)) {
        zl_buf_add(out, c.bytes, c.len);
    }
    return true;
}
