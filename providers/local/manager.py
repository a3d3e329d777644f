"""The command line of the local resource manager. ``main`` runs in the caller's process; by hand:

    python -I -S .../providers/local submit --cores 2 --time 600 job.sh

==================  ====================================================================================
submit SCRIPT       queue a copy of it (``-``: standard input) and print the job's id. Options, also read
                    from ``#PSIJ-LOCAL`` lines before the script's first command: ``--cores N``,
                    ``--time SECONDS``, ``--name TEXT``, ``--tag TEXT``, ``--output FILE``,
                    ``--after ID,afterany:ID`` (start when the one ended DONE and the other at all;
                    also ``afternotok`` and ``after``), ``--array 0-9,12``, ``--hold``
list [--json]       jobs that are not over, and those that ended lately: ``id|state|exit|signal|reason|
                    submitted|started|ended|host|tag|name``, times in seconds since 1970
show ID...          the same of single jobs, however old, one field per line (``--json``)
cancel ID...        end them with all their processes; those that have ended stay as they are
hold, release ID... keep a waiting job from starting, and let it
signal ID SIG       send a signal to the job's script (only to it)
extend ID SECONDS   set the wall time, counted from the start; ``+SECONDS`` adds to it
info                cores and jobs of this machine
==================  ====================================================================================

An array's id means all its elements (``12_0``, ``12_1``, ...); hold and release pass over those that
have ended or run. States: QUEUED, HELD, RUNNING, DONE (exit
0), FAILED, CANCELLED, TIMEOUT, LOST. Environment: ``PSIJ_LOCAL_HOME`` (state directory),
``PSIJ_LOCAL_CORES_TOTAL``, ``PSIJ_LOCAL_KILL_WAIT`` (seconds from TERM to KILL, 5),
``PSIJ_LOCAL_RETENTION`` (seconds that ``list`` shows a job which ended, one day; the last 10,000 are kept
for ``show``). Return codes: 0, 1 (refused, unknown id), 2 (usage)."""

from __future__ import annotations

import os
import signal
import time

from . import processes
from .dispatch import TOKEN, fulfilled, is_here, session
from .listing import Listing
from .options import SUBMIT, UsageError, directives, parse, seconds, signal_number, specify
from .processes import MachineIdentity
from .records import CANCELLED, ENDED, HELD, LOST, NEVER, QUEUED, RUNNING, STARTING, LocalError
from .store import Waits

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .records import LocalJob, State

_OF_A_JOB = (
    "PSIJ_LOCAL_JOB_ID",
    "PSIJ_LOCAL_ARRAY_INDEX",
    "PSIJ_LOCAL_CORES",
    "PSIJ_LOCAL_ATTEMPT",
    "PSIJ_LOCAL_END",
    TOKEN,
)
"""A job that submits a job does not pass these on."""
_DEAF = 60.0  # seconds after which a job is given up on another machine that obeys no request


def _place(cwd: str | None) -> str:
    """The working directory; the root where it was removed, for most commands need none."""
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
    waits: Waits | None = None,
) -> tuple[int, str, str]:
    """Run one command as if it were a process with these arguments, this input, environment and directory.

    Returns the return code, the standard output and the standard error. Never raises for what the user did. A
    submitted job's environment is *environ*. *waits* is told of a lock that is not free.
    """
    try:
        verb, *words = argv or ["help"]
        if verb in ("help", "-h", "--help"):
            return 0, f"{__doc__ or ''}\n", ""
        if verb not in _VERBS:
            raise UsageError(f"unknown command {verb}; the commands are {', '.join(_VERBS)}")
        command = _Command(os.environ if environ is None else environ, _place(cwd), stdin, waits)
        _VERBS[verb](command, words)
    except UsageError as error:
        return 2, "", f"{error}\n"
    except LocalError as error:
        return 1, "", f"{error}\n"
    except OSError as error:
        return 1, "", f"{error.filename or 'the state directory'}: {error.strerror}\n"
    return (1 if command.failed else 0), command.out, command.errors


