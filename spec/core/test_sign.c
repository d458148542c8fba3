/* The signature, stage by stage, against vectors that another implementation computed; bounds; what
 * a signer may be reused for; what it allocates and leaves behind. */
#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "sign.h"
#include "support.h"

enum { VECTORS_AT_LEAST = 41, VECTORS_MAX = 1000, AUTHORIZATION_MAX = 2048 };

/* --- the vectors ------------------------------------------------------------------------------ */

/* Owns everything; texts end in a NUL. */
typedef struct vector {
    char *name;
    zl_buf input, body, canonical_request, string_to_sign, signature, authorization;
} vector;

static vector vectors[VECTORS_MAX];
static size_t vector_count;

/* The tests run from the top of the tree; elsewhere, ZENLAYER_SPEC_DIR says where spec is. */
static const char *vectors_folder(void) {
    static char path[1024];
    const char *spec = getenv("ZENLAYER_SPEC_DIR");
    (void)snprintf(path, sizeof path, "%s/vectors", spec == NULL ? "spec" : spec);
    return path;
}

static void read_whole(zl_buf *out, const char *name, const char *file) {
    char path[2048], chunk[4096];
    (void)snprintf(path, sizeof path, "%s/%s/%s", vectors_folder(), name, file);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fail_with("%s: %s", path, strerror(errno));
        return; /* for checkers that do not know that it jumps */
    }
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) {
        zl_buf_add(out, chunk, n);
    }
    (void)fclose(f);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const vector *)a)->name, ((const vector *)b)->name);
}

static int read_vectors(void **state) {
    (void)state;
    DIR *folder = opendir(vectors_folder());
    if (folder == NULL) {
        fail_with("%s: %s", vectors_folder(), strerror(errno));
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[2048];
        (void)snprintf(path, sizeof path, "%s/%s/input", vectors_folder(), entry->d_name);
        FILE *input = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (input == NULL) {
            continue; /* no folder of a vector */
        }
        (void)fclose(input);
        assert_true(vector_count < VECTORS_MAX);
        vector *v = &vectors[vector_count++];
        v->name = strdup(entry->d_name);
        read_whole(&v->input, v->name, "input");
        read_whole(&v->body, v->name, "body");
        read_whole(&v->canonical_request, v->name, "canonical_request");
        read_whole(&v->string_to_sign, v->name, "string_to_sign");
        read_whole(&v->signature, v->name, "signature");
        read_whole(&v->authorization, v->name, "authorization");
    }
    (void)closedir(folder);
    qsort(vectors, vector_count, sizeof vectors[0], by_name);
    return 0;
}

static int free_vectors(void **state) {
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        vector *v = &vectors[i];
        free(v->name);
        zl_buf_free(&v->input);
        zl_buf_free(&v->body);
        zl_buf_free(&v->canonical_request);
        zl_buf_free(&v->string_to_sign);
        zl_buf_free(&v->signature);
        zl_buf_free(&v->authorization);
    }
    return 0;
}

/* The value of a line "name=value" of the input: all up to the newline, blanks too. */
static zl_view input_value(const vector *v, const char *name) {
    const char *at = v->input.data, *end = v->input.data + v->input.len;
    size_t len = strlen(name);
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        if ((size_t)(stop - at) > len && memcmp(at, name, len) == 0 && at[len] == '=') {
            return (zl_view){at + len + 1, (size_t)(stop - at) - len - 1};
        }
        at = stop < end ? stop + 1 : end;
    }
    fail_with("vector %s: its input has no %s", v->name, name);
}

static zl_sign_input input_of(const vector *v) {
    return (zl_sign_input){
        .host = input_value(v, "host"),
        .content_type = input_value(v, "content_type"),
        .body = zl_buf_view(&v->body),
        .timestamp_s = strtoll(input_value(v, "timestamp").data, NULL, 10),
    };
}

static zl_signer *signer_of(const vector *v) {
    zl_signer *signer;
    int rc = zl_signer_new_key(&signer, input_value(v, "access_key_id"),
                               input_value(v, "access_key_password"));
    if (rc != ZL_OK) {
        fail_with("vector %s: no signer: %d", v->name, rc);
    }
    return signer;
}

