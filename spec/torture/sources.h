/* Where memory comes from, and how it fails: Lua's allocator, malloc of the core's own objects,
 * libcurl's functions, OpenSSL's. Each counts what it gives, and refuses it when told to. What
 * others allocate (lua-cjson, libc) passes none of them. */
#ifndef SOURCES_H
#define SOURCES_H

#include <stdbool.h>
#include <stddef.h>

#include "secrets.h"

typedef enum source { SOURCE_LUA, SOURCE_CORE, SOURCE_CURL, SOURCE_OPENSSL, SOURCE_COUNT } source;

const char *source_name(source which);

/* To be called once, before anything of libcurl or OpenSSL is used. */
bool sources_begin(void);

/* A lua_Alloc. */
void *sources_lua_alloc(void *context, void *block, size_t old_size, size_t size);

/* From now on refuse the k-th allocation of one source (k from 1; 0: none), and with `persistent`
 * every one after it. */
void sources_fail_at(source which, size_t k, bool persistent);

/* Refuse nothing any more. Whether something was refused. */
bool sources_relent(void);

/* How many allocations a source was asked for since the program began; how many blocks it has given
 * that were not given back. */
size_t source_asked(source which);
size_t source_live(source which);

/* From now on look through what is given back for secrets: by the core, and with `all` by
 * everybody. What a source has given back so far. */
void sources_look(bool all);
const secrets_account *source_account(source which);

#endif
