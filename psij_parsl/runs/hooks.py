"""What users call on a launch method though it is built upon launch methods: `runs/__init__.py` fills it in.

So `MPIRun` offers `for_site()` and makes a `Run` when it is called, and imports nothing that stands above it. Our own
code calls `selection.select_launch_method` and `planning.prepare_run` directly.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self


class RunHandle(Protocol):
    """What a launch method makes of a job: a `runs.run.Run`, where each of these is explained."""

    returncode: int | None

    @property
    def pid(self) -> int: ...
    def start(self, *, guarded: Callable[[int], None] | None = None) -> Self: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout_s: float | None = None) -> int | None: ...
    def tail(self, lines: int = 20, *, stderr: bool = False, rank: int = 0) -> str: ...
    def signal(self, number: int) -> None: ...
    def terminate(self, grace_s: float | None = None, *, number: int = ...) -> int: ...
    def kill(self) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


#: `selection.select_launch_method`, and `planning.prepare_run`.
select: Callable[..., Any]
prepare: Callable[..., RunHandle]
