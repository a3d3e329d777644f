"""The `Scheduler` of the local manager: the same argv and records as for any other manager, run in this process."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psij_parsl.dependency import BY_ELEMENT, DEPENDENCY_KINDS
from psij_parsl.platforms.queries import ErrorPattern, Query, Queue, SchedulerRecord
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.signals import should_exit
from psij_parsl.states import EndReason, JobState, JobStatus
from psij_parsl.system.commands import Output, Runner
from psij_parsl.system.files import home as default_home

from . import manager
from .records import CANCELLED, DONE, FAILED, HELD, LOST, NEVER_SATISFIED, QUEUED, RUNNING, TIMEOUT, parse_row
from .store import LockWait

log = logging.getLogger(__name__)

STATES: Mapping[str, JobState] = {
    QUEUED: JobState.QUEUED,
    HELD: JobState.QUEUED,
    RUNNING: JobState.ACTIVE,
    DONE: JobState.COMPLETED,
    FAILED: JobState.FAILED,
    TIMEOUT: JobState.FAILED,
    LOST: JobState.FAILED,
    CANCELLED: JobState.CANCELED,
}
REASONS: Mapping[str, EndReason] = {TIMEOUT: EndReason.TIMEOUT, LOST: EndReason.LOST}


def record(row: Mapping[str, Any]) -> SchedulerRecord:
    """One job as the manager lists it."""
    native, text = row["state"], row["reason"]
    reason = REASONS.get(native)
    if native == CANCELLED and text == NEVER_SATISFIED:
        reason = EndReason.DEPENDENCY
    elif native == FAILED and text.startswith("LaunchFailed"):
        reason = EndReason.LAUNCH_FAILED
    own = native in (DONE, FAILED)
    status = JobStatus(
        STATES.get(native, JobState.UNKNOWN),
        native,
        row["exit"] if own else None,
        row["signal"] if own else None,
        reason,
        text,
        row["host"],
        0,
        row["started"],
        row["ended"],
        native == HELD,
    )
    usage = None
    if row["cpu"] is not None:
        from psij_parsl.platforms.usage import Usage

        usage = Usage(cpu_s=row["cpu"], memory_bytes=row["memory"])
    return SchedulerRecord(row["id"], status, row["tag"], row["submitted"], usage=usage)


class _InterruptibleLockWait(LockWait):
    """Waits as the rest of the product does: the lock's holder is logged, and the first Ctrl-C ends the wait."""

    def report(self, text: str) -> None:
        log.warning("%s", text)

    def sleep_interrupted(self, seconds: float) -> bool:
        return should_exit(seconds)


class LocalScheduler(Scheduler):
    """The scheduler of this host."""

    commands = ()
    keep_env = ("PSIJ_LOCAL_*",)
    drop_env = (
        "PSIJ_LOCAL_JOB_ID",
        "PSIJ_LOCAL_ARRAY_INDEX",
        "PSIJ_LOCAL_CORES",
        "PSIJ_LOCAL_ATTEMPT",
        "PSIJ_LOCAL_END",
        "PSIJ_LOCAL_TOKEN",
    )
    node_env = ("*",)
    tells_usage = True
    poll_s = 0.5
    dependencies = (*DEPENDENCY_KINDS, BY_ELEMENT)
    early_poll_delays_s = (0.05, 0.4, 1.5, 5.0)
    error_patterns = (
        ErrorPattern(r"asks for \d+ cores", limit="cpus_per_rank", hint="ask for fewer ranks or cores"),
        ErrorPattern(r"asks for \d+ MB of memory", limit="memory_per_node", hint="ask for less with --mem"),
        ErrorPattern(r"^no such job", limit="after", hint="see that the job which it is to follow exists"),
        ErrorPattern(r""),  # it runs within this process: after any error it has not accepted the job
    )

    def __init__(self, run: Runner | None = None, home: Path | None = None) -> None:
        self.home = home or default_home()
        super().__init__(run or self._run)

    def _run(self, argv: Sequence[str], *, timeout_s: float | None = None, cwd: str | None = None) -> Output:
        began = time.monotonic()
        rc, out, errors = manager.main(
            argv[1:], environ=self.given(os.environ), cwd=cwd, lock_wait=_InterruptibleLockWait()
        )
        return Output(tuple(argv), rc, out, errors, time.monotonic() - began)

    def given(self, environ: Mapping[str, str]) -> dict[str, str]:
        """As in the base class, with the folder of its state, unless PSIJ_LOCAL_HOME names another."""
        return {**super().given(environ), "PSIJ_PARSL_HOME": str(self.home)}

    def submit_argv(self, script: Path) -> Sequence[str]:
        return ["psij-local", "submit", "--output", str(script.parent / "manager.log"), str(script)]

    def job_id(self, stdout: str) -> str:
        return stdout.strip()

    def live(self) -> Query:
        return Query(["psij-local", "list"], lambda line: record(parse_row(line)))

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        return (Query(["psij-local", "show", "--json", *ids], record, split=json.loads, answers=(0, 1)),)

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["psij-local", "cancel", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        return {line.rpartition(" ")[2] for line in output.stderr.splitlines() if line.startswith("no such job: ")}

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["psij-local", "hold", *ids]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["psij-local", "release", *ids]

    def signal_argv(self, job_id: str, signal: str) -> Sequence[str]:
        return ["psij-local", "signal", job_id, signal]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["psij-local", "extend", job_id, str(minutes * 60)]

    def queues(self) -> list[Queue]:
        """This host is one queue without a name."""
        return []

    def cluster(self, environ: Any) -> str:
        """The manager's own directory, where it is not the usual one."""
        return os.path.abspath(own) if (own := environ.get("PSIJ_LOCAL_HOME")) else ""
