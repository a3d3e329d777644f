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
    """The state of one registration: which signal came, and two pipes that wake sleepers.

    `asked` becomes readable when it was noted that a signal came, for sleepers in all threads. `alarm` is written by
    the interpreter the moment that any signal arrives: one that comes just before the main thread's select() is
    called would otherwise be noted only after it.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.earlier: dict[int, Any] = {}
        self.earlier_alarm = -1
        self.on_second: Callable[[], None] | None = None
        self.asked, self.ask = _pipe()
        self.alarm, self.raise_alarm = _pipe()

    def set(self, number: int) -> None:
        self.received = number
        os.write(self.ask, b"x")  # never read back: the pipe stays readable for every sleeper

    def wait(self, seconds: float) -> None:
        """Until a signal that asks us to leave was noted, or this long."""
        deadline = time.monotonic() + seconds
        ends = [self.asked]
        if threading.current_thread() is threading.main_thread():
            ends.append(self.alarm)  # the handlers run in this thread
        while self.received is None and (left := deadline - time.monotonic()) > 0:
            if self.alarm in select.select(ends, [], [], left)[0]:
                os.read(self.alarm, 4096)

    def close(self) -> None:
        for end in (self.asked, self.ask, self.alarm, self.raise_alarm):
            os.close(end)


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


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
    flag.earlier_alarm = signal.set_wakeup_fd(flag.raise_alarm, warn_on_full_buffer=False)
    if flag.earlier_alarm != -1 and before is None:
        signal.set_wakeup_fd(flag.earlier_alarm)  # an event loop's: it needs it more

    def restore() -> None:
        global _flag
        if _flag is not flag:
            return
        for number, handler in flag.earlier.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(flag.earlier_alarm, warn_on_full_buffer=before is None)
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
    if wait_s > 0:
        flag.wait(wait_s)
    return flag.received is not None


def received_signal() -> int | None:
    """The number of the signal that asked us to leave, or None."""
    return _flag.received if _flag is not None else None
