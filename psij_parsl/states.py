"""Job status: the state, the reason for an end, and how two reports are merged.

The state model is that of the PSI/J specification, https://exaworks.org/job-api-spec/specification.html
"""

from __future__ import annotations

import signal as _signal
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import Any


class JobState(IntEnum):
    """State of a job. NEW < QUEUED < ACTIVE < an end. UNKNOWN is the lowest, so that it never replaces another."""

    UNKNOWN = 0
    NEW = 1
    QUEUED = 2
    ACTIVE = 3
    COMPLETED = 4
    FAILED = 5
    CANCELED = 6

    @property
    def final(self) -> bool:
        return self >= JobState.COMPLETED


class EndReason(Enum):
    """Why a job did not end well. The value is the hint that a person can act on."""

    TIMEOUT = "it ran out of wall time: ask for more with -t, or save its state before the end"
    OUT_OF_MEMORY = "it used more memory than it had: ask for more with --mem, or use fewer ranks per node"
    NODE_FAILURE = "a node died under it, which is not the job's fault: submit it again"
    PREEMPTED = "a more urgent job took its place: submit it again, or use a queue that is not preempted"
    LAUNCH_FAILED = (
        "it never started: see to its setup, and that its directory, input and output files exist where it runs"
    )
    DEADLINE = "it could not end before its deadline"
    DEPENDENCY = "a job that it was to follow did not end as required: look at that one with `psij-run info`"
    DUPLICATE = "a second copy of the same submission, ended before it did anything: nothing is to be done"
    LOST = "nobody knows how it ended: look at its output with `psij-run logs`, then submit it again if need be"

    @property
    def hint(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One report of a job's state.

    `native` is the manager's own state, `message` its reason (or our own) as text; `exit_code` and `signal` are
    those of the job's script; `attempt` counts requeues from 0; times are seconds since the epoch. `expected` is when
    the manager expects a job that waits to start, where it says so.
    """

    state: JobState = JobState.NEW
    native: str = ""
    exit_code: int | None = None
    signal: int | None = None
    reason: EndReason | None = None
    message: str = ""
    nodes: str = ""
    attempt: int = 0
    started: float | None = None
    ended: float | None = None
    held: bool = False
    expected: float | None = None

    @property
    def final(self) -> bool:
        return self.state.final

    @property
    def exit_status(self) -> int | None:
        """The exit code as a shell has it, 128 + n for a signal; None when the job has none of its own."""
        if self.signal:
            return 128 + self.signal
        return self.exit_code

    def then(self, new: JobStatus) -> JobStatus:
        """The status after a further report: an end stays, UNKNOWN changes nothing, a state never goes back.

        The one exception to the last is a requeue: the manager says that a job which ran is queued once more
        (`attempt` has grown). To callers it stays ACTIVE until it ends; `native` and `message` tell.
        """
        if self.final or new.state is JobState.UNKNOWN:
            return self
        if new.state < self.state:
            attempt, message = max(self.attempt, new.attempt), new.message
            if attempt and new.state is JobState.QUEUED:
                message = f"in the queue again{f': {message}' if message not in ('', 'None') else ''}"
            return replace(self, native=new.native, message=message, held=new.held, attempt=attempt)
        complete = (new.nodes or not self.nodes) and (new.started or not self.started)
        if complete and new.attempt >= self.attempt:
            return new
        return replace(
            new,
            nodes=new.nodes or self.nodes,
            started=new.started or self.started,
            attempt=max(self.attempt, new.attempt),
        )

    def describe(self) -> str:
        """One line for people: FAILED, exit code 137 (likely SIGKILL)."""
        parts = [self.state.name]
        if self.state is JobState.FAILED or self.state is JobState.CANCELED:
            if self.reason:
                parts.append(self.reason.name)
            if self.signal:
                parts.append(f"signal {signal_name(self.signal)}")
            elif self.exit_code:
                likely = signal_name(self.exit_code - 128) if 128 < self.exit_code < 128 + 65 else ""
                parts.append(f"exit code {self.exit_code}" + (f" (likely {likely})" if likely else ""))
        if self.message and self.message not in ("None",):
            parts.append(self.message)
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data = {name: getattr(self, name) for name in _FIELDS}  # a fifth of the time that `asdict` takes
        data["state"] = self.state.name
        data["reason"] = self.reason.name if self.reason else None
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> JobStatus:
        """The inverse of `to_dict`; keys of a later version are passed over."""
        known = data.keys() <= _FIELDS.keys()
        values = dict(data) if known else {key: value for key, value in data.items() if key in _FIELDS}
        values["state"] = JobState[values.get("state", "UNKNOWN")]
        values["reason"] = EndReason[values["reason"]] if values.get("reason") else None
        return cls(**values)


_FIELDS = dict.fromkeys(JobStatus.__dataclass_fields__)  # in order, and found quickly


def sound(status: JobStatus) -> bool:
    """Whether every field of a status that was read from a file or an answer has a valid type and value."""
    numbers = (status.exit_code, status.signal)
    times = (status.started, status.ended, status.expected)
    return (
        isinstance(status.state, JobState)
        and isinstance(status.reason, EndReason | None)
        and all(isinstance(text, str) for text in (status.native, status.message, status.nodes))
        and all(number is None or (type(number) is int and abs(number) < 2**32) for number in numbers)
        and all(time is None or (isinstance(time, int | float) and 0 <= time <= 1e11) for time in times)
        and isinstance(status.held, bool)
        and type(status.attempt) is int
        and 0 <= status.attempt < 2**32
    )


def signal_name(number: int) -> str:
    """9 -> SIGKILL; an unknown number stays one."""
    try:
        return _signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
