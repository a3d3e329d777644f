"""Tables on a terminal: what explains something is never cut."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from psij_parsl.cli.wrapping import wrapped
from tests.cli.helpers import COMMAND

pytestmark = pytest.mark.usefixtures("here")


def on_terminal(columns: int, *args: str) -> list[str]:
    """The lines that a command prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen([*COMMAND, *args], stdout=theirs, env={**os.environ, "NO_COLOR": "1"}) as process:
        os.close(theirs)
        said = b""
        while chunk := _read(ours):
            said += chunk
    os.close(ours)
    assert process.returncode in (0, 2, 3)
    return said.decode().splitlines()


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # its other end is closed
        return b""


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_errors_of_a_site_file_are_whole_on_any_terminal(here: Path, columns: int) -> None:
    (here / "my.toml").write_text('platform = "slurm"\n[queues.gpu]\nmax_time = "long"\nmin_nodes = "none at all"\n')
    lines = on_terminal(columns, "site", "check", "./my.toml")
    assert max(map(len, lines)) <= columns
    begins = lines[0].index("ERRORS")
    said = "".join(line[begins:] for line in lines[1:]).replace(" ", "")
    plain = subprocess.run([*COMMAND, "site", "check", "./my.toml"], capture_output=True, text=True, check=False)
    assert said == "".join(line[begins:] for line in plain.stdout.splitlines()[1:]).replace(" ", "")
    assert "…" not in said


def test_the_origins_of_a_site_are_there_on_a_narrow_terminal() -> None:
    lines = on_terminal(80, "site", "show", "frontier", "--origin")
    assert lines[0].split() == ["SETTING", "VALUE", "FROM", "SOURCE"]
    assert max(map(len, lines)) <= 120  # names of settings do not wrap


def test_columns_share_what_is_left() -> None:
    columns = [["NAME", "a", "b"], ["TEXT", "word " * 8, "x"], ["MORE", "y", "other " * 20]]
    fitted = wrapped(columns, [False, True, True], 60)
    assert [max(map(len, texts)) for texts in fitted] == [4, 24, 23]
    assert " ".join(fitted[1][1:]).split() == ["word"] * 8 + ["x"]
    assert wrapped(columns, [False, True, True], 1000) == columns
