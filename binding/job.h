/* A job: an operation of the core as a userdata, with the decoded answers that belong to it. */
#ifndef ZLB_JOB_H
#define ZLB_JOB_H

#include "client.h"
#include "compat.h"

/* The user value is a table: [n] is the decoded answer of call n. */
typedef struct zlb_job {
    zl_operation *op; /* owned */
} zlb_job;

/* Create the metatable. Idempotent; leaves the stack as it was. */
void zlb_job_open(lua_State *L);

/* Push a job without an operation. */
zlb_job *zlb_job_new(lua_State *L);

/* The job at `job_index` runs in the client at `client_index` from now on. */
void zlb_job_start(lua_State *L, int client_index, int job_index);

/* Wait until it is done. When a Lua error leaps out of the wait (the interpreter's "interrupted!"),
 * the job is cancelled first. */
void zlb_job_wait(lua_State *L, int client_index, int job_index);

/* Push the results of a job that is done, as its blocking method returns them, and return how many;
 * or raise its error. */
int zlb_job_results(lua_State *L, int job_index);

/* Take every answer that has come in to its operation. May run Lua's hooks: the client may be
 * closed afterwards. */
void zlb_job_deliver(lua_State *L, int client_index);

/* Give the interpreter the chance to interrupt. May raise. */
void zlb_check_interrupt(lua_State *L, lua_Hook main_hook_before);
lua_Hook zlb_main_hook(lua_State *L);

#endif
