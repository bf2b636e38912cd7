"""Loads that pgbench cannot make: thousands of users at once over 200 server connections, the switch of users on an application's own
connections, and large results. tests/bench/postgres is their client; the paths take turns within a round."""

import dataclasses
import json
import statistics
import subprocess
import sys

import servers

# Server connections that all users share.
POOL = 200
# Clients of an application's pool, and the users that they work for.
CHECKOUT_CLIENTS, CHECKOUT_USERS = 16, 64
# Server connections for them: a user may have more than one client at a time, and it is the switch that is measured, not what an eviction costs.
CHECKOUT_POOL = 256


@dataclasses.dataclass
class Load:
    """One load: what the client is told, and the paths that carry it."""

    title: str
    words: list
    paths: dict
    # The name of what is counted in the client's answer, and what one is called.
    counted: str
    unit: str
    # A load that holds on to little needs no time to settle; thousands of clients do, and take turns that are longer than a short window.
    warm: float = 1.0
    least: float = 2.0


def many(users):
    """So many users at work, each with one client, over fewer connections."""
    paths = {
        "PgBouncer, transaction": ("plain", lambda bench: bench.pgbouncer("transaction", POOL)),
        "Bulkhead, Dedicated": ("named", lambda bench: bench.sidecar("Dedicated", "Transaction", POOL, 4)),
        "Bulkhead, Reset": ("named", lambda bench: bench.sidecar("Reset", "Transaction", POOL, 4)),
    }
    return Load(f"{users:,} users at work over {POOL} server connections", ["many", users], paths, "busy", "transaction", warm=3.0, least=10.0)


def switch():
    """Checkouts of an application's own pool."""
    paths = {"PgBouncer, transaction": ("plain", CHECKOUT_USERS, lambda bench: bench.pgbouncer("transaction", CHECKOUT_POOL))}
    for workers in [1, 2]:
        for users, what in [(1, "always the same user"), (CHECKOUT_USERS, f"another of {CHECKOUT_USERS} users each time")]:
            make = lambda bench, workers=workers: bench.sidecar("Dedicated", "Transaction", CHECKOUT_POOL, CHECKOUT_CLIENTS, in_sql=True, workers=workers)  # noqa: E731
            paths[f"Bulkhead, {workers} worker{'s' if workers > 1 else ''}, {what}"] = ("plain", users, make)
    return Load(f"Who it is, said in SQL at each checkout: {CHECKOUT_CLIENTS} clients, SET and SELECT", ["switch", CHECKOUT_CLIENTS], paths, "checkouts", "checkout", warm=3.0)


def fetch(clients, size):
    """Large results."""
    paths = {
        "direct": ("plain", None),
        "PgBouncer, transaction": ("plain", lambda bench: bench.pgbouncer("transaction", clients)),
        "Bulkhead, Dedicated": ("named", lambda bench: bench.sidecar("Dedicated", "Transaction", clients, clients)),
    }
    return Load(f"Results of {size / 1e6:.0f} MB, {clients} client{'s' if clients > 1 else ''}", ["fetch", clients, size], paths, "fetches", "result")


LOADS = {
    "many": lambda: [many(1000), many(5000)],
    "switch": lambda: [switch()],
    "fetch": lambda: [fetch(1, 1_000_000), fetch(16, 1_000_000), fetch(1, 100_000_000)],
}


def measure(bench, given, section):
    """The runs of each path, for each load of a section: pairs of a load and its runs."""
    measured = []
    for load in LOADS[section]():
        runs = {path: [] for path in load.paths}
        order = list(load.paths)
        for turn in range(given.rounds):
            shift = turn % len(order)
            for path in order[shift:] + order[:shift]:
                seen = measure_run(bench, load, path, given)
                runs[path].append(seen)
                print(f"{load.title}, round {turn + 1}: {path}: {json.dumps(seen)}", file=sys.stderr)
        measured.append((load, runs))
    return measured


def measure_run(bench, load, path, given):
    """One path, once, with a proxy of its own."""
    who, *more, make = load.paths[path]
    proxy = make(bench) if make else None
    port, pid = (proxy.port, str(proxy.pid)) if proxy else (bench.port, "")
    words = [*load.words[:1], port, who, load.words[1], *more, *load.words[2:]]
    if load.words[0] == "many":
        words.append(bench.port)
    try:
        if proxy:
            proxy.wait_ready(servers.ROLE if who == "plain" else f"{servers.ROLE}+first", asks=load.words[0] != "switch")
        command = [given.clients_of_databases, *words, pid, load.warm, max(given.seconds, load.least)]
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            sys.exit(f"the clients through {path} failed: {done.stderr[:600]}")
        return json.loads(done.stdout)
    finally:
        if proxy:
            bench.drop(proxy)


def rows(load, runs):
    """The table of a load: its heads, and a row for each path."""
    heads = ["path", f"{load.unit}s a second", "p50 ms", "p99 ms", f"CPU µs a {load.unit}"]
    if load.words[0] == "many":
        heads += ["quiet user, p50 / p99 ms", "server connects a second"]
    table = []
    for path, seen in runs.items():
        rate = statistics.median(run[load.counted]["count"] / run["seconds"] for run in seen)
        p50, p99 = (middle(seen, load.counted, name) for name in ["p50", "p99"])
        cpu = statistics.median(run["cpu"] * 1e6 / max(run[load.counted]["count"], 1) for run in seen)
        row = [path, f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}", shown(p50, 2), shown(p99, 2), f"{cpu:,.1f}" if load.paths[path][-1] else ""]
        if load.words[0] == "many":
            quiet = [shown(middle(seen, "quiet", name), 1) for name in ["p50", "p99"]]
            row += [" / ".join(quiet), f"{statistics.median(run['connects'] for run in seen):,.0f}"]
        table.append(row)
    return heads, table


def middle(seen, counted, name):
    """The median of a quantile over the rounds, in ms; None where some round saw nothing end."""
    values = [run[counted][name] for run in seen]
    return None if None in values else statistics.median(values) / 1e3


def shown(value, digits):
    """A figure, or that there is none."""
    return "none ended" if value is None else f"{value:,.{digits}f}"
