#include "nearest.h"

#include <string.h>

enum { NAME_MAX_BYTES = 64, PART_MIN_BYTES = 3, BYTES_PER_CHANGE = 8 };

/* A name as it is compared: lower-case letters and digits, and whatever is no ASCII. */
typedef struct plain_name {
    char text[NAME_MAX_BYTES + 1];
    size_t len;
} plain_name;

/* False if it is too long to be meant for any name. */
static bool simplify(zl_view name, plain_name *out) {
    out->len = 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c - 'A' + 'a');
        }
        bool counts = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
        if (counts && out->len == NAME_MAX_BYTES) {
            return false;
        } else if (counts) {
            out->text[out->len++] = c;
        }
    }
    out->text[out->len] = '\0';
    return true;
}

bool zl_names_agree(zl_view a, zl_view b) {
    plain_name one, other;
    return simplify(a, &one) && simplify(b, &other) && strcmp(one.text, other.text) == 0;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* How many changes make b of a. */
static size_t distance(const plain_name *a, const plain_name *b) {
    size_t rows[3][NAME_MAX_BYTES + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b->len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a->len; i++) {
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= b->len; j++) {
            size_t change = above[j - 1] + (a->text[i - 1] == b->text[j - 1] ? 0 : 1);
            row[j] = least(change, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a->text[i - 1] == b->text[j - 2] &&
                a->text[i - 2] == b->text[j - 1]) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
    }
    return row[b->len];
}

static bool is_part(const plain_name *part, const plain_name *whole) {
    return part->len >= PART_MIN_BYTES && strstr(whole->text, part->text) != NULL;
}

enum { FAR = 2 * NAME_MAX_BYTES };

/* How far a name is from what was given; FAR if it is not meant. A part of it is farther than any
 * slip. */
static size_t farness(const plain_name *given, const plain_name *name) {
    size_t longer = given->len > name->len ? given->len : name->len;
    size_t shorter = given->len + name->len - longer;
    size_t changes = distance(given, name);
    if (given->len > 0 && changes <= 1 + longer / BYTES_PER_CHANGE) {
        return changes;
    }
    return is_part(given, name) || is_part(name, given) ? NAME_MAX_BYTES + longer - shorter : FAR;
}

const char *zl_nearest(zl_view given, const char *const *names) {
    plain_name wanted, name;
    const char *best = NULL;
    size_t best_farness = FAR;
    for (size_t i = 0; simplify(given, &wanted) && names[i] != NULL; i++) {
        size_t far = simplify(zl_view_of(names[i]), &name) ? farness(&wanted, &name) : FAR;
        if (far < best_farness) {
            best = names[i];
            best_farness = far;
        }
    }
    return best;
}
