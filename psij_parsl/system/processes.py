"""Processes of this host: their status, and an identity that survives the reuse of pids."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


@cache
def boot_id() -> str:
    """What tells this boot of this host from every other one; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def host_name() -> str:
    """The name of this host, as it calls itself."""
    return os.uname().nodename


_LONG_S = 3600.0  # more than one waits at once

#: Fields of `process_status`, as numbers; memory is in pages.
STATE, PARENT, GROUP, SESSION = 0, 1, 2, 3
STARTED, RESIDENT, STATUS = 19, 21, 49


def process_status(pid: int) -> list[bytes]:
    """The fields of a process in /proc/PID/stat (proc(5)), from its state on. Raises `OSError` if there is none."""
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
    if pid is None:
        return _own_identity(os.getpid())
    return f"{host_name()}/{boot_id()}/{pid}/{process_start(pid)}"


@cache
def _own_identity(pid: int) -> str:
    os.register_at_fork(after_in_child=_own_identity.cache_clear)
    return process_identity(pid)


def process_has_ended(owner: str) -> bool | None:
    """Whether that process has ended; None where it cannot be known from here (another host)."""
    try:
        host, boot, pid, start = owner.split("/")
        number = int(pid)
    except ValueError:
        return None
    if host != host_name():
        return None
    return boot != boot_id() or process_start(number) != start


def has_ended(child: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Whether a child of ours ends within that time. It is seen at once, where the system can tell, as Linux can."""
    if child.poll() is not None:
        return True
    import select
    import subprocess

    try:
        handle = os.pidfd_open(child.pid)
    except (AttributeError, OSError):
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout_s)
        return child.poll() is not None
    try:
        end = select.poll()
        end.register(handle, select.POLLIN)
        end.poll(min(timeout_s, _LONG_S) * 1000)
    finally:
        os.close(handle)
    return child.poll() is not None


def stopped(pid: int) -> bool:
    """Whether a process of this host was stopped (Ctrl-Z, SIGSTOP) or is being debugged."""
    try:
        return process_status(pid)[STATE] in b"Tt"
    except (OSError, IndexError):
        return False
