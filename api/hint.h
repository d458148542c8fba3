/* What usually causes a refusal, and what helps: the hint of an error. Pure. */
#ifndef ZL_HINT_H
#define ZL_HINT_H

#include "error.h"
#include "judge.h"

/* How far this machine's clock may be from the server's without a word, in seconds. */
enum { ZL_HINT_SKEW_S = 5 };

/* Set the hint of an error that an answer was judged to be; of most there is none. blanks: what of
 * the credentials begins or ends with white space (zl_signer_blanks); wall_s: this machine's time;
 * offset_s: what was added to that for the request. */
void zl_hint_set(zl_error *error, const zl_answer *answer, const char *blanks, int64_t wall_s,
                 int64_t offset_s);

/* The same for a batch that was refused for some of its ids. */
void zl_hint_set_batch(zl_error *error);

#endif
