"""Runs a resource manager's commands; nothing else does.

Bounded in time, in a process group of its own that is ended as a whole, with an environment made from an
allow-list, and with nothing that depends on a terminal, a login shell or the locale. A question is bounded in output
and memory too (see `bounds`); what changes something is never ended for that.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from ..errors import NotWaitedFor, Unavailable
from ..signals import in_a_hurry
from .bounds import Bounds, Watch
from .processes import has_ended

if TYPE_CHECKING:
    import selectors
    import subprocess

log = logging.getLogger(__name__)

#: What a manager's client may need of our environment. Everything else reaches the job by its own file.
KEPT = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "KRB5CCNAME",
    "MUNGE_SOCKET",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


_KEPT = 16 * 2**20  # bytes of each stream that are kept of a command without bounds; the rest is thrown away
_LEAST_S = 3.0  # for a question whose asker has no more time
_LAST_WORDS_S = 2.0  # for reading what a killed command had printed


class Output(NamedTuple):
    """The result of a command. `rc` is None if it was cut short: by the time limit, or `over` a bound, which it names."""

    argv: tuple[str, ...]
    rc: int | None
    stdout: str
    stderr: str
    seconds: float = 0.0
    over: str = ""

    @property
    def text(self) -> str:
        """What it printed, for an error message."""
        return "\n".join(text.strip() for text in (self.stderr, self.stdout) if text.strip())


Runner = Callable[..., Output]


@cache
def matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for several patterns such as SLURM_*, for names of environment variables."""
    return re.compile("|".join(one if one.isidentifier() else translate(one) for one in patterns) or r"(?!)")


