"""HTTP/1.1 as far as the sandbox needs it: requests read from a socket, answers as bytes.

The standard library's server hides the socket, and faults need it: some end a connection between a
request's head and its body, others cut an answer after so many bytes.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
_RECEIVE_BYTES = 64 * 1024

_REQUEST_LINE = re.compile(rb"([A-Z]+) ([^ \x00-\x1f]+) HTTP/1\.([01])")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_API_PATH = re.compile(r"/api/v2/([a-z0-9-]+)")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS_STATUSES = (204, 304)


class BadRequest(Exception):
    """What came is not a request this server reads; it is answered and the connection ends."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class ConnectionLost(ConnectionError):
    """The client went away in the middle of a request."""


@dataclass
class Head:
    """A request without its body. Header names are lower-case; values encode back to bytes."""

    method: str
    target: str
    minor_version: int
    headers: dict

    def get(self, name):
        return self.headers.get(name)

    def get_bytes(self, name):
        """A header exactly as received, for signing; None when it is absent."""
        value = self.headers.get(name)
        return None if value is None else value.encode("utf-8", "surrogateescape")

    @property
    def service(self):
        """The service that the path names, or None when it is no path of the API."""
        match = _API_PATH.fullmatch(self.target.partition("?")[0])
        return match and match.group(1)

    @property
    def action(self):
        return self.headers.get("x-zc-action")

    @property
    def keep_alive(self):
        wishes = {wish.strip().lower() for wish in self.headers.get("connection", "").split(",")}
        return "close" not in wishes if self.minor_version == 1 else "keep-alive" in wishes


class Reader:
    """Reads requests, one after the other, from a connected socket (borrowed)."""

    def __init__(self, sock):
        self._sock = sock
        self._buffer = bytearray()

    def read_head(self):
        """The next request's head, or None when the client closed between two requests."""
        end = self._find(b"\r\n\r\n", MAX_HEAD_BYTES,
                         BadRequest(431, "the header block is too large"),
                         closed_is_fine=True)
        if end is None:
            return None
        return _parse_head(self._take(end + 4)[:-4])

    def read_body(self, head):
        """The body that belongs to `head`; it must be read before the next head is."""
        coding = head.get("transfer-encoding")
        length = head.get("content-length")
        if coding is None and length is None:
            return b""
        if coding is not None and (coding.lower() != "chunked" or length is not None):
            raise BadRequest(400, "Transfer-Encoding is chunked, and alone, or else not understood")
        if (head.get("expect") or "").lower() == "100-continue":
            self._sock.sendall(_CONTINUE)
        if coding is not None:
            return self._read_chunks()
        if not (length.isascii() and length.isdigit()):
            raise BadRequest(400, "Content-Length is not a number")
        if int(length[:20]) > MAX_BODY_BYTES:
            raise BadRequest(413, "the body is too large")
        return self._read_exactly(int(length))

    def _read_chunks(self):
        body = bytearray()
        while True:
            line = self._read_line()
            size_text = line.partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size_text):
                raise BadRequest(400, "a chunk's size is not a number")
            size = int(size_text, 16)
            if size == 0:
                while self._read_line():
                    pass  # trailers say nothing to us
                return bytes(body)
            if len(body) + size > MAX_BODY_BYTES:
                raise BadRequest(413, "the body is too large")
            body += self._read_exactly(size)
            if self._read_line():
                raise BadRequest(400, "a chunk is longer than its size")

    def _read_line(self):
        end = self._find(b"\r\n", 4096, BadRequest(400, "a line is too long"))
        return self._take(end + 2)[:-2]

    def _read_exactly(self, size):
        while len(self._buffer) < size:
            self._receive()
        return self._take(size)

    def _find(self, mark, limit, too_long, closed_is_fine=False):
        searched = 0
        while True:
            at = self._buffer.find(mark, searched)
            if at >= 0:
                return at
            if len(self._buffer) > limit:
                raise too_long
            searched = max(0, len(self._buffer) - len(mark) + 1)
            try:
                self._receive()
            except ConnectionLost:
                if closed_is_fine and not self._buffer:
                    return None
                raise

    def _receive(self):
        received = self._sock.recv(_RECEIVE_BYTES)
        if not received:
            raise ConnectionLost("the client closed the connection")
        self._buffer += received

    def _take(self, size):
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _parse_head(block):
    first, *lines = block.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if not match:
        raise BadRequest(400, "the request line is not understood")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise BadRequest(400, "a header line is not understood")
        key = name.decode("ascii").lower()
        # A repeated header is refused: which of the two was signed would be anybody's guess.
        if key in headers:
            raise BadRequest(400, "the header %s was sent twice" % key)
        headers[key] = value.strip(b" \t").decode("utf-8", "surrogateescape")
    if "host" not in headers and match.group(3) == b"1":
        raise BadRequest(400, "there is no Host header")
    target = match.group(2).decode("utf-8", "surrogateescape")
    return Head(match.group(1).decode("ascii"), target, int(match.group(3)), headers)


def encode(answer, date, head_only=False):
    """The bytes of an answer. `date` is the Date header's value, or None for none.

    A header the answer names itself replaces the one that would be written here (so a fault can lie
    about a length); the value None only takes it away.
    """
    body, framing = answer.body, ("Content-Length", str(len(answer.body)))
    if answer.status in _BODILESS_STATUSES:
        body, framing = b"", ("Content-Length", None)
    elif answer.chunked:
        framing = ("Transfer-Encoding", "chunked")
        body = _chunks(body)
    written = [
        ("Date", date),
        ("Content-Type", answer.content_type),
        framing,
        ("Connection", None if answer.keep_alive else "close"),
    ]
    own = {name.lower() for name, _ in answer.headers}
    lines = ["HTTP/1.1 %d %s" % (answer.status, _reason(answer.status))]
    lines += ["%s: %s" % (name, value) for name, value in written
              if value is not None and name.lower() not in own]
    lines += ["%s: %s" % (name, value) for name, value in answer.headers if value is not None]
    head = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"
    return head if head_only else head + body


def _chunks(body):
    # At least two chunks where there is something to divide: that is what a reader may get wrong.
    middle = (len(body) + 1) // 2
    parts = [part for part in (body[:middle], body[middle:]) if part]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _reason(status):
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
