"""Parsers of `sacct` with its steps, `sstat` and `sinfo`: what jobs have used of what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from psij_parsl.platforms.usage import MemoryOf, Usage, UsageRecord, clock_seconds, held, size_bytes

from .records import STATES, read_time

ACCOUNTED = (
    "JobID",
    "JobIDRaw",
    "State",
    "Submit",
    "NNodes",
    "AllocCPUS",
    "ElapsedRaw",
    "TotalCPU",
    "ReqMem",
    "TRESUsageInTot",
    "MaxRSS",
)
RUNNING = ("JobID", "NTasks", "AveCPU", "TRESUsageInTot", "MaxRSS")
Row = dict[str, str]


class Seen(NamedTuple):
    """A job in the answer of accounting: its id, and its number of nodes."""

    id: str
    nodes: int


def accounted_jobs(text: str) -> Iterator[list[Row]]:
    """The rows of each job in sacct's answer: its own, and those of its steps."""
    return _by_job(text, ACCOUNTED)


def running_jobs(text: str) -> Iterator[list[Row]]:
    """The rows of the steps of each job in sstat's answer."""
    return _by_job(text, RUNNING)


def _by_job(text: str, columns: Sequence[str]) -> Iterator[list[Row]]:
    rows = [dict(zip(columns, line.split("|"), strict=False)) for line in text.splitlines()]
    whole = (row for row in rows if len(row) == len(columns))
    for _, job in groupby(whole, key=lambda row: row["JobID"].partition(".")[0]):
        yield list(job)


def read_accounted(rows: list[Row], seen: dict[str, Seen]) -> UsageRecord | None:
    """What a job has used. It is added to `seen` by its number, which an element of an array has, too.

    The CPU time in the row of the job holds that of all steps. Of processes that were killed together with those that
    started them it has none; what was sampled of them stands in the rows of the steps. Of a job that was requeued or
    resized there may be several, of which the last counts.
    """
    last = max((place for place, row in enumerate(rows) if "." not in row["JobID"]), default=None)
    if last is None:
        return None
    job = rows[last]
    steps = [row for row in rows[last + 1 :] if not row["JobID"].endswith(".extern")]
    nodes = _number(job["NNodes"]) or 1
    seen[job["JobIDRaw"]] = Seen(job["JobID"], nodes)
    seconds = clock_seconds(job["TotalCPU"]) or 0.0
    sampled = sum(_sampled_seconds(row) or 0.0 for row in steps)
    memory, memory_of = _memory(steps, nodes)
    usage = replace(
        held(_number(job["AllocCPUS"]), _number(job["ElapsedRaw"])),
        cpu_s=max(seconds, sampled) or None,
        at_least="as last sampled" if sampled > seconds else "",
        memory_bytes=memory,
        memory_of=memory_of,
        memory_asked_bytes=_asked(job["ReqMem"], nodes, _number(job["AllocCPUS"]) or 1),
    )
    return UsageRecord(job["JobID"], usage, _has_ended(job["State"]), read_time(job["Submit"]))


def read_running(rows: list[Row], seen: dict[str, Seen]) -> UsageRecord | None:
    """What a job has used so far. sstat names elements of an array by their own numbers, and no number of nodes."""
    number = rows[0]["JobID"].partition(".")[0]
    job = seen.get(number, Seen(number, 1))
    steps = [row for row in rows if not row["JobID"].endswith(".extern")]
    seconds = [_sampled_seconds(row) for row in steps]
    known = [figure for figure in seconds if figure is not None]
    on_node = (_step_memory(row, min(job.nodes, _number(row["NTasks"]) or 1)) or 0 for row in steps)
    usage = Usage(cpu_s=sum(known) or None, memory_bytes=max(on_node, default=0) or None, memory_of=MemoryOf.NODE)
    return UsageRecord(job.id, usage, final=False)


def read_threads(line: str) -> tuple[str, int]:
    """A node, and the hardware threads of its cores."""
    node, threads = line.split()
    return node, int(threads)


def _has_ended(state: str) -> bool:
    name = state.partition(" ")[0]
    return name not in STATES or STATES[name].final


def _memory(steps: Sequence[Row], nodes: int) -> tuple[int | None, MemoryOf]:
    """The greatest use of memory on a node: of the steps, which may run after each other, that with most on a node.

    MaxRSS is of the largest task alone. A step shorter than two samples has neither.
    """
    on_node = [_step_memory(row, int(_number(row["NNodes"]) or nodes)) for row in steps]
    if most := max((size or 0 for size in on_node), default=0):
        return most, MemoryOf.NODE
    largest = max((size_bytes(row["MaxRSS"]) or 0 for row in steps), default=0)
    return largest or None, MemoryOf.PROCESS if largest else MemoryOf.NODE


def _step_memory(row: Row, nodes: int) -> int | None:
    size = size_bytes(_tres(row["TRESUsageInTot"]).get("mem", ""))
    return size // nodes if size is not None else None


def _sampled_seconds(row: Row) -> float | None:
    return clock_seconds(_tres(row["TRESUsageInTot"]).get("cpu", ""))


def _tres(text: str) -> dict[str, str]:
    """`cpu=00:00:03,mem=329142272`"""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name: value for name, _, value in pairs}


def _asked(text: str, nodes: int, cpus: int) -> int | None:
    """Bytes on each node that `ReqMem` asks for. Before 21.08 it was for each node (4Gn) or each CPU (2Gc)."""
    size = size_bytes(text.rstrip("nc"), 1024**2)
    if not size:
        return None
    if text.endswith("n"):
        return size
    return size * (cpus if text.endswith("c") else 1) // nodes


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
