"""`logs`: what jobs have written."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT
from typing import Annotated

import typer

from ...errors import Error, InvalidRequest
from ...jobs.job_folder import outputs
from ...jobs.record import JobRecord
from ...jobs.verdict import manager_log
from ...platforms.templates.validators import non_negative_int
from ...signals import received_signal, registered, should_exit
from ...states import JobState, JobStatus
from ..arguments import AnyJobs, count, needed
from ..job_table import Found, JobRow, JobTable
from ..output import Renderer
from ..output_stream import Pump, Sink, Spinner, Tail
from .job_actions import all_final


def logs(
    ctx: typer.Context,
    jobs: AnyJobs = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Show more as it comes, until its end.")] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="Its stderr instead of its stdout.")] = False,
    manager: Annotated[bool, typer.Option("--manager", help="What the resource manager itself wrote.")] = False,
    lines: Annotated[
        str | None, typer.Option("-n", "--lines", metavar="COUNT", help="The last COUNT lines.", show_default=False)
    ] = None,
) -> int:
    """Show what a job has written."""
    out: Renderer = ctx.obj
    last = count(lines, "-n", non_negative_int)
    if manager and stderr:
        raise InvalidRequest("--stderr and --manager are two different files", hint="say one of them")
    table = JobTable()
    found = table.find(needed(jobs, "logs"), elements=True)
    rows = [(row, _file(table, row, stderr=stderr, manager=manager)) for row in table.poll(found, urgent=True)]
    if follow:
        code = _follow(table, found, [_tail(row, path, last, label=len(rows) > 1) for row, path in rows])
        if not code:
            paths = [path for _, path in rows]
            _written(list(zip(table.poll(found), paths, strict=True)))
        return code
    written = _written(rows)
    for number, (row, path) in enumerate(written):
        if len(rows) > 1:
            out.out.write(f"{chr(10) if number else ''}==> {row.id}: {path} <==\n")
        tail, sink = _tail(row, path, last)
        while data := tail.read():
            sink.write(data)
    return 0


def _written(rows: Sequence[tuple[JobRow, Path]]) -> Sequence[tuple[JobRow, Path]]:
    """Those that have written something. Raises `Error` where there is none."""
    written = [(row, path) for row, path in rows if _begun(row) and path.exists()]
    if rows and not written:
        raise _nothing(*rows[0])
    return written


def _begun(row: JobRow) -> bool:
    return row.status.state >= JobState.ACTIVE or os.path.lexists(row.entry.element_folder(row.key) / "claim")


def _tail(row: JobRow, path: Path, lines: int | None, *, label: bool = False) -> tuple[Tail, Sink]:
    tail = Tail(path)
    if _begun(row):  # otherwise the file is not the job's yet
        tail.begin(lines)
    return tail, Sink(sys.stdout, f"[{row.id}] " if label else "")


def _file(table: JobTable, row: JobRow, *, stderr: bool, manager: bool) -> Path:
    entry, key = row.entry, row.key
    if manager and not entry.attached:
        return manager_log(entry, key)
    job = table.journal.job(entry, key)
    if job is None:
        raise Error(
            f"nothing is known of the output of job {entry.id}: {_unknown(entry)}",
            hint=f"`psij-run info {entry.id}` shows what is known",
        )
    path = outputs(entry.element_folder(key), key, job)[1 if stderr else 0]
    if path.exists() and not path.is_file():
        raise Error(
            f"{path}, where job {entry.id} writes, is no file that can be shown again: it is {_kind(path)}",
            hint="whoever reads from there has what it wrote; submit with -o FILE to keep it",
        )
    return path


def _unknown(entry: JobRecord) -> str:
    """Why it is not known where a job writes."""
    if not entry.folder.is_dir():
        return f"its folder {entry.folder} is gone"
    if os.path.lexists(entry.folder / "job.json"):
        return f"{entry.folder / 'job.json'} cannot be read"
    return "it was not submitted from here"


def _kind(path: Path) -> str:
    kinds = (
        (path.is_dir, "a directory"),
        (path.is_fifo, "a pipe"),
        (path.is_socket, "a socket"),
        (path.is_char_device, "a device"),
        (path.is_block_device, "a disk"),
    )
    return next((word for is_one, word in kinds if is_one()), "something else")


def _nothing(row: JobRow, path: Path) -> Error:
    """Why there is no output."""
    status = row.status
    if status.state is JobState.ACTIVE:
        return Error(
            f"job {row.id} has started, and its output is not there yet", hint=f"`psij-run logs -f {row.id}` waits"
        )
    if not status.final:
        why = f": {row.why}" if row.why else ""
        return Error(
            f"job {row.id} has not started, so it has no output yet (it is {status.state.name}{why})",
            hint=f"`psij-run logs -f {row.id}` waits for it",
        )
    if status.started is None and status.state is JobState.CANCELED:
        return Error(
            f"job {row.id} was cancelled before it wrote anything", hint=f"`psij-run info {row.id}` tells more"
        )
    hint = f"`psij-run info {row.id}` tells more"
    if manager_log(row.entry, row.key).exists():
        hint = f"`psij-run logs --manager {row.id}` shows what the resource manager wrote"
    return Error(f"there is no {path}: job {row.id} ended {status.describe()}", hint=hint)


def gone(pump: Pump) -> OSError | None:
    """Why there is nobody to show anything to."""
    return pump.error or (pump.lost[0][1] if pump.lost else None)


def _follow(table: JobTable, found: Found, tails: Sequence[tuple[Tail, Sink]]) -> int:
    pump = Pump(tails, Spinner(sys.stderr))
    pump.start()

    def done(statuses: Sequence[JobStatus]) -> bool:
        waiting = [status for status in statuses if status.state < JobState.ACTIVE]
        text = f"{waiting[0].state.name} {waiting[0].message}" if waiting else ""
        pump.waiting = text if len(waiting) == len(statuses) else None
        return all_final(statuses) or gone(pump) is not None

    with registered():
        try:
            for executor, group in table.groups(found):
                executor.wait_until(group, done)
                if should_exit() or gone(pump):
                    break
        finally:
            pump.waiting = None
            pump.finish()
        if error := gone(pump):
            raise error
        return 128 + (received_signal() or SIGINT) if should_exit() else 0
