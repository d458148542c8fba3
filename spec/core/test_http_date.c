/* Dates of HTTP headers, against the C library's calendar. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http_date.h"
#include "support.h"

enum { UNTOUCHED = -12345 };

/* What it is read as; UNTOUCHED when refused. In memory of its own, without a NUL, so that a
 * sanitizer sees a read beyond it. */
static int64_t parse(const char *text, size_t len) {
    char *own = malloc(len == 0 ? 1 : len);
    assert_non_null(own);
    memcpy(own, text, len);
    int64_t got = UNTOUCHED;
    bool ok = zl_http_date_parse((zl_view){own, len}, &got);
    free(own);
    assert_int_equal(ok, got != UNTOUCHED); /* a refused one leaves the result alone */
    return got;
}

static void expect(const char *text, int64_t want) {
    int64_t got = parse(text, strlen(text));
    if (got != want) {
        fail_with("\"%s\" is read as %lld, not %lld", text, (long long)got, (long long)want);
    }
}

static void test_the_examples_of_the_rfc(void **state) {
    (void)state;
    expect("Sun, 06 Nov 1994 08:49:37 GMT", 784111777);
    expect("Sunday, 06-Nov-94 08:49:37 GMT", 784111777);
    expect("Sun Nov  6 08:49:37 1994", 784111777);
}

static void test_edges(void **state) {
    (void)state;
    expect("Thu, 01 Jan 1970 00:00:00 GMT", 0);
    expect("Thu Jan  1 00:00:01 1970", 1);
    expect("Thursday, 01-Jan-70 00:00:00 GMT", 0);
    expect("Tue, 29 Feb 2000 12:00:00 GMT", 951825600);
    expect("Thu, 29 Feb 2024 23:59:59 GMT", 1709251199);
    expect("Mon, 01 Mar 2100 00:00:00 GMT", 4107542400); /* 2100 has no leap day */
    expect("Sun, 28 Feb 2100 23:59:59 GMT", 4107542399);
    expect("Tue, 19 Jan 2038 03:14:08 GMT", 2147483648);
    expect("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799);
    expect("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800); /* a leap second */
}

/* The three forms of a time, by the C library. */
static void write_forms(int64_t unix_s, char out[3][64]) {
    static const char *const names[3] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                         "%a %b %e %H:%M:%S %Y"};
    time_t t = (time_t)unix_s;
    struct tm tm;
    assert_non_null(gmtime_r(&t, &tm));
    for (int i = 0; i < 3; i++) {
        assert_true(strftime(out[i], 64, names[i], &tm) > 0);
    }
}

/* A random time; the form with two digits of a year knows 1970 to 2069. */
static int64_t random_time(rng *r, int form) {
    int64_t bound = form == 1 ? 3155760000 : 253402300800;
    return (int64_t)(rng_next(r) % (uint64_t)bound);
}

static void test_random_times_in_all_forms(void **state) {
    (void)state;
    rng r = {1};
    for (size_t i = 0; i < repetitions(60000); i++) {
        int form = (int)(i % 3);
        int64_t t = random_time(&r, form);
        char forms[3][64];
        write_forms(t, forms);
        expect(forms[form], t);
    }
}

static void test_every_day_of_two_centuries(void **state) {
    (void)state;
    for (int64_t day = 0; day < 73050; day++) {
        char forms[3][64];
        write_forms(day * 86400, forms);
        expect(forms[0], day * 86400);
        expect(forms[2], day * 86400);
    }
}

static void test_what_is_no_date(void **state) {
    (void)state;
    static const char *const none[] = {
        "",
        " ",
        "0",
        "120",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "06 Nov 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nof 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06-Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08-49-37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT", /* before time began: ours are never negative */
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  0 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sunday, 06-Nov-94",
    };
    for (size_t i = 0; i < COUNT(none); i++) {
        expect(none[i], UNTOUCHED);
    }
    expect("Sun, 06 Nov 1994 08:49:37 GMT", 784111777);
    assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37 GMT\0", 30), UNTOUCHED);
    assert_int_equal(parse("Sun, 06 Nov 1994\0"
                           "08:49:37 GMT",
                           29),
                     UNTOUCHED);
}

static void test_days_that_a_month_does_not_have(void **state) {
    (void)state;
    expect("Fri, 31 Apr 2026 00:00:00 GMT", UNTOUCHED);
    expect("Mon, 30 Feb 2026 00:00:00 GMT", UNTOUCHED);
    expect("Sun, 29 Feb 2026 00:00:00 GMT", UNTOUCHED);
    expect("Mon, 29 Feb 2100 00:00:00 GMT", UNTOUCHED);
    expect("Fri, 31-Apr-26 00:00:00 GMT", UNTOUCHED);
    expect("Fri Apr 31 00:00:00 2026", UNTOUCHED);
}

/* No part of a date is a date, nor is one with something after it. */
static void test_cut_and_extended(void **state) {
    (void)state;
    char forms[3][64];
    write_forms(784111777, forms);
    for (int form = 0; form < 3; form++) {
        size_t len = strlen(forms[form]);
        for (size_t cut = 0; cut < len; cut++) {
            assert_int_equal(parse(forms[form], cut), UNTOUCHED);
            assert_int_equal(parse(forms[form] + len - cut, cut), UNTOUCHED);
        }
        forms[form][len] = '0';
        assert_int_equal(parse(forms[form], len + 1), UNTOUCHED);
    }
}

/* Whatever comes over the wire: refused, or a time that arithmetic can bear. */
static void test_mutations(void **state) {
    (void)state;
    rng r = {2};
    for (size_t i = 0; i < repetitions(300000); i++) {
        char forms[3][64];
        int form = (int)(i % 3);
        write_forms(random_time(&r, form), forms);
        size_t len = strlen(forms[form]);
        for (size_t k = 1 + rng_below(&r, 3); k > 0; k--) {
            static const char likely[] = "0123456789 ,:-GMTSunNov";
            bool any = rng_chance(&r, 0.3);
            forms[form][rng_below(&r, len)] =
                any ? (char)rng_below(&r, 256) : likely[rng_below(&r, sizeof likely - 1)];
        }
        int64_t got = parse(forms[form], len);
        assert_true(got == UNTOUCHED || (got >= 0 && got <= 253402300800));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_examples_of_the_rfc),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_random_times_in_all_forms),
        cmocka_unit_test(test_every_day_of_two_centuries),
        cmocka_unit_test(test_what_is_no_date),
        cmocka_unit_test(test_days_that_a_month_does_not_have),
        cmocka_unit_test(test_cut_and_extended),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
