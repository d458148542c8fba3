/* A job: an operation of the core as a userdata, with the decoded answers that belong to it. */
#ifndef ZLB_JOB_H
#define ZLB_JOB_H

#include "client.h"
#include "compat.h"

/* The user value is a table: [n] is the decoded answer of call n; `client` is the client it was
 * submitted to; `on_progress` the function that is told of a waiting. */
typedef struct zlb_job {
    zl_operation *op; /* owned */
    bool has_progress;
    bool in_progress; /* its on_progress runs */
    size_t rounds;    /* of the waiting that it was told of */
} zlb_job;

/* Create the metatables. Idempotent; leaves the stack as it was. */
void zlb_job_open(lua_State *L);

/* Push a job without an operation; of a safe client or not. */
zlb_job *zlb_job_new(lua_State *L, bool safe);

/* Take the function on top of the stack, which is popped, as the on_progress of the job below it.
 */
void zlb_job_set_progress(lua_State *L);

/* Call the on_progress of a job if a round of looks has ended since it was told. It may do what it
 * likes, close the client too. What it raises is raised. */
void zlb_job_tell_progress(lua_State *L, int job_index);

/* Run the job at `job_index` in the client at `client_index`, which is open, until it is done or
 * the client is closed. When a Lua error leaps out of the wait (the interpreter's "interrupted!"),
 * the job is cancelled first. */
void zlb_job_run(lua_State *L, int client_index, int job_index);

/* The job on top of the stack runs in the client at `client_index` from now on, whenever that is
 * polled. */
void zlb_job_submit(lua_State *L, int client_index);

/* Move on every job of the client at index 1, waiting for at most wait_ms. Returns how many are not
 * done. */
size_t zlb_job_poll(lua_State *L, int64_t wait_ms);

/* The argument at `index` in seconds, 0 allowed, as ms; absent: `otherwise`. Raises. */
int64_t zlb_job_check_wait(lua_State *L, int index, int64_t otherwise);

/* Open a connection of the client at `client_index`. Raises nothing of what went wrong with it. */
void zlb_job_connect(lua_State *L, int client_index);

/* Decode the answer to call n, whose body is in the scratch just below the job, and report it. The
 * answer's status and headers are filled in. The job and the scratch are on the stack throughout,
 * because decoding runs Lua, where a finaliser or a hook may close the client; and so may
 * on_progress, which is called last, and whose error is raised. Leaves values above the job.
 * Returns whether the report counted. */
bool zlb_job_report(lua_State *L, int job_index, size_t n, zl_answer *answer);

/* Push the results of a job as its blocking method returns them, and return how many; nil if it is
 * not done. Its error is raised. */
int zlb_job_result(lua_State *L, int job_index);

/* Free the operation now, instead of at the next collection. */
void zlb_job_free(zlb_job *job);

#endif
