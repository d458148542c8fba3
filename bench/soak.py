#!/usr/bin/env python3
"""Many calls through one client, some of which meet a fault: does it grow, leak or slow down?
`make soak` builds the module and runs this.

The server is an nginx with TLS that answers at once; one request in a hundred, drawn at random, gets
no answer (the connection is closed), half of one, a 503, a 429, a 404, or a page of somebody else's.
After a tenth of the calls the client is warm. From then on to the end the process may grow by 256 KiB,
and it has as many descriptors open but for a few connections that it keeps. The last tenth of the calls
costs as much processor time a call as the second one: at most 5 % more. So that what else the machine
does is not told as ours, the second tenth is that of another process, which takes turns with the first:
forty parts each, and the medians are compared.
"""
import argparse
import os
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
import nginx  # noqa: E402

SERVER = """\
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    server {
        listen 127.0.0.1:@PORT@ ssl http2;
        listen 127.0.0.1:@PORT2@ ssl;
""" + nginx.TLS + """\
        location / {
            content_by_lua_block {
                ngx.req.read_body()
                local id = ngx.var.request_id
                local answer = '{"requestId":"' .. id .. '","response":{"requestId":"' .. id
                    .. '","totalCount":1,"dataSet":[{"instanceId":"a","instanceStatus":"RUNNING"}]}}'
                local function send(status, body, length)
                    ngx.status = status
                    ngx.header["Content-Length"] = length or #body
                    ngx.print(body)
                end
                local function refuse(status, code)
                    send(status, '{"requestId":"' .. id .. '","code":"' .. code .. '","message":"m"}')
                end
                local faults = {
                    function() ngx.exit(444) end,
                    function() send(200, answer:sub(1, 40), #answer) ngx.flush(true) ngx.exit(444) end,
                    function() refuse(503, "SERVICE_TEMPORARY_UNAVAILABLE") end,
                    function() refuse(429, "REQUEST_LIMIT_EXCEEDED") end,
                    function() refuse(404, "INVALID_INSTANCE_NOT_FOUND") end,
                    function() send(200, "<html>") end,
                }
                if math.random() < %f then
                    return faults[math.random(#faults)]()
                end
                send(200, answer)
            }
        }
    }
"""


PARTS = 40


class Soak:
    """A process of soak.lua that has made so many calls, of which the first ones made it warm."""

    def __init__(self, lua, endpoint, ca_file, calls, warm_after):
        script = os.path.join(nginx.TOP, "bench/soak.lua")
        self.process = subprocess.Popen(
            [lua, script, endpoint, ca_file, str(calls), str(warm_after)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.expect("ready")

    def expect(self, line):
        told = self.process.stdout.readline().strip()
        if told != line:
            raise SystemExit("soak.lua: %r instead of %r" % (told, line))

    def part(self, calls):
        """So many more; microseconds of processor time a call."""
        print(calls, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def end(self):
        """What it tells at its end."""
        told = self.process.communicate()[0]
        if self.process.returncode != 0:
            raise SystemExit("soak.lua ended with %d" % self.process.returncode)
        return {name: int(value) for name, value in (line.split() for line in told.splitlines())}


def check(name, good, told):
    print("%-6s %s: %s" % ("ok" if good else "FAILED", name, told))
    return good


def soak(protocol, endpoint, ca_file, options):
    tenth = options.calls // 2 // 10
    old = Soak(options.lua, endpoint, ca_file, tenth * 9, tenth)
    young = Soak(options.lua, endpoint, ca_file, tenth, tenth)
    parts = [(old.part(tenth // PARTS), young.part(tenth // PARTS)) for _ in range(PARTS)]
    last_us, first_us = (statistics.median(each) for each in zip(*parts))
    young.end()
    told = old.end()
    print("%s: %d calls, %d accepted, %d retries"
          % (protocol, told["calls"], told["accepted"], told["retries"]))
    slower = (last_us / first_us - 1) * 100
    return all([
        check("memory", told["grown_kib"] <= options.grown,
              "%d KiB more (%d at most)" % (told["grown_kib"], options.grown)),
        check("descriptors", told["fds_more"] <= 4,
              "%d more (4 kept connections at most)" % told["fds_more"]),
        check("processor time a call", slower <= options.slower,
              "%.1f us, of a young process %.1f us, %+.1f %% (%.0f at most)"
              % (last_us, first_us, slower, options.slower)),
        check("faults", options.faults == 0 or told["faults"] > 0, "%d met" % told["faults"]),
    ])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lua", default="lua5.4")
    parser.add_argument("--calls", type=int, default=200000)
    parser.add_argument("--faults", type=float, default=0.01, help="the part of requests (0.01)")
    parser.add_argument("--slower", type=float, default=5, help="per cent that are allowed (5)")
    parser.add_argument("--grown", type=int, default=256, help="KiB that are allowed (256)")
    options = parser.parse_args()
    modules = nginx.load_module("ndk_http_module", "ngx_http_lua_module")
    server = nginx.Nginx(SERVER % options.faults, modules)
    try:
        good = [soak(protocol, "https://127.0.0.1:%d" % port, server.ca_file, options)
                for port, protocol in zip(server.ports, ("HTTP/2", "HTTP/1.1"))]
    finally:
        server.stop()
    sys.exit(0 if all(good) else 1)


main()
