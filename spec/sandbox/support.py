"""What the tests of the sandbox share: a running sandbox, and a client that shows every byte."""

import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SANDBOX_FOLDER = Path(__file__).resolve().parent.parent.parent / "sandbox"
PROGRAM = SANDBOX_FOLDER / "zenlayer-sandbox"
sys.path.insert(0, str(SANDBOX_FOLDER))

from zlsandbox import zc2  # noqa: E402

KEY_ID, PASSWORD, TOKEN = b"SANDBOXKEY", b"sandbox-password", b"sandbox-token"
VERSIONS = {"vm": "2026-04-01", "bmc": "2026-02-01", "zec": "2025-09-01"}
CONTENT_TYPE = "application/json; charset=utf-8"
_PATIENCE_SECONDS = 10


class Sandbox:
    """A sandbox process with these command line options, from its start to `close`."""

    def __init__(self, *options, tls=True):
        self._folder = tempfile.TemporaryDirectory(prefix="sandbox-spec-")
        self.folder = Path(self._folder.name)
        self._faults = self.folder / "faults.json"
        self._journal = self.folder / "journal"
        self.write_faults([])
        ready_file = self.folder / "ready.json"
        command = [sys.executable, str(PROGRAM), "--die-with-parent", "--dir", str(self.folder),
                   "--ready-file", str(ready_file), "--journal", str(self._journal),
                   "--faults", str(self._faults), *options]
        self.process = subprocess.Popen(command if tls else [*command, "--http"])
        wait_until(lambda: ready_file.exists() or self.process.poll() is not None)
        if self.process.poll() is not None:
            self._folder.cleanup()
            raise AssertionError("the sandbox did not start")
        self.ready = json.loads(ready_file.read_text())
        self.port = self.ready["port"]
        self.tls = tls

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(_PATIENCE_SECONDS)
        self._folder.cleanup()
        return status

    def write_faults(self, script):
        text = script if isinstance(script, str) else json.dumps(script)
        unfinished = self._faults.with_suffix(".new")
        unfinished.write_text(text)
        os.replace(unfinished, self._faults)

    def journal(self):
        """Every line so far, decoded."""
        # What follows the last newline is nothing, or a line that is being written right now.
        lines = self._journal.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def requests(self):
        return [line for line in self.journal() if "event" not in line]

    def last_request(self):
        return self.requests()[-1]

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port), _PATIENCE_SECONDS)
        if self.tls:
            context = ssl.create_default_context(cafile=self.ready["ca_file"])
            context.set_alpn_protocols(["http/1.1"])
            # Some Pythons take a FIN without close_notify for a good end by default.
            context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
            sock = context.wrap_socket(sock, server_hostname="127.0.0.1",
                                       suppress_ragged_eofs=False)
        return Client(sock, "127.0.0.1:%d" % self.port)

    def call(self, action, params=None, **more):
        """One call on a connection of its own."""
        with self.connect() as client:
            return client.call(action, params, **more)

    def states(self, ids=None, service="vm"):
        params = {"pageSize": 1000} if ids is None else {"pageSize": 1000, "instanceIds": ids}
        answer = self.call("DescribeInstancesStatus", params, service=service)
        return {each["instanceId"]: each["instanceStatus"] for each in answer.response["dataSet"]}


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes
    raw: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json.get("code")

    @property
    def response(self):
        return self.json["response"]


class Client:
    """A connection that hides nothing; `sock` is open to the tests."""

    def __init__(self, sock, host):
        self.sock = sock
        self.host = host
        self._received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def call(self, action, params=None, **more):
        self.send(action, params, **more)
        return self.receive()

    def send(self, action, params=None, **more):
        self.sock.sendall(self.request(action, params, **more))

    def request(self, action, params=None, service="vm", body=None, timestamp=None,
                password=PASSWORD, key_id=KEY_ID, content_type=CONTENT_TYPE, method="POST",
                path=None, **headers):
        """The bytes of a signed request. A keyword like X_ZC_Action sets that header, or with None
        leaves it out."""
        if body is None:
            body = json.dumps({} if params is None else params).encode("utf-8")
        stamp = str(int(time.time()) if timestamp is None else timestamp)
        lines = {
            "Host": self.host,
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "X-ZC-Action": action,
            "X-ZC-Version": VERSIONS.get(service),
            "X-ZC-Timestamp": stamp,
            "X-ZC-Signature-Method": "ZC2-HMAC-SHA256",
        }
        signed = [(b"Content-Type", (content_type or "").encode("utf-8")),
                  (b"Host", self.host.encode("utf-8"))]
        to_sign = zc2.string_to_sign(stamp.encode("ascii"), zc2.canonical_request(signed, body))
        signature = zc2.signature(password, to_sign)
        names = [name for name, _ in signed]
        lines["Authorization"] = zc2.authorization(key_id, names, signature).decode("utf-8")
        lines.update({name.replace("_", "-"): value for name, value in headers.items()})
        head = "%s %s HTTP/1.1\r\n" % (method, path or "/api/v2/" + service)
        head += "".join("%s: %s\r\n" % line for line in lines.items() if line[1] is not None)
        return head.encode("utf-8") + b"\r\n" + body

    def receive(self, head_only=False):
        """The next answer, by its Content-Length or its chunks."""
        head = self._until(b"\r\n\r\n")
        status_line, *lines = head.decode("utf-8").split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = raw = b""
        if headers.get("transfer-encoding") == "chunked":
            body, raw = self._chunks()
        elif not head_only:
            body = raw = self._exactly(int(headers.get("content-length", 0)))
        return Answer(int(status_line.split(" ")[1]), headers, body, head + raw)

    def rest(self):
        """Everything up to the end of the connection; raises what the end raises."""
        data, self._received = self._received, b""
        while True:
            more = self.sock.recv(65536)
            if not more:
                return data
            data += more

    def end_on_the_wire(self):
        """Waits for the end below TLS, which may blur it: "reset" (RST) or "closed" (FIN)."""
        with socket.socket(fileno=os.dup(self.sock.fileno())) as raw:
            raw.settimeout(_PATIENCE_SECONDS)
            try:
                while raw.recv(65536):
                    pass  # session tickets, close_notify
            except ConnectionResetError:
                return "reset"
            return "closed"

    def pending(self, seconds=0.3):
        """What arrives, unasked for, within that time."""
        data, self._received = self._received, b""
        self.sock.settimeout(seconds)
        try:
            while more := self.sock.recv(65536):
                data += more
        except TimeoutError:
            pass
        self.sock.settimeout(_PATIENCE_SECONDS)
        return data

    def _chunks(self):
        body = raw = b""
        while True:
            line = self._until(b"\r\n")
            chunk = self._exactly(int(line, 16))
            raw += line + chunk + self._until(b"\r\n")
            if not chunk:
                return body, raw
            body += chunk

    def _until(self, mark):
        while mark not in self._received:
            self._more()
        head, mark, self._received = self._received.partition(mark)
        return head + mark

    def _exactly(self, size):
        while len(self._received) < size:
            self._more()
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("the connection ended")
        self._received += data


def wait_until(condition, seconds=_PATIENCE_SECONDS):
    """Polls until the condition holds; fails when it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError("it did not happen within %g s" % seconds)
        time.sleep(0.005)
