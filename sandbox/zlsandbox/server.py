"""Listens on loopback, and serves each connection in a thread of its own."""

import ipaddress
import itertools
import socket
import ssl
import sys
import threading
import time

from . import delivery, http1, kinds
from .answers import Answer, refused, to_json
from .api import Outcome
from .delivery import Delivery
from .faults import ScriptError
from .limiter import http_date

_HANDSHAKE_SECONDS = 30


def loopback_address(host):
    """The (family, address) to listen on; raises ValueError unless it is this machine alone."""
    try:
        family, _, _, _, found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ValueError("%s is not an address: %s" % (host, error)) from None
    if not ipaddress.ip_address(found[0].partition("%")[0]).is_loopback:
        raise ValueError("%s is not a loopback address; the sandbox serves this machine alone"
                         % host)
    return family, found[0]


def tls_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Server:
    """Owns the listening socket; without a `context` it speaks plain HTTP."""

    def __init__(self, api, faults, journal, clock, context=None):
        self.api = api
        self.faults = faults
        self.journal = journal
        self.clock = clock
        self.context = context
        self._listener = None

    def listen(self, family, address, port):
        """Returns the port. May raise OSError (it is taken)."""
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._listener.listen(512)
        return self._listener.getsockname()[1]

    def start(self):
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def _accept(self):
        for number in itertools.count(1):
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                # Out of file descriptors, say: those in the queue are served when some are free.
                print("zenlayer-sandbox: accept: %s" % error, file=sys.stderr)
                time.sleep(0.1)
                continue
            connection = Connection(self, number, sock)
            threading.Thread(target=connection.run, name="connection-%d" % number,
                             daemon=True).start()


class Connection:
    """One client's connection; owns its socket."""

    def __init__(self, server, number, sock):
        self.number = number
        self.tls = server.context is not None
        self.alpn = None
        self._server = server
        self._sock = sock
        self._nth = 0

    def run(self):
        """Serves the connection to its end. Whatever the client does, only this thread ends."""
        journal = self._server.journal
        journal.event("connection_opened", self.number)
        handshake_done = False
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._handshake()
            handshake_done = True
            self._serve()
        except OSError:
            pass  # the client went away, or never meant to speak TLS with us
        except Exception as error:  # a fault of ours: tell it, and go on serving the others
            print("zenlayer-sandbox: connection %d: %s: %s"
                  % (self.number, type(error).__name__, error), file=sys.stderr)
        finally:
            self._sock.close()
            journal.event("connection_closed", self.number, handshake_done=handshake_done)

    def _handshake(self):
        if not self.tls:
            return
        # Quick, or not at all; afterwards a connection may rest for as long as it likes.
        self._sock.settimeout(_HANDSHAKE_SECONDS)
        self._sock = self._server.context.wrap_socket(self._sock, server_side=True)
        self._sock.settimeout(None)
        self.alpn = self._sock.selected_alpn_protocol()

    def _serve(self):
        reader = http1.Reader(self._sock)
        try:
            while True:
                head = reader.read_head()
                if head is None:
                    delivery.close(self._sock)
                    return
                self._nth += 1
                if not self._serve_request(reader, head):
                    return
        except http1.BadRequest as error:
            answer = refused(error.status, "INVALID_PARAMETER_VALUE", str(error))
            answer.keep_alive = False
            self._sock.sendall(http1.encode(answer, http_date(self._server.clock())))
            delivery.drain(self._sock)

    def _serve_request(self, reader, head):
        """Serves one request; returns whether the connection lives on."""
        try:
            rule = self._server.faults.pick(head)
        except ScriptError as error:
            return self._complain(reader, head, error)
        now = self._server.clock()
        if rule and rule.kind == "clock":
            now += rule.parameters["offset"]
        if rule and rule.kind == "reset_unread":
            body, outcome = b"", Outcome()
        else:
            body = reader.read_body(head)
            outcome = self._server.api.handle(head, body, now, rule.act if rule else True)
        plan = kinds.build(rule, outcome.answer, now) if rule else Delivery(outcome.answer)
        return self._answer(head, body, outcome, plan, rule and rule.kind, now)

    def _answer(self, head, body, outcome, plan, fault, now):
        answer = plan.answer
        if answer is not None and not (head.keep_alive and answer.keep_alive):
            answer.keep_alive = False
            plan.end = delivery.CLOSE if plan.end == delivery.KEEP else plan.end
        # First the journal, then the answer: who has an answer finds its line.
        self._server.journal.request(self, self._nth, head, body, outcome, answer, fault)
        delivery.deliver(self._sock, plan, http_date(now + plan.wait), head.method == "HEAD")
        return plan.end == delivery.KEEP

    def _complain(self, reader, head, error):
        """A broken fault file spoils the test that wrote it: say so where everybody looks."""
        print("zenlayer-sandbox: %s" % error, file=sys.stderr)
        body = reader.read_body(head)
        answer = Answer(500, to_json({"code": "SANDBOX_FAULT_FILE", "message": str(error)}),
                        code="SANDBOX_FAULT_FILE")
        return self._answer(head, body, Outcome(), Delivery(answer), None, self._server.clock())