class _Command(Listing):
    """The verbs that change jobs, too."""

    def __init__(self, environ: Mapping[str, str], cwd: str, stdin: str, waits: Waits | None) -> None:
        super().__init__(environ, cwd, stdin, waits)
        self._asked: list[LocalJob] = []  # whose supervisors are to be woken

    # submit

    def submit(self, words: Sequence[str]) -> None:
        options, rest = parse(words, SUBMIT)
        if len(rest) != 1:
            raise UsageError("submit takes one script, or - for the standard input")
        script = self._script(rest[0])
        options = {**directives(script), **options}
        spec = specify(options, rest[0], self.cwd, self.settings.total, self.settings.kill_wait)
        pairs = [f"{name}={value}" for name, value in self.environ.items() if name not in _OF_A_JOB]
        with session(self.store) as state:
            spec.id = str(state.next_id)
            spec.after, doomed = self._awaited(state, spec.after)
            self.store.keep_script(spec, script, os.fsencode("\0".join(pairs)))
            for job in state.add(spec):
                if doomed:
                    state.change(job, state=CANCELLED, reason=NEVER, ended=spec.submitted)
        self.out = f"{spec.id}\n"

    def _script(self, name: str) -> bytes:
        if name == "-":
            return os.fsencode(self.stdin)
        with open(os.path.join(self.cwd, name), "rb") as file:
            return file.read()

    def _awaited(self, state: State, names: Sequence[str]) -> tuple[list[str], bool]:
        """The jobs still to be awaited, and whether one has already ended badly."""
        awaited = []
        for word in names:
            kind, _, name = word.partition(":")
            if state.find(name):
                awaited.append(word)
                continue
            rows = self.past(state, name)
            if not rows:
                raise LocalError(f"no such job: {name}")
            if not fulfilled(kind, {row.split("|", 2)[1] for row in rows}):
                return [], True
        return awaited, False

    # What changes jobs

    def _each(self, names: Sequence[str], treat: Callable[[State, LocalJob], None]) -> None:
        if not names:
            raise UsageError("name at least one job")
        if not self.store.exists():
            self.complain("\n".join(f"no such job: {name}" for name in names))
            return
        with session(self.store) as state:
            for name in names:
                jobs = state.find(name)
                for job in jobs:
                    treat(state, job)
                if not jobs:
                    self._gone(state, name, treat)

    def _gone(self, state: State, name: str, treat: Callable[[State, LocalJob], None]) -> None:
        if not self.past(state, name):
            self.complain(f"no such job: {name}")
        elif treat != self._cancel:
            self.complain(f"job {name} has ended")

    def cancel(self, words: Sequence[str]) -> None:
        machine = MachineIdentity()
        self._each(words, self._cancel)
        for job in self._asked:
            self._wake(job, machine)

    def _cancel(self, state: State, job: LocalJob) -> None:
        now = time.time()
        if job.state in (QUEUED, HELD, STARTING):
            state.change(job, state=CANCELLED, reason="cancelled", ended=now)
        elif job.state == RUNNING:
            if not job.cancel:
                state.change(job, cancel=now)
            elif now - job.cancel > _DEAF and not is_here(job.spec, MachineIdentity()):
                reason = f"machine {job.spec.host} does not answer"
                state.change(job, state=LOST, reason=reason, ended=now)
            self._asked.append(job)

    def hold(self, words: Sequence[str]) -> None:
        self._each(words, lambda state, job: self._turn(state, job, QUEUED, HELD, job.id in words))

    def release(self, words: Sequence[str]) -> None:
        self._each(words, lambda state, job: self._turn(state, job, HELD, QUEUED, job.id in words))

    def _turn(self, state: State, job: LocalJob, before: str, after: str, named: bool) -> None:
        """Elements of an array are not `named` each: those that have ended or run are passed over."""
        if job.state == before:
            state.change(job, state=after)
        elif job.state in ENDED:
            array = state.find(job.spec.id)
            if named:
                self.complain(f"job {job.id} has ended")
            elif job is array[-1] and all(each.state in ENDED for each in array):
                self.complain(f"job {job.spec.id} has ended")
        elif job.state != after and after == HELD:
            if named:
                self.complain(f"job {job.id} is running already")
            else:
                self.errors += f"job {job.id} is running already\n"

    def extend(self, words: Sequence[str]) -> None:
        if len(words) != 2:
            raise UsageError("extend takes an id and a number of seconds")
        value = seconds(words[1].removeprefix("+"))
        adds = words[1].startswith("+")

        def treat(state: State, job: LocalJob) -> None:
            if job.state in ENDED:
                self.complain(f"job {job.id} has ended")
            elif job.limit or not adds:  # nothing is added to no limit
                state.change(job, limit=job.limit * adds + value)
                self._asked.append(job)

        machine = MachineIdentity()
        self._each(words[:1], treat)
        for job in self._asked:
            self._wake(job, machine)

    def _wake(self, job: LocalJob, machine: MachineIdentity) -> None:
        """Tell its supervisor to read the journal now; on another machine it does so within seconds."""
        if job.state == RUNNING and job.by and job.by[1:3] == [machine.boot, machine.pids]:
            processes.send(job.by[3], job.by[4], signal.SIGUSR1)

    def signal(self, words: Sequence[str]) -> None:
        if len(words) != 2:
            raise UsageError("signal takes an id and a signal")
        number = signal_number(words[1])
        state, _ = self.look()
        jobs = state.find(words[0])
        if not jobs:
            self._gone(state, words[0], lambda *_: None)
        machine = MachineIdentity()
        for job in jobs:
            if not self._deliver(job, number, machine):
                self.complain(f"job {job.id} is not running on this machine")

    def _deliver(self, job: LocalJob, number: int, machine: MachineIdentity) -> bool:
        if job.state != RUNNING or not job.by or job.by[1:3] != [machine.boot, machine.pids]:
            return False
        for _ in range(100):  # it was marked as running a moment before its script is
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
