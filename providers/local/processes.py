"""Processes by name and by family: who is alive, who descends from whom, and how to end all of them.

A pid alone names nobody, for the system uses it again. A process is named by its pid and its start time,
and those by the boot of the machine. Linux is read from ``/proc``; elsewhere ``ps`` answers, and then a
daemon that left its process group cannot be found."""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False  # the real one is in typing, whose import would cost every job 5 ms
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SUPERVISOR = "--psij-local-supervisor"
"""Stands in a supervisor's command line. One can be the child of another, when a job submits a job, and must
outlive it."""
_HAS_PROC = os.path.exists("/proc/self/stat")
_MARK = b"\0" + SUPERVISOR.encode() + b"\0"


class Process:
    """One line of the process table. ``start`` is opaque: it only compares."""

    __slots__ = ("group", "parent", "pid", "session", "start", "zombie")

    def __init__(self, pid: int, parent: int, group: int, session: int, start: str, zombie: bool) -> None:
        self.pid, self.parent, self.group, self.session = pid, parent, group, session
        self.start, self.zombie = start, zombie


class MachineIdentity:
    """Where this process runs: host name, boot, and pid namespace (a pid says nothing in another one)."""

    __slots__ = ("boot", "host", "pids")

    def __init__(self) -> None:
        self.host = os.uname().nodename.replace("|", "")
        self.boot = _boot()
        try:
            self.pids = os.readlink("/proc/self/ns/pid")
        except OSError:
            self.pids = ""


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return _run("sysctl", "-n", "kern.boottime").strip()


def _run(*argv: str) -> str:
    import subprocess

    try:
        return subprocess.run(argv, capture_output=True, text=True, errors="replace").stdout
    except OSError:
        return ""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it has ended, or is not ours to look at
        return b""


def _from_proc(pid: int) -> Process | None:
    text = _read(f"/proc/{pid}/stat")
    # The command's name, in brackets, may hold anything, brackets included.
    words = text[text.rfind(b")") + 2 :].split()
    if len(words) < 20:
        return None
    return Process(pid, int(words[1]), int(words[2]), int(words[3]), words[19].decode(), words[0] in (b"Z", b"X"))


def _from_ps() -> dict[int, Process]:
    found = {}
    for line in _run("ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart=").splitlines():
        words = line.split(None, 4)
        if len(words) == 5:
            pid, parent, group = (int(word) for word in words[:3])
            found[pid] = Process(pid, parent, group, group, words[4], words[3].startswith("Z"))
    return found


def table() -> dict[int, Process]:
    """Every process that can be seen, by pid."""
    if not _HAS_PROC:
        return _from_ps()
    seen = (_from_proc(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in seen if process}


def start_time(pid: int) -> str | None:
    """When the process *pid* started; None if there is none, or only a zombie."""
    process = _from_proc(pid) if _HAS_PROC else _from_ps().get(pid)
    return None if process is None or process.zombie else process.start


def send(pid: int, start: str, number: int) -> bool:
    """Send a signal to the process that has this pid **and** this start time. False if it is gone.

    Where the system has pid file descriptors nothing can come between the look and the signal.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # not Linux, an old kernel, or a container that forbids it
        if start_time(pid) != start:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True
    try:
        if start_time(pid) != start:
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def holder(handle: int) -> str:
    """Which process has the lock (flock) of an open file, as a sentence; '' where the system does not tell."""
    about = os.fstat(handle)
    place = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}".encode()
    for line in _read("/proc/locks").splitlines():
        words = line.split()  # 3: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF; "->" before FLOCK for one that waits
        if len(words) > 5 and words[1] == b"FLOCK" and words[5] == place and words[4].isdigit() and int(words[4]):
            pid = int(words[4])
            if _state(pid) in (b"T", b"t"):
                return f"process {pid} of this host holds it and is stopped: `kill -CONT {pid}` lets it go on"
            return f"process {pid} of this host holds it"
    return ""


def _state(pid: int) -> bytes:
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].strip()[:1]


def _is_supervisor(pid: int) -> bool:
    return _MARK in _read(f"/proc/{pid}/cmdline")


def _family(processes: Mapping[int, Process], roots: Collection[int]) -> list[Process]:
    """The roots' descendants (not the roots), without other jobs' supervisors and what is below these."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    todo = list(roots)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child.pid in found or child.pid in roots or _is_supervisor(child.pid):
                continue
            todo.append(child.pid)
            if not child.zombie:
                found[child.pid] = child
    return list(found.values())


def descendants(root: int, session: int) -> list[Process]:
    """What runs below *root*, and in the session that its child *session* leads."""
    processes = table()
    found = {process.pid: process for process in _family(processes, [root])}
    for process in processes.values():
        if process.session == session and not process.zombie and process.pid != root:
            found[process.pid] = process
    return list(found.values())


def _orphans(token: str, leader: tuple[int, str] | None) -> list[Process]:
    processes = table()
    mark = token.encode()
    roots = [pid for pid in processes if mark and mark in _read(f"/proc/{pid}/environ").split(b"\0")]
    if leader and (first := processes.get(leader[0])) and first.start == leader[1]:
        # Only while its leader lives is a session surely this one, and not a later user of the number.
        roots += [process.pid for process in processes.values() if process.session == leader[0]]
    roots = [pid for pid in dict.fromkeys(roots) if not _is_supervisor(pid)]
    own = [processes[pid] for pid in roots if not processes[pid].zombie]
    return own + _family(processes, roots)


def kill_orphans(token: str, leader: tuple[int, str] | None, patience: float = 5.0) -> int:
    """Kill what a dead supervisor left; returns how many could not be ended.

    These are the processes whose environment holds *token* (``NAME=value``), those in the session of *leader*
    (pid, start time), and all below them.
    """
    deadline = time.monotonic() + patience
    while left := _orphans(token, leader):
        for process in left:
            try:
                send(process.pid, process.start, signal.SIGKILL)
            except PermissionError:
                continue
        if time.monotonic() > deadline:
            return len(left)
        time.sleep(0.005)
    return 0


def become_subreaper() -> bool:
    """Let this process inherit all its orphaned descendants, daemons included (Linux; see ``prctl(2)``)."""
    if not _HAS_PROC:
        return False
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0)  # PR_SET_CHILD_SUBREAPER
    except (ImportError, OSError, AttributeError):
        return False
