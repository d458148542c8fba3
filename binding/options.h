/* Reading the tables of options. Everything is read raw: a metatable on a table of options has no
 * say. */
#ifndef ZLB_OPTIONS_H
#define ZLB_OPTIONS_H

#include "../api/buf.h"
#include "../api/request.h"
#include "compat.h"

enum { ZLB_MAX_ATTEMPTS_MOST = 100 };

/* The most seconds that may be asked for, 30 days: far beyond any use, far below any overflow. */
#define ZLB_SECONDS_MAX 2592000.0

enum { ZLB_OPTIONS_MOST = 24 };

/* The options that were given. Their values lie on the stack, which holds them whatever a finaliser
 * does to the caller's table. */
typedef struct zlb_options {
    size_t count;
    struct {
        const char *name;
        int place; /* on the stack */
    } each[ZLB_OPTIONS_MOST];
} zlb_options;

/* That so many fit, of an array of names with NULL at its end. */
#define ZLB_OPTIONS_FIT(names)                                                                     \
    _Static_assert(sizeof(names) / sizeof(names)[0] <= ZLB_OPTIONS_MOST + 1, "too many options")

/* Read the argument at `index`, a table of options, or none at all: push the values, which must
 * stay where they are while they are asked for. Every key must be among names (NULL-terminated).
 * Raises INVALID_ARGUMENT or UNKNOWN_OPTION, with what was meant. */
void zlb_options_read(lua_State *L, int index, const char *const *names, zlb_options *out);

/* One of the options. Where it is absent: an empty view, 0, ZL_UNSET. Ill-typed: INVALID_ARGUMENT
 * that names the place. Views are valid while the value is on the stack. */
zl_view zlb_option_string(lua_State *L, const zlb_options *given,
                          const char *name); /* not empty, no NUL */
zl_view zlb_option_header(lua_State *L, const zlb_options *given,
                          const char *name); /* fit for a header */
zl_view zlb_option_word(lua_State *L, const zlb_options *given,
                        const char *name); /* letters, digits, -_. */
zl_tristate zlb_option_boolean(lua_State *L, const zlb_options *given, const char *name);
int64_t zlb_option_seconds(lua_State *L, const zlb_options *given,
                           const char *name); /* > 0; in ms, rounded up */
int64_t zlb_option_count(lua_State *L, const zlb_options *given, const char *name,
                         int64_t most); /* from 1 */

/* Push option `name` as it is. Returns its type. */
int zlb_option_push(lua_State *L, const zlb_options *given, const char *name);

/* Raise INVALID_ARGUMENT for an option, given what was expected and the value on top of the stack.
 */
int zlb_option_error(lua_State *L, const char *name, const char *expected);

/* Raise INVALID_ARGUMENT for an option whose type is right. Its value is not shown. */
int zlb_option_refuse(lua_State *L, const char *name, const char *problem);

/* True when text is a word: letters, digits, '-', '_', '.', not empty, and no '.' in front (".." is
 * no service, it is another address). */
bool zlb_is_word(zl_view text);

#endif
