#include "sigpipe.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

static bool is_pending(void) {
    sigset_t pending;
    (void)sigemptyset(&pending);
    (void)sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static bool is_ignored(void) {
    struct sigaction action;
    return sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void zl_sigpipe_hold(zl_sigpipe *held) {
    sigset_t pipe;
    if (held->holds || is_ignored()) {
        return;
    }
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, &held->before);
    held->holds = true;
    /* Only a signal that is blocked can be pending: most are spared this call. */
    held->was_pending = sigismember(&held->before, SIGPIPE) == 1 && is_pending();
}

void zl_sigpipe_release(const zl_sigpipe *held) {
    if (!held->holds) {
        return;
    }
    if (!held->was_pending && is_pending()) {
        sigset_t pipe;
        const struct timespec at_once = {0, 0};
        (void)sigemptyset(&pipe);
        (void)sigaddset(&pipe, SIGPIPE);
        while (sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR) {
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &held->before, NULL);
}
