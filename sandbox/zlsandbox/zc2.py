"""ZC2-HMAC-SHA256, the signature of the Zenlayer Cloud API, in the stages the vendor documents.

    canonical request = "POST" \\n "/" \\n "" \\n canonical headers \\n signed headers \\n
    hex(SHA256(body)) string to sign    = "ZC2-HMAC-SHA256" \\n timestamp \\n hex(SHA256(canonical
    request)) signature         = hex(HMAC-SHA256(access key password, string to sign))

Everything is bytes: a header or a password need not be valid text, and lower-casing must touch
ASCII alone. Pure functions; nothing here reads a clock.
"""

import hashlib
import hmac

ALGORITHM = b"ZC2-HMAC-SHA256"


def signed_headers(names):
    """The value of SignedHeaders for these header names: b"content-type;host"."""
    return b";".join(sorted(name.lower() for name in names))


def canonical_request(headers, body):
    """The first stage. `headers` is a sequence of (name, value) pairs: those that are signed, no
    others."""
    canonical_headers = b"".join(
        name + b":" + value + b"\n"
        for name, value in sorted((name.lower(), value.strip().lower()) for name, value in headers)
    )
    return b"\n".join([
        b"POST",
        b"/",  # always, whatever path is called
        b"",   # no query, ever
        # These end in a newline of their own, so a blank line stands before the names.
        canonical_headers,
        signed_headers(name for name, _ in headers),
        hashlib.sha256(body).hexdigest().encode("ascii"),
    ])


def string_to_sign(timestamp, request):
    """The second stage, from the timestamp's own text (bytes) and the canonical request."""
    return b"\n".join([ALGORITHM, timestamp, hashlib.sha256(request).hexdigest().encode("ascii")])


def signature(access_key_password, to_sign):
    """The third stage: 64 hexadecimal digits, as bytes."""
    return hmac.new(access_key_password, to_sign, hashlib.sha256).hexdigest().encode("ascii")


def authorization(access_key_id, names, signed):
    """The Authorization header's value."""
    return b"%s Credential=%s, SignedHeaders=%s, Signature=%s" % (
        ALGORITHM, access_key_id, signed_headers(names), signed)
