/* The head of an HTTP/1.1 answer, read strictly: for drivers that get bytes and no HTTP library. */
#ifndef ZL_HTTP_HEAD_H
#define ZL_HTTP_HEAD_H

#include "buf.h"

typedef struct zl_http_head {
    int status;     /* 100 to 999 */
    zl_view fields; /* the header lines, each with its CR LF */
    int64_t length; /* Content-Length; -1: none */
    bool chunked;   /* Transfer-Encoding: chunked, and nothing besides */
    bool close;     /* no further answer comes on this connection */
} zl_http_head;

/* Read a head, all of it, with the blank line at its end. Returns NULL, or a static text that says
 * what is wrong: a status line that is none, a line that is no header (a folded one, a name that is
 * no token, CR, LF or NUL where none may be), a Content-Length that is no number or two that
 * differ, a Transfer-Encoding other than chunked, or both (RFC 9112, sections 4, 5 and 6). The
 * fields are a view into head. */
const char *zl_http_head_parse(zl_http_head *out, zl_view head);

#endif
