/* The bytes of JSON: numbers in their shortest form, strings, UTF-8, and the buffers they go to. */
#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buf.h"
#include "json.h"
#include "support.h"

/* --- numbers ---------------------------------------------------------------------------------- */

static void expect_double(double value, const char *want) {
    zl_buf out = {0};
    assert_true(zl_json_add_double(&out, value));
    assert_buf(out, want);
    zl_buf_free(&out);
}

static void test_numbers_by_hand(void **state) {
    (void)state;
    expect_double(0.0, "0");
    expect_double(-0.0, "-0");
    expect_double(1.0, "1");
    expect_double(-1.0, "-1");
    expect_double(100.0, "100");
    expect_double(123456789012345.0, "123456789012345");
    expect_double(9007199254740991.0, "9007199254740991");
    expect_double(9007199254740992.0, "9007199254740992");
    expect_double(-9007199254740992.0, "-9007199254740992");
    expect_double(0.1, "0.1");
    expect_double(-0.5, "-0.5");
    expect_double(1.0 / 3.0, "0.3333333333333333");
    expect_double(0.30000000000000004, "0.30000000000000004");
    expect_double(3.141592653589793, "3.141592653589793");
    expect_double(1e22, "1e22");
    expect_double(1e100, "1e100");
    expect_double(1e-7, "1e-7");
    expect_double(1.5e300, "1.5e300");
    expect_double(DBL_MAX, "1.7976931348623157e308");
    expect_double(DBL_MIN, "2.2250738585072014e-308");
}

static void test_no_numbers(void **state) {
    (void)state;
    const double none[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    zl_buf out = {0};
    zl_buf_add_text(&out, "kept");
    for (size_t i = 0; i < COUNT(none); i++) {
        assert_false(zl_json_add_double(&out, none[i]));
        assert_buf(out, "kept");
    }
    zl_buf_free(&out);
}

/* RFC 8259, section 6: [-] int [. digits] [e [sign] digits]. */
static bool is_json_number(const char *p) {
    p += *p == '-';
    if (*p == '0') {
        p++;
    } else if (*p >= '1' && *p <= '9') {
        p += strspn(p, "0123456789");
    } else {
        return false;
    }
    if (*p == '.') {
        size_t digits = strspn(p + 1, "0123456789");
        if (digits == 0) {
            return false;
        }
        p += 1 + digits;
    }
    if (*p == 'e') {
        p++;
        p += *p == '-' || *p == '+';
        size_t digits = strspn(p, "0123456789");
        if (digits == 0) {
            return false;
        }
        p += digits;
    }
    return *p == '\0';
}

/* Digits from the first to the last that is not a zero. */
static int significant_digits(const char *text) {
    int count = 0, zeros = 0;
    for (const char *p = text; *p != '\0' && *p != 'e'; p++) {
        if (*p == '0') {
            zeros += count > 0;
        } else if (*p >= '1' && *p <= '9') {
            count += zeros + 1;
            zeros = 0;
        }
    }
    return count;
}

/* Whether a decimal of `digits` digits reads back as value: if there is one, then the nearest below
 * value or the nearest above does. */
static bool has_form(double value, int digits) {
    char text[64], all[64];
    int exponent = 0;
    uint64_t mantissa = 0;
    if (digits < 1) {
        return false;
    }
    (void)snprintf(text, sizeof text, "%.*e", digits - 1, fabs(value));
    for (const char *p = text; *p != 'e'; p++) {
        if (*p != '.') {
            mantissa = mantissa * 10 + (uint64_t)(*p - '0');
        }
    }
    exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10) - (digits - 1);
    for (uint64_t m = mantissa - 1; m <= mantissa + 1; m++) {
        (void)snprintf(all, sizeof all, "%" PRIu64 "e%d", m, exponent);
        if (strtod(all, NULL) == fabs(value)) {
            return true;
        }
    }
    return false;
}

