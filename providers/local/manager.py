"""The command line of the local resource manager. ``main`` runs in the caller's process; by hand:

    python -I -S .../providers/local submit --cores 2 --time 600 job.sh

==================  ====================================================================================
submit SCRIPT       queue a copy of it (``-``: standard input) and print the job's id. Options, also read
                    from ``#PSIJ-LOCAL`` lines before the script's first command: ``--cores N``,
                    ``--memory MB``, ``--time SECONDS``, ``--name TEXT``, ``--tag TEXT``, ``--output FILE``,
                    ``--after ID,afterany:ID`` (start when the one ended DONE and the other at all;
                    also ``afternotok``, ``after``, ``aftercorr``), ``--array 0-9,12`` or
                    ``0-9%4`` (four at a time), ``--begin TIME`` (seconds since 1970), ``--hold``
list [--json]       jobs that are not over, and those that ended lately: ``id|state|exit|signal|reason|
                    submitted|started|ended|cpu|memory|host|tag|name``, times in seconds since 1970, the
                    CPU time that it used in seconds, the most memory in bytes
show ID...          the same of single jobs, however old, one field per line (``--json``)
cancel ID...        end them with all their processes; those that have ended stay as they are
hold, release ID... keep a waiting job from starting, and let it
signal ID SIG       send a signal to the job's script (only to it)
extend ID SECONDS   set the wall time, counted from the start; ``+SECONDS`` is_increment to it
info                cores and jobs of this machine
==================  ====================================================================================

An array's id means all its elements (``12_0``, ``12_1``, ...); hold and release pass over those that
have ended or run. States: QUEUED, HELD, RUNNING, DONE (exit
0), FAILED, CANCELLED, TIMEOUT, LOST. Environment: ``PSIJ_LOCAL_HOME`` (state directory),
``PSIJ_LOCAL_CORES_TOTAL``, ``PSIJ_LOCAL_MEMORY_TOTAL`` (MB), ``PSIJ_LOCAL_KILL_WAIT`` (seconds from TERM to KILL, 5),
``PSIJ_LOCAL_RETENTION`` (seconds that ``list`` shows a job which ended, one day; the last 10,000 are kept
for ``show``). Return codes: 0, 1 (refused, unknown id), 2 (usage)."""

from __future__ import annotations

import os
import signal
import time

from . import processes
from .dispatch import TOKEN, dependency_met, is_here, launch_waker, scheduling_cycle
from .listing import QueryCommand
from .options import SUBMIT, UsageError, build_spec, directives, parse, seconds, signal_number
from .processes import MachineIdentity
from .records import CANCELLED, ENDED, HELD, LOST, NEVER_SATISFIED, QUEUED, RUNNING, STARTING, LocalError
from .store import LockWait

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .records import LocalJob, State

_JOB_VARIABLES = (
    "PSIJ_LOCAL_JOB_ID",
    "PSIJ_LOCAL_ARRAY_INDEX",
    "PSIJ_LOCAL_CORES",
    "PSIJ_LOCAL_ATTEMPT",
    "PSIJ_LOCAL_END",
    TOKEN,
)
"""Variables of a job that are not passed on to the jobs which it submits."""
_CANCEL_TIMEOUT = 60.0  # seconds for another machine to obey a cancel; after that a second cancel marks the job LOST


def _working_directory(cwd: str | None) -> str:
    """The working directory; `/` if it was removed, for most commands need none."""
    try:
        return os.path.abspath(cwd or ".")
    except FileNotFoundError:
        return "/"


