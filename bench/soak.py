#!/usr/bin/env python3
"""Many calls through one client, some of which meet a fault: does it grow, leak or slow down?
`make soak` builds the module and runs this.

The server is an nginx with TLS that answers at once; one request in a hundred, drawn at random, gets
no answer (the connection is closed), half of one, a 503, a 429, a 404, or a page of somebody else's.
After a tenth of the calls the client is warm. From then on to the end the process may grow by 256 KiB,
it has as many descriptors open but for a few connections that it keeps, and the last tenth of the calls
costs as much processor time a call as the second: at most 5 % more (medians of twenty parts, so that
what else the machine does is not told as ours).
"""
import argparse
import os
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


def check(name, good, told):
    print("%-6s %s: %s" % ("ok" if good else "FAILED", name, told))
    return good


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
        good = True
        for port, protocol in zip(server.ports, ("HTTP/2", "HTTP/1.1")):
            told = subprocess.run(
                [options.lua, os.path.join(nginx.TOP, "bench/soak.lua"),
                 "https://127.0.0.1:%d" % port, server.ca_file, str(options.calls // 2)],
                stdout=subprocess.PIPE, text=True, check=True).stdout
            print("%s: %s" % (protocol, told.splitlines()[0]))
            seen = dict(line.split(" ") for line in told.splitlines()[1:])
            grown, fds = int(seen["grown_kib"]), int(seen["fds_more"])
            slower = (float(seen["last_us"]) / float(seen["first_us"]) - 1) * 100
            good &= check("memory", grown <= options.grown,
                          "%d KiB more (%d at most)" % (grown, options.grown))
            good &= check("descriptors", fds <= 4, "%d more (4 kept connections at most)" % fds)
            good &= check("processor time a call", slower <= options.slower,
                          "%s us, at the end %s us, %+.1f %% (%.0f at most)"
                          % (seen["first_us"], seen["last_us"], slower, options.slower))
            faults = int(seen["faults"])
            good &= check("faults", options.faults == 0 or faults > 0, "%d met" % faults)
    finally:
        server.stop()
    sys.exit(0 if good else 1)


main()
