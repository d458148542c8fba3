/* JSON texts: what is one, where it goes wrong, and what is found in it. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json_read.h"
#include "support.h"

/* Every text is read from memory of its own, so that a sanitizer sees a read beyond its end. */
static bool reads(zl_view text, size_t *start, size_t *len, size_t *at) {
    char *own = own_bytes(text);
    zl_view value = {NULL, 0};
    *at = SIZE_MAX;
    bool ok = zl_json_read((zl_view){own, text.len}, &value, at);
    assert_true(ok ? *at == SIZE_MAX : *at <= text.len && value.data == NULL);
    *start = ok ? (size_t)(value.data - own) : 0;
    *len = value.len;
    free(own);
    return ok;
}

/* --- what is JSON ------------------------------------------------------------------------------
 */

/* `text` is JSON, and so it is with blanks around it, and as a member and an item. */
static void expect(const char *text) {
    static const char *const around[][2] = {{"", ""},           {" \t\r\n", "\n\r\t "},
                                            {"[", "]"},         {"[null , ", " , [ ] ]"},
                                            {"{\"a\" : ", "}"}, {"{\"\":{},\"b\":", ",\"c\":0}"}};
    for (size_t i = 0; i < COUNT(around); i++) {
        zl_buf all = {0};
        size_t start, len, at;
        zl_buf_addf(&all, "%s%s%s", around[i][0], text, around[i][1]);
        if (!reads(zl_buf_view(&all), &start, &len, &at)) {
            fail_with("%s is refused at %zu", all.data, at);
        }
        size_t blanks = i == 1 ? 4 : 0;
        assert_int_equal(start, blanks);
        assert_int_equal(len, all.len - 2 * blanks);
        zl_buf_free(&all);
    }
}

static void refuse(const char *text, size_t text_len, size_t want) {
    size_t start, len, at;
    if (reads((zl_view){text, text_len}, &start, &len, &at)) {
        fail_with("%s is taken", text);
    } else if (at != want) {
        fail_with("%s is refused at %zu, not %zu", text, at, want);
    }
}

#define REFUSE(text, at) refuse((text), sizeof(text) - 1, (at))

static void test_values(void **state) {
    (void)state;
    static const char *const texts[] = {
        "true", "false", "null",    "0",       "-0",      "7",   "-10",  "120",
        "0.5",  "-1.25", "1e5",     "1E+05",   "0e-0",    "{}",  "[]",   "[{}]",
        "[[]]", "\"\"",  "\"a b\"", "[1,2,3]", "[0,\t1]", "{ }", "[\n]",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        expect(texts[i]);
    }
    expect("123456789012345678901234567890.123456789e-1234567890");
    expect("{\"a\":{\"b\":[{\"c\":null}]},\"a\":1}"); /* twice the same name is JSON, too */
    expect("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uFfFf\\ud834\\uDD1E\x7F\"");
    expect("\"\xC3\xA9\xE2\x82\xAC\xF0\x9D\x84\x9E\xEF\xBF\xBF\xF4\x8F\xBF\xBF\"");
}

static void test_words_and_numbers_that_are_none(void **state) {
    (void)state;
    REFUSE("", 0);
    REFUSE(" \n", 2);
    REFUSE("tru", 3);
    REFUSE("trux", 3);
    REFUSE("true1", 4);
    REFUSE("True", 0);
    REFUSE("nul\0", 3);
    REFUSE("falsetrue", 5);
    REFUSE("NaN", 0);
    REFUSE("-Infinity", 1);
    REFUSE("undefined", 0);
    REFUSE("-", 1);
    REFUSE("+1", 0);
    REFUSE("01", 1);
    REFUSE("-01", 2);
    REFUSE("1.", 2);
    REFUSE(".5", 0);
    REFUSE("1.e5", 2);
    REFUSE("1e", 2);
    REFUSE("1e+", 3);
    REFUSE("1e+-1", 3);
    REFUSE("1.5.5", 3);
    REFUSE("0x10", 1);
    REFUSE("1 2", 2);
    REFUSE("1,", 1);
}

