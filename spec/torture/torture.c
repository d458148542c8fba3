/* Every allocation of a task fails in turn: in Lua, in the core, in libcurl, in OpenSSL; once, from
 * then on, or until the state is closed. After each the same must hold: no crash, no block and no
 * descriptor left, no secret in what the core has given back, and what the task's script checks.
 *
 * usage: torture [-t TASK] [-f SOURCE] [-m MODE] [-n POINTS] [-s SEED] [-k K] [-S VARIABLES] [-w]
 * [-v] SCRIPT [ARGUMENT…]
 *
 *   -t, -f, -m  these tasks, sources or modes alone: names with commas between them
 *   -n          at most so many points for each of their combinations, drawn by the seed; 0: all
 *   -k          this allocation alone
 *   -S          the values of these variables of the environment are secrets; see secrets.h
 *   -w          look for them in what the others give back, too, and say what was found
 *   -v          a line for each combination
 *
 * The script returns { names = { task, … }, begin = function, unseen = { [task] = true } }.
 * begin(task, number, argument…) makes everything ready and returns two functions: act(), during
 * which memory fails, and check(ok, …), called with what pcall of act returned once there is memory
 * again; it raises what is wrong. In a task that is `unseen` Lua itself never has a secret (-w
 * looks). Scripts have two functions more: memory_failed() says whether it did, copy_variable(to,
 * from) sets a variable of the environment to the value of another; without `from` there is none.
 *
 * Each combination runs in a process of its own, after every task has succeeded once in the one
 * that it is forked from: the first use of libcurl and OpenSSL is not theirs to survive. */
#include <dirent.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/zenlayer.h"
#include "sources.h"

/* LeakSanitizer, if it is there. lua-cjson loses the buffer of a text that it reads when Lua runs
 * out of memory: that leak is none of ours. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
const char *__lsan_default_suppressions(void) __attribute__((visibility("default")));
const char *__lsan_default_options(void) __attribute__((visibility("default")));

const char *__lsan_default_suppressions(void) {
    return "leak:cjson\n";
}

const char *__lsan_default_options(void) {
    return "print_suppressions=0";
}

enum {
    TASKS_MAX = 64,
    DEATHS_MAX = 5,
    POINT_SECONDS = 10,
    HANG_SECONDS = 120,
    PROBLEM_BYTES = 2048
};

typedef enum mode { MODE_ONCE, MODE_ON, MODE_END, MODE_COUNT } mode;

static const char *const mode_names[MODE_COUNT] = {"once", "on", "end"};

typedef struct plan {
    const char *task, *source, *mode; /* lists of names; NULL: all */
    size_t points, k;
    unsigned long seed;
    bool looks_everywhere, verbose;
    const char *script;
    char **arguments;
    int argument_count;
    double point_seconds;
} plan;

/* A task, and how many allocations it asks each source for. */
typedef struct task {
    char name[40];
    bool unseen; /* no secret is to come to Lua */
    size_t asked[SOURCE_COUNT];
} task;

typedef struct combination {
    const task *task;
    source source;
    mode mode;
} combination;

/* What a child tells its parent, whatever becomes of it. */
typedef struct progress {
    size_t k; /* under way, or the last */
    size_t points, failures;
    size_t number; /* of points, over all */
    secrets_account accounts[SOURCE_COUNT];
} progress;

static progress *shared;

/* Where the names of the tasks come from. As long as it is open, lua-cjson stays loaded. */
static lua_State *first_state;

/* --- what must be as before ------------------------------------------------------------------- */

typedef struct holdings {
    size_t live[SOURCE_COUNT];
    int descriptors;
} holdings;

static int count_descriptors(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    return count;
}

static holdings take_stock(void) {
    holdings now;
    OPENSSL_thread_stop(); /* its queue of errors keeps some of their texts */
    for (int i = 0; i < SOURCE_COUNT; i++) {
        now.live[i] = source_live((source)i);
    }
    now.descriptors = count_descriptors();
    return now;
}

