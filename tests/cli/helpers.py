"""What the tests of `psij-run` share: a way to run it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest

from psij_parsl.cli import main

COMMAND = [sys.executable, "-m", "psij_parsl.cli"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every psij-run of a test starts in an empty directory, on a host of eight cores, with compiled modules."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.getbasetemp() / "pycache"))
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "8")
    monkeypatch.setenv("PSIJ_LOCAL_KILL_WAIT", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def psij(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run psij-run with these arguments, and these variables beside our own."""
    return subprocess.run(
        [*COMMAND, *args],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def psij_here(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The same within this process, for the many small mistakes: thirty times as fast."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        mock.patch.dict(os.environ, environ),
        mock.patch.object(sys, "argv", ["psij-run", *args]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = main()
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(args, code, *said)


def one_sentence_and_a_hint(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    said, hint = done.stderr.splitlines()
    assert said.startswith("psij-run: ")
    assert hint.startswith("hint: ")
    assert done.stdout == ""
    return said, hint