static void expect_stage(const vector *v, const char *stage, zl_view got, const zl_buf *want) {
    if (!zl_view_equal(got, zl_buf_view(want))) {
        fail_with("vector %s: %s is\n%.*s\nand should be\n%.*s", v->name, stage, (int)got.len,
                  got.data, (int)want->len, want->data);
    }
}

static void test_there_are_enough_vectors(void **state) {
    (void)state;
    if (vector_count < VECTORS_AT_LEAST) {
        fail_with("%zu vectors in %s, of at least %d", vector_count, vectors_folder(),
                  VECTORS_AT_LEAST);
    }
    for (size_t i = 0; i < vector_count; i++) { /* a vector cut short would compare as nothing */
        assert_int_equal(vectors[i].signature.len, ZL_SIGN_HEX);
        assert_true(vectors[i].canonical_request.len > ZL_SIGN_HEX);
        assert_true(vectors[i].string_to_sign.len > ZL_SIGN_HEX);
    }
}

static void test_stage_canonical_request(void **state) {
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        const vector *v = &vectors[i];
        zl_signer *signer = signer_of(v);
        zl_sign_input in = input_of(v);
        char hash[ZL_SIGN_HEX], out[ZL_SIGN_CANONICAL_MAX];
        assert_int_equal(zl_sign_sha256(signer, in.body, hash), ZL_OK);
        size_t len = zl_sign_canonical_request(&in, hash, out);
        expect_stage(v, "canonical request", (zl_view){out, len}, &v->canonical_request);
        zl_signer_free(signer);
    }
}

static void test_stage_string_to_sign(void **state) {
    (void)state;
    for (size_t i = 0; i < vector_count; i++) { /* each stage from the vector's, not from ours */
        const vector *v = &vectors[i];
        zl_signer *signer = signer_of(v);
        char hash[ZL_SIGN_HEX], out[ZL_SIGN_STRING_MAX];
        assert_int_equal(zl_sign_sha256(signer, zl_buf_view(&v->canonical_request), hash), ZL_OK);
        size_t len = zl_sign_string_to_sign(input_of(v).timestamp_s, hash, out);
        expect_stage(v, "string to sign", (zl_view){out, len}, &v->string_to_sign);
        zl_signer_free(signer);
    }
}

static void test_stage_authorization(void **state) {
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        const vector *v = &vectors[i];
        zl_signer *signer = signer_of(v);
        char out[AUTHORIZATION_MAX];
        size_t len = zl_signer_authorization_len(signer);
        assert_true(len < sizeof out);
        assert_int_equal(zl_sign_authorization(signer, zl_buf_view(&v->string_to_sign), out),
                         ZL_OK);
        expect_stage(v, "authorization", (zl_view){out, len}, &v->authorization);
        expect_stage(v, "signature", (zl_view){out + len - ZL_SIGN_HEX, ZL_SIGN_HEX},
                     &v->signature);
        zl_signer_free(signer);
    }
}

static void expect_whole(const vector *v, zl_signer *signer) {
    char out[AUTHORIZATION_MAX + 1];
    zl_sign_input in = input_of(v);
    size_t len = zl_signer_authorization_len(signer);
    memset(out, '#', sizeof out);
    assert_int_equal(zl_sign(signer, &in, out), ZL_OK);
    expect_stage(v, "authorization", (zl_view){out, len}, &v->authorization);
    assert_int_equal(out[len], '#'); /* not a byte more than was announced */
}

static void test_whole_signature(void **state) {
    (void)state;
    for (size_t i = 0; i < vector_count; i++) {
        zl_signer *signer = signer_of(&vectors[i]);
        expect_whole(&vectors[i], signer);
        zl_signer_free(signer);
    }
}

/* The vendor's own numbers, written here once more: they must not come out of the vectors' maker.
 */
