"""A server that cuts connections at a byte of a request or of its answer. For the specs alone.

usage: cutter.py DIR http|https

The API behind it is the sandbox's. DIR/ready.json ({port, control, pid, ca_file}) tells the port of
the API and that of the control, which speaks plain HTTP and knows two actions:

Arm   {where, at, end, framing}: the next exchange is cut. where is "request": it is read no further
      than its byte `at`, and not acted upon unless that is all of it; or "answer": acted upon, and
      so many bytes of the answer are sent. Then the connection ends: "notify" (close_notify, FIN),
      "fin" (FIN alone) or "reset" (RST). framing of the answer: "length", "chunked", "close" (it
      ends with the connection) or "interim" (a 103 comes first).
Seen  waits until no connection is left; returns the exchanges since Arm, and forgets them.

It ends with the process that started it.
"""

import ctypes
import json
import os
import select
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "sandbox"))

from zlsandbox import certificate, delivery, http1  # noqa: E402
from zlsandbox.actions import SERVICES  # noqa: E402
from zlsandbox.answers import done  # noqa: E402
from zlsandbox.api import Api  # noqa: E402
from zlsandbox.fleet import Fleet  # noqa: E402
from zlsandbox.gate import Credentials  # noqa: E402
from zlsandbox.limiter import Limiter, http_date  # noqa: E402
from zlsandbox.server import tls_context  # noqa: E402

_PR_SET_PDEATHSIG = 1
_INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


class Cut(Exception):
    """The byte to cut at is reached."""


class Limited:
    """A socket to read one request from, up to a byte of it. Its first byte was read already: that
    is how one knows that there is a request."""

    def __init__(self, sock, first, limit):
        self._sock = sock
        self._first = first
        self._limit = limit
        self.data = b""

    def recv(self, size):
        size = size if self._limit is None else min(size, self._limit - len(self.data))
        if size == 0:
            raise Cut()
        data, self._first = self._first or self._sock.recv(size), b""
        self.data += data
        return data


class Stage:
    """What is to be cut, and what was seen; and the API's listening socket."""

    def __init__(self, context):
        credentials = Credentials("SANDBOXKEY", "sandbox-password", "sandbox-token")
        self.api = Api(Fleet({}, accept_any=True, stop_seconds=3600), credentials, Limiter())
        self.context = context
        self._changed = threading.Condition()
        self._cut = {}
        self._exchanges = []
        self._open = 0
        self._listener, self.port = listen()

    def arm(self, cut):
        with self._changed:
            self._cut, self._exchanges = cut, []
        return {}

    def begin(self, entry):
        """An exchange begins: what is to be done to it."""
        with self._changed:
            cut, self._cut = self._cut, {}
            self._exchanges.append(entry)
        return cut

    def seen(self, _params):
        with self._changed:
            is_quiet = self._changed.wait_for(
                lambda: self._open == 0 and not select.select([self._listener], [], [], 0)[0], 20)
            exchanges, self._exchanges, self._cut = self._exchanges, [], {}
        return {"exchanges": exchanges, "quiet": is_quiet}

    def run(self):
        while True:
            select.select([self._listener], [], [])
            with self._changed:  # taken from the queue and counted in one step
                sock, _ = self._listener.accept()
                self._open += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            nth = 1
            while self._exchange(sock, nth):
                nth += 1
        except OSError:
            pass  # the client left
        finally:
            sock.close()
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def _exchange(self, sock, nth):
        """One request and its answer; whether the connection lives on."""
        first = sock.recv(1)
        if not first:
            return False
        entry = {"nth": nth, "acted": False, "answered": False}
        cut = self.begin(entry)
        at = {cut.get("where"): cut.get("at")}
        limited = Limited(sock, first, at.get("request"))
        try:
            reader = http1.Reader(limited)
            head = reader.read_head()
            body = reader.read_body(head)
        except Cut:
            entry["request"] = len(limited.data)
            finish(sock, cut["end"])
            return False
        outcome = self.api.handle(head, body, time.time())
        data = encode(outcome.answer, cut.get("framing"))
        sent = 0 if "request" in at else at.get("answer", len(data))
        entry.update(action=head.action, acted=outcome.acted, ids=outcome.acted_ids,
                     answered=sent >= len(data), request=len(limited.data), answer=len(data),
                     request_head=head_length(limited.data), answer_head=head_length(data))
        if sent:
            sock.sendall(data[:sent])
        if cut:
            finish(sock, cut["end"])
        return not cut


def head_length(data):
    return data.find(b"\r\n\r\n") + 4


def encode(answer, framing):
    if framing == "close":
        answer.headers.append(("Content-Length", None))
        answer.keep_alive = False
    answer.chunked = framing == "chunked"
    interim = _INTERIM if framing == "interim" else b""
    return interim + http1.encode(answer, http_date(time.time()))


def finish(sock, end):
    if end == "reset":
        delivery.reset(sock)
        return
    if end == "notify":
        delivery.send_close_notify(sock)
    delivery.drain(sock, 20)  # a socket that is closed with bytes unread sends RST, not FIN


def listen():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)
    return sock, sock.getsockname()[1]


def control(sock, actions):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        reader = http1.Reader(sock)
        while head := reader.read_head():
            params = json.loads(reader.read_body(head))
            answer = done(actions[head.action](params))
            sock.sendall(http1.encode(answer, http_date(time.time())))


def main():
    directory, scheme = sys.argv[1:3]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Not the sandbox's, and no action that may be done twice.
    SERVICES["vm"].actions["CreateInstances"] = lambda call: {"instanceIdSet": ["new"]}
    context = ca_file = None
    if scheme == "https":
        ca_file, server_certificate, key = certificate.make(directory, "127.0.0.1")
        context = tls_context(server_certificate, key)
    stage = Stage(context)
    threading.Thread(target=stage.run, daemon=True).start()
    listener, port = listen()
    ready = os.path.join(directory, "ready.json")
    with open(ready + ".new", "w", encoding="ascii") as file:
        json.dump({"port": stage.port, "control": port, "pid": os.getpid(), "ca_file": ca_file},
                  file)
    os.replace(ready + ".new", ready)
    while True:
        sock, _ = listener.accept()
        actions = {"Arm": stage.arm, "Seen": stage.seen}
        threading.Thread(target=control, args=(sock, actions), daemon=True).start()


if __name__ == "__main__":
    main()
