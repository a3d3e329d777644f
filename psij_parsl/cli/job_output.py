"""Where the output of a job is."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import Error
from ..jobs.job_folder import outputs
from ..jobs.record import JobRecord
from ..jobs.verdict import manager_log
from ..states import JobState
from .job_row import JobRow
from .job_table import JobTable


def has_started(row: JobRow) -> bool:
    """Whether what is in its output files is the job's: it has started, whatever the manager says."""
    return row.status.state >= JobState.ACTIVE or os.path.lexists(row.entry.element_folder(row.key) / "claim")


def output_file(table: JobTable, row: JobRow, *, stderr: bool, manager: bool) -> Path:
    """Where a job writes, or the manager about it. Raises `Error` if that is not known, or cannot be read again."""
    entry, key = row.entry, row.key
    if manager and not entry.attached:
        return manager_log(entry, key)
    job = table.journal.job(entry, key)
    if job is None:
        raise Error(
            f"it is not known where job {entry.id} writes its output: {_why_unknown(entry)}",
            hint=f"`psij-run info {entry.id}` shows what is known",
        )
    path = outputs(entry.element_folder(key), key, job)[1 if stderr else 0]
    if path.exists() and not path.is_file():
        raise Error(
            f"{path}, where job {entry.id} writes, is not a file that can be read again: it is {_kind(path)}",
            hint="its output went to the reader of that; submit with -o FILE to keep it",
        )
    return path


def _why_unknown(entry: JobRecord) -> str:
    """Why it is not known where a job writes its output."""
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
    return next((name for is_kind, name in kinds if is_kind()), "something else")
