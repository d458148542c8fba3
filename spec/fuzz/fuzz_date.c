/* HTTP dates: libc, which writes and reads them its own way, has the same idea of each.
 *
 * Input: 8 bytes for a time, then a text that may be a date. */
#if !defined(_XOPEN_SOURCE)
#define _XOPEN_SOURCE 700 /* strptime */
#endif
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz.h"
#include "http_date.h"

enum { DAY_S = 86400, TEXT_MAX = 64 };

static const int64_t year_2070_s = 3155760000, year_10000_s = 253402300800;

/* The second form has two digits of the year: it is for the years from 1970 to 2069. */
static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                    "%a %b %e %H:%M:%S %Y"};

static bool parse(zl_view text, int64_t *unix_s) {
    char *own = own_bytes(text);
    *unix_s = INT64_MIN;
    bool ok = zl_http_date_parse((zl_view){own, text.len}, unix_s);
    CHECK(ok || *unix_s == INT64_MIN);
    free(own);
    return ok;
}

/* What libc writes is read back. */
static void check_written(int64_t unix_s) {
    struct tm parts;
    time_t time = (time_t)unix_s;
    CHECK(gmtime_r(&time, &parts) != NULL);
    for (size_t form = 0; form < COUNT(forms); form++) {
        char text[TEXT_MAX];
        int64_t back;
        size_t len = strftime(text, sizeof text, forms[form], &parts);
        CHECK(len > 0);
        if (form != 1 || unix_s < year_2070_s) {
            CHECK(parse((zl_view){text, len}, &back) && back == unix_s);
        }
        /* With a byte less it is none, nor with one more. */
        CHECK(!parse((zl_view){text, len - 1}, &back) && !parse((zl_view){text, len + 1}, &back));
    }
}

/* libc's idea of a text that is a date. The day's name may be a wrong one: it says nothing. */
static int64_t read_by_libc(zl_view text) {
    char copy[TEXT_MAX];
    CHECK(text.len < sizeof copy && memchr(text.data, '\0', text.len) == NULL);
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    for (size_t form = 0; form < COUNT(forms); form++) {
        struct tm parts = {0};
        const char *end = strptime(copy, forms[form], &parts);
        if (end == NULL || *end != '\0') {
            continue;
        }
        if (form == 1 && parts.tm_year == 69) { /* POSIX has it in the century before */
            parts.tm_year += 100;
        }
        return (int64_t)timegm(&parts);
    }
    FAIL("libc reads this, too");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    int64_t unix_s;
    check_written((int64_t)(input_number(&in, 8) % (uint64_t)year_10000_s));
    zl_view text = input_rest(&in);
    if (parse(text, &unix_s)) {
        CHECK(unix_s >= 0 && unix_s <= year_10000_s);
        CHECK(unix_s == read_by_libc(text));
        check_written(unix_s % year_10000_s);
    }
    return 0;
}
