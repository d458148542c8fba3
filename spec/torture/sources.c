#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* RTLD_NEXT */
#endif
#include "sources.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>
#include <unwind.h>

#include "spec/core/alloc.h"

static const char *const names[SOURCE_COUNT] = {"lua", "core", "curl", "openssl"};

/* The sources that are seen here; the core's is seen by alloc.c. libcurl may allocate in a thread
 * of its own: what it does there is counted, and nothing more. */
typedef struct gate {
    _Atomic size_t asked, live;
    size_t fail_at; /* 0: never */
    bool persistent, refused;
    size_t refused_at, refused_size;
} gate;

static gate gates[SOURCE_COUNT];
static secrets_account accounts[SOURCE_COUNT];
static source failing;
static bool looks; /* through what others than the core give back */
static _Thread_local bool is_main;

/* Those of libc or of a sanitizer. In this program the plain names are alloc.c's. */
static struct {
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
} real;

/* A function pointer out of dlsym's object pointer, as POSIX has it. */
static bool find(void *function, const char *name) {
    *(void **)function = dlsym(RTLD_NEXT, name);
    return *(void **)function != NULL;
}

static bool is_session(void);

static bool must_refuse(gate *g, size_t size) {
    size_t nth = ++g->asked;
    if (!is_main || g->fail_at == 0) {
        return false;
    }
    /* Lua that is refused collects its garbage and asks once more: both are one failure. */
    bool again = g == &gates[SOURCE_LUA] && g->refused && nth == g->refused_at + 1 &&
                 size == g->refused_size;
    bool refuses = nth == g->fail_at || again || (g->persistent && nth > g->fail_at);
    if (refuses && g == &gates[SOURCE_CURL] && is_session()) {
        return false;
    }
    if (refuses && !g->refused) {
        g->refused = true;
        g->refused_at = nth;
        g->refused_size = size;
    }
    return refuses;
}

static void give_back(gate *g, void *block) {
    if (looks && is_main) {
        secrets_look(&accounts[g - gates], block, malloc_usable_size(block));
    }
    real.free(block);
}

/* As realloc, but where blocks are looked through another one every time, which begins as zeros. */
static void *change(gate *g, void *block, size_t size) {
    if (!looks) {
        return real.realloc(block, size);
    }
    void *given = real.realloc(NULL, size);
    if (given != NULL) {
        size_t had = block != NULL ? malloc_usable_size(block) : 0;
        memset(given, 0, malloc_usable_size(given));
        if (block != NULL) {
            memcpy(given, block, had < size ? had : size);
            give_back(g, block);
        }
    }
    return given;
}

/* Every kind of allocation is a realloc. */
static void *give(gate *g, void *block, size_t size) {
    if (must_refuse(g, size)) {
        return NULL;
    }
    void *given = change(g, block, size > 0 ? size : 1);
    if (block == NULL && given != NULL) {
        g->live++;
    }
    return given;
}

static void take(gate *g, void *block) {
    if (block != NULL) {
        g->live--;
        give_back(g, block);
    }
}

/* --- Lua -------------------------------------------------------------------------------------- */

void *sources_lua_alloc(void *context, void *block, size_t old_size, size_t size) {
    gate *g = &gates[SOURCE_LUA];
    (void)context;
    if (size == 0) {
        take(g, block);
        return NULL;
    }
    if (block != NULL && size <= old_size) { /* Lua takes it for granted that this succeeds */
        return change(g, block, size);
    }
    return give(g, block, size);
}

/* --- libcurl ---------------------------------------------------------------------------------- */

static _Unwind_Reason_Code look_for_ssl(struct _Unwind_Context *frame, void *found) {
    Dl_info about;
    uintptr_t place = _Unwind_GetIP(frame);
    void *code;
    memcpy(&code, &place, sizeof code);
    if (dladdr(code, &about) != 0 && about.dli_fname != NULL &&
        strstr(about.dli_fname, "libssl") != NULL) {
        *(bool *)found = true;
        return _URC_END_OF_STACK;
    }
    return _URC_NO_REASON;
}

/* Whether OpenSSL has called libcurl back: then it is about a session to be kept for the next
 * connection. If there is no memory for a part of it, libcurl 7.88 frees another part twice: what
 * is wanted there is not refused. */
static bool is_session(void) {
    bool found = false;
    (void)_Unwind_Backtrace(look_for_ssl, &found);
    return found;
}

static void *curl_give(size_t size) {
    return give(&gates[SOURCE_CURL], NULL, size);
}

static void curl_take(void *block) {
    take(&gates[SOURCE_CURL], block);
}

static void *curl_change(void *block, size_t size) {
    return give(&gates[SOURCE_CURL], block, size);
}

static char *curl_copy(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = curl_give(size);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

static void *curl_give_cleared(size_t count, size_t size) {
    void *block = curl_give(count * size);
    return block != NULL ? memset(block, 0, count * size) : NULL;
}

/* --- OpenSSL ---------------------------------------------------------------------------------- */

static void *ssl_give(size_t size, const char *file, int line) {
    (void)file;
    (void)line;
    return size > 0 ? give(&gates[SOURCE_OPENSSL], NULL, size) : NULL;
}

static void ssl_take(void *block, const char *file, int line) {
    (void)file;
    (void)line;
    take(&gates[SOURCE_OPENSSL], block);
}

static void *ssl_change(void *block, size_t size, const char *file, int line) {
    if (size == 0) {
        ssl_take(block, file, line);
        return NULL;
    }
    return give(&gates[SOURCE_OPENSSL], block, size);
}

/* --- all of them ------------------------------------------------------------------------------ */

const char *source_name(source which) {
    return names[which];
}

bool sources_begin(void) {
    is_main = true;
    return find(&real.realloc, "realloc") && find(&real.free, "free") &&
           CRYPTO_set_mem_functions(ssl_give, ssl_change, ssl_take) == 1 &&
           curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_give, curl_take, curl_change, curl_copy,
                                curl_give_cleared) == CURLE_OK;
}

void sources_fail_at(source which, size_t k, bool persistent) {
    gate *g = &gates[which];
    failing = which;
    if (which == SOURCE_CORE) {
        alloc_fail_at(k, persistent);
        return;
    }
    g->fail_at = k == 0 ? 0 : g->asked + k;
    g->persistent = persistent;
    g->refused = false;
}

bool sources_relent(void) {
    gate *g = &gates[failing];
    bool refused = failing == SOURCE_CORE ? alloc_has_failed() : g->refused;
    sources_fail_at(failing, 0, false);
    return refused;
}

size_t source_asked(source which) {
    return which == SOURCE_CORE ? alloc_count() : gates[which].asked;
}

size_t source_live(source which) {
    return which == SOURCE_CORE ? alloc_live() : gates[which].live;
}

static void look_at_core(const void *block, size_t size) {
    secrets_look(&accounts[SOURCE_CORE], block, size);
}

void sources_look(bool all) {
    alloc_look(look_at_core);
    looks = all;
}

const secrets_account *source_account(source which) {
    return &accounts[which];
}
