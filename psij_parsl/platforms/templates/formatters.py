"""How each manager writes a wall time, a moment and a memory size: the filters of job templates.

Wall times come in as minutes, memory as MB (2**20 bytes): the one type that each has in this package.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any


def _number(value: Any, unit: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"takes a whole number of {unit}, not {value!r}")
    return value


def hms(minutes: int) -> str:
    """H:MM:SS, hours beyond 24 included: 90 is '1:30:00' (PBS, Grid Engine, Cobalt)."""
    hours, rest = divmod(_number(minutes, "minutes"), 60)
    return f"{hours}:{rest:02}:00"


def dhms(minutes: int) -> str:
    """D-HH:MM:SS, and under a day HH:MM:SS: 90 is '01:30:00', 1500 is '1-01:00:00' (Slurm)."""
    hours, rest = divmod(_number(minutes, "minutes"), 60)
    days, hours = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hours:02}:{rest:02}:00"


def hm(minutes: int) -> str:
    """H:MM: 90 is '1:30' (LSF)."""
    hours, rest = divmod(_number(minutes, "minutes"), 60)
    return f"{hours}:{rest:02}"


def minutes(minutes: int) -> int:
    """Whole minutes, as they are."""
    return _number(minutes, "minutes")


def seconds(minutes: int) -> int:
    """Seconds (Flux, HTCondor)."""
    return _number(minutes, "minutes") * 60


def mb(megabytes: int) -> int:
    """MB, as they are."""
    return _number(megabytes, "MB")


def gb(megabytes: int) -> int:
    """GB, rounded up."""
    return -(-_number(megabytes, "MB") // 1024)


def kb(megabytes: int) -> int:
    """KB."""
    return _number(megabytes, "MB") * 1024


def in_bytes(megabytes: int) -> int:
    """Bytes; the filter is called `bytes`."""
    return _number(megabytes, "MB") * 1024**2


def at(moment: str, format: str) -> str:
    """A moment, YYYY-MM-DDTHH:MM:SS, as `datetime.strftime` writes it; without seconds it is rounded up."""
    when = datetime.fromisoformat(str(moment))
    if not re.search("%[Ss]", format) and when.second:
        when += timedelta(seconds=60 - when.second)
    return str(int(when.timestamp())) if format == "%s" else when.strftime(format)


FORMATTERS: Mapping[str, Callable[..., str | int]] = {
    "at": at,
    "hms": hms,
    "dhms": dhms,
    "hm": hm,
    "minutes": minutes,
    "seconds": seconds,
    "mb": mb,
    "gb": gb,
    "kb": kb,
    "bytes": in_bytes,
}
"""Filter name -> function, as templates know them."""