static bool compare(const holdings *before, const holdings *after, char *problem) {
    for (int i = 0; i < SOURCE_COUNT; i++) {
        if (before->live[i] != after->live[i]) {
            (void)snprintf(problem, PROBLEM_BYTES, "%zu blocks of %s before it, %zu after it",
                           before->live[i], source_name((source)i), after->live[i]);
            return false;
        }
    }
    if (before->descriptors != after->descriptors) {
        (void)snprintf(problem, PROBLEM_BYTES, "%d descriptors before it, %d after it",
                       before->descriptors, after->descriptors);
        return false;
    }
    return true;
}

/* Whether a source has given back nothing with a secret in it since then. */
static bool is_wiped(source which, const secrets_account *before, char *problem) {
    const secrets_account *now = source_account(which);
    for (int i = 0; i < secrets_count(); i++) {
        size_t count = now->held[i] - before->held[i];
        if (count > 0) {
            (void)snprintf(problem, PROBLEM_BYTES, "%zu blocks that %s gave back held %s", count,
                           source_name(which), secrets_name(i));
            return false;
        }
    }
    return true;
}

static void add_account(secrets_account *to, const secrets_account *now,
                        const secrets_account *before) {
    to->blocks += now->blocks - before->blocks;
    for (int i = 0; i < secrets_count(); i++) {
        to->held[i] += now->held[i] - before->held[i];
    }
}

/* Note what all sources have given back since then; whether it was as it must be. */
static bool settle(const task *t, const secrets_account before[SOURCE_COUNT], char *problem) {
    for (int i = 0; i < SOURCE_COUNT; i++) {
        add_account(&shared->accounts[i], source_account((source)i), &before[i]);
    }
    return is_wiped(SOURCE_CORE, &before[SOURCE_CORE], problem) &&
           (!t->unseen || is_wiped(SOURCE_LUA, &before[SOURCE_LUA], problem));
}

static double now_s(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- a state and its script ------------------------------------------------------------------- */

static void preload(lua_State *L, const char *name, lua_CFunction open) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, open);
    lua_setfield(L, -2, name);
    lua_pop(L, 2);
}

static bool tell(lua_State *L, const char *what, char *problem) {
    (void)snprintf(problem, PROBLEM_BYTES, "%s: %s", what,
                   lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1));
    return false;
}

/* memory_failed() → whether something was refused at this point. */
static bool memory_has_failed;

static int f_memory_failed(lua_State *L) {
    lua_pushboolean(L, memory_has_failed);
    return 1;
}

/* copy_variable(to [, from]): as said above. Lua does not see the value. */
static int f_copy_variable(lua_State *L) {
    const char *to = luaL_checkstring(L, 1), *from = luaL_optstring(L, 2, NULL);
    const char *value = from != NULL ? getenv(from) : NULL;
    luaL_argcheck(L, from == NULL || value != NULL, 2, "no such variable");
    (void)(value != NULL ? setenv(to, value, 1) : unsetenv(to));
    return 0;
}

/* A state with the script's table on its stack; NULL with a problem. */
static lua_State *new_state(const plan *p, char *problem) {
    lua_State *L = lua_newstate(sources_lua_alloc, NULL);
    luaL_openlibs(L);
    preload(L, "zenlayer", luaopen_zenlayer);
    preload(L, "zenlayer.safe", luaopen_zenlayer_safe);
    lua_register(L, "memory_failed", f_memory_failed);
    lua_register(L, "copy_variable", f_copy_variable);
    if (luaL_loadfile(L, p->script) != 0 || lua_pcall(L, 0, 1, 0) != 0) {
        (void)tell(L, "script", problem);
        lua_close(L);
        return NULL;
    }
    return L;
}

/* Push act and check of a task. */
static bool begin(lua_State *L, const plan *p, const char *name, char *problem) {
    lua_getfield(L, 1, "begin");
    lua_pushstring(L, name);
    lua_pushinteger(L, (lua_Integer)++shared->number);
    for (int i = 0; i < p->argument_count; i++) {
        lua_pushstring(L, p->arguments[i]);
    }
    return lua_pcall(L, 2 + p->argument_count, 2, 0) == 0 || tell(L, "begin", problem);
}

