"""The supervisor, one process for each running job: it enforces the wall time, obeys requests, and records the end.

It inherits every orphan among the job's processes (``PR_SET_CHILD_SUBREAPER``), so that a daemon with a
session of its own is still found and ended. Requests, such as a cancel, stand in the journal. SIGUSR1 means that
there is one; the journal is also polled every few seconds, in case that signal was lost. SIGTERM, which only a
machine's shutdown sends, ends the job as LOST."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from contextlib import suppress

from . import processes
from .dispatch import cycle_is_due, scheduling_cycle, wait_for_time
from .processes import MachineIdentity, Process
from .records import CANCELLED, DONE, FAILED, LOST, RUNNING, STARTING, TIMEOUT, LocalError
from .script import become_script
from .settings import Settings
from .store import Store
from .usage import Meter

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from .records import LocalJob

_POLL_INTERVAL = 5.0  # seconds between two polls of the journal
_UNKILLABLE = 60.0  # seconds for processes that do not even obey SIGKILL (they hang in the kernel)
_FENCED = "FENCED"  # the job is no longer this supervisor's, which must record nothing


def main(job_id: str, nonce: str) -> None:
    _detach()
    store = Store(Settings(os.environ))
    os.chdir(store.home)
    supervisor = Supervisor(store, job_id, nonce)
    if supervisor.claim():
        supervisor.run()


def wake(job_id: str) -> None:
    _detach()
    store = Store(Settings(os.environ))
    os.chdir(store.home)
    wait_for_time(store, job_id)


def _detach() -> None:
    """Drop the session, open files, umask and signal settings of the process that started this one."""
    with suppress(OSError):  # this process leads a session already
        os.setsid()
    os.closerange(3, 65536)
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, lambda *_: None)  # a handler, not SIG_IGN, which the job would inherit


class Supervisor:
    """Supervises one job, from the claim to the record of its end."""

    def __init__(self, store: Store, job_id: str, nonce: str) -> None:
        self.store, self.id, self.nonce = store, job_id, nonce
        self.machine = MachineIdentity()
        self.reaper = processes.become_subreaper()
        self.job: LocalJob
        self.limit = 0.0
        self.pid = 0
        self.status: int | None = None  # of the script, when it has ended
        self.meter = Meter()
        self.stop_requested = False
        self._wake, writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.signal(signal.SIGTERM, self._request_stop)

    def _request_stop(self, *_: object) -> None:
        self.stop_requested = True

    # Start

    def claim(self) -> bool:
        """Mark the job RUNNING under this supervisor. False if it was cancelled or given to another supervisor."""
        start = processes.start_time(os.getpid()) or ""
        by = [self.machine.host, self.machine.boot, self.machine.pids, os.getpid(), start]
        with self.store.transaction() as state:
            job = state.jobs.get(self.id)
            if job is None or job.state != STARTING or job.nonce != self.nonce:
                return False
            self._alive = os.open(self.store.file(job, "alive"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._alive, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until this process ends
            self.started = time.monotonic()
            state.change(job, state=RUNNING, by=by, started=time.time())
        self.job, self.limit = job, job.limit
        return True

    def _own_job(self) -> LocalJob | None:
        """The job as the journal has it now; None if it is no longer this supervisor's."""
        job = self.store.load().jobs.get(self.id)
        return job if job and job.nonce == self.nonce and job.state in (STARTING, RUNNING) else None

    def _start(self) -> str:
        """Start the script. Returns why that failed, '' if it did not."""
        try:
            path, environ = self.store.script(self.job.spec)
            reader, writer = os.pipe()
            self.pid = os.fork()
            if not self.pid:
                become_script(self.job, self.nonce, self.limit, path, environ, writer)
            os.close(writer)
            with suppress(OSError), open(self.store.file(self.job, "pid"), "w") as file:
                # The disk may be full; the script runs nevertheless.
                file.write(f"{self.pid} {processes.start_time(self.pid) or ''}")
            with os.fdopen(reader, "rb") as pipe:
                return pipe.read().decode("utf-8", "replace")
        except (OSError, LocalError) as error:
            return str(error)

    # Run

    def run(self) -> None:
        if failure := self._start():
            self._finish(FAILED, f"LaunchFailed: {failure}".replace("|", "/").replace("\n", " "))
            return
        end_state, reason = self._watch()
        num_left = self._end_all()
        ended = time.time()
        if not end_state:
            end_state = DONE if self.status == 0 else FAILED
        if num_left:
            reason = f"{reason}; {num_left} processes could not be killed".lstrip("; ")
        if end_state != _FENCED:
            self._finish(end_state, reason, ended)

    def _watch(self) -> tuple[str, str]:
        """Wait until the script ends or must be ended. Returns the state to record ('': by its exit) and why."""
        next_poll = time.monotonic() + _POLL_INTERVAL
        while True:
            self._reap()
            now = time.monotonic()
            if self.status is not None:
                return "", ""
            if self.stop_requested:
                return LOST, "its supervisor was told to end (was the machine shut down?)"
            if self._woken or now >= next_poll:
                next_poll = now + _POLL_INTERVAL
                if end := self._poll_journal():
                    return end
            if self.limit and now - self.started >= self.limit:
                return TIMEOUT, f"the wall time of {self.limit:g} s was reached"
            self.meter.sample_if_due(self.pid)
            until = min(next_poll, self.meter.next_sample, *([self.started + self.limit] if self.limit else []))
            self._pause(max(0.0, until - now))

    _woken = False

    def _poll_journal(self) -> tuple[str, str] | None:
        """Read requests from the journal, and run a scheduling cycle if one is due.

        Returns the state and the reason with which the job must end; None if it goes on.
        """
        self._woken = False
        try:
            job = self._own_job()
            if job is None:
                return _FENCED, ""
            if job.cancel:
                return CANCELLED, "cancelled"
            self.limit = job.limit
            if cycle_is_due(self.store, self.store.load()):
                with scheduling_cycle(self.store):
                    pass
        except (OSError, LocalError):  # the next poll may succeed
            pass
        return None

    def _pause(self, seconds: float) -> None:
        if select.select([self._wake], [], [], seconds)[0]:
            self._woken = signal.SIGUSR1 in os.read(self._wake, 4096) or self._woken

    def _reap(self) -> bool:
        """Collect the children that have ended. False if no child is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            self.meter.ended(usage)
            if pid == self.pid:
                self.status = status

    # End

    def _remaining_processes(self) -> list[Process]:
        if not self._reap() and self.reaper:
            return []
        return processes.descendants(os.getpid(), self.pid)

    def _end_all(self) -> int:
        """Send TERM to all processes of the job, then KILL until none is left. Returns how many could not be ended."""
        not_permitted = self._signal(self._remaining_processes(), signal.SIGTERM, signal.SIGCONT)
        kill_time = time.monotonic() + self.job.spec.kill_wait
        while remaining := [process for process in self._remaining_processes() if process.pid not in not_permitted]:
            now = time.monotonic()
            if now >= kill_time + _UNKILLABLE:
                return len(remaining)
            if now >= kill_time:
                not_permitted |= self._signal(remaining, signal.SIGKILL)
            self._pause(0.02 if now >= kill_time else min(0.1, kill_time - now))
        return len(not_permitted)

    def _signal(self, targets: list[Process], *numbers: int) -> set[int]:
        """Send the signals to all targets. Returns the pids that we may not signal (a set-uid program's)."""
        refused = set()
        for target in targets:
            try:
                for number in numbers:
                    processes.send(target.pid, target.start, number)
            except PermissionError:
                refused.add(target.pid)
        return refused

    def _finish(self, state_name: str, reason: str, ended: float = 0.0) -> None:
        """Record the end, and start the next job. While the disk is full this is tried again: no result is lost."""
        code = number = None
        if self.status is not None:
            result = os.waitstatus_to_exitcode(self.status)
            code, number = (result, None) if result >= 0 else (None, -result)
        pause = 0.1
        while True:
            try:
                with scheduling_cycle(self.store) as state:
                    job = state.jobs.get(self.id)
                    if job and job.nonce == self.nonce and job.state == RUNNING:
                        end = ended or time.time()
                        changes = {"exit": code, "signal": number, "reason": reason, "ended": end}
                        used = {"cpu": round(self.meter.cpu, 3), "memory": self.meter.memory} if self.pid else {}
                        state.change(job, state=state_name, **changes, **used)
                return
            except (OSError, LocalError):
                if not self.store.exists():  # removed with all its jobs
                    return
                time.sleep(pause)
                pause = min(pause * 2, 10.0)


def start(verb: str, *words: str) -> None:
    """What ``__main__`` calls: for a supervisor, or for a process that waits for a job's time."""
    try:
        (wake if verb == processes.WAKER else main)(*words)
    except (OSError, LocalError) as error:  # a traceback would have no reader; the job will be started again
        sys.exit(str(error))
