"""Asks the manager about jobs of ours, through the queue snapshot that all processes share."""

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
    """The job that an id of ours or the manager's names, or an array's element. Raises `UnknownJob`."""
    if name == "all":
        raise InvalidRequest("'all' is not the name of one job", hint="`list()` gives all")
    return channel.journal.find([name], elements=False, of=(channel.platform, channel.cluster))[0]


def refresh(channel: Channel, old: View) -> View:
    """Ask the manager about every open job, and record what has ended."""
    from .reconcile import reconcile

    with channel.journal.briefly():  # who asks how a job is gets an answer, also while nothing can be written down
        return reconcile(channel, old)


def statuses(
    channel: Channel, parts: Sequence[JobPart], *, urgent: float = 0.0, known_s: float = 0.0
) -> list[JobStatus]:
    """The status of each. The manager is asked if that is due, or if so many tokens are left as `urgent` says.

    A snapshot that is no older than `known_s` seconds will do.
    """
    ids = {entry.id for entry, _ in parts}
    recorded = channel.journal.some(ids)
    if all(not recorded.get(entry.id, entry).open for entry, _ in parts):
        view = View()
    else:
        view = channel.snapshot.view()
        if urgent or not 0 <= time.time() - view.asked < known_s:
            view = channel.snapshot.read(lambda old: refresh(channel, old), urgent=urgent)
        recorded = channel.journal.some(ids)  # after the snapshot: what it no longer holds, the journal has
    return [status_of(recorded.get(entry.id, entry), key, view) for entry, key in parts]


def answer_about(channel: Channel, native: str) -> Answer:
    """What the manager tells of that id, also of its past."""
    plain = channel.scheduler.plain_id(native)
    answer = channel.scheduler.qstat(lambda live: [] if plain in live else [native])
    channel.snapshot.answered()
    return answer
