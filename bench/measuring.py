"""How the benches measure: programs that take turns, medians and spreads, instructions."""

import os
import re
import statistics
import subprocess
import tempfile
import time


def run(command, environment=None):
    """-> what the program printed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=600, env={**os.environ, **(environment or {})}, check=False)
    if done.returncode != 0:
        raise SystemExit("bench: %s\n%s%s" % (" ".join(command), done.stdout, done.stderr))
    return done.stdout


def figures(command, calls=1):
    """A program that prints `name number` lines. -> {name: number}, times divided by the calls."""
    told = {}
    for name, value in re.findall(r"^(\w+) ([\d.]+)$", run(command), re.M):
        told[name] = float(value) / (calls if name in ("seconds", "processor") else 1)
    return told


def whole_process(command):
    """-> what it took from its start to its exit."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit("bench: %s: exit status %d" % (" ".join(command), process.returncode))
    return {"seconds": seconds, "processor": usage.ru_utime + usage.ru_stime}


def middle_of(count, sample):
    """-> the medians of several samples, where one of them is short and jumps."""
    samples = [sample() for _ in range(count)]
    return {name: statistics.median(each[name] for each in samples) for name in samples[0]}


def take_turns(floor, ours, rounds):
    """Two functions that return a sample: floor, ours; ours, floor; … after a round that only warms
    up. What else the machine does befalls both. -> the samples of each."""
    samples = ([], [])
    for number in range(rounds + 1):
        for which in (0, 1) if number % 2 else (1, 0):
            sample = (floor, ours)[which]()
            if number > 0:
                samples[which].append(sample)
    return samples


def programs_take_turns(floor, ours, rounds, calls=1):
    """The same of two programs, by their figures."""
    return take_turns(lambda: figures(floor, calls), lambda: figures(ours, calls), rounds)


def pairs(samples, name, by):
    """-> median, least and most of by(floor, ours) over the rounds."""
    values = [by(one[name], other[name]) for one, other in zip(*samples)]
    return statistics.median(values), min(values), max(values)


def median(samples, name):
    return statistics.median(each[name] for each in samples)


def _callgrind(command, environment):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "callgrind")
        run(["valgrind", "--quiet", "--tool=callgrind", "--callgrind-out-file=" + out] + command,
            environment)
        with open(out, encoding="utf-8", errors="replace") as file:
            return file.read()


def _by_object(text):
    """-> {object file: instructions}, of what callgrind wrote."""
    names, counts, current, is_call = {}, {}, "", False
    for line in text.splitlines():
        if line.startswith("ob="):
            number, _, name = line[3:].partition(" ")
            names.setdefault(number, os.path.basename(name))
            current = names[number]
        elif line.startswith("cob="):
            number, _, name = line[4:].partition(" ")
            names.setdefault(number, os.path.basename(name))
        elif line.startswith("calls="):
            is_call = True  # the next line is what was called, which is counted where it stands
        elif line[:1].isdigit() or line[:1] in "+-*":
            if not is_call:
                count = (line.split(" ") + ["0"])[1]  # a nought is left out
                counts[current] = counts.get(current, 0) + int(count)
            is_call = False
    return counts


def instructions(command_for, few, many, environment=None):
    """Instructions of one call by object file, as valgrind counts them: those of `many` calls less
    those of `few`, so that what is done once is not in it. -> {object file: instructions}"""
    less = _by_object(_callgrind(command_for(few), environment))
    more = _by_object(_callgrind(command_for(many), environment))
    return {name: (more[name] - less.get(name, 0)) / (many - few) for name in more}
