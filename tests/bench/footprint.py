"""What a proxy costs at rest: memory of the idle process and of idle clients, and the time from its start to the first answer."""

import socket
import statistics
import time

import process
import servers
import wire

CLIENTS = 5000
# Server connections in the footprint runs; fewer than clients, because thousands of users are never all at work.
POOL = 100
# By then a start is over, and what it alone has needed is given back.
REST = 5


def measure(bench):
    """Rows of (what, PgBouncer's value, Bulkhead's value), as texts."""
    makers = {
        "PgBouncer": (lambda: bench.pgbouncer("transaction", POOL), lambda _: servers.ROLE),
        "Bulkhead": (lambda: bench.sidecar("Dedicated", "Transaction", POOL, 4), lambda number: f"{servers.ROLE}+user{number}"),
    }
    columns = {name: column(bench, make, user) for name, (make, user) in makers.items()}
    secured = f"memory a client: {CLIENTS} clients of one user over TLS, one query each, idle"
    named = makers["Bulkhead"][1]
    columns["PgBouncer"][secured] = "not measured"
    columns["Bulkhead"][secured] = per_client(bench, lambda: bench.sidecar("Dedicated", "Transaction", POOL, 4, tls=True), lambda _: named(0), asks=True, tls=True)
    return [(what, *(columns[name][what] for name in makers)) for what in columns["Bulkhead"]]


def column(bench, make, user):
    """All figures of one proxy."""
    rows = {}
    starts = []
    for _ in range(7):
        proxy = make()
        starts.append(proxy.wait_ready(user(0)))
        bench.drop(proxy)
    rows["from process start to the first answer"] = f"{statistics.median(starts) * 1e3:.1f} ms"

    proxy = make()
    wait_listening(proxy)
    rows["resident memory, nobody connected yet"] = mib(process.settled(proxy.pid))
    time.sleep(REST)
    rows[f"the same {REST} s later"] = mib(process.settled(proxy.pid))
    bench.drop(proxy)

    rows[f"memory a client: {CLIENTS} clients of one user, logged in, nothing asked"] = per_client(bench, make, lambda _: user(0), asks=False)
    rows[f"memory a client: {CLIENTS} clients of one user, one query each, idle"] = per_client(bench, make, lambda _: user(0), asks=True)
    rows[f"memory a client: {CLIENTS} clients, a user each, logged in, nothing asked"] = per_client(bench, make, user, asks=False)
    rows[f"memory a client: {CLIENTS} clients, a user each, one query each, idle ({POOL} server connections)"] = per_client(bench, make, user, asks=True)
    return rows


def per_client(bench, make, user, asks, tls=False):
    """What the process's own memory grew by for each of the clients."""
    proxy = make()
    clients = []
    try:
        # The first client's login and query take buffers and allocator arenas that belong to no client.
        proxy.wait_ready(user(0))
        before = process.settled(proxy.pid, process.own_bytes)
        for number in range(CLIENTS):
            client = wire.Client(proxy.port, user(number), servers.DATABASE, tls=tls)
            clients.append(client)
            if asks:
                client.query("SELECT 1")
        return f"{(process.settled(proxy.pid, process.own_bytes) - before) / CLIENTS / 1024:.1f} KiB"
    finally:
        for client in clients:
            client.close()
        bench.drop(proxy)


def wait_listening(proxy):
    """Waits until the port accepts, without saying anything to it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", proxy.port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.002)
    raise SystemExit(f"{proxy.name} does not listen")


def mib(count):
    """Bytes as a text in MiB."""
    return f"{count / 1024 / 1024:.1f} MiB"
