/* What the fuzz targets share. Each has one function that is given bytes, does something with them,
 * and checks what must be true of the result: libFuzzer looks for bytes with which it is not, and
 * replay.c gives it files. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* The target. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of the bytes. Once there are none, more of them are zeros. */
typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

uint8_t input_byte(input *in);
uint64_t input_number(input *in, size_t bytes); /* of so many bytes, at most 8, the lowest first */
size_t input_below(input *in, size_t bound);    /* 0 … bound - 1, for a bound up to 256 */
bool input_chance(input *in, unsigned of_256);  /* true for a byte below that */
zl_view input_text(input *in, size_t most);     /* at most so many bytes, as they are */
zl_view input_line(input *in);                  /* up to the next LF, which is passed over */
zl_view input_rest(input *in);

/* A copy of text in memory of its own, without a NUL behind it, so that a sanitizer sees a read
 * beyond it. To be freed. */
char *own_bytes(zl_view text);

/* End the program, and tell what is not true: unless the condition holds, or at once. */
#define CHECK(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))
#define FAIL(condition) fuzz_fail(__FILE__, __LINE__, condition)
_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