static void test_vendor_example(void **state) {
    (void)state;
    zl_signer *signer;
    assert_int_equal(
        zl_signer_new_key(&signer, ZL_LIT("0D9UtpyKYcHxms5v"), ZL_LIT("Gu5t9xGARNpq86cd98joQYCN3")),
        ZL_OK);
    zl_sign_input in = {
        .host = ZL_LIT("console.zenlayer.com"),
        .content_type = ZL_LIT("application/json; charset=utf-8"),
        .body = ZL_LIT("{\"pageSize\":10,\"pageNum\":1,\"zoneId\":\"HKG-A\"}"),
        .timestamp_s = 1673361177,
    };
    char hash[ZL_SIGN_HEX + 1] = {0}, canonical[ZL_SIGN_CANONICAL_MAX];
    char out[AUTHORIZATION_MAX] = {0};
    assert_int_equal(zl_sign_sha256(signer, in.body, hash), ZL_OK);
    assert_string_equal(hash, "5f714687ba91c606d503467766151206392474accd137ffea6dce2420b67c29a");
    size_t len = zl_sign_canonical_request(&in, hash, canonical);
    assert_int_equal(zl_sign_sha256(signer, (zl_view){canonical, len}, hash), ZL_OK);
    assert_string_equal(hash, "29396f9dfa0f03820b931e8aa06e20cda197e73285ebd76aceb83f7dede493ee");
    assert_int_equal(zl_sign(signer, &in, out), ZL_OK);
    assert_string_equal(out, "ZC2-HMAC-SHA256 Credential=0D9UtpyKYcHxms5v, "
                             "SignedHeaders=content-type;host, Signature="
                             "efb356c32e55c781e10dc676da59462c22596d82e91c57803666243379555b2f");
    zl_signer_free(signer);
}

/* --- reuse ------------------------------------------------------------------------------------ */

static void test_a_signer_is_reused(void **state) {
    (void)state;
    zl_signer *signer = signer_of(&vectors[0]);
    for (size_t i = 0; i < repetitions(20000); i++) {
        expect_whole(&vectors[0], signer);
    }
    zl_signer_free(signer);
}

static void test_signers_are_interleaved(void **state) {
    (void)state;
    zl_signer *signers[VECTORS_MAX] = {0};
    rng r = {7};
    for (size_t i = 0; i < vector_count; i++) {
        signers[i] = signer_of(&vectors[i]);
    }
    for (size_t round = 0; round < repetitions(20000); round++) {
        size_t i = rng_below(&r, vector_count);
        expect_whole(&vectors[i], signers[i]);
    }
    for (size_t i = 0; i < vector_count; i++) {
        zl_signer_free(signers[i]);
    }
}

/* A signature that could not be made must not be remembered by the next one. */
static void test_a_refused_signature_leaves_nothing(void **state) {
    (void)state;
    const vector *v = &vectors[0];
    zl_signer *signer = signer_of(v);
    zl_sign_input in = input_of(v);
    char out[AUTHORIZATION_MAX];
    in.timestamp_s = -1;
    assert_int_equal(zl_sign(signer, &in, out), ZL_ERR_ARG);
    expect_whole(v, signer);
    zl_signer_free(signer);
}

static void test_what_is_signed_makes_the_signature(void **state) {
    (void)state;
    const vector *v = &vectors[0];
    zl_signer *signer = signer_of(v);
    size_t len = zl_signer_authorization_len(signer);
    char base[AUTHORIZATION_MAX], other[AUTHORIZATION_MAX];
    const zl_sign_input in = input_of(v);
    assert_int_equal(zl_sign(signer, &in, base), ZL_OK);
    for (int what = 0; what < 4; what++) {
        zl_sign_input changed = in;
        switch (what) {
        case 0: changed.host = ZL_LIT("console.zenlayer.con"); break;
        case 1: changed.content_type = ZL_LIT("application/json"); break;
        case 2:
            changed.body = ZL_LIT("{\"pageSize\":10,\"pageNum\":1,\"zoneId\":\"HKG-B\"}");
            break;
        default: changed.timestamp_s++; break;
        }
        assert_int_equal(zl_sign(signer, &changed, other), ZL_OK);
        assert_memory_not_equal(base, other, len);
    }
    zl_signer_free(signer);
}

