#include "ids.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "json.h"

/* Between two ids: all of them together are what a JSON list has between its outer quotes. */
#define SEPARATOR "\",\""
enum { SEPARATOR_LEN = sizeof SEPARATOR - 1, LEN_USUAL = 24 };

/* Nothing to defend against in one's own list, so it is simple: eight bytes at a time. */
static uint64_t mix(uint64_t h, uint64_t part) {
    h = (h ^ part) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 32);
}

static uint64_t eight_bytes(const char *from) {
    uint64_t part;
    memcpy(&part, from, sizeof part);
    return part;
}

static uint32_t hash(zl_view id) {
    uint64_t h = id.len, part = 0;
    if (id.len < sizeof part) {
        memcpy(&part, id.data, id.len);
    } else {
        for (size_t i = 0; i + sizeof part < id.len; i += sizeof part) {
            h = mix(h, eight_bytes(id.data + i));
        }
        part = eight_bytes(id.data + id.len - sizeof part); /* some of them again */
    }
    h = mix(h, part);
    return (uint32_t)mix(h, 0); /* brings the last bytes' difference down to the bits that count */
}

/* The place of id in the table, or the free one where it belongs. The table is never full. */
static struct zl_ids_slot *slot_of(const zl_ids *ids, zl_view id, uint32_t hashed) {
    size_t mask = ids->table_size - 1;
    for (size_t at = hashed & mask;; at = (at + 1) & mask) {
        struct zl_ids_slot *slot = &ids->table[at];
        if (slot->number == 0 ||
            (slot->hash == hashed && zl_view_equal(zl_ids_at(ids, slot->number - 1), id))) {
            return slot;
        }
    }
}

/* Of ids: far more than any memory would hold. */
enum { COUNT_MAX = INT32_MAX };

/* Put the ids into a new table. */
static void fill_table(zl_ids *ids) {
    for (size_t i = 0; i < ids->count; i++) {
        zl_view id = zl_ids_at(ids, i);
        uint32_t hashed = hash(id);
        *slot_of(ids, id, hashed) = (struct zl_ids_slot){(uint32_t)i + 1, hashed};
    }
}

bool zl_ids_reserve(zl_ids *ids, size_t count) {
    if (count <= ids->room) {
        return true;
    }
    if (count > COUNT_MAX) {
        return false;
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
    struct zl_ids_slot *table = calloc(room * 2, sizeof *table); /* at most half full */
    if (table == NULL) {
        return false;
    }
    free(ids->table);
    ids->table = table;
    ids->table_size = room * 2;
    ids->room = room;
    if (count > 1 && ids->count == 0) { /* if it fails, adding one tells */
        (void)zl_buf_reserve(&ids->bytes, count * (LEN_USUAL + SEPARATOR_LEN));
        ids->bytes.failed = false;
    }
    fill_table(ids);
    return true;
}

static bool is_id(zl_view id) {
    return id.len > 0 && memchr(id.data, '\0', id.len) == NULL && zl_utf8_valid(id);
}

/* Append so many bytes of the separator, and an id. False, with nothing appended, when out of
 * memory. */
static bool append(zl_buf *bytes, size_t separator_len, zl_view id) {
    if (!zl_buf_reserve(bytes, separator_len + id.len)) {
        bytes->failed = false;
        return false;
    }
    char *to = bytes->data + bytes->len;
    memcpy(to, SEPARATOR, separator_len);
    memcpy(to + separator_len, id.data, id.len);
    bytes->len += separator_len + id.len;
    bytes->data[bytes->len] = '\0';
    return true;
}

int zl_ids_add(zl_ids *ids, zl_view id) {
    bool is_plain = zl_json_is_plain(id); /* as most are, which then need not be looked at again */
    if (!is_plain && !is_id(id)) {
        return ZL_ERR_ARG;
    }
    if (ids->count == ids->room && !zl_ids_reserve(ids, ids->count + 1)) {
        return ZL_ERR_NOMEM;
    }
    uint32_t hashed = hash(id);
    struct zl_ids_slot *slot = slot_of(ids, id, hashed);
    if (slot->number != 0) {
        return ZL_OK;
    }
    if (!append(&ids->bytes, ids->count > 0 ? SEPARATOR_LEN : 0, id)) {
        return ZL_ERR_NOMEM;
    }
    ids->has_escapes = ids->has_escapes || !is_plain;
    ids->ends[ids->count++] = ids->bytes.len;
    *slot = (struct zl_ids_slot){(uint32_t)ids->count, hashed};
    return ZL_OK;
}

static size_t start_of(const zl_ids *ids, size_t i) {
    return i == 0 ? 0 : ids->ends[i - 1] + SEPARATOR_LEN;
}

zl_view zl_ids_at(const zl_ids *ids, size_t i) {
    size_t start = start_of(ids, i);
    return (zl_view){ids->bytes.data + start, ids->ends[i] - start};
}

/* Whether places follow one another. */
static bool is_run(const size_t *which, size_t count) {
    size_t i = 1;
    while (i < count && which[i] == which[0] + i) {
        i++;
    }
    return i >= count;
}

zl_view zl_ids_in_json(const zl_ids *ids, const size_t *which, size_t count) {
    if (ids->has_escapes || count == 0 || !is_run(which, count)) {
        return (zl_view){NULL, 0};
    }
    size_t start = start_of(ids, which[0]);
    return (zl_view){ids->bytes.data + start, ids->ends[which[count - 1]] - start};
}

bool zl_ids_find(const zl_ids *ids, zl_view id, size_t *index) {
    if (ids->table_size == 0) {
        return false;
    }
    uint32_t number = slot_of(ids, id, hash(id))->number;
    if (number != 0 && index != NULL) {
        *index = number - 1;
    }
    return number != 0;
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
