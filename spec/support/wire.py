"""A proxy that spoils what goes through it at one byte. For the specs alone.

usage: wire.py DIR PORT LANES

It carries bytes to and from the server at that port of this machine, whatever they are. It has so
many ports of its own, called lanes, which have nothing to do with each other. DIR/ready.json
({ports, control, pid}) tells them, and the port of the control, which speaks plain HTTP and knows
three actions:

Arm   {lane, way, at, how, mask, whole}: the next connection of the lane is spoiled at byte `at` (the
      first is 0) of all that it carries the way "up", to the server, or "down". That byte is turned
      over ("flip": XOR with mask), or it and all that follows is not carried any more, whatever the
      way: the client gets FIN ("fin"), RST ("reset") or nothing at all ("stall"), the server gets
      FIN, at once or, after a stall, when the client leaves. With `whole` that is done without
      waiting for the byte, once all before it were carried. Without `how` all is well.
Now   {lane, how}: the connections since Arm are spoiled so, from the next byte up on.
Seen  {lane}: the connections since Arm, oldest first: {up, down, spoiled}: the bytes that the client
      sent so far, and the server, whether they were carried or not; and whether it was done.

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

from cutter import control, listen
from zlsandbox import delivery

_PR_SET_PDEATHSIG = 1


class Lane:
    def __init__(self, target):
        self._target = target
        self._lock = threading.Lock()
        self._plan = {}
        self._connections = []
        self._listener, self.port = listen()
        threading.Thread(target=self._run, daemon=True).start()

    def arm(self, plan):
        with self._lock:
            self._plan, self._connections = plan, []
        return {}

    def spoil_now(self, how):
        with self._lock:
            for entry, plan in self._connections:
                plan.update(way="up", at=entry["up"], how=how)
        return {}

    def seen(self):
        with self._lock:
            return {"connections": [dict(entry) for entry, _ in self._connections]}

    def _run(self):
        while True:
            near, _ = self._listener.accept()
            with self._lock:
                plan, self._plan = self._plan, {}
                entry = {"up": 0, "down": 0, "spoiled": False}
                self._connections.append((entry, plan))
            threading.Thread(target=self._serve, args=(near, plan, entry), daemon=True).start()

    def _serve(self, near, plan, entry):
        with near, socket.create_connection(self._target) as far:
            for sock in near, far:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                if carry(near, far, plan, entry):
                    entry["spoiled"] = True
                    spoil(near, far, plan["how"], entry)
            except OSError:
                pass  # one of them left


def carry(near, far, plan, entry):
    """Until one of them leaves (False), or until the byte of the plan comes and is not to be carried
    (True)."""
    ways = {near.fileno(): ("up", near, far), far.fileno(): ("down", far, near)}
    poll = select.poll()
    for fd in ways:
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            way, source, sink = ways[fd]
            data = source.recv(65536)
            if not data:
                if sink is near:
                    delivery.close(near)
                return False
            at = plan["at"] - entry[way] if plan.get("how") and way == plan["way"] else -1
            entry[way] += len(data)
            if plan.get("how") == "flip" and 0 <= at < len(data):
                data = data[:at] + bytes([data[at] ^ plan["mask"]]) + data[at + 1:]
                entry["spoiled"] = True
            elif plan.get("how") != "flip" and (
                    0 <= at < len(data) or plan.get("whole") and at == len(data)):
                sink.sendall(data[:at])
                return True
            sink.sendall(data)


def spoil(near, far, how, entry):
    if how != "stall":
        far.close()
    if how == "reset":
        delivery.reset(near)
        return
    if how == "fin":
        near.shutdown(socket.SHUT_WR)
    # With bytes unread its end would be RST, not FIN.
    while data := near.recv(65536):
        entry["up"] += len(data)


def main():
    directory, port, lanes = sys.argv[1:4]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    lanes = [Lane(("127.0.0.1", int(port))) for _ in range(int(lanes))]
    actions = {
        "Arm": lambda params: lanes[params.pop("lane") - 1].arm(params),
        "Now": lambda params: lanes[params["lane"] - 1].spoil_now(params["how"]),
        "Seen": lambda params: lanes[params["lane"] - 1].seen(),
    }
    listener, control_port = listen()
    ready = os.path.join(directory, "ready.json")
    with open(ready + ".new", "w", encoding="ascii") as file:
        json.dump({"ports": [lane.port for lane in lanes], "control": control_port,
                   "pid": os.getpid()}, file)
    os.replace(ready + ".new", ready)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=control, args=(sock, actions), daemon=True).start()


if __name__ == "__main__":
    main()
