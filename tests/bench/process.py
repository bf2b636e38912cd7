"""What the kernel knows of a process: its CPU time and its memory."""

import os
import time

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of all threads, in seconds; the kernel's resolution is a tick, 10 ms as a rule."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        # The name may hold blanks and brackets; the fields after its closing bracket are fixed (man 5 proc: 14 utime, 15 stime).
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_bytes(pid):
    """Resident memory in bytes."""
    return status_bytes(pid, "VmRSS")


def own_bytes(pid):
    """Resident memory of the process's own (anonymous): what clients take is there, and what is mapped of its program is not."""
    return status_bytes(pid, "RssAnon")


def status_bytes(pid, field):
    """One field of /proc/PID/status, in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{pid}/status has no {field}")


def settled(pid, read=None):
    """What `read` says (resident memory, if nothing else is asked) once two readings a quarter of a second apart agree to a page or two."""
    read = read or rss_bytes
    last = read(pid)
    for _ in range(20):
        time.sleep(0.25)
        now = read(pid)
        if abs(now - last) <= 8192:
            return now
        last = now
    return last


def family(pid):
    """A process and its children."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return [pid, *(int(child) for child in children.read().split())]
