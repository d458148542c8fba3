/* Lua states that come and go, in several threads at once. For the specs; `make tsan` builds it,
 * and the module that it loads, with ThreadSanitizer.
 *
 * usage: threads THREADS STATES SCRIPT [ARGUMENT…]
 *
 * Each thread makes STATES states, one after the other, and runs the script in each: with the
 * thread's number and the state's, from 1, then the arguments. What the script returns is a count;
 * their sum is printed at the end ("counted N"). After every 100th state of the first thread: what
 * the process holds ("after N states: N KiB, N descriptors"). */
#include <dirent.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS_MAX = 64, REPORT_EACH = 100 };

/* Written before the threads begin; read by all. */
typedef struct plan {
    int states;
    const char *script;
    char **arguments;
    int argument_count;
    pthread_barrier_t start;
} plan;

/* One thread's own. */
typedef struct worker {
    pthread_t thread;
    plan *plan;
    long counted;
    int number;
    bool failed;
} worker;

static long resident_kib(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        char line[128];
        char *end = line;
        if (fgets(line, sizeof line, file) != NULL) {
            (void)strtol(line, &end, 10);
            pages = strtol(end, NULL, 10);
        }
        (void)fclose(file);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int descriptors(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    return count - 3; /* ".", "..", and the folder's own */
}

/* A state, from its beginning to its end. */
static bool run_state(worker *w, int nth) {
    lua_State *L = luaL_newstate();
    if (L == NULL) {
        (void)fprintf(stderr, "threads: no memory for a state\n");
        return false;
    }
    luaL_openlibs(L);
    bool ok = luaL_loadfile(L, w->plan->script) == 0;
    if (ok) {
        lua_pushinteger(L, w->number);
        lua_pushinteger(L, nth);
        for (int i = 0; i < w->plan->argument_count; i++) {
            lua_pushstring(L, w->plan->arguments[i]);
        }
        ok = lua_pcall(L, 2 + w->plan->argument_count, 1, 0) == 0;
    }
    if (ok) {
        w->counted += (long)lua_tointeger(L, -1);
    } else {
        (void)fprintf(stderr, "threads: thread %d, state %d: %s\n", w->number, nth,
                      lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "no text");
    }
    lua_close(L);
    return ok;
}

static void *work(void *context) {
    worker *w = context;
    (void)pthread_barrier_wait(&w->plan->start);
    for (int nth = 1; nth <= w->plan->states && !w->failed; nth++) {
        w->failed = !run_state(w, nth);
        if (w->number == 1 && nth % REPORT_EACH == 0) {
            (void)printf("after %d states: %ld KiB, %d descriptors\n", nth, resident_kib(),
                         descriptors());
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    static worker workers[THREADS_MAX];
    int threads = argc > 3 ? (int)strtol(argv[1], NULL, 10) : 0;
    if (threads < 1 || threads > THREADS_MAX) {
        (void)fprintf(stderr, "usage: threads THREADS STATES SCRIPT [ARGUMENT...]\n");
        return 2;
    }
    plan all = {.states = (int)strtol(argv[2], NULL, 10),
                .script = argv[3],
                .arguments = argv + 4,
                .argument_count = argc - 4};
    if (pthread_barrier_init(&all.start, NULL, (unsigned)threads) != 0) {
        return 2;
    }
    for (int i = 0; i < threads; i++) {
        workers[i].plan = &all;
        workers[i].number = i + 1;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            (void)fprintf(stderr, "threads: no thread %d\n", i + 1);
            return 2;
        }
    }
    long counted = 0;
    bool failed = false;
    for (int i = 0; i < threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        counted += workers[i].counted;
        failed = failed || workers[i].failed;
    }
    (void)pthread_barrier_destroy(&all.start);
    (void)printf("counted %ld\n", counted);
    return failed ? 1 : 0;
}
