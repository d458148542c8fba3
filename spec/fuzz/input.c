#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

uint8_t input_byte(input *in) {
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

uint64_t input_number(input *in, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value |= (uint64_t)input_byte(in) << (8 * i);
    }
    return value;
}

size_t input_below(input *in, size_t bound) {
    return input_byte(in) % bound;
}

bool input_chance(input *in, unsigned of_256) {
    return in->left > 0 && input_byte(in) < of_256;
}

zl_view input_text(input *in, size_t most) {
    zl_view text = {(const char *)in->at, in->left < most ? in->left : most};
    in->at += text.len;
    in->left -= text.len;
    return text;
}

zl_view input_line(input *in) {
    const uint8_t *end = in->left > 0 ? memchr(in->at, '\n', in->left) : NULL;
    zl_view line = input_text(in, end != NULL ? (size_t)(end - in->at) : in->left);
    (void)input_byte(in);
    return line;
}

zl_view input_rest(input *in) {
    return input_text(in, in->left);
}

char *own_bytes(zl_view text) {
    char *own = malloc(text.len == 0 ? 1 : text.len);
    CHECK(own != NULL);
    if (text.len > 0) {
        memcpy(own, text.data, text.len);
    }
    return own;
}

void fuzz_fail(const char *file, int line, const char *condition) {
    (void)fprintf(stderr, "%s:%d: not true: %s\n", file, line, condition);
    abort();
}
