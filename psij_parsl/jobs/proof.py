"""Whether the manager's id of a job of ours still is that job: nothing is cancelled on the word of an id alone."""

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

_SURE_S = 60.0  # how long an id that stood alone in the answer to a submit is proof
_PROOF_S = 600.0  # likewise a record that was proved to be ours


def meant(channel: Channel, name: str) -> JobPart | None:
    """The job of ours that an id of ours or the manager's means, and its key; None if it is none of ours.

    An id of the manager's may have been ours, and be another job's by now: so it is asked, unless the last answer
    showed ours. Raises `Unavailable` where it does not answer, and ours has ended.
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
    known = entry.ended.get(first) or view.status(first_id) or JobStatus()
    owner = whose(
        scheduler,
        entry,
        record,
        attempt=known.attempt,
        clock=view.clock,
        tagged=view.tagged,
        past=scheduler.plain_id(name) in answer.past,
    )
    return None if owner is Whose.STRANGER else (entry, key)


def split_by_proof(channel: Channel, parts: Sequence[JobPart]) -> tuple[list[JobPart], list[JobPart]]:
    """Those that the manager is proved to have, under the ids that we know; and the others. Ended ones are in neither.

    An id is not a job: by now it may be another one's. So the manager is asked first. Where its answer shows no job
    of that id, or none is to be had, an id that it gave alone a minute ago at most is proof, and a record of ours
    that it has shown in the last ten; without an answer an older one.
    """
    if not any(entry.native for entry, _ in parts):
        return [], list(parts)
    now = time.time()
    silent = False
    try:
        view = channel.snapshot.ask(lambda old: refresh(channel, old), since=now)
    except Unavailable as error:
        silent, view = True, channel.snapshot.view()
        log.warning("%s; what is cancelled was seen %s", error.message, _seen(view))
    fresh = channel.journal.some({entry.id for entry, _ in parts})
    left = [(fresh.get(entry.id, entry), key) for entry, key in parts]
    left = [(entry, key) for entry, key in left if not entry.over(key)]
    proved = []
    for entry, key in left:
        keys = [element_key for element_key in entry.keys_of(key) if element_key not in entry.ended]
        seen = max((view.proved(element_id(entry, element_key)) for element_key in keys), default=0.0)
        sure = entry.sure and 0 <= now - entry.committed < _SURE_S
        known = seen >= now - _PROOF_S or sure or (silent and seen > 0)
        if entry.native and known and not any(element_id(entry, name) in view.strangers for name in keys):
            proved.append((entry, key))
    return proved, [part for part in left if part not in proved]


def _seen(view: View) -> str:
    return f"{time.time() - view.asked:.0f} s ago" if view.asked else "when it was submitted"
