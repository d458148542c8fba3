/* A program with a Lua of its own that stops instances while its loop runs at 60 frames a second.
 *
 *     embed [--endpoint URL] [--ca-file PATH] id ...
 *
 * The key pair comes from ZENLAYER_ACCESS_KEY_ID and ZENLAYER_ACCESS_KEY_SECRET, or a token from
 * ZENLAYER_TOKEN. `make embed` builds it; the README says what has to be linked. */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "zenlayer.h"

enum { FRAMES_PER_SECOND = 60, FRAMES_MAX = 60 * 600 };

/* The script of the game, as far as it is about instances: three functions that the program calls.
 */
static const char fleet_script[] =
    "local zenlayer = require 'zenlayer'\n"
    "local fleet, client, job = {}, nil, nil\n"
    "\n"
    "-- While the game loads: reading the certificates would cost a frame later.\n"
    "function fleet.load(endpoint, ca_file)\n"
    "    client = zenlayer.new { endpoint = endpoint, ca_file = ca_file }\n"
    "    client:connect()\n"
    "end\n"
    "\n"
    "function fleet.stop(ids)\n"
    "    job = client:submit_stop_instances(ids, { force_shutdown = false })\n"
    "end\n"
    "\n"
    "-- Once a frame: is there more to do?\n"
    "function fleet.frame()\n"
    "    return client:poll(0) > 0\n"
    "end\n"
    "\n"
    "-- How many requests it took. Raises what went wrong.\n"
    "function fleet.finish()\n"
    "    local request_ids = job:result()\n"
    "    client:close()\n"
    "    return #request_ids\n"
    "end\n"
    "\n"
    "return fleet\n";

typedef struct options {
    const char *endpoint; /* NULL: the real API */
    const char *ca_file;  /* NULL: the system's certificates */
    char **ids;
    int id_count;
} options;

/* How long each call of fleet.frame took. */
typedef struct frame_times {
    double polls_ms[FRAMES_MAX];
    int count;
    int late; /* frames whose work was not done when the next one was due */
} frame_times;

static int usage(void) {
    fprintf(stderr, "usage: embed [--endpoint URL] [--ca-file PATH] id ...\n");
    return 2;
}

static int parse(int argc, char **argv, options *o) {
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i += 2) {
        const char **value = strcmp(argv[i], "--endpoint") == 0  ? &o->endpoint
                             : strcmp(argv[i], "--ca-file") == 0 ? &o->ca_file
                                                                 : NULL;
        if (value == NULL || i + 1 == argc) {
            return usage();
        }
        *value = argv[i + 1];
    }
    o->ids = argv + i;
    o->id_count = argc - i;
    return o->id_count > 0 ? 0 : usage();
}

/* --- time ------------------------------------------------------------------------------------- */

static double now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void sleep_ms(double ms) {
    long ns = (long)(ms * 1e6);
    struct timespec left = {ns / 1000000000, ns % 1000000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(frame_times *times, int ids, int requests) {
    double *polls_ms = times->polls_ms;
    qsort(polls_ms, (size_t)times->count, sizeof *polls_ms, compare);
    printf("stopped             %8d  instances\n", ids);
    printf("requests            %8d\n", requests);
    printf("frames              %8d  of %.3f ms\n", times->count, 1e3 / FRAMES_PER_SECOND);
    printf("frames late         %8d\n", times->late);
    printf("poll, median        %8.3f  ms\n", polls_ms[times->count / 2]);
    printf("poll, longest       %8.3f  ms\n", polls_ms[times->count - 1]);
}

/* --- the program ------------------------------------------------------------------------------ */

/* Push the function of that name of the table at the bottom of the stack. */
static void push_function(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
}

/* `require "zenlayer"` finds what is linked into this program. lua-cjson it finds as always: by
 * package.cpath, or in package.preload if the program links that too. */
static void preload(lua_State *L) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_zenlayer);
    lua_setfield(L, -2, "zenlayer");
    lua_pushcfunction(L, luaopen_zenlayer_safe);
    lua_setfield(L, -2, "zenlayer.safe");
    lua_pop(L, 2);
}

static void push_ids(lua_State *L, const options *o) {
    lua_createtable(L, o->id_count, 0);
    for (int i = 0; i < o->id_count; i++) {
        lua_pushstring(L, o->ids[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

/* The loop of the game: 60 times a second, until there is nothing left to stop. */
static void run_frames(lua_State *L, frame_times *times) {
    double due_ms = now_ms();
    int more = 1;
    while (more && times->count < FRAMES_MAX) {
        double began_ms = now_ms();
        push_function(L, "frame");
        lua_call(L, 0, 1);
        more = lua_toboolean(L, -1);
        lua_pop(L, 1);
        times->polls_ms[times->count++] = now_ms() - began_ms;

        /* … the game's own work, and the picture … */

        due_ms += 1e3 / FRAMES_PER_SECOND;
        double left_ms = due_ms - now_ms();
        if (left_ms > 0) {
            sleep_ms(left_ms);
        } else {
            times->late++;
            due_ms = now_ms();
        }
    }
}

/* (options, frame times), both light userdata. Called protected: errors end up in main. */
static int play(lua_State *L) {
    const options *o = lua_touserdata(L, 1);
    frame_times *times = lua_touserdata(L, 2);
    lua_settop(L, 0);
    luaL_openlibs(L);
    preload(L);
    if (luaL_loadbuffer(L, fleet_script, sizeof fleet_script - 1, "=fleet") != 0) {
        return lua_error(L);
    }
    lua_call(L, 0, 1);

    push_function(L, "load");
    lua_pushstring(L, o->endpoint);
    lua_pushstring(L, o->ca_file);
    lua_call(L, 2, 0);
    push_function(L, "stop");
    push_ids(L, o);
    lua_call(L, 1, 0);
    run_frames(L, times);
    push_function(L, "finish");
    lua_call(L, 0, 1);
    report(times, o->id_count, (int)lua_tointeger(L, -1));
    return 0;
}

static int fail(lua_State *L) {
    lua_getglobal(L, "tostring"); /* the module's errors are tables that know how to become text */
    lua_insert(L, -2);
    const char *text = lua_pcall(L, 1, 1, 0) == 0 ? lua_tostring(L, -1) : NULL;
    fprintf(stderr, "embed: %s\n", text != NULL ? text : "an error without a message");
    return 1;
}

int main(int argc, char **argv) {
    static frame_times times;
    options o = {0};
    if (parse(argc, argv, &o) != 0) {
        return 2;
    }
    lua_State *L = luaL_newstate();
    if (L == NULL) {
        fprintf(stderr, "embed: out of memory\n");
        return 1;
    }
    lua_pushcfunction(L, play);
    lua_pushlightuserdata(L, &o);
    lua_pushlightuserdata(L, &times);
    int status = lua_pcall(L, 2, 0, 0) == 0 ? 0 : fail(L);
    lua_close(L);
    return status;
}
