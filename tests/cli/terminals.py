"""What commands print on a terminal of some width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Sequence
from time import monotonic

from tests.cli.helpers import COMMAND

PATIENCE_S = 60.0
_DRAWN = re.compile(r"\x1b\[(\d+);1H\x1b\[2K(.*?)(?=\x1b\[(?:\d+;1H|2J|\?)|\Z)", re.DOTALL)


def resize(end: int, columns: int, lines: int) -> None:
    """Make a terminal that large; what runs on it is told."""
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


class Terminal:
    """psij-run, or another program, on a terminal of its own."""

    def __init__(
        self, *args: str, columns: int = 0, lines: int = 24, program: Sequence[str] = COMMAND, **environ: str
    ) -> None:
        self.text = ""
        self.pid, self.end = pty.fork()
        if not self.pid:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)  # as on a terminal, however the tests were started
            if columns:
                resize(1, columns, lines)
            variables = {"TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environ}
            os.execvpe(program[0], [*program, *args], {**os.environ, **variables})

    def see(self, text: str, seconds: float = PATIENCE_S) -> None:
        """Wait until that text has been shown."""
        self.until(lambda: text in self.text, seconds)

    def until(self, holds: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Wait until that holds of what has been shown."""
        deadline = monotonic() + seconds
        while not holds():
            left = deadline - monotonic()
            assert left > 0, f"not seen in {self.text[-4000:]!r}"
            if select.select([self.end], [], [], left)[0] and not self._read():
                assert holds(), f"not seen in {self.text[-4000:]!r}"
                return

    @property
    def screen(self) -> list[str]:
        """The lines of a live view, as it has drawn them last, with their colours."""
        lines: dict[int, str] = {}
        for at, text in _DRAWN.findall(self.text.rpartition("\x1b[2J")[2]):
            lines[int(at)] = text.rstrip()
        return [lines.get(at, "") for at in range(1, max(lines, default=0) + 1)]

    @property
    def shown(self) -> str:
        """The same without colours."""
        return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(self.screen))

    def _read(self) -> bool:
        try:
            data = os.read(self.end, 65536)
        except OSError:  # nobody holds its other end any more
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self.end, text.encode())

    def close(self) -> int:
        """Wait for its end; the exit code as a shell has it."""
        while self._read():
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.end)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def on_terminal(columns: int, *args: str, colour: bool = False) -> list[str]:
    """The lines that a command prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    resize(theirs, columns, 24)
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
