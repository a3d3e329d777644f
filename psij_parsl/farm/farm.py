"""A farm: tasks from a source through an engine, recorded in a state file, until none is left or there is a reason."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import NamedTuple

from ..errors import Error, LaunchError
from ..signals import received_signal
from .feed import Feed
from .output import Output
from .remaining import Remaining
from .source import Item, Source
from .state_file import StateFile
from .summary import Failed, Summary
from .task import Engine, EngineEnded, Task, TaskEnd

KEPT = 10  # failed tasks that are named
_LOOK_S = 0.5
_SHOW_S = 0.1
_NO_MORE = _HALT, _WALL_TIME = "halt", "wall time"
_LAST_S = 5.0  # before the end of the wall time nothing is left running


class Halt(NamedTuple):
    """So many failures, or so many per cent of all tasks, after which no task is started any more."""

    failures: int
    per_cent: bool = False

    def reached(self, failed: int, ended: int, total: int | None) -> bool:
        """Whether it is time."""
        if not self.per_cent:
            return failed >= self.failures
        of = total if total is not None else max(ended, 100)
        return failed > 0 and failed * 100 >= self.failures * of


@dataclass(frozen=True)
class Rules:
    """How a farm goes on. `again` names what else is run anew: `failed`, `unknown`.

    `lasts_s`: none is started that, taking so long, would not end before `end` (of the wall time, seconds since the
    epoch). `grace_s` is from TERM to KILL.
    """

    at_once: int | None = None
    again: Collection[str] = ()
    halt: Halt | None = None
    end: float | None = None
    lasts_s: float = 0.0
    grace_s: float = 10.0


class Farm:
    """One farm. `task` makes a task of an item and the files for its output; `watch` is called now and then."""

    def __init__(
        self,
        engine: Engine,
        source: Source,
        state: StateFile,
        output: Output,
        task: Callable[[Item, str, str], Task],
        rules: Rules,
        watch: Callable[[Summary], object] | None = None,
    ) -> None:
        self.engine, self.source, self.state, self.output, self.rules = engine, source, state, output, rules
        self.summary = Summary()
        self._task, self._watch = task, watch
        self._running: dict[int, Item] = {}
        self._ends: SimpleQueue[tuple[Item, Future[TaskEnd]] | None] = SimpleQueue()
        self._broken: Error | None = None
        self._ending = self._in_hurry = False
        self._kill_at: float | None = None
        self._shown = 0.0

    def compare(self) -> None:
        """Look, before anything is started, whether the tasks that have begun before are the same now.

        Raises `InvalidRequest` if they are not. Of what comes through a pipe that is seen later.
        """
        Remaining(self.source, self.state, (), self.summary).compare()

    def wake(self) -> None:
        """Have it look at once what has happened: a signal."""
        self._ends.put(None)

    def hurry(self) -> bool:
        """Have it kill at once what it has asked to end; for a signal handler."""
        self._in_hurry = True
        self.wake()
        return True

    def run(self) -> Summary:
        """Run the tasks, as far as they can be. Raises `Error` for what it cannot go on after; all has ended then."""
        began = time.monotonic()
        summary = self.summary
        summary.total = self.source.total()
        try:
            self._go()
            if self._broken is not None:
                raise self._broken
        except BaseException:
            summary.reason, self._ending = "error", True
            raise
        finally:
            self.engine.close(kill=True)
            self._take_last_ends()
            summary.unknown += sorted(item.index for item in self._running.values())
            if summary.reason in _NO_MORE and summary.left == 0:
                summary.reason = ""  # there was no more to start
            summary.running, summary.seconds = 0, time.monotonic() - began
        return summary

    @property
    def _room(self) -> int:
        return min(self.engine.at_once, self.rules.at_once or self.engine.at_once)

    # ---- the loop --------------------------------------------------------------------------------------------

    def _go(self) -> None:
        remaining = Remaining(self.source, self.state, self.rules.again, self.summary)
        feed = Feed(remaining.items(), self.wake, waits=not self.source.again)
        summary = self.summary
        while True:
            self._look()
            while not (feed.ended or summary.reason) and len(self._running) < self._room:
                if (item := feed.take()) is None:
                    break
                self._start(item)
                self._look()
            if self._broken is not None or (not self._running and (feed.ended or summary.reason)):
                return
            self._show()
            if self._take_end(self._patience()):
                while self._take_end(0):
                    pass

    def _look(self) -> None:
        """Whether there is a reason to stop, and whether it is time to kill."""
        summary, rules = self.summary, self.rules
        now = time.time()
        number = received_signal()
        if number is not None and not self._ending:
            summary.reason = signal.Signals(number).name
            self._end_running()
        if rules.end is not None and not self._ending:
            if now + max(rules.lasts_s, rules.grace_s + _LAST_S) >= rules.end:
                summary.reason = summary.reason or _WALL_TIME
            if now + rules.grace_s + _LAST_S >= rules.end:
                self._end_running()
        if rules.halt is not None and rules.halt.reached(summary.failed, summary.ended, summary.total):
            summary.reason = summary.reason or _HALT
        if self._kill_at is not None and (self._in_hurry or time.monotonic() >= self._kill_at):
            self._kill_at = None
            self.engine.close(kill=True)

    def _end_running(self) -> None:
        """TERM, and KILL after the grace."""
        self._ending = True
        if self._running:
            self.engine.signal(signal.SIGTERM)
            self._kill_at = time.monotonic() + self.rules.grace_s

    def _patience(self) -> float:
        if self._kill_at is not None:
            return max(0.0, min(_LOOK_S, self._kill_at - time.monotonic()))
        return _SHOW_S if self._watch is not None else _LOOK_S

    def _show(self) -> None:
        if self._watch is not None and time.monotonic() >= self._shown + _SHOW_S:
            self._shown = time.monotonic()
            self.summary.running = len(self._running)
            self._watch(self.summary)

    # ---- one task --------------------------------------------------------------------------------------------

    def _start(self, item: Item) -> None:
        try:
            task = self._task(item, *self.output.paths(item))
        except LaunchError as error:
            self._failed(item, TaskEnd(item.number, 125, "", 0, 0, error.message))
            return
        self.state.begun(item.number, item.sum)
        self._running[item.number] = item
        self.engine.start(task).add_done_callback(lambda future: self._ends.put((item, future)))

    def _take_end(self, patience_s: float) -> bool:
        """Take in one end, if there is one in time."""
        try:
            news = self._ends.get(timeout=patience_s) if patience_s else self._ends.get_nowait()
        except Empty:
            return False
        if news is None:
            return True
        item, future = news
        if (error := future.exception()) is None:
            self._ended(item, future.result())
        elif not isinstance(error, Error):
            raise error
        else:
            self._broken = self._broken or error
            if isinstance(error, EngineEnded) and not error.began:
                del self._running[item.number]
                self._stopped(item)
        return True

    def _take_last_ends(self) -> None:
        """When all has ended. Of a task whose end cannot be taken in, none is known."""
        more = True
        while self._running and more:
            with suppress(Error, OSError):  # as before, and that was raised
                more = self._take_end(0)

    def _ended(self, item: Item, end: TaskEnd) -> None:
        """What it printed is handed on first: what the state calls done has its output."""
        self.output.show(item)
        summary = self.summary
        if not end.known:
            summary.unknown.append(item.index)
            self._name(item, end)
        elif end.exit_code and self._ending:
            self._stopped(item)
        else:
            self.state.ended(end.number, end.exit_code, end.ended - end.began, end.host)
            if end.exit_code:
                self._failed(item, end)
            else:
                summary.done += 1
        del self._running[item.number]

    def _stopped(self, item: Item) -> None:
        self.state.stopped(item.number)
        self.summary.stopped += 1

    def _failed(self, item: Item, end: TaskEnd) -> None:
        self.summary.failed += 1
        self._name(item, end)

    def _name(self, item: Item, end: TaskEnd) -> None:
        named = self.summary.first_failed
        if len(named) < KEPT:
            where = self.output.where(item)
            named.append(Failed(item.index, end.exit_code, end.host, end.error, where, end.known))
