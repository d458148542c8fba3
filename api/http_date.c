#include "http_date.h"

#include <string.h>

/* A cursor that fails for good at the first thing that does not fit. */
typedef struct reader {
    const char *at;
    const char *end;
    bool ok;
} reader;

static int read_digits(reader *r, int count) {
    int value = 0;
    for (int i = 0; i < count; i++, r->at++) {
        if (r->at >= r->end || *r->at < '0' || *r->at > '9') {
            r->ok = false;
            return 0;
        }
        value = value * 10 + (*r->at - '0');
    }
    return value;
}

static void read_char(reader *r, char c) {
    r->ok = r->ok && r->at < r->end && *r->at == c;
    r->at += r->ok ? 1 : 0;
}

static bool skip_text(reader *r, zl_view text) {
    bool is_next = zl_view_starts_with((zl_view){r->at, (size_t)(r->end - r->at)}, text);
    r->at += is_next ? text.len : 0;
    return is_next;
}

/* The index of the name that comes next, of those in `names`, each three letters. */
static size_t read_name(reader *r, const char *names) {
    for (size_t i = 0; names[i] != '\0' && r->end - r->at >= 3; i += 3) {
        if (memcmp(r->at, names + i, 3) == 0) {
            r->at += 3;
            return i / 3;
        }
    }
    r->ok = false;
    return 0;
}

static int read_month(reader *r) {
    return (int)read_name(r, "JanFebMarAprMayJunJulAugSepOctNovDec");
}

/* "Sun" or "Sunday": it says nothing that the date does not. */
static void read_day_name(reader *r) {
    static const char *const rests[] = {"day", "day", "sday", "nesday", "rsday", "day", "urday"};
    size_t day = read_name(r, "SunMonTueWedThuFriSat");
    (void)skip_text(r, zl_view_of(rests[day]));
}

typedef struct date {
    int year, month, day, hour, minute, second; /* month from 0 */
} date;

static void read_time(reader *r, date *d) {
    d->hour = read_digits(r, 2);
    read_char(r, ':');
    d->minute = read_digits(r, 2);
    read_char(r, ':');
    d->second = read_digits(r, 2);
}

/* "Nov  6 08:49:37 1994", after the day's name and a space. */
static void read_asctime(reader *r, date *d) {
    d->month = read_month(r);
    read_char(r, ' ');
    if (r->at < r->end && *r->at == ' ') {
        r->at++;
        d->day = read_digits(r, 1);
    } else {
        d->day = read_digits(r, 2);
    }
    read_char(r, ' ');
    read_time(r, d);
    read_char(r, ' ');
    d->year = read_digits(r, 4);
}

/* "06 Nov 1994 08:49:37 GMT" or "06-Nov-94 08:49:37 GMT", after the day's name, comma and space. */
static void read_rfc_date(reader *r, date *d) {
    d->day = read_digits(r, 2);
    bool old = r->at < r->end && *r->at == '-';
    read_char(r, old ? '-' : ' ');
    d->month = read_month(r);
    read_char(r, old ? '-' : ' ');
    d->year = read_digits(r, old ? 2 : 4);
    if (old) {
        d->year += d->year < 70 ? 2000 : 1900;
    }
    read_char(r, ' ');
    read_time(r, d);
    r->ok = r->ok && skip_text(r, ZL_LIT(" GMT"));
}

/* Days from 1970-01-01 to a date of the Gregorian calendar; month from 0. Years are counted from
 * March, so that the leap day is the last of its year. */
static int64_t days_from_epoch(int year, int month, int day) {
    int64_t y = month < 2 ? (int64_t)year - 1 : year;
    int64_t m = (month + 10) % 12;
    int64_t day_of_year = (153 * m + 2) / 5 + day - 1;
    int64_t leap_days = y / 4 - y / 100 + y / 400;
    return y * 365 + leap_days + day_of_year - 719468;
}

static int days_of(int year, int month) { /* month from 0 */
    static const int days_of_month[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 1 && leap ? 29 : days_of_month[month];
}

bool zl_http_date_parse(zl_view text, int64_t *unix_s) {
    reader r = {text.data, text.data + text.len, true};
    date d = {0};
    if (text.len == 0) {
        return false;
    }
    read_day_name(&r);
    if (r.at < r.end && *r.at == ',') {
        read_char(&r, ',');
        read_char(&r, ' ');
        read_rfc_date(&r, &d);
    } else {
        read_char(&r, ' ');
        read_asctime(&r, &d);
    }
    /* Second 60 is a leap second; the year bound keeps the arithmetic of callers far from its
     * limits. */
    if (!r.ok || r.at != r.end || d.year < 1970 || d.day < 1 || d.day > days_of(d.year, d.month) ||
        d.hour > 23 || d.minute > 59 || d.second > 60) {
        return false;
    }
    *unix_s =
        days_from_epoch(d.year, d.month, d.day) * 86400 + d.hour * 3600 + d.minute * 60 + d.second;
    return true;
}
