"""Adds a job to the journal that was submitted with another program."""

from __future__ import annotations

from pathlib import Path

from ..errors import UnknownJob
from .asking import answer_about
from .channel import Channel
from .identity import bearers_of
from .native_ids import native_id, whole_id
from .reconcile import held_until_dropped
from .record import JobPart, JobRecord


def attach(channel: Channel, native: str, *, site: str, spool: Path | None) -> tuple[JobPart, bool]:
    """The job with that id of the manager, and whether its record is new. Raises `UnknownJob`.

    A job with our tag has a record already: it is an element of an array, or a job whose id is not recorded yet.
    """
    scheduler, journal = channel.scheduler, channel.journal
    answer = answer_about(channel, native)
    record = answer.of(native)
    if record is None:
        hint = "psij-run list --all"
        same = (element.id for element in answer.records.values() if whole_id(scheduler, element) == native)
        if (element := next(same, "")) != "":
            hint = f"it is an array: attach its elements, as {element}"
        raise UnknownJob(f"{channel.platform} knows no job {native!r} of yours", hint=hint)
    if record.leftover:
        record = held_until_dropped(record)
    if ours := journal.some(bearers_of(scheduler, record)):
        entry = next(iter(ours.values()))
        keys = entry.keys if entry.array and entry.native else ()
        same_keys = (key for key in keys if scheduler.same_id(native_id(scheduler, entry, key), native))
        return (entry, next(same_keys, "")), False
    job_id, folder = journal.new_folder(spool)
    entry = JobRecord(
        job_id, channel.platform, str(folder), site, channel.cluster, f"attached {native}", attached=True
    )
    entry = journal.commit(journal.intend(entry), native, sure=True)
    if record.submitted is not None:
        journal.born({entry.id: record.submitted})
    if record.status.final:
        journal.end({(entry.id, ""): record.status})
    else:
        channel.snapshot.put(entry.id, record.status)
    return (journal.get(entry.id), ""), True
