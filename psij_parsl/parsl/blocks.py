"""The blocks of one provider: their number, their states, and their submission, polling and cancellation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import Ambiguous, Error, SchedulerError, Unavailable
from ..jobs.recovery import fail_unsubmitted
from ..states import JobState, JobStatus
from .backoff import Backoff
from .error_handlers import NOT_NOW

if TYPE_CHECKING:
    from ..job import Job
    from ..jobs.batch import BatchSchedulerExecutor
    from ..jobs.record import JobRecord

log = logging.getLogger("parsl.psij")  # below Parsl's logger, so that it is written to parsl.log

_QUIET_S = 90.0  # between two queries of the manager while all blocks run
_LIVELY_S = 30.0  # for this long after a change blocks are polled often
_ROOM_S = 10.0  # how long a submit waits for cancelled blocks to be gone
_UNSENT_S = 120.0  # after this time a submission that the manager does not show is marked as failed
_CANCEL_PAUSES_S = (1.0, 3.0)  # between tries when the manager does not answer


class Blocks:
    """Blocks of one provider: never more live ones than `max_blocks` (with 0: than `init_blocks`).

    A state that cannot be determined stays the last one.

    `make_executor` creates the executor when it is first needed, because Parsl sets the folder after it has created
    the provider.
    """

    def __init__(
        self, make_executor: Callable[[], BatchSchedulerExecutor], *, init_blocks: int, max_blocks: int
    ) -> None:
        self._make_executor = make_executor
        self.limit, self.max_blocks = max_blocks or init_blocks, max_blocks
        self.records: dict[str, JobRecord] = {}  # by our id, as they were submitted
        self.backoff = Backoff()
        self._last: dict[str, JobStatus] = {}
        self._changed = 0.0  # when one of them last changed its state, by the monotonic clock

    @cached_property
    def executor(self) -> BatchSchedulerExecutor:
        return self._make_executor()

    def submit(self, block: Job, name: str) -> JobRecord:
        """Submit a block, for which `make_room` was called, and return its record.

        Raises `SchedulerError` or `InvalidRequest` with the reason.
        """
        try:
            job_id = self.executor.submit(block).id
        except Ambiguous as error:
            if not error.job_id:
                self.backoff.failed(error)
                raise
            job_id = error.job_id  # it counts as a block until it is found by its tag or marked as failed
            log.warning("block %s: %s", name, error.message)
        except Unavailable as error:
            self.backoff.failed(error)
            raise Unavailable(f"{NOT_NOW}{error.message}", hint=error.hint, output=error.output) from error
        except Error as error:
            self.backoff.failed(error)
            raise
        self.backoff.succeeded()
        record = self.executor.journal.get(job_id)
        self.records[job_id], self._last[job_id] = record, JobStatus(JobState.QUEUED)
        self._changed = time.monotonic()
        return record

    def make_room(self) -> None:
        """Wait briefly until cancelled blocks have ended. Raises `Unavailable` while there are `limit` live blocks.

        It also raises `Unavailable`, with the reason, during the pause after repeated failures.
        """
        deadline = time.monotonic() + _ROOM_S
        while len(live := self.live()) >= self.limit:
            staying = [entry for entry in live if not entry.cancelled]
            if len(staying) >= self.limit or time.monotonic() > deadline:
                raise Unavailable(
                    f"{NOT_NOW}there are {len(live)} blocks and max_blocks is {self.max_blocks}:"
                    f" {', '.join(entry.id for entry in live[:5])}"
                )
            self.poll(live)
            time.sleep(0.2)
        self.backoff.check()

    def live(self) -> list[JobRecord]:
        """The records of the blocks that have not ended, as far as the journal shows."""
        records = self.executor.journal.entries() if self.records else {}
        return [entry for job_id in self.records if (entry := records.get(job_id)) is not None and entry.open]

    def poll(self, entries: Sequence[JobRecord], *, urgent: bool = False) -> list[JobStatus]:
        """The statuses of blocks. `urgent` queries the manager now, if the shared query budget allows it.

        A status that cannot be determined this time stays the last one.
        """
        before = [self._last.get(entry.id, JobStatus()) for entry in entries]
        try:
            for entry in entries:
                if not entry.native and entry.open and time.time() - entry.intended > _UNSENT_S:
                    fail_unsubmitted(self.executor.journal, self.executor.scheduler, entry)
            targets = [(entry, "") for entry in entries]
            if urgent:
                now = self.executor.statuses(targets, urgent=True)
            else:
                now = self.executor.poll(targets, before, known_s=self._patience(entries))
        except (Error, OSError) as error:
            log.warning("the state of blocks stays as it was: %s", error)
            return before
        except Exception:  # whatever it is: an exception here would stop the scaling of all of Parsl's executors
            log.exception("the state of blocks stays as it was")
            return before
        for entry, old, new in zip(entries, before, now, strict=True):
            if new.state is not old.state:
                self._changed = time.monotonic()
                log.info("block %s (%s): %s", entry.name, entry.id, new.describe())
            self._last[entry.id] = new
        return now

    def _patience(self, entries: Sequence[JobRecord]) -> float:
        """The allowed age of the manager's answer. The files of a block's start and end are read each time."""
        waiting = any(
            entry.open and (entry.cancelled or self._last.get(entry.id, JobStatus()).state is not JobState.ACTIVE)
            for entry in entries
        )
        return 0.0 if waiting else _QUIET_S

    def records_of(self, ids: Sequence[str]) -> dict[str, JobRecord | None]:
        """The current records of blocks by our own ids; None for an id that is no block of this provider."""
        try:
            records = self.executor.journal.entries() if ids else {}
        except (Error, OSError) as error:
            log.warning("the state of blocks stays as it was: %s", error)
            records = {}
        return {job_id: records.get(job_id, self.records.get(job_id)) for job_id in ids}

    def cancel(self, ids: Sequence[str]) -> dict[str, bool]:
        """Cancel blocks. True for one that has ended or is being cancelled; False if the manager did not answer."""
        mine = [self.records[job_id] for job_id in ids if job_id in self.records]
        answers = {record.id: False for record in mine}
        for pause in (0.0, *_CANCEL_PAUSES_S) if mine else ():
            time.sleep(pause)
            try:
                present = self.executor.journal.entries()
                now = [present.get(record.id, record) for record in mine]
                self.executor.cancel_found([(record, "") for record in now])
                for record in now:
                    if not record.native and record.open:
                        fail_unsubmitted(self.executor.journal, self.executor.scheduler, record)
                answers = dict.fromkeys(answers, True)
                break
            except (SchedulerError, Error, OSError) as error:
                log.warning("blocks could not be cancelled: %s", error)
        self._changed = time.monotonic()
        return answers

    @property
    def lively(self) -> bool:
        """Whether a block has yet to start or to end, or has changed its state recently."""
        waiting = any(not s.final and s.state is not JobState.ACTIVE for s in self._last.values())
        return waiting or time.monotonic() - self._changed < _LIVELY_S
