"""Where a run's output goes, and where its input comes from."""

from __future__ import annotations

import os
import shlex
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from ..errors import InvalidRequest, LaunchError

PER_RANK = "%r"


@dataclass(frozen=True, kw_only=True)
class RankIO:
    """Files of a run. Without `stdout` both streams are our own; with it, `stderr` goes there too unless given.

    `%r` in a name stands for the rank: one file for each, written on its node. `label` begins each line with
    `[rank]`. `append` adds to files that are there; by default they are replaced. `stdin` is a file that rank 0 reads; None is
    empty input, `-` our own. Raises `InvalidRequest` for what cannot be had together.
    """

    stdin: Path | None = None
    stdout: Path | None = None
    stderr: Path | None = None
    label: bool = False
    append: bool = False

    def __post_init__(self) -> None:
        if self.stdin is not None and self.stdout is not None and _same(self.stdin, self.stdout):
            raise InvalidRequest(f"{self.stdin} cannot be input and output at once", hint="name two files")
        named = [self.stdout, self.stdout if self.stderr is None else self.stderr]
        if self.per_rank and not all(path is not None and PER_RANK in str(path) for path in named):
            raise InvalidRequest(
                f"a file for each rank for one of stdout and stderr alone ({self.stdout} and {self.stderr})",
                hint=f"write {PER_RANK} in both names, or in none",
            )

    @property
    def per_rank(self) -> bool:
        """Whether each rank has files of its own."""
        return any(PER_RANK in str(path) for path in (self.stdout, self.stderr) if path is not None)

    @property
    def rank_stdout(self) -> str:
        """The name that the wrapper is told."""
        return str(self.stdout)

    @property
    def rank_stderr(self) -> str:
        """The same for stderr; with one file for both, that one."""
        return str(self.stdout if self.stderr is None else self.stderr)

    def within(self, directory: Path) -> RankIO:
        """With absolute paths, those that are relative taken from `directory`."""

        def whole(path: Path | None) -> Path | None:
            return path if path is None or str(path) == "-" else Path(os.path.abspath(directory / path))

        return replace(self, stdin=whole(self.stdin), stdout=whole(self.stdout), stderr=whole(self.stderr))

    def path(self, *, stderr: bool = False, rank: int = 0) -> Path | None:
        """The file that holds a stream; of that rank, where each has its own. None for our own stream."""
        path = (self.stderr or self.stdout) if stderr else self.stdout
        return None if path is None else Path(str(path).replace(PER_RANK, str(rank)))

    def opened(self, files: ExitStack) -> tuple[Any, Any, Any]:
        """The launcher's stdin, stdout and stderr, as `Popen` takes them; `files` closes what was opened.

        Raises `LaunchError` for a file that cannot be.
        """
        stdin: Any = subprocess.DEVNULL
        if self.stdin is not None and str(self.stdin) == "-":
            stdin = None
        elif self.stdin is not None:
            _opened(self.stdin, "rb").close()  # rank 0 reads it, for launchers are bad at handing input on
        if self.per_rank:  # the launcher's own words, if it has any, are ours to show
            return stdin, None, None
        mode = "ab" if self.append else "wb"
        stdout: Any = None
        stderr: Any = None
        if self.stdout is not None:
            stdout = files.enter_context(_opened(self.stdout, mode))
            stderr = subprocess.STDOUT
        if self.stderr is not None and self.stderr != self.stdout:
            stderr = files.enter_context(_opened(self.stderr, mode))
        return stdin, stdout, stderr


def _opened(path: Path, mode: str) -> IO[bytes]:
    try:
        return path.open(mode)
    except OSError as error:
        if mode != "rb" and not path.parent.is_dir():
            raise LaunchError(
                f"there is no directory {path.parent} for the run's output file {path.name}",
                hint=f"mkdir -p {shlex.quote(str(path.parent))}",
            ) from error
        what = "stdin" if mode == "rb" else "output"
        raise LaunchError(
            f"the run's {what} file {path} cannot be opened: {error.strerror}", hint="choose another file"
        ) from error


def _same(one: Path, other: Path) -> bool:
    return os.path.abspath(one) == os.path.abspath(other) and not os.path.abspath(one).startswith("/dev/")
