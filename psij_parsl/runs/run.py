"""A run: the ranks of one command, started by a launch method. Start, watch, signal, end.

Beside each run stands a guard, a small shell (`guard.sh`) that holds a pipe from us: when we die without a word,
however that happens, it ends what is left of the run on this host, and runs the method's command for other hosts.
Processes of a run are known by a mark in their environment and by the launcher's session.
"""

from __future__ import annotations

import os
import secrets
import select
import signal as signals
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ..errors import InvalidRequest, LaunchError
from ..signals import fresh
from ..system.files import SHORT
from ..system.processes import SESSION, STARTED, STATE, STATUS, process_status
from .binding import script
from .rank_io import RankIO, last_lines

MARK = "PSIJ_RUN"
GRACE_S = 10.0
_SWEEP_S = 5.0  # how long a killed process may take to be gone
_LEFT_S = 1.0  # what a run leaves behind is asked to end, and killed after this
_LOOK_S = 1.0  # how often one looks whether a rank has failed, where the launcher may leave the others running
_ALONE_S = 5.0  # how long a launcher may take to notice that a daemon of its own could not be started
_END_S = 20.0  # for the method's own command


@dataclass(frozen=True, kw_only=True)
class RunCommand:
    """What is started: the whole argv, and the environment that the child gets in place of ours.

    `end` is a command that ends the ranks on other hosts when the launcher was killed; () if they end by themselves.
    `codes` is a file in which ranks that failed leave their exit codes, where the launcher would forget or mix them.
    `together`: one failure ends them all, and if the launcher does not, we do, after the grace.
    `refusal`: why the launcher itself starts nothing here, should it fail with 1, and what to do.
    `watch_children`: a child of the launcher that fails is a daemon for which it may wait for ever.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    io: RankIO = field(default_factory=RankIO)
    end: Sequence[str] = ()
    codes: Path | None = None
    together: bool = True
    watch_children: bool = False
    refusal: tuple[str, str] = ("", "")
    mark: str = field(default_factory=lambda: secrets.token_hex(8))


class Run:
    """One run. As a context manager it is started on entry, and nothing of it is left after the block.

    `returncode` is None until it has ended; a rank or a launcher that a signal ended gives 128 + its number.
    """

    def __init__(self, command: RunCommand, *, grace_s: float = GRACE_S) -> None:
        self.command = command
        self.grace_s = grace_s
        self.returncode: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._since = 0
        self._guard: subprocess.Popen[bytes] | None = None
        self._alone_since: float | None = None
        self._by_itself = False  # whether no rank has told of a failure

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
            stdin, stdout, stderr = self._open(files)
            try:
                guard = self._start_guard()
                if guarded is not None:
                    guarded(guard)
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
                self._finish_guard()
                raise _why(error, command) from error
            except BaseException:
                self._finish_guard()
                raise
        with suppress(OSError):
            self._since = int(process_status(self._process.pid)[STARTED])
        self._tell(f"session {self._process.pid}\n")
        return self

    def _open(self, files: ExitStack) -> tuple[Any, Any, Any]:
        io = self.command.io
        stdin: Any = subprocess.DEVNULL
        if io.stdin is not None and str(io.stdin) == "-":
            stdin = None
        elif io.stdin is not None:
            _opened(io.stdin, "rb").close()  # rank 0 reads it, for launchers are bad at handing input on
        if io.per_rank:  # the launcher's own words, if it has any, are ours to show
            return stdin, None, None
        mode = "ab" if io.append else "wb"
        stdout: Any = None
        stderr: Any = None
        if io.stdout is not None:
            stdout = files.enter_context(_opened(io.stdout, mode))
            stderr = subprocess.STDOUT
        if io.stderr is not None and io.stderr != io.stdout:
            stderr = files.enter_context(_opened(io.stderr, mode))
        return stdin, stdout, stderr

    def _start_guard(self) -> int:
        command = self.command
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _guard_text(), "psij-guard", command.mark, *command.end],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={name: value for name, value in command.environment.items() if name != MARK},
            start_new_session=True,
            preexec_fn=fresh(),
        )
        return self._guard.pid

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
        while not _ends(process, self._turn(deadline)):
            if self._overdue():
                return self.kill()
            if (code := self._alone()) is not None:
                self.kill()
                self.returncode = 125
                raise LaunchError(
                    f"{self._launcher} could not start its daemon on a host of the run (exit code {code}) and waited for"
                    " it; the run was ended",
                    hint="its own words say which host: can you reach it with ssh from here?",
                )
            if deadline is not None and time.monotonic() >= deadline:
                return None
        self._ended(process.wait())
        why, hint = self.command.refusal
        if why and self._by_itself and self.returncode == 1:
            self.returncode = 125
            raise LaunchError(why, hint=hint)
        return self.returncode

    def _turn(self, deadline: float | None) -> float | None:
        """How long to wait at a time: not longer than a failed rank may go unnoticed."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not self.command.watch_children and (self.command.codes is None or not self.command.together):
            return left
        return _LOOK_S if left is None else min(_LOOK_S, left)

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
        if self.returncode is None:
            ending = self._end_elsewhere()
            process.kill()
            self._sweep(signals.SIGKILL, _SWEEP_S)
            _finish(ending)
            self._ended(process.wait(), killed=True)
        assert self.returncode is not None
        return self.returncode

    def close(self) -> None:
        """See that nothing is left: end it if it still runs. Closing twice, or before the start, is fine."""
        if self._process is not None and self.returncode is None:
            self.terminate()
        self._finish_guard()

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ended(self, code: int, *, killed: bool = False) -> None:
        """The launcher has ended: no rank may outlive it."""
        if self.returncode is not None:
            return
        by_signal = code < 0 and not killed
        # Killed, it could not see to its ranks, whose ends are but what followed. Intel's mpiexec may die of SIGPIPE,
        # as its proxies leave before it: that is what follows a rank's failure.
        alone = by_signal and code != -signals.SIGPIPE
        failure = 0 if alone else self._first_failure()
        if alone:
            ending = self._end_elsewhere()
            self._sweep(signals.SIGKILL, _SWEEP_S)
            _finish(ending)
        elif not self._sweep(signals.SIGTERM, _LEFT_S):
            self._sweep(signals.SIGKILL, _SWEEP_S)
        if not by_signal:
            failure = failure or self._first_failure()
        if self.command.codes is not None:
            with suppress(OSError):
                self.command.codes.unlink()
        self._by_itself = not failure
        self.returncode = failure or (128 - code if code < 0 else code)
        self._finish_guard()

    def _first_failure(self) -> int:
        """The first exit code that a rank has left in the file; 0 if none has."""
        if self.command.codes is None:
            return 0
        try:
            words = self.command.codes.read_text().split()
        except OSError:
            return 0
        return int(words[0]) if words and words[0].isdigit() else 1

    def _overdue(self) -> bool:
        """Whether a rank failed so long ago that the others should have been ended."""
        command = self.command
        if command.codes is None or not command.together:
            return False
        with suppress(OSError):
            return time.time() - command.codes.stat().st_mtime > self.grace_s
        return False

    @property
    def _launcher(self) -> str:
        return os.path.basename(self.command.argv[0])

    def _alone(self) -> int | None:
        """The exit code of a daemon that failed a while ago, while the launcher waits for it in vain."""
        code = failed_child(self.pid) if self.command.watch_children else None
        if code is None:
            self._alone_since = None
            return None
        self._alone_since = self._alone_since or time.monotonic()
        return code if time.monotonic() - self._alone_since >= _ALONE_S else None

    def _end_elsewhere(self) -> subprocess.Popen[bytes] | None:
        if not self.command.end:
            return None
        with suppress(OSError):
            return subprocess.Popen(
                self.command.end,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self.command.environment,
                start_new_session=True,
                preexec_fn=fresh(),
            )
        return None

    def _sweep(self, number: int, seconds: float) -> bool:
        """Signal what there is of the run on this host until nothing is left; whether that was so in time."""
        deadline = time.monotonic() + seconds
        told: set[int] = set()
        sure = True  # a process that is just becoming another program shows no environment: one looks twice
        while (found := set(processes(self.command.mark, self.pid, self._since))) or not sure:
            sure = not found
            for pid in found - told if number != signals.SIGKILL else found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            told |= found
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise InvalidRequest("this run was not started", hint="start() it, or use it in a `with` block")
        return self._process

    def _tell(self, text: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with suppress(OSError):  # it may have been killed: then we are the only guard
                self._guard.stdin.write(text.encode())
                self._guard.stdin.flush()

    def _finish_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            with suppress(OSError):
                guard.stdin.write(b"done\n")
            with suppress(OSError):
                guard.stdin.close()
            guard.wait()


def processes(mark: str, session: int, since: int = 0) -> Iterator[int]:
    """The live processes of a run on this host: those that bear its mark, and those of the launcher's session.

    Those that started earlier than `since`, in the kernel's ticks, are not looked at: there may be thousands.
    """
    wanted, own = f"{MARK}={mark}".encode(), os.getpid()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if not name.isdigit() or int(name) == own:
            continue
        try:
            words = process_status(int(name))
            if words[STATE] in b"ZX" or int(words[STARTED]) < since:
                continue
            if int(words[SESSION]) == session or wanted in _read(f"/proc/{name}/environ").split(b"\0"):
                yield int(name)
        except (OSError, IndexError):
            continue  # it has ended, or is somebody else's


def failed_child(pid: int) -> int | None:
    """The exit code of a child of that process that has failed, while it was not asked how it ended; None if none has.

    128 + the number for a signal. Known where the kernel lists children (Linux).
    """
    with suppress(OSError, IndexError, ValueError):
        for child in _read(f"/proc/{pid}/task/{pid}/children").split():
            words = process_status(int(child))
            if words[STATE] == b"Z" and (status := int(words[STATUS])):
                code = os.waitstatus_to_exitcode(status)
                return 128 - code if code < 0 else code
    return None


def _read(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(handle, 1 << 17):
            parts.append(part)
    finally:
        os.close(handle)
    return b"".join(parts)


def _ends(process: subprocess.Popen[bytes], timeout_s: float | None) -> bool:
    """Wait for a process without reaping it, woken at once by its end or by a signal handler of ours."""
    try:
        handle = os.pidfd_open(process.pid)
    except (OSError, AttributeError):  # an old kernel, or another system
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
        return process.poll() is not None
    try:
        return bool(select.select([handle], [], [], timeout_s)[0])
    finally:
        os.close(handle)


def _finish(ending: subprocess.Popen[bytes] | None) -> None:
    if ending is not None:
        try:
            ending.wait(_END_S)
        except subprocess.TimeoutExpired:
            ending.kill()
            ending.wait()


def _opened(path: Path, mode: str) -> IO[bytes]:
    try:
        return path.open(mode)
    except OSError as error:
        what = "stdin" if mode == "rb" else "output"
        raise LaunchError(
            f"the run's {what} file {path} cannot be opened: {error.strerror}", hint="choose another file"
        ) from error


def _why(error: OSError | ValueError, command: RunCommand) -> LaunchError:
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


_texts: dict[str, str] = {}


def _guard_text() -> str:
    return _texts.setdefault("guard", script("guard.sh"))
