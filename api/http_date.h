/* Dates of HTTP headers (RFC 9110, section 5.6.7). */
#ifndef ZL_HTTP_DATE_H
#define ZL_HTTP_DATE_H

#include "buf.h"

/* Read an HTTP date in any of its three forms ("Sun, 06 Nov 1994 08:49:37 GMT",
 * "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994") into *unix_s, seconds since 1970.
 * False, with *unix_s untouched, for anything else. */
bool zl_http_date_parse(zl_view text, int64_t *unix_s);

#endif
