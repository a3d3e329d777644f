"""Scheduling: decides which jobs start, and starts their supervisors.

There is no daemon. Every command and every supervisor that reads the jobs also runs a scheduling cycle: it
records the jobs that were lost and starts the jobs that can start.

The queue is strictly first in, first out. Its first job is the oldest that is neither held nor waits for another
job, for its time, or for other elements of its array. While there are too few free cores for it, no job behind it starts. A waiting job needs no process, but one that waits for its time has one that sleeps until then;
should that be gone, the next command starts the job.

A start has three steps, and the process that does a step may be killed after any of them:

1. Under the lock, the job is marked STARTING, with a new nonce.
2. A supervisor is launched.
3. Under the lock, the supervisor marks the job RUNNING, if that nonce is still the job's.

If no supervisor does step 3 in time, the mark is withdrawn and the job starts again with another nonce. A
supervisor that comes too late then finds that nonce and exits. So no job runs twice, whichever process is killed.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager

from .processes import SUPERVISOR, WAKER, MachineIdentity, kill_orphans
from .records import CANCELLED, DONE, ENDED, FAILED, HELD, LOST, NEVER_SATISFIED, QUEUED, RUNNING, STARTING

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .records import LocalJob, Spec, State
    from .settings import Settings
    from .store import Store

TOKEN = "PSIJ_LOCAL_TOKEN"
"""Variable in the environment of a job's processes: its nonce, by which they are found if the supervisor is dead."""
_LAUNCH_TIMEOUT = 10.0  # seconds that a supervisor may take to start
_MAX_LAUNCHES = 5
_WAKER_INTERVAL = (
    10.0  # seconds after which a process that sleeps until a job's time looks whether there still is one
)
_MAIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")


@contextmanager
def scheduling_cycle(store: Store, **patience: float) -> Iterator[State]:
    """A transaction on the reconciled state; after the block, the jobs that can start are started."""
    machine = MachineIdentity()
    with store.transaction(**patience) as state:
        reconcile(store, state, machine)
        yield state
        reconcile(store, state, machine)
    for job in state.starting:
        if job.state == STARTING:
            launch_supervisor(store.settings, job)


def cycle_is_due(store: Store, state: State) -> bool:
    """Whether a scheduling cycle would change anything. It changes *state*, which is of no use afterwards."""
    reconcile(store, state, MachineIdentity(), act=False)
    return bool(state.pending)


def reconcile(store: Store, state: State, machine: MachineIdentity, act: bool = True) -> None:
    """Mark lost jobs, cancel jobs whose dependencies can never be met, and mark the jobs that can start.

    Without *act* no process is killed.
    """
    now = time.time()
    busy = 0
    waiting = []
    active: dict[str, int] = {}  # elements that run, by the array's id
    for job in state.jobs.values():
        if job.state == RUNNING and (reason := _loss_reason(store, job, machine)):
            if act:
                kill_orphans(f"{TOKEN}={job.nonce}", _leader(store, job, machine))
            state.change(job, state=LOST, reason=reason, ended=now)
        elif job.state == STARTING and not 0 <= now - job.since < _LAUNCH_TIMEOUT:
            if job.starts < _MAX_LAUNCHES:
                state.change(job, state=QUEUED, nonce="")
            else:
                state.change(job, state=FAILED, reason="LaunchFailed: no supervisor came up", ended=now)
        if is_here(job.spec, machine):
            if job.state == QUEUED:
                waiting.append(job)
            elif job.state in (STARTING, RUNNING):
                busy += job.spec.cores
                active[job.spec.id] = active.get(job.spec.id, 0) + 1
    met_by_submission: dict[str, bool | None] = {}
    for job in waiting:
        ready = _is_ready(state, job, met_by_submission)
        if ready is False:
            state.change(job, state=CANCELLED, reason=NEVER_SATISFIED, ended=now)
        elif ready and now >= job.spec.begin and not 0 < job.spec.at_once <= active.get(job.spec.id, 0):
            # A job that asks for more cores than this process sees still starts, when no other job runs.
            if busy and busy + job.spec.cores > store.settings.total:
                break
            busy += job.spec.cores
            active[job.spec.id] = active.get(job.spec.id, 0) + 1
            nonce = os.urandom(12).hex()
            state.change(job, state=STARTING, nonce=nonce, since=now, starts=job.starts + 1)
            state.starting.append(job)


