/* SIGPIPE held back in this thread, for what writes to connections that may be broken. The signals
 * of the host stay as they were, one that was pending before too. */
#ifndef ZL_SIGPIPE_H
#define ZL_SIGPIPE_H

#include <signal.h>
#include <stdbool.h>

/* {0}: nothing is held back. */
typedef struct zl_sigpipe {
    sigset_t before;
    bool holds;
    bool was_pending;
} zl_sigpipe;

/* Hold it back. Again: nothing happens; nor where the host ignores the signal, as servers do. */
void zl_sigpipe_hold(zl_sigpipe *held);

/* Swallow the one that was raised meanwhile, if any, and hold nothing back any more. */
void zl_sigpipe_release(const zl_sigpipe *held);

#endif
