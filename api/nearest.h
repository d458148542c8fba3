/* Which name was meant by one that does not exist: for the suggestions in errors. Pure. */
#ifndef ZL_NEAREST_H
#define ZL_NEAREST_H

#include "buf.h"

/* Whether two names are the same but for case and what stands between words: forceShutdown,
 * force-shutdown and force_shutdown are. */
bool zl_names_agree(zl_view a, zl_view b);

/* The name of the list (NULL-terminated) that is near enough to `given` to be meant; NULL: none is.
 * Compared as above, near is a name that takes few changes (a letter more, less or other, or two
 * swapped): one, and one more for every eight letters of the longer of the two. "start" is not that
 * near to "stop". Failing that, near is a name of which `given` is a part of three letters or more
 * ("force"), or that is a part of `given` ("timeout_ms"). Of equals the first. */
const char *zl_nearest(zl_view given, const char *const *names);

#endif
