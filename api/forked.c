#include "forked.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hot.h"

/* One byte would do, but a page is what can be marked. */
static size_t page_len(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

static unsigned char *new_mark(void) {
#ifdef MADV_WIPEONFORK /* Linux 4.14 */
    void *page = mmap(NULL, page_len(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return NULL;
    }
    if (madvise(page, page_len(), MADV_WIPEONFORK) == 0) {
        return page;
    }
    (void)munmap(page, page_len());
#endif
    return NULL;
}

void zl_maker_set(zl_maker *maker) {
    if (maker->mark == NULL) {
        maker->mark = new_mark();
    }
    if (maker->mark != NULL) {
        *maker->mark = 1;
    }
    maker->pid = getpid();
}

ZL_HOT bool zl_maker_is_here(const zl_maker *maker) {
    return maker->mark != NULL ? *maker->mark == 1 : maker->pid == getpid();
}

void zl_maker_free(zl_maker *maker) {
    if (maker->mark != NULL) {
        (void)munmap(maker->mark, page_len());
    }
    *maker = (zl_maker){0};
}
