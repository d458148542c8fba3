/* What the C tests of the core share: random numbers from a seed, a virtual moment, a client
 * without a network, ready-made answers, and asserts for the core's own types. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client.h"
#include "judge.h"
#include "operation.h"

/* --- random numbers: the same on every machine, told apart by the seed ---------------------------
 */

typedef struct rng {
    uint64_t state;
} rng;

uint64_t rng_next(rng *r);
size_t rng_below(rng *r, size_t bound); /* 0 … bound - 1 */
bool rng_chance(rng *r, double probability);
double rng_unit(rng *r); /* in [0, 1) */

/* How many of `full` repetitions to make: all, or a part of them where the runner says that this is
 * slow (valgrind, sanitizers). */
size_t repetitions(size_t full);

/* A copy of text in memory of its own, without a NUL behind it, so that a sanitizer sees a read
 * beyond it. To be freed. */
char *own_bytes(zl_view text);

/* --- the world outside ---------------------------------------------------------------------------
 */

enum { WALL_AT_ZERO = 1700000000 }; /* UNIX time when the monotonic clock stands at 0 */

zl_moment moment(int64_t mono_ms, double random);

/* A client of key id "key-id" for https://api.example, service vm, with all defaults. */
zl_client *new_client(void);

/* A sender of its own, with a key pair or with a token. */
void sender_init(zl_sender *sender, bool token);
void sender_free(zl_sender *sender);

/* --- answers: texts must outlive them --------------------------------------------------------- */

zl_answer answer_accepted(const char *request_id);
zl_answer answer_api_error(int status, const char *code);
zl_answer answer_of_no_api(int status); /* an HTML page, say */

/* --- ids -------------------------------------------------------------------------------------- */

/* ids "<prefix>0" … */
void add_ids(zl_ids *ids, const char *prefix, size_t count);

/* The ids of a body's instanceIds, as they stand there between the quotes (the tests' ids need no
 * escapes). Returns how many. */
size_t ids_of_body(zl_view body, zl_view *out, size_t room);

/* --- asserts ---------------------------------------------------------------------------------- */

void check_view(zl_view view, const char *text, const char *file, int line);
#define assert_view(view, text) check_view((view), (text), __FILE__, __LINE__)
#define assert_buf(buf, text) check_view(zl_buf_view(&(buf)), (text), __FILE__, __LINE__)

/* Fails with a message as by printf: for properties, where the input must be told. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
_Noreturn void
fail_with(const char *format, ...);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
