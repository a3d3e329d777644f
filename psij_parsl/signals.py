"""When to leave: SIGINT and SIGTERM turned into a question that long-running code can ask.

Used by waits, `psij-run run`, `launch` and watchdogs. Importing this module installs nothing::

    with registered():
        while not should_exit(wait_s=5):   # an interruptible sleep
            ...

The first signal sets a flag; a second SIGINT ends the process at once, as its default action would.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class _Flag:
    """The state of one registration: which signal came, and a pipe that wakes sleepers in any thread."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.earlier: dict[int, Any] = {}
        self.on_second: Callable[[], None] | None = None
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        os.set_blocking(self.write_end, False)

    def set(self, number: int) -> None:
        self.received = number
        os.write(self.write_end, b"x")  # never read back: the pipe stays readable for every sleeper

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


_flag: _Flag | None = None


def _handle(number: int, _frame: FrameType | None) -> None:
    flag = _flag
    if flag is None:
        return
    if flag.received is None:
        flag.set(number)
    elif number == signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            if flag.on_second is not None:
                flag.on_second()
        finally:
            os.kill(os.getpid(), signal.SIGINT)


def register_handlers(*, on_second: Callable[[], None] | None = None) -> Callable[[], None]:
    """Handle SIGINT and SIGTERM from now on; returns a call that puts the earlier handlers back.

    `on_second` runs just before a second SIGINT ends the process: a last word, nothing long.
    Must be called in the main thread (Python's rule; ValueError elsewhere). Registering again while
    registered is one registration more: undo them in reverse order.
    """
    global _flag
    if threading.current_thread() is not threading.main_thread():
        raise ValueError("signal handlers can only be registered in the main thread")
    before, flag = _flag, _Flag()
    flag.on_second = on_second
    flag.earlier = {number: signal.getsignal(number) for number in _WATCHED}
    _flag = flag
    for number in _WATCHED:
        signal.signal(number, _handle)

    def restore() -> None:
        global _flag
        if _flag is not flag:
            return
        for number, handler in flag.earlier.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        _flag = before
        if before is not None and before.received is None and flag.received is not None:
            before.set(flag.received)  # who registered first has to leave as well
        flag.close()

    return restore


@contextmanager
def registered(*, on_second: Callable[[], None] | None = None) -> Iterator[None]:
    """`register_handlers` for the length of a block."""
    restore = register_handlers(on_second=on_second)
    try:
        yield
    finally:
        restore()


def should_exit(wait_s: float = 0.0) -> bool:
    """Whether SIGINT or SIGTERM has come since `register_handlers`; sleeps up to `wait_s` seconds for one.

    Without registered handlers it is a plain sleep that answers False.
    """
    flag = _flag
    if flag is None:
        if wait_s > 0:
            time.sleep(wait_s)
        return False
    if flag.received is None and wait_s > 0:
        select.select([flag.read_end], [], [], wait_s)
    return flag.received is not None


def received_signal() -> int | None:
    """The number of the signal that asked us to leave, or None."""
    return _flag.received if _flag is not None else None
