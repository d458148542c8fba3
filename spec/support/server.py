"""Servers that the sandbox is not: broken ones, scripted ones, and a proxy. For the specs alone.

usage: server.py MODE DIR

Options are read from DIR/options.json, if it is there. DIR gets ready.json ({port, pid}) once the server listens on 127.0.0.1, and log, one line of JSON
for each connection, request or CONNECT. It ends with the process that started it.
"""

import base64
import ctypes
import json
import os
import re
import signal
import socket
import ssl
import struct
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1


class Log:
    def __init__(self, directory):
        self._file = os.open(os.path.join(directory, "log"),
                             os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, **entry):
        os.write(self._file, json.dumps(entry).encode("ascii") + b"\n")


def ready(directory, port, **more):
    path = os.path.join(directory, "ready.json")
    with open(path + ".new", "w", encoding="ascii") as file:
        json.dump({"port": port, "pid": os.getpid(), **more}, file)
    os.replace(path + ".new", path)


def end_with_parent():
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def bound():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


def accept_for_ever(listener, serve):
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def read_head(sock):
    """Up to the blank line, with what came after it; b"" when the client left."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return b""
        data += more
    return data


def read_request(sock):
    """Reads one request with its body; returns its head, or b""."""
    head, _, body = read_head(sock).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *([0-9]+)", head)
    wanted = int(length.group(1)) if length else 0
    while len(body) < wanted:
        more = sock.recv(65536)
        if not more:
            return b""
        body += more
    return head


def closed(directory, log, options):
    """A port that is taken, and where nobody listens."""
    sock, port = bound()
    ready(directory, port)
    signal.pause()
    sock.close()


def full(directory, log, options):
    """A port whose queue of connections is full: nobody who comes is let in, or turned away."""
    listener, port = bound()
    listener.listen(0)
    waiting = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        waiting.append(sock)
    time.sleep(0.1)
    ready(directory, port)
    signal.pause()


def silent(directory, log, options):
    """Accepts, and never says a word."""
    listener, port = bound()
    listener.listen(64)
    kept = []
    ready(directory, port)
    while True:
        kept.append(listener.accept()[0])
        log.add(event="connection")


def answer(body, status=b"200 OK"):
    return (b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\nContent-Length: "
            + str(len(body)).encode("ascii") + b"\r\n\r\n" + body)


def scripted(directory, log, options):
    """Answers request after request, over all connections, as the script says; with a good answer
    once that is at its end.

    options: cert, key (TLS), minimum, maximum (TLS versions), impatient (true: whatever comes first
    is a bad request), deaf (so many connections at first are taken, and nothing is done), abrupt (so
    many are reset once hands are shaken, behind a byte of nothing), script: a list of steps {"send": text,
    a character for each byte; "more": text that is sent a moment later; "for_ever": text that is sent
    until the client leaves; "then": "keep", "close" or "reset"}. @OK@ in a text is a good answer.
    actions: {name: step}: what requests with that X-ZC-Action get, whatever the script says.
    """
    context = None
    if "cert" in options:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if "maximum" in options:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion[options["minimum"]]
            context.maximum_version = ssl.TLSVersion[options["maximum"]]
        context.load_cert_chain(options["cert"], options["key"])
    good = answer(b'{"requestId":"TSCRIPT","response":{"from":"server.py"}}').decode("ascii")
    script = list(options.get("script", []))
    lock = threading.Lock()
    deaf, kept = options.get("deaf", 0), []
    abrupt = options.get("abrupt", 0)

    def converse(sock):
        if options.get("impatient"):
            sock.recv(65536)
            log.add(event="bytes")
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return
        while head := read_request(sock):
            action = re.search(rb"(?i)\r\nx-zc-action: *([^\r\n]+)", head)
            action = action.group(1).decode("latin-1") if action else None
            names = re.findall(rb"\r\n([^:\r\n]+):", head)
            with lock:
                step = options.get("actions", {}).get(action)
                if step is None:
                    step = script.pop(0) if script else {"send": "@OK@"}
                log.add(event="request", line=head.split(b"\r\n")[0].decode("latin-1"), action=action,
                        headers=sorted(name.decode("latin-1").lower() for name in names))
            sock.sendall(step["send"].replace("@OK@", good).encode("latin-1"))
            if "more" in step:
                time.sleep(0.03)
                sock.sendall(step["more"].encode("latin-1"))
            while "for_ever" in step:
                sock.sendall(step["for_ever"].encode("latin-1") * 100)
            end = step.get("then", "keep")
            if end != "keep":
                if end == "reset":
                    time.sleep(0.03)  # let the answer be read: RST would destroy it on its way
                    reset(sock)
                return

    def reset(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def serve(sock):
        nonlocal abrupt
        log.add(event="connection")
        with lock:
            if len(kept) < deaf:
                kept.append(sock)
                return
            is_abrupt, abrupt = abrupt > 0, max(0, abrupt - 1)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with sock:
                if context is None:
                    converse(sock)
                else:
                    with context.wrap_socket(sock, server_side=True) as tls:
                        if is_abrupt:
                            os.write(tls.fileno(), b"\x17")
                            reset(tls)
                            return
                        converse(tls)
        except OSError:
            log.add(event="broken")

    listener, port = bound()
    listener.listen(64)
    ready(directory, port)
    accept_for_ever(listener, serve)


def proxy(directory, log, options):
    """A proxy that knows CONNECT alone.

    options: user, password (asked for, if given), refuse (a status line for everybody), hang_up
    (true: say nothing, leave).
    """
    proof = None
    if "user" in options:
        pair = "%s:%s" % (options["user"], options["password"])
        proof = b"basic " + base64.b64encode(pair.encode("utf-8"))

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve(sock):
        head = read_head(sock)
        line = head.split(b"\r\n")[0].decode("latin-1")
        given = re.search(rb"(?i)\r\nproxy-authorization: *([^\r\n]+)", head)
        log.add(event="request", line=line, with_authorization=given is not None)
        target = re.match(r"CONNECT ([^ :]+):([0-9]+) HTTP/1\.[01]$", line)
        if options.get("hang_up"):
            sock.close()
            return
        status = options.get("refuse")
        if status is None and target is None:
            status = "405 Method Not Allowed"
        if status is None and proof is not None:
            scheme, _, value = (given.group(1) if given else b"").partition(b" ")
            if scheme.lower() + b" " + value != proof:
                status = "407 Proxy Authentication Required"
        if status is not None:
            challenge = "Proxy-Authenticate: Basic realm=\"spec\"\r\n" if "407" in status else ""
            sock.sendall(("HTTP/1.1 %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n"
                          % (status, challenge)).encode("ascii"))
            sock.shutdown(socket.SHUT_WR)
            sock.close()
            return
        # Names are not looked up: everything there is, is on this machine.
        port = int(options.get("to", target.group(2)))
        far = socket.create_connection(("127.0.0.1", port))
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=pump, args=(far, sock), daemon=True).start()
        pump(sock, far)

    listener, port = bound()
    listener.listen(64)
    ready(directory, port)
    accept_for_ever(listener, serve)


def nginx(directory, log, options):
    """Becomes an nginx with DIR/nginx.conf, where @PORT@ (and @PORT2@, ...) is a port that the
    system picked.

    The sockets are handed over as nginx hands them to its own next version.
    """
    path = os.path.join(directory, "nginx.conf")
    with open(path, encoding="utf-8") as file:
        configuration = file.read()
    descriptors, ports = "", []
    for number in ("", *range(2, 10)):
        placeholder = "@PORT%s@" % number
        if placeholder in configuration:
            listener, port = bound()
            listener.listen(512)
            listener.setblocking(False)  # of an inherited one nginx takes that for granted
            configuration = configuration.replace(placeholder, str(port))
            os.set_inheritable(listener.fileno(), True)
            descriptors += "%d;" % listener.detach()
            ports.append(port)
    if os.geteuid() == 0:
        configuration = "user root;\n" + configuration  # who else could use a private directory?
    with open(path, "w", encoding="utf-8") as file:
        file.write(configuration)
    ready(directory, ports[0], ports=ports)
    os.environ["NGINX"] = descriptors
    os.execvp("nginx", ["nginx", "-p", directory, "-c", path, "-e", directory + "/error.log",
                        "-g", "daemon off;"])


def main():
    mode, directory = sys.argv[1:3]
    options = {}
    path = os.path.join(directory, "options.json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            options = json.load(file)
    end_with_parent()
    modes = {each.__name__: each for each in (closed, full, silent, scripted, proxy, nginx)}
    modes[mode](directory, Log(directory), options)


if __name__ == "__main__":
    main()
