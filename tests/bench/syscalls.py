"""System calls for a transaction, by strace: nearly all of a proxy's time is the kernel's, so this is where it goes."""

import re
import shutil
import signal
import subprocess
import time

import servers

CLIENTS = 16
TRANSACTIONS = 2000  # of each client; connecting is some twenty calls a client, and so vanishes
# strace -c: % time, seconds, usecs/call, calls, [errors], name
ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$")


def measure(bench):
    """Rows of (proxy, protocol, system calls for a transaction in all, the five commonest); None without strace."""
    if not shutil.which("strace"):
        return None
    proxies = [
        ("PgBouncer, transaction", lambda: bench.pgbouncer("transaction", CLIENTS), servers.ROLE),
        ("Bulkhead, Dedicated", lambda: bench.sidecar("Dedicated", "Transaction", CLIENTS, CLIENTS), f"{servers.ROLE}+user0"),
    ]
    rows = []
    for protocol in ["simple", "extended"]:
        for title, make, user in proxies:
            proxy = make()
            try:
                proxy.wait_ready(user)
                counts = count(bench, proxy, protocol, user)
            finally:
                bench.drop(proxy)
            if counts is None:
                return None
            each = {name: calls / (CLIENTS * TRANSACTIONS) for name, calls in counts.items()}
            common = sorted(each.items(), key=lambda pair: -pair[1])[:5]
            rows.append((title, protocol, sum(each.values()), common))
    return rows


def count(bench, proxy, protocol, user):
    """The calls of one proxy by name while pgbench runs through it; None where strace may not attach."""
    summary = bench.folder / "strace"
    tracer = subprocess.Popen(["strace", "-c", "-f", "-q", "-o", summary, "-p", str(proxy.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(0.5)
    if tracer.poll() is not None:
        return None
    words = [bench.pgbench, "-n", "-S", "-M", protocol, "-c", str(CLIENTS), "-t", str(TRANSACTIONS), *bench.target(proxy.port, user)]
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=30)
    rows = (ROW.match(line) for line in summary.read_text().splitlines())
    return {row[2]: int(row[1]) for row in rows if row and row[2] != "total"}
