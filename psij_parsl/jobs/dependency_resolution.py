"""Resolves the dependencies of a new job into ids for the manager and checks for the job's script."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from ..dependency import BY_ELEMENT, DEPENDENCY_KINDS, ONE_OF, SINGLETON, WITH_DELAY, Dependency, alternatives
from ..errors import InvalidRequest, NeverSatisfied, UnknownJob
from ..job import Job
from ..system.job_names import cluster_in
from .asking import statuses
from .channel import Channel
from .job_dependencies import Dependencies, Outcome, outcome
from .native_ids import command_ids
from .proof import meant
from .record import JobPart, JobRecord

_ANY_END = "afterany"
_ANY_END_BY_ELEMENT = "afteranycorr"


def resolve_dependencies(channel: Channel, job: Job) -> Dependencies:
    """The dependencies of a job. Raises `InvalidRequest` for one that can never be met, or that the manager lacks."""
    ids: list[str] = []
    guards: list[tuple[str, Sequence[str]]] = []
    one_of = ""
    for text in job.after:
        each = alternatives(text)
        if len(each) > 1:
            found = Dependencies(_one_of(channel, job, each))
            one_of = text if found.ids else one_of
        else:
            found = _resolve(channel, job, each[0])
        ids += found.ids
        guards += found.guards
    ids = list(dict.fromkeys(ids))
    if one_of and len(ids) > 1:
        raise InvalidRequest(
            f"{channel.platform} waits for all jobs of a list or for one of them, and {one_of} is not all that is asked",
            hint="wait for the others with `psij-run wait`, and submit this job then",
        )
    return Dependencies(ids, guards)


def check_known(channel: Channel, job: Job, refusal: str) -> None:
    """Raise `UnknownJob` if a job that the manager's refusal names is none of ours either."""
    for one in (one for text in job.after for one in alternatives(text) if one.job):
        if re.search(rf"(?<!\w){re.escape(one.job)}(?!\w)", refusal):
            channel.journal.find([one.job], elements=False)


def _resolve(channel: Channel, job: Job, one: Dependency) -> Dependencies:
    if one.kind == SINGLETON:
        return Dependencies(_same_name(channel, job))
    if one.kind == BY_ELEMENT:
        return _by_element(channel, job, one)
    kinds = channel.scheduler.dependencies
    if one.minutes and WITH_DELAY not in kinds:
        raise InvalidRequest(
            f"{channel.platform} cannot wait {one.minutes} minutes after the start of job {one.job}",
            hint=f"say after:{one.job}, or submit this job with --hold and `psij-run release` it then",
        )
    parts = _find_ours(channel, one.job)
    if not parts and one.kind not in kinds:
        raise _unknown_end(channel, one.kind, one.job)
    if not parts:
        return Dependencies([one.text])  # the manager's own id of a job that is not ours
    found = [_of_part(channel, one, entry, key) for entry, key in parts]
    return Dependencies(
        [text for part in found for text in part.ids], [guard for part in found for guard in part.guards]
    )


def _one_of(channel: Channel, job: Job, each: Sequence[Dependency]) -> list[str]:
    """The id for jobs of which one is enough; none if one of them has ended as asked."""
    names = ONE_OF.join(one.job or one.kind for one in each)
    if ONE_OF not in channel.scheduler.dependencies:
        raise InvalidRequest(
            f"{channel.platform} cannot wait for one of several jobs ({names})",
            hint="name the one to wait for; a comma between jobs waits for all of them",
        )
    ids: list[str] = []
    for one in each:
        try:
            found = _resolve(channel, job, one)
        except NeverSatisfied:
            continue
        if not found.ids:
            return []
        ids += found.ids
    if not ids:
        raise NeverSatisfied(
            f"none of the jobs {names} ended as asked, so this job could never start",
            hint=f"`psij-run info {each[0].job}` tells how it ended",
        )
    return [ONE_OF.join(ids)]


def _of_part(channel: Channel, one: Dependency, entry: JobRecord, key: str) -> Dependencies:
    """The ids and guards for a dependency on one job of ours, or one element; none if it is met already."""
    scheduler, kind, name = channel.scheduler, one.kind, one.job
    if entry.attached and kind not in scheduler.dependencies and not entry.over(key):
        raise _unknown_end(channel, kind, name)
    met = outcome(kind, entry, key)
    if met is Outcome.NEVER:
        raise NeverSatisfied(
            f"job {name} has ended, but not as {kind} asks, so this job could never start",
            hint=f"`psij-run info {name}` tells how it ended",
        )
    if met is Outcome.MET and not _delayed(one, entry, key):
        return Dependencies()
    _check_reachable(channel, entry, name)
    if not {kind, _ANY_END} & set(scheduler.dependencies):
        raise _unknown_kind(channel, kind, name)
    if entry.array and scheduler.lone_elements and not all(entry.elements or [""]):
        raise InvalidRequest(
            f"{channel.platform} has not shown all elements of job {name} yet", hint="try again in a moment"
        )
    asked = kind if kind in scheduler.dependencies else _ANY_END
    natives = command_ids(scheduler, entry, key)
    ids = [Dependency(asked, scheduler.spoken(native), one.minutes).text for native in natives]
    if kind in scheduler.dependencies or kind == "after":
        return Dependencies(ids)
    return Dependencies(ids, [(kind, [str(entry.element_folder(part)) for part in entry.keys_of(key)])])


