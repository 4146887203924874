"""The machine, and the CPU time that other processes take from a measurement."""
import os
import platform
import re
import time

# Share of a core that other processes may take before a sample is marked.
LIMIT = 0.06
# Rounding of the clocks below, in seconds: each counts whole ticks.
ROUNDING = 0.04


def machine() -> dict:
    with open("/proc/cpuinfo") as cpuinfo:
        entries = dict(re.findall(r"^(\w[\w ]*?)\s*: (.*)$", cpuinfo.read(), re.MULTILINE))
    interesting = re.compile(r"^(ssse3|avx|fma|f16c|amx|asimd|i8mm|sve)")
    flags = entries.get("flags", entries.get("Features", "")).split()
    return {
        "cpu": entries.get("model name", platform.processor()),
        "cpu_flags": [flag for flag in flags if interesting.match(flag)],
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def busy_seconds() -> float:
    """CPU time of all processes since the machine began."""
    with open("/proc/stat") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds(pid: int | None) -> float:
    """CPU time of this process and of `pid`."""
    own = time.process_time()
    if pid is not None:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        own += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own


class Watch:
    """Share of a core that processes other than this one and `pid` take from here to `share()`."""

    def __init__(self, pid: int | None):
        self.pid = pid
        self.begin, self.others = time.perf_counter(), busy_seconds() - own_seconds(pid)

    def share(self) -> float | None:
        """None after less than 0.2 s, in which a few ticks have no meaning."""
        others = busy_seconds() - own_seconds(self.pid) - self.others
        elapsed = time.perf_counter() - self.begin
        return max(0.0, others - ROUNDING) / elapsed if elapsed >= 0.2 else None
