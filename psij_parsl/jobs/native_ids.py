"""The manager's ids of our jobs, of arrays and of their elements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .job_folder import claimed_by
from .record import JobRecord

if TYPE_CHECKING:
    from ..platforms.queries import SchedulerRecord
    from ..platforms.scheduler import Scheduler


def native_id(scheduler: Scheduler, entry: JobRecord, key: str) -> str:
    """The manager's id of one element."""
    if not key:
        return entry.native
    recorded = entry.elements[entry.array.index(int(key))] if entry.elements else ""
    return recorded or scheduler.element(entry.native, int(key))


def command_ids(scheduler: Scheduler, entry: JobRecord, key: str) -> list[str]:
    """The ids for the manager's commands to reach one element, or with '' or '*' all elements that have not ended."""
    if key not in ("", "*"):
        return [native_id(scheduler, entry, key)]
    if any(entry.elements):
        return [
            native
            for element_key, native in zip(entry.keys, entry.elements, strict=True)
            if native and element_key not in entry.ended
        ]
    return [entry.native]


def whole_id(scheduler: Scheduler, record: SchedulerRecord) -> str:
    """The manager's id of the submission to which a record belongs: for an element, the id of the array."""
    return record.whole or scheduler.whole(record.id)


def element_ids(scheduler: Scheduler, entry: JobRecord, records: Iterable[SchedulerRecord]) -> tuple[str, ...]:
    """The ids of an array's elements if they cannot be computed from its own; '' for ids that are not known yet.

    They are in the manager's records. For elements that the manager has forgotten they are in the claims.
    """
    if not (entry.array and scheduler.lone_elements):
        return ()
    placed = {record.place: record.id for record in records if record.place is not None}
    recorded = entry.elements or ("",) * len(entry.array)
    return tuple(
        native or placed.get(place) or claimed_by(entry.element_folder(key))
        for place, (native, key) in enumerate(zip(recorded, entry.keys, strict=True))
    )
