/* The functions and values that every face of the module has. */
#ifndef ZLB_FACE_H
#define ZLB_FACE_H

#include "compat.h"

/* Push a table of new, sign, is_error, null, empty_array and _VERSION; with `safe`, the first two
 * return nil, err. Raises if lua-cjson is not there. */
void zlb_face_push(lua_State *L, bool safe);

#endif
