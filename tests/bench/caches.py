"""redis-benchmark through a Redis server itself, HAProxy in TCP mode, and Bulkhead with and without a key prefix, in turn."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys

import process
from stage import LOOPBACK, TIED, Process, Stage, free_port, program

CLIENTS = 50
# Commands of one client that are under way.
PIPELINES = [1, 50]
COMMANDS = ["get", "set"]
# Path: (its title, the maker's name, whether clients say who they are).
PATHS = {
    "direct": ("direct", None, False),
    "haproxy": ("HAProxy, TCP", "haproxy", False),
    "bulkhead": ("Bulkhead", "sidecar", True),
    "bulkhead-prefix": ("Bulkhead, keyPrefix", "prefixed", True),
}
# Commands of one run by the pipeline, so that a run takes some seconds.
REQUESTS = {1: 200_000, 50: 3_000_000}


@dataclasses.dataclass
class Run:
    """One run: commands a second, and the proxy's CPU microseconds for a command."""

    rate: float
    cpu: float


class Caches(Stage):
    """A server, and makers of what stands before it."""

    def __init__(self, sidecar, workers):
        super().__init__()
        self.sidecar_path = sidecar
        self.workers = workers or min(4, os.cpu_count())

    def set_up(self):
        self.port = free_port()
        command = [program("redis-server"), "--bind", LOOPBACK, "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", self.folder]
        self.server = self.start("redis-server", command, self.port, signal.SIGTERM)

    def start(self, name, command, port, ends_by=signal.SIGINT):
        """A process that is ready when its port accepts."""
        log = self.folder / f"{name.replace(' ', '-')}-{port}.log"
        started = self.keep(Process(name, [*TIED, *command], port, log, ends_by=ends_by))
        started.wait(lambda: socket.create_connection((LOOPBACK, port), timeout=5).close(), pause=0.005)
        return started

    def make(self, path):
        """A fresh proxy of this path; nothing where clients go direct."""
        maker = PATHS[path][1]
        return getattr(self, maker)() if maker else None

    def haproxy(self):
        """HAProxy with as many threads as the sidecar has workers."""
        port = free_port()
        config = self.folder / f"haproxy-{port}.cfg"
        config.write_text(HAPROXY.format(port=port, upstream=self.port, workers=self.workers))
        return self.start("HAProxy", [program("haproxy"), "-db", "-f", config], port)

    def sidecar(self, session=""):
        """The sidecar, whose clients are one user's."""
        port = free_port()
        policy = self.folder / f"policy-{port}.yaml"
        policy.write_text(POLICY.format(port=port, upstream=self.port, session=session, clients=CLIENTS))
        command = [self.sidecar_path, "run", "--policy", policy, "--environment", "production", "--secrets", self.folder]
        command += ["--admin", f"127.0.0.1:{free_port()}", "--control", self.folder / f"control-{port}.sock", "--workers", str(self.workers)]
        return self.start("the sidecar", command, port)

    def prefixed(self):
        """The same with keys of the user's own."""
        return self.sidecar("session: {keyPrefix: '{user}:'}")

    def measure(self, path, proxy, command, pipeline):
        """One run of redis-benchmark."""
        before = process.cpu_seconds(proxy.pid) if proxy else 0
        port, count = (proxy.port if proxy else self.port), REQUESTS[pipeline]
        line = ["redis-benchmark", "-h", LOOPBACK, "-p", str(port), "-c", str(CLIENTS), "-n", str(count), "-P", str(pipeline), "-t", command, "-r", "10000", "--csv"]
        if PATHS[path][2]:
            line += ["--user", "default+alice", "-a", "anything"]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()
        # "test","rps",…
        rate = float(said[-1].split(",")[1].strip('"'))
        cpu = (process.cpu_seconds(proxy.pid) - before) * 1e6 / count if proxy else 0
        return Run(rate, cpu)


def measure(stage, given):
    """Every load by every path, the paths in turn within a round: (command, pipeline, {path: runs})."""
    for pipeline in PIPELINES:
        for command in COMMANDS:
            runs = {path: [] for path in PATHS}
            for _ in range(given.rounds):
                for path in PATHS:
                    proxy = stage.make(path)
                    runs[path].append(stage.measure(path, proxy, command, pipeline))
                    if proxy:
                        stage.drop(proxy)
                print(f"redis: {command}, pipeline {pipeline}", file=sys.stderr)
            yield command, pipeline, runs


HAPROXY = """\
global
    nbthread {workers}
    maxconn 4096
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen redis
    bind 127.0.0.1:{port}
    server one 127.0.0.1:{upstream}
"""

POLICY = """\
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {{name: bench, namespace: bench}}
spec:
  selector: {{matchLabels: {{app: bench}}}}
  identity: {{source: Trusted}}
  databases:
  - name: cache
    protocol: Redis
    listen: {{port: {port}, auth: {{mode: Trust}}}}
    upstream: {{host: 127.0.0.1, port: {upstream}, tls: {{mode: Disable}}}}
    pool: {{perUser: {{max: {clients}}}, maxConnections: {clients}}}
    {session}
"""
