#include "call.h"

#include "hint.h"

int zl_call_send(zl_call *call, const zl_sender *sender, int generation, const zl_action *action,
                 const zl_retry *retry, const zl_moment *now) {
    int rc = zl_request_build(&call->request, sender, action, zl_buf_view(&call->body),
                              now->wall_s + retry->clock_offset_s);
    if (rc != ZL_OK) {
        return rc;
    }
    if (call->attempts == 0) {
        call->outcome = ZL_OUTCOME_NOT_SENT;
    }
    call->attempts++;
    call->generation = generation;
    call->sent_ms = now->mono_ms;
    call->offset_used_s = retry->clock_offset_s;
    call->blanks = zl_signer_blanks(sender->signer);
    call->state = ZL_CALL_IN_FLIGHT;
    return ZL_OK;
}

/* Settle as failed. The error's outcome is what all attempts add up to: once it may have been done,
 * no later refusal makes it undone. */
static void settle(zl_call *call) {
    call->state = ZL_CALL_SETTLED;
    call->error.outcome = call->outcome;
    call->error.attempts = call->attempts;
}

/* A retry by backoff, or the end. call->error says why the last attempt failed. */
static void retry_or_settle(zl_call *call, zl_retry *retry, const zl_policy *policy,
                            const zl_moment *now, bool rate_limited) {
    int64_t asked_s = call->error.retry_after_s;
    /* Before its last attempt a rate-limited call waits the whole span and not a random part of it:
     * what drew three short waits would otherwise be lost within one second of a server that counts
     * by the second. */
    bool is_last = rate_limited && call->attempts + 1 == policy->max_attempts;
    double random = is_last ? 1.0 : zl_moment_random(now);
    int64_t delay_ms = zl_retry_delay_ms(rate_limited, call->retries, random, asked_s);
    int cost = rate_limited ? ZL_RETRY_COST_RATE_LIMIT : ZL_RETRY_COST;
    int64_t due_ms = now->mono_ms + delay_ms;
    if (rate_limited) { /* holds for everybody, also when this call goes no further */
        zl_retry_pause(retry, due_ms);
    }
    if (call->attempts >= policy->max_attempts) {
        settle(call);
    } else if (due_ms >= policy->deadline_ms) {
        call->error.retry_after_s = asked_s >= 0 ? asked_s : (delay_ms + 999) / 1000;
        settle(call);
    } else if (!zl_retry_spend(retry, cost)) {
        settle(call);
    } else {
        call->spent += cost;
        call->retries++;
        call->due_ms = due_ms;
        call->state = ZL_CALL_WAITING;
    }
}

/* Once more, at once, if there is an attempt left: what was wrong is put right. */
static bool resend(zl_call *call, const zl_policy *policy, const zl_moment *now) {
    call->error.retryable = true;
    if (call->attempts >= policy->max_attempts || now->mono_ms >= policy->deadline_ms) {
        return false;
    }
    call->due_ms = now->mono_ms;
    call->state = ZL_CALL_WAITING;
    return true;
}

/* The clock was wrong and is corrected now. */
static bool resend_with_new_clock(zl_call *call, zl_retry *retry, const zl_policy *policy,
                                  const zl_moment *now, int64_t date_s) {
    if (date_s < 0 || call->clock_corrected ||
        !zl_retry_correct_clock(retry, call->offset_used_s, now->wall_s, date_s)) {
        return false;
    }
    call->clock_corrected = true;
    return resend(call, policy, now);
}

/* The key or token was refused, and whoever gave it may give another. That is not so where the time
 * was refused, or where the key is good but may not do this. */
static bool resend_with_new_credentials(zl_call *call, const zl_policy *policy,
                                        const zl_moment *now) {
    zl_view code = zl_buf_view(&call->error.code);
    if (policy->credentials == NULL || call->credentials_renewed ||
        zl_view_equal(code, ZL_LIT("AUTHFAILURE_SIGNATURE_EXPIRED")) ||
        zl_view_equal(code, ZL_LIT("AUTHFAILURE_UNAUTHORIZED_OPERATION")) ||
        !zl_credentials_refuse(policy->credentials, call->generation, now)) {
        return false;
    }
    call->credentials_renewed = true;
    return resend(call, policy, now);
}

static void describe_answer(zl_buf *out, const zl_answer *answer, zl_code code) {
    zl_buf_addf(out, "HTTP %d: ", answer->status);
    if (code != ZL_CODE_BAD_RESPONSE) {
        zl_buf_add_text(out, zl_code_meaning(code));
        return;
    }
    if (answer->misfit != NULL && answer->status == 200) {
        zl_buf_add_text(out, answer->misfit);
        return;
    }
    zl_buf_add_text(out, answer->is_object ? "a JSON object that is no answer of the API ("
                                           : "the body is not the API's JSON (");
    zl_buf_add_view(out, answer->content_type);
    zl_buf_addf(out, "%s%zu bytes)", answer->content_type.len > 0 ? ", " : "", answer->body_len);
}

