"""What jobs have used of what they hold: CPU time and memory, and the efficiency that follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, NamedTuple


class MemoryOf(Enum):
    """What a figure of memory is of. The value is the same in words."""

    JOB = "in all"
    NODE = "greatest node, an estimate"
    FIRST_NODE = "first node only"
    PROCESS = "largest process only"
    ADDRESSES = "address space"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job, or an element of an array, has used of what it holds. None is what is not known.

    - `cpu_s`: CPU seconds of its processes, in user and system mode.
    - `core_s`: cores that it holds, times the seconds for which it has held them. `cores`: how many these are, where
      that is one number. A core counts once, whatever its hardware threads, unless the job asked for threads.
    - `memory_bytes`, `memory_asked_bytes`: the greatest use of memory, and what was asked for; both of what
      `memory_of` says.
    - `at_least`: why `cpu_s` may leave out processes; '' if it has all.
    - `elements`: how many elements of an array the figures are summed over, the memory being of the greatest; 0 for
      a job, or one element.
    """

    cpu_s: float | None = None
    core_s: float | None = None
    cores: float | None = None
    memory_bytes: int | None = None
    memory_asked_bytes: int | None = None
    memory_of: MemoryOf = MemoryOf.JOB
    at_least: str = ""
    elements: int = 0

    @property
    def cpu_percent(self) -> float | None:
        """The efficiency: CPU time of the time that the cores were held."""
        return None if self.cpu_s is None or not self.core_s else 100 * self.cpu_s / self.core_s

    @property
    def memory_percent(self) -> float | None:
        """Memory used, of that asked for."""
        if self.memory_bytes is None or not self.memory_asked_bytes:
            return None
        return 100 * self.memory_bytes / self.memory_asked_bytes

    @property
    def complete(self) -> bool:
        """Whether all figures are known that say what was used."""
        return None not in (self.cpu_s, self.core_s, self.memory_bytes)

    @property
    def known(self) -> bool:
        """Whether any figure is known that says what was used."""
        return self.cpu_s is not None or self.memory_bytes is not None

    def or_else(self, other: Usage) -> Usage:
        """These figures, and those of another answer about the same job where they are not known."""
        filled = self
        if self.cpu_s is None:
            filled = replace(filled, cpu_s=other.cpu_s, at_least=other.at_least)
        if self.core_s is None:
            filled = replace(filled, core_s=other.core_s, cores=other.cores)
        if self.memory_bytes is None:
            filled = replace(filled, memory_bytes=other.memory_bytes, memory_of=other.memory_of)
        if self.memory_asked_bytes is None and filled.memory_of is other.memory_of:
            filled = replace(filled, memory_asked_bytes=other.memory_asked_bytes)
        return filled

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with what follows from the figures."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        figures = {name: getattr(self, name) for name in ("cpu_s", "core_s", "cpu_percent", "memory_percent")}
        rounded = {name: None if value is None else round(value, 3) for name, value in figures.items()}
        return {**data, **rounded, "memory_of": self.memory_of.name.lower()}

    def to_plain(self) -> dict[str, Any]:
        """Data for the journal: the figures that are known."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        data["memory_of"] = self.memory_of.name if self.memory_of is not MemoryOf.JOB else None
        return {name: value for name, value in data.items() if value}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Usage | None:
        """The inverse of `to_plain`; None if a value is of a wrong type. Figures of a later version are ignored."""
        values = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        try:
            memory_of = MemoryOf[values.pop("memory_of", MemoryOf.JOB.name)]
        except (KeyError, TypeError):
            return None
        at_least = str(values.pop("at_least", ""))
        if not all(_is_figure(value) for value in values.values()):
            return None
        return cls(**values, at_least=at_least, memory_of=memory_of)


class UsageRecord(NamedTuple):
    """One job in a manager's answer about what jobs have used.

    `final`: the figures do not change any more. `submitted` is the manager's own time of the submission.
    """

    id: str
    usage: Usage
    final: bool = True
    submitted: float | None = None


def held(cores: float | None, seconds: float | None) -> Usage:
    """The figures of a job that has held so many cores for so long."""
    if not cores or not seconds or seconds < 0:
        return Usage()
    return Usage(core_s=cores * seconds, cores=cores)


def total(parts: Sequence[Usage]) -> Usage:
    """The figures of an array: sums over the elements of which both CPU time and cores are known.

    The memory is that of the element that used the greatest part of what it asked for.
    """
    whole = [part for part in parts if part.cpu_s is not None and part.core_s]
    with_memory = [part for part in parts if part.memory_bytes is not None]
    most = max(with_memory, key=lambda part: (part.memory_percent or 0.0, part.memory_bytes or 0), default=Usage())
    return Usage(
        sum(part.cpu_s or 0.0 for part in whole) if whole else None,
        sum(part.core_s or 0.0 for part in whole) if whole else None,
        None,
        most.memory_bytes,
        most.memory_asked_bytes,
        most.memory_of,
        next((part.at_least for part in whole if part.at_least), ""),
        len(whole) or len(with_memory),
    )


def clock_seconds(text: str) -> float | None:
    """Seconds of `1-02:03:04`, `1:02:03:04`, `02:03:04.500`, `03:04.5`; None for another text."""
    try:
        parts = [float(part) for part in text.replace("-", ":", 1).split(":")]
    except ValueError:
        return None
    factors = (1, 60, 3600, 86400)
    seconds = sum(part * factor for part, factor in zip(reversed(parts), factors, strict=False))
    return seconds if 2 <= len(parts) <= len(factors) and _is_figure(seconds) else None


def size_bytes(text: str, unit: int = 1) -> int | None:
    """Bytes of `1024kb`, `1.5G`, `512M`; `unit` is what a number without a letter counts. None for another text."""
    word = text.strip().lower().removesuffix("b").removesuffix("i")
    factor = 1024 ** ("kmgtp".index(word[-1]) + 1) if word and word[-1] in "kmgtp" else 0
    try:
        size = float(word[:-1] if factor else word) * (factor or (1 if text.strip().lower().endswith("b") else unit))
    except ValueError:
        return None
    return round(size) if _is_figure(size) else None


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
