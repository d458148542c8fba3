/* Driving jobs over libcurl: a blocking call is a job that is waited for, a polled one is the same,
 * looked at now and then. */
#ifndef ZLB_DRIVE_H
#define ZLB_DRIVE_H

#include "client.h"
#include "compat.h"

/* Whether this Lua state is one of nginx's. */
bool zlb_drive_is_nginx(lua_State *L);

/* Run the job at `job_index` in the client at `client_index`, which is open, until it is done or
 * the client is closed. When a Lua error leaps out of the wait (the interpreter's "interrupted!"),
 * the job is cancelled first. */
void zlb_drive_run(lua_State *L, int client_index, int job_index);

/* The job on top of the stack runs in the client at `client_index` from now on, whenever that is
 * polled. */
void zlb_drive_submit(lua_State *L, int client_index);

/* Move on every job of the client at index 1, waiting for at most wait_ms. Returns how many are not
 * done. */
size_t zlb_drive_poll(lua_State *L, int64_t wait_ms);

/* The argument at `index` in seconds, 0 allowed, as ms; absent: `otherwise`. Raises. */
int64_t zlb_drive_check_wait(lua_State *L, int index, int64_t otherwise);

/* Open a connection of the client at `client_index`. Raises nothing of what went wrong with it. */
void zlb_drive_connect(lua_State *L, int client_index);

#endif