static void set_error(zl_call *call, const zl_answer *answer, const zl_verdict *verdict) {
    zl_error *error = &call->error;
    zl_error_set(error, verdict->code, (zl_view){NULL, 0});
    if (verdict->is_api) {
        error->kind = ZL_KIND_API;
        zl_buf_set(&error->code, answer->code);
        zl_buf_set(&error->message, answer->message);
    } else {
        describe_answer(&error->message, answer, verdict->code);
    }
    zl_buf_set(&error->request_id, answer->request_id);
    error->http_status = answer->status;
}

static bool may_go_again(zl_again again, const zl_policy *policy) {
    return again == ZL_AGAIN_YES || (again == ZL_AGAIN_IF_SAFE && policy->idempotent);
}

void zl_call_answered(zl_call *call, zl_retry *retry, const zl_policy *policy, const zl_moment *now,
                      const zl_answer *answer) {
    zl_verdict verdict = zl_judge_answer(answer);
    if (!verdict.rate_limited) {
        zl_retry_widen(retry);
    }
    if (verdict.outcome == ZL_OUTCOME_ACCEPTED) {
        zl_retry_refund(retry, call->spent);
        if (policy->credentials != NULL) {
            zl_credentials_confirm(policy->credentials, call->generation);
        }
        zl_error_free(&call->error);
        zl_buf_set(&call->request_id, answer->request_id);
        call->outcome = ZL_OUTCOME_ACCEPTED;
        call->state = ZL_CALL_SETTLED;
        return;
    }
    call->outcome = zl_outcome_max(call->outcome, verdict.outcome);
    set_error(call, answer, &verdict);
    zl_hint_set(&call->error, answer, call->blanks, now->wall_s, call->offset_used_s);
    if (verdict.again == ZL_AGAIN_CLOCK &&
        (resend_with_new_clock(call, retry, policy, now, answer->date_s) ||
         resend_with_new_credentials(call, policy, now))) {
        return;
    }
    if (may_go_again(verdict.again, policy)) {
        int64_t asked_s = zl_answer_retry_after(answer, now->wall_s + retry->clock_offset_s);
        call->error.retry_after_s = asked_s < ZL_RETRY_AFTER_MAX_S ? asked_s : ZL_RETRY_AFTER_MAX_S;
        call->error.retryable = true;
        retry_or_settle(call, retry, policy, now, verdict.rate_limited);
    } else {
        settle(call);
    }
}

void zl_call_failed(zl_call *call, zl_retry *retry, const zl_policy *policy, const zl_moment *now,
                    zl_code code, zl_view message, bool sent) {
    bool late = now->mono_ms >= policy->deadline_ms && code != ZL_CODE_CANCELLED;
    zl_code cause = code;
    code = late ? ZL_CODE_DEADLINE_EXCEEDED : code;
    zl_verdict verdict = zl_judge_failure(code, sent);
    call->outcome = zl_outcome_max(call->outcome, verdict.outcome);
    zl_error_set(&call->error, code, message);
    call->error.retryable = may_go_again(zl_judge_failure(cause, sent).again, policy);
    if (may_go_again(verdict.again, policy)) {
        retry_or_settle(call, retry, policy, now, false);
    } else {
        settle(call);
    }
}

void zl_call_give_up(zl_call *call, zl_code code, zl_view message, int64_t retry_after_s) {
    if (call->attempts == 0) {
        call->outcome = ZL_OUTCOME_NOT_SENT;
    }
    zl_error *error = &call->error;
    zl_error last = {0};
    zl_error_move(&last, error);
    zl_error_set(error, code, message);
    if (last.is_set && zl_buf_ok(&last.code)) { /* what stood in the way so far is worth knowing */
        zl_buf_addf(&error->message, "; the last attempt ended with %s", last.code.data);
        zl_buf_set(&error->request_id, zl_buf_view(&last.request_id));
        zl_buf_set(&error->hint, zl_buf_view(&last.hint));
        error->http_status = last.http_status;
    }
    zl_error_free(&last);
    error->retryable = code == ZL_CODE_DEADLINE_EXCEEDED || code == ZL_CODE_CREDENTIALS_UNAVAILABLE;
    error->retry_after_s = retry_after_s;
    settle(call);
}

void zl_call_free(zl_call *call) {
    zl_buf_free(&call->body);
    zl_request_free(&call->request);
    zl_error_free(&call->error);
    zl_buf_free(&call->request_id);
    *call = (zl_call){0};
}
