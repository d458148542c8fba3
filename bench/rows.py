"""The rows of `make bench`: what is measured, beside which floor, and the goal.

A row has `name`, `group` (what --rows takes), `title`, `unit`, `goal` and `measure(rounds)`, which
returns the samples of the floor and of the module, a dictionary each: `seconds` of a call and
`processor` seconds of it, or `value`. The goal is one of
    ("times", 1.1)      ours / floor at most
    ("rate", 0.97)      floor / ours at least, of times: ours so many times the floor's calls a second
    ("more", 1.5)       ours - floor at most, in the row's unit
    ("at most", 20)     ours at most, in the row's unit
"""
import os
import re
import tempfile

import fleet
import gateway
import measuring
import nginx

ANSWER = "'{\"requestId\":\"$request_id\",\"response\":{}}'"
AT_ONCE = """\
    server {
        listen 127.0.0.1:@PORT$% ssl$HTTP2;
""" + nginx.TLS + """\
        location / {
            return 200 """ + ANSWER + """;
        }
    }
"""
IN_TWO_SECONDS = """\
    server {
        listen 127.0.0.1:@PORT$% ssl$HTTP2;
""" + nginx.TLS + """\
        location / {
            echo_read_request_body;
            echo_sleep 2;
            echo """ + ANSWER + """;
        }
    }
"""


def _server_text():
    text = "    keepalive_requests 100000000;\n    keepalive_timeout 600s;\n"
    for number, server in enumerate((AT_ONCE, AT_ONCE, IN_TWO_SECONDS, IN_TWO_SECONDS)):
        text += server.replace("$%", "%s@" % (number + 1 if number else "")).replace(
            "$HTTP2", " http2" if number % 2 else "")
    return text


class Row:
    def __init__(self, group, name, title, unit, goal, measure_rounds, clock="seconds",
                 instructions=None):
        self.group, self.name, self.title, self.unit = group, name, title, unit
        self.goal, self.measure, self.clock = goal, measure_rounds, clock
        self.instructions = instructions  # () -> (the floor's, ours) of a call


class Bench:
    """What the rows need, made when the first one needs it."""

    def __init__(self, options):
        self.lua, self.build = options.lua, os.path.abspath(options.build)
        self.out = os.path.join(self.build, options.flavour)
        self.floor = os.path.join(self.build, "bench/libcurl")
        self.folder = tempfile.TemporaryDirectory()
        self._server = None
        self._requests = {}

    def close(self):
        if self._server:
            self._server.stop()
        self.folder.cleanup()

    def at_bench(self, name):
        return os.path.join(nginx.TOP, "bench", name)

    def where(self, http2=False, slow=False):
        """-> the arguments of calls.lua: the endpoint and its certificate."""
        if not self._server:
            self._server = nginx.Nginx(_server_text(), nginx.load_module("ngx_http_echo_module"))
        port = self._server.ports[int(http2) + 2 * int(slow)]
        return ["https://127.0.0.1:%d" % port, self._server.ca_file]

    def requests(self, where, ids):
        """-> a file with the request of a call of so many ids, as the module sends it."""
        key = where[0], ids
        if key not in self._requests:
            path = os.path.join(self.folder.name, "requests-%d" % len(self._requests))
            with open(path, "w", encoding="ascii") as file:
                file.write(measuring.run(self.module("requests", where, ids=ids)))
            self._requests[key] = path
        return self._requests[key]

    def module(self, mode, where, **named):
        return [self.lua, self.at_bench("calls.lua"), mode] + where + [
            "%s=%s" % pair for pair in named.items()]

    def libcurl(self, where, ids, **named):
        return [self.floor, self.requests(where, ids), where[1]] + [
            "%s=%s" % pair for pair in named.items()]


# --- signing ------------------------------------------------------------------------------------

