"""Puts an answer on the wire: whole, late, cut, in pieces, with something after it, or not."""

import select
import socket
import ssl
import struct
import time
from dataclasses import dataclass

from . import http1
from .answers import Answer

KEEP, CLOSE, RESET = "keep", "close", "reset"  # what becomes of the connection

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)      # SO_LINGER, zero seconds


@dataclass
class Delivery:
    """How an answer goes out. As it stands: at once, whole, in one send."""

    answer: Answer = None         # None: not a byte is sent
    wait: float = 0.0             # seconds before the first byte
    dated: bool = True            # with a Date header
    limit: int = None             # send this many bytes at most
    extra: bytes = b""            # sent after the answer: nobody asked for it
    extra_pause: float = None     # seconds before the extra bytes; None: in the same send
    piece: int = None             # send so many bytes at a time ...
    piece_pause: float = 0.0      # ... with so many seconds between
    end: str = KEEP
    notify: bool = True           # on CLOSE, say so in TLS first (close_notify), as servers do


def deliver(sock, delivery, date, head_only=False):
    """Does what the delivery says, the end of the connection included. May raise OSError."""
    if delivery.wait:
        if delivery.answer is None:
            _wait_or_leave(sock, delivery.wait)
        else:
            time.sleep(delivery.wait)
    if delivery.answer is not None:
        _send(sock, delivery,
              http1.encode(delivery.answer, date if delivery.dated else None, head_only))
    if delivery.end == CLOSE:
        close(sock, delivery.notify)
    elif delivery.end == RESET:
        reset(sock)


def _wait_or_leave(sock, seconds):
    # Silence ends early when the client hangs up (or speaks, which it should not do meanwhile).
    poll = select.poll()  # not select(), which knows no descriptor above 1023
    poll.register(sock, select.POLLIN)
    poll.poll(seconds * 1000)


def _send(sock, delivery, data):
    data = data[:delivery.limit]
    if delivery.extra and delivery.extra_pause is None:
        data += delivery.extra
    if delivery.piece:
        for at in range(0, len(data), delivery.piece):
            if at:
                time.sleep(delivery.piece_pause)
            sock.sendall(data[at:at + delivery.piece])
    else:
        sock.sendall(data)
    if delivery.extra and delivery.extra_pause is not None:
        time.sleep(delivery.extra_pause)
        sock.sendall(delivery.extra)


def close(sock, notify=True):
    """An orderly end: close_notify where there is TLS, then FIN."""
    try:
        if notify and isinstance(sock, ssl.SSLSocket):
            send_close_notify(sock)
        sock.shutdown(socket.SHUT_WR)
    except (OSError, ValueError):
        pass  # the client was faster
    sock.close()


def send_close_notify(sock):
    # Without blocking, unwrap() sends ours and fails for want of theirs, which nobody waits for.
    sock.settimeout(0)
    try:
        sock.unwrap()
    except ssl.SSLError:
        pass


def reset(sock):
    """An abrupt end: RST."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    except OSError:
        pass
    sock.close()


def drain(sock, seconds=1.0):
    """Reads what the client still sends after an early answer: closing on unread bytes would be a
    RST, which can destroy the answer on its way."""
    until = time.monotonic() + seconds
    try:
        sock.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(65536):
                return
    except (OSError, ValueError):
        pass
