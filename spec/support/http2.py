"""A server that speaks HTTP/2 over TLS, and does what the action of a request says. For the specs
alone.

usage: http2.py DIR

It keeps server.py's word about DIR. options: cert, key; settings ({name of RFC 9113: value}, of the
first SETTINGS); narrow (true: no window is ever opened any wider). DIR/log has a line for each connection, and for each whole request: action and n,
which is of its body. What actions there are: see ACTIONS; any other is answered well, with its n.
"""

import json
import os
import ssl
import struct
import sys
import time

from server import Log, accept_for_ever, bound, end_with_parent, ready

sys.path.append("/usr/lib/python3/dist-packages")  # Debian's, whichever Python comes first

import h2.config  # noqa: E402
import h2.connection  # noqa: E402
import h2.errors  # noqa: E402
import h2.events  # noqa: E402
import h2.settings  # noqa: E402

DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6  # frames
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Peer:
    """One connection; what is done to it is done by one thread."""

    def __init__(self, sock, options, log):
        self.sock = sock
        self.log = log
        self.is_narrow = options.get("narrow")
        self.is_open = True
        self.requests = {}  # of each stream: [action, body]
        config = h2.config.H2Configuration(client_side=False, validate_outbound_headers=False,
                                           normalize_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes[name]: value
            for name, value in options.get("settings", {}).items()})
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def raw(self, *frames):
        """Frames that no library would send."""
        self.flush()
        self.sock.sendall(b"".join(frames))

    def head(self, stream, *more, status="200", end=False):
        self.h2.send_headers(stream, [(":status", status), ("content-type", "application/json"),
                                      *more], end_stream=end)

    def body(self, stream):
        n = json.loads(self.requests[stream][1] or b"{}").get("n")
        return json.dumps({"requestId": "T%s" % n, "response": {"n": n}}).encode("ascii")

    def answer(self, stream, *more):
        self.head(stream, *more)
        self.h2.send_data(stream, self.body(stream), end_stream=True)

    def goaway(self, last, code=0):
        self.flush()
        self.h2.close_connection(error_code=code, last_stream_id=last)
        self.flush()

    def close(self):
        self.flush()
        self.is_open = False

    def run(self):
        while self.is_open:
            data = self.sock.recv(65536)
            if not data:
                return
            for event in self.h2.receive_data(data):
                self.take(event)
            self.flush()

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            headers = dict(event.headers)
            action = headers.get(b"x-zc-action", b"HEAD").decode("ascii")
            self.requests[event.stream_id] = [action, b""]
            early = EARLY.get(action)
            if early:
                early(self, event.stream_id)
        elif isinstance(event, h2.events.DataReceived):
            self.requests[event.stream_id][1] += event.data
            if not self.is_narrow:
                self.h2.acknowledge_received_data(event.flow_controlled_length,
                                                  event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.serve(event.stream_id)

    def serve(self, stream):
        action, body = self.requests[stream]
        self.log.add(event="request", action=action, n=json.loads(body or b"{}").get("n"))
        if action not in EARLY:
            ACTIONS.get(action, Peer.answer)(self, stream)


# What is done once the whole request is here. ----------------------------------------------------

def half(peer, stream):
    peer.head(stream)
    peer.h2.send_data(stream, peer.body(stream)[:20])


def half_and(peer, stream, code):
    half(peer, stream)
    peer.h2.reset_stream(stream, code)


def refuse(peer, stream):
    peer.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)


def goaway_and_answer(peer, stream):
    peer.goaway(stream)
    # The library says no more after that; the server may.
    peer.raw(frame(HEADERS, END_HEADERS, stream, b"\x88"),  # :status 200
             frame(DATA, END_STREAM, stream, peer.body(stream)))
    time.sleep(0.05)
    peer.close()


def goaway_and_leave(peer, last, code=0):
    peer.goaway(last, code)
    peer.close()


def half_goaway(peer, stream):
    half(peer, stream)
    goaway_and_leave(peer, stream)


