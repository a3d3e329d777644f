"""What jobs have used, by the tables of `qacct -j`: one of each job, and one of each of its processes on other nodes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.usage import MemoryOf, UsageRecord, held

from .records import RESCHEDULED, Fields, read_ended, tables

_RESERVED = 0.01  # by which a CPU time may differ from slots times seconds, and still be computed from them


def tables_by_job(text: str) -> list[list[Fields]]:
    """The tables of each job or task, of its last attempt; that of its script is the last one.

    Raises `Unavailable` for an answer that ends within a table.
    """
    by_job: dict[tuple[str, ...], list[Fields]] = {}
    last = re.split(r"(?m)^=+$", text)[-1]  # where all jobs were asked about, a table of sums follows
    if not text.endswith("\n") or (not re.search(r"(?m)^category ", last) and not re.search(r"(?m)^OWNER ", text)):
        raise Unavailable("qacct's answer is cut short", output=text[-500:], hint="it is asked again later")
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
        memory_bytes=max(_size(fields.get("ru_maxrss", "")) for fields in job) or None,
        memory_of=MemoryOf.PROCESS,
    )
    return UsageRecord(record.id, usage, submitted=record.submitted)


def _cpu_seconds(fields: Fields) -> float:
    """CPU time; where the manager is set to charge what was reserved (ACCT_RESERVED_USAGE), what the processes used."""
    charged, slots, elapsed = (_number(fields, name) for name in ("cpu", "slots", "ru_wallclock"))
    used = _number(fields, "ru_utime") + _number(fields, "ru_stime")
    reserved = slots * elapsed
    return used if reserved and abs(charged - reserved) <= _RESERVED * reserved else charged


def _size(text: str) -> int:
    """Bytes of `4.797KB`, or `4797`. The figure counts KiB, and qacct shortens it as if it counted bytes."""
    match = re.fullmatch(r"([\d.]+)([KMG]?)B?", text)
    return round(float(match[1]) * 1000 ** " KMG".index(match[2] or " ") * 1024) if match else 0


def _failed(fields: Fields) -> int:
    code = fields.get("failed", "").partition(":")[0].strip()
    return int(code) if code.isdecimal() else 0


def _number(fields: Fields, name: str) -> float:
    """`0.009s`, `4`; 0 for another text."""
    try:
        return float(fields.get(name, "0").removesuffix("s"))
    except ValueError:
        return 0.0