def signing(bench):
    program = os.path.join(bench.build, "bench/sign")

    def command(how, ids):
        if how == "lua":
            return lambda calls: [bench.lua, bench.at_bench("offline.lua"), "sign", str(ids),
                                  str(calls)]
        return lambda calls: [program, how, str(ids), str(calls)]

    def row(group, ids, title, floor, ours, goal):
        calls = 100000 if ours == "core" else 20000

        def measured(rounds):
            return measuring.take_turns(
                lambda: measuring.figures(command(floor, ids)(calls), calls),
                lambda: measuring.figures(command(ours, ids)(calls), calls), rounds)

        def counted():
            return [sum(measuring.instructions(command(how, ids), 100, 1100).values())
                    for how in (floor, ours)]
        return Row(group, "%s-%d" % (group, ids), title, "us", goal, measured, "processor", counted)

    return [row("sign", 100, "sign, 100 ids, core", "floor", "core", ("times", 1.10)),
            row("sign", 2, "sign, 2 ids, core", "floor", "core", ("times", 1.25)),
            row("lua-sign", 100, "zenlayer.sign, 100 ids; the core's sign", "core", "lua",
                ("more", 1.5))]


# --- loading, and one call of a process ---------------------------------------------------------

def loading(bench):
    libraries = measuring.run(["ldd", os.path.join(bench.out, "zenlayer.so")])
    names = re.findall(r"=> (\S*/lib(?:curl|crypto)\S*)", libraries)

    def sample(*arguments):
        command = [bench.lua, bench.at_bench("load.lua")] + list(arguments)
        return lambda: measuring.middle_of(15, lambda: measuring.figures(command))

    def measured(rounds):
        return measuring.take_turns(sample("libraries", *names), sample("module"), rounds)
    return [Row("require", "require", "require \"zenlayer\"; libcurl and libcrypto loaded", "us",
                ("times", 1.3), measured)]


def curl_command(bench, where):
    with open(bench.requests(where, 1), encoding="ascii") as file:
        url, *headers, _, body = file.read().splitlines()
    headers += ["Expect:", "Accept: application/json"]
    return (["curl", "-q", "--silent", "--show-error", "--fail", "--cacert", where[1],
             "--data-binary", body] + [part for line in headers for part in ("--header", line)]
            + [url])


def processes(bench):
    def measured(rounds):
        where = bench.where()
        commands = curl_command(bench, where), bench.module("one", where)
        floor, ours = [
            lambda command=command: measuring.middle_of(15, lambda: measuring.whole_process(command))
            for command in commands]
        return measuring.take_turns(floor, ours, rounds)
    return [Row("process", "process", "a call from process start to exit; the curl command", "ms",
                ("times", 1.05), measured)]


# --- calls over kept connections ----------------------------------------------------------------

def sequential(bench):
    def row(ids, goal):
        def commands(where):
            return (lambda calls: bench.libcurl(where, ids, concurrency=0, calls=calls, warm=20),
                    lambda calls: bench.module("one", where, ids=ids, calls=calls, warm=20))

        def measured(rounds, calls=3000):
            floor, ours = commands(bench.where())
            return measuring.take_turns(lambda: measuring.figures(floor(calls), calls),
                                      lambda: measuring.figures(ours(calls), calls), rounds)

        def counted():
            return [sum(measuring.instructions(command, 50, 350).values())
                    for command in commands(bench.where())]
        return Row("sequential", "sequential-%d" % ids,
                   "stop_instances, %d id%s, one after another" % (ids, "s" if ids > 1 else ""),
                   "calls/s", ("rate", goal), measured, instructions=counted)
    return [row(1, 0.97), row(100, 0.95)]


GROUPS = {"sign": signing, "lua-sign": signing, "require": loading, "process": processes,
          "sequential": sequential}


def all_rows(bench, wanted):
    """The rows of the groups, in their order; `wanted` is empty for all."""
    makers = []
    for group, maker in GROUPS.items():
        if maker not in makers and (not wanted or group in wanted):
            makers.append(maker)
    return [row for maker in makers for row in maker(bench)
            if not wanted or row.group in wanted or row.name in wanted]
