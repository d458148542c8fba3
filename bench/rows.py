"""The rows of `make bench`: what is measured, beside which floor, and the goal.

A row has `name`, `group` (what --rows takes), `title`, `unit`, `goal` and `measure(rounds)`, which
returns the samples of the floor and of the module, a dictionary each: `seconds` of a call and
`processor` seconds of it, or `value`. The goal is one of
    ("times", 1.1)      ours / floor at most
    ("rate", 0.97)      floor / ours at least, of times: ours so many times the floor's calls a second
    ("more", 1.5)       ours - floor at most, in the row's unit
    ("at most", 20)     ours at most, in the row's unit
    ("shown", None)     none: ours / floor is shown; a limit of None is none, too
`series`, if a row has it once it was measured, is more of it for the plots.
"""
import os
import re
import statistics
import tempfile

import fleet
import gateway
import growth
import measuring
import nginx

PROTOCOLS = ("HTTP/1.1", "HTTP/2")
CONCURRENCIES = (1, 4, 16, 64)
PERCENTILES = (50, 75, 90, 95, 99)
AT_ONCE = """\
    server {
        listen 127.0.0.1:@PORT$% ssl$HTTP2;
""" + nginx.TLS + """\
        location / {
            return 200 '{"requestId":"$request_id","response":{}}';
        }
    }
"""
SLOW = """\
    server {
        listen 127.0.0.1:@PORT$% ssl$HTTP2;
""" + nginx.TLS + """\
        location / {
            content_by_lua_block {
                ngx.req.read_body()
                ngx.sleep($SECONDS)
                local answer = '{"requestId":"' .. ngx.var.request_id .. '","response":{}}'
                ngx.header["Content-Length"] = #answer
                ngx.print(answer)
            }
        }
    }
"""


# How long an answer takes, and whether over HTTP/2: each a port.
SERVERS = [(seconds, http2) for seconds in (0, 0.05, 2) for http2 in (False, True)]


def _server_text():
    text = "    keepalive_requests 100000000;\n    keepalive_timeout 600s;\n"
    for number, (seconds, http2) in enumerate(SERVERS):
        server = (SLOW if seconds else AT_ONCE).replace("$SECONDS", str(seconds))
        text += server.replace("$%", "%s@" % (number + 1 if number else "")).replace(
            "$HTTP2", " http2" if http2 else "")
    return text


class Row:
    def __init__(self, group, name, title, unit, goal, measure_rounds, clock="seconds",
                 instructions=None):
        self.group, self.name, self.title, self.unit = group, name, title, unit
        self.goal, self.measure, self.clock = goal, measure_rounds, clock
        self.instructions = instructions  # () -> (the floor's, ours) of a call
        self.series = None


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

    def where(self, http2=False, seconds=0):
        """-> the arguments of calls.lua: the endpoint and its certificate."""
        if not self._server:
            self._server = nginx.Nginx(_server_text(), nginx.load_module(*gateway.MODULES))
        port = self._server.ports[SERVERS.index((seconds, http2))]
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
            return measuring.programs_take_turns(command(floor, ids)(calls),
                                                 command(ours, ids)(calls), rounds, calls)

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
        ours = [bench.lua, bench.at_bench("once.lua")] + where
        commands = curl_command(bench, where), ours
        floor, ours = [
            lambda command=command: measuring.middle_of(15, lambda: measuring.whole_process(command))
            for command in commands]
        return measuring.take_turns(floor, ours, rounds)
    return [Row("process", "process", "a call from process start to exit; the curl command", "ms",
                ("times", 1.05), measured)]


# --- calls over kept connections ----------------------------------------------------------------