def _delayed(one: Dependency, entry: JobRecord, key: str) -> bool:
    """Whether a job that has started is to be waited for some minutes more."""
    starts = [entry.ended[part].started or 0 for part in entry.keys_of(key) if part in entry.ended]
    return bool(one.minutes) and time.time() < max(starts, default=0) + 60 * one.minutes


def _check_reachable(channel: Channel, entry: JobRecord, name: str) -> None:
    """Raise `InvalidRequest` for a job of another manager, or one that has no id yet."""
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


def _by_element(channel: Channel, job: Job, one: Dependency) -> Dependencies:
    """The dependency of each element on that with the same index of another array."""
    scheduler, name = channel.scheduler, one.job
    if not job.array:
        raise InvalidRequest(
            f"{one.text} is for arrays, element after element, and this job is none",
            hint=f"say --array, or afterok:{name}",
        )
    kind = next((kind for kind in (BY_ELEMENT, _ANY_END_BY_ELEMENT) if kind in scheduler.dependencies), "")
    if not kind:
        raise InvalidRequest(
            f"{channel.platform} knows no {BY_ELEMENT}: its arrays cannot follow each other element by element",
            hint=f"afterok:{name} waits for all elements; or submit the elements as jobs, each after its own",
        )
    parts = _find_ours(channel, name)
    if not parts and kind == BY_ELEMENT:
        return Dependencies([one.text])
    if not parts:
        raise _unknown_end(channel, BY_ELEMENT, name)
    entry, key = parts[0]
    if len(parts) > 1 or not entry.array or key not in ("", "*"):
        raise InvalidRequest(
            f"{one.text} follows an array element by element, and {name} is no whole array",
            hint=f"say afterok:{name} to wait for the job as it is",
        )
    missing = sorted({*job.array} ^ {*entry.array} if scheduler.same_elements else {*job.array} - {*entry.array})
    if missing:
        raise InvalidRequest(
            f"{one.text}: index {missing[0]} is in one of the two arrays alone",
            hint=f"{name} has {len(entry.array)} elements, from {entry.array[0]} to {entry.array[-1]}",
        )
    ends = {index: outcome(one.kind, entry, str(index)) for index in job.array}
    if bad := [index for index, end in ends.items() if end is Outcome.NEVER]:
        raise NeverSatisfied(
            f"element {bad[0]} of job {name} has ended, but not well, so this job's element {bad[0]} could never start",
            hint=f"leave its index out, or `psij-run resubmit {name} --failed` first",
        )
    if {*ends.values()} == {Outcome.MET}:
        return Dependencies()
    _check_reachable(channel, entry, name)
    guards = [] if kind == BY_ELEMENT else [(BY_ELEMENT, [str(entry.folder)])]
    return Dependencies([f"{kind}:{scheduler.spoken(entry.native)}"], guards)


def _same_name(channel: Channel, job: Job) -> list[str]:
    """The ids for the jobs of this job's name: the manager looks for them itself, or they are those that we know."""
    from .job_files import slug

    kinds = channel.scheduler.dependencies
    if SINGLETON in kinds:
        return [SINGLETON]
    if _ANY_END not in kinds:
        raise InvalidRequest(
            f"{channel.platform} cannot wait for the end of all jobs of a name",
            hint="`psij-run wait` waits for them; submit this job then",
        )
    name = slug(job.display_name)
    parts = [(entry, "*" if entry.array else "") for entry in channel.journal.open_entries().values()]
    parts = [(entry, key) for entry, key in parts if channel.has(entry) and slug(entry.name) == name]
    ids: list[str] = []
    for entry, key in _renewed(channel, parts):
        ids += _of_part(channel, Dependency(_ANY_END, entry.id), entry, key).ids
    return ids


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
    return _renewed(channel, parts)


def _renewed(channel: Channel, parts: Sequence[JobPart]) -> list[JobPart]:
    """The jobs, after the manager was asked for the status of those that have not ended."""
    going = [(entry, key) for entry, key in parts if channel.has(entry) and not entry.over(key)]
    if going:  # a job that ended long ago is forgotten by the manager: it would refuse the id, or take it as met
        statuses(channel, going, urgent=any(_seems_over(entry, key) for entry, key in going))
    return [(channel.journal.get(entry.id), key) for entry, key in parts]


def _seems_over(entry: JobRecord, key: str) -> bool:
    """Whether each element of a job has written its exit file."""
    return all((entry.element_folder(element_key) / "exit").exists() for element_key in entry.keys_of(key))


def _unknown_kind(channel: Channel, kind: str, name: str) -> InvalidRequest:
    known = sorted({*DEPENDENCY_KINDS} & {*channel.scheduler.dependencies})
    return InvalidRequest(
        f"{channel.platform} knows no {kind}, only {' and '.join(known)}",
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
