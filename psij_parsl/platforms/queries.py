"""What is asked of a resource manager, and what it answers: the data of queries, records and submissions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..states import JobStatus, sound

UNSTARTED = "jobs that were cancelled before they started"
UNSTARTED_ELEMENTS = "elements of arrays that were cancelled before they started"


class SchedulerRecord(NamedTuple):
    """One job in a manager's answer.

    `tag` is what we put on it at submission, as the manager gives it back; `output` the path to which the manager
    writes its own log, which carries our tag too; `submitted` the manager's own time of submission, in seconds since
    the epoch; `cluster` where the job is, if the answer says. `moved`: it was handed on to another server, and what
    this one says is no word about how it is. `leftover`: it has failed for certain, as `status` says, and stays in
    the manager's books, where it could be started again, until it is dropped. Of an array's element whose id is no
    function of the array's own, `whole` is the array's id and `place` its place among the elements, from 0. `alias` is
    another id, as `Scheduler.plain_id` has it, by which the manager's commands reach the same job.
    """

    id: str
    status: JobStatus
    tag: str = ""
    submitted: float | None = None
    output: str = ""
    cluster: str = ""
    moved: bool = False
    leftover: bool = False
    foreign: bool = False
    whole: str = ""
    place: int | None = None
    alias: str = ""


_sound_kinds: set[tuple[type, ...]] = set()  # of the parts of records that were looked at: of ten thousand few differ


def check_record(record: Any) -> None:
    """Raise `TypeError` for what a platform's reader gave that is no record of a job."""
    if not isinstance(record, SchedulerRecord) or not isinstance(record.status, JobStatus):
        raise TypeError(f"{type(record).__name__} is no SchedulerRecord with a JobStatus")
    status = record.status
    kinds = (*map(type, record), type(status.state), type(status.native), type(status.message), type(status.nodes))
    if kinds in _sound_kinds and record.id:
        return
    texts = (record.id, record.tag, record.output, record.cluster, record.whole, record.alias)
    numbers = isinstance(record.submitted, int | float | None) and isinstance(record.place, int | None)
    if not (record.id and all(isinstance(text, str) for text in texts) and numbers and sound(status)):
        raise TypeError("a SchedulerRecord with fields of wrong kinds")
    _sound_kinds.add(kinds)


class Accepted(NamedTuple):
    """What a submit command that ended well printed: the `ids` that it may have meant, the likeliest first.

    `alone`: nothing else was printed, so it needs no proof. `elements` are the ids of an array's
    elements, in their order, where these are no function of the array's own id.
    """

    ids: Sequence[str]
    alone: bool
    elements: Sequence[str] = ()


class Wish(NamedTuple):
    """What a variable of the manager's own says of jobs: a job's field or a parameter of the platform, and its value.

    `value` is None where the variable cannot be followed.
    """

    variable: str
    name: str = ""
    value: str | None = None


class Queue(NamedTuple):
    """A queue and its limits; None means none, or not told. `minutes` is the longest wall time."""

    name: str
    up: bool = True
    default: bool = False
    max_nodes: int | None = None
    minutes: int | None = None
    min_nodes: int | None = None


@dataclass(frozen=True)
class Query:
    """A question, and how to read the answer one record at a time.

    `parse` returns None for a record that tells nothing, and may raise for one that it cannot read: that one
    alone is lost. `answers` are the exit codes with which the output counts as an answer. A query with a `name` that
    was said to be never answered here is not asked again.
    """

    argv: Sequence[str]
    parse: Callable[[Any], Any]
    split: Callable[[str], Iterable[Any]] = str.splitlines
    answers: Collection[int] = (0,)
    name: str = ""


@dataclass(frozen=True)
class ErrorPattern:
    """An error text of the manager, and what it means.

    `transient`: asking again may help, and what was asked has certainly not been done. `accepted`: it may have been
    done all the same. `limit`: the parameter that was at fault. `permanent` of a query: it will never be answered
    on this machine. `client`: the command itself complains, and the server was not asked.
    """

    pattern: str
    transient: bool = False
    accepted: bool = False
    permanent: bool = False
    client: bool = False
    limit: str = ""
    hint: str = ""


@dataclass
class Answer:
    """What the manager knows: records by `Scheduler.plain_id`, of live jobs before those of history.

    `past` has all that history told of an id, for ids begin again. `unheard` are ids that could not be asked about
    just now, or of which something could not be read, whatever else was told of them: it counts where no record is
    proved to be ours. `queries` counts the commands that it took.
    """

    records: dict[str, SchedulerRecord] = field(default_factory=dict)
    past: dict[str, list[SchedulerRecord]] = field(default_factory=dict)
    unheard: frozenset[str] = frozenset()
    queries: int = 1
    plain_id: Callable[[str], str] = str

    def of(self, job_id: str) -> SchedulerRecord | None:
        """The record of that id, in whatever spelling; None if there is none."""
        return self.records.get(self.plain_id(job_id))


def chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The items in groups of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
