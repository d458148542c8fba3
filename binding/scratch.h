/* Memory of the core's that must survive a Lua error: held by a userdata, freed by its finaliser.
 */
#ifndef ZLB_SCRATCH_H
#define ZLB_SCRATCH_H

#include "../api/buf.h"
#include "../api/credentials_file.h"
#include "../api/sign.h"
#include "compat.h"

typedef struct zlb_scratch {
    zl_buf buf;
    zl_buf head; /* of an answer */
    zl_credentials_file file;
    zl_signer *signer;
    bool is_over; /* it was finalised: what it gets now must be freed by whoever gives it */
} zlb_scratch;

/* Create the metatable. Idempotent; leaves the stack as it was. */
void zlb_scratch_open(lua_State *L);

/* Push an empty scratch. It lives as long as it is on the stack, or wherever it is kept. */
zlb_scratch *zlb_scratch_new(lua_State *L);

/* Free what it holds now, instead of at the next collection. May be used again. */
void zlb_scratch_clear(zlb_scratch *scratch);

#endif
