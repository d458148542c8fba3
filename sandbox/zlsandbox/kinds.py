"""The kinds of fault. Each is a function that turns the normal answer into a Delivery, and a row of
KINDS: its parameters, and whether the request is carried out although its answer is bad.
"""

import json
from dataclasses import dataclass, replace

from . import answers, limiter
from .answers import Answer
from .checks import (is_anything, is_count, is_flag, is_hex, is_moment, is_number, is_retry_after,
                     is_seconds, is_status, is_text)
from .delivery import CLOSE, RESET, Delivery

# Whether a request that meets the fault is carried out.
NEVER, ALWAYS = "never", "always"
BY_DEFAULT, ON_REQUEST = "by default", "on request"  # the rule's "act" decides; without it: yes, no

_NO_PARAMETERS = {}


@dataclass(frozen=True)
class Kind:
    name: str
    help: str
    acts: str
    required: dict  # parameter name -> the check of its value
    optional: dict
    build: object   # (rule parameters, normal answer, now) -> Delivery


KINDS = {}


def _kind(name, help, acts, required=_NO_PARAMETERS, **optional):
    def register(build):
        KINDS[name] = Kind(name, help, acts, dict(required), optional, build)
        return build
    return register


# Answers that are not the normal one --------------------------------------------------------------

@_kind("rate_limit",
       "429 REQUEST_LIMIT_EXCEEDED; retry_after: seconds, or date:SECONDS for a date so far ahead",
       NEVER, retry_after=is_retry_after)
def _rate_limit(given, normal, now):
    return Delivery(answers.refused(429, "REQUEST_LIMIT_EXCEEDED", "too many requests",
                                    limiter.retry_after_headers(given.get("retry_after"), now)))


@_kind("status",
       "this status: the API's error if there is a code (and message), else the body, else HTML",
       ON_REQUEST, {"status": is_status}, code=is_text, message=is_text, body=is_anything,
       content_type=is_text)
def _status_answer(given, normal, now):
    status = given["status"]
    if "code" in given:
        return Delivery(answers.refused(status, given["code"],
                                        given.get("message", "as the fault script says")))
    if "body" in given:
        return Delivery(Answer(status, _body(given["body"]),
                               given.get("content_type", "text/plain; charset=utf-8")))
    return Delivery(answers.html(status, "Error %d" % status))


@_kind("answer",
       "this status (200) and body: text, hexadecimal digits in body_hex, or any JSON value",
       ON_REQUEST, status=is_status, body=is_anything, body_hex=is_hex, content_type=is_text)
def _raw_answer(given, normal, now):
    body = bytes.fromhex(given["body_hex"]) if "body_hex" in given else _body(given.get("body", ""))
    return Delivery(Answer(given.get("status", 200), body,
                           given.get("content_type", answers.JSON_TYPE)))


@_kind("not_json", "an HTML page (or the body) with a good status (200)", ON_REQUEST,
       status=is_status, body=is_text)
def _not_json(given, normal, now):
    answer = answers.html(given.get("status", 200), "Welcome")
    return Delivery(replace(answer, body=_body(given["body"])) if "body" in given else answer)


@_kind("empty", "no body, with a good status (200)", ON_REQUEST, status=is_status)
def _empty(given, normal, now):
    return Delivery(Answer(given.get("status", 200)))


@_kind("challenge", "403 with cf-mitigated: challenge and HTML, as a network edge", NEVER)
def _challenge(given, normal, now):
    return Delivery(answers.html(403, "Just a moment...", [("cf-mitigated", "challenge")]))


@_kind("blocked", "451 and HTML, as a network edge", NEVER)
def _blocked(given, normal, now):
    return Delivery(answers.html(451, "Blocked"))


@_kind("redirect", "302 (or status) to location", NEVER, {"location": is_text}, status=is_status)
def _redirect(given, normal, now):
    return Delivery(answers.html(given.get("status", 302), "Moved",
                                 [("Location", given["location"])]))


# No answer ----------------------------------------------------------------------------------------

@_kind("reset_unread", "RST once the head has arrived; the body is not read", NEVER)
def _reset_unread(given, normal, now):
    return Delivery(end=RESET)


@_kind("reset_before", "the whole request is read, then RST", NEVER)
def _reset_before(given, normal, now):
    return Delivery(end=RESET)