def main(
    argv: Sequence[str],
    *,
    stdin: str = "",
    environ: Mapping[str, str] | None = None,
    cwd: str | None = None,
    lock_wait: LockWait | None = None,
) -> tuple[int, str, str]:
    """Run one command as if it were a process with these arguments, this input, environment and directory.

    Returns the return code, the standard output and the standard error. A user's mistake raises nothing. A
    submitted job's environment is *environ*. *lock_wait* is called while the lock is not free.
    """
    try:
        verb, *args = argv or ["help"]
        if verb in ("help", "-h", "--help"):
            return 0, f"{__doc__ or ''}\n", ""
        if verb not in _VERBS:
            raise UsageError(f"unknown command {verb}; the commands are {', '.join(_VERBS)}")
        command = _Command(os.environ if environ is None else environ, _working_directory(cwd), stdin, lock_wait)
        _VERBS[verb](command, args)
    except UsageError as error:
        return 2, "", f"{error}\n"
    except LocalError as error:
        return 1, "", f"{error}\n"
    except OSError as error:
        return 1, "", f"{error.filename or 'the state directory'}: {error.strerror}\n"
    return (1 if command.failed else 0), command.out, command.errors


class _Command(QueryCommand):
    """All verbs: to those that change nothing it adds those that change jobs."""

    def __init__(self, environ: Mapping[str, str], cwd: str, stdin: str, lock_wait: LockWait | None) -> None:
        super().__init__(environ, cwd, stdin, lock_wait)
        self._to_wake: list[LocalJob] = []  # jobs whose supervisors must read the journal now

    # submit

    def submit(self, args: Sequence[str]) -> None:
        options, scripts = parse(args, SUBMIT)
        if len(scripts) != 1:
            raise UsageError("submit takes one script, or - for the standard input")
        script = self._script(scripts[0])
        options = {**directives(script), **options}
        spec = build_spec(options, scripts[0], self.cwd, self.settings)
        pairs = [f"{name}={value}" for name, value in self.environ.items() if name not in _JOB_VARIABLES]
        with scheduling_cycle(self.store) as state:
            spec.id = str(state.next_id)
            spec.after, cannot_start = self._open_dependencies(state, spec.after)
            self.store.keep_script(spec, script, os.fsencode("\0".join(pairs)))
            for job in state.add(spec):
                if cannot_start:
                    state.change(job, state=CANCELLED, reason=NEVER_SATISFIED, ended=spec.submitted)
        if spec.begin > time.time():
            launch_waker(self.settings, spec.id)
        self.out = f"{spec.id}\n"

    def _script(self, name: str) -> bytes:
        if name == "-":
            return os.fsencode(self.stdin)
        with open(os.path.join(self.cwd, name), "rb") as file:
            return file.read()

    def _open_dependencies(self, state: State, dependencies: Sequence[str]) -> tuple[list[str], bool]:
        """The dependencies that are not decided yet, and whether one can never be met."""
        undecided = []
        for dependency in dependencies:
            kind, _, job_id = dependency.partition(":")
            if state.find(job_id):
                undecided.append(dependency)
                continue
            rows = self.ended_rows(state, job_id)
            if not rows:
                raise LocalError(f"no such job: {job_id}")
            if not dependency_met(kind, {row.split("|", 2)[1] for row in rows}):
                return [], True
        return undecided, False

    # What changes jobs

    def _for_each_job(self, names: Sequence[str], action: Callable[[State, LocalJob], None]) -> None:
        if not names:
            raise UsageError("name at least one job")
        if not self.store.exists():
            self.add_error("\n".join(f"no such job: {name}" for name in names))
            return
        with scheduling_cycle(self.store) as state:
            for name in names:
                jobs = state.find(name)
                for job in jobs:
                    action(state, job)
                if not jobs:
                    self._report_missing(state, name, action)

    def _report_missing(self, state: State, name: str, action: Callable[[State, LocalJob], None]) -> None:
        if not self.ended_rows(state, name):
            self.add_error(f"no such job: {name}")
        elif action != self._cancel:
            self.add_error(f"job {name} has ended")

    def cancel(self, args: Sequence[str]) -> None:
        machine = MachineIdentity()
        self._for_each_job(args, self._cancel)
        for job in self._to_wake:
            self._wake(job, machine)

    def _cancel(self, state: State, job: LocalJob) -> None:
        now = time.time()
        if job.state in (QUEUED, HELD, STARTING):
            state.change(job, state=CANCELLED, reason="cancelled", ended=now)
        elif job.state == RUNNING:
            if not job.cancel:
                state.change(job, cancel=now)
            elif now - job.cancel > _CANCEL_TIMEOUT and not is_here(job.spec, MachineIdentity()):
                reason = f"machine {job.spec.host} does not answer"
                state.change(job, state=LOST, reason=reason, ended=now)
            self._to_wake.append(job)

    def hold(self, args: Sequence[str]) -> None:
        self._for_each_job(args, lambda state, job: self._change_hold(state, job, QUEUED, HELD, job.id in args))

    def release(self, args: Sequence[str]) -> None:
        self._for_each_job(args, lambda state, job: self._change_hold(state, job, HELD, QUEUED, job.id in args))

    def _change_hold(self, state: State, job: LocalJob, before: str, after: str, named: bool) -> None:
        """Hold or release one job: *before* is the state to leave, *after* the one to enter.

        *named* is whether the user gave this job's own id. If it was the id of its array, elements that have ended
        or that run are passed over.
        """
        if job.state == before:
            state.change(job, state=after)
        elif job.state in ENDED:
            array = state.find(job.spec.id)
            if named:
                self.add_error(f"job {job.id} has ended")
            elif job is array[-1] and all(element.state in ENDED for element in array):
                self.add_error(f"job {job.spec.id} has ended")
        elif job.state != after and after == HELD:
            if named:
                self.add_error(f"job {job.id} is running already")
            else:
                self.errors += f"job {job.id} is running already\n"

    def extend(self, args: Sequence[str]) -> None:
        if len(args) != 2:
            raise UsageError("extend takes an id and a number of seconds")
        value = seconds(args[1].removeprefix("+"))
        is_increment = args[1].startswith("+")

        def action(state: State, job: LocalJob) -> None:
            if job.state in ENDED:
                self.add_error(f"job {job.id} has ended")
            elif job.limit or not is_increment:  # a job without a wall time stays without one
                state.change(job, limit=job.limit * is_increment + value)
                self._to_wake.append(job)

        machine = MachineIdentity()
        self._for_each_job(args[:1], action)
        for job in self._to_wake:
            self._wake(job, machine)

    def _wake(self, job: LocalJob, machine: MachineIdentity) -> None:
        """Have the job's supervisor read the journal now; one on another machine reads it within seconds anyway."""
        if job.state == RUNNING and job.by and job.by[1:3] == [machine.boot, machine.pids]:
            processes.send(job.by[3], job.by[4], signal.SIGUSR1)

    def signal(self, args: Sequence[str]) -> None:
        if len(args) != 2:
            raise UsageError("signal takes an id and a signal")
        number = signal_number(args[1])
        state, _ = self.current_state()
        jobs = state.find(args[0])
        if not jobs:
            self._report_missing(state, args[0], lambda *_: None)
        machine = MachineIdentity()
        for job in jobs:
            if not self._send_signal(job, number, machine):
                self.add_error(f"job {job.id} is not running on this machine")

    def _send_signal(self, job: LocalJob, number: int, machine: MachineIdentity) -> bool:
        if job.state != RUNNING or not job.by or job.by[1:3] != [machine.boot, machine.pids]:
            return False
        for _ in range(100):  # a job is marked RUNNING shortly before its script starts
            if leader := self.store.leader(job):
                return processes.send(*leader, number)
            time.sleep(0.01)
        return False


_VERBS: dict[str, Callable[[_Command, Sequence[str]], None]] = {
    "submit": _Command.submit,
    "list": _Command.list_all,
    "show": _Command.show,
    "cancel": _Command.cancel,
    "hold": _Command.hold,
    "release": _Command.release,
    "signal": _Command.signal,
    "extend": _Command.extend,
    "info": _Command.info,
}
