"""What jobs have used, by the tables of `qacct -j`: one of each job, and one of each of its processes on other nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from psij_parsl.platforms.usage import MemoryOf, UsageRecord, held, size_bytes

from .records import RESCHEDULED, Fields, check_whole, read_ended, tables

_RESERVED = 0.01  # by which a CPU time may differ from slots times seconds, and still be computed from them


def tables_by_job(text: str) -> list[list[Fields]]:
    """The tables of each job or task, of its last attempt; that of its script is the last one."""
    by_job: dict[tuple[str, ...], list[Fields]] = {}
    check_whole(text)
    for key, fields in tables(text):
        earlier = by_job.setdefault(key, [])
        if earlier and _failed(earlier[-1]) in RESCHEDULED:
            earlier.clear()
        earlier.append(fields)
    return list(by_job.values())


def read_usage(job: Sequence[Fields]) -> UsageRecord | None:
    """What a job has used; None where its last attempt was to be followed by another one."""
    record = read_ended(job[-1])
    if record is None:
        return None
    started, ended = record.status.started, record.status.ended
    elapsed = ended - started if started is not None and ended is not None else None
    usage = replace(
        held(float(job[-1].get("slots", "0")), elapsed),
        cpu_s=sum(map(_cpu_seconds, job)) or None,
        memory_bytes=max(size_bytes(fields.get("ru_maxrss", "")) or 0 for fields in job) or None,
        memory_of=MemoryOf.PROCESS,
    )
    return UsageRecord(record.id, usage, submitted=record.submitted)


def _cpu_seconds(fields: Fields) -> float:
    """CPU time; where the manager is set to charge what was reserved (ACCT_RESERVED_USAGE), what the processes used."""
    charged, slots, elapsed = (_number(fields, name) for name in ("cpu", "slots", "ru_wallclock"))
    used = _number(fields, "ru_utime") + _number(fields, "ru_stime")
    reserved = slots * elapsed
    return used if reserved and abs(charged - reserved) <= _RESERVED * reserved else charged


def _failed(fields: Fields) -> int:
    code = fields.get("failed", "").partition(":")[0].strip()
    return int(code) if code.isdecimal() else 0


def _number(fields: Fields, name: str) -> float:
    """`0.009s`, `4`; 0 for another text."""
    try:
        return float(fields.get(name, "0").removesuffix("s"))
    except ValueError:
        return 0.0
