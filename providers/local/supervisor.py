"""The one process that stays with a running job: it keeps time, obeys requests, and tells how it ended.

It inherits every orphan among the job's processes (``PR_SET_CHILD_SUBREAPER``), so that a daemon with a
session of its own is still found and ended. Requests stand in the journal; SIGUSR1 says that there is one,
and a look every few seconds finds those whose signal was lost. SIGTERM, which only a machine's shutdown
sends, ends the job as LOST."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from contextlib import suppress

from . import processes
from .dispatch import needs_work, session
from .processes import MachineIdentity, Process
from .records import CANCELLED, DONE, FAILED, LOST, RUNNING, STARTING, TIMEOUT, LocalError
from .script import become_script
from .settings import Settings
from .store import Store

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from .records import LocalJob

_LOOK = 5.0  # seconds between two looks at the journal
_UNKILLABLE = 60.0  # seconds for processes that do not even obey SIGKILL (they hang in the kernel)
_FENCED = "FENCED"  # the job was taken from us: nothing is to be recorded


def main(job_id: str, nonce: str) -> None:
    _detach()
    store = Store(Settings(os.environ))
    os.chdir(store.home)
    supervisor = Supervisor(store, job_id, nonce)
    if supervisor.claim():
        supervisor.run()


def _detach() -> None:
    """Leave what came with the process that happened to start us."""
    with suppress(OSError):  # that is, we lead a session already
        os.setsid()
    os.closerange(3, 65536)
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, lambda *_: None)  # a handler, not SIG_IGN, which the job would inherit


class Supervisor:
    def __init__(self, store: Store, job_id: str, nonce: str) -> None:
        self.store, self.id, self.nonce = store, job_id, nonce
        self.machine = MachineIdentity()
        self.reaper = processes.become_subreaper()
        self.job: LocalJob
        self.limit = 0.0
        self.pid = 0
        self.status: int | None = None  # of the script, when it has ended
        self.told_to_stop = False
        self._wake, writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        self.told_to_stop = True

    # Beginning

    def claim(self) -> bool:
        """Make the job ours, unless it was cancelled meanwhile or given to another one."""
        start = processes.start_time(os.getpid()) or ""
        by = [self.machine.host, self.machine.boot, self.machine.pids, os.getpid(), start]
        with self.store.transaction() as state:
            found = state.jobs.get(self.id)
            if found is None or found.state != STARTING or found.nonce != self.nonce:
                return False
            self._alive = os.open(self.store.file(found, "alive"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._alive, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process is no more
            self.started = time.monotonic()
            state.change(found, state=RUNNING, by=by, started=time.time())
        self.job, self.limit = found, found.limit
        return True

    def _mine(self) -> LocalJob | None:
        job = self.store.load().jobs.get(self.id)
        return job if job and job.nonce == self.nonce and job.state in (STARTING, RUNNING) else None

    def _start(self) -> str:
        """Start the script; the reason if that fails."""
        try:
            path, environ = self.store.script(self.job.spec)
            reader, writer = os.pipe()
            self.pid = os.fork()
            if not self.pid:
                become_script(self.job, self.nonce, self.limit, path, environ, writer)
            os.close(writer)
            with suppress(OSError), open(self.store.file(self.job, "pid"), "w") as file:
                # The disk may be full, but the script runs.
                file.write(f"{self.pid} {processes.start_time(self.pid) or ''}")
            with os.fdopen(reader, "rb") as pipe:
                return pipe.read().decode("utf-8", "replace")
        except (OSError, LocalError) as error:
            return str(error)

    # Middle

    def run(self) -> None:
        if failure := self._start():
            self._finish(FAILED, f"LaunchFailed: {failure}".replace("|", "/").replace("\n", " "))
            return
        cause, reason = self._watch()
        left = self._end_all()
        ended = time.time()
        if not cause:
            cause = DONE if self.status == 0 else FAILED
        if left:
            reason = f"{reason}; {left} processes could not be killed".lstrip("; ")
        if cause != _FENCED:
            self._finish(cause, reason, ended)

    def _watch(self) -> tuple[str, str]:
        """Wait for the script's end, or for a reason to end it: the state to record, and the reason."""
        look = time.monotonic() + _LOOK
        while True:
            self._reap()
            now = time.monotonic()
            if self.status is not None:
                return "", ""
            if self.told_to_stop:
                return LOST, "its supervisor was told to end (was the machine shut down?)"
            if self._woken or now >= look:
                look = now + _LOOK
                if verdict := self._look():
                    return verdict
            if self.limit and now - self.started >= self.limit:
                return TIMEOUT, f"the wall time of {self.limit:g} s was reached"
            until = min(look, self.started + self.limit) if self.limit else look
            self._pause(max(0.0, until - now))

    _woken = False

    def _look(self) -> tuple[str, str] | None:
        """See what is asked of us, and whether the queue needs a hand."""
        self._woken = False
        try:
            job = self._mine()
            if job is None:
                return _FENCED, ""
            if job.cancel:
                return CANCELLED, "cancelled"
            self.limit = job.limit
            if needs_work(self.store, self.store.load()):
                with session(self.store):
                    pass
        except (OSError, LocalError):  # the next look may do better
            pass
        return None

    def _pause(self, seconds: float) -> None:
        if select.select([self._wake], [], [], seconds)[0]:
            self._woken = signal.SIGUSR1 in os.read(self._wake, 4096) or self._woken

    def _reap(self) -> bool:
        """Take in the dead. False if no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self.pid:
                self.status = status

    # End

    def _left(self) -> list[Process]:
        if not self._reap() and self.reaper:
            return []
        return processes.descendants(os.getpid(), self.pid)

    def _end_all(self) -> int:
        """TERM to every process of the job, then KILL until none is left. How many are."""
        beyond_us = self._signal(self._left(), signal.SIGTERM, signal.SIGCONT)
        kill = time.monotonic() + self.job.spec.kill_wait
        while left := [process for process in self._left() if process.pid not in beyond_us]:
            now = time.monotonic()
            if now >= kill + _UNKILLABLE:
                return len(left)
            if now >= kill:
                beyond_us |= self._signal(left, signal.SIGKILL)
            self._pause(0.02 if now >= kill else min(0.1, kill - now))
        return len(beyond_us)

    def _signal(self, targets: list[Process], *numbers: int) -> set[int]:
        """Send to all; those whom we may not signal (a set-uid program)."""
        refused = set()
        for target in targets:
            try:
                for number in numbers:
                    processes.send(target.pid, target.start, number)
            except PermissionError:
                refused.add(target.pid)
        return refused

    def _finish(self, state_name: str, reason: str, ended: float = 0.0) -> None:
        """Record the end and start who is next. A full disk does not make us throw a result away."""
        code = number = None
        if self.status is not None:
            result = os.waitstatus_to_exitcode(self.status)
            code, number = (result, None) if result >= 0 else (None, -result)
        pause = 0.1
        while True:
            try:
                with session(self.store) as state:
                    job = state.jobs.get(self.id)
                    if job and job.nonce == self.nonce and job.state == RUNNING:
                        end = ended or time.time()
                        state.change(job, state=state_name, exit=code, signal=number, reason=reason, ended=end)
                return
            except (OSError, LocalError):
                if not self.store.exists():  # removed with all its jobs
                    return
                time.sleep(pause)
                pause = min(pause * 2, 10.0)


def start(argv: list[str]) -> None:
    """What ``__main__`` calls."""
    try:
        main(*argv)
    except (OSError, LocalError) as error:  # nobody would read a traceback; the job will be started anew
        sys.exit(str(error))
