"""The one place that runs a resource manager's commands.

Bounded in time, in a process group of its own that is ended as a whole, with an environment made from an
allow-list, and with nothing that depends on a terminal, a login shell or the locale.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from pathlib import Path

from .errors import Unavailable

log = logging.getLogger(__name__)

#: What a manager's client may need of our environment. Everything else reaches the job by its own file.
KEPT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "KRB5CCNAME", "MUNGE_SOCKET",
    "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """What a command did. `rc` is None when it was cut short by the time limit."""

    argv: tuple[str, ...]
    rc: int | None
    stdout: str
    stderr: str
    seconds: float = 0.0

    @property
    def said(self) -> str:
        """Its own words, for an error message."""
        return "\n".join(text.strip() for text in (self.stderr, self.stdout) if text.strip())


Runner = Callable[..., Output]


@cache
def matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for several patterns such as SLURM_*, for names of environment variables."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)")


def client_environment(keep: Sequence[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for a manager's command: what every client needs and the patterns in `keep`."""
    chosen_by = matcher((*KEPT, *keep))
    chosen = {name: value for name, value in environ.items() if chosen_by.fullmatch(name)}
    chosen.setdefault("PATH", os.defpath)
    chosen["LC_ALL"] = "C.UTF-8"  # messages are matched in English, names stay UTF-8
    return chosen


class CommandRunner:
    """Runs commands with a time limit in seconds; never raises because of an exit code."""

    def __init__(self, *, keep_env: Sequence[str] = (), timeout_s: float = 60.0) -> None:
        self.keep_env = tuple(keep_env)
        self.timeout_s = timeout_s

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        cwd: str | None = None,
        stdin: Path | None = None,
    ) -> Output:
        """Run a command, with that file as its input or with none.

        Raises `Unavailable` when it is not installed; a time-out is an `Output` with rc None.
        """
        with open(stdin or os.devnull, "rb") as file:
            started = self.start(argv, cwd=cwd, stdin=file.fileno())
        return started.finish(timeout_s=timeout_s or self.timeout_s)

    def start(self, argv: Sequence[str], *, cwd: str | None = None, stdin: int = subprocess.PIPE) -> Started:
        """Start a command that waits for its input, so that its own start-up overlaps with our work."""
        environment = client_environment(self.keep_env)
        program = shutil.which(argv[0], path=environment["PATH"])
        if program is None:
            raise Unavailable(
                f"the command {argv[0]!r} is not on PATH",
                hint="load the module that brings it, or choose another --platform; `psij-run doctor` tells more",
            )
        try:
            process = subprocess.Popen(
                [os.path.abspath(program), *argv[1:]], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=environment, cwd=cwd, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise Unavailable(
                f"the command {argv[0]!r} cannot be started: {error.strerror}", hint=f"it was found at {program}"
            ) from error
        return Started(tuple(argv), process)


class Started:
    """A running command. Either `finish` it or `abandon` it."""

    def __init__(self, argv: tuple[str, ...], process: subprocess.Popen[bytes]) -> None:
        self.argv = argv
        self._process = process
        self._began = time.monotonic()
        self._over = False

    def holds(self, size: int) -> bool:
        """Whether the pipe to its input takes so many bytes in one step (a user with many pipes gets small ones)."""
        if self._process.stdin is None:
            return False
        asks = getattr(fcntl, "F_GETPIPE_SZ", None)  # Linux; elsewhere only this much is promised
        return size <= (fcntl.fcntl(self._process.stdin, asks) if asks is not None else select.PIPE_BUF)

    def finish(self, text: bytes | None = None, *, timeout_s: float) -> Output:
        """Give it its input, if it takes one, and wait for its end.

        The text is written in one step, for `communicate` writes it in pieces: killed between two of them, we
        would leave the command with a part of it. See `holds`.
        """
        self._over = True
        process = self._process
        try:
            if text is not None and process.stdin is not None:
                with suppress(BrokenPipeError):  # it ended early: its own words tell why
                    text = text[os.write(process.stdin.fileno(), text) :]
            out, err = process.communicate(text or None, timeout=timeout_s)
            rc: int | None = process.returncode
        except subprocess.TimeoutExpired:
            rc = process.poll()  # it may have ended in time, while a child of it holds its output open
            end_group(process.pid)
            out, err = _last_words(process)
        except BaseException:  # Ctrl-C while we wait: leave nothing running
            end_group(process.pid)
            process.wait()
            raise
        seconds = time.monotonic() - self._began
        log.debug("%s -> %s in %.3f s", " ".join(self.argv[:6]), rc, seconds)
        return Output(
            self.argv, rc, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape"), seconds
        )

    def abandon(self) -> None:
        """Kill it, unless it was finished: it never got its input, so it has done nothing."""
        if not self._over:
            self._over = True
            end_group(self._process.pid)
            self._process.communicate()


def _last_words(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What a killed command had printed; a child of it that left its group may hold the pipes, so not for long."""
    try:
        return process.communicate(timeout=2)
    except subprocess.TimeoutExpired as late:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()
        return late.stdout or b"", late.stderr or b""


def end_group(pgid: int) -> None:
    """Kill a process group that we started; one that is already gone is fine."""
    try:
        os.killpg(pgid, signal.SIGKILL)
    except ProcessLookupError:
        return


def backoff(*, first_s: float = 0.5, most_s: float = 60.0, tries: int = 5) -> Iterator[float]:
    """Waiting times between tries, in seconds: doubling, with jitter so that many clients do not march in step."""
    delay = first_s
    for _ in range(tries):
        yield delay * random.uniform(0.75, 1.25)
        delay = min(most_s, delay * 2)
