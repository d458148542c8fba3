#!/usr/bin/env python3
"""resty.zenlayer in one worker of nginx against a bare cosocket loop that sends the same bytes, signed
beforehand, on kept connections, and decodes the answers. `make bench-gateway` builds the module and
runs this.

Throughput: StopInstances calls of 1 id and of 100, against an nginx with TLS that takes 20 ms for an
answer, 32 at a time: as a gateway meets the API, which speaks nothing but TLS and is no faster. And
against one that answers at once, eight at a time, with TLS and without: then the worker's processor is
all that counts, and the driver, which signs each request, judges each answer and gives an account of
every id, needs more of it than the loop. There is no goal for that, it shows what a call costs.

Never blocked: the latency of another location of the same worker, alone and while 100 stops wait for
an answer that takes two seconds, on connections that were open before.

The ways take turns, so what else the machine does befalls all of them.
"""
import argparse
import gc
import os
import signal
import socket
import statistics
import sys
import time

sys.dont_write_bytecode = True
import nginx  # noqa: E402

WAITING, DELAY_S, WINDOW_S = 100, 2.0, 1.2
# name, which port of the upstream, its scheme, how many at a time, the part of --calls, least ratio
CASES = (("in 20 ms", 3, "https", 32, 0.4, 0.95), ("at once", 0, "https", 8, 1, None),
         ("at once, no TLS", 4, "http", 8, 1, None))
MODULES = ("ndk_http_module", "ngx_http_lua_module")

AT_ONCE = """\
        location / {
            return 200 '{"requestId":"$request_id","response":{}}';
        }
    }
"""

UPSTREAM = """\
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    init_by_lua_block { package.loaded.count = { waiting = 0 } }
    server {
        listen 127.0.0.1:@PORT@ ssl;
""" + nginx.TLS + AT_ONCE + """\
    server {
        listen 127.0.0.1:@PORT2@ ssl;
""" + nginx.TLS + """\
        location / {
            content_by_lua_block {
                ngx.req.read_body()
                local count = require "count"
                count.waiting = count.waiting + 1
                ngx.sleep(%s)
                count.waiting = count.waiting - 1
                local answer = '{"requestId":"' .. ngx.var.request_id .. '","response":{}}'
                ngx.header["Content-Length"] = #answer
                ngx.print(answer)
            }
        }
    }
    server {
        listen 127.0.0.1:@PORT3@;
        location / {
            content_by_lua_block { ngx.print(require("count").waiting) }
        }
    }
    server {
        listen 127.0.0.1:@PORT4@ ssl;
""" % DELAY_S + nginx.TLS + """\
        location / {
            content_by_lua_block {
                ngx.req.read_body()
                ngx.sleep(0.02)
                local answer = '{"requestId":"' .. ngx.var.request_id .. '","response":{}}'
                ngx.header["Content-Length"] = #answer
                ngx.print(answer)
            }
        }
    }
    server {
        listen 127.0.0.1:@PORT5@;
""" + AT_ONCE

GATEWAY = """\
    keepalive_requests 100000000;
    lua_package_path "$TOP/bench/?.lua;$TOP/lib/?.lua;;";
    lua_package_cpath "$BUILD/luajit/?.so;;";
    lua_ssl_trusted_certificate $CA;
    server {
        listen 127.0.0.1:@PORT@;
        location = /run { content_by_lua_block { require("gateway").run() } }
        location = /stop { content_by_lua_block { require("gateway").stop() } }
        location = /processor { content_by_lua_block { require("gateway").processor() } }
        location = /other { content_by_lua_block { ngx.print "ok" } }
    }
"""