static void test_structures_that_are_none(void **state) {
    (void)state;
    REFUSE("{", 1);
    REFUSE("}", 0);
    REFUSE("[", 1);
    REFUSE("[}", 1);
    REFUSE("[1", 2);
    REFUSE("[1,", 3);
    REFUSE("[1,]", 3);
    REFUSE("[,1]", 1);
    REFUSE("[1 2]", 3);
    REFUSE("[1]]", 3);
    REFUSE("{1:2}", 1);
    REFUSE("{a:2}", 1);
    REFUSE("{'a':2}", 1);
    REFUSE("{\"a\"}", 4);
    REFUSE("{\"a\":}", 5);
    REFUSE("{\"a\":1,}", 7);
    REFUSE("{,}", 1);
    REFUSE("{\"a\":1 \"b\":2}", 7);
    REFUSE("{\"a\" 1}", 5);
    REFUSE("{\"a\"::1}", 5);
    REFUSE("{\"a\":1]", 6);
    REFUSE("{null:1}", 1);
    REFUSE("{}{}", 2);
    REFUSE("// no\n{}", 0);
    REFUSE("{}\0", 2);
    REFUSE("{}\xC2\xA0", 2);
    REFUSE("[\f]", 1);
    REFUSE("\xEF\xBB\xBF{}", 0); /* a byte order mark */
    REFUSE("{\0}", 1);
}

static void test_strings_that_are_none(void **state) {
    (void)state;
    REFUSE("\"", 1);
    REFUSE("\"abc", 4);
    REFUSE("'a'", 0);
    REFUSE("\"a\nb\"", 2);
    REFUSE("\"a\tb\"", 2);
    REFUSE("\"a\0b\"", 2);
    REFUSE("\"\x1F\"", 1);
    /* Escapes, by their backslash. */
    REFUSE("\"a\\", 2);
    REFUSE("\"\\\"", 3);
    REFUSE("\"\\x\"", 1);
    REFUSE("\"\\\0\"", 1);
    REFUSE("\"\\'\"", 1);
    REFUSE("\"\\U0041\"", 1);
    REFUSE("\"\\u004\"", 1);
    REFUSE("\"\\u00g0\"", 1);
    REFUSE("\"\\u 041\"", 1);
    REFUSE("\"\\u+041\"", 1);
    REFUSE("\"\\u0041\\u004", 7);
    /* Halves of surrogate pairs. */
    REFUSE("\"\\ud834\"", 1);
    REFUSE("\"\\ud834", 1);
    REFUSE("\"\\ud834\\n\"", 1);
    REFUSE("\"\\ud834\\ud834\"", 1);
    REFUSE("\"\\ud834\\ue000\"", 1);
    REFUSE("\"\\ud834xudd1e\"", 1);
    REFUSE("\"\\ud834\\u0041\"", 1);
    REFUSE("\"\\udd1e\\ud834\"", 1);
    /* UTF-8, by the first byte of the character. */
    REFUSE("\"a\x80\"", 2);
    REFUSE("\"\xC3\"", 1);
    REFUSE("\"\xC3", 1);
    REFUSE("\"\xC0\x80\"", 1);
    REFUSE("\"\xE2\x82\"", 1);
    REFUSE("\"\xED\xA0\x80\"", 1);
    REFUSE("\"\xF4\x90\x80\x80\"", 1);
    REFUSE("\"\xFF\"", 1);
    REFUSE("{\"\xC3\":1}", 2);
}

static void test_depth(void **state) {
    (void)state;
    static const char *const opens[] = {"[", "{\"a\":"}, *const ends[] = {"]", "}"};
    for (size_t kind = 0; kind < 2; kind++) {
        size_t unit = strlen(opens[kind]);
        for (size_t depth = ZL_JSON_DEPTH_MAX; depth <= ZL_JSON_DEPTH_MAX + 1; depth++) {
            zl_buf text = {0};
            size_t start, len, at;
            for (size_t i = 0; i < depth; i++) {
                zl_buf_add_text(&text, opens[kind]);
            }
            zl_buf_add_text(&text, "0");
            for (size_t i = 0; i < depth; i++) {
                zl_buf_add_text(&text, ends[kind]);
            }
            bool ok = reads(zl_buf_view(&text), &start, &len, &at);
            assert_int_equal(ok, depth <= ZL_JSON_DEPTH_MAX);
            assert_true(ok || at == ZL_JSON_DEPTH_MAX * unit);
            zl_buf_free(&text);
        }
    }
    /* Side by side they count once. */
    zl_buf text = {0};
    size_t start, len, at;
    zl_buf_add_text(&text, "[0");
    for (size_t i = 0; i < 1000; i++) {
        zl_buf_add_text(&text, ",[{}]");
    }
    zl_buf_add_text(&text, "]");
    assert_true(reads(zl_buf_view(&text), &start, &len, &at));
    zl_buf_free(&text);
}

