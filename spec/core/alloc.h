/* The core's own allocations, seen and made to fail. What OpenSSL, libc and cmocka allocate for
 * themselves is not seen: see alloc.c. */
#ifndef ALLOC_H
#define ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* How many allocations the core has tried since the program began. */
size_t alloc_count(void);

/* Make the k-th allocation from now fail (k from 1), and with `persistent` every one after it.
 * 0: none. */
void alloc_fail_at(size_t k, bool persistent);

/* Whether one has failed since alloc_fail_at. */
bool alloc_has_failed(void);

/* Blocks that were allocated and not freed, by the core. */
size_t alloc_live(void);

/* From now, `look` is given every block that the core gives back, all that malloc gave of it; a
 * block that grows or shrinks is given back for another. NULL: no more. */
typedef void (*alloc_looker)(const void *block, size_t size);
void alloc_look(alloc_looker look);

/* From now, look through every block that the core gives back for `secret` (NULL: no more). Returns
 * in how many it was found since the last time. */
size_t alloc_watch(const char *secret);

#endif
