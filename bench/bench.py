#!/usr/bin/env python3
"""The module beside its floors: raw OpenSSL, raw libcurl, the curl command, bare cosockets.

Each row takes turns with its floor, a round that only warms up and then --rounds of each. The
ratio is that of a round; shown are its median, its least and its most. Beside it that of the
processor's time, which says more where other programs run, and that of instructions as valgrind
counts them. The verdict rests on the time, for signing on the processor's. `make bench` builds all
and runs this.
"""
import argparse
import json
import os
import re
import signal
import sys

sys.dont_write_bytecode = True
import measuring  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402

UNITS = {"us": 1e6, "ms": 1e3, "s": 1}
COMPARE = {"times": lambda floor, ours: ours / floor, "rate": lambda floor, ours: floor / ours,
           "more": lambda floor, ours: ours - floor, "at most": lambda floor, ours: ours,
           "shown": lambda floor, ours: ours / floor}
SIGNS = {"times": "<= %g", "rate": ">= %g", "more": "<= +%g", "at most": "<= %g",
         "shown": ""}
LINE = "%-58s%10s%16s%9s%18s%9s  %-7s%9s%9s"


def shown(unit, value):
    """A sample's median, in the unit of its row."""
    value = 1 / value if unit == "calls/s" else value * UNITS.get(unit, 1)
    return "%.0f" % value if value >= 1000 else "%.3g" % value


def judge(row, samples):
    """-> what is known of a row that was measured."""
    kind, limit = row.goal
    name = row.clock if row.clock in samples[0][0] else "value"
    scale = UNITS.get(row.unit, 1) if kind in ("more", "at most") else 1
    ratio, least, most = [scale * each for each in measuring.pairs(samples, name, COMPARE[kind])]
    met = None
    if limit is not None:
        met = ratio >= limit if kind == "rate" else ratio <= limit
    found = {"title": row.title, "unit": row.unit, "kind": kind, "limit": limit,
             "floor": measuring.median(samples[0], name), "ours": measuring.median(samples[1], name),
             "ratio": ratio, "least": least, "most": most,
             "met": met}
    if row.series:
        found["series"] = row.series
    if "processor" in samples[0][0] and name != "processor":
        found["processor"] = measuring.pairs(samples, "processor", COMPARE["times"])[0]
    return found


def goal(found):
    return "" if found["limit"] is None else SIGNS[found["kind"]] % found["limit"]


def line(found):
    counted = found.get("instructions")
    return LINE % (
        found["title"], shown(found["unit"], found["floor"]),
        shown(found["unit"], found["ours"]) + " " + found["unit"][:7], "%.3f" % found["ratio"],
        "(%.3f-%.3f)" % (found["least"], found["most"]), goal(found),
        {True: "met", False: "MISSED", None: ""}[found["met"]],
        "%.3f" % found["processor"] if "processor" in found else "",
        "%.3f" % (counted[1] / counted[0]) if counted else "")


def table(results):
    """The same for a document."""
    lines = ["| | floor | ours | | ratio | least, most | goal | | processor | instructions |",
             "|---|--:|--:|---|--:|--:|--:|---|--:|--:|"]
    for found in results:
        counted = found.get("instructions")
        lines.append("| %s |" % " | ".join((
            found["title"], shown(found["unit"], found["floor"]),
            shown(found["unit"], found["ours"]), found["unit"], "%.3f" % found["ratio"],
            "%.3f to %.3f" % (found["least"], found["most"]),
            goal(found).replace("<=", "≤").replace(">=", "≥"),
            {True: "met", False: "**missed**", None: ""}[found["met"]],
            "%.2f" % found["processor"] if "processor" in found else "",
            "%.2f" % (counted[1] / counted[0]) if counted else "")))
    return "\n".join(lines)


def machine(options):
    """What it was measured on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    ask = ("local v = require 'zenlayer'.versions() "
           "print(('%s, libcurl %s, OpenSSL %s'):format(v.lua, v.libcurl, v.openssl))")
    server = measuring.run(["sh", "-c", "nginx -v 2>&1"]).strip().split("/")[-1]
    return "%s, %d processors; %s, nginx %s; %d rounds." % (
        model.group(1).strip() if model else os.uname().machine, os.cpu_count(),
        measuring.run([options.lua, "-e", ask]).strip(), server, options.rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lua", default="lua5.4", help="the interpreter")
    parser.add_argument("--flavour", default="lua5.4", help="the folder of its build")
    parser.add_argument("--build", default="build", help="the build folder")
    parser.add_argument("--rounds", type=int, default=7, help="of each, in turn (7)")
    parser.add_argument("--rows", default="",
                        help="some of them, with commas: " + ",".join(rows.GROUPS))
    parser.add_argument("--no-instructions", action="store_true", help="do without valgrind")
    parser.add_argument("--write", metavar="FOLDER", help="figures and plots into FOLDER (docs)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server's folder goes too

    wanted = [each for each in options.rows.split(",") if each]
    unknown = [each for each in wanted if each not in rows.GROUPS]
    if unknown:
        parser.error("no rows called %s; there are %s" % (unknown[0], ", ".join(rows.GROUPS)))
    print("%d rounds; load %.2f on %d processors" % (options.rounds, os.getloadavg()[0],
                                                     os.cpu_count()))
    print(LINE % ("", "floor", "ours", "ratio", "least-most", "goal", "", "processor", "instr."),
          flush=True)
    results = os.path.join(options.build, "bench/results.json")
    kept = {}
    if os.path.exists(results):
        with open(results, encoding="utf-8") as file:
            kept = json.load(file)
    missed = 0
    bench = rows.Bench(options)
    try:
        known = rows.all_rows(bench)
        for row in (each for each in known if not wanted or each.group in wanted):
            found = judge(row, row.measure(options.rounds))
            if row.instructions and not options.no_instructions:
                found["instructions"] = row.instructions()
            print(line(found), flush=True)
            missed += found["met"] is False
            kept[row.name] = found
            with open(results, "w", encoding="utf-8") as file:
                json.dump(kept, file, indent=1)
    finally:
        bench.close()
    print("%d goals missed" % missed)
    if options.write:
        names = [row.name for row in known if row.name in kept]
        report.write(options.write, kept, machine(options), table([kept[name] for name in names]))


if __name__ == "__main__":
    main()
