/* A pipe that nobody reads, in processes with each state of SIGPIPE that a host can have. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sigpipe.h"
#include "support.h"

enum { IS_WELL = 42 };

static bool is_pending(void) {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

static bool is_blocked(void) {
    sigset_t mask;
    return pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGPIPE) == 1;
}

static void block(void) {
    sigset_t pipe;
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, NULL);
}

static bool write_fails(void) {
    int ends[2];
    if (pipe(ends) != 0 || close(ends[0]) != 0) {
        return false;
    }
    ssize_t written = write(ends[1], "x", 1);
    int error = errno;
    (void)close(ends[1]);
    return written == -1 && error == EPIPE;
}

/* What becomes of a process: its exit status, or minus the signal that killed it. */
static int fate(bool (*host)(void)) {
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGPIPE, SIG_DFL);
        exit(host() ? IS_WELL : 1); /* not _exit: what ran is counted */
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static bool unprotected(void) {
    return write_fails();
}

static bool protected(void) {
    zl_sigpipe held = {0};
    zl_sigpipe_hold(&held);
    zl_sigpipe_hold(&held);
    bool failed = write_fails() && is_blocked() && is_pending();
    zl_sigpipe_release(&held);
    return failed && !is_blocked() && !is_pending();
}

static bool quiet(void) {
    zl_sigpipe held = {0};
    zl_sigpipe_release(&held);
    zl_sigpipe_hold(&held);
    zl_sigpipe_release(&held);
    return !is_blocked() && !is_pending();
}

static bool afterwards(void) {
    return protected() && write_fails();
}

static bool blocking(void) {
    zl_sigpipe held = {0};
    block();
    zl_sigpipe_hold(&held);
    bool failed = write_fails();
    zl_sigpipe_release(&held);
    return failed && is_blocked() && !is_pending();
}

static bool blocking_with_one_pending(void) {
    zl_sigpipe held = {0};
    block();
    (void)raise(SIGPIPE);
    zl_sigpipe_hold(&held);
    bool failed = write_fails();
    zl_sigpipe_release(&held);
    return failed && is_blocked() && is_pending();
}

static bool ignoring(void) {
    zl_sigpipe held = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    zl_sigpipe_hold(&held);
    bool failed = write_fails() && !is_blocked() && !is_pending();
    zl_sigpipe_release(&held);
    return failed && !is_blocked() && !is_pending();
}

static void test_hosts(void **state) {
    (void)state;
    assert_int_equal(fate(unprotected), -SIGPIPE);
    assert_int_equal(fate(protected), IS_WELL);
    assert_int_equal(fate(quiet), IS_WELL);
    assert_int_equal(fate(afterwards), -SIGPIPE);
    assert_int_equal(fate(blocking), IS_WELL);
    assert_int_equal(fate(blocking_with_one_pending), IS_WELL);
    assert_int_equal(fate(ignoring), IS_WELL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hosts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
