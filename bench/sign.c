/* Signing, and the floor under it.
 *
 *     sign floor|core IDS CALLS
 *
 * Signs the body of a StopInstances of IDS ids CALLS times. The floor is raw OpenSSL with contexts
 * that are reused: SHA-256 of the body and of the canonical request, and an HMAC whose key was set
 * beforehand, of bytes that lie ready; the core writes these bytes too. Before the clock starts
 * both are made to agree on the signature. Prints the seconds, and the processor's. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/error.h"
#include "api/request.h"
#include "api/sign.h"

#define PASSWORD "bench-password-of-some-length"

enum { DIGEST_BYTES = 32, TIMESTAMP_S = 1700000000 };

typedef struct floor_signer {
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    EVP_MAC *hmac;
    EVP_MAC_CTX *keyed;
    zl_view canonical, string;
    unsigned char body_digest[DIGEST_BYTES], canonical_digest[DIGEST_BYTES], mac[DIGEST_BYTES];
} floor_signer;

static void need(bool good, const char *what) {
    if (!good) {
        (void)fprintf(stderr, "sign: %s\n", what);
        exit(1);
    }
}

static double seconds(clockid_t clock) {
    struct timespec time;
    (void)clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void floor_init(floor_signer *f) {
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    *f = (floor_signer){.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL),
                        .digest = EVP_MD_CTX_new(),
                        .hmac = EVP_MAC_fetch(NULL, "HMAC", NULL)};
    f->keyed = EVP_MAC_CTX_new(f->hmac);
    need(EVP_MAC_init(f->keyed, (const unsigned char *)PASSWORD, sizeof PASSWORD - 1, params) == 1,
         "OpenSSL has no HMAC");
}

static void floor_free(floor_signer *f) {
    EVP_MAC_CTX_free(f->keyed);
    EVP_MAC_free(f->hmac);
    EVP_MD_CTX_free(f->digest);
    EVP_MD_free(f->sha256);
}

static bool floor_digest(floor_signer *f, zl_view data, unsigned char *out) {
    return EVP_DigestInit_ex2(f->digest, f->sha256, NULL) == 1 &&
           EVP_DigestUpdate(f->digest, data.data, data.len) == 1 &&
           EVP_DigestFinal_ex(f->digest, out, NULL) == 1;
}

static bool floor_sign(floor_signer *f, zl_view body) {
    size_t len;
    return floor_digest(f, body, f->body_digest) &&
           floor_digest(f, f->canonical, f->canonical_digest) &&
           EVP_MAC_init(f->keyed, NULL, 0, NULL) == 1 &&
           EVP_MAC_update(f->keyed, (const unsigned char *)f->string.data, f->string.len) == 1 &&
           EVP_MAC_final(f->keyed, f->mac, &len, sizeof f->mac) == 1;
}

static void add_stop_body(zl_buf *body, size_t count) {
    zl_ids ids = {0};
    size_t *which = calloc(count, sizeof *which);
    need(which != NULL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "instance-%08zu", i + 1);
        which[i] = i;
        need(zl_ids_add(&ids, zl_view_of(id)) == ZL_OK, "out of memory");
    }
    zl_request_add_stop(body, &ids, which, count, ZL_FALSE);
    need(zl_buf_ok(body), "out of memory");
    zl_ids_free(&ids);
    free(which);
}

/* Does what the floor signs make the signature that the core finds? */
static void check(const floor_signer *f, const char *authorization, size_t len) {
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        char hex[3];
        (void)snprintf(hex, sizeof hex, "%02x", f->mac[i]);
        need(memcmp(hex, authorization + len - ZL_SIGN_HEX + 2 * i, 2) == 0,
             "the floor signs something else");
    }
}

int main(int argc, char **argv) {
    need(argc == 4 && (strcmp(argv[1], "floor") == 0 || strcmp(argv[1], "core") == 0),
         "usage: sign floor|core IDS CALLS");
    bool is_floor = strcmp(argv[1], "floor") == 0;
    size_t ids = (size_t)strtoul(argv[2], NULL, 10);
    long calls = strtol(argv[3], NULL, 10);

    zl_buf body = {0};
    add_stop_body(&body, ids);
    zl_sign_input in = {.host = ZL_LIT("console.zenlayer.com"),
                        .content_type = ZL_LIT("application/json; charset=utf-8"),
                        .body = zl_buf_view(&body),
                        .timestamp_s = TIMESTAMP_S};
    zl_signer *signer;
    need(zl_signer_new_key(&signer, ZL_LIT("BENCHKEY"), ZL_LIT(PASSWORD)) == ZL_OK, "no signer");
    char out[1024], hash[ZL_SIGN_HEX];
    char canonical[ZL_SIGN_CANONICAL_MAX], string[ZL_SIGN_STRING_MAX];
    floor_signer f;
    floor_init(&f);
    bool ok = zl_sign_sha256(signer, in.body, hash) == ZL_OK;
    f.canonical = (zl_view){canonical, zl_sign_canonical_request(&in, hash, canonical)};
    ok = ok && zl_sign_sha256(signer, f.canonical, hash) == ZL_OK;
    f.string = (zl_view){string, zl_sign_string_to_sign(in.timestamp_s, hash, string)};
    ok = ok && zl_sign(signer, &in, out) == ZL_OK && floor_sign(&f, in.body);
    need(ok, "signing failed");
    check(&f, out, zl_signer_authorization_len(signer));

    double began = seconds(CLOCK_MONOTONIC), processor = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < calls && ok; i++) {
        ok = is_floor ? floor_sign(&f, in.body) : zl_sign(signer, &in, out) == ZL_OK;
    }
    (void)printf("seconds %.9f\nprocessor %.9f\n", seconds(CLOCK_MONOTONIC) - began,
                 seconds(CLOCK_PROCESS_CPUTIME_ID) - processor);
    need(ok, "signing failed");
    floor_free(&f);
    zl_signer_free(signer);
    zl_buf_free(&body);
    return 0;
}
