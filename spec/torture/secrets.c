#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init shows its state, which EVP hides */
#include "secrets.h"

#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "api/error.h"
#include "api/sign.h"

enum {
    WINDOW = 8, /* bytes that are looked up at once */
    PART_OF_SIGNATURE = 16,
    TABLE_SIZE = 1 << 15,
    TABLE_MOST = TABLE_SIZE / 2,
    KEY_BLOCK = 64, /* SHA-256's */
    KINDS_OF_ONE = 2
};

/* A part of a secret: what follows `first` in it, and how much of that makes it one. */
typedef struct part {
    uint64_t first;
    unsigned char bytes[PART_OF_SIGNATURE];
    unsigned char len; /* 0: none here */
    unsigned char kind;
} part;

/* Parts by their first bytes. */
typedef struct table {
    part parts[TABLE_SIZE];
    size_t count;
} table;

/* Signatures are many and soon forgotten. */
static table lasting, passing;
static char names[SECRETS_MAX][48] = {"a signature"};
static int kinds = 1;

static size_t place_of(uint64_t first) {
    return (size_t)(first * 0x9E3779B97F4A7C15u >> 49) % TABLE_SIZE;
}

static bool add_part(table *t, int kind, const unsigned char *bytes, size_t len) {
    uint64_t first;
    memcpy(&first, bytes, sizeof first);
    size_t i = place_of(first);
    while (t->parts[i].len > 0) {
        i = (i + 1) % TABLE_SIZE;
    }
    if (t->count == TABLE_MOST) {
        return false;
    }
    t->count++;
    part *p = &t->parts[i];
    p->first = first;
    memcpy(p->bytes, bytes, len);
    p->len = (unsigned char)len;
    p->kind = (unsigned char)kind;
    return true;
}

/* Every part of so many bytes. */
static bool add_parts(table *t, int kind, const void *bytes, size_t len, size_t part_len) {
    bool ok = true;
    for (size_t i = 0; i + part_len <= len; i++) {
        ok = add_part(t, kind, (const unsigned char *)bytes + i, part_len) && ok;
    }
    return ok;
}

/* --- texts and what HMAC makes of them -------------------------------------------------------- */

static bool add_name(const char *name, const char *more) {
    int len = snprintf(names[kinds], sizeof names[0], "%s%s", name, more);
    if (len < 0 || (size_t)len >= sizeof names[0]) {
        return false;
    }
    kinds++;
    return true;
}

/* A key of HMAC is a block of its own with every bit of `pad` turned, and then the state of SHA-256
 * after it. */
static bool add_keyed(int kind, const char *text, size_t len, unsigned char pad) {
    unsigned char block[KEY_BLOCK] = {0};
    SHA256_CTX state;
    memcpy(block, text, len);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= pad;
    }
    return SHA256_Init(&state) == 1 && SHA256_Update(&state, block, sizeof block) == 1 &&
           add_parts(&lasting, kind, block, len, WINDOW) && /* the rest is the same for all */
           add_parts(&lasting, kind, state.h, sizeof state.h, WINDOW);
}

bool secrets_add(const char *name, const char *text) {
    size_t len = strlen(text);
    if (len < WINDOW || len > KEY_BLOCK || kinds + KINDS_OF_ONE > SECRETS_MAX) {
        return false;
    }
    return add_name(name, "") && add_parts(&lasting, kinds - 1, text, len, WINDOW) &&
           add_name(name, " as an HMAC key") && add_keyed(kinds - 1, text, len, 0x36) &&
           add_keyed(kinds - 1, text, len, 0x5c);
}

int secrets_count(void) {
    return kinds;
}

const char *secrets_name(int kind) {
    return names[kind];
}

/* --- signatures ------------------------------------------------------------------------------- */

/* The linker puts this in the place of zl_sign. */
int noted_sign(zl_signer *signer, const zl_sign_input *in, char *out) __asm__("__wrap_zl_sign");
int real_sign(zl_signer *signer, const zl_sign_input *in, char *out) __asm__("__real_zl_sign");

int noted_sign(zl_signer *signer, const zl_sign_input *in, char *out) {
    int rc = real_sign(signer, in, out);
    if (rc == ZL_OK && !zl_signer_is_token(signer)) {
        const char *signature = out + zl_signer_authorization_len(signer) - ZL_SIGN_HEX;
        (void)add_parts(&passing, 0, signature, ZL_SIGN_HEX, PART_OF_SIGNATURE);
    }
    return rc;
}

void secrets_forget_signatures(void) {
    if (passing.count > 0) {
        memset(&passing, 0, sizeof passing);
    }
}

/* --- the look --------------------------------------------------------------------------------- */

static const part *find_at(const table *t, uint64_t first, const char *bytes, size_t left) {
    for (size_t i = place_of(first); t->parts[i].len > 0; i = (i + 1) % TABLE_SIZE) {
        const part *p = &t->parts[i];
        if (p->first == first && p->len <= left && memcmp(p->bytes, bytes, p->len) == 0) {
            return p;
        }
    }
    return NULL;
}

void secrets_look(secrets_account *account, const void *block, size_t size) {
    const char *bytes = block;
    bool held[SECRETS_MAX] = {false};
    account->blocks++;
    for (size_t i = 0; i + WINDOW <= size; i++) {
        uint64_t first;
        memcpy(&first, bytes + i, sizeof first);
        const part *p = first == 0 ? NULL : find_at(&lasting, first, bytes + i, size - i);
        p = first == 0 || p != NULL ? p : find_at(&passing, first, bytes + i, size - i);
        if (p != NULL) {
            held[p->kind] = true;
        }
    }
    for (int kind = 0; kind < kinds; kind++) {
        account->held[kind] += held[kind] ? 1 : 0;
    }
}
