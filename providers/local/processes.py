"""The process table: which processes are alive, which descend from which, and how to end all of a job's.

A pid alone identifies no process, because the system uses it again. A pid and a start time do, within one boot of
the machine. On Linux the table is read from ``/proc``, elsewhere from ``ps``; then a daemon that left its process
group cannot be found."""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False  # the real one is in typing, whose import would cost every job 5 ms
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SUPERVISOR = "--psij-local-supervisor"
WAKER = "--psij-local-waker"
"""An argument in each supervisor's command line, by which it is recognized. When a job submits a job, the
second supervisor can be a child of the first, and must outlive it."""
_HAS_PROC = os.path.exists("/proc/self/stat")
_SUPERVISOR_ARGUMENT = b"\0" + SUPERVISOR.encode() + b"\0"


class Process:
    """One process of the table. ``start`` is opaque: it serves only to be compared."""

    __slots__ = ("group", "parent", "pid", "session", "start", "zombie")

    def __init__(self, pid: int, parent: int, group: int, session: int, start: str, zombie: bool) -> None:
        self.pid, self.parent, self.group, self.session = pid, parent, group, session
        self.start, self.zombie = start, zombie


class MachineIdentity:
    """Where this process runs: host name, boot, and pid namespace (a pid has no meaning in another one)."""

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


def read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # the process has ended, or belongs to another user
        return b""


def _from_proc(pid: int) -> Process | None:
    text = read(f"/proc/{pid}/stat")
    # The command's name, in brackets, may hold anything, brackets included.
    fields = text[text.rfind(b")") + 2 :].split()
    if len(fields) < 20:
        return None
    return Process(
        pid, int(fields[1]), int(fields[2]), int(fields[3]), fields[19].decode(), fields[0] in (b"Z", b"X")
    )


def _from_ps() -> dict[int, Process]:
    processes = {}
    for line in _run("ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart=").splitlines():
        fields = line.split(None, 4)
        if len(fields) == 5:
            pid, parent, group = (int(field) for field in fields[:3])
            processes[pid] = Process(pid, parent, group, group, fields[4], fields[3].startswith("Z"))
    return processes


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

    Where the system has pid file descriptors, the pid cannot be reused between the check and the signal.
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


def lock_holder(handle: int) -> str:
    """Which process has the lock (flock) of an open file, as a sentence; '' where the system does not show it."""
    file = os.fstat(handle)
    inode = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}".encode()
    for line in read("/proc/locks").splitlines():
        fields = line.split()  # 3: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF; "->" before FLOCK for one that waits
        if (
            len(fields) > 5
            and fields[1] == b"FLOCK"
            and fields[5] == inode
            and fields[4].isdigit()
            and int(fields[4])
        ):
            pid = int(fields[4])
            if _state(pid) in (b"T", b"t"):
                return f"process {pid} of this host holds it and is stopped: `kill -CONT {pid}` lets it go on"
            return f"process {pid} of this host holds it"
    return ""


def _state(pid: int) -> bytes:
    return read(f"/proc/{pid}/stat").rpartition(b")")[2].strip()[:1]


def _is_supervisor(pid: int) -> bool:
    return _SUPERVISOR_ARGUMENT in read(f"/proc/{pid}/cmdline")


def _descendants_of(processes: Mapping[int, Process], roots: Collection[int]) -> list[Process]:
    """The roots' descendants (not the roots), without other jobs' supervisors and the descendants of those."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    below: dict[int, Process] = {}
    unvisited = list(roots)
    while unvisited:
        for child in children.get(unvisited.pop(), ()):
            if child.pid in below or child.pid in roots or _is_supervisor(child.pid):
                continue
            unvisited.append(child.pid)
            if not child.zombie:
                below[child.pid] = child
    return list(below.values())


def descendants(root: int, session: int) -> list[Process]:
    """The descendants of *root*, and the processes of the session that its child *session* leads."""
    processes = table()
    members = {process.pid: process for process in _descendants_of(processes, [root])}
    for process in processes.values():
        if process.session == session and not process.zombie and process.pid != root:
            members[process.pid] = process
    return list(members.values())


def pids_below(root: int, session: int) -> list[int]:
    """The pids of the descendants of *root*, without the table of all processes where the system tells children."""
    found: list[int] = []
    unvisited = [root]
    while unvisited:
        pid = unvisited.pop()
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:  # it has ended
            continue
        if not os.path.exists(f"/proc/{pid}/task/{threads[0]}/children"):
            return [process.pid for process in descendants(root, session)]
        children = [int(child) for one in threads for child in read(f"/proc/{pid}/task/{one}/children").split()]
        children = [child for child in children if not _is_supervisor(child)]
        found += children
        unvisited += children
    return found


def _orphans(token: str, leader: tuple[int, str] | None) -> list[Process]:
    processes = table()
    variable = token.encode()
    roots = [pid for pid in processes if variable and variable in read(f"/proc/{pid}/environ").split(b"\0")]
    if leader and (process := processes.get(leader[0])) and process.start == leader[1]:
        # Only while the leader lives, the session is certainly the job's: its number may be used again later.
        roots += [process.pid for process in processes.values() if process.session == leader[0]]
    roots = [pid for pid in dict.fromkeys(roots) if not _is_supervisor(pid)]
    own = [processes[pid] for pid in roots if not processes[pid].zombie]
    return own + _descendants_of(processes, roots)


def kill_orphans(token: str, leader: tuple[int, str] | None, patience: float = 5.0) -> int:
    """Kill the processes that a dead supervisor left; returns how many could not be ended.

    These are the processes whose environment holds *token* (``NAME=value``), those in the session of *leader*
    (pid, start time), and all below them.
    """
    deadline = time.monotonic() + patience
    while orphans := _orphans(token, leader):
        for process in orphans:
            try:
                send(process.pid, process.start, signal.SIGKILL)
            except PermissionError:
                continue
        if time.monotonic() > deadline:
            return len(orphans)
        time.sleep(0.005)
    return 0


def become_subreaper() -> bool:
    """Make this process the parent of all its orphaned descendants, daemons included (Linux; see ``prctl(2)``)."""
    if not _HAS_PROC:
        return False
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0)  # PR_SET_CHILD_SUBREAPER
    except (ImportError, OSError, AttributeError):
        return False
