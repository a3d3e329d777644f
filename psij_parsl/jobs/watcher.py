"""Waiting for jobs and telling of their changes: a start or an end is noticed early by the files that it leaves."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import Error
from ..signals import should_exit
from ..states import JobState, JobStatus
from .channel import Channel
from .executor import Callback, Submission
from .record import JobPart, JobRecord
from .snapshot import CAPACITY

log = logging.getLogger(__name__)

_TICK_S = (0.02, 0.25)  # how often a wait looks at files, at first and later
_START_TOKENS = CAPACITY / 2  # that a start is seen early is worth less than that ends are
_FOLDERS_A_TICK = 64  # that are looked at


class Poll(Protocol):
    """Asks for the statuses of jobs, early if so many tokens are left as `urgent` says."""

    def __call__(self, parts: Sequence[JobPart], *, urgent: float = 0.0) -> list[JobStatus]: ...


class EarlyPolls:
    """Finds in jobs' folders what the manager's last answer does not show yet, so that it is asked early."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._first_seen: dict[tuple[str, str, str], float] = {}  # by job, key, and what was seen
        self._turn = 0

    def priority(self, parts: Sequence[JobPart], statuses: Sequence[JobStatus]) -> float:
        """How many tokens must be left for an early refresh, as a job's folder shows something new; 0: it does not.

        What is seen is worth a query some moments after it, and again later, while no query since has told of it.
        """
        now, asked = time.time(), self.channel.snapshot.view().asked
        unsettled = [
            (entry, element_key, status)
            for (entry, key), status in zip(parts, statuses, strict=True)
            if not status.final
            for element_key in entry.keys_of(key)
        ]
        needed: set[float] = set()
        for turn in range(min(_FOLDERS_A_TICK, len(unsettled))):
            entry, key, status = unsettled[(self._turn + turn) % len(unsettled)]
            folder = entry.element_folder(key)
            event = "end" if os.path.exists(folder / "exit") else "cancel" if entry.cancel_asked(key) else ""
            if not event and status.state < JobState.ACTIVE and os.path.lexists(folder / "claim"):
                event = "start"
            if not event:
                continue
            seen = self._first_seen.setdefault((entry.id, key, event), now)
            delays = self.channel.scheduler.early_poll_delays_s
            after = next((delay for delay in delays if asked < seen + delay), None)
            if after is not None and now >= seen + after:
                needed.add(_START_TOKENS if event == "start" else 1.0)
        self._turn += _FOLDERS_A_TICK
        return min(needed, default=0.0)


def wait_until(
    parts: Sequence[JobPart],
    done: Callable[[list[JobStatus]], bool],
    polls: EarlyPolls,
    poll: Poll,
    timeout: float | None = None,
) -> bool:
    """Look at jobs until `done(statuses)`; False when time is up or a signal asks us to leave.

    While the manager does not answer, it is said once how old the news is.
    """
    snapshot = polls.channel.snapshot
    deadline = None if timeout is None else time.monotonic() + timeout
    pause, most = _TICK_S
    statuses = poll(parts)
    while not done(statuses):
        left = most if deadline is None else deadline - time.monotonic()
        if left <= 0 or should_exit(max(0.0, min(pause, left))):
            return False
        snapshot.complain(snapshot.view())
        pause = min(most, pause * 1.5)
        statuses = poll(parts, urgent=polls.priority(parts, statuses))
    return True


class StatusWatcher:
    """Calls back at each change of a job of one cluster, from one thread that runs while anyone listens."""

    def __init__(self, polls: EarlyPolls, poll: Poll, handle: Callable[[JobRecord, str], Submission]) -> None:
        self.channel, self.polls, self.poll, self.handle = polls.channel, polls, poll, handle
        self._callbacks: list[Callback] = []
        self._new: set[str] = set()  # our ids of jobs that were made since somebody listens, not looked at yet
        self._running = False
        self._mutex = threading.Lock()

    def listen(self, callback: Callback) -> Callable[[], None]:
        """Call back from now on; returns a call that stops it. The end of each job is told, however soon it comes."""
        with self._mutex:
            self._callbacks.append(callback)
            if not self._running:
                self._running = True
                ended = self.channel.journal.listen()  # before we return: what is submitted from then on is told
                name = f"psij-{self.channel.platform}"
                threading.Thread(target=self._run, args=(ended,), name=name, daemon=True).start()

        def stop() -> None:
            with self._mutex:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return stop

    def add(self, job_id: str) -> None:
        """A record was made here: it is told of, even if it has ended before anybody looks."""
        with self._mutex:
            if self._running:
                self._new.add(job_id)

    def _run(self, ended: set[str]) -> None:
        """Tell all changes; `ended` is filled by the journal with what has ended, whoever saw it."""
        news, trouble = _News(), ""
        while True:
            with self._mutex:
                callbacks = list(self._callbacks)
                news.going |= self._new
                self._new = set()
                if not callbacks:
                    self._running = False
                    break
            try:
                self._look(news, ended, callbacks)
                trouble = ""
            except (Error, OSError) as error:  # our records cannot be read just now
                if trouble != str(error):
                    log.warning("what changes is told later: %s", error)
                trouble = str(error)
            time.sleep(_TICK_S[1])
        self.channel.journal.unlisten(ended)

    def _look(self, news: _News, ended: set[str], callbacks: Sequence[Callback]) -> None:
        journal = self.channel.journal
        news.going |= journal.heard(ended) - news.over
        watched = journal.open_entries() | journal.some(news.going)
        mine = [entry for entry in watched.values() if self.channel.has(entry) and entry.id not in news.over]
        parts = [(entry, key) for entry in mine for key in entry.keys]
        for entry, key, status in self._changes(parts, news.last):
            news.last[entry.id, key] = status
            for callback in callbacks:
                _call(callback, self.handle(entry, key), status)
        news.going = {entry.id for entry in mine}
        for entry in mine:
            if all(news.last.get((entry.id, key), JobStatus()).final for key in entry.keys):
                news.is_over(entry)

    def _changes(
        self, mine: Sequence[JobPart], last: Mapping[tuple[str, str], JobStatus]
    ) -> Iterator[tuple[JobRecord, str, JobStatus]]:
        """What has changed since those statuses. What is open is looked at early where its folder shows something."""
        before = [last.get((entry.id, key), JobStatus()) for entry, key in mine]
        open_ = [(part, old) for part, old in zip(mine, before, strict=True) if part[0].open]
        urgent = self.polls.priority([part for part, _ in open_], [old for _, old in open_])
        for (entry, key), old, new in zip(mine, before, self.poll(mine, urgent=urgent), strict=True):
            if old.then(new) != old:
                yield entry, key, old.then(new)


@dataclass
class _News:
    """What callbacks were told: the last status of each element, by our ids, until the job's end was told."""

    last: dict[tuple[str, str], JobStatus] = field(default_factory=dict)
    going: set[str] = field(default_factory=set)  # those whose end is still to be told
    over: set[str] = field(default_factory=set)

    def is_over(self, entry: JobRecord) -> None:
        """Note that a job's end was told."""
        self.over.add(entry.id)
        self.going.discard(entry.id)
        for key in entry.keys:
            del self.last[entry.id, key]


def _call(callback: Callback, submission: Submission, status: JobStatus) -> None:
    try:
        callback(submission, status)
    except Exception:  # the listener's own fault: it must not cost the others their news
        log.exception("a status callback failed for job %s", submission.id)
