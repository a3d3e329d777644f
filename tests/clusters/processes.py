"""The processes of a cluster: started, written down, and ended only when they are surely the same ones.

A process is known by its id *and* its start time, for the kernel gives ids out again. Signals go through a
pidfd that is opened before the identity is checked, so that none can hit a stranger.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process of this boot: its id and start time (clock ticks since boot, field 22 of proc(5) stat)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this id now, or None."""
        stat = _stat(pid)
        return None if stat is None else cls(pid, stat[1])

    @property
    def state(self) -> str | None:
        """The kernel's letter (R, S, D, T, ...), or None once it has ended, be it reaped or not."""
        stat = _stat(self.pid)
        if stat is None or stat[1] != self.started:
            return None
        if stat[0] in "ZX":
            with suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)  # ours to reap if we are its parent
            return None
        return stat[0]

    @property
    def alive(self) -> bool:
        return self.state is not None

    @property
    def paused(self) -> bool:
        return self.state in ("T", "t")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)

    @property
    def program(self) -> str:
        """The file name of what it executes; empty for a kernel thread or a process that has ended."""
        try:
            return os.path.basename(os.readlink(f"/proc/{self.pid}/exe"))
        except OSError:
            return ""

    @property
    def mounts(self) -> str | None:
        """Its mount namespace, such as ``mnt:[4026532301]``; None once it has ended."""
        try:
            return os.readlink(f"/proc/{self.pid}/ns/mnt")
        except OSError:
            return None


def _stat(pid: int) -> tuple[str, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the command's name before it may hold spaces and brackets
    return fields[0], int(fields[19])


def every_process() -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (process := Process.of(int(entry))) is not None:
            yield process


def sharing_mounts(processes: Iterable[Process]) -> list[Process]:
    """Every live process in the mount namespaces of `processes`.

    Our own namespace never counts, whatever is asked: "everything in it" would be the whole machine.
    """
    private = {process.mounts for process in processes} - {None, os.readlink("/proc/self/ns/mnt")}
    if not private:
        return []
    return [process for process in every_process() if process.mounts in private and process.alive]


def spawn(argv: Sequence[str], *, env: Mapping[str, str], output: Path) -> Process:
    """Start a program in a session of its own, so that it outlives us and no terminal signal reaches it.

    Not a `subprocess.Popen`: nobody is going to wait for these, and a Popen complains about that when it is
    collected.
    """
    pid = os.posix_spawn(
        "/usr/bin/env",
        ["env", "--chdir=/", *argv],
        dict(env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGXFSZ),
    )
    process = Process.of(pid)
    assert process is not None, "an unreaped child always has its /proc entry"
    return process


class Ledger:
    """What a cluster has started, by name, one small file each: another program can end it just as well."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def record(self, name: str, process: Process) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        entry = self._folder / f"{name}.json"
        fresh = entry.with_suffix(".new")
        fresh.write_text(json.dumps({"pid": process.pid, "started": process.started}))
        fresh.rename(entry)

    def find(self, name: str) -> Process | None:
        """The live process of this name, or None."""
        try:
            entry = json.loads((self._folder / f"{name}.json").read_text())
            process = Process(int(entry["pid"]), int(entry["started"]))
        except (OSError, ValueError, KeyError):
            return None
        return process if process.alive else None

    def live(self) -> dict[str, Process]:
        """All live processes in the ledger."""
        found = ((path.stem, self.find(path.stem)) for path in sorted(self._folder.glob("*.json")))
        return {name: process for name, process in found if process is not None}