def waiting_reasons(state: State, total: int) -> dict[str, str]:
    """Why jobs wait, by their ids, after a scheduling cycle. `total`: this machine's cores."""
    queued = [job for job in state.jobs.values() if job.state == QUEUED]
    if not queued:
        return {}
    machine, now, reasons = MachineIdentity(), time.time(), {}
    busy, active = 0, dict.fromkeys((job.spec.id for job in queued), 0)
    for job in state.jobs.values():
        if job.state in (STARTING, RUNNING) and is_here(job.spec, machine):
            busy += job.spec.cores
            active[job.spec.id] = active.get(job.spec.id, 0) + 1
    met_by_submission: dict[str, bool | None] = {}
    is_first = True
    for job in queued:
        if job.spec.begin > now:
            reasons[job.id] = "waits for its begin"
        elif not is_here(job.spec, machine):
            reasons[job.id] = f"waits for {job.spec.host}"
        elif not _is_ready(state, job, met_by_submission):
            reasons[job.id] = "waits for other jobs to end"
        elif 0 < job.spec.at_once <= active[job.spec.id]:
            reasons[job.id] = "waits for other elements to end"
        elif busy and busy + job.spec.cores > total:
            reasons[job.id], is_first = f"waits for cores: {busy} of {total} are in use", False
        elif not is_first:
            reasons[job.id] = "waits for the jobs before it"
    return reasons


def is_here(spec: Spec, machine: MachineIdentity) -> bool:
    """Whether a job is this machine's; several machines may share the state directory."""
    return machine.host == spec.host or machine.boot == spec.boot


def _is_ready(state: State, job: LocalJob, known: dict[str, bool | None]) -> bool | None:
    """As `_dependencies_met`, which is found out once for the elements of an array that wait for the same."""
    key = job.id if any(after.startswith("aftercorr:") for after in job.spec.after) else job.spec.id
    if key not in known:
        known[key] = _dependencies_met(state, job)
    return known[key]


def _dependencies_met(state: State, job: LocalJob) -> bool | None:
    """Whether all dependencies of a job are met; None while that is not decided, False if one can never be met."""
    all_met: bool | None = True
    for dependency in job.spec.after:
        kind, _, name = dependency.partition(":")
        if kind == "aftercorr" and job.index is not None:
            name = f"{name}_{job.index}"
        met = dependency_met(kind, {job.state for job in state.find(name)})
        if met is False:
            return False
        if met is None:
            all_met = None
    return all_met


def dependency_met(kind: str, states: Collection[str]) -> bool | None:
    """Whether jobs in these states meet a dependency of this kind; None while that is not decided."""
    if not states:
        return False
    if kind == "after":
        return True if RUNNING in states or ENDED.issuperset(states) else None
    any_failed = bool(ENDED.intersection(states) - {DONE})
    if kind in ("afterok", "aftercorr") and any_failed:
        return False
    if not ENDED.issuperset(states):
        return None
    return kind == "afterany" or any_failed == (kind == "afternotok")


def _loss_reason(store: Store, job: LocalJob, machine: MachineIdentity) -> str:
    """Why a job that is recorded as running is lost; '' if it is not, or if this machine cannot know it."""
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


def launch_supervisor(settings: Settings, job: LocalJob) -> None:
    """Start the supervisor of a job. A failure does no harm: the job starts again later."""
    _launch(settings, SUPERVISOR, job.id, job.nonce)


def launch_waker(settings: Settings, job_id: str) -> None:
    """Start a process that sleeps until a job's time has come, and then looks which jobs can start."""
    _launch(settings, WAKER, job_id)


def wait_for_time(store: Store, job_id: str) -> None:
    """What that process does. It ends early with the job."""
    while jobs := [job for job in store.load().find(job_id) if job.state in (QUEUED, HELD)]:
        left = jobs[0].spec.begin - time.time()
        if left <= 0:
            with scheduling_cycle(store):
                return
        time.sleep(min(left, _WAKER_INTERVAL))


def _launch(settings: Settings, *words: str) -> None:
    """Start a process of ours that is no child of the caller.

    ``posix_spawn`` is used because the caller may have threads. A shell stands between, which ends at once
    and is waited for, so that the caller gets neither a child nor a zombie. The new session keeps the job
    alive when the terminal closes.
    """
    shell = ["/bin/sh", "-c", '"$@" &', "psij-local"]
    argv = [*shell, sys.executable, "-I", "-S", _MAIN, *words]
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
