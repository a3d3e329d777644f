"""Follows jobs and tells of their ends: by this, the handles of jobs are futures."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import Error, InvalidRequest, UnknownJob
from ..states import JobStatus
from .asking import find_part
from .channel import Channel
from .record import JobPart

log = logging.getLogger(__name__)

_TICK_S = (0.02, 0.25)  # between two looks, at first and later


class Followed(NamedTuple):
    """A job by our id, and what is to be called with its last status, or with why nothing can be known of it."""

    id: str
    tell: Callable[[JobStatus | Error], None]


Look = Callable[[Sequence[str], Sequence[JobStatus]], Sequence[JobStatus]]
"""Gets the statuses of jobs, by our ids; those that are given are the last ones."""


class FutureWatch:
    """Looks how jobs are, and tells of their ends.

    One thread does that for all jobs of an executor; it runs while there are any.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self.seen: dict[str, JobStatus] = {}  # how those are that have not ended, by their ids
        self._new: list[Followed] = []
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()
        self._added = threading.Event()

    def add(self, job_id: str, tell: Callable[[JobStatus | Error], None]) -> None:
        """Follow a job until it has ended, and then tell that once. Asks nothing itself."""
        with self._mutex:
            self._new.append(Followed(job_id, tell))
            self._added.set()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="psij-futures", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        jobs: list[Followed] = []
        last: list[JobStatus] = []
        pause, most = _TICK_S
        complaint = ""
        while True:
            with self._mutex:
                if self._new:
                    pause = _TICK_S[0]
                jobs, last = [*jobs, *self._new], [*last, *(JobStatus() for _ in self._new)]
                self._new = []
                self._added.clear()
                if not jobs:
                    self._thread = None
                    return
            try:
                found = [old.then(new) for old, new in zip(last, self._statuses(jobs, last), strict=True)]
                complaint = ""
            except (InvalidRequest, UnknownJob):  # of one of them, and the others are well
                jobs, last = self._without_unknown(jobs, last)
                continue
            except (Error, OSError) as error:
                if complaint != str(error):
                    log.warning("the ends of jobs are seen later: %s", error)
                found, complaint = last, str(error)
            seen = list(zip(jobs, found, strict=True))
            for job, status in sorted(seen, key=lambda one: one[1].ended or math.inf):  # those that ended first
                if status.final:
                    job.tell(status)
            going = [(job, status) for job, status in seen if not status.final]
            self.seen = {job.id: status for job, status in going}
            jobs, last = [job for job, _ in going], [status for _, status in going]
            self._added.wait(pause if jobs else 0.0)
            pause = min(most, pause * 1.5)

    def _statuses(self, jobs: Sequence[Followed], last: Sequence[JobStatus]) -> Sequence[JobStatus]:
        return self._look([job.id for job in jobs], last)

    def _without_unknown(
        self, jobs: Sequence[Followed], last: Sequence[JobStatus]
    ) -> tuple[list[Followed], list[JobStatus]]:
        """The jobs of which something can be known; of the others it is told why not."""
        known: list[tuple[Followed, JobStatus]] = []
        for job, status in zip(jobs, last, strict=True):
            try:
                self._statuses([job], [status])
            except (InvalidRequest, UnknownJob) as error:
                job.tell(error)
                continue
            except (Error, OSError):  # it may be better the next time
                pass
            known.append((job, status))
        return [job for job, _ in known], [status for _, status in known]


class RecordedLook:
    """A look at jobs that are in the journal. They are found by their ids once, and their records read anew each time."""

    def __init__(
        self, channel: Channel, poll: Callable[[Sequence[JobPart], Sequence[JobStatus]], list[JobStatus]]
    ) -> None:
        self.channel, self.poll = channel, poll
        self._parts: dict[str, JobPart] = {}

    def __call__(self, ids: Sequence[str], last: Sequence[JobStatus]) -> list[JobStatus]:
        parts = [self._parts.get(job_id) or find_part(self.channel, job_id) for job_id in ids]
        recorded = self.channel.journal.some({entry.id for entry, _ in parts})
        parts = [(recorded.get(entry.id, entry), key) for entry, key in parts]
        self._parts = dict(zip(ids, parts, strict=True))
        return self.poll(parts, last)