def sequential(bench):
    def row(name, mode, title, ids, goal):
        def commands(where):
            return (lambda calls: bench.libcurl(where, ids, concurrency=0, calls=calls, warm=20),
                    lambda calls: bench.module(mode, where, ids=ids, calls=calls, warm=20))

        def measured(rounds, calls=3000):
            floor, ours = commands(bench.where())
            return measuring.programs_take_turns(floor(calls), ours(calls), rounds, calls)

        def counted():
            return [sum(measuring.instructions(command, 50, 350).values())
                    for command in commands(bench.where())]
        return Row("sequential", "%s-%d" % (name, ids), title % (ids, "s" if ids > 1 else ""),
                   "calls/s", goal, measured, instructions=counted)
    ours = "sequential", "one", "stop_instances, %d id%s, one after another"
    least = "least", "least", "the least that a call can be, %d id%s"
    return [row(*ours, 1, ("rate", 0.97)), row(*ours, 100, ("rate", 0.95)),
            row(*least, 1, ("rate", None)), row(*least, 100, ("rate", None))]


# --- several at a time --------------------------------------------------------------------------

def fleets(bench):
    def row(http2):
        return Row("fleet", "fleet-http%d" % (1 + http2), "10,000 ids, ten at a time, 50 ms each, "
                   + PROTOCOLS[http2], "ms", ("times", 1.03),
                   lambda rounds: fleet.measure(bench.lua, bench.floor, rounds, http2))
    return [row(False), row(True)]


def concurrent(bench):
    def row(group, mode, ids, concurrency, http2, what):
        def measured(rounds, calls=500, times=6):
            where = bench.where(http2)
            # So many that the module, which opens a connection only where it lacks one, has all.
            named = {"concurrency": concurrency, "warm": 100 + 60 * concurrency}
            floor = bench.libcurl(where, ids, http2=int(http2), calls=calls * times, **named)
            if mode == "stop":  # operations on 50,000 ids
                ours = bench.module(mode, where, ids=ids, calls=calls, times=times, **named)
            else:
                ours = bench.module(mode, where, ids=ids, calls=calls * times, **named)
            return measuring.programs_take_turns(floor, ours, rounds, calls * times)
        return Row(group, "%s-%d-http%d" % (group, concurrency, 1 + http2),
                   "%s, %d at a time, %s" % (what, concurrency, PROTOCOLS[http2]), "calls/s",
                   ("rate", 0.95), measured)
    return [row(group, mode, ids, concurrency, http2, what)
            for group, mode, ids, what in (("concurrency", "stop", 100, "calls of 100 ids"),
                                           ("jobs", "jobs", 1, "jobs of one id"))
            for http2 in (False, True) for concurrency in CONCURRENCIES]


# --- a frame of a game --------------------------------------------------------------------------

def frames(bench):
    """bench-poll measures both by turns; here it is asked as often as there are rounds."""
    told = []

    def table(rounds):
        while len(told) < rounds:
            told.append(measuring.run([bench.at_bench("poll.sh"),
                                       os.path.join(bench.out, "bench-poll"), "--rounds", "3"]))
        return told

    def value(text, title, who):
        pattern = r"^ *%s\n(?: .*\n)*? *%s +\d+ +([\d.]+)" % (re.escape(title), re.escape(who))
        return {"value": float(re.search(pattern, text, re.M).group(1)) / 1e6}

    def row(name, title, heading, goal):
        def measured(rounds):
            return [[value(text, heading, who) for text in table(rounds)]
                    for who in ("libcurl alone", "client:poll(0)")]
        return Row("poll", name, title, "us", goal, measured, "value")
    return [row("poll-event", "a frame with an event, beyond curl_multi_socket_action",
                "of these, beyond curl_multi_socket_action", ("more", 10)),
            row("poll-idle", "a frame without one", "idle frames", ("at most", 20))]


# --- how long a call takes ----------------------------------------------------------------------

def latencies(bench):
    def row(mode, concurrency, what):
        def sample(command, calls):
            path = os.path.join(bench.folder.name, "latencies")
            measuring.run(command + ["latencies=" + path])
            with open(path, encoding="ascii") as file:
                values = sorted(map(float, file))
            assert len(values) == calls
            return {"p%g" % p: values[min(calls - 1, int(calls * p / 100))] for p in PERCENTILES}

        def measured(rounds, calls=4000):
            where = bench.where()
            named = {"calls": calls, "warm": 60 * concurrency + 20}
            floor = bench.libcurl(where, 1, concurrency=concurrency, **named)
            ours = bench.module(mode, where, concurrency=max(1, concurrency), **named)
            samples = measuring.take_turns(lambda: sample(floor, calls),
                                           lambda: sample(ours, calls), rounds)
            made.series = [[measuring.median(each, "p%g" % p) for p in PERCENTILES]
                           for each in samples]
            return samples
        made = Row("latency", "latency-%d" % concurrency, "the 99th percentile of a call of 1 id, "
                   + what, "us", ("shown", None), measured, "p99")
        return made
    return [row("one", 0, "one after another"), row("jobs", 16, "16 at a time")]


