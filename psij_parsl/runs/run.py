"""A run: the ranks of one command, started by a launch method. Start, watch, signal, end.

Processes of a run are known by a mark in their environment and by the launcher's session. Beside it stands a `Guard`.
"""

from __future__ import annotations

import os
import signal as signals
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from ..errors import InvalidRequest, LaunchError
from ..signals import fresh
from ..system.files import SHORT, last_lines
from .exit_codes import ExitCodesFile
from .guard import Guard, killing_elsewhere
from .rank_io import RankIO
from .run_processes import MARK, LostDaemon, ProcessSweep, ends

GRACE_S = 10.0
_KILLED_S = 5.0  # how long a killed process may take to be gone
_LEFT_S = 1.0  # what a run leaves behind is asked to end, and killed after this
_POLL_S = 1.0  # how often one looks whether a rank has failed, where the launcher may leave the others running


class RunCommand(NamedTuple):
    """What is started: the whole argv, and the environment that the child gets in place of ours.

    `mark` is that of its processes. `kill_command` ends the ranks on other hosts when the launcher was killed; () if they end by themselves.
    `exit_codes` is where ranks that failed leave their exit codes, where the launcher would lose or mix them.
    `ends_together`: one failure ends them all, and if the launcher does not, we do, after the grace.
    `start_refusal`: why the launcher itself starts nothing here, should it fail with 1, and what to do.
    `waits_for_lost_daemons`: a child of the launcher that fails is a daemon for which it may wait for ever.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    mark: str
    io: RankIO = RankIO()
    kill_command: Sequence[str] = ()
    exit_codes: ExitCodesFile | None = None
    ends_together: bool = True
    waits_for_lost_daemons: bool = False
    start_refusal: tuple[str, str] = ("", "")

    @property
    def launcher(self) -> str:
        """What is started, by its name."""
        return os.path.basename(self.argv[0])

    def first_failure(self) -> int:
        """The first exit code that a rank has left in the file; 0 if none has."""
        return 0 if self.exit_codes is None else self.exit_codes.first()

    def survivors_are_overdue(self, grace_s: float) -> bool:
        """Whether a rank failed so long ago that the others should have been ended."""
        return self.exit_codes is not None and self.ends_together and self.exit_codes.older_than(grace_s)


class Run:
    """One run. As a context manager it is started on entry, and nothing of it is left after the block.

    `returncode` is None until it has ended; a rank or a launcher that a signal ended gives 128 + its number.
    """

    def __init__(self, command: RunCommand, *, grace_s: float = GRACE_S) -> None:
        self.command = command
        self.grace_s = grace_s
        self.returncode: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._sweep = ProcessSweep(command.mark, -1, 0)
        self._guard: Guard | None = None
        self._lost_daemon: LostDaemon | None = None
        self._rank_failed = False

    def __repr__(self) -> str:
        state = "not started" if self._process is None else "running" if self.returncode is None else self.returncode
        return f"Run({' '.join(self.command.argv[:3])} ..., {state})"

    # ---- start -----------------------------------------------------------------------------------------------

    def start(self, *, guarded: Callable[[int], None] | None = None) -> Self:
        """Open the files and start the launcher, in a session of its own. Starting twice is a mistake.

        `guarded` is called with the guard's process id before the launcher starts: what the run holds should be
        held while that lives, for it outlives us until nothing of the run is left. Raises `LaunchError`, with
        the reason, when that is impossible: no such program, directory, or file.
        """
        if self._process is not None:
            raise InvalidRequest("this run was started already", hint="make another one")
        command = self.command
        if not command.directory.is_dir():
            raise LaunchError(
                f"the run's directory {command.directory} is not there", hint="make it, or choose another with -D"
            )
        with ExitStack() as files:
            stdin, stdout, stderr = command.io.opened(files)
            try:
                self._guard = Guard(command.mark, command.environment, command.kill_command)
                if guarded is not None:
                    guarded(self._guard.pid)
                self._process = subprocess.Popen(
                    command.argv,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    cwd=command.directory,
                    env={**command.environment, MARK: command.mark},
                    start_new_session=True,
                    preexec_fn=fresh(),
                )
            except (OSError, ValueError) as error:
                self._dismiss_guard()
                raise _start_error(error, command) from error
            except BaseException:
                self._dismiss_guard()
                raise
        pid = self._process.pid
        self._sweep = ProcessSweep.of(command.mark, pid)
        self._lost_daemon = LostDaemon(pid) if command.waits_for_lost_daemons else None
        self._guard.watch(pid)
        return self

    # ---- watch -----------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The launcher's process id, which is also its session's. Raises `InvalidRequest` before the start."""
        return self._started().pid

    def poll(self) -> int | None:
        """The exit code, or None while it runs. Never waits for a rank."""
        process = self._started()
        if self.returncode is None and (code := process.poll()) is not None:
            self._ended(code)
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the end, up to so many seconds (None: for ever). The exit code, or None when the time is up.

        Raises `LaunchError` where the launcher waits for ranks on a host on which it could start nothing, and where it
        refuses to start any.
        """
        process = self._started()
        if self.returncode is not None:
            return self.returncode
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not ends(process, self._turn(deadline)):
            if self.command.survivors_are_overdue(self.grace_s):
                return self.kill()
            self._check_daemons()
            if deadline is not None and time.monotonic() >= deadline:
                return None
        code = self._ended(process.wait())
        why, hint = self.command.start_refusal
        if why and code == 1 and not self._rank_failed:
            self.returncode = 125
            raise LaunchError(why, hint=hint)
        return code

    def _turn(self, deadline: float | None) -> float | None:
        """How long to wait at a time: not longer than a failed rank may go unnoticed."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        command = self.command
        if not command.waits_for_lost_daemons and (command.exit_codes is None or not command.ends_together):
            return left
        return _POLL_S if left is None else min(_POLL_S, left)

    def _check_daemons(self) -> None:
        """End the run, and raise `LaunchError`, where the launcher waits for ever for a daemon of its own."""
        code = self._lost_daemon.exit_code() if self._lost_daemon is not None else None
        if code is not None:
            self.kill()
            self.returncode = 125
            raise LaunchError(
                f"{self.command.launcher} could not start its daemon on a host of the run (exit code {code}) and"
                " waited for it; the run was ended",
                hint="its own words say which host: can you reach it with ssh from here?",
            )

    def tail(self, lines: int = 20, *, stderr: bool = False, rank: int = 0) -> str:
        """The end of the output file, of that rank where each has its own; '' where output went to our own stream."""
        path = self.command.io.path(stderr=stderr, rank=rank)
        return "" if path is None else last_lines(path, lines)

    # ---- signal and end --------------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """Send a signal to the ranks, by way of the launcher; KILL ends everything at once. Nothing after the end."""
        if number == signals.SIGKILL:
            self.kill()
        elif self.poll() is None:
            self._started().send_signal(number)

    def terminate(self, grace_s: float | None = None, *, number: int = signals.SIGTERM) -> int:
        """TERM (or `number`), a grace of so many seconds (default: the run's own), then KILL. The exit code."""
        self.signal(number)
        code = self.wait(self.grace_s if grace_s is None else grace_s)
        return self.kill() if code is None else code

    def kill(self) -> int:
        """End every process of the run now. The exit code."""
        process = self._started()
        if self.returncode is not None:
            return self.returncode
        with killing_elsewhere(self.command.kill_command, self.command.environment):
            process.kill()
            self._sweep.end(signals.SIGKILL, _KILLED_S)
        return self._ended(process.wait(), killed=True)

    def close(self) -> None:
        """See that nothing is left: end it if it still runs. Closing twice, or before the start, is fine."""
        if self._process is not None and self.returncode is None:
            self.terminate()
        self._dismiss_guard()

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ended(self, code: int, *, killed: bool = False) -> int:
        """The launcher has ended: no rank may outlive it. The exit code of the run."""
        if self.returncode is not None:
            return self.returncode
        command = self.command
        by_signal = code < 0 and not killed
        # Killed, it could not see to its ranks, whose ends are but what followed. Intel's mpiexec may die of SIGPIPE,
        # as its proxies leave before it: that is what follows a rank's failure.
        before_its_ranks = by_signal and code != -signals.SIGPIPE
        failure = 0 if before_its_ranks else command.first_failure()
        if before_its_ranks:
            with killing_elsewhere(command.kill_command, command.environment):
                self._sweep.end(signals.SIGKILL, _KILLED_S)
        elif not self._sweep.end(signals.SIGTERM, _LEFT_S):
            self._sweep.end(signals.SIGKILL, _KILLED_S)
        if not by_signal:
            failure = failure or command.first_failure()
        if command.exit_codes is not None:
            command.exit_codes.remove()
        self._rank_failed = bool(failure)
        self.returncode = failure or (128 - code if code < 0 else code)
        self._dismiss_guard()
        return self.returncode

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise InvalidRequest("this run was not started", hint="start() it, or use it in a `with` block")
        return self._process

    def _dismiss_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.dismiss()


def _start_error(error: OSError | ValueError, command: RunCommand) -> LaunchError:
    program = command.argv[0]
    if isinstance(error, FileNotFoundError):
        return LaunchError(
            f"there is no program {program!r} on PATH here to start the ranks with",
            hint="load the module that brings it, or choose another --launcher",
        )
    reason = getattr(error, "strerror", None) or str(error)
    hint = "its arguments and environment are too long for this system" if "too long" in reason else ""
    if getattr(error, "errno", None) in SHORT:
        hint = "`ulimit -a` shows how many processes and open files you may have"
    return LaunchError(f"{program!r} cannot be started: {reason}", hint=hint)