/* --- tokens ----------------------------------------------------------------------------------- */

static void test_token(void **state) {
    (void)state;
    zl_signer *token, *key = signer_of(&vectors[0]);
    assert_int_equal(zl_signer_new_token(&token, ZL_LIT("abc.DEF-123_~+/=")), ZL_OK);
    assert_true(zl_signer_is_token(token));
    assert_false(zl_signer_is_token(key));
    char out[64];
    zl_sign_input in = input_of(&vectors[0]);
    for (int i = 0; i < 3; i++) {
        memset(out, '#', sizeof out);
        assert_int_equal(zl_sign(token, &in, out), ZL_OK);
        size_t len = zl_signer_authorization_len(token);
        assert_view(((zl_view){out, len}), "Bearer abc.DEF-123_~+/=");
        assert_int_equal(out[len], '#');
    }
    /* There is no key to sign with. */
    assert_int_equal(zl_sign_authorization(token, ZL_LIT("a string"), out), ZL_ERR_ARG);
    zl_signer_free(token);
    zl_signer_free(key);
}

static void test_a_long_token(void **state) { /* a JWT has no bound of ours */
    (void)state;
    enum { LEN = 10000 };
    char *text = malloc(LEN), *out = malloc(LEN + 7);
    assert_non_null(text);
    assert_non_null(out);
    memset(text, 'x', LEN);
    zl_signer *signer;
    assert_int_equal(zl_signer_new_token(&signer, (zl_view){text, LEN}), ZL_OK);
    assert_int_equal(zl_signer_authorization_len(signer), LEN + 7);
    zl_sign_input in = input_of(&vectors[0]);
    assert_int_equal(zl_sign(signer, &in, out), ZL_OK);
    assert_memory_equal(out, "Bearer ", 7);
    assert_memory_equal(out + 7, text, LEN);
    zl_signer_free(signer);
    free(text);
    free(out);
}

/* --- bounds ----------------------------------------------------------------------------------- */

#define NOT_NULL_YET ((zl_signer *)(void *)&vectors[0])

static void refuse_key(zl_view id, zl_view password) {
    zl_signer *signer = NOT_NULL_YET;
    assert_int_equal(zl_signer_new_key(&signer, id, password), ZL_ERR_ARG);
    assert_null(signer);
}

static void refuse_token(zl_view token) {
    zl_signer *signer = NOT_NULL_YET;
    assert_int_equal(zl_signer_new_token(&signer, token), ZL_ERR_ARG);
    assert_null(signer);
}

static void test_credentials_that_are_refused(void **state) {
    (void)state;
    const zl_view unsafe[] = {ZL_LIT("a\r\nX-Evil: 1"), ZL_LIT("a\n"), ZL_LIT("\ra"),
                              ZL_LIT("a\0b"), ZL_LIT("\0")};
    for (size_t i = 0; i < COUNT(unsafe); i++) {
        refuse_key(unsafe[i], ZL_LIT("password"));
        refuse_token(unsafe[i]);
    }
    refuse_key((zl_view){NULL, 0}, ZL_LIT("password"));
    refuse_key(ZL_LIT("id"), (zl_view){NULL, 0});
    refuse_token((zl_view){NULL, 0});
    char id[ZL_SIGN_KEY_ID_MAX + 1];
    memset(id, 'i', sizeof id);
    refuse_key((zl_view){id, sizeof id}, ZL_LIT("password"));
}

static void test_the_longest_id(void **state) {
    (void)state;
    char id[ZL_SIGN_KEY_ID_MAX], out[AUTHORIZATION_MAX];
    memset(id, 'i', sizeof id);
    zl_signer *signer;
    assert_int_equal(zl_signer_new_key(&signer, (zl_view){id, sizeof id}, ZL_LIT("p")), ZL_OK);
    assert_true(zl_signer_authorization_len(signer) <= sizeof out);
    zl_sign_input in = input_of(&vectors[0]);
    assert_int_equal(zl_sign(signer, &in, out), ZL_OK);
    zl_signer_free(signer);
}

