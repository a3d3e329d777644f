"""`logs`: the output of jobs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT

from ...errors import Error, InvalidRequest
from ...jobs.verdict import manager_log
from ...signals import received_signal, registered, should_exit
from ...states import JobState, JobStatus
from ...validators import non_negative_int
from ..command import Command, Invocation
from ..flags import Flag
from ..job_outcome import all_final
from ..job_output import has_started, output_file
from ..job_row import JobRow
from ..job_table import JobTable, Selection
from ..output import Renderer
from ..output_stream import Pump, Sink, Spinner, Tail
from ..selectors import ANY_JOBS, required


def _logs(out: Renderer, invocation: Invocation) -> int:
    values = invocation.values()
    last_lines, stderr, manager = values.get("lines"), "stderr" in values, "manager" in values
    if manager and stderr:
        raise InvalidRequest("--stderr and --manager are two different files", hint="use one of them")
    table = JobTable()
    jobs = table.find(required(invocation.arguments, "logs"), elements=True)
    rows = [(row, output_file(table, row, stderr=stderr, manager=manager)) for row in table.poll(jobs, urgent=True)]
    if "follow" in values:
        exit_code = _follow(table, jobs, [_tail(row, path, last_lines, label=len(rows) > 1) for row, path in rows])
        if not exit_code:
            paths = [path for _, path in rows]
            _written(list(zip(table.poll(jobs), paths, strict=True)))
        return exit_code
    for number, (row, path) in enumerate(_written(rows)):
        if len(rows) > 1:
            out.out.write(f"{chr(10) if number else ''}==> {row.id}: {path} <==\n")
        tail, sink = _tail(row, path, last_lines)
        while data := tail.read():
            sink.write(data)
    return 0


def _written(rows: Sequence[tuple[JobRow, Path]]) -> Sequence[tuple[JobRow, Path]]:
    """Those that have written something. Raises `Error` where there is none."""
    written = [(row, path) for row, path in rows if has_started(row) and path.exists()]
    if rows and not written:
        raise _no_output(*rows[0])
    return written


def _tail(row: JobRow, path: Path, lines: int | None, *, label: bool = False) -> tuple[Tail, Sink]:
    tail = Tail(path)
    if has_started(row):  # otherwise the file is not the job's yet
        tail.begin(lines)
    return tail, Sink(sys.stdout, f"[{row.id}] " if label else "")


def _no_output(row: JobRow, path: Path) -> Error:
    """Why there is no output."""
    status = row.status
    if status.state is JobState.ACTIVE:
        return Error(
            f"job {row.id} has started, but its output file does not exist yet",
            hint=f"`psij-run logs -f {row.id}` waits for it",
        )
    if not status.final:
        why = f": {row.why}" if row.why else ""
        return Error(
            f"job {row.id} has not started, so it has no output yet (it is {status.state.name}{why})",
            hint=f"`psij-run logs -f {row.id}` waits for it",
        )
    if status.started is None and status.state is JobState.CANCELED:
        return Error(
            f"job {row.id} was cancelled before it wrote anything", hint=f"`psij-run info {row.id}` shows more"
        )
    hint = f"`psij-run info {row.id}` shows more"
    if manager_log(row.entry, row.key).exists():
        hint = f"`psij-run logs --manager {row.id}` shows what the resource manager wrote"
    return Error(f"there is no {path}: job {row.id} ended {status.describe()}", hint=hint)


def _stdout_error(pump: Pump) -> OSError | None:
    """Why our stdout cannot be written, if so."""
    return pump.error or (pump.lost[0][1] if pump.lost else None)


def _follow(table: JobTable, jobs: Selection, tails: Sequence[tuple[Tail, Sink]]) -> int:
    pump = Pump(tails, Spinner(sys.stderr))
    pump.start()

    def done(statuses: Sequence[JobStatus]) -> bool:
        waiting = [status for status in statuses if status.state < JobState.ACTIVE]
        text = f"{waiting[0].state.name} {waiting[0].message}" if waiting else ""
        pump.waiting = text if len(waiting) == len(statuses) else None
        return all_final(statuses) or _stdout_error(pump) is not None

    with registered():
        try:
            for executor, group in table.groups(jobs):
                executor.wait_until(group, done)
                if should_exit() or _stdout_error(pump):
                    break
        finally:
            pump.waiting = None
            pump.finish()
        if error := _stdout_error(pump):
            raise error
        return 128 + (received_signal() or SIGINT) if should_exit() else 0


LOGS = Command(
    "logs",
    "Show the output of a job.",
    _logs,
    (
        Flag("follow", ("-f", "--follow"), "", "Keep showing new output until the job has ended.", switch=True),
        Flag("stderr", ("--stderr",), "", "Show stderr instead of stdout.", switch=True),
        Flag("manager", ("--manager",), "", "Show the resource manager's own messages about the job.", switch=True),
        Flag("lines", ("-n", "--lines"), "COUNT", "Show only the last COUNT lines.", non_negative_int),
    ),
    ANY_JOBS,
    examples=("psij-run logs -f last", "psij-run logs --stderr -n 20 3kq0v5d2mp"),
)
