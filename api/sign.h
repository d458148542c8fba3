/* ZC2-HMAC-SHA256, the signature of the Zenlayer Cloud API. Pure: the timestamp, the host and the
 * body come in, bytes go out; no clock, no I/O. The three stages stand alone so that each can be
 * checked against the API's documentation ("Signature v2"). */
#ifndef ZL_SIGN_H
#define ZL_SIGN_H

#include "buf.h"

/* Bounds of the values that are signed, in bytes. A DNS name has at most 253. */
enum {
    ZL_SIGN_VALUE_MAX = 512, /* host; content type */
    ZL_SIGN_KEY_ID_MAX = 512,
    ZL_SIGN_AUTHORIZATION_MAX = ZL_SIGN_KEY_ID_MAX + 256, /* of a key pair */
    ZL_SIGN_CANONICAL_MAX = 2 * ZL_SIGN_VALUE_MAX + 256,
    ZL_SIGN_STRING_MAX = 128,
    ZL_SIGN_HEX = 64 /* a SHA-256 or HMAC-SHA256 digest in lower-case hex, without a NUL */
};

/* What is signed. Borrowed. The values are signed as given, but trimmed of spaces and tabs at their
 * ends and in lower case. */
typedef struct zl_sign_input {
    zl_view host;
    zl_view content_type;
    zl_view body;
    int64_t timestamp_s; /* UNIX time, not negative */
} zl_sign_input;

/* One credential, ready to sign: a fetched digest, a keyed HMAC. Built once and reused; signing
 * allocates nothing of its own. Not for two threads at once. */
typedef struct zl_signer zl_signer;

/* A signer of a key pair. `password` is copied into OpenSSL's keyed state, which wipes it.
 * ZL_ERR_ARG: an empty id or password, an id over ZL_SIGN_KEY_ID_MAX or not fit for a header. */
int zl_signer_new_key(zl_signer **out, zl_view key_id, zl_view password);

/* Make it the signer of another key pair: nothing is looked up and hardly anything allocated.
 * Errors as above, after which it is good for another change of key alone. */
int zl_signer_change_key(zl_signer *signer, zl_view key_id, zl_view password);

/* Leave nothing of its key pair in it: it is good for a change of key alone. False if that failed:
 * then it is to be freed. */
bool zl_signer_forget_key(zl_signer *signer);

/* A signer that presents a token: its authorization is `Bearer <token>`.
 * ZL_ERR_ARG: an empty token, or one not fit for a header. */
int zl_signer_new_token(zl_signer **out, zl_view token);

/* NULL is fine. */
void zl_signer_free(zl_signer *signer);

/* True for a token's signer: such a request carries no X-ZC-Signature-Method. */
bool zl_signer_is_token(const zl_signer *signer);

/* What of the credentials begins or ends with white space, which is hardly ever meant ("the access
 * key password"); NULL: nothing. Static. */
const char *zl_signer_blanks(const zl_signer *signer);

/* How many bytes an Authorization value of this signer takes. */
size_t zl_signer_authorization_len(const zl_signer *signer);

/* The SHA-256 of data in hex. ZL_ERR_NOMEM; ZL_ERR_CRYPTO when OpenSSL fails otherwise. */
int zl_sign_sha256(zl_signer *signer, zl_view data, char out[ZL_SIGN_HEX]);

/* Stage 1. The canonical request, of which the body is there by its digest. Returns its length, or
 * 0 when a value is over ZL_SIGN_VALUE_MAX. */
size_t zl_sign_canonical_request(const zl_sign_input *in, const char body_sha256[ZL_SIGN_HEX],
                                 char out[ZL_SIGN_CANONICAL_MAX]);

/* Stage 2. The string to sign. Returns its length. */
size_t zl_sign_string_to_sign(int64_t timestamp_s, const char canonical_sha256[ZL_SIGN_HEX],
                              char out[ZL_SIGN_STRING_MAX]);

/* Stage 3. The Authorization value: zl_signer_authorization_len bytes at `out`, no NUL.
 * Key pairs only. */
int zl_sign_authorization(zl_signer *signer, zl_view string_to_sign, char *out);

/* All three: the Authorization value of a request; of a token's signer, its Bearer value.
 * ZL_ERR_ARG: a value over its bound, a negative timestamp. */
int zl_sign(zl_signer *signer, const zl_sign_input *in, char *out);

#endif
