/* Whether this process is the one that made something, or was forked from it. Asked in every frame
 * of a game, where a system call like getpid counts: if the kernel can, it marks a child by itself.
 */
#ifndef ZL_FORKED_H
#define ZL_FORKED_H

#include <stdbool.h>
#include <sys/types.h>

/* All zero belongs to nobody. */
typedef struct zl_maker {
    unsigned char *mark; /* a page that a fork wipes; 1 in the maker. NULL: there is none */
    pid_t pid;
} zl_maker;

/* From now on this process is the maker. */
void zl_maker_set(zl_maker *maker);

bool zl_maker_is_here(const zl_maker *maker);

void zl_maker_free(zl_maker *maker);

#endif
