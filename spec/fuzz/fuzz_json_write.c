/* The writer of JSON: what it writes is JSON to another reader, and to the module's own, and reads
 * back the same.
 *
 * Input: 8 bytes for a double, then a text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "json_read.h"
#include "opinion.h"

/* --- strings ---------------------------------------------------------------------------------- */

static bool needs_escape(char c) {
    return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

/* The text between quotes, if nothing of it needs an escape, is JSON just if it is UTF-8. */
static void check_utf8(zl_view text) {
    zl_buf quoted = {0};
    json_t *value;
    for (size_t i = 0; i < text.len; i++) {
        if (needs_escape(text.data[i])) {
            return;
        }
    }
    zl_buf_add_char(&quoted, '"');
    zl_buf_add_view(&quoted, text);
    zl_buf_add_char(&quoted, '"');
    CHECK((second_opinion(zl_buf_view(&quoted), &value) == OPINION_JSON) == zl_utf8_valid(text));
    json_decref(value);
    zl_buf_free(&quoted);
}

static void check_string(zl_view text) {
    zl_buf out = {0}, back = {0};
    size_t least = text.len + 2;
    json_t *value;
    zl_json_add_string(&out, text);
    CHECK(zl_buf_ok(&out) && out.len >= least && zl_utf8_valid(zl_buf_view(&out)));
    for (size_t i = 0; i < text.len; i++) { /* no escape but those that are needed */
        least += needs_escape(text.data[i]);
    }
    CHECK(out.len >= least && (out.len == least || memchr(out.data, 'u', out.len) != NULL));
    CHECK(second_opinion(zl_buf_view(&out), &value) == OPINION_JSON);
    CHECK(zl_view_equal(json_text(value), text));
    CHECK(zl_json_string(zl_buf_view(&out), &back));
    CHECK(zl_view_equal(zl_buf_view(&back), text));
    json_decref(value);
    zl_buf_free(&out);
    zl_buf_free(&back);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The digits of a number's text but for zeros in front and at the end. */
static int digits_of(const char *text) {
    int count = 0, zeros = 0;
    for (const char *p = text; *p != '\0' && *p != 'e'; p++) {
        if (*p >= '1' && *p <= '9') {
            count += zeros + 1;
            zeros = 0;
        } else if (*p == '0' && count > 0) {
            zeros++;
        }
    }
    return count;
}

/* No decimal of one digit less is the same number: not printf's, nor the ones beside it. */
static void check_shortest(const char *text, double value) {
    char shorter[40], beside[60], *exponent;
    int digits = digits_of(text) - 1;
    if (digits < 1) {
        return;
    }
    (void)snprintf(shorter, sizeof shorter, "%.*e", digits - 1, fabs(value));
    if (digits > 1) { /* without the point; to be put right by the exponent */
        memmove(&shorter[1], &shorter[2], strlen(&shorter[1]));
    }
    int64_t mantissa = strtoll(shorter, &exponent, 10);
    int power = (int)strtol(exponent + 1, NULL, 10) - (digits - 1);
    for (int step = -1; step <= 1; step++) {
        (void)snprintf(beside, sizeof beside, "%llde%d", (long long)mantissa + step, power);
        CHECK(strtod(beside, NULL) != fabs(value));
    }
}

static void check_double(double value) {
    zl_buf out = {0};
    json_t *read;
    zl_view found;
    size_t at;
    bool ok = zl_json_add_double(&out, value);
    CHECK(ok == (isfinite(value) != 0));
    if (!ok) {
        CHECK(out.data == NULL);
        return;
    }
    CHECK(out.len > 0 && out.len <= 25);
    CHECK(zl_json_read(zl_buf_view(&out), &found, &at) && found.len == out.len);
    CHECK(bits_of(strtod(out.data, NULL)) == bits_of(value));
    CHECK(second_opinion(zl_buf_view(&out), &read) == OPINION_JSON);
    CHECK(bits_of(json_real_value(read)) == bits_of(value));
    if (fabs(value) <= 0x1p53 && floor(value) == value) {
        CHECK(strpbrk(out.data, ".e") == NULL);
    } else {
        check_shortest(out.data, value);
    }
    json_decref(read);
    zl_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    double value;
    uint64_t bits = input_number(&in, sizeof value);
    memcpy(&value, &bits, sizeof value);
    check_double(value);
    zl_view text = input_rest(&in);
    char *own = own_bytes(text);
    text.data = own;
    check_utf8(text);
    if (zl_utf8_valid(text)) {
        check_string(text);
    }
    if (text.len >= 1 && text.len <= 30) { /* decimal numbers, which libFuzzer finds sooner */
        char number[32] = "";
        memcpy(number, text.data, text.len);
        check_double(strtod(number, NULL));
    }
    free(own);
    return 0;
}
