"""Signal handling: SIGINT, SIGTERM and SIGHUP set a flag that long-running code polls.

Used by waits, `psij-run run`, `launch` and watchdogs. Importing this module installs nothing::

    with registered():
        while not should_exit(wait_s=5):   # an interruptible sleep
            ...

The first signal sets a flag; a second SIGINT ends the process at once, as its default action would, unless `on_second`
sees to a quick end itself: then the third does. A SIGHUP that
our parent had us ignore (nohup) stays ignored; an ignored SIGINT does not, for a shell has its background commands
ignore it, and what runs long is to hand it on all the same.

`fresh` gives child processes the signals that a program of a new shell has, whatever our own parent did.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

_WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


#: Python ignores these itself, and `subprocess` takes that back.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class _Flag:
    """State of one registration: which signal came, and two pipes that wake sleepers.

    `asked` becomes readable when it was noted that a signal came, for sleepers in all threads. `alarm` is written by
    the interpreter the moment that any signal arrives: one that comes just before the main thread's select() is
    called would otherwise be noted only after it.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.earlier: dict[int, Any] = {}
        self.earlier_alarm = -1
        self.on_first: Callable[[], None] | None = None
        self.on_second: Callable[[], object] | None = None
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
        if flag.on_first is not None:
            flag.on_first()
    elif number == signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        ends_itself = False
        try:
            if flag.on_second is not None:
                ends_itself = flag.on_second() is True
        finally:
            if not ends_itself:
                os.kill(os.getpid(), signal.SIGINT)


def kept(number: int) -> bool:
    """Whether a signal is to stay ignored, here and in child processes: SIGHUP under nohup."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def fresh() -> Callable[[], None] | None:
    """What a child process is to do before it becomes another program (`preexec_fn`); None if that is nothing.

    It takes the signals back that we ignore (but see `kept`) and those that are blocked: both are inherited, a shell
    script can never trap what was ignored when it began, and a rank could not be told to end.
    """
    ignored = [
        number
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, *_IGNORED_BY_PYTHON}
        if signal.getsignal(number) is signal.SIG_IGN and not kept(number)
    ]
    if not ignored and not signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        return None

    def take_back() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return take_back


def register_handlers(
    *, on_first: Callable[[], None] | None = None, on_second: Callable[[], object] | None = None
) -> Callable[[], None]:
    """Handle SIGINT, SIGTERM and SIGHUP from now on; returns a call that puts the earlier handlers back.

    `on_first` runs when the first signal comes, `on_second` just before a second SIGINT ends the process, and must be
    short. If `on_second` returns True the process lives on, and the next SIGINT ends it. Must be called in the main thread (Python's rule; ValueError elsewhere). Registering again while
    registered is one registration more: undo them in reverse order.
    """
    global _flag
    if threading.current_thread() is not threading.main_thread():
        raise ValueError("signal handlers can only be registered in the main thread")
    before, flag = _flag, _Flag()
    flag.on_first, flag.on_second = on_first, on_second
    flag.earlier = {number: signal.getsignal(number) for number in _WATCHED if not kept(number)}
    _flag = flag
    for number in flag.earlier:
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
def registered(
    *, on_first: Callable[[], None] | None = None, on_second: Callable[[], object] | None = None
) -> Iterator[None]:
    """`register_handlers` for the length of a block."""
    restore = register_handlers(on_first=on_first, on_second=on_second)
    try:
        yield
    finally:
        restore()


def should_exit(wait_s: float = 0.0) -> bool:
    """Whether one of these signals has come since `register_handlers`; sleeps up to `wait_s` seconds for one.

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


_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def until(deadline: float | None) -> Iterator[None]:
    """Set a deadline, by time.monotonic(), for the queries made in this block; None: no deadline."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def time_left(most_s: float) -> float:
    """How long to wait for something that may take `most_s`, where `until` says that there is less time."""
    deadline = _deadline.get()
    return most_s if deadline is None else max(0.0, min(most_s, deadline - time.monotonic()))


def in_a_hurry(least_s: float) -> Callable[[], bool]:
    """A function that tells whether a signal to end has come since now, or the deadline of `until` is over.

    The time is never over before `least_s`, for a manager that takes some seconds would else never be heard.
    """
    flag, deadline = _flag, _deadline.get()
    latest = None if deadline is None else max(deadline, time.monotonic() + least_s)
    if flag is not None and flag.received is not None:
        flag = None  # what is asked after the signal is part of leaving

    def hurry() -> bool:
        return (flag is not None and flag.received is not None) or (latest is not None and time.monotonic() > latest)

    return hurry


def received_signal() -> int | None:
    """The number of the signal that asked us to leave, or None."""
    return _flag.received if _flag is not None else None
