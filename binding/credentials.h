/* Where the credentials of a client come from. */
#ifndef ZLB_CREDENTIALS_H
#define ZLB_CREDENTIALS_H

#include "../api/sign.h"
#include "compat.h"

/* A signer of the credentials that the options at `index` give, else the environment. Raises kind
 * "credentials", naming what was looked for, never a value. The caller owns the signer. */
zl_signer *zlb_credentials_find(lua_State *L, int index);

#endif
