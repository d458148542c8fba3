/* Writing JSON: strings and numbers in the one form that this module signs and sends. Structure
 * (commas, brackets, key order) is the caller's. The same value gives the same bytes on every
 * platform and in every locale. */
#ifndef ZL_JSON_H
#define ZL_JSON_H

#include "buf.h"

/* Append text as a JSON string. What RFC 8259 requires is escaped and nothing else (so `/` and
 * everything beyond ASCII stay as they are). Text must be valid UTF-8 (zl_utf8_valid). */
void zl_json_add_string(zl_buf *out, zl_view text);

/* Whether text is ASCII of which nothing needs an escape, and not empty. */
bool zl_json_is_plain(zl_view text);

/* Append a finite double: whole numbers up to 2^53 as integers (negative zero as -0), the rest in
 * the shortest form that reads back as the same double. False, with nothing appended, for NaN and
 * the infinities. */
bool zl_json_add_double(zl_buf *out, double value);

#endif
