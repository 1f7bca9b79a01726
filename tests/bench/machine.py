"""What the benchmark scripts share: the machine in words, who else uses it, and what riverrun's last line says."""

import os
import re
import statistics


def describe():
    said = {}
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            key, _, value = line.partition(":")
            said.setdefault(key.strip(), value.strip())
    name = said.get("model name", "unknown CPU")
    if "cpu family" in said:  # virtual machines often hide the name
        name += f" (family {said['cpu family']}, model {said.get('model', '?')})"
    return f"{name}, {os.cpu_count()} logical cores, load {os.getloadavg()[0]:.1f} before"


def busy_seconds():
    """CPU seconds that all processes together have used since boot."""
    with open("/proc/stat", encoding="utf-8") as lines:
        fields = [int(field) for field in lines.readline().split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields[:8]) - idle) / os.sysconf("SC_CLK_TCK")


def tokens_per_second(log):
    """From the line '1 documents, 28.4 k tokens in 35.3 s: 806 tokens/s on 2 ranks'."""
    found = re.search(r": ([0-9.]+)( [kMG])? tokens/s on \d+ ranks?", log)
    if not found:
        raise SystemExit(f"riverrun did not say how fast it was; its log:\n{log}")
    return float(found[1]) * {None: 1, " k": 1e3, " M": 1e6, " G": 1e9}[found[2]]


def best_and_median(values):
    if not values:
        return ""
    return f"{max(values):.0f} ({statistics.median(values):.0f})"
