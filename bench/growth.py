"""Whether what an id, or a job, costs stays the same when there are many: series over their number,
for the plot; `make bench` holds the last of each against the first."""

import measuring

IDS = (100, 1000, 10000, 100000)
IDS_OF_MEMORY = (10000, 30000, 100000)  # fewer drown in that of the connections
JOBS = (1, 10, 100, 1000)
CALLS = 1000  # in each measurement, however they are divided


def _processor(command, parts):
    return measuring.figures(command)["processor"] / parts


def ids(bench):
    """One operation on so many ids, eight calls at a time: the processor's seconds of an id, and the
    memory in KiB of an id beyond that of a process with hardly any."""
    where = bench.where()

    def command(count, times):
        return bench.module("stop", where, ids=100, calls=count // 100, times=times, warm=8)
    base = measuring.figures(command(IDS[0], 1))["hwm_kib"]
    processor, memory = [], []
    for count in IDS:
        times = CALLS * 100 // count
        processor.append(_processor(command(count, times), times * count))
    for count in IDS_OF_MEMORY:
        most = measuring.figures(command(count, 1))["hwm_kib"]
        memory.append((most - base) / count)
    return {"ids": processor, "memory": memory}


def jobs(bench):
    """So many jobs at once, of one id each: eight calls in flight and the other jobs waiting for
    their turn; and all of them in flight, on a server that takes 50 ms, beside libcurl's loop."""
    at_once, slow = bench.where(True), bench.where(True, 0.05)
    queued, flying, floor = [], [], []
    for count in JOBS:
        times = CALLS // count
        queued.append(_processor(bench.module("burst", at_once, calls=count, times=times, warm=8),
                                 CALLS))
        times = max(2, 100 // count)
        flying.append(_processor(bench.module("burst", slow, calls=count, concurrency=count,
                                              times=times, warm=count), count * times))
        floor.append(_processor(bench.libcurl(slow, 1, http2=1, calls=count * times, warm=count,
                                              concurrency=count), count * times))
    return {"queued": queued, "flying": flying, "floor": floor}


# name: its title, the unit, the numbers
SERIES = {
    "ids": ("processor's time of an id, of 100,000; of 100", "us", IDS),
    "memory": ("memory of an id, of 100,000; of 10,000", "KiB", IDS_OF_MEMORY),
    "queued": ("processor's time of a job, of 1,000 that take turns; of 1", "us", JOBS),
    "flying": ("processor's time of a job, of 1,000 in flight; of 1", "us", JOBS),
    "floor": ("the same, plain libcurl", "us", JOBS),
}


def measure(bench, rounds):
    """-> {series: [its figures, of each round]}"""
    found = {name: [] for name in SERIES}
    for _ in range(rounds):
        for name, figures in {**ids(bench), **jobs(bench)}.items():
            found[name].append(figures)
    return found