@_kind("reset_after", "the request is carried out, then RST", ALWAYS)
def _reset_after(given, normal, now):
    return Delivery(end=RESET)


@_kind("close_before",
       "the whole request is read, then FIN; notify=false: without TLS close_notify",
       NEVER, notify=is_flag)
def _close_before(given, normal, now):
    return Delivery(end=CLOSE, notify=given.get("notify", True))


@_kind("close_after", "the request is carried out, then FIN", ALWAYS, notify=is_flag)
def _close_after(given, normal, now):
    return Delivery(end=CLOSE, notify=given.get("notify", True))


@_kind("stall", "silence for so many seconds (or until the client leaves), then FIN", ON_REQUEST,
       {"seconds": is_seconds})
def _stall(given, normal, now):
    return Delivery(wait=given["seconds"], end=CLOSE)


# The normal answer, with something wrong about it -------------------------------------------------

@_kind("truncate", "the first bytes of the normal answer, counted from its status line, then FIN",
       ON_REQUEST, {"bytes": is_count}, notify=is_flag)
def _truncate(given, normal, now):
    return Delivery(normal, limit=given["bytes"], end=CLOSE, notify=given.get("notify", True))


@_kind("delay", "the normal answer, so many seconds late (carried out before the wait)", BY_DEFAULT,
       {"seconds": is_seconds})
def _delay(given, normal, now):
    return Delivery(normal, wait=given["seconds"])


@_kind("slow", "the normal answer in pieces of chunk bytes (1) with pause seconds (0.01) between",
       BY_DEFAULT, chunk=is_count, pause=is_seconds)
def _slow(given, normal, now):
    return Delivery(normal, piece=given.get("chunk", 1) or 1, piece_pause=given.get("pause", 0.01))


@_kind("stray",
       "the normal answer, then these bytes (text): after=same, in the same send, or after=later, "
       "pause seconds (0.03) on; the connection stays open",
       BY_DEFAULT, {"bytes": is_text}, after=is_moment, pause=is_seconds)
def _stray(given, normal, now):
    later = given.get("after", "same") == "later"
    return Delivery(normal, extra=given["bytes"].encode("utf-8"),
                    extra_pause=given.get("pause", 0.03) if later else None)


@_kind("clock",
       "this request is judged, and its answer dated, by a clock that is off by offset seconds",
       BY_DEFAULT, {"offset": is_number})
def _clock(given, normal, now):
    return Delivery(normal)


@_kind("no_date", "the normal answer without a Date header", BY_DEFAULT)
def _no_date(given, normal, now):
    return Delivery(normal, dated=False)


@_kind("headers", "the normal answer, with the rule's headers", BY_DEFAULT)
def _with_headers(given, normal, now):
    return Delivery(normal)


@_kind("huge_header", "the normal answer with a header of so many bytes", BY_DEFAULT,
       {"bytes": is_count})
def _huge_header(given, normal, now):
    return Delivery(replace(normal, headers=[*normal.headers, ("X-Filler", "x" * given["bytes"])]))


@_kind("huge_body", "the normal answer with a filler that makes its body so many bytes", BY_DEFAULT,
       {"bytes": is_count})
def _huge_body(given, normal, now):
    body = normal.body
    filler = given["bytes"] - len(body) - len(b',"filler":""')
    if body.endswith(b"}") and filler > 0:
        body = body[:-1] + b',"filler":"' + b"x" * filler + b'"}'
    return Delivery(replace(normal, body=body))


@_kind("chunked", "the normal answer in Transfer-Encoding: chunked", BY_DEFAULT)
def _chunked(given, normal, now):
    return Delivery(replace(normal, chunked=True))


@_kind("connection_close", "the normal answer with Connection: close, then FIN", BY_DEFAULT)
def _connection_close(given, normal, now):
    return Delivery(replace(normal, keep_alive=False))


def build(rule, answer, now):
    """The Delivery for a rule and a normal answer; whatever goes out has the rule's headers."""
    delivery = KINDS[rule.kind].build(rule.parameters, answer, now)
    if rule.headers and delivery.answer is not None:
        headers = [*delivery.answer.headers, *rule.headers.items()]
        delivery.answer = replace(delivery.answer, headers=headers)
    return delivery


def _body(value):
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8")

