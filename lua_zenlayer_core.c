/* What `require "zenlayer.core"` returns: all but what needs a network, for those who bring their
 * own. OpenResty is one: a second TLS stack behind libcurl must not come into an nginx. */
#include "api/zenlayer.h"
#include "binding/compat.h"
#include "binding/face.h"

ZL_EXPORT int luaopen_zenlayer_core(lua_State *L) {
    zlb_face_push(L, false);
    return 1;
}
