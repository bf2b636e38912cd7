"""What the kernel knows of a process: its CPU time and its memory."""

import os

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of all threads, in seconds; the kernel's resolution is a tick, 10 ms as a rule."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        # The name may hold blanks and brackets; the fields after its closing bracket are fixed (man 5 proc: 14 utime, 15 stime).
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_bytes(pid):
    """Resident memory in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{pid}/status has no VmRSS")
