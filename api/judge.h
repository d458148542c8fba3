/* What an answer, or the lack of one, means: the judge table. A pure function of what came. */
#ifndef ZL_JUDGE_H
#define ZL_JUDGE_H

#include "error.h"

/* A row of DescribeInstancesStatus. */
typedef struct zl_status {
    zl_view id;
    zl_view status;
} zl_status;

/* What the driver found in an answer. Everything borrowed, for the time of one call. The core reads
 * the status and the headers; the body is decoded by whoever drives, who fills in the rest. */
typedef struct zl_answer {
    int status;

    /* Of the headers; zl_answer_init and zl_answer_add_header fill these in. */
    bool challenge;        /* cf-mitigated: challenge */
    int64_t date_s;        /* Date; -1: none that could be read */
    int64_t retry_after_s; /* Retry-After as seconds; -1: none */
    int64_t retry_date_s;  /* Retry-After as a date; -1: none */
    zl_view content_type;

    /* Of the body. */
    size_t body_len;
    bool is_object; /* it is a JSON object … */
    bool
        is_well_formed; /* … whose requestId is a non-empty string, whose response, if there is one,
                           is an object, and in which code and message, if there, are strings */
    bool has_code;
    const char *misfit; /* why it is not well-formed, where that is known: a static text; NULL */
    zl_view code;
    zl_view message;
    zl_view request_id;
    const zl_view *failed_ids; /* response.instanceIds: the ids that were refused in a 200 */
    size_t failed_count;
    int64_t total_count;       /* of a page of statuses; -1: not told */
    const zl_status *statuses; /* its rows; NULL only if there are none */
    size_t item_count;
} zl_answer;

/* An answer of which only the status is known yet. */
void zl_answer_init(zl_answer *answer, int status);

/* Whether a line of a head may be of one of the headers that are of interest. */
bool zl_answer_wants(zl_view line);

/* Take note of a header. Names are matched without regard to case; most are of no interest. */
void zl_answer_add_header(zl_answer *answer, zl_view name, zl_view value);

/* The same for a whole head as it came over the wire: lines that end in LF or CRLF, of which those
 * without a colon (the status line) are passed over. */
void zl_answer_add_head(zl_answer *answer, zl_view head);

/* How long the server asked to wait, in seconds; -1: it did not ask. A date is taken against the
 * answer's own Date where there is one, else against wall_s. */
int64_t zl_answer_retry_after(const zl_answer *answer, int64_t wall_s);

typedef enum zl_again {
    ZL_AGAIN_NO,
    ZL_AGAIN_YES,     /* nothing was done: any call may be sent again */
    ZL_AGAIN_IF_SAFE, /* it may have been done: only an idempotent one */
    ZL_AGAIN_CLOCK    /* only if the clock was wrong, once */
} zl_again;

typedef struct zl_verdict {
    zl_outcome outcome;
    zl_again again;
    bool rate_limited;
    bool is_api; /* the error's code is the answer's own */
    zl_code code;
} zl_verdict;

/* Judge an answer. With outcome ZL_OUTCOME_ACCEPTED there is no error. */
zl_verdict zl_judge_answer(const zl_answer *answer);

/* Judge an attempt that brought no answer. `code` is one of the codes of network and timeout,
 * RESPONSE_TOO_LARGE, BAD_RESPONSE (what came was no HTTP) or CANCELLED; `sent` is false only if it
 * is certain that no byte of the request left. */
zl_verdict zl_judge_failure(zl_code code, bool sent);

#endif
