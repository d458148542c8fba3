#include "ids.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

/* Nothing to defend against in one's own list, so it is simple: eight bytes at a time. */
static uint64_t mix(uint64_t h, uint64_t part) {
    h = (h ^ part) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 32);
}

static size_t hash(zl_view id) {
    uint64_t h = id.len, part = 0;
    for (; id.len >= sizeof part; id.data += sizeof part, id.len -= sizeof part) {
        memcpy(&part, id.data, sizeof part);
        h = mix(h, part);
    }
    part = 0;
    memcpy(&part, id.data, id.len);
    return (size_t)mix(h, part);
}

/* The place of id in the table, or the free one where it belongs. The table is never full. */
static size_t *place_of(const zl_ids *ids, zl_view id) {
    size_t mask = ids->table_size - 1;
    for (size_t at = hash(id) & mask;; at = (at + 1) & mask) {
        size_t *place = &ids->table[at];
        if (*place == 0 || zl_view_equal(zl_ids_at(ids, *place - 1), id)) {
            return place;
        }
    }
}

bool zl_ids_reserve(zl_ids *ids, size_t count) {
    if (count <= ids->room) {
        return true;
    }
    size_t room = ids->room == 0 ? 4 : ids->room * 2;
    while (room < count) {
        room *= 2;
    }
    size_t *ends = realloc(ids->ends, room * sizeof *ends);
    if (ends == NULL) {
        return false;
    }
    ids->ends = ends;
    size_t *table = calloc(room * 2, sizeof *table); /* at most half full */
    if (table == NULL) {
        return false;
    }
    free(ids->table);
    ids->table = table;
    ids->table_size = room * 2;
    ids->room = room;
    for (size_t i = 0; i < ids->count; i++) {
        *place_of(ids, zl_ids_at(ids, i)) = i + 1;
    }
    return true;
}

int zl_ids_add(zl_ids *ids, zl_view id) {
    if (id.len == 0 || memchr(id.data, '\0', id.len) != NULL || !zl_utf8_valid(id)) {
        return ZL_ERR_ARG;
    }
    if (!zl_ids_reserve(ids, ids->count + 1)) {
        return ZL_ERR_NOMEM;
    }
    size_t *place = place_of(ids, id);
    if (*place != 0) {
        return ZL_OK;
    }
    zl_buf_add_view(&ids->bytes, id);
    if (!zl_buf_ok(&ids->bytes)) {
        ids->bytes.failed = false; /* nothing was appended */
        return ZL_ERR_NOMEM;
    }
    ids->ends[ids->count++] = ids->bytes.len;
    *place = ids->count;
    return ZL_OK;
}

zl_view zl_ids_at(const zl_ids *ids, size_t i) {
    size_t start = i == 0 ? 0 : ids->ends[i - 1];
    return (zl_view){ids->bytes.data + start, ids->ends[i] - start};
}

bool zl_ids_find(const zl_ids *ids, zl_view id, size_t *index) {
    if (ids->table_size == 0) {
        return false;
    }
    size_t place = *place_of(ids, id);
    if (place != 0 && index != NULL) {
        *index = place - 1;
    }
    return place != 0;
}

void zl_ids_move(zl_ids *to, zl_ids *from) {
    zl_ids_free(to);
    *to = *from;
    *from = (zl_ids){0};
}

void zl_ids_free(zl_ids *ids) {
    zl_buf_free(&ids->bytes);
    free(ids->ends);
    free(ids->table);
    *ids = (zl_ids){0};
}
