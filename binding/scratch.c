#include "scratch.h"

#include "safe.h"

#define SCRATCH_TYPE "zenlayer.scratch"

static int s_gc(lua_State *L) {
    zlb_scratch *scratch = zlb_own(L);
    if (scratch != NULL) {
        zlb_scratch_clear(scratch);
        scratch->is_over = true;
    }
    return 0;
}

void zlb_scratch_open(lua_State *L) {
    if (zlb_newmetatable(L, SCRATCH_TYPE)) {
        lua_pushvalue(L, -1);
        lua_pushcclosure(L, s_gc, 1);
        lua_setfield(L, -2, "__gc");
        zlb_keep_metatable(L, SCRATCH_TYPE);
    }
    lua_pop(L, 1);
}

zlb_scratch *zlb_scratch_new(lua_State *L) {
    zlb_scratch *scratch = lua_newuserdata(L, sizeof *scratch);
    *scratch = (zlb_scratch){0};
    luaL_getmetatable(L, SCRATCH_TYPE);
    lua_setmetatable(L, -2);
    return scratch;
}

void zlb_scratch_clear(zlb_scratch *scratch) {
    zl_buf_free(&scratch->buf);
    zl_buf_free(&scratch->head);
    zl_credentials_file_free(&scratch->file);
    zl_signer_free(scratch->signer);
    scratch->signer = NULL;
}