/* A password is bytes: it reaches no header. */
static void test_any_bytes_are_a_password(void **state) {
    (void)state;
    zl_signer *a, *b;
    assert_int_equal(zl_signer_new_key(&a, ZL_LIT("id"), ZL_LIT("x\r\n\0y")), ZL_OK);
    assert_int_equal(zl_signer_new_key(&b, ZL_LIT("id"), ZL_LIT("x\r\n\0z")), ZL_OK);
    char one[AUTHORIZATION_MAX], two[AUTHORIZATION_MAX];
    zl_sign_input in = input_of(&vectors[0]);
    assert_int_equal(zl_sign(a, &in, one), ZL_OK);
    assert_int_equal(zl_sign(b, &in, two), ZL_OK);
    assert_memory_not_equal(one, two, zl_signer_authorization_len(a)); /* the NUL did not cut it */
    zl_signer_free(a);
    zl_signer_free(b);
}

static void test_bounds_of_what_is_signed(void **state) {
    (void)state;
    zl_signer *signer = signer_of(&vectors[0]);
    char long_value[ZL_SIGN_VALUE_MAX + 1], out[AUTHORIZATION_MAX];
    char canonical[ZL_SIGN_CANONICAL_MAX], hash[ZL_SIGN_HEX] = {0};
    memset(long_value, 'V', sizeof long_value);
    const zl_view longest = {long_value, ZL_SIGN_VALUE_MAX};
    const zl_view too_long = {long_value, ZL_SIGN_VALUE_MAX + 1};
    zl_sign_input in = {.host = longest, .content_type = longest, .body = {NULL, 0}};
    assert_int_equal(zl_sign(signer, &in, out), ZL_OK);
    size_t len = zl_sign_canonical_request(&in, hash, canonical);
    assert_in_range(len, 2 * ZL_SIGN_VALUE_MAX, sizeof canonical);
    in.host = too_long;
    assert_int_equal(zl_sign(signer, &in, out), ZL_ERR_ARG);
    assert_int_equal(zl_sign_canonical_request(&in, hash, canonical), 0);
    in.host = longest;
    in.content_type = too_long;
    assert_int_equal(zl_sign(signer, &in, out), ZL_ERR_ARG);
    assert_int_equal(zl_sign_canonical_request(&in, hash, canonical), 0);
    zl_signer_free(signer);
}

static void test_bounds_of_the_timestamp(void **state) {
    (void)state;
    zl_signer *signer = signer_of(&vectors[0]);
    char out[AUTHORIZATION_MAX], string[ZL_SIGN_STRING_MAX], hash[ZL_SIGN_HEX];
    memset(hash, 'a', sizeof hash);
    zl_sign_input in = input_of(&vectors[0]);
    in.timestamp_s = INT64_MAX;
    assert_int_equal(zl_sign(signer, &in, out), ZL_OK);
    assert_int_equal(zl_sign_string_to_sign(INT64_MAX, hash, string), 16 + 20 + ZL_SIGN_HEX);
    assert_int_equal(zl_sign_string_to_sign(INT64_MIN, hash, string), 16 + 21 + ZL_SIGN_HEX);
    in.timestamp_s = INT64_MIN;
    assert_int_equal(zl_sign(signer, &in, out), ZL_ERR_ARG);
    zl_signer_free(signer);
}

