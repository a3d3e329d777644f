"""What a farm runs, how that ended, and what runs it: the words that its engines share."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import LaunchError


@dataclass(frozen=True, slots=True)
class Task:
    """One command of many. Small, and picklable.

    `environment` is added to that of whatever runs the task; stdin is empty unless `stdin` names a file. Output goes
    into files, made anew: the farm itself prints what is to be collected. An empty `stderr` goes where stdout goes,
    an empty `stdout` nowhere.
    """

    number: int
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a task ended: its exit code, 128 + the signal that ended it; when, in seconds since the epoch.

    `error` says why it did not start, or why nobody knows how it ended (then it is not `known`); its `exit_code` is
    125 then (or as a shell has it: 126 for what may not be executed, 127 for what is not found).
    """

    number: int
    exit_code: int
    host: str
    began: float
    ended: float
    error: str = ""
    known: bool = True


class EngineEnded(LaunchError):
    """An engine cannot go on. `began`: a task that has this for an end may have begun."""

    def __init__(self, message: str, *, hint: str = "", began: bool) -> None:
        super().__init__(message, hint=hint)
        self.began = began


class Engine(Protocol):
    """Runs tasks on the cores and GPUs that it was made with: each one on its own, as many at once as there is room.

    `start` returns at once; a farm never has more than `at_once` tasks with an engine, which may change: 0 while it
    starts. Its future has a `TaskEnd` and no exception, save for what the engine cannot go on after: an error of ours,
    an `EngineEnded` where that is known. `signal` reaches all that run.
    `close` waits for what runs, or with `kill` ends it (KILL) and waits; afterwards none of it is left on any node.
    """

    @property
    def at_once(self) -> int: ...

    def start(self, task: Task) -> Future[TaskEnd]: ...

    def signal(self, number: int) -> None: ...

    def close(self, *, kill: bool) -> None: ...
