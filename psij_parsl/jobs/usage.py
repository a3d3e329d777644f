"""What jobs have used of what they hold: as the journal has it, as the manager tells it, and as their scripts saw it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..errors import AllocationError
from ..job import Job
from ..platforms.queries import UsageQuestion
from ..platforms.usage import MemoryOf, Usage, UsageRecord, held, total
from ..states import JobState, JobStatus
from ..system.files import read_plain
from .array_status import status_of
from .channel import Channel
from .identity import SAME_S
from .native_ids import native_id
from .record import JobPart, JobRecord

_USAGE_BYTES = 4096  # of a script's file that are read
_SETTLED_S = 60.0  # after its end, no manager learns more about a job
_SUBMISSION_MARGIN_S = 600.0  # a manager's clock may differ by so much from ours
_MB = 1024**2


class _Element(NamedTuple):
    """A job, or an element of an array, that has started."""

    entry: JobRecord
    key: str
    status: JobStatus
    native: str


def usages(channel: Channel, parts: Sequence[JobPart]) -> list[Usage]:
    """What each job or element has used, as far as that is known; of an array, the elements that have ended.

    The manager is asked once about all of which it is not recorded. What ended jobs have used is recorded then.
    """
    recorded = channel.journal.some({entry.id for entry, _ in parts})
    current = [(recorded.get(entry.id, entry), key) for entry, key in parts]
    answers = _Answers(channel, list(_started(channel, current)))
    found = []
    for entry, key in current:
        figures = [answers.figures(entry, element) for element in entry.keys_of(key)]
        found.append(total(figures) if len(figures) > 1 or key == "*" else figures[0])
    answers.record()
    return found


def _started(channel: Channel, parts: Iterable[JobPart]) -> Iterator[_Element]:
    """The elements that have started. What still runs of an array as a whole is left out."""
    view = channel.snapshot.view()
    for entry, key in parts:
        for element in entry.keys_of(key):
            status = status_of(entry, element, view)
            started = status.started is not None or status.state in (JobState.COMPLETED, JobState.FAILED)
            runs = status.state is JobState.ACTIVE and (key != "*" and (key or not entry.array))
            if entry.native and (runs or (status.final and started)):
                yield _Element(entry, element, status, native_id(channel.scheduler, entry, element))


class _Answers:
    """What the manager and the scripts tell about these elements."""

    def __init__(self, channel: Channel, elements: Sequence[_Element]) -> None:
        self.channel = channel
        self.elements = {(element.entry.id, element.key): element for element in elements}
        self._jobs: dict[str, Job | None] = {}
        self._told: dict[str, UsageRecord] = {}
        unknown = [one for one in elements if channel.has(one.entry) and one.key not in one.entry.used]
        for running in (False, True):
            if asked := [_question(element) for element in unknown if element.status.final is not running]:
                self._told |= channel.scheduler.usages(asked, running=running)
        self._threads = self._ask_threads(unknown)
        self._figures: dict[tuple[str, str], Usage] = {}

    def figures(self, entry: JobRecord, key: str) -> Usage:
        """What an element has used."""
        if (entry.id, key) not in self.elements:
            return Usage()
        if (entry.id, key) not in self._figures:
            self._figures[entry.id, key] = self._sum_up(self.elements[entry.id, key])
        return self._figures[entry.id, key]

    def record(self) -> None:
        """Record what does not change any more, as far as the manager has told it."""
        by_entry: dict[str, dict[str, Usage]] = {}
        now = time.time()
        for (job_id, key), usage in self._figures.items():
            element = self.elements[job_id, key]
            told = self._told.get(element.native)
            settled = usage.complete or now - (element.status.ended or now) > _SETTLED_S
            if told is not None and told.final and element.status.final and settled:
                by_entry.setdefault(job_id, {})[key] = usage
        with self.channel.journal.briefly():
            for job_id, figures in by_entry.items():
                entry = next(one.entry for one in self.elements.values() if one.entry.id == job_id)
                self.channel.journal.used(entry, {key: usage.to_plain() for key, usage in figures.items()})

    def _sum_up(self, element: _Element) -> Usage:
        job = self._job(element.entry)
        told = self._told.get(element.native)
        usage = (
            told.usage if told is not None else Usage.from_plain(element.entry.used.get(element.key, {})) or Usage()
        )
        if told is not None and usage.core_s and (threads := self._threads_of(element, job)) > 1:
            usage = replace(usage, core_s=usage.core_s / threads, cores=usage.cores and usage.cores / threads)
        usage = usage.or_else(self._asked(element, job))
        sampled = self.channel.scheduler.samples_cpu_time
        if not usage.complete or sampled:
            seen = self._of_script(element, job)
            usage = usage.or_else(seen)
            if sampled and (seen.cpu_s or 0.0) > (usage.cpu_s or 0.0):
                usage = replace(usage, cpu_s=seen.cpu_s, at_least=seen.at_least)
        if not usage.known:
            return Usage()
        if usage.memory_asked_bytes is None and job is not None:
            usage = replace(usage, memory_asked_bytes=_memory_asked(job, usage.memory_of))
        return usage

    def _job(self, entry: JobRecord) -> Job | None:
        if entry.id not in self._jobs:
            self._jobs[entry.id] = self.channel.journal.job(entry)
        return self._jobs[entry.id]

    def _of_script(self, element: _Element, job: Job | None) -> Usage:
        """What the job's own script saw: on the first node, where it runs."""
        noted = ScriptUsage.read(element, self.channel)
        if noted is None:
            return Usage()
        several = job is not None and job.num_nodes != 1
        return Usage(
            cpu_s=noted.cpu_s,
            memory_bytes=noted.memory_bytes,
            memory_of=MemoryOf.FIRST_NODE if several else MemoryOf.JOB,
            at_least="first node only" if several else "" if noted.whole else "of the script's own processes",
        )

    def _asked(self, element: _Element, job: Job | None) -> Usage:
        """The cores that the job asked for, for the time that it ran."""
        status = element.status
        if job is None or status.started is None or self.channel.scheduler.gives_whole_nodes:
            return Usage()
        cores = job.num_ranks * job.cpus_per_rank * job.threads_per_core
        until = status.ended if status.final else time.time()
        return held(cores, until - status.started if until is not None else None)

    # ---- hardware threads ----------------------------------------------------------------------------------

    def _ask_threads(self, elements: Sequence[_Element]) -> Mapping[str, int]:
        held_cores = (one for one in elements if one.native in self._told and self._told[one.native].usage.core_s)
        nodes = dict.fromkeys(_first_node(one.status.nodes) for one in held_cores)
        return self.channel.scheduler.threads_per_core(list(filter(None, nodes)))

    def _threads_of(self, element: _Element, job: Job | None) -> int:
        """By how much the manager's figure is divided: it counts threads, and so does a job that asked for some."""
        if job is not None and job.threads_per_core > 1:
            return 1
        return self._threads.get(_first_node(element.status.nodes), 1)


