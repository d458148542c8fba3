/* For LD_PRELOAD: what comes late, or just too early. Compiled by late.lua.
 *
 * Names that end in ".slow.test" take 3 s to be resolved, and are 127.0.0.1 then. With
 * ZENLAYER_TEST_RAISE, SIGINT comes right before the first long poll(2), which it does not end.
 * With ZENLAYER_TEST_OLD_CURL, libcurl is one that does not know CURLOPT_QUICK_EXIT. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONG_POLL_MS = 100, RESOLVER_S = 3, NO_QUICK_EXIT = 0x075600 };

typedef int resolve_function(const char *, const char *, const struct addrinfo *,
                             struct addrinfo **);
typedef int poll_function(struct pollfd *, nfds_t, int);
typedef CURLcode setopt_function(CURL *, CURLoption, ...);
typedef curl_version_info_data *version_function(CURLversion);

/* Parameters are not called what the system's headers call them. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

#undef curl_easy_setopt /* a macro that checks types */

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    resolve_function *next = (resolve_function *)dlsym(RTLD_NEXT, "getaddrinfo");
    const char *end = name == NULL ? NULL : strstr(name, ".slow.test");
    if (end != NULL && strcmp(end, ".slow.test") == 0) {
        (void)sleep(RESOLVER_S);
        name = "127.0.0.1";
    }
    return next(name, service, hints, found);
}

int poll(struct pollfd *polls, nfds_t count, int timeout_ms) {
    static int raised = 0;
    poll_function *next = (poll_function *)dlsym(RTLD_NEXT, "poll");
    if (timeout_ms >= LONG_POLL_MS && !raised && getenv("ZENLAYER_TEST_RAISE") != NULL) {
        raised = 1;
        (void)raise(SIGINT);
    }
    return next(polls, count, timeout_ms);
}

static int is_old(void) {
    return getenv("ZENLAYER_TEST_OLD_CURL") != NULL;
}

/* What an option takes fits a pointer, or is a curl_off_t. */
CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...) {
    setopt_function *next = (setopt_function *)dlsym(RTLD_NEXT, "curl_easy_setopt");
    if (option == CURLOPT_QUICK_EXIT && is_old()) {
        return CURLE_UNKNOWN_OPTION;
    }
    bool is_large = option > CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB;
    va_list arguments;
    va_start(arguments, option);
    curl_off_t number = is_large ? va_arg(arguments, curl_off_t) : 0;
    void *value = is_large ? NULL : va_arg(arguments, void *);
    va_end(arguments);
    return is_large ? next(easy, option, number) : next(easy, option, value);
}

curl_version_info_data *curl_version_info(CURLversion age) {
    static curl_version_info_data old;
    version_function *next = (version_function *)dlsym(RTLD_NEXT, "curl_version_info");
    if (!is_old()) {
        return next(age);
    }
    old = *next(age);
    old.version_num = NO_QUICK_EXIT;
    return &old;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
