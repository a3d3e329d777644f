"""What commands print on a terminal of some width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios

from tests.cli.helpers import COMMAND


def on_terminal(columns: int, *args: str, colour: bool = False) -> list[str]:
    """The lines that a command prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {**os.environ, "TERM": "xterm"} | ({"NO_COLOR": ""} if colour else {"NO_COLOR": "1"})
    with subprocess.Popen([*COMMAND, *args], stdout=theirs, env=environ) as process:
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
