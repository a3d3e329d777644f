"""The status of a job of ours as of one answer; that of an array as a whole from those of its elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import AllocationError
from ..states import JobState, JobStatus
from .record import JobRecord, element_id
from .snapshot import View


def status_of(entry: JobRecord, key: str, view: View) -> JobStatus:
    """The status of an element, or with '*' of an array, by its record and the queue snapshot."""
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
    """The status of an array as a whole: its least advanced element's while it runs, its worst one's at the end.

    It began with the first of them, ends with the last, and has the nodes of all.
    """
    counts: dict[str, int] = {}
    for status in statuses:
        counts[status.state.name] = counts.get(status.state.name, 0) + 1
    text = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
    running = [status for status in statuses if not status.final]
    starts = [status.started for status in statuses if status.started is not None]
    whole = JobStatus(
        message=text,
        started=min(starts, default=None),
        nodes=_all_nodes(statuses),
        attempt=max(status.attempt for status in statuses),
    )
    if running:
        active = any(status.state is JobState.ACTIVE or status.final for status in statuses)
        state = JobState.ACTIVE if active else max(status.state for status in statuses)
        return replace(whole, state=state, held=not active and all(status.held for status in statuses))
    worst = next((s for s in statuses if s.state is JobState.FAILED), None)
    worst = worst or next((s for s in statuses if s.state is JobState.CANCELED), None) or statuses[0]
    ends = [status.ended for status in statuses if status.ended is not None]
    return replace(
        worst,
        message=text,
        started=whole.started,
        ended=max(ends, default=None),
        nodes=whole.nodes,
        attempt=whole.attempt,
    )


def _all_nodes(statuses: Sequence[JobStatus]) -> str:
    """The nodes of all of them, each once, as a host list."""
    node_lists = dict.fromkeys(status.nodes for status in statuses if status.nodes)
    if len(node_lists) < 2:
        return next(iter(node_lists), "")
    from ..resources.hostlist import compress, expand

    try:
        return compress(sorted({name for text in node_lists for name in expand(text)}))
    except AllocationError:  # no host list: as the manager wrote them
        return ",".join(node_lists)