class ScriptUsage(NamedTuple):
    """What a job's script noted at its end. `whole`: of the job's own control group, and so of all its processes there."""

    cpu_s: float
    memory_bytes: int | None
    whole: bool

    @classmethod
    def read(cls, element: _Element, channel: Channel) -> ScriptUsage | None:
        """Read it; None if there is none, or it is of another id or attempt, or damaged."""
        entry, scheduler = element.entry, channel.scheduler
        try:
            fields = read_plain(entry.element_folder(element.key) / "usage", _USAGE_BYTES).decode().split()
            native, attempt, _, user, system, group_us, peak = fields
            seconds = _seconds(user) + _seconds(system)
            memory = int(peak) if peak.isdecimal() else None
            whole = group_us.isdecimal() and int(group_us) >= seconds * 1e6 * 0.9  # else of another group
            stale = scheduler.counts_attempts and int(attempt) < element.status.attempt
        except (OSError, ValueError):
            return None
        if stale or not 0 <= seconds < 1e12 or not scheduler.same_id(native, element.native):
            return None
        return cls(int(group_us) / 1e6 if whole else seconds, memory, whole)


def _question(element: _Element) -> UsageQuestion:
    entry = element.entry
    earliest = max(0.0, (entry.intended or entry.committed) - _SUBMISSION_MARGIN_S)
    if entry.born is not None:
        earliest = entry.born - SAME_S
    latest = element.status.ended + _SUBMISSION_MARGIN_S if element.status.ended else float("inf")
    return UsageQuestion(element.native, earliest, latest)


def _memory_asked(job: Job, memory_of: MemoryOf) -> int | None:
    """Bytes that the job asked for, of what the figure is of."""
    on_node = job.memory_on_node
    if not on_node or memory_of is MemoryOf.ADDRESSES or (memory_of is MemoryOf.JOB and job.num_nodes is None):
        return None
    return on_node * _MB * (job.nodes_at_least if memory_of is MemoryOf.JOB else 1)


def _first_node(nodes: str) -> str:
    from ..resources.hostlist import expand

    try:
        return next(iter(expand(nodes)), "") if nodes else ""
    except AllocationError:
        return ""


def _seconds(text: str) -> float:
    """`1m2.345s`, in bash's words; with a comma in some locales."""
    minutes, _, seconds = text.removesuffix("s").replace(",", ".").partition("m")
    return int(minutes) * 60 + float(seconds)
