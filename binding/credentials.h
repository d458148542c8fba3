/* Where the credentials of a client come from. */
#ifndef ZLB_CREDENTIALS_H
#define ZLB_CREDENTIALS_H

#include "../api/sign.h"
#include "compat.h"
#include "options.h"

/* A signer of the credentials that the options give or, with the option profile, the files of the
 * official command line; without any of these the environment, and then those files. Raises kind
 * "credentials", naming what was looked for, never a value. The caller owns the signer. */
zl_signer *zlb_credentials_find(lua_State *L, const zlb_options *given);

/* A signer of a key pair or a token that were found in `place` (for messages); NULL: neither is
 * there. Raises as above. The caller owns the signer. */
zl_signer *zlb_credentials_signer(lua_State *L, const char *place, zl_view key_id, zl_view password,
                                  zl_view token);

#endif
