"""Who is calling, and is it true: the Authorization header, the timestamp, the signature.

A refusal says what kind of thing is wrong and never repeats what the client sent as proof.
"""

import hmac
import re
from dataclasses import dataclass

from . import zc2
from .answers import Refusal

MAX_SKEW_SECONDS = 300
REQUIRED_SIGNED_HEADERS = {"content-type", "host"}

_SCHEME = zc2.ALGORITHM.decode("ascii")
_KEY_AUTHORIZATION = re.compile(
    rb"ZC2-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})")


@dataclass
class Credentials:
    access_key_id: str
    access_key_password: str
    token: str


@dataclass
class Identity:
    """What the gate found out, also when it refuses."""

    auth: str = "none"           # "key", "token" or "none"
    signed_headers: str = None
    verified: bool = False


def verify(head, body, credentials, now, identity):
    """Fills `identity` in; raises a Refusal unless the request is proven, and fresh."""
    authorization = head.get_bytes("authorization")
    if authorization is None:
        raise _invalid("there is no Authorization header")
    if authorization.startswith(b"Bearer "):
        identity.auth = "token"
        if not _same(authorization[len(b"Bearer "):], credentials.token):
            raise _invalid("the token is not known")
        _check_timestamp(head, now)
    else:
        identity.auth = "key"
        _verify_key(head, body, credentials, now, identity, authorization)
    identity.verified = True


def _verify_key(head, body, credentials, now, identity, authorization):
    match = _KEY_AUTHORIZATION.fullmatch(authorization)
    if not match:
        raise _invalid("the Authorization header is malformed")
    access_key_id, signed_headers, signature = match.groups()
    identity.signed_headers = signed_headers.decode("utf-8", "replace")
    if not _same(access_key_id, credentials.access_key_id):
        raise _invalid("the access key id is not known")
    _check_method(head)
    headers = _signed_headers(head, identity.signed_headers)
    timestamp = _check_timestamp(head, now)
    request = zc2.canonical_request(headers, body)
    password = credentials.access_key_password.encode("utf-8", "surrogateescape")
    expected = zc2.signature(password, zc2.string_to_sign(timestamp, request))
    if not hmac.compare_digest(signature, expected):
        raise Refusal(401, "AUTHFAILURE_SIGNATURE_FAILURE",
                      "the signature does not match the request")


def _check_method(head):
    method = head.get("x-zc-signature-method")
    if method is None:
        raise Refusal(400, "MISSING_PARAMETER", "the header X-ZC-Signature-Method is required")
    if method != _SCHEME:
        raise _invalid("X-ZC-Signature-Method must be %s" % _SCHEME)


def _signed_headers(head, listed):
    """The (name, value) pairs that the client says it signed."""
    names = listed.split(";")
    if names != sorted(set(names)) or listed != listed.lower():
        raise _invalid("SignedHeaders must be lower-case, sorted and without repeats")
    if not REQUIRED_SIGNED_HEADERS.issubset(names):
        raise _invalid("SignedHeaders must have content-type and host")
    pairs = [(name.encode("utf-8", "surrogateescape"), head.get_bytes(name)) for name in names]
    if any(value is None for _, value in pairs):
        raise _invalid("SignedHeaders names a header that was not sent")
    return pairs


def _check_timestamp(head, now):
    """The timestamp as received, once it is seen to be near the sandbox's clock."""
    text = head.get("x-zc-timestamp")
    if text is None:
        raise Refusal(400, "MISSING_PARAMETER", "the header X-ZC-Timestamp is required")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Refusal(400, "INVALID_PARAMETER_VALUE",
                      "X-ZC-Timestamp must be whole seconds since 1970")
    if abs(int(text) - now) > MAX_SKEW_SECONDS:
        raise Refusal(401, "AUTHFAILURE_SIGNATURE_EXPIRED",
                      "the timestamp is more than %d seconds from the server's clock"
                      % MAX_SKEW_SECONDS)
    return text.encode("ascii")


def _same(received, known):
    return hmac.compare_digest(received, known.encode("utf-8", "surrogateescape"))


def _invalid(message):
    return Refusal(401, "AUTHFAILURE_INVALID_AUTHORIZATION", message)
