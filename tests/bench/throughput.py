"""pgbench -S through every path in alternation: throughput, latency, and the proxy's CPU time for each transaction.

Each run starts a proxy of its own, waits until every client is at work, and then looks at a window: transactions come from pgbench's
log of single transactions, CPU time from /proc at the window's two ends. So connecting is not part of any figure.

"One user a client" is one pgbench process for each client, because one process has one user for all its clients. That costs pgbench
more CPU, but on every path alike, and the proxy's CPU for a transaction does not contain it. PgBouncer knows no end users; it gets the
same processes under its one role.
"""

import dataclasses
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import process
import servers

PROTOCOLS = ["simple", "extended", "prepared"]
USERS = ["one", "each"]
# name: (title, maker of the proxy from the two pool sizes; None is PostgreSQL itself)
PATHS = {
    "direct": ("direct", None),
    "pgbouncer-session": ("PgBouncer, session", lambda bench, size, _: bench.pgbouncer("session", size)),
    "pgbouncer-transaction": ("PgBouncer, transaction", lambda bench, size, _: bench.pgbouncer("transaction", size)),
    "dedicated": ("Bulkhead, Dedicated", lambda bench, size, one: bench.sidecar("Dedicated", "Transaction", size, one)),
    "dedicated-unix": (
        "Bulkhead, Dedicated, by Unix socket",
        lambda bench, size, one: bench.sidecar("Dedicated", "Transaction", size, one, by_socket=True),
    ),
    "reset": ("Bulkhead, Reset", lambda bench, size, one: bench.sidecar("Reset", "Transaction", size, one)),
    "shared": ("Bulkhead, Shared", lambda bench, size, one: bench.sidecar("Shared", "Transaction", size, one)),
    "dedicated-session": ("Bulkhead, Dedicated, session", lambda bench, size, one: bench.sidecar("Dedicated", "Session", size, one)),
}
# With one user in all, more clients than this share server connections.
ONE_USER_POOL = 64


@dataclasses.dataclass
class Run:
    """What one run measured. `cpu` is the proxy's CPU seconds for one transaction, and absent on the direct path."""

    tps: float
    p50: float
    p99: float
    cpu: float | None


@dataclasses.dataclass
class Cell:
    """One load, and the runs of each path under it, in rounds; instead of runs a reason where a path cannot carry the load."""

    protocol: str
    clients: int
    users: str
    pool: int
    runs: dict


def impossible(path, protocol, clients, pool, bouncer):
    """Why a path cannot carry a load, or None where it can."""
    if path == "pgbouncer-transaction" and protocol == "prepared" and bouncer < (1, 21):
        return f"PgBouncer {bouncer[0]}.{bouncer[1]} has no prepared statements in transaction mode"
    if path.endswith("-session") and clients > pool:
        return f"session mode: {clients - pool} of the clients would wait for the others to leave"
    return None


