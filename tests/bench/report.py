"""The report: Markdown on the terminal as it comes, and in target/bench/report.md."""

import os
import platform
import statistics
import subprocess
import time

import caches
import fairness
import loads
import fronts
from fronts import PATHS as PATHS_OF_SOCKETS
from throughput import PATHS


def spread(values, form="{:.2f}"):
    """The median, and the least and the greatest beside it where there are several."""
    middle = form.format(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))}–{form.format(max(values))})"


class Report:
    """Writes as it goes, so that an interrupted benchmark leaves what it had."""

    def __init__(self, folder, given):
        self.given = given
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "report.md"
        self.file = open(self.path, "w", encoding="utf-8")

    def say(self, text=""):
        """One line, here and there."""
        print(text, flush=True)
        self.file.write(text + "\n")
        self.file.flush()

    def table(self, head, rows):
        """A table; the first column is words, the others figures."""
        self.say("| " + " | ".join(head) + " |")
        self.say("| --- |" + " ---: |" * (len(head) - 1))
        for row in rows:
            self.say("| " + " | ".join(str(cell) for cell in row) + " |")
        self.say()

    def machine(self):
        """What this was measured on, and how."""
        given = self.given
        self.say("# Benchmark")
        self.say()
        self.say(
            f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.release()}, {os.cpu_count()} CPUs ({cpu_model()}), load average "
            f"{os.getloadavg()[0]:.1f} at the start. Everything on one machine, over TCP on 127.0.0.1 unless a path says otherwise, no TLS."
        )
        self.say(
            f"{given.rounds} rounds of {given.seconds:g} s; paths take turns within a round. Ratios are between runs of the same round: median (least–greatest). "
            "CPU is user and system time of the proxy's processes."
        )
        self.say()

    def databases(self, bench):
        """Who serves the sections of databases."""
        server = subprocess.check_output([bench.binaries / "postgres", "--version"], text=True).split()[2]
        self.say(
            f"PostgreSQL {server}, {bouncer_version()}, pgbench scale 5. CPU is for one transaction. Pools are equal: one user has up to 64 server "
            "connections, one user a client has one each."
        )
        self.say()

    def fairness(self, runs):
        """What others feel of one user's storm."""
        self.say("## One user's storm")
        self.say()
        self.say(
            f"One user with {fairness.STORM_CLIENTS} clients that send statements of {fairness.SERVICE_MS} ms, {fairness.POOL} server connections in all. "
            "Quiet: a user with one connection and a pause after each statement. Newcomer: login, statement, goodbye, each time another user. "
            "Milliseconds, p50 / p99, medians of the rounds."
        )
        self.say()
        rows = []
        for path, of_path in runs.items():
            cells = []
            for who in ["quiet", "newcomer"]:
                for when in [0, 1]:
                    felt = [getattr(run, who)[when] for run in of_path]
                    middle = [statistics.median(getattr(one, name) for one in felt) for name in ["p50", "p99"]]
                    cells.append(f"{middle[0]:.1f} / {middle[1]:.1f}")
            rows.append([fairness.PATHS[path][0], *cells])
        self.table(["path", "quiet, alone", "quiet, in the storm", "newcomer, alone", "newcomer, in the storm"], rows)

    def loads(self, measured):
        """Loads that pgbench cannot make."""
        for load, runs in measured:
            self.say(f"## {load.title}")
            self.say()
            self.table(*loads.rows(load, runs))

    def caches(self, measured):
        """Loads of Redis."""
        self.say("## Redis")
        self.say()
        self.say(f"redis-benchmark, {caches.CLIENTS} clients of one user, 3-byte values, 10,000 keys. Ratios are against HAProxy's, operations for each second of the proxy's CPU.")
        self.say()
        rows = []
        for command, pipeline, runs in measured:
            peers = [run.cpu for run in runs["haproxy"]]
            for path, of_path in runs.items():
                cpu = [run.cpu for run in of_path]
                ratio = spread([peer / own for peer, own in zip(peers, cpu)]) if any(cpu) else ""
                rate = statistics.median(run.rate for run in of_path)
                used = f"{statistics.median(cpu):.2f}" if any(cpu) else ""
                rows.append([f"{command.upper()}, pipeline {pipeline}: {caches.PATHS[path][0]}", f"{rate:,.0f}", used, ratio])
        self.table(["path", "commands a second", "CPU µs a command", "operations a CPU second, × HAProxy's"], rows)

    def web_sockets(self, stage):
        """Who serves the section of WebSockets."""
        self.say(
            f"{fronts.versions()}, {stage.workers} threads or processes each, no access log. The sidecar verifies a token and keeps a user for each socket, with all limits and "
            "clocks at their defaults but `messagesPerSecond`. A message is one that has come back: it has passed the proxy twice. Clients hold each echo to what they sent."
        )
        self.say()

    def sockets(self, cell, unit):
        """One load of WebSockets."""
        self.say(f"## WebSocket: {cell.title}")
        self.say()
        rows = []
        for path, runs in cell.runs.items():
            cpu, ratios = "", {"haproxy": "", "nginx": ""}
            if path != "direct":
                cpu = spread([run.cpu * 1e6 for run in runs], "{:.1f}")
            for other in ratios:
                if path == "bulkhead" and other in cell.runs:
                    ratios[other] = spread([run.cpu / its.cpu for run, its in zip(runs, cell.runs[other])])
            p50, p99 = (statistics.median(getattr(run, name) for run in runs) / 1e3 for name in ["p50", "p99"])
            rate = spread([run.rate for run in runs], "{:.0f}")
            rows.append([PATHS_OF_SOCKETS[path][0], rate, f"{p50:.3f}", f"{p99:.3f}", cpu, *ratios.values()])
        self.table(["path", f"{unit}s a second", "p50 ms", "p99 ms", f"CPU µs a {unit}", "CPU / HAProxy", "CPU / nginx"], rows)

    def idle_sockets(self, held):
        """Memory of sockets that say nothing."""
        self.say("## WebSocket: resident memory of an idle socket, both its sides")
        self.say()
        self.table(["path", "bytes"], [(PATHS_OF_SOCKETS[path][0], f"{each:.0f}") for path, each in held.items()])

    def throughput(self, cells):
        """A table for each load."""
        for cell in cells:
            who = "one user in all" if cell.users == "one" else "one user a client"
            self.say(f"## pgbench -S, {cell.protocol}, {cell.clients} client{'s' if cell.clients > 1 else ''}, {who}")
            self.say()
            base = next((path for path in ["pgbouncer-transaction", "pgbouncer-session"] if isinstance(cell.runs.get(path), list)), None)
            reference = PATHS[base][0] if base else "PgBouncer"
            rows = [self.throughput_row(cell, path, base) for path in cell.runs]
            self.table(["path", "tps", "tps / direct", "p50 ms", "p99 ms", "CPU µs", f"CPU / {reference}"], rows)

    @staticmethod
    def throughput_row(cell, path, base):
        """One path's figures over all rounds."""
        title, runs = PATHS[path][0], cell.runs[path]
        if isinstance(runs, str):
            return [title, runs, "", "", "", "", ""]
        direct, reference = cell.runs.get("direct"), cell.runs.get(base) if base else None
        to_direct = spread([run.tps / other.tps for run, other in zip(runs, direct)]) if direct and path != "direct" else ""
        cpu = ratio = ""
        if path != "direct":
            cpu = spread([run.cpu * 1e6 for run in runs], "{:.1f}")
            if reference and path != base:
                ratio = spread([run.cpu / other.cpu for run, other in zip(runs, reference) if other.cpu])
        micros = {name: statistics.median(getattr(run, name) for run in runs) for name in ["p50", "p99"]}
        return [title, spread([run.tps for run in runs], "{:.0f}"), to_direct, f"{micros['p50'] / 1e3:.2f}", f"{micros['p99'] / 1e3:.2f}", cpu, ratio]

    def footprint(self, rows):
        """Memory and start."""
        self.say("## At rest")
        self.say()
        self.table(["what", "PgBouncer", "Bulkhead"], rows)

    def syscalls(self, rows):
        """Where the time goes."""
        self.say("## System calls for a transaction (strace -c -f, 16 clients, pgbench -S)")
        self.say()
        if rows is None:
            self.say("Not measured: strace is missing here, or may not attach.\n")
            return
        self.table(
            ["proxy", "protocol", "in all", "the commonest"],
            [(title, protocol, f"{total:.2f}", ", ".join(f"{name} {each:.2f}" for name, each in common)) for title, protocol, total, common in rows],
        )

    def micro(self, rows):
        """Criterion's estimates."""
        self.say("## Single steps (criterion; median and its confidence interval)")
        self.say()
        if not rows:
            self.say("No benches.\n")
            return
        self.table(["step", "median", "from", "to"], [(name, *(scaled(value) for value in (middle, low, high))) for name, low, middle, high in rows])

    def close(self):
        """Ends the file, and says where it is."""
        self.file.close()
        return self.path


def scaled(seconds):
    """A duration in the unit that suits it."""
    for unit, size in [("s", 1), ("ms", 1e-3), ("µs", 1e-6)]:
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds / 1e-9:.1f} ns"


def cpu_model():
    """The processor's name as the kernel has it."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def bouncer_version():
    """PgBouncer's name and version."""
    try:
        text = subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True, env={"PATH": "/usr/sbin:/usr/bin:/usr/local/bin"}, check=True).stdout
        return text.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "no PgBouncer"
