#include "opinion.h"

#include <string.h>

opinion second_opinion(zl_view text, json_t **value) {
    *value = NULL;
    if (text.len == 0 || memchr(text.data, '\0', text.len) != NULL) {
        return OPINION_NONE; /* a NUL where a value may end is the end of the text to jansson */
    }
    json_error_t error;
    size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
    *value = json_loadb(text.data, text.len, flags, &error);
    if (*value != NULL) {
        return OPINION_JSON;
    }
    switch (json_error_code(&error)) {
    case json_error_numeric_overflow:
    case json_error_null_byte_in_key:
    case json_error_stack_overflow: return OPINION_WITHHELD;
    default: return OPINION_NONE;
    }
}

zl_view json_text(const json_t *value) {
    CHECK(json_is_string(value));
    return (zl_view){json_string_value(value), json_string_length(value)};
}

bool has_no_name_twice(zl_view text) {
    size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES;
    json_t *value = json_loadb(text.data, text.len, flags, NULL);
    json_decref(value);
    return value != NULL;
}
