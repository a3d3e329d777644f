"""The option lines of a script for its own manager, after some of what they say was changed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..job import Job
from ..platforms.directives.script import ScriptLines
from ..platforms.directives.words import FIELDS, GPUS, MEMORY, SHAPE
from ..platforms.registry import platform


def without_changed(manager: str, job: Job, changed: Collection[str], parameters: Collection[str]) -> dict[str, Any]:
    """The fields `option_lines` and `implied` of a job without what says these fields and parameters."""
    implied = {name for name in job.implied if name not in changed}
    if not job.option_lines:
        return {"implied": tuple(sorted(implied))}
    taken = set(changed)
    for group in (SHAPE, GPUS, MEMORY):
        if not group.isdisjoint(changed):
            taken |= group
    lines = ScriptLines(platform(manager), "".join(f"{line}\n" for line in job.option_lines))
    before, after = lines.passed_on((), ()), lines.passed_on(taken, parameters)
    gone = {FIELDS.get(word, word) for word in before.words - after.words}
    if not SHAPE.isdisjoint(gone) and SHAPE.isdisjoint(after.words):
        gone |= SHAPE
    return {"option_lines": after.lines, "implied": tuple(sorted(implied - gone))}