def half_and_leave(peer, stream):
    half(peer, stream)
    peer.close()


def answer_and_reset(peer, stream):
    peer.answer(stream)
    peer.raw(frame(3, 0, stream, struct.pack(">I", 0)))


def trailers(peer, stream):
    peer.head(stream)
    peer.h2.send_data(stream, peer.body(stream))
    peer.h2.send_headers(stream, [("retry-after", "7"), ("cf-mitigated", "challenge"),
                                  ("x-sum", "1")], end_stream=True)


def refusal_with_trailers(peer, stream):
    peer.head(stream, status="403")
    peer.h2.send_data(stream, b'{"code":"NO","message":"no"}')
    peer.h2.send_headers(stream, [("retry-after", "7"), ("cf-mitigated", "challenge")],
                         end_stream=True)


def settings_in_between(peer, stream):
    half(peer, stream)
    for size in 0, 4096, 65536:
        peer.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size,
                                 h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1 + size % 7})
        peer.h2.ping(b"12345678")
    peer.h2.send_data(stream, peer.body(stream)[20:], end_stream=True)


def interim(peer, stream):
    for _ in range(20):
        peer.raw(frame(HEADERS, END_HEADERS, stream, b"\x08\x03103"))
    peer.answer(stream)


def interim_for_ever(peer, stream):
    peer.flush()
    while True:
        peer.sock.sendall(frame(HEADERS, END_HEADERS, stream, b"\x08\x03103") * 100)


def pings_for_ever(peer, stream):
    peer.flush()
    while True:
        peer.sock.sendall(frame(PING, 0, 0, b"12345678") * 1000)


def settings_for_ever(peer, stream):
    peer.flush()
    while True:
        peer.sock.sendall(frame(SETTINGS, 0, 0, b"") * 1000)


def large_body(peer, stream):
    """A megabyte, as far as it is taken."""
    peer.head(stream)
    left, is_over = 64, False
    while left > 0 and not is_over:
        if peer.h2.local_flow_control_window(stream) >= 16384:
            left -= 1
            peer.h2.send_data(stream, b"x" * 16384, end_stream=left == 0)
            peer.flush()
            continue
        for event in peer.h2.receive_data(peer.sock.recv(65536)):
            is_over = is_over or isinstance(event, h2.events.StreamReset)
            peer.take(event)


def header_block_for_ever(peer, stream):
    peer.raw(frame(HEADERS, 0, stream, b"\x88"))
    while True:  # CONTINUATION after CONTINUATION
        peer.sock.sendall(frame(9, 0, stream, (b"\x00\x01a\x7f\x81\x00" + b"b" * 256) * 50))


def unknown_frames(peer, stream):
    peer.raw(frame(0xEE, 0xFF, stream, b"x" * 100), frame(0xEE, 0, 0, b""))
    peer.answer(stream)


def answer_of_another(peer, stream):
    """A whole answer of a stream that the client never began, and then its own."""
    peer.raw(frame(HEADERS, END_HEADERS, stream + 2, b"\x88"),
             frame(DATA, END_STREAM, stream + 2, b'{"requestId":"TFORGED","response":{"n":666}}'))
    peer.answer(stream)


def two_answers(peer, stream):
    peer.answer(stream)
    peer.raw(frame(HEADERS, END_HEADERS, stream, b"\x88"),
             frame(DATA, END_STREAM, stream, b'{"requestId":"TFORGED","response":{"n":666}}'))


def longer_than_said(peer, stream):
    peer.head(stream, ("content-length", "10"))
    peer.raw(frame(DATA, END_STREAM, stream, peer.body(stream)))


def shorter_than_said(peer, stream):
    peer.head(stream, ("content-length", "1000"))
    peer.h2.send_data(stream, peer.body(stream), end_stream=True)


def push(peer, stream):
    promised = struct.pack(">I", 2) + b"\x83\x87\x84\x41\x01a"  # POST https / a
    peer.raw(frame(5, END_HEADERS, stream, promised),
             frame(HEADERS, END_HEADERS, 2, b"\x88"),
             frame(DATA, END_STREAM, 2, b'{"requestId":"TFORGED","response":{"n":666}}'))
    peer.answer(stream)


