"""One line of JSON for everything that happened. No Authorization, signature or token in it."""

import json
import os
import re
import threading

_MAX_PARAMS_BYTES = 64 * 1024
_TOLD_HEADERS = ("x-zc-action", "x-zc-version", "x-zc-service", "x-zc-timestamp",
                 "x-zc-signature-method", "x-zc-sdk-lang", "x-zc-sdk-version")

_SECRET = re.compile(r"(Signature=|Bearer +)\S*", re.IGNORECASE)


def _without_secrets(value):
    """A request that was spoiled on its way may have them anywhere."""
    if isinstance(value, dict):
        return {name: _without_secrets(item) for name, item in value.items()}
    return _SECRET.sub("(hidden)", value) if isinstance(value, str) else value


class Journal:
    """Appends to a file, one write a line; without a path it does nothing.

    A reader that looks while a line is written may see its beginning: a line counts once it ends.
    """

    def __init__(self, path, now):
        self._now = now
        self._seq = 0
        self._lock = threading.Lock()
        self._file = None
        if path is not None:
            # Appending, so that a test may truncate the file and see only what comes next.
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            self._file = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o600)

    def event(self, name, connection, **more):
        if self._file is not None:
            with self._lock:
                self._write({"event": name, "connection": connection, "time": self._now(), **more})

    def request(self, connection, nth, head, body, outcome, answer, fault):
        """Tells of a request; `answer` is what goes out, `fault` the fault's kind, or None."""
        if self._file is None:
            return
        entry = {
            "seq": None,
            "time": None,
            "connection": connection.number,
            "nth_on_connection": nth,
            "tls": connection.tls,
            "alpn": connection.alpn,
            "method": head.method,
            "service": head.service,
            "action": head.action,
            "version": head.get("x-zc-version"),
            "host": head.get("host"),
            "user_agent": head.get("user-agent"),
            "content_type": head.get("content-type"),
            "headers": {name: head.get(name) for name in _TOLD_HEADERS
                        if head.get(name) is not None},
            "timestamp": head.get("x-zc-timestamp"),
            "auth": outcome.identity.auth,
            "signed_headers": outcome.identity.signed_headers,
            "verified": outcome.identity.verified,
            "body_bytes": len(body),
            "params": outcome.params if len(body) < _MAX_PARAMS_BYTES else None,
            "fault": fault,
            "acted": outcome.acted,
            "acted_ids": outcome.acted_ids,
            "status": answer and answer.status,
            "code": answer and answer.code,
            "request_id": answer and answer.request_id,
        }
        entry = {name: value if name == "params" else _without_secrets(value)
                 for name, value in entry.items()}
        with self._lock:
            self._seq += 1
            entry["seq"] = self._seq
            entry["time"] = self._now()
            self._write(entry)

    def _write(self, entry):
        os.write(self._file, json.dumps(entry).encode("ascii") + b"\n")
