"""Replay of a real manager's recorded answers, to test a platform without its manager.

A recorded file has a header (`# case:`, `# note:`, `# command:`, `# rc:`, `# seconds:`), then `#--stdout--` and
`#--stderr--` with what the command printed. `rc` is "timeout" where the recorder cut it short.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..system.commands import Output


@dataclass(frozen=True)
class Recorded:
    """One recorded command and its answer."""

    case: str
    note: str
    output: Output

    @classmethod
    def read(cls, path: Path) -> Recorded:
        """Read a recorded file. Raises `ValueError` for one without a header."""
        head, mark, rest = path.read_text().partition("#--stdout--\n")
        if not mark:
            raise ValueError(f"{path} is no recorded answer: it has no line #--stdout--")
        header = dict(re.findall(r"^# (case|note|command|rc|seconds): (.*)$", head, re.MULTILINE))
        stdout, _, stderr = rest.rpartition("#--stderr--\n")
        rc = None if header["rc"] == "timeout" else int(header["rc"])
        argv = tuple(shlex.split(header["command"], comments=False))
        return cls(header["case"], header.get("note", ""), Output(argv, rc, stdout, stderr, float(header["seconds"])))


class Replay:
    """A runner of commands that replays answers: `SomeScheduler(run=Replay(answer))`.

    `answer` returns the output for a command line; `calls` are the command lines so far.
    """

    def __init__(self, answer: Callable[[Sequence[str]], Output]) -> None:
        self._answer = answer
        self.calls: list[list[str]] = []

    def __call__(self, argv: Sequence[str], *, timeout_s: float | None = None, cwd: str | None = None) -> Output:
        self.calls.append(list(argv))
        return self._answer(argv)
