/* Credentials that somebody gives when asked, and gives anew: when to ask, and what is to be done
 * meanwhile. Asks nobody itself, and reads no clock.
 *
 * A key pair or a token that was given once is not renewable, and always ready. */
#ifndef ZL_CREDENTIALS_H
#define ZL_CREDENTIALS_H

#include "error.h"
#include "retry.h"

typedef enum zl_readiness {
    ZL_READY,      /* sign with the signer that there is */
    ZL_NEEDED,     /* somebody must be asked: begin, then set or fail */
    ZL_UNDER_WAY,  /* somebody is being asked; wait for that */
    ZL_UNAVAILABLE /* somebody was, in vain: see `failure_…` */
} zl_readiness;

/* All zero: not renewable. Times are on the monotonic clock. The signer itself is the client's. */
typedef struct zl_credentials {
    bool renewable;
    bool under_way;
    bool refused;           /* by the API: not to be used again */
    int generation;         /* how often they were set; 0: there are none yet */
    int64_t renew_ms;       /* ask again from then on, … */
    int64_t expiry_ms;      /* … and from then on do not use them */
    int refusals;           /* since they last worked */
    int64_t patience_ms;    /* a refusal before that does not make anybody be asked again */
    int64_t failure_end_ms; /* until then nobody is asked again, because it was in vain: */
    zl_code failure_code;
    zl_buf failure_message;
} zl_credentials;

enum {
    ZL_CREDENTIALS_MARGIN_MS = 60000,  /* renewed so long before they expire, … */
    ZL_CREDENTIALS_AGAIN_MS = 1000,    /* … and so long after an attempt to that failed */
    ZL_CREDENTIALS_PATIENCE_MS = 60000 /* at most so long between two renewals after refusals */
};

/* What is to be done before something is signed. */
zl_readiness zl_credentials_ask(const zl_credentials *credentials, const zl_moment *now);

/* Somebody is being asked now. */
void zl_credentials_begin(zl_credentials *credentials);

/* They were given. lifetime_ms: how long they are good for; 0: for ever. */
void zl_credentials_set(zl_credentials *credentials, const zl_moment *now, int64_t lifetime_ms);

/* They were not given. Those that there are stay in use while they are good. */
void zl_credentials_fail(zl_credentials *credentials, const zl_moment *now, zl_code code,
                         zl_view message);

/* The API refused those of that generation. Whether another attempt, once they are ready again, may
 * do better. Those that are refused time and again are asked for less and less often: a bad key
 * must not become a load on who gives it. */
bool zl_credentials_refuse(zl_credentials *credentials, int generation, const zl_moment *now);

/* The API took those of that generation. */
void zl_credentials_confirm(zl_credentials *credentials, int generation);

void zl_credentials_free(zl_credentials *credentials);

#endif
