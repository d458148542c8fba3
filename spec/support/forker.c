/* What a spec about fork() needs and Lua has not. Compiled by forking.lua for its Lua. */
#include "binding/compat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* fork() → 0 in the child, its id in the parent */
static int f_fork(lua_State *L) {
    pid_t pid = fork();
    if (pid < 0) {
        return luaL_error(L, "fork failed");
    }
    lua_pushinteger(L, (lua_Integer)pid);
    return 1;
}

/* wait(pid) → exit status; 256 and the signal's number more, if one killed it */
static int f_wait(lua_State *L) {
    pid_t pid = (pid_t)luaL_checkinteger(L, 1);
    int status = 0;
    pid_t ended;
    do {
        ended = waitpid(pid, &status, 0);
    } while (ended < 0 && errno == EINTR);
    if (ended != pid) {
        return luaL_error(L, "waitpid failed");
    }
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status));
    return 1;
}

static void leave(void) {
    if (getenv("ZENLAYER_TEST_COVERAGE") == NULL) {
        _exit(0);
    }
}

/* skip_leak_check(): what a child leaves of its parent's connections is left on purpose; a
 * sanitizer that looks for leaks when the process ends would not know. */
static int f_skip_leak_check(lua_State *L) {
    if (atexit(leave) != 0) {
        return luaL_error(L, "atexit failed");
    }
    return 0;
}

/* exit(status): at once; nothing is flushed, closed or collected. (For `make coverage` by exit,
 * which writes what was counted.) */
static int f_exit(lua_State *L) {
    int status = (int)luaL_checkinteger(L, 1);
    if (getenv("ZENLAYER_TEST_COVERAGE") != NULL) {
        exit(status);
    }
    _exit(status);
}

/* replace(file, first, last): descriptors first … last are this file's from now on */
static int f_replace(lua_State *L) {
    FILE **stream = luaL_checkudata(L, 1, LUA_FILEHANDLE); /* in every Lua that is its beginning */
    int first = (int)luaL_checkinteger(L, 2), last = (int)luaL_checkinteger(L, 3);
    int from = dup2(fileno(*stream), last + 1);
    if (from < 0) {
        return luaL_error(L, "dup2 failed");
    }
    for (int fd = first; fd <= last; fd++) {
        (void)close(fd);
    }
    for (int fd = first; fd <= last; fd++) {
        if (dup2(from, fd) != fd) {
            return luaL_error(L, "dup2 to %d failed", fd);
        }
    }
    (void)close(from);
    return 0;
}

__attribute__((visibility("default"))) int luaopen_forker(lua_State *L);

int luaopen_forker(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"fork", f_fork},
        {"wait", f_wait},
        {"exit", f_exit},
        {"replace", f_replace},
        {"skip_leak_check", f_skip_leak_check},
        {NULL, NULL},
    };
    lua_newtable(L);
    zlb_setfuncs(L, functions);
    return 1;
}