/* Call check, which is at index 3, with the result of act. */
static bool check(lua_State *L, int status, char *problem) {
    int results = lua_gettop(L) - 3;
    luaL_checkstack(L, results + 5, "torture");
    lua_pushvalue(L, 3);
    lua_pushboolean(L, status == 0);
    for (int i = 1; i <= results; i++) {
        lua_pushvalue(L, 3 + i);
    }
    return lua_pcall(L, 1 + results, 0, 0) == 0 || tell(L, "check", problem);
}

/* --- one point -------------------------------------------------------------------------------- */

/* Let the k-th allocation fail; 0: none. Whether all is well; *reached: whether one failed; asked
 * (if not NULL): how many there were. */
static bool run_state(const plan *p, const combination *c, size_t k, size_t *asked, bool *reached,
                      char *problem) {
    lua_State *L = new_state(p, problem);
    if (L == NULL) {
        return false;
    }
    bool ok = begin(L, p, c->task->name, problem);
    if (ok) {
        size_t before[SOURCE_COUNT];
        for (int i = 0; i < SOURCE_COUNT; i++) {
            before[i] = source_asked((source)i);
        }
        lua_pushvalue(L, 2);
        sources_fail_at(c->source, k, c->mode != MODE_ONCE);
        int status = lua_pcall(L, 0, LUA_MULTRET, 0);
        for (int i = 0; i < SOURCE_COUNT && asked != NULL; i++) {
            asked[i] = source_asked((source)i) - before[i];
        }
        if (c->mode != MODE_END) {
            *reached = memory_has_failed = sources_relent();
            ok = check(L, status, problem);
        }
    }
    lua_close(L);
    *reached = sources_relent() || *reached;
    return ok;
}

static bool run_point(const plan *p, const combination *c, size_t k, size_t *asked, bool *reached) {
    char problem[PROBLEM_BYTES] = "";
    holdings before = take_stock();
    secrets_account looked[SOURCE_COUNT];
    for (int i = 0; i < SOURCE_COUNT; i++) {
        looked[i] = *source_account((source)i);
    }
    double began = now_s();
    *reached = false;
    shared->k = k;
    (void)alarm(HANG_SECONDS);
    bool ok = run_state(p, c, k, asked, reached, problem);
    (void)alarm(0);
    holdings after = take_stock();
    ok = ok && compare(&before, &after, problem);
    ok = settle(c->task, looked, problem) && ok;
    secrets_forget_signatures();
    double took = now_s() - began;
    if (ok && took > p->point_seconds) {
        (void)snprintf(problem, PROBLEM_BYTES, "it took %.1f s", took);
        ok = false;
    }
    if (!ok) {
        (void)printf("FAILED: -t %s -f %s -m %s -k %zu: %s\n", c->task->name,
                     source_name(c->source), mode_names[c->mode], k, problem);
        (void)fflush(stdout);
        shared->failures++;
    }
    return ok;
}

/* --- the points of a combination -------------------------------------------------------------- */

static uint64_t draw(uint64_t *seed) {
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return *seed >> 33;
}

/* A seed of its own for each combination, so that one is the same whatever else runs. */
static uint64_t seed_of(const plan *p, const combination *c) {
    uint64_t seed = (uint64_t)p->seed * 31 + (uint64_t)c->source * MODE_COUNT + c->mode;
    for (const char *s = c->task->name; *s != '\0'; s++) {
        seed = seed * 131 + (unsigned char)*s;
    }
    return seed;
}

static bool run_one(const plan *p, const combination *c, size_t k) {
    bool reached;
    (void)run_point(p, c, k, NULL, &reached);
    shared->points += reached ? 1 : 0;
    return reached;
}

/* All from `from` on, until there is none to fail, three times in a row: how many there are differs
 * a little from run to run where a network is involved. */
static void run_all(const plan *p, const combination *c, size_t from) {
    int misses = 0;
    for (size_t k = from; misses < 3; k++) {
        misses = run_one(p, c, k) ? 0 : misses + 1;
    }
}

/* One out of each of p->points equal parts, from `from` on. */
static void run_some(const plan *p, const combination *c, size_t from) {
    uint64_t seed = seed_of(p, c);
    size_t total = c->task->asked[c->source];
    size_t count = total < p->points ? total : p->points;
    for (size_t i = 0; i < count; i++) {
        size_t first = i * total / count, last = (i + 1) * total / count;
        size_t k = 1 + first + (size_t)(draw(&seed) % (last - first));
        if (k >= from) {
            (void)run_one(p, c, k);
        }
    }
}