static void test_blanks_around_credentials(void **state) {
    (void)state;
    static const struct {
        const char *id, *password, *blanks;
    } rows[] = {
        {"id", "password", NULL},
        {"i d", "pass word\ts", NULL},
        {"id", "password\n", "the access key password"},
        {"id", "password\r", "the access key password"},
        {"id", " password", "the access key password"},
        {"id", "\f", "the access key password"},
        {"id\t", "password", "the access key id"},
        {" id", "\v\v", "each of the access key id and its password"},
    };
    zl_signer *signer;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(
            zl_signer_new_key(&signer, zl_view_of(rows[i].id), zl_view_of(rows[i].password)),
            ZL_OK);
        const char *blanks = zl_signer_blanks(signer);
        assert_int_equal(blanks == NULL, rows[i].blanks == NULL);
        assert_string_equal(blanks == NULL ? "" : blanks,
                            rows[i].blanks == NULL ? "" : rows[i].blanks);
        zl_signer_free(signer);
    }
    assert_int_equal(zl_signer_new_token(&signer, ZL_LIT("to ken")), ZL_OK);
    assert_null(zl_signer_blanks(signer));
    zl_signer_free(signer);
    assert_int_equal(zl_signer_new_token(&signer, ZL_LIT("token ")), ZL_OK);
    assert_string_equal(zl_signer_blanks(signer), "the token");
    zl_signer_free(signer);
}

static void test_values_of_blanks_alone(void **state) {
    (void)state;
    zl_sign_input in = {.host = ZL_LIT(" \t "), .content_type = {NULL, 0}};
    char hash[ZL_SIGN_HEX], out[ZL_SIGN_CANONICAL_MAX];
    memset(hash, 'a', sizeof hash);
    size_t len = zl_sign_canonical_request(&in, hash, out);
    static const char want[] = "POST\n/\n\ncontent-type:\nhost:\n\ncontent-type;host\n";
    assert_int_equal(len, sizeof want - 1 + ZL_SIGN_HEX);
    assert_memory_equal(out, want, sizeof want - 1);
}

/* --- memory ----------------------------------------------------------------------------------- */

static size_t crypto_allocations; /* OpenSSL's: counted, so that the test can say it looked */

/* The blocks that it got since `notes_blocks` was set, and has not given back. */
static struct {
    unsigned char *start;
    size_t size;
} crypto_blocks[256];
static bool notes_blocks;

static void *note_block(void *block, size_t size) {
    size_t i = 0;
    while (i < COUNT(crypto_blocks) && crypto_blocks[i].start != NULL) {
        i++;
    }
    if (notes_blocks && block != NULL) {
        assert_true(i < COUNT(crypto_blocks));
        memset(block, 0, size); /* it is read whole later, written to or not */
        crypto_blocks[i].start = block;
        crypto_blocks[i].size = size;
    }
    return block;
}

static void forget_block(const void *block) {
    for (size_t i = 0; i < COUNT(crypto_blocks) && block != NULL; i++) {
        if (crypto_blocks[i].start == block) {
            crypto_blocks[i].start = NULL;
        }
    }
}

static void *crypto_malloc(size_t size, const char *file, int line) {
    (void)file;
    (void)line;
    crypto_allocations++;
    return note_block(malloc(size), size);
}

/* What grows is not noted: nothing does that holds a key. */
static void *crypto_realloc(void *block, size_t size, const char *file, int line) {
    (void)file;
    (void)line;
    crypto_allocations++;
    forget_block(block);
    return realloc(block, size);
}

static void crypto_free(void *block, const char *file, int line) {
    (void)file;
    (void)line;
    forget_block(block);
    free(block);
}

/* In how many of those blocks these bytes are. */
static size_t blocks_with(const void *bytes, size_t len) {
    size_t with = 0;
    for (size_t i = 0; i < COUNT(crypto_blocks); i++) {
        const unsigned char *start = crypto_blocks[i].start;
        size_t at = 0;
        while (start != NULL && at + len <= crypto_blocks[i].size &&
               memcmp(start + at, bytes, len) != 0) {
            at++;
        }
        with += start != NULL && at + len <= crypto_blocks[i].size;
    }
    return with;
}

static void test_a_signature_allocates_nothing_of_ours(void **state) {
    (void)state;
    zl_signer *key = signer_of(&vectors[0]), *token;
    assert_int_equal(zl_signer_new_token(&token, ZL_LIT("token")), ZL_OK);
    char out[AUTHORIZATION_MAX];
    zl_sign_input in = input_of(&vectors[0]);
    /* OpenSSL's allocations come through here too, by the functions above: they are taken out. */
    size_t of_crypto = crypto_allocations, before = alloc_count();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(zl_sign(key, &in, out), ZL_OK);
        assert_int_equal(zl_sign(token, &in, out), ZL_OK);
    }
    assert_int_equal(alloc_count() - before, crypto_allocations - of_crypto);
    zl_signer_free(key);
    zl_signer_free(token);
}