# --- growth -------------------------------------------------------------------------------------

def growing(bench):
    found = {}

    def row(name, title, unit, numbers):
        def measured(rounds):
            if not found:
                found.update(growth.measure(bench, rounds))
            figures = found[name]
            made.series = [list(numbers), [statistics.median(each) for each in zip(*figures)]]
            return [[{"value": each[which]} for each in figures] for which in (0, -1)]
        goal = ("shown", None) if name == "floor" else ("times", 1.1)
        made = Row("growth", "growth-" + name, title, unit, goal, measured, "value")
        return made
    return [row(name, *rest) for name, rest in growth.SERIES.items()]


# --- memory -------------------------------------------------------------------------------------

def memory(bench):
    def most(command):
        return measuring.figures(command)["hwm_kib"]

    def in_flight(http2):
        def commands(where, count):
            return (bench.libcurl(where, 1, http2=int(http2), calls=count, concurrency=count),
                    bench.module("jobs", where, calls=count, concurrency=count))

        def measured(rounds):
            where = bench.where(http2, 2)
            few, many = commands(where, 20), commands(where, 120)
            floor, ours = [
                lambda which=which: {"value": (most(many[which]) - most(few[which])) / 100}
                for which in (0, 1)]
            return measuring.take_turns(floor, ours, rounds)
        return Row("memory", "in-flight-http%d" % (1 + http2), "memory of a call in flight, "
                   + PROTOCOLS[http2], "KiB", ("times", 1.1), measured, "value")

    def after(calls):
        def measured(rounds):
            where = bench.where()
            floor = bench.libcurl(where, 1, concurrency=0, calls=calls)
            ours = bench.module("one", where, calls=calls)
            # It takes long, and hardly differs from one to the next.
            return measuring.take_turns(lambda: {"value": most(floor)}, lambda: {"value": most(ours)},
                                        min(rounds, 3))
        return Row("memory", "memory-after", "memory of a process that made %d calls" % calls, "KiB",
                   ("times", 1.1), measured, "value")
    return [in_flight(False), in_flight(True), after(100000)]


# --- cosockets ----------------------------------------------------------------------------------

def cosockets(bench):
    found = {}

    def measure_all(rounds):
        upstream, front = gateway.start(bench.build)
        try:
            for name, port, scheme, concurrency, part, _ in gateway.CASES:
                calls = 1600 if part < 1 else 16000  # a second or less, of those that wait too
                found[name] = gateway.throughput(front.ports[0], upstream.ports[port], scheme,
                                                 concurrency, rounds, calls)
        finally:
            front.stop()
            upstream.stop()

    def row(case, limit, ids):
        def measured(rounds):
            if not found:
                measure_all(rounds)
            wall, processor = found[case][ids]
            return [[{"seconds": one, "processor": other}
                     for one, other in zip(wall[how], processor[how])]
                    for how in ("bare", "driver")]
        return Row("cosocket", "cosocket-%s-%d" % (case.split()[-1], ids),
                   "cosockets, %d id%s, answered %s" % (ids, "s" if ids > 1 else "", case),
                   "calls/s", ("rate", limit), measured)
    return [row(case[0], case[-1], ids) for case in gateway.CASES for ids in (1, 100)]


GROUPS = {"sign": signing, "lua-sign": signing, "sequential": sequential, "fleet": fleets,
          "concurrency": concurrent, "jobs": concurrent, "latency": latencies, "poll": frames,
          "memory": memory,
          "process": processes, "require": loading, "cosocket": cosockets, "growth": growing}


def all_rows(bench):
    """Every row, in the order of the groups."""
    makers = list(dict.fromkeys(GROUPS.values()))
    return [row for maker in makers for row in maker(bench)]