static void run_points(const plan *p, const combination *c, size_t from) {
    if (p->k > 0) {
        (void)run_one(p, c, p->k);
    } else if (p->points > 0) {
        run_some(p, c, from);
    } else {
        run_all(p, c, from);
    }
}

/* What a child does: its points, one at which nothing fails, and then a look for leaks, if
 * LeakSanitizer is there. */
static void run_child(const plan *p, const combination *c, size_t from) {
    combination last = {c->task, c->source, MODE_ONCE};
    bool reached;
    run_points(p, c, from);
    (void)run_point(p, &last, 0, NULL, &reached);
    if (__lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0) {
        (void)printf("FAILED: -t %s -f %s -m %s: leaks\n", c->task->name, source_name(c->source),
                     mode_names[c->mode]);
        shared->failures++;
    }
    (void)fflush(stdout);
    if (getenv("ZENLAYER_TEST_COVERAGE") != NULL) {
        exit(0); /* which writes what was counted */
    }
    _exit(0);
}

/* Whether the child came to its end. */
static bool await_child(const combination *c, pid_t child) {
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        (void)printf("FAILED: no process\n");
    } else if (WIFSIGNALED(status)) {
        (void)printf("FAILED: -t %s -f %s -m %s -k %zu: killed by signal %d\n", c->task->name,
                     source_name(c->source), mode_names[c->mode], shared->k, WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0) {
        (void)printf("FAILED: -t %s -f %s -m %s -k %zu: exit status %d\n", c->task->name,
                     source_name(c->source), mode_names[c->mode], shared->k, WEXITSTATUS(status));
    } else {
        return true;
    }
    shared->failures++;
    return false;
}

/* In a process of its own; where one ends too early another goes on after that point. */
static void run_combination(const plan *p, const combination *c) {
    size_t points_before = shared->points;
    double began = now_s();
    shared->k = 0;
    for (int deaths = 0; deaths < (p->k > 0 ? 1 : DEATHS_MAX); deaths++) {
        (void)fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            run_child(p, c, shared->k + 1);
        }
        if (await_child(c, child)) {
            break;
        }
    }
    if (p->verbose) {
        (void)printf("%-16s %-8s %-5s %6zu points %6.1f s\n", c->task->name, source_name(c->source),
                     mode_names[c->mode], shared->points - points_before, now_s() - began);
    }
}

/* --- all of it -------------------------------------------------------------------------------- */

/* Whether a name is in a list; NULL: the list of all. */
static bool is_chosen(const char *wanted, const char *name) {
    size_t len = strlen(name);
    const char *at = wanted;
    while (at != NULL) {
        if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0')) {
            return true;
        }
        at = strchr(at, ',');
        at = at != NULL ? at + 1 : NULL;
    }
    return wanted == NULL;
}

/* How many tasks the script has. */
static int read_tasks(task tasks[TASKS_MAX]) {
    lua_State *L = first_state;
    int count = 0;
    lua_getfield(L, 1, "names");
    for (; count < TASKS_MAX; count++) {
        lua_rawgeti(L, 2, count + 1);
        const char *name = lua_tostring(L, -1);
        if (name == NULL) {
            break;
        }
        (void)snprintf(tasks[count].name, sizeof tasks[count].name, "%s", name);
        lua_getfield(L, 1, "unseen");
        if (lua_type(L, -1) == LUA_TTABLE) {
            lua_getfield(L, -1, name);
            tasks[count].unseen = lua_toboolean(L, -1) != 0;
        }
        lua_settop(L, 2);
    }
    return count;
}

/* Every task once, with all the memory there is, so that the caches of the process are filled; then
 * once more, when nothing may be left. */
static bool warm(const plan *p, task *tasks, int count) {
    char problem[PROBLEM_BYTES] = "";
    bool ok = true, reached = false;
    for (int i = 0; i < 2 * count && ok; i++) {
        combination c = {&tasks[i % count], SOURCE_LUA, MODE_ONCE};
        if (i >= count) {
            ok = run_point(p, &c, 0, tasks[i % count].asked, &reached);
        } else if (!run_state(p, &c, 0, NULL, &reached, problem)) {
            (void)printf("FAILED: -t %s: %s\n", c.task->name, problem);
            shared->failures++;
            ok = false;
        }
    }
    return ok;
}

