/* The names malloc, calloc, realloc and free, defined once more and hidden: calls from the objects
 * of this program are bound to them by the linker, while the shared libraries keep the real ones,
 * which nobody hides. So only the core's allocations pass here, and a sanitizer or valgrind still
 * sees each of them. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* RTLD_NEXT, malloc_usable_size */
#endif
#include "alloc.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define HIDDEN_AS(name) __asm__(name) __attribute__((visibility("hidden")))
void *seen_malloc(size_t size) HIDDEN_AS("malloc");
void *seen_calloc(size_t n, size_t size) HIDDEN_AS("calloc");
void *seen_realloc(void *old, size_t size) HIDDEN_AS("realloc");
void seen_free(void *block) HIDDEN_AS("free");

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
} real;

static size_t count, live, fail_at, found;
static bool fails_on, has_failed;
static const char *watched;
static alloc_looker looker;

/* A function pointer out of dlsym's object pointer, as POSIX has it. */
static void find(void *function, const char *name) {
    *(void **)function = dlsym(RTLD_NEXT, name);
}

static void find_real(void) {
    if (real.free == NULL) {
        find(&real.malloc, "malloc");
        find(&real.calloc, "calloc");
        find(&real.realloc, "realloc");
        find(&real.free, "free");
    }
}

static bool must_fail(void) {
    find_real();
    count++;
    bool fails = fail_at != 0 && (count == fail_at || (fails_on && count > fail_at));
    has_failed = has_failed || fails;
    return fails;
}

/* What is looked through later begins as zeros, all that there is of it: what somebody else left
 * there is not to be found, and valgrind not to complain about the look. */
void *seen_malloc(size_t size) {
    void *block = must_fail() ? NULL : real.malloc(size);
    live += block != NULL;
    if (block != NULL && looker != NULL) {
        memset(block, 0, malloc_usable_size(block));
    }
    return block;
}

void *seen_calloc(size_t n, size_t size) {
    void *block = must_fail() ? NULL : real.calloc(n, size);
    live += block != NULL;
    if (block != NULL && looker != NULL) {
        memset(block, 0, malloc_usable_size(block));
    }
    return block;
}

/* Where blocks are looked through it always moves: what it may leave behind is seen. */
void *seen_realloc(void *old, size_t size) {
    if (looker == NULL) {
        void *block = must_fail() ? NULL : real.realloc(old, size);
        live += old == NULL && block != NULL;
        return block;
    }
    void *block = seen_malloc(size);
    if (block != NULL && old != NULL) {
        size_t had = malloc_usable_size(old);
        memcpy(block, old, had < size ? had : size);
        seen_free(old);
    }
    return block;
}

void seen_free(void *block) {
    find_real();
    live -= block != NULL;
    if (block != NULL && looker != NULL) {
        looker(block, malloc_usable_size(block));
    }
    real.free(block);
}

size_t alloc_count(void) {
    return count;
}

void alloc_fail_at(size_t k, bool persistent) {
    fail_at = k == 0 ? 0 : count + k;
    fails_on = persistent;
    has_failed = false;
}

bool alloc_has_failed(void) {
    return has_failed;
}

size_t alloc_live(void) {
    return live;
}

void alloc_look(alloc_looker look) {
    looker = look;
}

static void look_for_watched(const void *block, size_t size) {
    size_t len = strlen(watched);
    for (size_t i = 0; i + len <= size; i++) {
        if (memcmp((const char *)block + i, watched, len) == 0) {
            found++;
            return;
        }
    }
}

size_t alloc_watch(const char *secret) {
    size_t before = found;
    watched = secret;
    found = 0;
    alloc_look(secret != NULL ? look_for_watched : NULL);
    return before;
}
