"""docs/performance.md and its plots, from what `make bench` found last of each row."""

import os
import re

import growth
import nginx
import plot
import rows

BEGIN, END = "<!-- figures, written by make bench -->\n", "<!-- end of the figures -->\n"


def _rates(results, group, title):
    """Calls a second over concurrency."""
    lines = []
    for which, name, color in (("floor", "libcurl", plot.FLOOR), ("ours", "the module", plot.OURS)):
        for http in (1, 2):
            points = [(count, 1 / results["%s-%d-http%d" % (group, count, http)][which])
                      for count in rows.CONCURRENCIES]
            lines.append(plot.Line("%s, %s" % (name, rows.PROTOCOLS[http - 1]), points, color,
                                   http == 2))
    return plot.panel(title, "at a time", "calls/s", lines)


def _latencies(results, concurrency, title):
    floor, ours = results["latency-%d" % concurrency]["series"]
    names = ["%g %%" % each for each in rows.PERCENTILES]
    return plot.panel(title, "percentile", "microseconds", [
        plot.Line(name, list(zip(names, [each * 1e6 for each in values])), color)
        for name, values, color in (("libcurl", floor, plot.FLOOR), ("the module", ours, plot.OURS))])


def _growth(results, title, x_title, y_title, names):
    colors = iter((plot.OURS, plot.OTHER, plot.FLOOR))
    lines = []
    for name, what in names:
        scale = 1e6 if growth.SERIES[name][1] == "us" else 1024
        xs, ys = results["growth-" + name]["series"]
        lines.append(plot.Line(what, [(x, y * scale) for x, y in zip(xs, ys)], next(colors)))
    return plot.panel(title, x_title, y_title, lines)


PLOTS = {
    "calls.svg": lambda results: [_rates(results, "concurrency", "one operation, calls of 100 ids"),
                                  _rates(results, "jobs", "jobs of one id")],
    "latency.svg": lambda results: [_latencies(results, 0, "calls of one id, one after another"),
                                    _latencies(results, 16, "jobs of one id, 16 at a time")],
    "growth.svg": lambda results: [
        _growth(results, "time of an id", "ids in one operation", "microseconds",
                [("ids", "the processor's")]),
        _growth(results, "memory of an id", "ids in one operation", "bytes", [("memory", "at most")]),
        _growth(results, "time of a job", "jobs at once", "microseconds",
                [("queued", "eight in flight"), ("flying", "all in flight"),
                 ("floor", "all, libcurl")])],
}


def write(folder, results, machine, table):
    """`table` is the text between the marks; a plot of which something was never measured stays."""
    folder = os.path.join(nginx.TOP, folder)
    path = os.path.join(folder, "performance.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    figures = "%s%s\n\n%s\n%s" % (BEGIN, machine, table, END)
    text = re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: figures, text, flags=re.S)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    for name, panels in PLOTS.items():
        try:
            plot.write(os.path.join(folder, name), panels(results))
        except KeyError as missing:
            print("%s stays as it is: %s was not measured yet" % (name, missing))
