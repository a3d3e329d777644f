"""What has come of a farm's tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Failed:
    """A task that failed, and the file with what it printed; '' where that was collected.

    Not `known`: its worker or node was lost, and how it ended with it.
    """

    index: int
    exit_code: int
    host: str
    error: str
    output: str
    known: bool = True


@dataclass
class Summary:
    """What has come of the tasks. `before` counts those that were done by an earlier farm."""

    total: int | None = None
    done: int = 0
    before: int = 0
    failed: int = 0
    failed_before: int = 0
    stopped: int = 0
    unknown: list[int] = field(default_factory=list)
    first_failed: list[Failed] = field(default_factory=list)
    running: int = 0
    seconds: float = 0.0
    reason: str = ""  # why not all were started; '' if all were

    @property
    def ended(self) -> int:
        """How many ended in this farm."""
        return self.done + self.failed

    @property
    def all_well(self) -> bool:
        """Whether each task was done, now or before."""
        return not (self.reason or self.failed or self.failed_before or self.stopped or self.unknown)

    @property
    def left(self) -> int | None:
        """How many have not begun, or were stopped; None where nobody knows how many there are."""
        if self.total is None:
            return None
        known = self.done + self.before + self.failed + self.failed_before + len(self.unknown)
        return max(0, self.total - known)


def told(summary: Summary) -> Mapping[str, Any]:
    """A summary as data."""
    return {
        "total": summary.total,
        "done": summary.done,
        "done_before": summary.before,
        "failed": summary.failed,
        "failed_before": summary.failed_before,
        "stopped": summary.stopped,
        "unknown": summary.unknown,
        "left": summary.left,
        "seconds": round(summary.seconds, 3),
        "tasks_per_s": round(summary.ended / summary.seconds, 1) if summary.seconds else 0.0,
        "reason": summary.reason,
        "first_failed": [vars(failed) for failed in summary.first_failed],
    }
