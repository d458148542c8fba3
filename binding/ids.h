/* The ids that a method is given, from a list of Lua's to one of the core's. */
#ifndef ZLB_IDS_H
#define ZLB_IDS_H

#include "../api/ids.h"
#include "compat.h"

/* How many ids the argument at `index` seems to have; 0 for what is no list, and for some that are.
 * Never far more than there are. */
size_t zlb_ids_count(lua_State *L, int index);

/* Read them; `count` is what zlb_ids_count said. With `to_lists` the job on top, which was made for
 * that many, gets the lists that its batches return, if it is a list as most are. Raises what is
 * wrong with them. */
void zlb_ids_read(lua_State *L, int index, size_t count, bool to_lists, zl_ids *ids);

#endif