static void run_task(const plan *p, const task *t) {
    for (int s = 0; s < SOURCE_COUNT; s++) {
        for (int m = 0; m < MODE_COUNT && t->asked[s] > 0; m++) {
            combination c = {t, (source)s, (mode)m};
            if (is_chosen(p->source, source_name(c.source)) &&
                is_chosen(p->mode, mode_names[c.mode])) {
                run_combination(p, &c);
            }
        }
    }
}

/* The values of these variables. */
static bool read_secrets(char *variables) {
    for (char *name = strtok(variables, ","); name != NULL; name = strtok(NULL, ",")) {
        const char *value = getenv(name);
        if (value == NULL || !secrets_add(name, value)) {
            (void)fprintf(stderr, "torture: %s is no secret\n", name);
            return false;
        }
    }
    return true;
}

static void tell_accounts(const plan *p) {
    for (int s = 0; s < SOURCE_COUNT && p->looks_everywhere; s++) {
        const secrets_account *account = &shared->accounts[s];
        (void)printf("%s gave back %zu blocks", source_name((source)s), account->blocks);
        for (int i = 0; i < secrets_count(); i++) {
            if (account->held[i] > 0) {
                (void)printf("; %zu with %s", account->held[i], secrets_name(i));
            }
        }
        (void)printf("\n");
    }
}

static bool read_options(int argc, char **argv, plan *p) {
    int option;
    while ((option = getopt(argc, argv, "+t:f:m:n:s:k:S:wv")) != -1) {
        switch (option) {
        case 't': p->task = optarg; break;
        case 'f': p->source = optarg; break;
        case 'm': p->mode = optarg; break;
        case 'n': p->points = strtoul(optarg, NULL, 10); break;
        case 's': p->seed = strtoul(optarg, NULL, 10); break;
        case 'k': p->k = strtoul(optarg, NULL, 10); break;
        case 'S':
            if (!read_secrets(optarg)) {
                return false;
            }
            break;
        case 'w': p->looks_everywhere = true; break;
        case 'v': p->verbose = true; break;
        default: return false;
        }
    }
    if (optind >= argc) {
        return false;
    }
    p->script = argv[optind];
    p->arguments = argv + optind + 1;
    p->argument_count = argc - optind - 1;
    p->point_seconds = getenv("ZENLAYER_TEST_SLOW") != NULL ? 10 * POINT_SECONDS : POINT_SECONDS;
    return true;
}

int main(int argc, char **argv) {
    plan p = {.seed = 1};
    static task tasks[TASKS_MAX];
    double began = now_s();
    if (!read_options(argc, argv, &p)) {
        (void)fprintf(stderr,
                      "usage: torture [-t TASK] [-f SOURCE] [-m MODE] [-n POINTS] [-s SEED] "
                      "[-k K] [-S VARIABLES] [-w] [-v] SCRIPT [ARGUMENT...]\n");
        return 2;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || !sources_begin()) {
        (void)fprintf(stderr, "torture: cannot begin\n");
        return 2;
    }
    sources_look(p.looks_everywhere);
    shared->number = (size_t)getpid() * 1000000; /* another run may use the same sandbox */
    char problem[PROBLEM_BYTES] = "";
    first_state = new_state(&p, problem);
    if (first_state == NULL) {
        (void)fprintf(stderr, "torture: %s\n", problem);
        return 2;
    }
    int count = read_tasks(tasks);
    if (warm(&p, tasks, count)) {
        for (int i = 0; i < count; i++) {
            if (is_chosen(p.task, tasks[i].name)) {
                run_task(&p, &tasks[i]);
            }
        }
    }
    lua_close(first_state);
    tell_accounts(&p);
    (void)printf("%zu points, %zu failures, %.0f s\n", shared->points, shared->failures,
                 now_s() - began);
    return shared->failures > 0 || shared->points == 0 ? 1 : 0;
}
