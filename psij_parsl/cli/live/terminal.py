"""The terminal of the live view: its alternate screen, its keys, its size, and the signals that belong to it."""

from __future__ import annotations

import errno
import os
import select
import signal
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from types import FrameType
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from .keys import Keys
from .picture import Size

_LAST_WORD_S = 0.5  # how long a terminal may be busy until it is left as it is
_ESCAPE_S = 0.05  # after which the beginning of a key was the key Esc
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # the alternate screen, without a cursor, and without wrapping
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_SLOW = 10  # what has taken long to write is written again only after so many times that long
_DEFAULT = Size(80, 24)


class Terminal:
    """A terminal that shows lines, of which only those are written that have changed.

    `keyboard` is the descriptor from which keys come, None if there is none.
    """

    def __init__(self, stream: TextIO, keyboard: int | None) -> None:
        self._stream, self._keyboard = stream, keyboard
        self._console = Console(file=stream, force_terminal=True, highlight=False, legacy_windows=False)
        self._keys = Keys()
        self._lines: list[Text] = []
        self._saved: list[Any] | None = None  # how the terminal was
        self._entered = False
        self._noted: set[int] = set()  # signals
        self._next_draw = 0.0
        # Closed with this object, not earlier: whoever wakes us late must not write to what has the descriptor then.
        self._woken, self._wakes = (FileIO(end, mode) for end, mode in zip(os.pipe(), ("r", "w"), strict=True))
        for end in (self._woken, self._wakes):
            os.set_blocking(end.fileno(), False)

    # ---- coming and leaving --------------------------------------------------------------------------------

    @contextmanager
    def screen(self) -> Iterator[None]:
        """The alternate screen; the terminal is as before when it is left, however that happens."""
        ours: dict[int, Callable[[int, FrameType | None], None]] = {
            signal.SIGWINCH: self._note,
            signal.SIGTSTP: self._note,
            signal.SIGCONT: self._note,
            signal.SIGQUIT: self._quit,
        }
        earlier = {  # a shell without job control has us ignore Ctrl-Z
            number: signal.signal(number, handler)
            for number, handler in ours.items()
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            self._enter()
            yield
        finally:
            self._leave()
            for number, handler in earlier.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _enter(self) -> None:
        if self._keyboard is not None:
            mode = termios.tcgetattr(self._keyboard)
            self._saved = self._saved or mode
            mode = [*mode[:3], mode[3] & ~(termios.ICANON | termios.ECHO), *mode[4:6], [*mode[6]]]
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            _set(self._keyboard, mode)
        self._entered = True
        self._lines = []
        self._stream.write(_ENTER)
        self._stream.flush()

    def _leave(self) -> None:
        """Put the terminal back as it was; it may be gone."""
        if not self._entered:
            return
        self._entered = False
        self._restore_mode()
        with suppress(OSError):
            self._stream.write(_LEAVE)
            self._stream.flush()

    def leave_at_once(self) -> None:
        """The same in a signal handler, which may have come in the middle of `draw`: the stream cannot be used."""
        self._restore_mode()
        with suppress(OSError):
            if select.select([], [self._stream.fileno()], [], _LAST_WORD_S)[1]:
                os.write(self._stream.fileno(), _LEAVE.encode())

    def _restore_mode(self) -> None:
        if self._keyboard is not None and self._saved is not None:
            with suppress(OSError, termios.error):
                _set(self._keyboard, self._saved)
            self._saved = None

    def _suspend(self) -> None:
        """Stop as the shell wants it (Ctrl-Z), on a terminal as it was, and come back."""
        self._leave()
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, ours)
        self._noted.discard(signal.SIGCONT)
        self._enter()

    # ---- signals -------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """End a `wait` now, from any thread or signal handler."""
        self._wakes.write(b"x")  # None if it is full: then it is awake already

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._noted.add(number)
        self.wake()

    def _quit(self, number: int, _frame: FrameType | None) -> None:
        self.leave_at_once()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    # ---- what it shows, and what is typed ------------------------------------------------------------------

    def size(self) -> Size:
        """Its size now."""
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return _DEFAULT
        return Size(columns or _DEFAULT.columns, lines or _DEFAULT.lines)

    @property
    def slow(self) -> bool:
        """Whether it has just been busy with what was written last: what is not urgent can wait."""
        return time.monotonic() < self._next_draw

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these lines, one for each of the screen."""
        said = []
        if len(lines) != len(self._lines):
            self._lines = []
            said.append("\x1b[2J")
        self._console.width = max((line.cell_len for line in lines), default=1) + 1
        for at, line in enumerate(lines):
            if at >= len(self._lines) or _differs(line, self._lines[at]):
                with self._console.capture() as drawn:
                    self._console.print(line, end="", no_wrap=True, overflow="ignore", crop=False)
                said.append(f"\x1b[{at + 1};1H\x1b[2K{drawn.get()}")
        self._lines = [*lines]
        began = time.monotonic()
        self._stream.write("".join(said))
        self._stream.flush()
        ended = time.monotonic()
        self._next_draw = ended + _SLOW * (ended - began)

    def wait(self, seconds: float) -> list[str]:
        """The keys that were typed; after a signal, a `wake`, or this long, none."""
        watched = [self._woken.fileno(), *([] if self._keyboard is None else [self._keyboard])]
        ready = select.select(watched, [], [], _ESCAPE_S if self._keys.waiting else seconds)[0]
        if self._woken.fileno() in ready:
            self._woken.read(4096)
            self._after_signals()
        if self._keyboard is not None and self._keyboard in ready:
            return self._read(self._keyboard)
        return [] if ready else self._keys.flush()

    def _read(self, keyboard: int) -> list[str]:
        try:
            data = os.read(keyboard, 4096)
        except OSError:
            data = b""
        if not data:  # the terminal is gone, or the input has ended: what is left is to watch
            self._keyboard = None
        keys = self._keys.feed(data)
        if "redraw" in keys:
            self._lines = []
        return keys

    def _after_signals(self) -> None:
        noted, self._noted = self._noted, set()
        if signal.SIGTSTP in noted:
            self._suspend()
        elif signal.SIGCONT in noted:  # it was stopped without being asked: the shell has changed the terminal
            self._enter()
        if signal.SIGWINCH in noted:
            self._lines = []


def _set(keyboard: int, mode: list[Any]) -> None:
    """Set the mode of a terminal. In the background that stops us, and goes on when we are in the foreground again."""
    while True:
        try:
            termios.tcsetattr(keyboard, termios.TCSANOW, mode)
            return
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise


def _differs(line: Text, other: Text) -> bool:
    return line.plain != other.plain or line.style != other.style or line.spans != other.spans