static void test_the_allocations_of_a_signature_do_not_add_up(void **state) {
    (void)state;
    zl_signer *key = signer_of(&vectors[0]);
    char out[AUTHORIZATION_MAX];
    zl_sign_input in = input_of(&vectors[0]);
    assert_int_equal(zl_sign(key, &in, out), ZL_OK);
    size_t live = alloc_live(); /* OpenSSL's too */
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(zl_sign(key, &in, out), ZL_OK);
    }
    assert_int_equal(alloc_live(), live);
    zl_signer_free(key);
}

/* Nothing that held the secret is given back with the secret in it: OpenSSL's memory included. */
static void test_secrets_are_wiped(void **state) {
    (void)state;
    static const char token_text[] =
        "tok-3n-of-some-length-0123456789-0123456789-0123456789-0123456";
    static const char password[] = "pass-w0rd-of-some-length";
    zl_signer *signer;
    char out[AUTHORIZATION_MAX];
    zl_sign_input in = input_of(&vectors[0]);
    (void)alloc_watch(token_text);
    assert_int_equal(zl_signer_new_token(&signer, zl_view_of(token_text)), ZL_OK);
    assert_int_equal(zl_sign(signer, &in, out), ZL_OK);
    zl_signer_free(signer);
    assert_int_equal(alloc_watch(password), 0);
    assert_int_equal(zl_signer_new_key(&signer, ZL_LIT("id"), zl_view_of(password)), ZL_OK);
    assert_int_equal(zl_sign(signer, &in, out), ZL_OK);
    zl_signer_free(signer);
    assert_int_equal(alloc_watch(NULL), 0);
    /* The look-out itself works. */
    char *block = malloc(64);
    assert_non_null(block);
    memcpy(block, password, sizeof password);
    (void)alloc_watch(password);
    free(block);
    assert_int_equal(alloc_watch(NULL), 1);
}

/* A signer whose key was changed has nothing left of the one before, and is as good as a new one.
 */
static void test_a_change_of_key(void **state) {
    (void)state;
    static const char password[] = "pass-w0rd-of-some-length";
    unsigned char inner_pad[sizeof password - 1];
    char changed[AUTHORIZATION_MAX], fresh[AUTHORIZATION_MAX];
    zl_signer *signer, *other;
    zl_sign_input in = input_of(&vectors[0]);
    for (size_t i = 0; i < sizeof inner_pad; i++) {
        inner_pad[i] = (unsigned char)(password[i] ^ 0x36);
    }
    notes_blocks = true;
    assert_int_equal(zl_signer_new_key(&signer, ZL_LIT("id"), zl_view_of(password)), ZL_OK);
    assert_int_equal(zl_sign(signer, &in, changed), ZL_OK);
    notes_blocks = false;
    assert_true(blocks_with(password, sizeof password - 1) > 0);
    assert_true(zl_signer_forget_key(signer));
    assert_int_equal(blocks_with(password, sizeof password - 1), 0);
    assert_int_equal(blocks_with(inner_pad, sizeof inner_pad), 0);
    assert_int_equal(zl_signer_change_key(signer, ZL_LIT("other"), ZL_LIT("another")), ZL_OK);
    assert_int_equal(zl_signer_new_key(&other, ZL_LIT("other"), ZL_LIT("another")), ZL_OK);
    size_t len = zl_signer_authorization_len(signer);
    assert_int_equal(len, zl_signer_authorization_len(other));
    assert_int_equal(zl_sign(signer, &in, changed), ZL_OK);
    assert_int_equal(zl_sign(other, &in, fresh), ZL_OK);
    assert_memory_equal(changed, fresh, len);
    assert_int_equal(zl_signer_change_key(signer, ZL_LIT("a\nb"), ZL_LIT("p")), ZL_ERR_ARG);
    assert_int_equal(zl_signer_change_key(signer, ZL_LIT("a"), ZL_LIT("")), ZL_ERR_ARG);
    zl_signer_free(other);
    zl_signer_free(signer);
}

