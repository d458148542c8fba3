/* Going through the pages of a Describe…: the state of an iterator. */
#ifndef ZLB_PAGES_H
#define ZLB_PAGES_H

#include "compat.h"

/* Where an iterator stands. The user value is a table of the arguments for each page: the client,
 * the action, params (a copy) and options. Nothing in it must be freed. */
typedef struct zlb_pages {
    enum { ZLB_PAGES_READY, ZLB_PAGES_BUSY, ZLB_PAGES_ENDED } state;
    bool safe;      /* of a client that returns nil, err */
    int64_t number; /* of the next page */
    int64_t size;
    int64_t seen;    /* rows so far, those before the first page too */
    bool begun_late; /* what comes next is the first page, and not number 1 */
} zlb_pages;

/* Read the arguments of `pages` (client, action [, params [, options]]) from index 1 on and push a
 * new state. Nothing is sent. Raises what is wrong with the arguments. */
zlb_pages *zlb_pages_new(lua_State *L);

/* Push the job of the next page of the state at `index`, which is busy then. Raises what is wrong,
 * a page that is under way too. */
void zlb_pages_make(lua_State *L, int index);

/* Push the client of the state at `index`. */
void zlb_pages_push_client(lua_State *L, int index);

/* Take note of the page that came: the response at `index` is one that the job took for a page.
 * Gives it an empty dataSet if it has none. The state is ready for the next one, or has ended. */
void zlb_pages_take(lua_State *L, zlb_pages *pages, int index);

#endif
