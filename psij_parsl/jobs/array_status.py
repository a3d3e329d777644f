"""The status of a job from the journal and the queue snapshot, and the status of a whole array from its elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import AllocationError
from ..states import JobState, JobStatus
from .record import JobRecord, element_id

if TYPE_CHECKING:
    from .snapshot import View


def status_of(entry: JobRecord, key: str, view: View) -> JobStatus:
    """The status of a job or element, or with the key '*' of a whole array, from its record and the snapshot."""
    if key == "*" or (not key and entry.array):
        return summary([status_of(entry, element_key, view) for element_key in entry.keys])
    if key in entry.ended:
        return entry.ended[key]
    if not entry.native:
        return JobStatus(JobState.NEW, message="being submitted")
    status = view.status(element_id(entry, key))
    if status is None:  # submitted after the manager was last asked
        return JobStatus(JobState.QUEUED, message="submitted")
    return status


def summary(statuses: Sequence[JobStatus]) -> JobStatus:
    """The status of a whole array, from those of its elements.

    While an element has not ended, it is ACTIVE as soon as one has started. At the end it is the worst status of an
    element. It starts with the first element, ends with the last, and has the nodes of all.
    """
    counts: dict[str, int] = {}
    for status in statuses:
        counts[status.state.name] = counts.get(status.state.name, 0) + 1
    text = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
    running = [status for status in statuses if not status.final]
    expected = [status.expected for status in running if status.expected is not None]
    starts = [status.started for status in statuses if status.started is not None]
    whole = JobStatus(
        message=text,
        started=min(starts, default=None),
        nodes=_all_nodes(statuses),
        attempt=max(status.attempt for status in statuses),
        expected=min(expected, default=None),
    )
    if running:
        active = any(status.state is JobState.ACTIVE or status.final for status in statuses)
        state = JobState.ACTIVE if active else max(status.state for status in statuses)
        return replace(whole, state=state, held=not active and all(status.held for status in statuses))
    ends = [status.ended for status in statuses if status.ended is not None]
    return replace(
        worst(statuses),
        message=text,
        started=whole.started,
        ended=max(ends, default=None),
        nodes=whole.nodes,
        attempt=whole.attempt,
    )


def worst(statuses: Sequence[JobStatus]) -> JobStatus:
    """The worst status among those of elements that have ended."""
    failed = next((status for status in statuses if status.state is JobState.FAILED), None)
    return failed or next((status for status in statuses if status.state is JobState.CANCELED), None) or statuses[0]


def _all_nodes(statuses: Sequence[JobStatus]) -> str:
    """The nodes of all elements as one host list, without duplicates."""
    node_lists = dict.fromkeys(status.nodes for status in statuses if status.nodes)
    if len(node_lists) < 2:
        return next(iter(node_lists), "")
    from ..resources.hostlist import compress, expand

    try:
        return compress(sorted({name for text in node_lists for name in expand(text)}))
    except AllocationError:  # no host list: as the manager wrote them
        return ",".join(node_lists)