def pgbouncer_version():
    """PgBouncer's version as a pair, (0, 0) where there is none."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if not program:
        return (0, 0)
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.split()
    numbers = words[1].split(".") if len(words) > 1 else ["0", "0"]
    return (int(numbers[0]), int(numbers[1]))


def measure(bench, given):
    """Runs every cell; the paths take turns within a round, and each round starts with another one."""
    version = pgbouncer_version()
    cells = []
    for users in given.users:
        for clients in given.clients:
            if clients == 1 and users == "each" and "one" in given.users:
                continue  # one client is one user either way
            for protocol in given.protocols:
                cells.append(measure_cell(bench, given, version, protocol, clients, users))
    return cells


def measure_cell(bench, given, version, protocol, clients, users):
    """All rounds of one load."""
    pool = min(clients, ONE_USER_POOL) if users == "one" else clients
    reasons = {path: impossible(path, protocol, clients, pool, version) for path in given.paths}
    if given.quick and "pgbouncer-transaction" in reasons and not reasons["pgbouncer-transaction"]:
        reasons.pop("pgbouncer-session", None)
    able = [path for path in reasons if not reasons[path]]
    cell = Cell(protocol, clients, users, pool, {path: reason or [] for path, reason in reasons.items()})
    for turn in range(given.rounds if able else 0):
        shift = turn % len(able)
        for path in able[shift:] + able[:shift]:
            run = measure_run(bench, path, cell, given.seconds)
            cell.runs[path].append(run)
            cpu = f", {run.cpu * 1e6:.1f} µs CPU" if run.cpu else ""
            load = f"{protocol}, {clients} clients, {'one user' if users == 'one' else 'a user each'}"
            print(f"{load}, round {turn + 1}: {PATHS[path][0]}: {run.tps:.0f} tps{cpu}", file=sys.stderr)
    return cell


def measure_run(bench, path, cell, seconds):
    """One path, once: a fresh proxy, a warm-up, a window."""
    make = PATHS[path][1]
    # A user may hold as many connections as they have clients; where each client is a user, that is one.
    per_user = cell.pool if cell.users == "one" else 1
    proxy = make(bench, cell.pool, per_user) if make else None
    logs = pathlib.Path(tempfile.mkdtemp(prefix="log-", dir=bench.folder))
    try:
        if proxy:
            proxy.wait_ready(user_of(path, 0))
        # Connecting hundreds of clients takes a while; nobody is measured before everybody is at work.
        warm = 1 + cell.clients / (125 if cell.users == "one" else 25)
        for _ in range(3):
            run, late = load(bench, path, cell, proxy, logs, warm, seconds)
            # A few logins in the window cost next to nothing; many would be what is measured.
            if late <= cell.clients // 10:
                return run
            print(f"  {late} clients began after the window did; once more, with a longer warm-up", file=sys.stderr)
            warm *= 2
        sys.exit(f"the clients through {PATHS[path][0]} take longer than {warm / 2:.0f} s to start")
    finally:
        if proxy:
            bench.drop(proxy)
        shutil.rmtree(logs)


def user_of(path, number):
    """The user name that a client logs in with: only the sidecar is told about end users."""
    name = PATHS[path][0]
    return f"{servers.ROLE}+user{number}" if name.startswith("Bulkhead") else servers.ROLE


def load(bench, path, cell, proxy, logs, warm, seconds):
    """Runs pgbench, and reads the figures of the window in its middle; with them, how many clients had not begun when it did."""
    port, host = (proxy.port, proxy.host) if proxy else (bench.port, servers.LOOPBACK)
    common = [bench.pgbench, "-n", "-S", "-M", cell.protocol, "-T", str(math.ceil(warm + seconds + 0.5)), "-l"]
    if cell.users == "one":
        groups = [(cell.clients, user_of(path, 0))]
    else:
        groups = [(1, user_of(path, number)) for number in range(cell.clients)]
    children = []
    try:
        for index, (clients, user) in enumerate(groups):
            words = [*common, "-c", str(clients), "-j", str(min(clients, 2)), "--log-prefix", str(logs / f"{index}"), *bench.target(port, user, host)]
            children.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        time.sleep(warm)
        before, cpu_before = time.time(), process.cpu_seconds(proxy.pid) if proxy else None
        time.sleep(seconds)
        after, cpu_after = time.time(), process.cpu_seconds(proxy.pid) if proxy else None
        for child in children:
            _, errors = child.communicate(timeout=120)
            if child.returncode != 0:
                sys.exit(f"pgbench through {PATHS[path][0]} failed: {errors.decode(errors='replace')[-500:]}")
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()
    micros, late = read_window(logs, before, after)
    if not micros:
        sys.exit(f"pgbench through {PATHS[path][0]} finished no transaction in {seconds} s")
    micros.sort()
    cpu = (cpu_after - cpu_before) / len(micros) if proxy else None
    return Run(len(micros) / (after - before), quantile(micros, 0.50), quantile(micros, 0.99), cpu), late


def read_window(logs, before, after):
    """Latencies in µs of the transactions that ended in the window, and how many clients had not begun when it did."""
    micros, first = [], {}
    for file in logs.iterdir():
        prefix = file.name.partition(".")[0]
        with open(file, encoding="ascii") as lines:
            for line in lines:
                # client, transaction, latency in µs, script, seconds, µs
                fields = line.split()
                ended = int(fields[4]) + int(fields[5]) / 1e6
                first.setdefault((prefix, fields[0]), ended)
                if before <= ended < after:
                    micros.append(int(fields[2]))
        file.unlink()
    return micros, sum(1 for ended in first.values() if ended >= before)


def quantile(ordered, fraction):
    """The value at `fraction` of an ordered list."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]
