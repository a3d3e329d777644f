"""What the tests of `psij-run` share: a way to run it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from psij_parsl.cli import main
from psij_parsl.testing.tools import PATIENCE_S

COMMAND = [sys.executable, "-m", "psij_parsl.cli"]


def psij(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run psij-run with these arguments, and these variables beside our own."""
    return subprocess.run(
        [*COMMAND, *args],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,  # it may run jobs, on a machine with fifty processes that want to run
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
