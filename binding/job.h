/* A job: an operation of the core as a userdata, with the decoded answers that belong to it. */
#ifndef ZLB_JOB_H
#define ZLB_JOB_H

#include "client.h"
#include "compat.h"

/* The user value is a table: [zlb_hash_key(n)] is the decoded answer of call n; [zlb_list_key(i)]
 * the list of the ids from place i on, as many as a batch has, until it is returned; `client` is
 * the client it was submitted to; `on_progress` the function that is told of a waiting. */
typedef struct zlb_job {
    zl_operation *op; /* owned */
    zl_ids ids;       /* its arguments, until it is made */
    zl_buf body;
    bool has_progress;
    bool in_progress; /* its on_progress runs */
    bool in_step;     /* a request of it is being pushed: it must stay as it is */
    size_t rounds;    /* of the waiting that it was told of */
} zlb_job;

/* What is a zlb_job: the types, of raising clients and of safe ones; what `tostring` names it; what
 * an unknown method is told of; the methods. */
typedef struct zlb_job_kind {
    const char *const *types;
    const char *name;
    const char *what;
    const luaL_Reg *methods;
} zlb_job_kind;

/* Create one of the metatables of a kind. Idempotent; leaves the stack as it was. */
void zlb_job_metatable(lua_State *L, const zlb_job_kind *kind, bool safe);

/* Create the metatables. Idempotent; leaves the stack as it was. */
void zlb_job_open(lua_State *L);

/* Make what it needs though memory has run out; the metatable of clients is on top of the stack. */
void zlb_job_keep(lua_State *L);

/* Where the list is whose first id is at that place: of every batch that was not cut up. */
static inline int zlb_list_key(size_t place) {
    return (int)(place / ZL_REQUEST_IDS_MAX) + 1;
}

/* Push a job without an operation; of a safe client or not. It has room for the lists of so many
 * ids. */
zlb_job *zlb_job_new(lua_State *L, bool safe, size_t ids);

/* Take the function on top of the stack, which is popped, as the on_progress of the job below it.
 */
void zlb_job_set_progress(lua_State *L);

/* Whether rounds of looks have ended that its on_progress was not told of. */
bool zlb_job_has_news(const zlb_job *job);

/* Call the on_progress of a job if a round of looks has ended since it was told. It may do what it
 * likes, close the client too. What it raises is raised. */
void zlb_job_tell_progress(lua_State *L, int job_index);

typedef enum zlb_reported {
    ZLB_REPORT_IGNORED, /* call n was not in flight (any more) */
    ZLB_REPORT_COUNTED,
    ZLB_REPORT_FAILED /* decoding raised an error, which is on top of the stack */
} zlb_reported;

/* Decode the answer to call n and report it. The answer's status and headers are filled in. The job
 * is on the stack throughout, because decoding runs Lua, where a finaliser or a hook may close the
 * client. Raises nothing; leaves values on the stack. */
zlb_reported zlb_job_report(lua_State *L, int job_index, size_t n, zl_answer *answer, zl_view body);

/* Push the results of a job as its blocking method returns them, and return how many; nil if it is
 * not done. Its error is raised. */
int zlb_job_result(lua_State *L, int job_index);

/* Free the operation now, instead of at the next collection. */
void zlb_job_free(zlb_job *job);

#endif