/* --- strings -----------------------------------------------------------------------------------
 */

static void expect_decoded(const char *text, zl_view want) {
    zl_buf out = {0};
    char *own = own_bytes(zl_view_of(text));
    zl_buf_add_text(&out, "kept ");
    assert_true(zl_json_string((zl_view){own, strlen(text)}, &out));
    assert_true(zl_view_equal((zl_view){out.data + 5, out.len - 5}, want));
    zl_buf_free(&out);
    free(own);
}

static void test_strings(void **state) {
    (void)state;
    expect_decoded("\"\"", ZL_LIT(""));
    expect_decoded("\"plain /\x7F\"", ZL_LIT("plain /\x7F"));
    expect_decoded("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", ZL_LIT("\"\\/\b\f\n\r\t"));
    expect_decoded("\"a\\u0000b\"", ZL_LIT("a\0b"));
    expect_decoded("\"\\u0041\\u007f\\u0080\\u07FF\\u0800\\uffff\"",
                   ZL_LIT("A\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF"));
    expect_decoded("\"\\ud7ff\\ue000\"", ZL_LIT("\xED\x9F\xBF\xEE\x80\x80"));
    expect_decoded("\"\\ud800\\udc00\\uDBFF\\uDFFF\"", ZL_LIT("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
    expect_decoded("\"\\u00e9\xC3\xA9\\ud834\\udd1e\xF0\x9D\x84\x9E\"",
                   ZL_LIT("\xC3\xA9\xC3\xA9\xF0\x9D\x84\x9E\xF0\x9D\x84\x9E"));
    static const char *const none[] = {"", "1", "null", "{}", "[\"a\"]", "\"a", "\"\\x\""};
    zl_buf out = {0};
    for (size_t i = 0; i < COUNT(none); i++) {
        assert_false(zl_json_string(zl_view_of(none[i]), &out));
        assert_int_equal(out.len, 0);
    }
    assert_null(out.data);
}

static void test_memory(void **state) {
    (void)state;
    static const char text[] =
        "{\"a\":[1,\"\\u0041\",{\"b\":null}],\"c\":\"a-secret-\\u0074ext, and "
        "more of it, so that a first small room is too small\"}";
    zl_view value, member;
    zl_buf out = {0};
    size_t at, before = alloc_count();
    assert_true(zl_json_read(ZL_LIT(text), &value, &at));
    assert_int_equal(zl_json_member(value, ZL_LIT("c"), &member), 1);
    assert_int_equal(alloc_count(), before);
    /* One allocation, and nothing of the string is left behind. */
    (void)alloc_watch("a-secret-text");
    assert_true(zl_json_string(member, &out));
    assert_int_equal(alloc_count(), before + 1);
    zl_buf_free(&out);
    assert_int_equal(alloc_watch(NULL), 0);
    alloc_fail_at(1, true);
    assert_true(zl_json_string(member, &out));
    alloc_fail_at(0, false);
    assert_false(zl_buf_ok(&out));
    zl_buf_free(&out);
}

/* --- members -----------------------------------------------------------------------------------
 */

static void expect_members(const char *text, zl_view name, size_t count, const char *want) {
    zl_view object, value = {NULL, 0};
    size_t at;
    char *own = own_bytes(zl_view_of(text));
    assert_true(zl_json_read((zl_view){own, strlen(text)}, &object, &at));
    if (zl_json_member(object, name, &value) != count) {
        fail_with("%.*s in %s: not %zu", (int)name.len, name.data, text, count);
    }
    assert_view(value, want);
    free(own);
}

static void test_members(void **state) {
    (void)state;
    static const char object[] =
        " { \"a\" : 1 , \"b\":{\"a\":2,\"inner\":3},\"\":[ {\"a\":4} ],\"ab\" :\"x\" } ";
    expect_members(object, ZL_LIT("a"), 1, "1");
    expect_members(object, ZL_LIT("b"), 1, "{\"a\":2,\"inner\":3}");
    expect_members(object, ZL_LIT(""), 1, "[ {\"a\":4} ]");
    expect_members(object, ZL_LIT("ab"), 1, "\"x\"");
    expect_members(object, ZL_LIT("inner"), 0, "");
    expect_members(object, ZL_LIT("A"), 0, "");
    expect_members(object, ZL_LIT("abc"), 0, "");
    expect_members(object, ZL_LIT("a\0"), 0, "");
    expect_members("{}", ZL_LIT("a"), 0, "");
    expect_members("[\"a\",1]", ZL_LIT("a"), 0, "");
    expect_members("\"a\"", ZL_LIT("a"), 0, "");
    /* Names in escapes are the same names. */
    expect_members("{\"\\u0061\\u0062\":1}", ZL_LIT("ab"), 1, "1");
    expect_members("{\"\\ud834\\udd1e\":1}", ZL_LIT("\xF0\x9D\x84\x9E"), 1, "1");
    expect_members("{\"a\\u0000\":1}", ZL_LIT("a"), 0, "");
    expect_members("{\"a\\u0000\":1}", ZL_LIT("a\0"), 1, "1");
}

static void test_members_of_one_name(void **state) {
    (void)state;
    expect_members("{\"a\":1,\"b\":2,\"a\":3}", ZL_LIT("a"), 2, "3");
    expect_members("{\"a\":1,\"\\u0061\":1}", ZL_LIT("a"), 2, "1");
    expect_members("{\"a\":1,\"a\":2,\"a\":3,\"b\":4}", ZL_LIT("a"), 3, "2");
    expect_members("{\"a\":1,\"a\":2,\"b\":4}", ZL_LIT("b"), 1, "4");
}

/* --- random texts ------------------------------------------------------------------------------
 */

static void add_random_string(rng *r, zl_buf *text, zl_buf *meant) {
    static const char *const pieces[][2] = {
        {"a", "a"},
        {"\\n", "\n"},
        {"\\\"", "\""},
        {"\\\\", "\\"},
        {"\\u0041", "A"},
        {"\\ud834\\udd1e", "\xF0\x9D\x84\x9E"},
        {"\\/", "/"},
        {"\xC3\xA9", "\xC3\xA9"},
        {"\xF0\x9D\x84\x9E", "\xF0\x9D\x84\x9E"},
        {"{", "{"},
        {"]", "]"},
        {":", ":"},
        {"\\u20aC", "\xE2\x82\xAC"},
    };
    zl_buf_add_char(text, '"');
    for (size_t n = rng_below(r, 6); n > 0; n--) {
        size_t i = rng_below(r, COUNT(pieces));
        zl_buf_add_text(text, pieces[i][0]);
        zl_buf_add_text(meant, pieces[i][1]);
    }
    zl_buf_add_char(text, '"');
}

static void add_blanks(rng *r, zl_buf *text) {
    while (rng_chance(r, 0.2)) {
        zl_buf_add_char(text, " \t\r\n"[rng_below(r, 4)]);
    }
}

static void add_random_value(rng *r, zl_buf *text, size_t depth) {
    static const char *const plain[] = {"true", "false", "null", "0", "-1", "1.5", "2e-7"};
    zl_buf meant = {0};
    size_t kind = rng_below(r, depth > 0 ? 4 : 2);
    if (kind == 0) {
        zl_buf_add_text(text, plain[rng_below(r, COUNT(plain))]);
    } else if (kind == 1) {
        add_random_string(r, text, &meant);
    } else {
        size_t count = rng_below(r, 4);
        zl_buf_add_char(text, kind == 2 ? '[' : '{');
        for (size_t i = 0; i < count; i++) {
            zl_buf_add_text(text, i > 0 ? "," : "");
            add_blanks(r, text);
            if (kind == 3) {
                add_random_string(r, text, &meant);
                add_blanks(r, text);
                zl_buf_add_char(text, ':');
                add_blanks(r, text);
            }
            add_random_value(r, text, depth - 1);
            add_blanks(r, text);
        }
        zl_buf_add_char(text, kind == 2 ? ']' : '}');
    }
    zl_buf_free(&meant);
}

/* An object of made members, in which each is found again as often as it was put there. */
static void test_random_objects(void **state) {
    (void)state;
    rng r = {1};
    for (size_t round = 0; round < repetitions(5000); round++) {
        enum { MEMBERS = 5 };
        zl_buf names[MEMBERS] = {0}, values[MEMBERS] = {0}, text = {0};
        size_t count = 1 + rng_below(&r, MEMBERS);
        for (size_t i = 0; i < count; i++) {
            zl_buf_add_text(&text, i == 0 ? "{" : ",");
            add_blanks(&r, &text);
            add_random_string(&r, &text, &names[i]);
            add_blanks(&r, &text);
            zl_buf_add_char(&text, ':');
            add_blanks(&r, &text);
            add_random_value(&r, &values[i], 3);
            zl_buf_add_view(&text, zl_buf_view(&values[i]));
            add_blanks(&r, &text);
        }
        zl_buf_add_char(&text, '}');
        char *own = own_bytes(zl_buf_view(&text));
        zl_view object, value;
        size_t at = 0;
        if (!zl_json_read((zl_view){own, text.len}, &object, &at)) {
            fail_with("%s is refused at %zu", text.data, at);
        }
        for (size_t i = 0; i < count; i++) {
            size_t found = 0, chosen = i;
            for (size_t k = 0; k < count; k++) {
                if (zl_view_equal(zl_buf_view(&names[k]), zl_buf_view(&names[i]))) {
                    chosen = found < 2 ? k : chosen;
                    found++;
                }
            }
            assert_int_equal(zl_json_member(object, zl_buf_view(&names[i]), &value), found);
            assert_view(value, values[chosen].data);
        }
        for (size_t i = 0; i < count; i++) {
            zl_buf_free(&names[i]);
            zl_buf_free(&values[i]);
        }
        zl_buf_free(&text);
        free(own);
    }
}

/* No beginning of an object is one. And the position of what is wrong depends on nothing behind it:
 * whatever is put behind it, it stays there. (An escape is wrong as a whole; the longest has 12
 * bytes.) */
static void test_random_damage(void **state) {
    (void)state;
    static const char bytes[] = "{}[]\",:\\u0d8 tnf1-.e\n\x80\xC3\xED\xF4\xFF\x01";
    enum { WHOLE = 12 };
    rng r = {2};
    size_t refused = 0;
    for (size_t round = 0; round < repetitions(20000); round++) {
        zl_buf text = {0};
        size_t start, len, at, again;
        zl_buf_add_text(&text, "{\"a\":");
        add_random_value(&r, &text, 3);
        zl_buf_add_char(&text, '}');
        size_t cut = rng_below(&r, text.len);
        assert_false(reads((zl_view){text.data, cut}, &start, &len, &at));
        assert_true(at == cut || text.data[at] == '\\' || (unsigned char)text.data[at] >= 0x80);
        for (size_t n = 1 + rng_below(&r, 3); n > 0; n--) {
            text.data[rng_below(&r, text.len)] = bytes[rng_below(&r, sizeof bytes - 1)];
        }
        if (!reads(zl_buf_view(&text), &start, &len, &at) && at + WHOLE < text.len) {
            refused++;
            for (size_t i = at + WHOLE; i < text.len; i++) {
                text.data[i] = bytes[rng_below(&r, sizeof bytes - 1)];
            }
            assert_false(reads(zl_buf_view(&text), &start, &len, &again));
            assert_int_equal(again, at);
        }
        zl_buf_free(&text);
    }
    assert_true(refused > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_words_and_numbers_that_are_none),
        cmocka_unit_test(test_structures_that_are_none),
        cmocka_unit_test(test_strings_that_are_none),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_members_of_one_name),
        cmocka_unit_test(test_random_objects),
        cmocka_unit_test(test_random_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
