#!/usr/bin/env python3
"""10,000 ids stopped ten batches at a time, on a server that takes 50 ms: the module against a
plain libcurl multi loop (fleet.c) that posts the same bodies with the same headers. Connecting
counts in both; starting the process and reading the bodies do not. `make bench-fleet` builds both
and runs this.

The two take turns on one server, so what else the machine does befalls both.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "sandbox"))
sys.dont_write_bytecode = True
from zlsandbox import certificate  # noqa: E402

IDS, CONCURRENCY = 10000, 10
CONFIGURATION = """\
load_module $MODULES/ngx_http_echo_module.so;
worker_processes 1;
pid $DIR/nginx.pid;
error_log $DIR/error.log error;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path $DIR/body;
    proxy_temp_path $DIR/proxy;
    fastcgi_temp_path $DIR/fastcgi;
    uwsgi_temp_path $DIR/uwsgi;
    scgi_temp_path $DIR/scgi;
    server {
        listen 127.0.0.1:@PORT@ ssl$HTTP2;
        ssl_certificate $DIR/server.pem;
        ssl_certificate_key $DIR/server-key.pem;
        default_type application/json;
        location / {
            echo_read_request_body;
            echo_sleep 0.05;
            echo '{"requestId":"$request_id","response":{}}';
        }
    }
}
"""
MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules")


class Server:
    """An nginx of its own, in a folder that goes with it."""

    def __init__(self, http2):
        self.folder = tempfile.TemporaryDirectory()
        self.ca_file = os.path.join(self.folder.name, "ca.pem")
        certificate.make(self.folder.name, "127.0.0.1")
        modules = [m for m in MODULES if os.path.exists(m + "/ngx_http_echo_module.so")]
        if not modules:
            sys.exit("fleet: no echo module of nginx here (.ci/deps bench installs it)")
        text = CONFIGURATION.replace("$MODULES", modules[0]).replace("$DIR", self.folder.name)
        with open(os.path.join(self.folder.name, "nginx.conf"), "w", encoding="ascii") as file:
            file.write(text.replace("$HTTP2", " http2" if http2 else ""))
        self.process = subprocess.Popen(
            [sys.executable, "-B", os.path.join(TOP, "spec/support/server.py"), "nginx",
             self.folder.name], stdin=subprocess.DEVNULL)

    def endpoint(self):
        ready = os.path.join(self.folder.name, "ready.json")
        for _ in range(1000):
            if os.path.exists(ready):
                with open(ready, encoding="ascii") as file:
                    return f"https://127.0.0.1:{json.load(file)['port']}"
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        sys.exit("fleet: nginx did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def output_of(command):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60).stdout


def measure(options, http2):
    """-> the seconds of each round: of the floor, of the module."""
    server = Server(http2)
    try:
        script = [options.lua, os.path.join(TOP, "bench/fleet.lua")]
        how = [server.endpoint(), server.ca_file, str(IDS), str(CONCURRENCY)]
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
    os.environ["PATH"] += ":/usr/sbin"  # where Debian has nginx

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