/* Every allocation fails in turn, OpenSSL's included: an error, nothing leaked, nothing made. */
static void test_out_of_memory(void **state) {
    (void)state;
    for (int token = 0; token <= 1; token++) {
        size_t k = 1;
        for (bool failed = true; failed; k++) {
            zl_signer *signer = NOT_NULL_YET;
            size_t live = alloc_live();
            alloc_fail_at(k, true);
            int rc = token ? zl_signer_new_token(&signer, ZL_LIT("token"))
                           : zl_signer_new_key(&signer, ZL_LIT("id"), ZL_LIT("password"));
            failed = alloc_has_failed();
            alloc_fail_at(0, false);
            if (rc == ZL_OK) {
                char out[AUTHORIZATION_MAX];
                zl_sign_input in = input_of(&vectors[0]);
                assert_int_equal(zl_sign(signer, &in, out), ZL_OK);
                zl_signer_free(signer);
            } else {
                assert_true(failed);
                assert_int_equal(rc, ZL_ERR_NOMEM);
                assert_null(signer);
                assert_true(alloc_live() <= live + 1); /* OpenSSL's error text, once */
            }
        }
        assert_true(k > 3);
    }
}

/* The same while it signs; what failed does no harm to the next signature. */
static void test_out_of_memory_while_signing(void **state) {
    (void)state;
    zl_signer *signer = signer_of(&vectors[0]);
    zl_sign_input in = input_of(&vectors[0]);
    char expected[AUTHORIZATION_MAX] = "", out[AUTHORIZATION_MAX] = "";
    assert_int_equal(zl_sign(signer, &in, expected), ZL_OK);
    for (int persistent = 0; persistent <= 1; persistent++) {
        size_t k = 1;
        for (bool failed = true; failed; k++) {
            alloc_fail_at(k, persistent);
            int rc = zl_sign(signer, &in, out);
            failed = alloc_has_failed();
            alloc_fail_at(0, false);
            assert_int_equal(rc, failed ? ZL_ERR_NOMEM : ZL_OK);
            assert_int_equal(zl_sign(signer, &in, out), ZL_OK);
            assert_string_equal(out, expected);
        }
        assert_true(k > 2);
    }
    zl_signer_free(signer);
}

int main(void) {
    /* Before OpenSSL allocates anything: its memory is then seen as well. */
    if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_are_enough_vectors),
        cmocka_unit_test(test_stage_canonical_request),
        cmocka_unit_test(test_stage_string_to_sign),
        cmocka_unit_test(test_stage_authorization),
        cmocka_unit_test(test_whole_signature),
        cmocka_unit_test(test_vendor_example),
        cmocka_unit_test(test_a_signer_is_reused),
        cmocka_unit_test(test_signers_are_interleaved),
        cmocka_unit_test(test_a_refused_signature_leaves_nothing),
        cmocka_unit_test(test_what_is_signed_makes_the_signature),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_a_long_token),
        cmocka_unit_test(test_credentials_that_are_refused),
        cmocka_unit_test(test_the_longest_id),
        cmocka_unit_test(test_any_bytes_are_a_password),
        cmocka_unit_test(test_bounds_of_what_is_signed),
        cmocka_unit_test(test_bounds_of_the_timestamp),
        cmocka_unit_test(test_blanks_around_credentials),
        cmocka_unit_test(test_values_of_blanks_alone),
        cmocka_unit_test(test_a_signature_allocates_nothing_of_ours),
        cmocka_unit_test(test_the_allocations_of_a_signature_do_not_add_up),
        cmocka_unit_test(test_secrets_are_wiped),
        cmocka_unit_test(test_a_change_of_key),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_out_of_memory_while_signing),
    };
    return cmocka_run_group_tests(tests, read_vectors, free_vectors);
}
