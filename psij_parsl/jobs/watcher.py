"""Waits for jobs, and calls back when their statuses change.

A start or an end is noticed early, by the files that the job's script writes into the job's folder.
"""

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

_TICK_S = (0.02, 0.25)  # between two checks of the files, at first and later
_START_TOKENS = CAPACITY / 2  # an early refresh for a start is worth less than one for an end
_FOLDERS_A_TICK = 64  # that are checked


class Poll(Protocol):
    """Gets the statuses of jobs; the manager is asked early if at least `urgent` tokens are left."""

    def __call__(self, parts: Sequence[JobPart], *, urgent: float = 0.0) -> list[JobStatus]: ...


class EarlyPolls:
    """Decides when the manager is asked early: if a job's folder shows a start or an end that no answer shows."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._first_seen: dict[tuple[str, str, str], float] = {}  # by job, element key and event
        self._turn = 0

    def priority(self, parts: Sequence[JobPart], statuses: Sequence[JobStatus]) -> float:
        """How many tokens must be left for an early refresh; 0 if no job's folder shows a new start or end.

        A new event is worth a query a moment after it was seen, and again later (see `early_poll_delays_s`), until
        an answer shows it.
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
    """Poll jobs until `done(statuses)` is true; False when the time is up or a signal asks this process to end.

    While the manager does not answer, a warning tells once how old the statuses are.
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
    """Calls back when the status of a job of one cluster changes.

    One thread does that; it runs while there are callbacks.
    """

    def __init__(self, polls: EarlyPolls, poll: Poll, handle: Callable[[JobRecord, str], Submission]) -> None:
        self.channel, self.polls, self.poll, self.handle = polls.channel, polls, poll, handle
        self._callbacks: list[Callback] = []
        self._new: set[str] = set()  # our ids of jobs that this process has just recorded, not polled yet
        self._running = False
        self._mutex = threading.Lock()

    def listen(self, callback: Callback) -> Callable[[], None]:
        """Add a callback; returns a function that removes it.

        The end of every job is reported, even if the job ends before the next poll.
        """
        with self._mutex:
            self._callbacks.append(callback)
            if not self._running:
                self._running = True
                ended = self.channel.journal.listen()  # before we return: later submissions are reported
                name = f"psij-{self.channel.platform}"
                threading.Thread(target=self._run, args=(ended,), name=name, daemon=True).start()

        def stop() -> None:
            with self._mutex:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return stop

    def add(self, job_id: str) -> None:
        """Watch a job that this process has just recorded: it is reported even if it ends before the next poll."""
        with self._mutex:
            if self._running:
                self._new.add(job_id)

    def _run(self, ended: set[str]) -> None:
        """Report changes until no callback is left; the journal adds the ids of ended jobs to `ended`."""
        reported, failure = _Reported(), ""
        while True:
            with self._mutex:
                callbacks = list(self._callbacks)
                reported.open_ids |= self._new
                self._new = set()
                if not callbacks:
                    self._running = False
                    break
            try:
                self._report_changes(reported, ended, callbacks)
                failure = ""
            except (Error, OSError) as error:  # the journal cannot be read just now
                if failure != str(error):
                    log.warning("changes of jobs are reported later: %s", error)
                failure = str(error)
            time.sleep(_TICK_S[1])
        self.channel.journal.unlisten(ended)

    def _report_changes(self, reported: _Reported, ended: set[str], callbacks: Sequence[Callback]) -> None:
        journal = self.channel.journal
        reported.open_ids |= journal.heard(ended) - reported.ended_ids
        watched = journal.open_entries() | journal.some(reported.open_ids)
        mine = [entry for entry in watched.values() if self.channel.has(entry) and entry.id not in reported.ended_ids]
        parts = [(entry, key) for entry in mine for key in entry.keys]
        for entry, key, status in self._changes(parts, reported.statuses):
            reported.statuses[entry.id, key] = status
            for callback in callbacks:
                _call(callback, self.handle(entry, key), status)
        reported.open_ids = {entry.id for entry in mine}
        for entry in mine:
            if all(reported.statuses.get((entry.id, key), JobStatus()).final for key in entry.keys):
                reported.add_ended(entry)

    def _changes(
        self, mine: Sequence[JobPart], last: Mapping[tuple[str, str], JobStatus]
    ) -> Iterator[tuple[JobRecord, str, JobStatus]]:
        """Poll jobs, and give those whose status differs from the last one.

        The manager is asked early if the folder of a job that has not ended shows a start or an end.
        """
        before = [last.get((entry.id, key), JobStatus()) for entry, key in mine]
        open_ = [(part, old) for part, old in zip(mine, before, strict=True) if part[0].open]
        urgent = self.polls.priority([part for part, _ in open_], [old for _, old in open_])
        for (entry, key), old, new in zip(mine, before, self.poll(mine, urgent=urgent), strict=True):
            if old.then(new) != old:
                yield entry, key, old.then(new)


@dataclass
class _Reported:
    """What was reported to the callbacks, by our ids.

    `statuses` are the last statuses of the elements, until the job's end was reported.
    """

    statuses: dict[tuple[str, str], JobStatus] = field(default_factory=dict)
    open_ids: set[str] = field(default_factory=set)  # of jobs whose end is not reported yet
    ended_ids: set[str] = field(default_factory=set)  # of jobs whose end was reported

    def add_ended(self, entry: JobRecord) -> None:
        """Record that the end of a job was reported."""
        self.ended_ids.add(entry.id)
        self.open_ids.discard(entry.id)
        for key in entry.keys:
            del self.statuses[entry.id, key]


def _call(callback: Callback, submission: Submission, status: JobStatus) -> None:
    try:
        callback(submission, status)
    except Exception:  # an error of that callback: the other callbacks are called all the same
        log.exception("a status callback failed for job %s", submission.id)
