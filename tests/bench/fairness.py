"""One user's storm, and what the others feel of it: p99 of a quiet user and of newcomers, without the storm and with it.

The storm is one user with hundreds of clients, each of which sends one statement after another of a known service time. The quiet
user has one connection and pauses between statements; newcomers log in, ask once, and leave, each a user of their own. PgBouncer
knows no end users, so there everybody is its one role. Every path has the same number of server connections.
"""

import dataclasses
import math
import subprocess
import sys
import time

import servers
import wire
from throughput import quantile

STORM_CLIENTS = 500
SERVICE_MS = 20
POOL = 20
STORM = f"SELECT pg_sleep({SERVICE_MS / 1000});\n"
QUIET = "SELECT abalance FROM pgbench_accounts WHERE aid = 1"
PAUSE = 0.01
# name: (title, maker of the proxy; None is PostgreSQL itself, on which the storm has all of its connections)
PATHS = {
    "direct": ("direct, a connection for each client", None),
    "pgbouncer": ("PgBouncer, transaction", lambda bench: bench.pgbouncer("transaction", POOL)),
    "dedicated": ("Bulkhead, Dedicated", lambda bench: bench.sidecar("Dedicated", "Transaction", POOL, POOL)),
    "reset": ("Bulkhead, Reset", lambda bench: bench.sidecar("Reset", "Transaction", POOL, POOL)),
}


@dataclasses.dataclass
class Feeling:
    """Latencies in ms of one kind of asker in one run."""

    p50: float
    p99: float
    count: int


@dataclasses.dataclass
class Run:
    """One round of one path: each asker alone, and beside the storm."""

    quiet: tuple
    newcomer: tuple


def measure(bench, given):
    """The runs of each path; the paths take turns within a round."""
    paths = list(PATHS)
    runs = {path: [] for path in paths}
    for turn in range(given.rounds):
        shift = turn % len(paths)
        for path in paths[shift:] + paths[:shift]:
            run = measure_run(bench, path, given.seconds)
            runs[path].append(run)
            words = [f"{name} p99 {before.p99:.1f} → {after.p99:.1f} ms" for name, (before, after) in vars(run).items()]
            print(f"storm, round {turn + 1}: {PATHS[path][0]}: {', '.join(words)}", file=sys.stderr)
    return runs


def measure_run(bench, path, seconds):
    """A fresh proxy: everybody alone, then the storm, then everybody beside it."""
    make = PATHS[path][1]
    proxy = make(bench) if make else None
    port = proxy.port if proxy else bench.port
    named = path in ("dedicated", "reset")
    user = (lambda name: f"{servers.ROLE}+{name}") if named else (lambda _: servers.ROLE)
    try:
        if proxy:
            proxy.wait_ready(user("first"))
        alone = ask(port, user, seconds, "alone")
        storm = begin_storm(bench, port, user("storm"), seconds)
        try:
            beside = ask(port, user, seconds, "beside")
            if storm.poll() is not None:
                sys.exit(f"the storm through {PATHS[path][0]} ended too early: {storm.stderr.read().decode(errors='replace')[-500:]}")
        finally:
            storm.kill()
            storm.communicate()
        return Run(*zip(alone, beside))
    finally:
        if proxy:
            bench.drop(proxy)


def begin_storm(bench, port, user, seconds):
    """Starts the storm, and returns when all of its clients have had the time to log in."""
    script = bench.folder / "storm.sql"
    script.write_text(STORM)
    warm = 1 + STORM_CLIENTS / 100
    length = math.ceil(warm + 4 * seconds + 10)
    words = [bench.pgbench, "-n", "-f", str(script), "-T", str(length), "-c", str(STORM_CLIENTS), "-j", "2", *bench.target(port, user)]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(warm)
    return child


def ask(port, user, seconds, when):
    """What a quiet user feels, and then what newcomers do."""
    with wire.Client(port, user("quiet"), servers.DATABASE) as client:
        client.query(QUIET)
        quiet = repeat(seconds, lambda _: client.query(QUIET))
    return quiet, repeat(seconds, lambda number: come_and_go(port, user(f"{when}{number}")))


def come_and_go(port, user):
    """A login, a statement, a goodbye."""
    with wire.Client(port, user, servers.DATABASE) as client:
        client.query(QUIET)


def repeat(seconds, once):
    """Does something again and again with a pause between, and gives the quantiles of how long it took."""
    took, end = [], time.monotonic() + seconds
    while not took or time.monotonic() < end:
        began = time.monotonic()
        once(len(took))
        took.append((time.monotonic() - began) * 1e3)
        time.sleep(PAUSE)
    took.sort()
    return Feeling(quantile(took, 0.50), quantile(took, 0.99), len(took))
