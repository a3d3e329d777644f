"""Resolves the dependencies of a new job into ids for the manager and checks for the job's script."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidRequest, UnknownJob, nearest
from ..job import DEPENDENCY_KINDS
from ..system.job_names import cluster_in
from .asking import statuses
from .channel import Channel
from .job_dependencies import Dependencies, Outcome, outcome, split_dependency
from .native_ids import command_ids
from .proof import meant
from .record import JobPart, JobRecord

_ANY_END = "afterany"


def resolve_dependencies(channel: Channel, after: Sequence[str]) -> Dependencies:
    """The dependencies of a job. Raises `InvalidRequest` for one that can never be met, or that the manager lacks."""
    ids: list[str] = []
    guards: list[tuple[str, Sequence[str]]] = []
    for text in after:
        kind, name = split_dependency(text)
        if kind not in DEPENDENCY_KINDS:
            raise InvalidRequest(f"unknown kind of dependency {kind!r}", hint=nearest(kind, DEPENDENCY_KINDS))
        parts = _find_ours(channel, name)
        if not parts:
            if kind not in channel.scheduler.dependencies:
                raise _unknown_end(channel, kind, name)
            ids.append(f"{kind}:{name}")  # the manager's own id of a job that is not ours
        for entry, key in parts:
            part_ids, part_guards = _of_part(channel, kind, name, entry, key)
            ids += part_ids
            guards += part_guards
    return Dependencies(ids, guards)


def _of_part(
    channel: Channel, kind: str, name: str, entry: JobRecord, key: str
) -> tuple[list[str], list[tuple[str, Sequence[str]]]]:
    """The ids and guards for a dependency on one job of ours, or one element; none if it is met already."""
    scheduler = channel.scheduler
    if entry.attached and kind not in scheduler.dependencies and not entry.over(key):
        raise _unknown_end(channel, kind, name)
    met = outcome(kind, entry, key)
    if met is Outcome.NEVER:
        raise InvalidRequest(
            f"job {name} has ended, but not as {kind} asks, so this job could never start",
            hint=f"`psij-run info {name}` tells how it ended",
        )
    if met is Outcome.MET:
        return [], []
    if not channel.has(entry):
        where = entry.platform if entry.platform != channel.platform else f"another {entry.platform}"
        if cluster := cluster_in(entry.cluster):
            where = f"the cluster {cluster}"
        raise InvalidRequest(
            f"job {name} belongs to {where}, and a job of {channel.platform} cannot come after it",
            hint="submit both to one manager, or wait for the first: `psij-run wait`",
        )
    if not entry.native:
        raise InvalidRequest(f"job {name} is still being submitted", hint="try again in a moment")
    if not {kind, _ANY_END} & set(scheduler.dependencies):
        raise _unknown_kind(channel, kind, name)
    if entry.array and scheduler.lone_elements and not all(entry.elements or [""]):
        raise InvalidRequest(
            f"{channel.platform} has not shown all elements of job {name} yet", hint="try again in a moment"
        )
    asked = kind if kind in scheduler.dependencies else _ANY_END
    ids = [f"{asked}:{scheduler.spoken(native)}" for native in command_ids(scheduler, entry, key)]
    if kind in scheduler.dependencies or kind == "after":
        return ids, []
    return ids, [(kind, [str(entry.element_folder(element_key)) for element_key in entry.keys_of(key)])]


def _find_ours(channel: Channel, name: str) -> list[JobPart]:
    """The jobs of ours that a name in a dependency means. The manager is asked for the status of those not ended."""
    here = channel.platform, channel.cluster
    elsewhere = channel.scheduler.named_cluster(name) not in ("", channel.scheduler.cluster_name)
    try:
        parts = channel.journal.find([name], elements=False, of=None if elsewhere else here)
    except UnknownJob:
        return []
    if len(parts) == 1 and not elsewhere and meant(channel, name) is None:
        return []  # the manager has given that id to another job since
    going = [(entry, key) for entry, key in parts if channel.has(entry) and not entry.over(key)]
    if going:  # a job that ended long ago is forgotten by the manager: it would refuse the id, or take it as met
        statuses(channel, going, urgent=any(_seems_over(entry, key) for entry, key in going))
    return [(channel.journal.get(entry.id), key) for entry, key in parts]


def _seems_over(entry: JobRecord, key: str) -> bool:
    """Whether each element of a job has written its exit file."""
    return all((entry.element_folder(element_key) / "exit").exists() for element_key in entry.keys_of(key))


def _unknown_kind(channel: Channel, kind: str, name: str) -> InvalidRequest:
    return InvalidRequest(
        f"{channel.platform} knows no {kind}, only {' and '.join(sorted(channel.scheduler.dependencies))}",
        hint=f"`psij-run wait {name}`, and submit this job then",
    )


def _unknown_end(channel: Channel, kind: str, name: str) -> InvalidRequest:
    if _ANY_END not in channel.scheduler.dependencies:
        return _unknown_kind(channel, kind, name)
    return InvalidRequest(
        f"{channel.platform} knows no {kind}, and job {name} was not submitted from here: how it ended could not be"
        " found out",
        hint=f"say {_ANY_END}:{name}, or submit it with psij-run too",
    )
