/* Reading JSON that is in memory, without making anything of it: a text is gone through once, and
 * what is looked for in it are ranges of its bytes. Nothing is allocated but in the buffer that
 * receives a string. */
#ifndef ZL_JSON_READ_H
#define ZL_JSON_READ_H

#include "buf.h"

/* Objects and arrays within each other, the outermost one counted. */
enum { ZL_JSON_DEPTH_MAX = 64 };

/* True when text is one JSON value (RFC 8259) with nothing but blanks around it. *value is that
 * value, of which the first byte tells the kind: one of { [ " t f n, or a number's. Refused are
 * also invalid UTF-8, a byte order mark, halves of surrogate pairs, and what is nested deeper than
 * ZL_JSON_DEPTH_MAX.
 * False: *at is the position (from 0) of the first byte that cannot stand there, or the length of a
 * text that ends too soon. Of a wrong escape or character it is the first byte. */
bool zl_json_read(zl_view text, zl_view *value, size_t *at);

/* How many members of an object have this name, however that is escaped there. *value is the value
 * of the first; if there are more, of the second, to tell where it stands. Members of what is no
 * object: 0. The object is a value out of zl_json_read or this function. */
size_t zl_json_member(zl_view object, zl_view name, zl_view *value);

/* Append what a string stands for, in UTF-8; it may contain NUL. False, with nothing appended, for
 * what is no string. Running out of memory is told by zl_buf_ok. */
bool zl_json_string(zl_view value, zl_buf *out);

#endif
