/* What must not be left in memory that is given back, and where it was found all the same: texts
 * that are secret, what HMAC makes of one for a key, and every signature that the core has made. A
 * part of eight bytes is enough, of a signature sixteen. */
#ifndef SECRETS_H
#define SECRETS_H

#include <stdbool.h>
#include <stddef.h>

enum { SECRETS_MAX = 16 };

/* This text, of eight to 64 bytes, which nothing else contains any part of. `name` is kept. */
bool secrets_add(const char *name, const char *text);

/* How many kinds of secrets there are, and what they are called. */
int secrets_count(void);
const char *secrets_name(int kind);

/* The signatures so far are not looked for any more. */
void secrets_forget_signatures(void);

/* How many blocks were looked through, and how many of them had a secret of each kind. */
typedef struct secrets_account {
    size_t blocks;
    size_t held[SECRETS_MAX];
} secrets_account;

/* Look through a block that is given back. */
void secrets_look(secrets_account *account, const void *block, size_t size);

#endif
