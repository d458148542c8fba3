#include "sign.h"

/* First, because an older one lacks headers of those below. */
#include <openssl/opensslv.h>
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "lua-zenlayer needs OpenSSL 3.0 or newer"
#endif

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

#define METHOD "ZC2-HMAC-SHA256"
#define SIGNED_HEADERS "content-type;host"
#define PREFIX METHOD " Credential="
#define SUFFIX ", SignedHeaders=" SIGNED_HEADERS ", Signature="

struct zl_signer {
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    EVP_MAC *hmac;
    EVP_MAC_CTX *keyed; /* NULL: a token's signer */
    const char *blanks; /* see zl_signer_blanks */
    zl_buf prefix;      /* what stands before the signature; of a token, the whole value */
};

/* Empty OpenSSL's queue of errors. It mostly is, which is found out at a fifth of the price. */
static void forget_errors(void) {
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

/* Why OpenSSL failed, whose queue of errors was empty before. When memory runs out it says so
 * seldom, and often nothing at all. What is something else comes from a provider: one that may be
 * used under FIPS alone refuses a short key. */
static int failure(void) {
    unsigned long e = ERR_peek_last_error();
    bool refused = ERR_GET_LIB(e) == ERR_LIB_PROV && ERR_GET_REASON(e) != ERR_R_MALLOC_FAILURE;
    return refused ? ZL_ERR_CRYPTO : ZL_ERR_NOMEM;
}

/* An empty signer with everything fetched that both forms need. */
static zl_signer *signer_new(void) {
    zl_signer *signer = calloc(1, sizeof *signer);
    if (signer == NULL) {
        return NULL;
    }
    signer->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    signer->digest = EVP_MD_CTX_new();
    if (signer->sha256 == NULL || signer->digest == NULL) {
        zl_signer_free(signer);
        return NULL;
    }
    return signer;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool has_blanks(zl_view text) {
    return is_space(text.data[0]) || is_space(text.data[text.len - 1]);
}

/* An HMAC without a key. False when out of memory. */
static bool open_hmac(zl_signer *signer) {
    char digest_name[] = "SHA256"; /* OSSL_PARAM wants it writable */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest_name, 0),
        OSSL_PARAM_construct_end(),
    };
    signer->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    signer->keyed = signer->hmac == NULL ? NULL : EVP_MAC_CTX_new(signer->hmac);
    return signer->keyed != NULL && EVP_MAC_CTX_set_params(signer->keyed, params) == 1;
}

static bool set_prefix(zl_signer *signer, zl_view key_id) {
    zl_buf_clear(&signer->prefix);
    (void)zl_buf_reserve(&signer->prefix, sizeof PREFIX SUFFIX + key_id.len);
    zl_buf_add_text(&signer->prefix, PREFIX);
    zl_buf_add_view(&signer->prefix, key_id);
    zl_buf_add_text(&signer->prefix, SUFFIX);
    return zl_buf_ok(&signer->prefix);
}

static bool set_key(zl_signer *signer, zl_view password) {
    const unsigned char *key = (const unsigned char *)password.data;
    forget_errors();
    return EVP_MAC_init(signer->keyed, key, password.len, NULL) == 1;
}

bool zl_signer_forget_key(zl_signer *signer) {
    zl_buf_clear(&signer->prefix);
    /* Long enough for those of OpenSSL's providers that refuse short ones. */
    return set_key(signer, ZL_LIT("nobody's key, of some thirty bytes"));
}

int zl_signer_change_key(zl_signer *signer, zl_view key_id, zl_view password) {
    if (key_id.len == 0 || key_id.len > ZL_SIGN_KEY_ID_MAX || password.len == 0 ||
        !zl_header_safe(key_id)) {
        return ZL_ERR_ARG;
    }
    bool odd_id = has_blanks(key_id), odd_password = has_blanks(password);
    signer->blanks = odd_id && odd_password ? "each of the access key id and its password"
                     : odd_id               ? "the access key id"
                     : odd_password         ? "the access key password"
                                            : NULL;
    if (!set_prefix(signer, key_id)) {
        return ZL_ERR_NOMEM;
    }
    return set_key(signer, password) ? ZL_OK : failure();
}

int zl_signer_new_key(zl_signer **out, zl_view key_id, zl_view password) {
    *out = NULL;
    zl_signer *signer = signer_new();
    if (signer == NULL) {
        return ZL_ERR_NOMEM;
    }
    int rc = open_hmac(signer) ? zl_signer_change_key(signer, key_id, password) : ZL_ERR_NOMEM;
    if (rc != ZL_OK) {
        zl_signer_free(signer);
        return rc;
    }
    *out = signer;
    return ZL_OK;
}

int zl_signer_new_token(zl_signer **out, zl_view token) {
    *out = NULL;
    if (token.len == 0 || !zl_header_safe(token)) {
        return ZL_ERR_ARG;
    }
    zl_signer *signer = signer_new();
    if (signer == NULL) {
        return ZL_ERR_NOMEM;
    }
    signer->blanks = has_blanks(token) ? "the token" : NULL;
    /* The whole room at once: growing would leave the token in memory given back, wiped or not. */
    (void)zl_buf_reserve(&signer->prefix, sizeof "Bearer " + token.len);
    zl_buf_add_text(&signer->prefix, "Bearer ");
    zl_buf_add_view(&signer->prefix, token);
    if (!zl_buf_ok(&signer->prefix)) {
        zl_signer_free(signer);
        return ZL_ERR_NOMEM;
    }
    *out = signer;
    return ZL_OK;
}

