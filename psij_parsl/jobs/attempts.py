"""The attempts at a job: which of its elements are to have one more, and what that comes after."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import dependency as read
from ..errors import InvalidRequest, UnknownJob
from ..states import JobState
from ..system.job_names import cluster_in
from .asking import find_part, statuses
from .attempt import Attempt, earlier
from .executor import named_one
from .job_dependencies import Outcome, outcome
from .record import JobRecord, element_id

if TYPE_CHECKING:
    from .channel import Channel
    from .executor import JobName
    from .journal import Journal
    from .journal_reader import JournalReader

#: The states of what has failed.
FAILED = frozenset({JobState.FAILED})
Along = Mapping[str, Collection[str]]
"""The jobs that are submitted again by the same command: our id -> the keys of their elements."""


class Choice(NamedTuple):
    """The elements of a job that are to be submitted again, and why the others are not, in a few words."""

    keys: Sequence[str]
    reason: str = ""


class Dependency(NamedTuple):
    """A job, or an element, that one more attempt comes after."""

    kind: str
    job_id: str
    key: str = ""  # '' for the whole job
    minutes: int = 0  # after its start
    or_else: tuple[Dependency, ...] = ()  # others that would do as well

    @property
    def jobs(self) -> set[str]:
        """The ids of the jobs that it names."""
        return {self.job_id, *(one.job_id for one in self.or_else)}

    def text(self, new_ids: Mapping[str, str]) -> str:
        """The same for `Job.after`; `new_ids` are those of jobs that were submitted again meanwhile."""
        job_id = new_ids.get(self.job_id, self.job_id)
        this = read.Dependency(self.kind, f"{job_id}{f'_{self.key}' if self.key else ''}", self.minutes).text
        return read.ONE_OF.join([this, *(one.text(new_ids) for one in self.or_else)])


def choose(
    journal: JournalReader,
    entry: JobRecord,
    keys: Sequence[str],
    states: Collection[JobState] = (),
    *,
    last_only: bool = False,
) -> Choice:
    """Choose among the elements with these keys those that can be submitted again.

    With `states` they are those whose last attempt ended so, and with `last_only` those of which this is the last. Without,
    it is all of them, and `InvalidRequest` is raised if one, or a later attempt at it, has not ended.
    """
    wanted = [key for key in entry.keys if any(key in entry.keys_of(one) for one in keys)]
    latest = {key: record for record, mine in newest(journal, entry, wanted) for key in mine}
    if not states:
        for key in wanted:
            if key not in latest[key].ended:
                raise _not_ended(entry, latest[key])
        return Choice(wanted)
    chosen, others = [], dict[str, int]()
    for key in wanted:
        now = latest[key].ended.get(key)
        if now is not None and now.state in states and (latest[key].id == entry.id or not last_only):
            chosen.append(key)
        else:
            how = "not ended" if now is None else now.state.name
            what = how if latest[key].id == entry.id else f"{how} as {latest[key].id}"
            others[what] = others.get(what, 0) + 1
    counts = (f"{number} {how}" if entry.array else how for how, number in sorted(others.items()))
    return Choice(chosen, ", ".join(counts))


def _not_ended(entry: JobRecord, latest: JobRecord) -> InvalidRequest:
    if latest.id != entry.id:
        return InvalidRequest(
            f"job {entry.id} was submitted again already, as {latest.id}, which has not ended",
            hint=f"`psij-run wait {latest.id}` or `psij-run cancel {latest.id}` first",
        )
    failed = "; --failed takes the elements that have failed so far" if entry.array else ""
    return InvalidRequest(
        f"job {entry.id} has not ended, and two copies of it would write the same files",
        hint=f"`psij-run wait {entry.id}` or `psij-run cancel {entry.id}` first{failed}",
    )


def newest(
    journal: JournalReader, entry: JobRecord, keys: Collection[str], along: Along | None = None
) -> list[tuple[JobRecord, list[str]]]:
    """The records of the last attempts at these elements of a job, each with the keys of those whose last it is.

    The attempts that are to be made `along` come after all others: they count as the last of what they repeat.
    """
    left, found = list(keys), []

    def take(record: JobRecord, mine: list[str]) -> None:
        if mine:
            found.append((record, mine))
            left[:] = [key for key in left if key not in mine]

    take(entry, [key for key in left if key in (along or {}).get(entry.id, ())])
    for later in reversed(journal.resubmissions(entry)):
        for record, mine in newest(journal, later, [key for key in left if key in {*later.keys}], along):
            take(record, mine)
    take(entry, list(left))
    return found


def dependencies_again(
    journal: Journal, attempt: Attempt, along: Along | None = None, *, of: tuple[str, str] | None = None
) -> list[Dependency]:
    """What one more attempt comes after, of the jobs that the earlier one came after: those that have not ended.

    In place of a job that was submitted again it is its last attempt, or the one that is made `along` with this. `of` is
    the platform and the cluster. Raises `InvalidRequest` for a job that did not end as was asked.
    """
    kept: list[Dependency] = []
    for text in attempt.job.after:
        each = read.alternatives(text)
        if len(each) == 1:
            kept += _again(journal, attempt, each[0], along or {}, of)
            continue
        open_ones: list[Dependency] = []
        refusals: list[InvalidRequest] = []
        for one in each:
            try:
                found = _again(journal, attempt, one, along or {}, of)
            except InvalidRequest as error:
                refusals.append(error)
                continue
            if not found:  # it is met, and is enough
                break
            open_ones += found
        else:
            if not open_ones:
                raise refusals[0]
            kept.append(open_ones[0]._replace(or_else=tuple(open_ones[1:])))
    return kept


def _again(
    journal: Journal, attempt: Attempt, one: read.Dependency, along: Along, of: tuple[str, str] | None
) -> list[Dependency]:
    """What is left of one dependency; nothing if it is met."""
    if one.kind == read.SINGLETON:
        return [Dependency(read.SINGLETON, "")]
    started = any(status.started is not None for status in attempt.entry.ended.values())
    try:
        parts = journal.find([one.job], elements=False, of=of)
    except UnknownJob as error:
        if started:  # it was met then
            return []
        raise _unmet(attempt, f"{one.job}, of which nothing is known here") from error
    kept: list[Dependency] = []
    for entry, key in parts:
        keys = [each for each in entry.keys_of(key) if one.kind != read.BY_ELEMENT or each in attempt.keys]
        last = newest(journal, entry, keys, along)
        kept += _still_open(attempt, one.kind, last, along, started=started)
    return [each._replace(minutes=one.minutes) for each in kept]


def _still_open(
    attempt: Attempt, kind: str, last: Sequence[tuple[JobRecord, list[str]]], along: Along, *, started: bool
) -> Iterator[Dependency]:
    """The dependencies on these last attempts, without those that are met."""
    ends = {(record.id, key): outcome(kind, record, key) for record, keys in last for key in keys}
    again = {record.id for record, keys in last if set(keys) & set(along.get(record.id, ()))}
    if kind == "afternotok" and Outcome.MET in ends.values() and not again:
        return
    for record, keys in last:
        if record.id in again:
            whole = kind == read.BY_ELEMENT or set(keys) >= set(along[record.id])
            yield Dependency(kind, record.id, "" if whole else keys[0])
            continue
        bad = [key for key in keys if ends[record.id, key] is Outcome.NEVER]
        if bad and (kind in ("afterok", read.BY_ELEMENT) or not started):
            raise _unmet(attempt, f"{element_id(record, bad[0])}, which ended otherwise than as {kind} asks")
        going = [key for key in keys if ends[record.id, key] is Outcome.OPEN]
        if going and (kind == read.BY_ELEMENT or len(going) == len(record.keys)):
            yield Dependency(kind, record.id)
        else:
            yield from (Dependency(kind, record.id, key) for key in going)


def _unmet(attempt: Attempt, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"job {attempt.entry.id} comes after job {what}",
        hint="submit both again with one command, or name another job with -d, or give --no-dependency",
    )


def attempt_at(
    channel: Channel, site: str, job: JobName, states: Collection[JobState], changes: Mapping[str, Any]
) -> Attempt:
    """An attempt at a job of that channel and site; with `states`, of an array only the elements that ended so.

    Raises `InvalidRequest`.
    """
    entry, key = find_part(channel, named_one(job))
    if (entry.platform, entry.site) != (channel.platform, site):
        where = f"site {entry.site}" if entry.site else f"platform {entry.platform}, without a site"
        executor = f"site({entry.site!r}).executor()" if entry.site else f"BatchSchedulerExecutor({entry.platform!r})"
        raise InvalidRequest(f"job {entry.id} was submitted for the {where}", hint=f"use {executor}")
    if not channel.has(entry) and not cluster_in(entry.cluster):
        raise InvalidRequest(
            f"job {entry.id} was on another cluster of {entry.platform} ({entry.cluster or 'the default one'})",
            hint="set the environment as it was when the job was submitted",
        )
    if channel.has(entry):  # it may have ended since
        statuses(channel, [(entry, key)], urgent=True)
        entry = channel.journal.get(entry.id)
    choice = choose(channel.journal, entry, [key], states)
    if not choice.keys:
        raise InvalidRequest(
            f"nothing of job {element_id(entry, key)} is to be submitted again: {choice.reason}",
            hint=f"`psij-run info {entry.id}` shows how it ended",
        )
    attempt = earlier(channel.journal, entry, choice.keys)
    if "after" not in changes and attempt.job.after:
        of = entry.platform, entry.cluster
        after = [one.text({}) for one in dependencies_again(channel.journal, attempt, of=of)]
        attempt = replace(attempt, job=attempt.job.with_(after=after))
    return attempt.with_(**changes)
