"""What type checkers make of programs that use the public names."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
USER, MISTAKES = (ROOT / "tests" / "programs" / name for name in ("typed_user.py", "typed_mistakes.py"))

Check = Callable[[Path, Path], Sequence[tuple[int, str]]]


def run(*argv: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *map(str, argv)],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def mypy(program: Path, folder: Path) -> Sequence[tuple[int, str]]:
    """The lines with errors, and what is said of them."""
    flags = ("--strict", "--no-implicit-reexport", "--config-file=", f"--cache-dir={folder}")
    done = run("-m", "mypy", *flags, program, cwd=folder)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(r"^(.+?):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    assert all(Path(folder, path).resolve() == program for path, _, _ in found), done.stdout
    return [(int(line), text) for _, line, text in found]


def pyright(program: Path, folder: Path) -> Sequence[tuple[int, str]]:
    """The lines with errors, and what is said of them."""
    settings = {"typeCheckingMode": "strict", "include": [program.name], "extraPaths": [str(ROOT)]}
    shutil.copy(program, folder)
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = run("-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", folder, cwd=folder)
    answer = json.loads(done.stdout)
    assert answer["summary"]["filesAnalyzed"] == 1, done.stdout + done.stderr
    found = [each for each in answer["generalDiagnostics"] if each["severity"] == "error"]
    return [(each["range"]["start"]["line"] + 1, each["message"]) for each in found]


@pytest.mark.parametrize("check", [mypy, pyright])
def test_a_users_program_passes_in_strict_mode(check: Check, tmp_path: Path) -> None:
    assert check(USER, tmp_path) == []


@pytest.mark.parametrize("check", [mypy, pyright])
def test_a_users_mistakes_are_found(check: Check, tmp_path: Path) -> None:
    marked = {n for n, line in enumerate(MISTAKES.read_text().splitlines(), 1) if line.endswith("# mistake")}
    assert {line for line, _ in check(MISTAKES, tmp_path)} == marked


def test_the_users_program_runs(tmp_path: Path, home: Path) -> None:
    done = run(USER, cwd=tmp_path)
    assert done.stdout.endswith("all is well\n"), done.stdout + done.stderr
