"""Proves that a job of ours still has its manager's id. Without that proof no job is cancelled, held or released."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from ..errors import Unavailable, UnknownJob
from ..states import JobStatus
from .asking import answer_about, find_part, refresh
from .channel import Channel
from .identity import Whose, whose
from .native_ids import native_id
from .record import JobPart, element_id
from .snapshot import View

log = logging.getLogger(__name__)

_SURE_S = 60.0  # age up to which an id is proof that was the only one in the answer to the submit command
_PROOF_S = 600.0  # age up to which a record is proof that was proved to be ours


def meant(channel: Channel, name: str) -> JobPart | None:
    """The job of ours, and the key of its element, that an id of ours or of the manager means; None for another job.

    The manager may have given the id of a job of ours to another job since. So it is asked, unless its last answer
    showed our job. Raises `Unavailable` if it does not answer and our job has ended.
    """
    try:
        entry, key = find_part(channel, name)
    except UnknownJob:
        return None
    scheduler = channel.scheduler
    native = native_id(scheduler, entry, "" if key == "*" else key) if channel.has(entry) and entry.native else ""
    if not native or not scheduler.same_id(native, name):
        return entry, key
    going = not entry.over(key)
    view = channel.snapshot.view()
    first = entry.keys_of(key)[0]
    first_id = element_id(entry, first)
    recent = 0 <= time.time() - view.proved(first_id) < _PROOF_S and first_id not in view.unproved
    if going and recent and first_id not in view.strangers:
        return entry, key
    try:
        answer = answer_about(channel, name)
    except Unavailable:
        if not going:
            raise
        return entry, key
    record = answer.of(name)
    if record is None:
        return entry, key
    status = entry.ended.get(first) or view.status(first_id) or JobStatus()
    owner = whose(
        scheduler,
        entry,
        record,
        attempt=status.attempt,
        clock=view.clock,
        tagged=view.tagged,
        past=scheduler.plain_id(name) in answer.past,
    )
    return None if owner is Whose.STRANGER else (entry, key)


def split_by_proof(channel: Channel, parts: Sequence[JobPart]) -> tuple[list[JobPart], list[JobPart]]:
    """Split jobs: those that are proved to have their ids at the manager, and the others. Ended jobs are in neither.

    The manager may have given the id to another job since, so it is asked first. If its answer has no job with that
    id, or if there is no answer, two things are proof: the id was the only one in its answer to a submit command, at
    most a minute ago; or it has shown a record that is ours, in the last ten minutes. Without an answer an older
    record is proof, too.
    """
    if not any(entry.native for entry, _ in parts):
        return [], list(parts)
    now = time.time()
    no_answer = False
    try:
        view = channel.snapshot.ask(lambda old: refresh(channel, old), since=now)
    except Unavailable as error:
        no_answer, view = True, channel.snapshot.view()
        log.warning("%s; the jobs were last seen %s", error.message, _seen(view))
    fresh = channel.journal.some({entry.id for entry, _ in parts})
    left = [(fresh.get(entry.id, entry), key) for entry, key in parts]
    left = [(entry, key) for entry, key in left if not entry.over(key)]
    proved = []
    for entry, key in left:
        keys = [element_key for element_key in entry.keys_of(key) if element_key not in entry.ended]
        seen = max((view.proved(element_id(entry, element_key)) for element_key in keys), default=0.0)
        sure = entry.sure and 0 <= now - entry.committed < _SURE_S
        is_proved = seen >= now - _PROOF_S or sure or (no_answer and seen > 0)
        if entry.native and is_proved and not any(element_id(entry, name) in view.strangers for name in keys):
            proved.append((entry, key))
    return proved, [part for part in left if part not in proved]


def _seen(view: View) -> str:
    return f"{max(0.0, time.time() - view.asked):.0f} s ago" if view.asked else "when they were submitted"