def client_environment(
    keep: Sequence[str], environ: Mapping[str, str] = os.environ, own: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment for a manager's command: what every client needs, the patterns in `keep`, and `own`."""
    environment = {name: value for name in (*KEPT, *keep) if (value := environ.get(name)) is not None}
    if patterns := tuple(name for name in keep if not name.isidentifier()):
        kept_names = matcher(patterns)
        environment |= {name: value for name, value in environ.items() if kept_names.fullmatch(name)}
    environment |= own or {}
    environment.setdefault("PATH", os.defpath)
    environment["LC_ALL"] = "C.UTF-8"  # messages are matched in English, names stay UTF-8
    return environment


class CommandRunner:
    """Runs commands with a time limit in seconds; never raises because of an exit code."""

    def __init__(
        self, *, keep_env: Sequence[str] = (), set_env: Mapping[str, str] | None = None, timeout_s: float = 60.0
    ) -> None:
        self.keep_env = tuple(keep_env)
        self.set_env = dict(set_env or {})
        self.timeout_s = timeout_s

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        cwd: str | None = None,
        stdin: Path | None = None,
        bounds: Bounds | None = None,
    ) -> Output:
        """Run a command, with that file as its input or with none.

        One that only asks, and may be ended at any time, is given `bounds`. Raises `Unavailable` when it is not
        installed; a time-out is an `Output` with rc None.
        """
        with open(stdin or os.devnull, "rb") as file:
            started = self.start(argv, cwd=cwd, stdin=file.fileno())
        return started.finish(timeout_s=timeout_s or self.timeout_s, bounds=bounds)

    def start(self, argv: Sequence[str], *, cwd: str | None = None, stdin: int | None = None) -> RunningCommand:
        """Start a command that waits for its input, or reads `stdin`, so that its start-up overlaps with our work."""
        import subprocess

        environment = client_environment(self.keep_env, own=self.set_env)
        program = shutil.which(argv[0], path=environment["PATH"])
        if program is None:
            raise Unavailable(
                f"the command {argv[0]!r} is not on PATH",
                hint="load the module that brings it, or choose another --platform; `psij-run doctor` tells more",
            )
        try:
            process = subprocess.Popen(
                [os.path.abspath(program), *argv[1:]],
                stdin=subprocess.PIPE if stdin is None else stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(
                f"the command {argv[0]!r} cannot be started: {error.strerror}", hint=f"it was found at {program}"
            ) from error
        return RunningCommand(tuple(argv), process, environment)


class RunningCommand:
    """A running command. Either `finish` it or `abandon` it."""

    def __init__(
        self, argv: tuple[str, ...], process: subprocess.Popen[bytes], environment: Mapping[str, str]
    ) -> None:
        self.argv, self.environment = argv, environment
        self._process = process
        self._began = time.monotonic()
        self._over = False

    def fits_in_pipe(self, size: int) -> bool:
        """Whether the pipe to its input takes so many bytes in one step (a user with many pipes gets small ones)."""
        if self._process.stdin is None:
            return False
        asks = getattr(fcntl, "F_GETPIPE_SZ", None)  # Linux; elsewhere only this much is promised
        return size <= (fcntl.fcntl(self._process.stdin, asks) if asks is not None else select.PIPE_BUF)

    def finish(
        self,
        text: bytes | None = None,
        *,
        timeout_s: float,
        bounds: Bounds | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Output:
        """Give it its input, if it takes one, and wait for its end, or for its exceeding a bound.

        The text is written in one step, for in pieces we could be killed between two of them, and leave the command
        with a part of it. See `fits_in_pipe`. `meanwhile` is called when it has its input. What is bounded is not waited for, and ended, where a signal asks us to
        leave: then it raises `NotWaitedFor`.
        """
        self._over = True
        process = self._process
        deadline = time.monotonic() + timeout_s
        over = ""
        try:
            if text is not None and process.stdin is not None:
                with suppress(BrokenPipeError):  # it ended early: its output tells why
                    text = text[os.write(process.stdin.fileno(), text) :]
            streams = _Streams(process, text or b"", bounds)
            if meanwhile is not None:
                meanwhile()
            over = streams.read(deadline)
            rc = process.poll()  # a child of it may hold its output open, although it has ended in time
            if over:
                end_group(process.pid)
                if bounds is not None and over != _TIME:
                    streams.drop()
                    rc = None
                else:
                    streams.read(time.monotonic() + _LAST_WORDS_S)
            streams.close()
            process.wait()
        except BaseException:  # Ctrl-C while we wait: leave nothing running
            end_group(process.pid)
            process.wait()
            raise
        if over == _LEFT:
            raise NotWaitedFor(f"{self.argv[0]} was not waited for", hint="it is asked again by whoever asks next")
        seconds = time.monotonic() - self._began
        log.debug("%s -> %s in %.3f s", " ".join(self.argv[:6]), rc, seconds)
        out, err = streams.texts()
        return Output(self.argv, rc, out, err, seconds, over if over != _TIME else "")

    def abandon(self) -> None:
        """Kill it, unless it was finished: it never got its input, so it has done nothing."""
        if not self._over:
            self._over = True
            end_group(self._process.pid)
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()
            self._process.wait()


_TIME = "time"
_LEFT = "left"


class _Streams:
    """The input and output streams of a process, and what is kept of its output."""

    def __init__(self, process: subprocess.Popen[bytes], text: bytes, bounds: Bounds | None) -> None:
        self._process, self._text = process, memoryview(text)
        self._output_limit = bounds.output_mb * 2**20 if bounds is not None else None
        self._watch = Watch(process.pid, bounds.memory_mb) if bounds is not None else None
        self._hurry = in_a_hurry(_LEAST_S)
        self._output_exceeded = f"it printed more than {bounds.output_mb} MB" if bounds is not None else ""
        self._memory_exceeded = f"it took more than {bounds.memory_mb} MB of memory" if bounds is not None else ""
        self._kept = {pipe.fileno(): bytearray() for pipe in (process.stdout, process.stderr) if pipe is not None}
        self._open = set(self._kept)
        if process.stdin is not None and not text:
            _shut(process.stdin)

    def read(self, deadline: float) -> str:
        """Until it has ended and all is read; else the bound that was reached first, or `_TIME`."""
        import selectors

        stdin = self._process.stdin
        with selectors.PollSelector() as ready:
            for number in self._open:
                ready.register(number, selectors.EVENT_READ)
            if stdin is not None and not stdin.closed:
                ready.register(stdin.fileno(), selectors.EVENT_WRITE)
            while ready.get_map():
                wait, over = self._pause(deadline)
                if over:
                    return over
                for key, _ in ready.select(wait):
                    if key.fd not in self._kept:
                        self._write(ready)
                    elif not self._take(key.fd):
                        ready.unregister(key.fd)
                        self._open.discard(key.fd)
                if self._output_limit is not None and sum(map(len, self._kept.values())) > self._output_limit:
                    return self._output_exceeded
        while True:  # it may close its output and go on
            wait, over = self._pause(deadline)
            if over and self._process.poll() is None:
                return over
            if has_ended(self._process, wait):
                return ""

    def _pause(self, deadline: float) -> tuple[float, str]:
        """How long to wait for something to happen, and the bound that has been reached."""
        left = deadline - time.monotonic()
        if left <= 0:
            return 0.0, _TIME
        if self._watch is None:
            return left, ""
        over = self._memory_exceeded if self._watch.exceeded() else _LEFT if self._hurry() else ""
        return max(0.0, min(left, self._watch.due - time.monotonic())), over

    def _take(self, number: int) -> bool:
        """Read some of one stream; False at its end."""
        piece = os.read(number, 65536)
        kept = self._kept[number]
        if self._output_limit is not None or len(kept) < _KEPT:
            kept += piece
        return bool(piece)

    def _write(self, ready: selectors.BaseSelector) -> None:
        stdin = self._process.stdin
        if stdin is None:
            return
        try:
            self._text = self._text[os.write(stdin.fileno(), self._text[: select.PIPE_BUF]) :]
        except BrokenPipeError:  # it takes no more
            self._text = self._text[:0]
        if not self._text:
            ready.unregister(stdin.fileno())
            _shut(stdin)

    def drop(self) -> None:
        """Keep nothing of what it printed."""
        for kept in self._kept.values():
            kept.clear()

    def close(self) -> None:
        """Close all pipes: whoever still writes into them gets SIGPIPE."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                _shut(pipe)

    def texts(self) -> list[str]:
        """What was printed on each stream."""
        texts = []
        for kept in self._kept.values():
            texts.append(kept.decode("utf-8", "surrogateescape"))
            kept.clear()
        return texts


def _shut(pipe: IO[bytes]) -> None:
    with suppress(BrokenPipeError):
        pipe.close()


def end_group(pgid: int) -> None:
    """Kill a process group that we started; one that is already gone is fine."""
    try:
        os.killpg(pgid, signal.SIGKILL)
    except ProcessLookupError:
        return


def backoff(*, first_s: float = 0.5, most_s: float = 60.0, tries: int = 5) -> Iterator[float]:
    """Waiting times between tries, in seconds: doubling, with jitter so that many clients do not march in step."""
    import random

    delay = first_s
    for _ in range(tries):
        yield delay * random.uniform(0.75, 1.25)
        delay = min(most_s, delay * 2)
