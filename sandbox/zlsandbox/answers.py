"""What an answer is, and the API's two shapes of it: done, and refused."""

import json
import uuid
from dataclasses import dataclass, field

JSON_TYPE = "application/json"


@dataclass
class Answer:
    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: list = field(default_factory=list)  # (name, value) pairs; see http1.encode
    code: str = None        # the API's code and requestId, where the body carries them:
    request_id: str = None  # the journal wants to know
    chunked: bool = False
    keep_alive: bool = True


class Refusal(Exception):
    """The API says no: raised anywhere while a request is judged, answered as JSON."""

    def __init__(self, status, code, message, headers=()):
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = list(headers)


def to_json(value):
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def new_request_id():
    return "T" + str(uuid.uuid4()).upper()


def done(response):
    """200: `response` (a dict) under a requestId."""
    request_id = new_request_id()
    body = {"requestId": request_id, "response": {"requestId": request_id, **response}}
    return Answer(200, to_json(body), request_id=request_id)


def refused(status, code, message, headers=()):
    request_id = new_request_id()
    body = {"requestId": request_id, "code": code, "message": message}
    return Answer(status, to_json(body), headers=list(headers), code=code, request_id=request_id)


def html(status, title, headers=()):
    """A page such as an edge or a proxy answers with: not the API speaking at all."""
    page = ("<!DOCTYPE html>\n<html><head><title>{0}</title></head>"
            "<body><h1>{0}</h1></body></html>\n").format(title)
    return Answer(status, page.encode("utf-8"), "text/html; charset=utf-8", list(headers))
