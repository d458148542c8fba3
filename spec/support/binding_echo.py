"""An HTTP server that answers with the body it got, and with what Python's JSON makes of it.

usage: binding_echo.py READY_FILE

READY_FILE gets {port, pid} once it listens on 127.0.0.1. It ends with the process that started it.

The answer's response: `path`, the request's; `body`, the bytes as text; `reading`, what they mean,
written so that the spec can write the same (see binding_json.lua); `longer`, the floats that have
more digits than needed.
"""

import ctypes
import http.server
import json
import os
import signal
import struct
import sys

_PR_SET_PDEATHSIG = 1


class Zero:
    """JSON's -0."""


def tell(value):
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Zero):
        return "-0"
    if isinstance(value, str):
        data = value.encode("utf-8")
        return "s%d:%s" % (len(data), value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    if isinstance(value, int):
        return "i%d" % value
    if isinstance(value, float):
        return "f" + struct.pack(">d", value).hex()
    if isinstance(value, list):
        return "[%s]" % ",".join(tell(each) for each in value)
    return "{%s}" % ",".join(tell(key) + "=" + tell(item) for key, item in value.items())


def digits(text):
    return len(text.lower().split("e")[0].replace(".", "").lstrip("-0").rstrip("0"))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        longer = []

        def read_float(text):
            if digits(text) > digits(repr(float(text))):
                longer.append(text)
            return float(text)

        def read_int(text):
            return Zero() if text == "-0" else int(text)

        value = json.loads(body, parse_float=read_float, parse_int=read_int,
                           object_pairs_hook=dict)
        answer = json.dumps({"requestId": "TECHO", "response": {
            "body": body.decode("utf-8"), "reading": tell(value), "longer": longer,
            "path": self.path,
        }}).encode("ascii")
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def main():
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    path = sys.argv[1]
    with open(path + ".new", "w", encoding="ascii") as file:
        json.dump({"port": server.server_port, "pid": os.getpid()}, file)
    os.replace(path + ".new", path)
    server.serve_forever()


if __name__ == "__main__":
    main()
