"""What a job has used of what it holds, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..platforms.usage import Usage

_BUSY_PERCENT = 75  # below this it is said how many cores were busy


def cpu_words(usage: Usage) -> str:
    """`1m 32s of 4 cores x 1m 35s (24 %, about 1 core busy)`; `-` where nothing is known."""
    if usage.cpu_s is None:
        return "-"
    used = f"at least {span(usage.cpu_s)}" if usage.at_least else span(usage.cpu_s)
    if not usage.core_s:
        return f"{used}{_remarks(usage.at_least, _elements(usage))}"
    if usage.cores:
        cores = f"{usage.cores:g} core{'' if usage.cores == 1 else 's'} x {span(usage.core_s / usage.cores)}"
    else:
        cores = f"{span(usage.core_s)} of its cores"
    remarks = _remarks(_percent(usage.cpu_percent), _busy(usage), usage.at_least, _elements(usage))
    return f"{used} of {cores}{remarks}"


def memory_words(usage: Usage) -> str:
    """`812 MiB of 1 GiB (79 %, greatest node, an estimate)`; `-` where nothing is known."""
    from ..platforms.usage import MemoryOf

    if usage.memory_bytes is None:
        return "-"
    asked = f" of {size(usage.memory_asked_bytes)}" if usage.memory_asked_bytes else ""
    what = "" if usage.memory_of is MemoryOf.JOB else usage.memory_of.value
    element = "the element that used most" if usage.elements else ""
    return f"{size(usage.memory_bytes)}{asked}{_remarks(_percent(usage.memory_percent), what, element)}"


def _remarks(*texts: str) -> str:
    shown = ", ".join(filter(None, texts))
    return f" ({shown})" if shown else ""


def _percent(percent: float | None) -> str:
    return "" if percent is None else f"{percent:.0f} %" if percent >= 1 or not percent else "below 1 %"


def _busy(usage: Usage) -> str:
    """How many cores the job kept busy on average, where it held several and most of them were idle."""
    percent = usage.cpu_percent
    if not usage.cores or usage.cores < 2 or percent is None or percent >= _BUSY_PERCENT or usage.at_least:
        return ""
    busy = round(usage.cores * percent / 100)
    return f"about {busy} core{'' if busy == 1 else 's'} busy" if busy else ""


def _elements(usage: Usage) -> str:
    return f"{usage.elements} ended element{'' if usage.elements == 1 else 's'}" if usage.elements else ""


def span(seconds: float) -> str:
    """A length of time in two units: `0.25s`, `3.2s`, `45s`, `1m 32s`, `3h 05m`, `2d 4h`."""
    if seconds < 9.95:
        return f"{seconds:.2g}s" if seconds >= 0.005 else "0s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes}m {rest:02}s"
    return f"{hours}h {minutes:02}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"


def size(number: int) -> str:
    """An amount of memory: `12 KiB`, `812 MiB`, `1 GiB`, `1.5 GiB`."""
    units = ("KiB", "MiB", "GiB", "TiB")
    power = next((power for power in range(1, len(units)) if number / 1024**power < 1023.5), len(units))
    value, unit = number / 1024**power, units[power - 1]
    return f"{value:.1f}".removesuffix(".0") + f" {unit}" if value < 9.95 else f"{value:.0f} {unit}"
