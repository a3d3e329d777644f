"""Gets the statuses of our jobs, from the queue snapshot that all processes share or from the manager."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import InvalidRequest
from ..states import JobStatus
from .array_status import status_of
from .channel import Channel
from .record import JobPart
from .snapshot import View

if TYPE_CHECKING:
    from ..platforms.queries import Answer


def find_part(channel: Channel, name: str) -> JobPart:
    """The job, or array element, that an id of ours or of the manager names. Raises `UnknownJob`."""
    if name == "all":
        raise InvalidRequest("'all' is not the name of one job", hint="`list()` gives all")
    return channel.journal.find([name], elements=False, of=(channel.platform, channel.cluster))[0]


def refuse_far(channel: Channel, parts: Sequence[JobPart]) -> None:
    """Raises `InvalidRequest` for an open job of another manager, or of a cluster that cannot be asked from here."""
    far = next((entry for entry, _ in parts if entry.open and not channel.has(entry)), None)
    if far is None:
        return
    if far.platform != channel.platform:
        raise InvalidRequest(
            f"job {far.id} is a job of {far.platform}, and {channel.platform} cannot be asked about it",
            hint=f'BatchSchedulerExecutor("{far.platform}") can',
        )
    raise InvalidRequest(
        f"job {far.id} is on another cluster of {far.platform} ({far.cluster or 'the default one'})",
        hint="set the environment as it was when the job was submitted",
    )


def refresh(channel: Channel, old: View) -> View:
    """Ask the manager about every open job, and record the jobs that have ended. Returns the new view."""
    from .reconcile import reconcile

    with channel.journal.briefly():  # the caller gets its statuses even while nothing can be written
        return reconcile(channel, old)


def statuses(
    channel: Channel, parts: Sequence[JobPart], *, urgent: float = 0.0, known_s: float = 0.0
) -> list[JobStatus]:
    """The statuses of jobs or elements, in order.

    The manager is asked if the snapshot is due for a refresh, or if `urgent` is not 0 and at least `urgent` tokens
    are left. But with `urgent` 0, a snapshot that is younger than `known_s` seconds is used as it is.
    """
    ids = {entry.id for entry, _ in parts}
    recorded = channel.journal.some(ids)
    if all(not recorded.get(entry.id, entry).open for entry, _ in parts):
        view = View()
    else:
        view = channel.snapshot.view()
        if urgent or not 0 <= time.time() - view.asked < known_s:
            view = channel.snapshot.read(lambda old: refresh(channel, old), urgent=urgent)
        # Read after the snapshot: a job that is no longer in it has ended, and its end is in the journal.
        recorded = channel.journal.some(ids)
    return [status_of(recorded.get(entry.id, entry), key, view) for entry, key in parts]


def answer_about(channel: Channel, native: str) -> Answer:
    """The manager's answer about one of its ids, with its history."""
    plain_id = channel.scheduler.plain_id(native)
    answer = channel.scheduler.qstat(lambda live: [] if plain_id in live else [native])
    channel.snapshot.answered()
    return answer
