#!/usr/bin/env python3
"""10,000 ids stopped ten batches at a time, on a server that takes 50 ms: the module against a
plain libcurl multi loop (fleet.c) that posts the same bodies with the same headers. Connecting
counts in both; starting the process and reading the bodies do not. `make bench-fleet` builds both
and runs this.

The two take turns on one server, so what else the machine does befalls both.
"""
import argparse
import os
import signal
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
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


def output_of(command):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60).stdout


def measure(options, http2):
    """-> the seconds of each round: of the floor, of the module."""
    modules = nginx.load_module("ngx_http_echo_module")
    server = nginx.Nginx(SERVER.replace("$HTTP2", " http2" if http2 else ""), modules)
    try:
        script = [options.lua, os.path.join(nginx.TOP, "bench/fleet.lua")]
        how = [f"https://127.0.0.1:{server.ports[0]}", server.ca_file, str(IDS), str(CONCURRENCY)]
        requests = os.path.join(server.folder.name, "requests")
        with open(requests, "w", encoding="ascii") as file:
            file.write(output_of(script + ["requests"] + how))
        commands = ([options.floor, requests, server.ca_file, str(CONCURRENCY), str(int(http2))],
                    script + ["stop"] + how)
        seconds = ([], [])
        for number in range(options.rounds + 1):
            for which in (0, 1) if number % 2 else (1, 0):
                took = float(output_of(commands[which]))
                if number > 0:  # the first round only warms up
                    seconds[which].append(took)
        return seconds
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lua", default="lua5.4", help="the interpreter")
    parser.add_argument("--floor", default="build/bench/fleet", help="fleet.c, built")
    parser.add_argument("--rounds", type=int, default=15, help="of each, in turn (15)")
    parser.add_argument("--limit", type=float, help="fail if a ratio of medians is above it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server's folder goes too

    print(f"{IDS} ids, {CONCURRENCY} batches at a time, 50 ms each, {options.rounds} rounds; "
          f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors")
    print(f"{'':10}{'libcurl: median':>16}{'min':>8}{'module: median':>18}{'min':>8}{'ratio':>10}")
    worst = 0.0
    for name, http2 in (("HTTP/1.1", False), ("HTTP/2", True)):
        floor, module = measure(options, http2)
        ratio = statistics.median(module) / statistics.median(floor)
        worst = max(worst, ratio)
        print(f"{name:10}{statistics.median(floor) * 1e3:13.1f} ms{min(floor) * 1e3:8.1f}"
              f"{statistics.median(module) * 1e3:15.1f} ms{min(module) * 1e3:8.1f}{ratio:10.3f}",
              flush=True)
    if options.limit and worst > options.limit:
        sys.exit(f"fleet: {worst:.3f} is above {options.limit}")


if __name__ == "__main__":
    main()
