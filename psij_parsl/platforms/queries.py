"""Data of the dialogue with a resource manager: queries, job records, answers, submissions, error patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..states import JobStatus, sound

if TYPE_CHECKING:
    from ..system.commands import RunningCommand
    from .usage import Usage

UNSTARTED = "jobs that were cancelled before they started"
UNSTARTED_ELEMENTS = "elements of arrays that were cancelled before they started"


class SchedulerRecord(NamedTuple):
    """One job in a manager's answer.

    - `tag` is our tag, given at submission, as the manager returns it.
    - `submitted` is the manager's time of submission, in seconds since the epoch.
    - `output` is the path of the manager's own log of the job, which contains our tag too.
    - `cluster` is where the job is, if the answer shows it.
    - `moved`: the job was moved to another server, and this server's answer does not show its state.
    - `leftover`: the job has failed for certain, as `status` says, but the manager keeps it, and could start it
      again, until it is deleted.
    - `foreign`: the job was submitted by another program.
    - `whole` and `place` are for an array's element whose id does not follow from the array's: the array's id, and
      the element's position among the elements, from 0.
    - `alias` is another id of the job, as `Scheduler.plain_id` gives it, which the manager's commands accept too.
    - `usage` is what the job has used, where the same answer tells it.
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
    usage: Usage | None = None

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.status.final


_sound_kinds: set[tuple[type, ...]] = (
    set()
)  # types of the fields of records that passed: among ten thousand records few combinations occur


def check_record(record: Any) -> None:
    """Raise `TypeError` if a platform's parser returned something else than a valid job record."""
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
    """An accepted submission: the `ids` in the submit command's output that may be the job's, the likeliest first.

    `alone`: nothing else was printed, so the id needs no proof. `elements` are the ids of an array's elements, in
    their order, where these do not follow from the array's id.
    """

    ids: Sequence[str]
    alone: bool
    elements: Sequence[str] = ()


class EarlyCommand(NamedTuple):
    """A command that was started early, the whole input for which it waits, and what to do while it works on that."""

    command: RunningCommand
    text: bytes
    meanwhile: Callable[[], None]


class Wish(NamedTuple):
    """An option that one of the manager's own variables sets: a job's field or a platform's parameter, and its value.

    `value` is None where the variable cannot be followed.
    """

    variable: str
    name: str = ""
    value: str | None = None


class UsageQuestion(NamedTuple):
    """A job whose usage is asked for: the manager's id, and when it was submitted, by the manager's clock."""

    id: str
    earliest: float
    latest: float

    def is_about(self, submitted: float | None) -> bool:
        """Whether a job that was submitted then can be the one that is meant."""
        return submitted is None or self.earliest <= submitted <= self.latest


class Queue(NamedTuple):
    """A queue and its limits; None means no limit, or an unknown one. `minutes` is the longest wall time."""

    name: str
    up: bool = True
    default: bool = False
    max_nodes: int | None = None
    minutes: int | None = None
    min_nodes: int | None = None


class Query(NamedTuple):
    """A command that asks the manager, and the parsers of its answer.

    `split` cuts the output into pieces, and `parse` makes a record of each. It returns None for a piece without
    information, and may raise for one that it cannot read: only that record is lost. Without a `split` each line is a
    piece, and a last line that has no line break, and is none that `whole` matches, was cut short: it is not read.
    `answers` are the exit codes with which the output counts as an answer. A query with a `name` is not sent again
    after an error that is `ErrorPattern.permanent`. `unknown` matches the lines in which the command reports unknown
    ids, for a command that fails when all ids are unknown: output of such lines alone is an answer without records,
    whatever the exit code.
    """

    argv: Sequence[str]
    parse: Callable[[Any], Any]
    split: Callable[[str], Iterable[Any]] = str.splitlines
    answers: Collection[int] = (0,)
    name: str = ""
    unknown: str = ""
    whole: str = r"(?!)"  # a pattern of whole lines, where the query chose the columns

    def no_records(self, text: str) -> bool:
        """Whether a text reports unknown ids, and nothing else."""
        lines = [line for line in text.splitlines() if line.strip()]
        return bool(self.unknown and lines) and all(re.search(self.unknown, line) for line in lines)

    def cut_short(self, text: str) -> bool:
        """Whether the last line of an answer is not whole."""
        if self.split is not str.splitlines or not text or text.endswith("\n"):
            return False
        return re.fullmatch(self.whole, text.splitlines()[-1]) is None


class ErrorPattern(NamedTuple):
    """A pattern of an error text of the manager, and what the error means.

    - `transient`: another try may succeed, and the request has certainly not been carried out.
    - `accepted`: the request may have been carried out nevertheless.
    - `permanent`, of a query: it will never be answered on this machine.
    - `client`: the error is from the command itself; the server was not asked.
    - `limit` is the parameter that caused the error.
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
    """The manager's answer: records by `Scheduler.plain_id`; a live job's record comes before one from history.

    - `past` has all records of an id from history, because managers use ids again.
    - `unheard` are ids that could not be asked about this time, or of which some text could not be read, even if
      there are records of them. It counts where no record is proved to be of our job.
    - `queries` is the number of commands that were run.
    """

    records: dict[str, SchedulerRecord] = field(default_factory=dict)
    past: dict[str, list[SchedulerRecord]] = field(default_factory=dict)
    unheard: frozenset[str] = frozenset()
    queries: int = 1
    plain_id: Callable[[str], str] = str

    def of(self, job_id: str) -> SchedulerRecord | None:
        """The record of that id, in any of its forms; None if there is none."""
        return self.records.get(self.plain_id(job_id))


def chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The items in groups of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