void zl_signer_free(zl_signer *signer) {
    if (signer == NULL) {
        return;
    }
    EVP_MAC_CTX_free(signer->keyed);
    EVP_MAC_free(signer->hmac);
    EVP_MD_CTX_free(signer->digest);
    EVP_MD_free(signer->sha256);
    zl_buf_free(&signer->prefix);
    free(signer);
}

bool zl_signer_is_token(const zl_signer *signer) {
    return signer->keyed == NULL;
}

const char *zl_signer_blanks(const zl_signer *signer) {
    return signer->blanks;
}

size_t zl_signer_authorization_len(const zl_signer *signer) {
    return signer->prefix.len + (zl_signer_is_token(signer) ? 0 : ZL_SIGN_HEX);
}

static char *put(char *to, const char *from, size_t len) {
    memcpy(to, from, len);
    return to + len;
}

static void to_hex(const unsigned char digest[32], char out[ZL_SIGN_HEX]) {
    /* Both digits of a byte at once: three digests are written for each signature. */
    static const char pairs[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
                                "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
                                "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
                                "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
                                "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
                                "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
                                "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
                                "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
    for (int i = 0; i < 32; i++) {
        memcpy(out + 2 * i, pairs + 2 * digest[i], 2);
    }
}

/* The stages that OpenSSL does, with its queue of errors empty. */

static int sha256(zl_signer *signer, zl_view data, char out[ZL_SIGN_HEX]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_DigestInit_ex2(signer->digest, signer->sha256, NULL) != 1 ||
        EVP_DigestUpdate(signer->digest, data.data, data.len) != 1 ||
        EVP_DigestFinal_ex(signer->digest, digest, NULL) != 1) {
        return failure();
    }
    to_hex(digest, out);
    return ZL_OK;
}

static int authorization(zl_signer *signer, zl_view string_to_sign, char *out) {
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t mac_len = 0;
    /* Without a key, init goes back to the state that the key left. */
    if (EVP_MAC_init(signer->keyed, NULL, 0, NULL) != 1 ||
        EVP_MAC_update(signer->keyed, (const unsigned char *)string_to_sign.data,
                       string_to_sign.len) != 1 ||
        EVP_MAC_final(signer->keyed, mac, &mac_len, sizeof mac) != 1 || mac_len != 32) {
        return failure();
    }
    to_hex(mac, put(out, signer->prefix.data, signer->prefix.len));
    OPENSSL_cleanse(mac, sizeof mac);
    return ZL_OK;
}

int zl_sign_sha256(zl_signer *signer, zl_view data, char out[ZL_SIGN_HEX]) {
    forget_errors();
    return sha256(signer, data, out);
}

#define PUT_LITERAL(to, text) put((to), (text), sizeof(text) - 1)

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* A header's value as it is signed: lower(trim(value)). */
static char *put_header_value(char *to, zl_view value) {
    size_t start = 0, end = value.len;
    while (start < end && is_blank(value.data[start])) {
        start++;
    }
    while (end > start && is_blank(value.data[end - 1])) {
        end--;
    }
    for (size_t i = start; i < end; i++) {
        char c = value.data[i];
        *to++ = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return to;
}

size_t zl_sign_canonical_request(const zl_sign_input *in, const char body_sha256[ZL_SIGN_HEX],
                                 char out[ZL_SIGN_CANONICAL_MAX]) {
    if (in->host.len > ZL_SIGN_VALUE_MAX || in->content_type.len > ZL_SIGN_VALUE_MAX) {
        return 0;
    }
    /* The URI is always "/" and the query always empty, whatever the request's path is. */
    char *p = PUT_LITERAL(out, "POST\n/\n\ncontent-type:");
    p = put_header_value(p, in->content_type);
    p = PUT_LITERAL(p, "\nhost:");
    p = put_header_value(p, in->host);
    /* Every header line ends in a newline, hence the blank line before the names. */
    p = PUT_LITERAL(p, "\n\n" SIGNED_HEADERS "\n");
    p = put(p, body_sha256, ZL_SIGN_HEX);
    return (size_t)(p - out);
}

size_t zl_sign_string_to_sign(int64_t timestamp_s, const char canonical_sha256[ZL_SIGN_HEX],
                              char out[ZL_SIGN_STRING_MAX]) {
    char *p = PUT_LITERAL(out, METHOD "\n");
    p += zl_write_int(p, timestamp_s);
    p = PUT_LITERAL(p, "\n");
    p = put(p, canonical_sha256, ZL_SIGN_HEX);
    return (size_t)(p - out);
}

int zl_sign_authorization(zl_signer *signer, zl_view string_to_sign, char *out) {
    if (zl_signer_is_token(signer)) {
        return ZL_ERR_ARG;
    }
    forget_errors();
    return authorization(signer, string_to_sign, out);
}

int zl_sign(zl_signer *signer, const zl_sign_input *in, char *out) {
    char hash[ZL_SIGN_HEX];
    char canonical[ZL_SIGN_CANONICAL_MAX];
    char string[ZL_SIGN_STRING_MAX];
    if (zl_signer_is_token(signer)) {
        (void)put(out, signer->prefix.data, signer->prefix.len);
        return ZL_OK;
    }
    if (in->timestamp_s < 0) {
        return ZL_ERR_ARG;
    }
    forget_errors();
    int rc = sha256(signer, in->body, hash);
    if (rc != ZL_OK) {
        return rc;
    }
    size_t len = zl_sign_canonical_request(in, hash, canonical);
    if (len == 0) {
        return ZL_ERR_ARG;
    }
    rc = sha256(signer, (zl_view){canonical, len}, hash);
    if (rc != ZL_OK) {
        return rc;
    }
    len = zl_sign_string_to_sign(in->timestamp_s, hash, string);
    return authorization(signer, (zl_view){string, len}, out);
}
