"""WebSockets: messages through HAProxy, nginx and the sidecar in turn, sockets opened and closed, and the memory of those that are idle."""

import dataclasses
import os
import sys

import process
from fronts import PATHS

# Bytes of a message.
SIZES = [125, 16384]
# Sockets that are idle.
IDLE = 5000
# Clients that open a socket, use it once, close it, and begin again.
AT_ONCE = 16


@dataclasses.dataclass
class Load:
    """Who talks: sockets, and messages of each that are under way at a time."""

    sockets: int
    flight: int
    # Whether each message is written by a call of its own, as client libraries do, rather than all that may be sent in one.
    singly: bool = False
    # On how many processors clients, application and proxy are held: with one socket, where the kernel puts a thread that is woken
    # decides more than a proxy does. Otherwise it may put them anywhere.
    processors: int | None = None

    def title(self, size):
        """As the report calls it."""
        words = [f"{size} B", f"{self.sockets} socket{'s' if self.sockets > 1 else ''}", f"{self.flight} in flight"]
        if self.flight > 1:
            words.append("written one by one" if self.singly else "written together")
        if self.processors:
            words.append("all on one processor" if self.processors == 1 else "the proxy on a processor of its own")
        return ", ".join(words)


LOADS = [Load(1, 1, processors=1), Load(1, 1, processors=2), Load(100, 1), Load(1000, 1), Load(100, 16), Load(100, 16, singly=True)]


@dataclasses.dataclass
class Run:
    """What one run has measured; `cpu` in seconds for one message or socket, none where there is no proxy."""

    rate: float
    p50: float
    p99: float
    cpu: float | None


@dataclasses.dataclass
class Cell:
    """One load, and the runs of each path."""

    title: str
    runs: dict


def talk(stage, given):
    """A cell for each size and load."""
    for size in given.bytes:
        for load in LOADS:
            if load.sockets in given.sockets and load.flight in given.flight and (load.processors or 0) <= os.cpu_count():
                # A thousand sockets are opened before anybody is measured.
                words = [load.sockets, size, load.flight, "singly" if load.singly else "together", 0.5, given.seconds]
                yield alternate(stage, given, load.title(size), "talk", words, "messages", load.processors)


def opening(stage, given):
    """Sockets opened, used for one message and closed."""
    title = f"sockets opened, used for one message and closed, {AT_ONCE} at a time"
    return alternate(stage, given, title, "open", [AT_ONCE, 0.5, given.seconds], "opened")


def alternate(stage, given, title, command, words, unit, processors=None):
    """One load through every path in turn, as often as there are rounds."""
    cell = Cell(title, {path: [] for path in given.fronts})
    proxies = {path: stage.make(path) for path in given.fronts}
    stage.place(proxies.values(), processors)
    for turn in range(given.rounds):
        for path, proxy in proxies.items():
            seen = stage.measure(command, proxy, *words)
            count = seen[unit]
            run = Run(count / seen["seconds"], seen["p50"], seen["p99"], seen["cpu"] / count if proxy else None)
            cell.runs[path].append(run)
            cpu = f", {run.cpu * 1e6:.1f} µs CPU" if proxy else ""
            print(f"{title}, round {turn + 1}: {PATHS[path][0]}: {run.rate:.0f} a second{cpu}", file=sys.stderr)
    for proxy in proxies.values():
        stage.drop(proxy)
    stage.place([], None)
    return cell


def idle(stage, given):
    """Bytes of resident memory for each of many sockets on which one message was said, by path."""
    held = {}
    for path in given.fronts:
        proxy = stage.make(path)
        if not proxy:
            continue
        # The first sockets fault in code and arenas that belong to none.
        stage.measure("open", proxy, AT_ONCE, 0.2, 0.3)
        before = memory(proxy)
        child = stage.hold(proxy, IDLE)
        held[path] = (memory(proxy) - before) / IDLE
        child.kill()
        child.wait()
        stage.drop(proxy)
        print(f"{IDLE} idle sockets: {PATHS[path][0]}: {held[path]:.0f} bytes each", file=sys.stderr)
    return held


def memory(proxy):
    """Resident memory of a proxy, all its processes together, once it has settled."""
    return sum(process.settled(pid) for pid in process.family(proxy.pid))