static double double_of_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void expect_shortest(double value) {
    zl_buf out = {0};
    assert_true(zl_json_add_double(&out, value));
    double back = strtod(out.data, NULL);
    if (bits_of(back) != bits_of(value)) { /* also the sign of zero */
        fail_with("%a is written as %s, which reads back as %a", value, out.data, back);
    }
    if (!is_json_number(out.data)) {
        fail_with("%a is written as %s: no JSON number", value, out.data);
    }
    bool whole = fabs(value) <= 9007199254740992.0 && floor(value) == value;
    if (whole && strpbrk(out.data, ".e") != NULL) {
        fail_with("%a is written as %s: not as an integer", value, out.data);
    }
    if (!whole && has_form(value, significant_digits(out.data) - 1)) {
        fail_with("%a is written as %s: a shorter form reads back the same", value, out.data);
    }
    zl_buf_free(&out);
}

static void test_random_bit_patterns(void **state) {
    (void)state;
    rng r = {1};
    size_t wanted = repetitions(200000);
    for (size_t done = 0; done < wanted;) {
        double value = double_of_bits(rng_next(&r));
        bool subnormal = fabs(value) < DBL_MIN; /* below: they have a test of their own */
        if (isfinite(value) && !subnormal) {
            expect_shortest(value);
            done++;
        }
    }
}

static void test_subnormal_numbers(void **state) {
    (void)state;
    rng r = {2};
    expect_double(5e-324, "5e-324");
    for (size_t i = 0; i < repetitions(20000); i++) {
        uint64_t bits = rng_next(&r) >> 12; /* an exponent of zero */
        expect_shortest(double_of_bits(bits >> rng_below(&r, 52)));
    }
}

/* Where the gap to the next double below is half of that above, the nearest decimal of 16 digits
 * may read back wrong while the one beside it reads back right. */
static void test_powers_of_two(void **state) {
    (void)state;
    for (int e = -1022; e <= 1023; e++) {
        expect_shortest(ldexp(1.0, e));
        expect_shortest(-ldexp(1.0, e));
    }
}

static void test_numbers_as_people_write_them(void **state) {
    (void)state;
    rng r = {3};
    for (size_t i = 0; i < repetitions(50000); i++) {
        char text[40];
        (void)snprintf(text, sizeof text, "%s%u.%03u", rng_chance(&r, 0.5) ? "-" : "",
                       (unsigned)rng_below(&r, 100000), (unsigned)rng_below(&r, 1000));
        expect_shortest(strtod(text, NULL));
        expect_shortest(floor(strtod(text, NULL)));
    }
}

/* A host program may have set a locale whose decimal point is a comma. Which are installed differs;
 * in any of them, and if there is none, the same must come out. */
static void test_locales(void **state) {
    (void)state;
    static const char *const names[] = {"",
                                        "de_DE.UTF-8",
                                        "de_DE.utf8",
                                        "de_DE",
                                        "fr_FR.UTF-8",
                                        "nl_NL.UTF-8",
                                        "es_ES.UTF-8",
                                        "pt_BR.UTF-8",
                                        "ru_RU.UTF-8",
                                        "C.UTF-8",
                                        "C"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (setlocale(LC_ALL, names[i]) != NULL) {
            expect_double(0.5, "0.5");
            expect_double(-1234567.25, "-1234567.25");
            expect_double(0.30000000000000004, "0.30000000000000004");
            expect_double(1.25e-9, "1.25e-9");
            expect_double(2e15, "2000000000000000");
        }
    }
    assert_non_null(setlocale(LC_ALL, "C"));
}

/* --- strings ---------------------------------------------------------------------------------- */

