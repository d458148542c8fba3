/* What an operation came to, as Lua values. */
#ifndef ZLB_RESULTS_H
#define ZLB_RESULTS_H

#include "../api/operation.h"
#include "compat.h"

/* Push the results of the job at `job_index`, which is done, as its blocking method returns them,
 * and return how many; or push its error and return ZLB_RESULTS_ERROR. */
enum { ZLB_RESULTS_ERROR = -1 };
int zlb_results_push(lua_State *L, int job_index);

/* Push the table for on_progress: { stopped =, pending =, failed =, statuses = }. The operation's
 * waiting has begun. */
void zlb_push_progress(lua_State *L, const zl_operation *op);

#endif
