"""Who may run next. Whoever looks at the jobs also mends what is broken and starts what can start.

The queue is strict: the first job that is neither held nor waiting for another one either starts or, while
its cores are busy, keeps all behind it waiting. A waiting job costs no process. Starting takes three steps,
of which each may be the last that its process does: the job is marked STARTING, with a fresh nonce, under
the lock; a supervisor is launched; the supervisor marks the job RUNNING under the lock, if that nonce is
still the valid one. A mark that nobody took up is withdrawn after a while and the job starts anew, while a
supervisor that comes too late leaves again. So no job runs twice, whoever is killed.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager

from .processes import SUPERVISOR, MachineIdentity, kill_orphans
from .records import CANCELLED, DONE, ENDED, FAILED, LOST, NEVER, QUEUED, RUNNING, STARTING

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .records import LocalJob, Spec, State
    from .settings import Settings
    from .store import Store

TOKEN = "PSIJ_LOCAL_TOKEN"
"""In the environment of a job's processes: its nonce, by which they are found if the supervisor is dead."""
_STALE = 10.0  # seconds that a supervisor may take to come up
_STARTS = 5
_MAIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")


@contextmanager
def session(store: Store, **patience: float) -> Iterator[State]:
    """A transaction on an up-to-date state; afterwards the jobs that can start are started."""
    machine = MachineIdentity()
    with store.transaction(**patience) as state:
        settle(store, state, machine)
        yield state
        settle(store, state, machine)
    for job in state.starting:
        if job.state == STARTING:
            launch(store.settings, job)


def needs_work(store: Store, state: State) -> bool:
    """Whether a transaction would change anything. Spoils *state*."""
    settle(store, state, MachineIdentity(), act=False)
    return bool(state.pending)


def settle(store: Store, state: State, machine: MachineIdentity, act: bool = True) -> None:
    """Bury the dead, free those who wait in vain, and mark the jobs that can start."""
    now = time.time()
    busy = 0
    queue = []
    for job in state.jobs.values():
        if job.state == RUNNING and (reason := _loss(store, job, machine)):
            if act:
                kill_orphans(f"{TOKEN}={job.nonce}", _leader(store, job, machine))
            state.change(job, state=LOST, reason=reason, ended=now)
        elif job.state == STARTING and not 0 <= now - job.since < _STALE:
            if job.starts < _STARTS:
                state.change(job, state=QUEUED, nonce="")
            else:
                state.change(job, state=FAILED, reason="LaunchFailed: no supervisor came up", ended=now)
        if is_here(job.spec, machine):
            if job.state == QUEUED:
                queue.append(job)
            elif job.state in (STARTING, RUNNING):
                busy += job.spec.cores
    verdicts: dict[str, bool | None] = {}
    for job in queue:
        if job.spec.id not in verdicts:
            verdicts[job.spec.id] = _ready(state, job.spec)
        ready = verdicts[job.spec.id]
        if ready is False:
            state.change(job, state=CANCELLED, reason=NEVER, ended=now)
        elif ready:
            # Who asks for more than this process happens to see still starts, with the machine to itself.
            if busy and busy + job.spec.cores > store.settings.total:
                break
            busy += job.spec.cores
            nonce = os.urandom(12).hex()
            state.change(job, state=STARTING, nonce=nonce, since=now, starts=job.starts + 1)
            state.starting.append(job)


def is_here(spec: Spec, machine: MachineIdentity) -> bool:
    """Whether a job belongs to this machine, of several that share the state directory."""
    return machine.host == spec.host or machine.boot == spec.boot


def _ready(state: State, spec: Spec) -> bool | None:
    """Whether all that a job waits for has happened; None if it is too early to say, False if it cannot."""
    verdict: bool | None = True
    for word in spec.after:
        kind, _, name = word.partition(":")
        met = fulfilled(kind, {job.state for job in state.find(name)})
        if met is False:
            return False
        if met is None:
            verdict = None
    return verdict


def fulfilled(kind: str, states: Collection[str]) -> bool | None:
    """Whether jobs in these states are what a dependency asks; None if that is not decided yet."""
    if not states:
        return False
    if kind == "after":
        return True if RUNNING in states or ENDED.issuperset(states) else None
    bad = bool(ENDED.intersection(states) - {DONE})
    if kind == "afterok" and bad:
        return False
    if not ENDED.issuperset(states):
        return None
    return kind == "afterany" or bad == (kind == "afternotok")


def _loss(store: Store, job: LocalJob, machine: MachineIdentity) -> str:
    """Why a running job must be given up; empty if there is no reason, or none to be known from here."""
    if not job.by:
        return "the record of its supervisor was damaged"
    host, boot, pids, pid, _ = job.by
    if boot == machine.boot:
        if pid == os.getpid() and pids == machine.pids:
            return ""
        return "" if store.is_alive(job) else f"its supervisor (pid {pid}) is gone"
    return "the machine was restarted" if host == machine.host else ""


def _leader(store: Store, job: LocalJob, machine: MachineIdentity) -> tuple[int, str] | None:
    here = job.by and job.by[1] == machine.boot and job.by[2] == machine.pids
    return store.leader(job) if here else None


def launch(settings: Settings, job: LocalJob) -> None:
    """Start a supervisor that is nobody's child. Harmless if it fails: see above.

    ``posix_spawn``, since the caller may have threads; a shell between, which ends at once and is waited
    for, so that the caller gets neither a child nor a zombie; a new session, so that a terminal's end is
    not the job's.
    """
    shell = ["/bin/sh", "-c", '"$@" &', "psij-local"]
    argv = [*shell, sys.executable, "-I", "-S", _MAIN, SUPERVISOR, job.id, job.nonce]
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", **settings.passed}
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    try:
        try:
            pid = os.posix_spawn(argv[0], argv, environ, file_actions=null, setsid=True)
        except NotImplementedError:  # an old C library: then a process group at least
            pid = os.posix_spawn(argv[0], argv, environ, file_actions=null, setpgroup=0)
        os.waitpid(pid, 0)
    except OSError:  # no more processes now; or the caller does not keep its children
        return
