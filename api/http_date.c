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

static void read_text(reader *r, const char *text) {
    size_t len = strlen(text);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, text, len) != 0) {
        r->ok = false;
        return;
    }
    r->at += len;
}

/* The index of the name that comes next, of `count` names. */
static int read_name(reader *r, const char *const *names, int count) {
    for (int i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        if ((size_t)(r->end - r->at) >= len && memcmp(r->at, names[i], len) == 0) {
            r->at += len;
            return i;
        }
    }
    r->ok = false;
    return 0;
}

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
/* Long names first: "Sunday" begins with "Sun". */
static const char *const days[] = {"Sunday", "Monday",   "Tuesday", "Wednesday", "Thursday",
                                   "Friday", "Saturday", "Sun",     "Mon",       "Tue",
                                   "Wed",    "Thu",      "Fri",     "Sat"};

typedef struct date {
    int year, month, day, hour, minute, second; /* month from 0 */
} date;

static void read_time(reader *r, date *d) {
    d->hour = read_digits(r, 2);
    read_text(r, ":");
    d->minute = read_digits(r, 2);
    read_text(r, ":");
    d->second = read_digits(r, 2);
}

/* "Nov  6 08:49:37 1994", after the day's name and a space. */
static void read_asctime(reader *r, date *d) {
    d->month = read_name(r, months, 12);
    read_text(r, " ");
    if (r->at < r->end && *r->at == ' ') {
        r->at++;
        d->day = read_digits(r, 1);
    } else {
        d->day = read_digits(r, 2);
    }
    read_text(r, " ");
    read_time(r, d);
    read_text(r, " ");
    d->year = read_digits(r, 4);
}

/* "06 Nov 1994 08:49:37 GMT" or "06-Nov-94 08:49:37 GMT", after the day's name, comma and space. */
static void read_rfc_date(reader *r, date *d) {
    d->day = read_digits(r, 2);
    bool old = r->at < r->end && *r->at == '-';
    read_text(r, old ? "-" : " ");
    d->month = read_name(r, months, 12);
    read_text(r, old ? "-" : " ");
    d->year = read_digits(r, old ? 2 : 4);
    if (old) {
        d->year += d->year < 70 ? 2000 : 1900;
    }
    read_text(r, " ");
    read_time(r, d);
    read_text(r, " GMT");
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
    (void)read_name(&r, days, 14);
    if (r.at < r.end && *r.at == ',') {
        read_text(&r, ", ");
        read_rfc_date(&r, &d);
    } else {
        read_text(&r, " ");
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