def on_stream_0(peer, stream):
    peer.raw(frame(DATA, END_STREAM, 0, peer.body(stream)))


def frame_too_large(peer, stream):
    peer.head(stream)
    peer.raw(frame(DATA, END_STREAM, stream, b"x" * 1000000))


def no_http2(peer, stream):
    peer.raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    peer.close()


ERRORS = h2.errors.ErrorCodes
ACTIONS = {
    "Refuse": refuse,
    "ResetInternal": lambda peer, stream: peer.h2.reset_stream(stream, ERRORS.INTERNAL_ERROR),
    "ResetCancel": lambda peer, stream: peer.h2.reset_stream(stream, ERRORS.CANCEL),
    "ResetNoError": lambda peer, stream: peer.h2.reset_stream(stream, ERRORS.NO_ERROR),
    "ResetHttp11": lambda peer, stream: peer.h2.reset_stream(stream, ERRORS.HTTP_1_1_REQUIRED),
    "HalfReset": lambda peer, stream: half_and(peer, stream, ERRORS.INTERNAL_ERROR),
    "HalfResetNoError": lambda peer, stream: half_and(peer, stream, ERRORS.NO_ERROR),
    "HalfRefuse": lambda peer, stream: half_and(peer, stream, ERRORS.REFUSED_STREAM),
    "GoawayAnswered": goaway_and_answer,
    "GoawayRefused": lambda peer, stream: goaway_and_leave(peer, 0),
    "GoawayTaken": goaway_and_leave,
    "GoawayCalm": lambda peer, stream: goaway_and_leave(peer, stream, ERRORS.ENHANCE_YOUR_CALM),
    "HalfGoaway": half_goaway,
    "Leave": lambda peer, stream: peer.close(),
    "HalfLeave": half_and_leave,
    "Silent": lambda peer, stream: None,
    "HalfSilent": half,
    "AnswerReset": answer_and_reset,
    "Trailers": trailers,
    "RefusalTrailers": refusal_with_trailers,
    "SettingsBetween": settings_in_between,
    "Interim": interim,
    "InterimForEver": interim_for_ever,
    "PingsForEver": pings_for_ever,
    "SettingsForEver": settings_for_ever,
    "LargeBody": large_body,
    "HeaderForEver": header_block_for_ever,
    "UnknownFrames": unknown_frames,
    "AnotherAnswer": answer_of_another,
    "TwoAnswers": two_answers,
    "Longer": longer_than_said,
    "Shorter": shorter_than_said,
    "Push": push,
    "StreamZero": on_stream_0,
    "FrameTooLarge": frame_too_large,
    "NoHttp2": no_http2,
    "Redirect": lambda peer, stream: peer.head(stream, ("location", "https://127.0.0.1:1/"),
                                               status="307", end=True),
}
# … and once its head is, whether a body follows or not.
EARLY = {
    "EarlyRefuse": refuse,
    "EarlyAnswer": Peer.answer,
    "EarlyGoaway": lambda peer, stream: goaway_and_leave(peer, 0),
    "EarlyLeave": lambda peer, stream: peer.close(),
}


def main():
    directory = sys.argv[1]
    with open(os.path.join(directory, "options.json"), encoding="utf-8") as file:
        options = json.load(file)
    end_with_parent()
    log = Log(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options["cert"], options["key"])
    context.set_alpn_protocols(["h2"])

    def serve(sock):
        log.add(event="connection")
        try:
            with context.wrap_socket(sock, server_side=True) as tls:
                Peer(tls, options, log).run()
        except (OSError, h2.exceptions.ProtocolError) as error:
            log.add(event="broken", why=repr(error))

    listener, port = bound()
    listener.listen(64)
    ready(directory, port)
    accept_for_ever(listener, serve)


if __name__ == "__main__":
    main()
