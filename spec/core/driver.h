/* A driver of operations whose clock and network are the test's: each report and each step is one
 * line of a story. Random numbers are always 0.5. */
#ifndef DRIVER_H
#define DRIVER_H

#include "support.h"

extern const zl_operation_options defaults; /* none */

zl_moment now_at(int64_t ms);

/* StopInstances for the ids "i-0" …, with force_shutdown = false. */
zl_operation *new_stop(zl_client *client, size_t id_count, zl_operation_options options);

zl_step step_at(zl_operation *op, int64_t ms);

/* Send all that may be sent now: calls from `first` on, in order. Returns how many; *last is the
 * step after them. */
size_t send_all(zl_operation *op, int64_t ms, size_t first, zl_step *last);

/* The next step is this one. */
void expect_step(zl_operation *op, int64_t ms, zl_step_kind kind, int64_t wait_ms);
void expect_send(zl_operation *op, int64_t ms, size_t n);

/* Report on call n, which is in flight: an answer; none; a success, with requestId "T-<n>". */
void answer(zl_operation *op, size_t n, int64_t ms, zl_answer a);
void lose(zl_operation *op, size_t n, int64_t ms, zl_code code, bool sent);
void accept_batch(zl_operation *op, size_t n, int64_t ms);

/* Whether there was something to cancel; the message is "enough". */
bool cancel(zl_operation *op, int64_t ms);

/* Every id is in exactly one batch, in order. */
void expect_whole_account(const zl_operation *op);

/* What has become of batch n; a code of NULL: it has no error. */
void expect_batch(const zl_operation *op, size_t n, zl_outcome outcome, int attempts,
                  const char *code);

/* It is done, so. */
const zl_error *expect_error(const zl_operation *op, zl_outcome outcome, const char *code);
void expect_success(const zl_operation *op);

#endif