class Connection:
    """A kept connection to a server on this machine; requests without a body."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def begin(self, path):
        self.sock.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode("ascii"))

    def end(self):
        """-> the body. The answers here are chunked, and end so."""
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            more = self.sock.recv(65536)
            if not more:
                sys.exit("gateway: the connection was closed")
            data += more
        if not data.startswith(b"HTTP/1.1 200 "):
            sys.exit("gateway: " + data.decode("latin-1"))
        return data.split(b"\r\n\r\n", 1)[1].split(b"\r\n")[1].decode("ascii").strip()

    def get(self, path):
        self.begin(path)
        return self.end()


def throughput(front, port, scheme, concurrency, rounds, calls):
    """-> {ids: ({how: [seconds for a call]}, {how: [processor's seconds]})}"""
    connection = Connection(front)
    figures = {}
    for ids in (1, 100):
        wall, processor = {"driver": [], "bare": []}, {"driver": [], "bare": []}
        for number in range(rounds + 1):
            ways = ("driver", "bare") if number % 2 else ("bare", "driver")
            for how in ways:
                took, used = connection.get(
                    f"/run?how={how}&port={port}&scheme={scheme}&ids={ids}&calls={calls}"
                    f"&concurrency={concurrency}").split()
                if number > 0:  # the first round only warms up
                    wall[how].append(float(took) / calls)
                    processor[how].append(float(used) / calls)
        figures[ids] = wall, processor
    return figures


def sample(connection, seconds):
    """-> the latencies of requests to the other location, one after the other."""
    latencies = []
    gc.disable()
    now = time.perf_counter()
    end = now + seconds
    while now < end:
        began = now
        connection.get("/other")
        now = time.perf_counter()
        latencies.append(now - began)
    gc.enable()
    return latencies


def p99(latencies):
    return sorted(latencies)[int(len(latencies) * 0.99)]


def begin_all(front, counter, how, port):
    """Sends the stops, and returns once all of them wait upstream."""
    connections = [Connection(front) for _ in range(WAITING)]
    began = time.perf_counter()
    for connection in connections:
        connection.begin(f"/stop?how={how}&port={port}")
    while int(counter.get("/")) < WAITING:
        time.sleep(0.005)
        if time.perf_counter() - began > DELAY_S - WINDOW_S:
            sys.exit(f"gateway: the {WAITING} stops did not begin in time")
    return connections, began


def end_all(connections):
    for connection in connections:
        if connection.end() != "stopped":
            sys.exit("gateway: a stop failed")
        connection.sock.close()


def warm(front, how, port):
    connections = [Connection(front) for _ in range(WAITING)]
    for connection in connections:
        connection.begin(f"/stop?how={how}&port={port}")
    end_all(connections)


def latency(front, upstream, rounds):
    """-> {how: [p99 of each round]}, {how: processor's seconds in a second with nothing else to do}
    """
    port, counter = upstream.ports[1], Connection(upstream.ports[2])
    found = {"alone": [], "driver": [], "bare": []}
    idle = {}
    probe = Connection(front)
    probe.get("/processor")
    for how in ("driver", "bare"):
        warm(front, how, port)
    for how in found:
        connections = [] if how == "alone" else begin_all(front, counter, how, port)[0]
        before = float(probe.get("/processor"))
        time.sleep(1)
        idle[how] = float(probe.get("/processor")) - before
        end_all(connections)
    sample(probe, 0.3)
    for number in range(rounds):
        ways = list(found)
        for how in ways[number % 3:] + ways[:number % 3]:
            if how == "alone":
                found[how].append(p99(sample(probe, WINDOW_S)))
                continue
            connections, began = begin_all(front, counter, how, port)
            found[how].append(p99(sample(probe, WINDOW_S)))
            if time.perf_counter() - began > DELAY_S:
                sys.exit("gateway: the answers came before the measurement was over")
            end_all(connections)
    return found, idle


def start(build):
    """-> the server that is called, and the one with the gateway."""
    modules = nginx.load_module(*MODULES)
    upstream = nginx.Nginx(UPSTREAM, modules)
    text = GATEWAY.replace("$TOP", nginx.TOP).replace("$CA", upstream.ca_file)
    try:
        return upstream, nginx.Nginx(text.replace("$BUILD", os.path.abspath(build)), modules)
    except BaseException:
        upstream.stop()
        raise


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", default="build", help="the build folder")
    parser.add_argument("--rounds", type=int, default=7, help="of the throughput (7)")
    parser.add_argument("--calls", type=int, default=4000, help="in each (4000)")
    parser.add_argument("--pairs", type=int, default=5, help="of the latency (5)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folders go too
    missed = []

    def goal(text, value, limit, least=False):
        if limit is None:
            print(f"{text:52}{value:8.3f}", flush=True)
            return
        well = value >= limit if least else value <= limit
        if not well:
            missed.append(text)
        print(f"{text:52}{value:8.3f}   goal {'>=' if least else '<='} {limit}"
              f"{'' if well else '   MISSED'}", flush=True)

    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors")
    upstream, front = start(options.build)
    try:
        for name, number, scheme, concurrency, part, least in CASES:
            figures = throughput(front.ports[0], upstream.ports[number], scheme, concurrency,
                                 options.rounds, int(options.calls * part))
            for ids, (wall, processor) in figures.items():
                for how in ("bare", "driver"):
                    print(f"answered {name}, {ids:3} ids, {how:8}"
                          f"{1 / statistics.median(wall[how]):9.0f} calls/s"
                          f"{statistics.median(processor[how]) * 1e6:9.1f} us of the processor each")
                goal(f"answered {name}, {ids} ids: driver / bare",
                     statistics.median(wall["bare"]) / statistics.median(wall["driver"]), least, True)
        found, idle = latency(front.ports[0], upstream, options.pairs)
        for how, values in found.items():
            print(f"p99 of another location, {how:8}{statistics.median(values) * 1e6:9.0f} us"
                  f"   ({', '.join('%.0f' % (v * 1e6) for v in values)});"
                  f" a second of waiting costs {idle[how] * 1e6:.0f} us")

        def ratio(one, other):
            return statistics.median(a / b for a, b in zip(found[one], found[other]))
        goal(f"p99 while {WAITING} stops wait / alone", ratio("driver", "alone"), 1.2)
        goal("the same / while a bare loop does", ratio("driver", "bare"), 1.1)
    finally:
        log = upstream.log() + front.log()
        upstream.stop()
        front.stop()
        if log:
            print("\n".join(log.splitlines()[:10]), file=sys.stderr)
    if log:
        sys.exit("gateway: nginx complained")
    if missed:
        sys.exit("gateway: missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
