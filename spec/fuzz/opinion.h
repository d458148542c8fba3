/* A second opinion on JSON: jansson's, a library that has nothing to do with the module. */
#ifndef FUZZ_OPINION_H
#define FUZZ_OPINION_H

#include <jansson.h>

#include "fuzz.h"

typedef enum opinion {
    OPINION_JSON,
    OPINION_NONE,
    OPINION_WITHHELD /* JSON or not, jansson cannot hold it: a number beyond a double, a name with
                        a NUL, what is nested very deep */
} opinion;

/* *value is what it is, if JSON; to be given back. */
opinion second_opinion(zl_view text, json_t **value);

/* Of what is JSON: whether no object in it has two members of one name. */
bool has_no_name_twice(zl_view text);

/* The text of a value that is a string. */
zl_view json_text(const json_t *value);

#endif
