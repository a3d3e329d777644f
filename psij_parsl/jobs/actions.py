"""Cancels our jobs, and finds the ids with which the manager holds and releases them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..errors import Ambiguous, InvalidRequest, SchedulerError, UnknownJob
from ..states import JobState
from .array_status import status_of
from .channel import Channel
from .native_ids import command_ids, native_id
from .proof import split_by_proof
from .record import JobPart, JobRecord, element_id

log = logging.getLogger(__name__)

_MAX_NAMES = 5  # most ids that a message lists
_WAITING_ONLY = "only a job that waits can be held or released"


def cancel(channel: Channel, parts: Sequence[JobPart]) -> list[JobPart]:
    """Cancel jobs with one command for all. A job that the manager does not show is cancelled when it shows it.

    Returns them without those that have ended, as the manager has just told.
    """
    proved, others = split_by_proof(channel, parts)
    sent = {_cancel_key(entry, key): command_ids(channel.scheduler, entry, key) for entry, key in proved}
    channel.journal.cancel_asked(sent)
    channel.journal.cancel_asked([_cancel_key(entry, key) for entry, key in others], sent=False)
    for entry, _ in others:
        if entry.native:
            log.warning(
                "%s does not show job %s (%s): nothing was cancelled; it will be if it shows up",
                channel.platform,
                entry.id,
                entry.native,
            )
    if sent:
        try:
            channel.scheduler.qdel([native for natives in sent.values() for native in natives])
            channel.snapshot.answered()
        except Ambiguous:  # the manager may have received the command
            raise
        except SchedulerError:
            channel.journal.cancel_failed(sent)
            raise
    return [*proved, *others]


def _cancel_key(entry: JobRecord, key: str) -> tuple[str, str]:
    return entry.id, "*" if key in ("", "*") else key


def ids_to_hold(channel: Channel, parts: Sequence[JobPart]) -> list[str]:
    """The manager's ids of the jobs and elements to hold. A warning names elements that run, which are left out."""
    return [
        native
        for entry, key in _proved_open(channel, parts)
        for native in _ids_of_array(channel, entry, key, starting=False)
    ]


def ids_to_release(channel: Channel, parts: Sequence[JobPart]) -> list[str]:
    """The manager's ids of the jobs and elements to release; of an array, the elements that have not ended."""
    return [
        native
        for entry, key in _proved_open(channel, parts)
        for native in _ids_of_array(channel, entry, key, starting=True)
    ]


def _proved_open(channel: Channel, parts: Sequence[JobPart]) -> list[JobPart]:
    """The same jobs, if all of them are proved to have their ids at the manager and none has ended.

    Else raises `UnknownJob` or `InvalidRequest`.
    """
    proved, others = split_by_proof(channel, parts)
    for entry, _ in others:
        raise UnknownJob(
            f"{channel.platform} does not show job {entry.id} as {entry.native or 'yet'}",
            hint=f"`psij-run status {entry.id}` tells what is known",
        )
    going = {(entry.id, key) for entry, key in proved}
    for entry, key in parts:
        if (entry.id, key) not in going:
            raise InvalidRequest(f"job {element_id(entry, key)} has ended", hint=_WAITING_ONLY)
    return proved


def _ids_of_array(channel: Channel, entry: JobRecord, key: str, *, starting: bool) -> Sequence[str]:
    """The ids to hold a job with, or to release it (`starting`); of an array, only elements that allow that."""
    whole = command_ids(channel.scheduler, entry, key)
    if not entry.array or key not in ("", "*"):
        return whole
    left = [element_key for element_key in entry.keys if element_key not in entry.ended]
    view = channel.snapshot.view()
    running = [name for name in left if status_of(entry, name, view).state is JobState.ACTIVE]
    if running and not starting:
        names = ", ".join(element_id(entry, name) for name in running[:_MAX_NAMES])
        more = f" and {len(running) - _MAX_NAMES} more" if len(running) > _MAX_NAMES else ""
        if len(running) == len(left):
            raise InvalidRequest(f"{names}{more}: all that is left of array {entry.id} runs", hint=_WAITING_ONLY)
        log.warning("of array %s these run, and are not held: %s%s", entry.id, names, more)
        left = [name for name in left if name not in running]
    natives = [native for name in left if (native := native_id(channel.scheduler, entry, name))]
    part = len(left) < len(entry.keys) and (channel.scheduler.holds_elements or any(entry.elements))
    return natives if part else whole
