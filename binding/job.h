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

/* Run the job at `job_index` in the client at `client_index`, which is open, until it is done or
 * the client is closed. When a Lua error leaps out of the wait (the interpreter's "interrupted!"),
 * the job is cancelled first. */
void zlb_job_run(lua_State *L, int client_index, int job_index);

/* Open a connection, in the same way. Raises nothing of what went wrong with it. */
void zlb_job_connect(lua_State *L, int client_index);

/* Push the results of a job that is done, as its blocking method returns them, and return how many;
 * or push its error and return ZLB_JOB_ERROR. */
enum { ZLB_JOB_ERROR = -1 };
int zlb_job_results(lua_State *L, int job_index);

/* Free the operation now, instead of at the next collection. */
void zlb_job_free(zlb_job *job);

#endif
