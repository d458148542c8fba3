/* Heads of answers: a regular expression says what is one, and the fields about the body are read
 * once more, line by line.
 *
 * Input: bytes that may be a head. */
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "http_head.h"

/* Where there is no NUL: then a regular expression can see all of it. Longer ones take it long. */
#define HEAD_FORM                                                                                  \
    "^HTTP/1\\.[01] [1-9][0-9][0-9]( [^\r\n]*)?\r\n"                                               \
    "([!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*\r\n)*\r\n$"

enum { TEXT_MAX = 2000, LENGTH_DIGITS = 15 };

static bool has_form(const char *text) {
    static regex_t form;
    static bool is_compiled;
    if (!is_compiled) {
        CHECK(regcomp(&form, HEAD_FORM, REG_EXTENDED | REG_NOSUB) == 0);
        is_compiled = true;
    }
    return regexec(&form, text, 0, NULL, 0) == 0;
}

/* What the fields say of the body. */
typedef struct framing {
    int64_t length;
    int chunked;
    bool close, bad;
} framing;

/* Cuts the blanks off a text's ends, in place. */
static char *trim(char *text) {
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t", text[len - 1]) != NULL) {
        text[--len] = '\0';
    }
    return text;
}

static void read_length(framing *f, const char *value) {
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || value[digits] != '\0' || digits > LENGTH_DIGITS) {
        f->bad = true;
        return;
    }
    int64_t length = strtoll(value, NULL, 10);
    f->bad = f->bad || (f->length >= 0 && f->length != length);
    f->length = length;
}

static void read_line(framing *f, char *line) {
    char *colon = strchr(line, ':');
    if (colon == NULL) {
        return; /* the blank one */
    }
    *colon = '\0';
    char *value = trim(colon + 1);
    if (strcasecmp(line, "Content-Length") == 0) {
        read_length(f, value);
    } else if (strcasecmp(line, "Transfer-Encoding") == 0) {
        f->chunked++;
        f->bad = f->bad || strcasecmp(value, "chunked") != 0;
    } else if (strcasecmp(line, "Connection") == 0) {
        char *rest = NULL;
        for (char *word = strtok_r(value, ",", &rest); word != NULL;
             word = strtok_r(NULL, ",", &rest)) {
            f->close = f->close || strcasecmp(trim(word), "close") == 0;
        }
    }
}

/* Of a head that has the form; text is taken apart. */
static framing read_framing(char *text) {
    framing f = {.length = -1, .close = text[7] == '0'};
    char *line = strstr(text, "\r\n") + 2;
    for (char *end; (end = strstr(line, "\r\n")) != NULL; line = end + 2) {
        *end = '\0';
        read_line(&f, line);
    }
    f.bad = f.bad || f.chunked > 1 || (f.chunked > 0 && f.length >= 0);
    return f;
}

/* True of every head that is taken, however long. */
static void check_taken(const zl_http_head *head, zl_view text) {
    const char *end = text.data + text.len;
    CHECK(head->status >= 100 && head->status <= 999);
    CHECK(head->length >= -1 && head->length < 1000000000000000);
    CHECK(!(head->chunked && head->length >= 0));
    CHECK(text.len >= 16 && memcmp(end - 4, "\r\n\r\n", 4) == 0);
    CHECK(memchr(text.data, '\0', text.len) == NULL);
    CHECK(head->fields.data + head->fields.len == end - 2);
    CHECK(head->fields.data > text.data && memcmp(head->fields.data - 2, "\r\n", 2) == 0);
}

static void check_as_expected(const zl_http_head *head, bool taken, zl_view text) {
    char copy[TEXT_MAX + 1];
    if (text.len > TEXT_MAX) {
        return;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    bool expected = strlen(copy) == text.len && has_form(copy);
    if (expected) {
        framing f = read_framing(copy);
        expected = !f.bad;
        CHECK(!taken || (head->length == f.length && head->chunked == (f.chunked > 0) &&
                         head->close == f.close));
    }
    CHECK(taken == expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    zl_http_head head;
    char *own = own_bytes((zl_view){(const char *)data, size});
    zl_view text = {own, size};
    bool taken = zl_http_head_parse(&head, text) == NULL;
    if (taken) {
        check_taken(&head, text);
    }
    check_as_expected(&head, taken, text);
    if (taken) { /* a head that is cut off is none */
        CHECK(zl_http_head_parse(&head, (zl_view){own, size - 1}) != NULL);
        CHECK(zl_http_head_parse(&head, (zl_view){own, size - 2}) != NULL);
    }
    free(own);
    return 0;
}
