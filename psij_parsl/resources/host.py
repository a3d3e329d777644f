"""This host's hardware: the CPUs that this process may use, how they make up cores, and its memory.

Everything is read below `root`, so that a test can show a machine of its own making. Limits are the scheduling
affinity, cpusets and CPU quotas of control groups, version 1 and 2
(https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/scheduler/sched-bwc.html).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import AllocationError
from ..system.processes import host_name
from .hostlist import numbers

_ROOT = Path("/")


def name() -> str:
    """This host's name, as its managers know it."""
    return host_name()


def is_here(node: str) -> bool:
    """Whether that is this host, domain or not."""
    return node.partition(".")[0] == name().partition(".")[0]


def cpus(root: Path = _ROOT, affinity: Iterable[int] | None = None) -> tuple[int, ...]:
    """The ids of the CPUs that this process may use, lowest first: at least one.

    A quota of 2.5 CPUs' time leaves the first two. `affinity` replaces the process's own.
    """
    allowed = set(affinity) if affinity is not None else _affinity()
    present = _ids(root / "sys/devices/system/cpu/online")
    if present:
        allowed &= present
    quota: float | None = None
    for folder in _groups(root, "cpuset"):
        for file in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
            if limited := _ids(folder / file):
                allowed &= limited
                break
    for folder in _groups(root, "cpu"):
        limit = _quota(folder)
        if limit is not None:
            quota = limit if quota is None else min(quota, limit)
    usable = sorted(allowed) or [0]
    return tuple(usable if quota is None else usable[: max(1, int(quota))])


def online(root: Path = _ROOT) -> int:
    """How many CPUs this host has, allowed to us or not."""
    return len(_ids(root / "sys/devices/system/cpu/online")) or os.cpu_count() or 1


def siblings(root: Path = _ROOT) -> tuple[tuple[int, ...], ...]:
    """The CPU ids that are hardware threads of one core, core by core; empty where the system does not say."""
    cores: set[tuple[int, ...]] = set()
    for folder in (root / "sys/devices/system/cpu").glob("cpu[0-9]*"):
        ids = _ids(folder / "topology/thread_siblings_list") or _ids(folder / "topology/core_cpus_list")
        if ids:
            cores.add(tuple(sorted(ids)))
    return tuple(sorted(cores))


def memory(root: Path = _ROOT) -> int | None:
    """The MB of memory that this process may use: the host's, or its control group's limit; None if unknown."""
    sizes: list[int] = []
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            sizes.append(int(line.split()[1]) * 1024)
    for folder in _groups(root, "memory"):
        for file in ("memory.max", "memory.limit_in_bytes"):
            text = _text(folder / file)
            if text.isdigit():
                sizes.append(int(text))
    return min(sizes) // (1 << 20) if sizes else None


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The control group that we are in for that controller, and those above it, where they are mounted.

    Inside a container the path is often the host's, which is not to be seen: then the mount's top is ours.
    """
    base = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mounts = [base / controllers, base / controller] if controllers else [base, base / "unified"]
        for mount in dict.fromkeys(mounts):
            folder = mount / path.lstrip("/")
            while folder != mount and mount in folder.parents:
                if folder.is_dir():
                    yield folder
                folder = folder.parent
            if mount.is_dir():
                yield mount


def _quota(folder: Path) -> float | None:
    fields = _text(folder / "cpu.max").split()
    if not fields:
        fields = [_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")]
    if len(fields) != 2 or not fields[0].isdigit() or not fields[1].isdigit() or not int(fields[1]):
        return None  # max, -1, or no such file
    return int(fields[0]) / int(fields[1])


def _ids(path: Path) -> set[int]:
    try:
        return set(numbers(_text(path)))
    except AllocationError:
        return set()


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
