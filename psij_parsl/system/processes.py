"""Processes of this host: whether one lives, and an identity by which it is never taken for another one."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path


@cache
def boot_id() -> str:
    """What tells this boot of this host from every other one; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


#: Fields of `process_status`, as numbers; memory is in pages.
STATE, GROUP, SESSION = 0, 2, 3
STARTED, RESIDENT, STATUS = 19, 21, 49


def process_status(pid: int) -> list[bytes]:
    """What the kernel tells of a process (proc(5), stat), from its state on. Raises `OSError` if there is none."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        return file.read().rpartition(b")")[2].split()


def process_start(pid: int) -> str:
    """When a process started, in the kernel's own ticks, so that a reused pid is not taken for it; empty if gone.

    One that has ended is gone, also while its parent has not asked how it ended.
    """
    try:
        fields = process_status(pid)
        return "" if fields[STATE] in b"ZX" else fields[STARTED].decode()
    except (OSError, IndexError):
        if os.path.isdir("/proc/self"):
            return ""
        return "?" if _exists(pid) else ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def process_identity(pid: int | None = None) -> str:
    """Who we are, or that process of this host is, for records that outlive us: host, boot, pid and its start."""
    pid = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}/{boot_id()}/{pid}/{process_start(pid)}"


def process_has_ended(owner: str) -> bool | None:
    """Whether that process has ended; None where it cannot be known from here (another host)."""
    try:
        host, boot, pid, start = owner.split("/")
        number = int(pid)
    except ValueError:
        return None
    if host != socket.gethostname():
        return None
    return boot != boot_id() or process_start(number) != start


def stopped(pid: int) -> bool:
    """Whether a process of this host was stopped (Ctrl-Z, SIGSTOP) or is being debugged."""
    try:
        return process_status(pid)[STATE] in b"Tt"
    except (OSError, IndexError):
        return False
