"""Which jobs differ so little that they can be one job array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..job import Job


def alike_jobs(jobs: Sequence[Job], most: int) -> Iterator[Sequence[int]]:
    """Group jobs that can be one job array, with at most `most` elements: gives the positions of each group."""
    groups: dict[str, list[int]] = {}
    for position, job in enumerate(jobs):
        groups.setdefault(_common(job) if not job.array else f"array {position}", []).append(position)
    for positions in groups.values():
        for start in range(0, len(positions), most):
            yield positions[start : start + most]


def _common(job: Job) -> str:
    """The properties that all jobs of one array must share, as text for comparison."""
    return repr(
        replace(
            job, command=("x",), name="", directory=Path("/"), environment={}, stdin=None, stdout=None, stderr=None
        )
    )
