"""A folder, and processes of ours in it: each is started and ended by its id, and none outlives the benchmark."""

import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

# Where clients find whatever does not have them come by a Unix socket: the host of an address, or the socket's folder.
LOOPBACK = "127.0.0.1"
# The kernel stops a process of ours when the benchmark dies without a word.
TIED = ["setpriv", "--pdeathsig", "INT"]
# Files that are open at one time, as far as the system lets us.
FILES = 65536


def free_port():
    """A port that the kernel has just had free."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def program(name):
    """Where a daemon is."""
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") or sys.exit(f"{name} is missing; run: tests/setup/ensure {name}")


class Process:
    """A process of ours with a port, its log in the stage's folder. `ends_by`: the signal at which it ends soon."""

    def __init__(self, name, command, port, log, host=LOOPBACK, ends_by=signal.SIGINT):
        self.name, self.port, self.host, self.ends_by = name, port, host, ends_by
        self.log_path = log
        self.started = time.monotonic()
        with open(log, "ab") as sink:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        self.pid = self.child.pid

    def wait(self, ask, errors=OSError, seconds=20, pause=0.001):
        """Asks until it is answered, and returns the seconds from the process's start until then."""
        while True:
            try:
                ask()
                return time.monotonic() - self.started
            except errors as error:
                if self.child.poll() is not None or time.monotonic() - self.started > seconds:
                    tail = pathlib.Path(self.log_path).read_text(errors="replace")[-2000:]
                    sys.exit(f"{self.name} does not answer ({error}); its log ends with:\n{tail}")
                time.sleep(pause)

    def stop(self):
        """Ends the process and waits for it."""
        if self.child.poll() is None:
            self.child.send_signal(self.ends_by)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class Stage:
    """The folder and what runs in it; both are gone when it is left, whatever happens. What stands on it first is made by `set_up`."""

    def __init__(self):
        self.running = []

    def __enter__(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES if hard == resource.RLIM_INFINITY else min(hard, FILES), hard))
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bulkhead-bench-"))
        try:
            self.set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, process):
        """Remembers a process, so that it ends with the stage."""
        self.running.append(process)
        return process

    def drop(self, process):
        """Ends a process before the stage does."""
        process.stop()
        self.running.remove(process)
