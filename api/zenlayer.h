/* lua-zenlayer: the public face of the core, and the way into the module for hosts that link it
 * statically. The rooms of the core are in the headers beside this one; each is its own contract.
 */
#ifndef ZENLAYER_H
#define ZENLAYER_H

/* The version of module and core. Every other place reads it from here. */
#define ZL_VERSION "0.1.0"

#if defined(__GNUC__)
#define ZL_EXPORT __attribute__((visibility("default")))
#else
#define ZL_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct lua_State;

/* The openers that `require "zenlayer"` and `require "zenlayer.safe"` call. A host that links the
 * static library passes them to luaL_requiref, or puts them into package.preload. Each pushes one
 * table and returns 1; a missing lua-cjson is a Lua error. */
ZL_EXPORT int luaopen_zenlayer(struct lua_State *L);
ZL_EXPORT int luaopen_zenlayer_safe(struct lua_State *L);

/* The same for `require "zenlayer.core"`, which is not in the static library but in a shared object
 * of its own. */
ZL_EXPORT int luaopen_zenlayer_core(struct lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
