/* A list of distinct instance ids, in the order they came. */
#ifndef ZL_IDS_H
#define ZL_IDS_H

#include "buf.h"

/* A place in the table of a list. */
struct zl_ids_slot {
    uint32_t number; /* the id's index plus one; 0: the place is free */
    uint32_t hash;   /* of the id, so that others are passed over without a look at them */
};

/* Owns its memory; all zero is the empty list. */
typedef struct zl_ids {
    zl_buf bytes; /* the ids, one after another, with what JSON has between two strings of a list */
    size_t *ends; /* where each one ends in bytes */
    size_t count;
    size_t room;               /* of ends */
    bool has_escapes;          /* some may not stand in JSON as they are */
    struct zl_ids_slot *table; /* open addressing */
    size_t table_size;
} zl_ids;

/* Append a copy of id; one that is there already is left where it is.
 * ZL_ERR_ARG: empty, with a NUL byte, or no valid UTF-8. ZL_ERR_NOMEM: the list is as before. */
int zl_ids_add(zl_ids *ids, zl_view id);

/* Make room for so many ids in all, so that adding them need not. False when out of memory: the
 * list is as before. */
bool zl_ids_reserve(zl_ids *ids, size_t count);

/* Id i, from 0. Valid until the next add. */
zl_view zl_ids_at(const zl_ids *ids, size_t i);

/* The ids at these places as a JSON list has them, without the first quote and the last: a","b.
 * Empty if they do not follow one another, or some id may need an escape. Valid until the next add.
 */
zl_view zl_ids_in_json(const zl_ids *ids, const size_t *which, size_t count);

/* Whether id is in the list; then *index (may be NULL) is its place. */
bool zl_ids_find(const zl_ids *ids, zl_view id, size_t *index);

/* Move: *from is left empty. */
void zl_ids_move(zl_ids *to, zl_ids *from);
void zl_ids_free(zl_ids *ids);

#endif
