#!/usr/bin/env python3
"""10,000 ids stopped ten batches at a time, on a server that takes 50 ms: the module against a
plain libcurl multi loop (libcurl.c) that posts the same bodies with the same headers. Connecting
counts in both; starting the process and reading the bodies do not. `make bench-fleet` builds both
and runs this.

The two take turns on one server, so what else the machine does befalls both.
"""
import argparse
import os
import signal
import statistics
import sys

sys.dont_write_bytecode = True
import measuring  # noqa: E402
import nginx  # noqa: E402

IDS, CONCURRENCY = 10000, 10
SERVER = """\
    server {
        listen 127.0.0.1:@PORT@ ssl$HTTP2;
""" + nginx.TLS + """\
        location / {
            echo_read_request_body;
            echo_sleep 0.05;
            echo '{"requestId":"$request_id","response":{}}';
        }
    }
"""


def measure(lua, libcurl, rounds, http2):
    """-> the samples of each round: of the floor, of the module."""
    modules = nginx.load_module("ngx_http_echo_module")
    server = nginx.Nginx(SERVER.replace("$HTTP2", " http2" if http2 else ""), modules)
    try:
        script = [lua, os.path.join(nginx.TOP, "bench/calls.lua")]
        how = ["https://127.0.0.1:%d" % server.ports[0], server.ca_file, "ids=100",
               "calls=%d" % (IDS // 100), "concurrency=%d" % CONCURRENCY]
        requests = os.path.join(server.folder.name, "requests")
        with open(requests, "w", encoding="ascii") as file:
            file.write(measuring.run(script + ["requests"] + how))
        floor = [libcurl, requests, server.ca_file, "concurrency=%d" % CONCURRENCY,
                 "http2=%d" % http2]
        return measuring.programs_take_turns(floor, script + ["stop"] + how, rounds)
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lua", default="lua5.4", help="the interpreter")
    parser.add_argument("--floor", default="build/bench/libcurl", help="libcurl.c, built")
    parser.add_argument("--rounds", type=int, default=15, help="of each, in turn (15)")
    parser.add_argument("--limit", type=float, help="fail if a ratio of medians is above it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server's folder goes too

    print(f"{IDS} ids, {CONCURRENCY} batches at a time, 50 ms each, {options.rounds} rounds; "
          f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors")
    print(f"{'':10}{'libcurl: median':>16}{'min':>8}{'module: median':>18}{'min':>8}{'ratio':>10}")
    worst = 0.0
    for name, http2 in (("HTTP/1.1", False), ("HTTP/2", True)):
        floor, module = [[each["seconds"] for each in samples] for samples in measure(
            options.lua, options.floor, options.rounds, http2)]
        ratio = statistics.median(module) / statistics.median(floor)
        worst = max(worst, ratio)
        print(f"{name:10}{statistics.median(floor) * 1e3:13.1f} ms{min(floor) * 1e3:8.1f}"
              f"{statistics.median(module) * 1e3:15.1f} ms{min(module) * 1e3:8.1f}{ratio:10.3f}",
              flush=True)
    if options.limit and worst > options.limit:
        sys.exit(f"fleet: {worst:.3f} is above {options.limit}")


if __name__ == "__main__":
    main()