static void test_strings(void **state) {
    (void)state;
    const struct {
        zl_view text;
        const char *want;
    } rows[] = {
        {{NULL, 0}, "\"\""},
        {ZL_LIT("abc"), "\"abc\""},
        {ZL_LIT("a\"b"), "\"a\\\"b\""},
        {ZL_LIT("\\"), "\"\\\\\""},
        {ZL_LIT("/"), "\"/\""},
        {ZL_LIT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
        {ZL_LIT("\0"), "\"\\u0000\""},
        {ZL_LIT("\x01\x1f\x7f"), "\"\\u0001\\u001f\x7f\""},
        {ZL_LIT("Z\xC3\xBCrich \xE9\xA6\x99\xE6\xB8\xAF \xF0\x9F\x9A\x80"),
         "\"Z\xC3\xBCrich \xE9\xA6\x99\xE6\xB8\xAF \xF0\x9F\x9A\x80\""},
        {ZL_LIT("\"\"x\n\n"), "\"\\\"\\\"x\\n\\n\""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        zl_buf out = {0};
        zl_json_add_string(&out, rows[i].text);
        assert_buf(out, rows[i].want);
        zl_buf_free(&out);
    }
}

/* Read a JSON string back; every escape that RFC 8259 has, \u below 0x80 alone. */
static void unescape(zl_view json, zl_buf *out) {
    assert_true(json.len >= 2 && json.data[0] == '"' && json.data[json.len - 1] == '"');
    for (size_t i = 1; i < json.len - 1; i++) {
        char c = json.data[i];
        assert_true((unsigned char)c >= 0x20 && c != '"');
        if (c == '\\') {
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            const char *at = strchr(from, json.data[++i]);
            if (at != NULL) {
                c = to[at - from];
            } else {
                assert_int_equal(json.data[i], 'u');
                char hex[5] = {0};
                assert_true(i + 4 < json.len - 1);
                memcpy(hex, json.data + i + 1, 4);
                c = (char)strtol(hex, NULL, 16);
                i += 4;
            }
        }
        zl_buf_add_char(out, c);
    }
}

static void test_strings_read_back(void **state) {
    (void)state;
    rng r = {4};
    for (size_t round = 0; round < repetitions(20000); round++) {
        zl_buf text = {0}, json = {0}, back = {0};
        for (size_t left = rng_below(&r, 40); left > 0; left--) {
            zl_buf_add_char(&text, (char)rng_below(&r, 0x80));
        }
        zl_json_add_string(&json, zl_buf_view(&text));
        unescape(zl_buf_view(&json), &back);
        assert_true(zl_view_equal(zl_buf_view(&text), zl_buf_view(&back)));
        zl_buf_free(&text);
        zl_buf_free(&json);
        zl_buf_free(&back);
    }
}

/* --- UTF-8 ------------------------------------------------------------------------------------ */

/* Another way than the core's: decode by the bits, encode again, and compare. */
static bool decodes(const unsigned char *s, size_t len) {
    size_t i = 0;
    while (i < len) {
        unsigned char lead = s[i];
        size_t more = lead < 0x80 ? 0 : (lead >> 5) == 6 ? 1 : (lead >> 4) == 14 ? 2 : 3;
        if (lead >= 0x80 && (lead >> 6) != 3) {
            return false; /* a continuation byte that continues nothing */
        }
        if (more == 3 && (lead >> 3) != 30) {
            return false;
        }
        if (len - i < more + 1) {
            return false;
        }
        static const unsigned char masks[] = {0x7F, 0x1F, 0x0F, 0x07};
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        uint32_t point = lead & masks[more];
        for (size_t k = 1; k <= more; k++) {
            if ((s[i + k] & 0xC0) != 0x80) {
                return false;
            }
            point = point << 6 | (s[i + k] & 0x3F);
        }
        if (point < least[more] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
            return false;
        }
        i += more + 1;
    }
    return true;
}

/* In memory of its own, exactly as long: a sanitizer sees a read beyond it. */
static void expect_same_verdict(const unsigned char *bytes, size_t len) {
    char *own = malloc(len == 0 ? 1 : len);
    assert_non_null(own);
    memcpy(own, bytes, len);
    bool got = zl_utf8_valid((zl_view){own, len});
    free(own);
    if (got != decodes(bytes, len)) {
        fail_with("%02x %02x %02x %02x (%zu bytes) is told %s", bytes[0], bytes[1], bytes[2],
                  bytes[3], len, got ? "valid" : "invalid");
    }
}

static void test_utf8_of_one_and_two_bytes(void **state) {
    (void)state;
    assert_true(zl_utf8_valid((zl_view){NULL, 0}));
    for (unsigned i = 0; i <= 0xFFFF; i++) {
        unsigned char bytes[4] = {(unsigned char)(i >> 8), (unsigned char)(i & 0xFF)};
        expect_same_verdict(bytes, 1);
        expect_same_verdict(bytes, 2);
    }
}

static void test_utf8_of_three_and_four_bytes(void **state) {
    (void)state;
    rng r = {5};
    for (size_t i = 0; i < repetitions(1000000); i++) {
        uint64_t x = rng_next(&r);
        unsigned char bytes[4];
        for (int k = 0; k < 4; k++) {
            bytes[k] = (unsigned char)(x >> 8 * k & 0xFF);
        }
        if (x >> 63 ==
            0) { /* the random ones are nearly all wrong: make half of them nearly right */
            bytes[0] = (unsigned char)(0xE0 + (x >> 40) % 0x18);
            bytes[1] = (unsigned char)(0x80 | (bytes[1] & 0x3F));
            bytes[2] = (unsigned char)(0x80 | (bytes[2] & 0x3F));
        }
        expect_same_verdict(bytes, 3);
        expect_same_verdict(bytes, 4);
    }
}

static void test_utf8_of_every_code_point(void **state) {
    (void)state;
    for (uint32_t point = 0x800; point <= 0x110000; point++) {
        char bytes[4];
        size_t len = point < 0x10000 ? 3 : 4;
        bytes[0] = (char)(len == 3 ? 0xE0 | point >> 12 : 0xF0 | point >> 18);
        for (size_t k = 1; k < len; k++) {
            bytes[k] = (char)(0x80 | (point >> 6 * (len - 1 - k) & 0x3F));
        }
        bool is_character = (point < 0xD800 || point > 0xDFFF) && point <= 0x10FFFF;
        assert_int_equal(zl_utf8_valid((zl_view){bytes, len}), is_character);
        assert_false(zl_utf8_valid((zl_view){bytes, len - 1}));
    }
}

/* --- buffers ---------------------------------------------------------------------------------- */

static void test_views(void **state) {
    (void)state;
    assert_int_equal(zl_view_of(NULL).len, 0);
    assert_int_equal(ZL_LIT("a\0b").len, 3);
    assert_true(zl_view_equal((zl_view){NULL, 0}, ZL_LIT("")));
    assert_false(zl_view_equal(ZL_LIT("a"), ZL_LIT("A")));
    assert_false(zl_view_equal(ZL_LIT("a"), ZL_LIT("ab")));
    assert_true(zl_view_equal_nocase(ZL_LIT("Retry-AFTER"), ZL_LIT("rEtry-After")));
    assert_false(zl_view_equal_nocase(ZL_LIT("["), ZL_LIT("{"))); /* letters alone have a case */
    assert_false(zl_view_equal_nocase(ZL_LIT("@"), ZL_LIT("`")));
    assert_true(zl_view_starts_with(ZL_LIT("DescribeX"), ZL_LIT("Describe")));
    assert_true(zl_view_starts_with(ZL_LIT("x"), (zl_view){NULL, 0}));
    assert_false(zl_view_starts_with(ZL_LIT("Desc"), ZL_LIT("Describe")));
    assert_true(zl_header_safe(ZL_LIT("a b\tc\x80")));
    assert_true(zl_header_safe((zl_view){NULL, 0}));
    assert_false(zl_header_safe(ZL_LIT("a\rb")));
    assert_false(zl_header_safe(ZL_LIT("a\nb")));
    assert_false(zl_header_safe(ZL_LIT("a\0b")));
}

static void test_a_buffer_against_a_plain_array(void **state) {
    (void)state;
    rng r = {6};
    static char model[1 << 16];
    for (size_t round = 0; round < repetitions(400); round++) {
        zl_buf buf = {0};
        size_t len = 0;
        for (int i = 0; i < 100; i++) {
            char piece[300];
            size_t piece_len = rng_below(&r, sizeof piece);
            memset(piece, (int)('a' + rng_below(&r, 26)), sizeof piece);
            switch (rng_below(&r, 5)) {
            case 0: zl_buf_addf(&buf, "%.*s", (int)piece_len, piece); break;
            case 1:
                zl_buf_add_char(&buf, piece[0]);
                piece_len = 1;
                break;
            case 2:
                zl_buf_set(&buf, (zl_view){piece, piece_len});
                len = 0;
                break;
            default: zl_buf_add(&buf, piece, piece_len); break;
            }
            memcpy(model + len, piece, piece_len);
            len += piece_len;
            assert_true(zl_buf_ok(&buf));
            assert_int_equal(buf.len, len);
            assert_memory_equal(buf.data, model, len);
            assert_int_equal(buf.data[len], '\0');
        }
        zl_buf_free(&buf);
        assert_null(buf.data);
    }
}

static void test_integers(void **state) {
    (void)state;
    zl_buf buf = {0};
    zl_buf_add_int(&buf, INT64_MIN);
    zl_buf_add_char(&buf, ' ');
    zl_buf_add_int(&buf, INT64_MAX);
    zl_buf_add_char(&buf, ' ');
    zl_buf_add_int(&buf, 0);
    assert_buf(buf, "-9223372036854775808 9223372036854775807 0");
    zl_buf_free(&buf);
}

static void test_a_buffer_that_cannot_grow(void **state) {
    (void)state;
    zl_buf buf = {0};
    zl_buf_add_text(&buf, "before");
    assert_false(zl_buf_reserve(&buf, SIZE_MAX));
    assert_false(zl_buf_ok(&buf));
    zl_buf_add_text(&buf, "after"); /* no-op */
    assert_buf(buf, "before");
    zl_buf_clear(&buf);
    assert_true(zl_buf_ok(&buf));
    alloc_fail_at(1, false);
    zl_buf_addf(&buf, "%200s", "");
    alloc_fail_at(0, false);
    assert_false(zl_buf_ok(&buf));
    assert_int_equal(buf.len, 0);
    zl_buf_add_text(&buf, "x");
    assert_int_equal(buf.len, 0);
    zl_buf_set(&buf, ZL_LIT("again"));
    assert_true(zl_buf_ok(&buf));
    assert_buf(buf, "again");
    zl_buf_free(&buf);
}

static void test_a_buffer_is_wiped(void **state) {
    (void)state;
    static const char secret[] = "a-secret-text";
    zl_buf buf = {0};
    (void)alloc_watch(secret);
    for (int i = 0; i < 100; i++) { /* it grows, clears, sets, and is freed */
        zl_buf_add_text(&buf, secret);
        if (i == 60) {
            zl_buf_set(&buf, ZL_LIT("short"));
        }
    }
    zl_buf_clear(&buf);
    zl_buf_add_text(&buf, secret);
    zl_buf_free(&buf);
    for (int grows = 0; grows < 2; grows++) { /* what is behind its end, too */
        assert_true(zl_buf_reserve(&buf, sizeof secret));
        memcpy(buf.data + buf.len, secret, sizeof secret);
        if (grows) {
            assert_true(zl_buf_reserve(&buf, 1000));
        }
        zl_buf_free(&buf);
    }
    assert_int_equal(alloc_watch(NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_by_hand),
        cmocka_unit_test(test_no_numbers),
        cmocka_unit_test(test_random_bit_patterns),
        cmocka_unit_test(test_subnormal_numbers),
        cmocka_unit_test(test_powers_of_two),
        cmocka_unit_test(test_numbers_as_people_write_them),
        cmocka_unit_test(test_locales),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_strings_read_back),
        cmocka_unit_test(test_utf8_of_one_and_two_bytes),
        cmocka_unit_test(test_utf8_of_three_and_four_bytes),
        cmocka_unit_test(test_utf8_of_every_code_point),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_a_buffer_against_a_plain_array),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_a_buffer_that_cannot_grow),
        cmocka_unit_test(test_a_buffer_is_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
