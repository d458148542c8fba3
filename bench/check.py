#!/usr/bin/env python3
"""Instructions of what the module does by itself, without a network, beside the recorded figures.

Counted by valgrind for a call, the same on every run: signing in the core, zenlayer.sign from Lua,
and an operation prepared, stepped, answered and its result taken. Apart: what is spent in OpenSSL's
libcrypto, and everywhere else. Either fails when it is more than 3 % over bench/baseline.json.

Other compilers and libraries take other instructions: figures that were recorded with other versions
are not compared, and that is said. `make bench-check BENCH_ARGS=--record` records anew.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shutil
import sys

sys.dont_write_bytecode = True
import measuring  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ALLOWED = 1.03
# name, how many calls at first and at last
ROWS = (("core sign 2", 100, 600), ("core sign 100", 100, 600),
        ("lua sign 2", 100, 600), ("lua sign 100", 100, 600),
        ("lua prepare 1", 100, 600), ("lua prepare 100", 50, 250), ("lua prepare 10000", 1, 5))
# Names from the environment would end in the heap, and Lua's hashes begin with an address of it.
ENVIRONMENT = {"LC_ALL": "C"}


def first_line(command):
    return measuring.run(command).strip().splitlines()[0]


def versions(options):
    """What the counts depend on, besides our sources."""
    with open(os.path.join(options.build, "core/flags"), encoding="utf-8") as file:
        flags = [flag for flag in file.read().split()[1:] if flag[:2] not in ("-W", "-I")]
    ask = "local v = require 'zenlayer'.versions() print(v.openssl, v.cjson)"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        features = set(re.search(r"^flags\s*: (.*)$", file.read(), re.M).group(1).split())
    compiler = os.environ.get("CC") or "cc"
    return {
        "compiler": first_line(compiler.split() + ["--version"]), "flags": " ".join(flags),
        "lua": measuring.run(["sh", "-c", "%s -v 2>&1" % options.lua]).split("  ")[0],
        "openssl, cjson": " ".join(first_line([options.lua, "-e", ask]).split("\t")),
        "libc": first_line(["ldd", "--version"]),
        "valgrind": first_line(["valgrind", "--version"]),
        # libc and OpenSSL choose by this, as far as valgrind shows it to them
        "processor": " ".join([os.uname().machine] + sorted(features & {"avx", "avx2", "bmi2"})),
    }


def count(options, row):
    """-> {"libcrypto": instructions, "elsewhere": instructions} of a call."""
    name, few, many = row
    how, mode, ids = name.split(" ")
    program = [os.path.join(options.build, "bench/sign"), "core", ids]
    if how == "lua":
        program = [shutil.which(options.lua), os.path.join(HERE, "offline.lua"), mode, ids]
    found = measuring.instructions(lambda calls: program + [str(calls)], few, many, ENVIRONMENT)
    crypto = sum(value for name, value in found.items() if name.startswith("libcrypto"))
    return {"libcrypto": round(crypto), "elsewhere": round(sum(found.values()) - crypto)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lua", default="lua5.4", help="the interpreter")
    parser.add_argument("--build", default="build", help="the build folder")
    parser.add_argument("--baseline", default=os.path.join(HERE, "baseline.json"))
    parser.add_argument("--record", action="store_true", help="write the baseline")
    options = parser.parse_args()

    here = versions(options)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = dict(zip((row[0] for row in ROWS),
                           pool.map(lambda row: count(options, row), ROWS)))
    if options.record:
        with open(options.baseline, "w", encoding="utf-8") as file:
            json.dump({"versions": here, "instructions": counted}, file, indent=4)
            file.write("\n")
        recorded = counted
    else:
        with open(options.baseline, encoding="utf-8") as file:
            kept = json.load(file)
        recorded = kept["instructions"]
        others = [name for name in here if kept["versions"].get(name) != here[name]]
        for name in others:
            print("other %s: recorded with %s; here %s" % (name, kept["versions"].get(name),
                                                           here[name]))
    print("%-18s%-11s%10s%10s%9s" % ("instructions", "", "recorded", "here", "ratio"))
    over = []
    for name, parts in counted.items():
        for part, here_count in parts.items():
            before = recorded.get(name, {}).get(part)
            ratio = here_count / before if before else 1
            print("%-18s%-11s%10s%10d%9.3f" % (name, part, before, here_count, ratio))
            # Some instructions more or less are an address that falls another way.
            if ratio > ALLOWED and here_count - before > 20:
                over.append("%s, %s" % (name, part))
    if options.record:
        print("recorded in " + os.path.relpath(options.baseline))
    elif others:
        print("bench-check: recorded with another %s: nothing was compared" % ", ".join(others))
    elif over:
        sys.exit("bench-check: more than 3 % over the baseline: " + "; ".join(over))
    else:
        print("bench-check: all %d figures are within 3 %% of the baseline" % (2 * len(counted)))


if __name__ == "__main__":
    main()
