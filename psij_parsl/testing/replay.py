"""Answers of a real manager, recorded once and played again: how a platform is tested without its manager.

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
    """One command and its answer."""

    case: str
    note: str
    output: Output

    @classmethod
    def read(cls, path: Path) -> Recorded:
        """Read a recorded file. Raises `ValueError` for one without a header."""
        head, mark, rest = path.read_text().partition("#--stdout--\n")
        if not mark:
            raise ValueError(f"{path} is no recorded answer: it has no line #--stdout--")
        said = dict(re.findall(r"^# (case|note|command|rc|seconds): (.*)$", head, re.MULTILINE))
        stdout, _, stderr = rest.rpartition("#--stderr--\n")
        rc = None if said["rc"] == "timeout" else int(said["rc"])
        argv = tuple(shlex.split(said["command"], comments=False))
        return cls(said["case"], said.get("note", ""), Output(argv, rc, stdout, stderr, float(said["seconds"])))


class Replay:
    """Stands in for the runner of commands: `SomeScheduler(run=Replay(answer))`.

    `answer` gives what a command line prints; `calls` are the command lines so far.
    """

    def __init__(self, answer: Callable[[Sequence[str]], Output]) -> None:
        self._answer = answer
        self.calls: list[list[str]] = []

    def __call__(self, argv: Sequence[str], *, timeout_s: float | None = None, cwd: str | None = None) -> Output:
        self.calls.append(list(argv))
        return self._answer(argv)
