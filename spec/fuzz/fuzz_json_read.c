/* The reader of JSON beside another: what one takes for JSON the other does, and what they find in
 * it is the same.
 *
 * Input: a text that may be JSON. */
#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "opinion.h"

/* How deep objects and arrays are nested in what is JSON. */
static size_t depth_of(zl_view text) {
    size_t depth = 0, most = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '"') {
            in_string = !in_string;
        } else if (in_string) {
            i += c == '\\';
        } else if (c == '{' || c == '[') {
            most = ++depth > most ? depth : most;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return most;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* A range of the text, and neither begins nor ends with a blank. */
static void check_range(zl_view text, zl_view value) {
    CHECK(value.len > 0 && value.data >= text.data);
    CHECK(value.data + value.len <= text.data + text.len);
    CHECK(!is_blank(value.data[0]) && !is_blank(value.data[value.len - 1]));
}

static void check_string(zl_view value, zl_view want) {
    zl_buf out = {0};
    zl_buf_add_text(&out, "kept");
    CHECK(zl_json_string(value, &out) && zl_buf_ok(&out));
    CHECK(out.len == 4 + want.len && memcmp(out.data, "kept", 4) == 0);
    CHECK(zl_view_equal((zl_view){out.data + 4, out.len - 4}, want));
    CHECK(zl_utf8_valid(want));
    zl_buf_free(&out);
}

static bool same_value(zl_view value, const json_t *want) {
    json_t *read;
    bool same = second_opinion(value, &read) == OPINION_JSON && json_equal(read, want) != 0;
    json_decref(read);
    return same;
}

static void check_value(zl_view value, json_t *want, int levels);

static void check_members(zl_view object, json_t *want, int levels) {
    const char *name;
    json_t *member;
    json_object_foreach(want, name, member) {
        zl_view value;
        size_t found = zl_json_member(object, zl_view_of(name), &value);
        CHECK(found > 0);
        check_range(object, value);
        if (found == 1) { /* of several, jansson has the last one */
            check_value(value, member, levels - 1);
        }
    }
}

/* A value that was found is what the other found there. */
static void check_value(zl_view value, json_t *want, int levels) {
    zl_view found;
    CHECK(json_is_object(want) == (value.data[0] == '{'));
    CHECK(json_is_array(want) == (value.data[0] == '['));
    CHECK(json_is_string(want) == (value.data[0] == '"'));
    CHECK(json_is_null(want) == (value.data[0] == 'n'));
    if (json_is_string(want)) {
        check_string(value, json_text(want));
    } else {
        zl_buf out = {0};
        CHECK(!zl_json_string(value, &out) && out.data == NULL);
    }
    if (!json_is_object(want)) {
        CHECK(zl_json_member(value, ZL_LIT("a"), &found) == 0);
    } else if (levels > 0) {
        check_members(value, want, levels);
    }
    CHECK(same_value(value, want));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *own = own_bytes((zl_view){(const char *)data, size});
    zl_view text = {own, size}, value = {NULL, 0};
    size_t at = SIZE_MAX;
    json_t *other;
    opinion says = second_opinion(text, &other);
    if (zl_json_read(text, &value, &at)) {
        CHECK(says != OPINION_NONE && at == SIZE_MAX);
        CHECK(depth_of(text) <= ZL_JSON_DEPTH_MAX);
        check_range(text, value);
        if (says == OPINION_JSON) {
            check_value(value, other, 3);
        }
    } else {
        CHECK(at <= size && value.data == NULL);
        CHECK(says != OPINION_JSON || depth_of(text) > ZL_JSON_DEPTH_MAX);
        /* What stands before that place is JSON, or just ends too soon. */
        size_t again;
        CHECK(zl_json_read((zl_view){own, at}, &value, &again) ? at < size : again == at);
    }
    json_decref(other);
    free(own);
    return 0;
}
