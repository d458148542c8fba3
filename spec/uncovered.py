#!/usr/bin/env python3
"""Compares what the tests did not reach with the list of it.

usage: spec/uncovered.py LIST REPORT…

LIST: a reason at the beginning of a line, and under it, indented, the functions that it is true for:
"api/clock.c draw". REPORT: gcovr's, in JSON. A function with lines that nothing ran must be listed,
and one that is listed must be there.
"""
import bisect
import json
import os
import sys


def read_list(path):
    """-> {"file function": its reason}"""
    listed, reason = {}, None
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line[0] == "#" or not line.strip():
                continue
            if not line[0].isspace():
                reason = line.strip()
            elif reason is None or len(line.split()) != 2:
                sys.exit(f"{path}: not a file and a function under a reason: {line.strip()}")
            else:
                listed[" ".join(line.split())] = reason
    return listed


def read_reports(paths):
    """-> the names of all functions, {"file function": [lines that nothing ran]}"""
    known, missed = set(), {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        for source in report["files"]:
            name = os.path.relpath(source["file"])
            functions = sorted((f["lineno"], f["name"]) for f in source["functions"])
            starts = [line for line, _ in functions]
            known.update(f"{name} {function}" for _, function in functions)
            for line in source["lines"]:
                number = line["line_number"]
                at = bisect.bisect(starts, number) - 1
                if line["count"] == 0 and not line.get("gcovr/noncode") and at >= 0:
                    missed.setdefault(f"{name} {functions[at][1]}", []).append(number)
    return known, missed


def main():
    listed = read_list(sys.argv[1])
    known, missed = read_reports(sys.argv[2:])
    bad = 0
    for function, lines in sorted(missed.items()):
        if function not in listed:
            numbers = ", ".join(str(n) for n in lines)
            print(f"{sys.argv[1]} has no reason for {function}: no test reaches line {numbers}")
            bad += 1
    for function in sorted(set(listed) - known):
        print(f"{sys.argv[1]} names {function}, which there is no longer")
        bad += 1
    for function in sorted(set(listed) & known - set(missed)):
        print(f"{function} is reached whole this time; {sys.argv[1]} says: {listed[function]}")
    print(f"{len(missed)} functions with lines that no test reaches, {bad} of them not as listed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
