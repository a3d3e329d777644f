"""Stand-ins for a manager's commands: each prints what was recorded of the real one for those very words."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from psij_parsl.testing.replay import Recorded
from tests.providers.readings import RECORDED

_HEAD = '#!/bin/sh\necho "$(basename "$0") $*" >>{log}\ncase "$*" in\n'
_TAIL = '*) echo "$(basename "$0"): error: nothing was recorded for: $*" >&2; exit 2 ;;\nesac\n'


class Answers:
    """The commands on PATH; `calls` are the command lines so far."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._log = folder / "bin", folder / "calls"
        self._folder.mkdir()
        self._scripts: dict[str, str] = {}
        self._said: dict[tuple[str, ...], str] = {}
        monkeypatch.setenv("PATH", f"{self._folder}{os.pathsep}{os.environ['PATH']}")

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def answer(self, argv: Sequence[str]) -> str:
        """What is printed for these words."""
        return self._said[tuple(argv)]

    def recorded(self, *patterns: str) -> Answers:
        """Answers of files below tests/recorded."""
        for pattern in patterns:
            paths = sorted(RECORDED.glob(pattern))
            assert paths, f"nothing was recorded as {pattern}"
            for path in paths:
                output = Recorded.read(path).output
                self.say(output.argv, output.stdout, output.stderr, output.rc or 0)
        return self

    def say(self, argv: Sequence[str], stdout: str, stderr: str = "", rc: int = 0) -> Answers:
        """One answer; a later one for the same words takes its place."""
        self._said[tuple(argv)] = stdout
        number = len(list(self._folder.parent.glob("*.answer")))
        out, err = (self._folder.parent / f"{number}-{name}.answer" for name in ("out", "err"))
        out.write_text(stdout)
        err.write_text(stderr)
        command, words = argv[0], " ".join(argv[1:])
        case = f"{shlex.quote(words)}) cat {out}; cat {err} >&2; exit {rc} ;;\n"
        self._scripts[command] = case + self._scripts.get(command, "")
        path = self._folder / command
        path.write_text(_HEAD.format(log=self._log) + self._scripts[command] + _TAIL)
        path.chmod(0o755)
        return self
