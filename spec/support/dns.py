"""A DNS server on 127.0.0.1, over UDP, that knows the addresses it is told. For the specs alone.

usage: dns.py DIR

DIR/options.json says what it does, and is read again for every question, so that a spec can change it
(by a rename):
  names   {name: [IPv4 address, ...]}; any other name does not exist
  silent  true: no answer at all
  failing true: every answer is SERVFAIL
  delay   seconds before each answer
DIR gets ready.json ({port, pid}) once it listens, and log, a line of JSON for each question. It ends
with the process that started it.
"""

import json
import os
import signal
import socket
import struct
import sys
import threading

from server import Log, end_with_parent, ready

_A = 1
_IN = 1
_SERVFAIL, _NXDOMAIN = 2, 3
_RESPONSE, _RECURSION_AVAILABLE = 0x8000, 0x0080


def question_of(packet):
    """-> the name in lower case, the type, and where the question ends."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1").lower())
        at += 1 + packet[at]
    return ".".join(labels), struct.unpack_from(">H", packet, at + 1)[0], at + 5


def answer_to(packet, end, code, addresses):
    number, flags = struct.unpack_from(">HH", packet)
    flags = flags & 0x7900 | _RESPONSE | _RECURSION_AVAILABLE | code
    answer = struct.pack(">HHHHHH", number, flags, 1, len(addresses), 0, 0) + packet[12:end]
    for address in addresses:  # 0xc00c: the name in the question; nobody may keep it (TTL 0)
        answer += struct.pack(">HHHIH", 0xC00C, _A, _IN, 0, 4) + socket.inet_aton(address)
    return answer


def main():
    directory = sys.argv[1]
    log = Log(directory)
    end_with_parent()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    ready(directory, sock.getsockname()[1])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # answers that are still due or not
    while True:
        packet, sender = sock.recvfrom(4096)
        with open(os.path.join(directory, "options.json"), encoding="utf-8") as file:
            options = json.load(file)
        try:
            name, kind, end = question_of(packet)
        except (IndexError, struct.error):
            continue
        log.add(event="question", name=name, type=kind)
        if options.get("silent"):
            continue
        # lua-cjson writes an empty table as {}
        known = {each.lower(): list(to) for each, to in dict(options.get("names") or {}).items()}
        if options.get("failing"):
            answer = answer_to(packet, end, _SERVFAIL, [])
        elif name not in known:
            answer = answer_to(packet, end, _NXDOMAIN, [])
        else:
            answer = answer_to(packet, end, 0, known[name] if kind == _A else [])
        timer = threading.Timer(options.get("delay", 0), sock.sendto, (answer, sender))
        timer.daemon = True
        timer.start()


if __name__ == "__main__":
    main()
