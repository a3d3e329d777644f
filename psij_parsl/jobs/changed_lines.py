"""The option lines of a script for its own manager, after some of what they say was changed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..job import Job
from ..platforms.directives.script import ScriptLines
from ..platforms.registry import platform

_SIZE = frozenset({"num_nodes", "ranks", "ranks_per_node"})
_GPUS = frozenset({"gpus", "gpus_per_node", "gpus_per_rank", "gpu_kind"})
_MEMORY = frozenset({"memory", "memory_per_node", "memory_per_rank", "memory_per_core", "memory_per_gpu"})
#: Fields that have another name than the word of an option.
_FIELDS = {"gpus": "gpus_per_node", "memory": "memory_per_node", "memory_per_rank": "memory_per_core"}


def without_changed(manager: str, job: Job, changed: Collection[str], parameters: Collection[str]) -> dict[str, Any]:
    """The fields `option_lines` and `implied` of a job without what says these fields and parameters."""
    implied = {name for name in job.implied if name not in changed}
    if not job.option_lines:
        return {"implied": tuple(sorted(implied))}
    taken = set(changed)
    for group in (_SIZE, _GPUS, _MEMORY):
        if not group.isdisjoint(changed):
            taken |= group
    lines = ScriptLines(platform(manager), "".join(f"{line}\n" for line in job.option_lines))
    before, after = lines.passed_on((), ()), lines.passed_on(taken, parameters)
    gone = {_FIELDS.get(word, word) for word in before.words - after.words}
    if not _SIZE.isdisjoint(gone) and _SIZE.isdisjoint(after.words):
        gone |= _SIZE
    return {"option_lines": after.lines, "implied": tuple(sorted(implied - gone))}
