"""`info`: everything on record about a job."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...jobs.job_folder import claimed_by, outputs, outputs_of_each
from ...jobs.verdict import manager_log
from ...system.files import end_of_log
from ...system.id_ranges import format_ranges
from ..command import Command, Invocation
from ..flags import JSON
from ..job_row import JobRow
from ..job_table import JobTable
from ..output import Column, Renderer, length, moment
from ..selectors import ANY_JOBS, required
from ..usage_words import cpu_words, memory_words

if TYPE_CHECKING:
    from ...platforms.usage import Usage


def _attempts_text(attempts: Sequence[dict[str, Any]]) -> str:
    """One attempt on each line."""
    texts = (f"{one['id']}{' of ' * bool(one['array'])}{one['array']} {one['ended_as']}" for one in attempts)
    return "\n".join(texts)


_LINES = (
    Column("id", "job"),
    Column("name", "name"),
    Column("ended_as", "state"),
    Column("hint", "hint"),
    Column("native_id", "native id"),
    Column("native_state", "native state"),
    Column("platform", "platform"),
    Column("site", "site"),
    Column("cluster", "cluster"),
    Column("command_line", "command"),
    Column("script_copy", "script's copy"),
    Column("directory", "directory"),
    Column("asked", "asked for"),
    Column("array", "array"),
    Column("elements", "elements"),
    Column("after", "after"),
    Column("attempts", "attempts", _attempts_text),
    Column("submitted", "submitted", moment),
    Column("started", "started", moment),
    Column("ended", "ended", moment),
    Column("queue_s", "waited", length),
    Column("run_s", "ran", length),
    Column("cpu_used", "cpu used"),
    Column("memory_used", "memory used"),
    Column("nodes", "nodes"),
    Column("requeued", "requeued"),
    Column("cancel_asked", "cancel asked", moment),
    Column("twins", "second copies"),
    Column("folder", "folder"),
    Column("script", "script"),
    Column("stdout", "stdout"),
    Column("stderr", "stderr"),
    Column("stdout_of_each", "stdout of each"),
    Column("stderr_of_each", "stderr of each"),
    Column("log", "manager's log"),
    Column("log_end", "its end"),
)
_LOG_LINES = 10
_SHAPE = {
    "num_nodes": "nodes",
    "ranks": "ranks",
    "ranks_per_node": "ranks per node",
    "cpus_per_rank": "cores per rank",
    "threads_per_core": "threads per core",
    "gpus_per_rank": "GPUs per rank",
    "gpus_per_node": "GPUs per node",
    "gpu_kind": "GPUs of kind",
    "memory_per_node": "MB per node",
    "memory_per_core": "MB per core",
    "memory_per_gpu": "MB per GPU",
    "wall_time_min": "minutes",
    "queue": "queue",
    "project": "project",
    "job_mode": "mode",
    "launcher": "launcher",
    "compat": "stand-ins of",
    "array_limit": "elements at a time",
    "begin": "begin",
    "signal_before_end": "warned by",
}
_ALWAYS = ("num_nodes", "ranks_per_node", "wall_time_min", "job_mode")


def _info(out: Renderer, invocation: Invocation) -> int:
    table = JobTable()
    rows = table.poll(table.find(required(invocation.arguments, "info")), urgent=True)
    for note in table.notes:
        out.note(note)
    records = [_record(table, row) | _used(row, usage) for row, usage in zip(rows, table.usages(rows), strict=True)]
    if out.json and len(records) != 1:
        out.table((), records)
        return 0
    for position, record in enumerate(records):
        if position:
            out.out.write("\n")
        out.record(record, _LINES)
    return 0


def _record(table: JobTable, row: JobRow) -> dict[str, Any]:
    entry, key = row.entry, row.key if row.key != "*" else ""
    record = row.data(time.time())
    job = table.journal.job(entry, key)
    record |= {
        "ended_as": row.status.describe() if row.status.final else f"{row.status.state.name} {row.why}".strip(),
        "requeued": row.status.attempt or None,
        "twins": list(entry.twins),
        "run": entry.run,
        "claim": claimed_by(entry.element_folder(key)),
        "cancel_asked": entry.cancelled.get(key) or entry.cancelled.get("*"),
        "script": _existing(entry.folder / "script.sh"),
        "log": _existing(manager_log(entry, key)),
        "log_end": end_of_log(manager_log(entry, key), _LOG_LINES) if row.status.final and not entry.attached else "",
        "command": None,
        "command_line": entry.command,
        "directory": None,
        "asked": "",
        "job": None,
        "resubmitted_as": [],
        "attempts": [],
        "array": format_ranges(sorted(entry.array)) if entry.array else "",
        "elements": "",
        "stdout": None,
        "stderr": None,
        "stdout_of_each": None,
        "stderr_of_each": None,
        "script_copy": None,
    }
    attempts = _attempts(table, row)
    record |= {
        "resubmitted_as": [one["id"] for one in attempts if one["resubmitted_from"] == row.id],
        "attempts": attempts,
    }
    if entry.array and not key:
        record["elements"] = row.status.message
    if job is None:
        return record
    copy = ""
    if job.script:
        from ..jobscript import copy_in

        copy = copy_in(job.command)
    job_data = job.to_dict()
    job_data["environment"] = sorted(job.environment)  # names only: the values may be secret
    asked = _asked(job_data)
    asked += [f"{name}={value}" for name, value in job.parameters.items()]
    record |= {
        "command": list(job.command),
        "command_line": shlex.join(job.script if word == copy else word for word in job.command),
        "script_copy": copy or None,
        "directory": str(job.directory),
        "asked": ", ".join(asked),
        "job": job_data,
        "after": list(job.after),
    }
    if key or not entry.array:
        stdout, stderr = outputs(entry.element_folder(key), key, job)
        record |= {"stdout": str(stdout), "stderr": str(stderr)}
    else:
        out_of_each, err_of_each = outputs_of_each(entry.folder, job)
        record |= {"stdout_of_each": out_of_each, "stderr_of_each": err_of_each}
    return record


def _used(row: JobRow, usage: Usage) -> dict[str, Any]:
    """What the job has used, as figures and in words; nothing of one that has not started."""
    if not usage.known and row.status.started is None:
        return {"usage": None, "cpu_used": "", "memory_used": ""}
    figures = usage.to_dict() if usage.known else None
    return {"usage": figures, "cpu_used": cpu_words(usage), "memory_used": memory_words(usage)}


def _asked(job_data: dict[str, Any]) -> list[str]:
    """What the job asks for, as far as it is more than the least; nothing of what is left to the manager."""
    found = []
    for name, label in _SHAPE.items():
        value = job_data[name]
        if name == "memory_per_node" and value == 0:
            found.append("all memory of each node")
        elif name == "ranks_per_node" and job_data["ranks"]:
            continue  # the most that a node has
        elif value not in (None, "") and (name in _ALWAYS or value not in (0, 1) or name == "array_limit"):
            found.append(f"{label} {value}")
    return found


def _attempts(table: JobTable, row: JobRow) -> list[dict[str, Any]]:
    """All attempts at the job or element, the oldest first; none if there is only this one."""
    own_key = row.key if row.key not in ("", "*") else ""
    records = [one for one in table.journal.attempts(row.entry) if not own_key or own_key in one.keys]
    if len(records) < 2:
        return []
    rows = table.poll([(one, own_key or ("*" if one.array else "")) for one in records])
    return [
        {
            "id": one.id,
            "state": one.status.state.name,
            "ended_as": one.status.describe() if one.status.final else one.status.state.name,
            "array": format_ranges(sorted(one.entry.array)) if one.entry.array and not own_key else "",
            "resubmitted_from": one.resubmitted_from,
        }
        for one in rows
    ]


def _existing(path: Any) -> str | None:
    return str(path) if path.exists() else None


INFO = Command(
    "info",
    "Show everything that is known about a job.",
    _info,
    (JSON,),
    ANY_JOBS,
    details="Its command, script, files, states and times, why it ended, and what it used of its cores and memory.",
    examples=("psij-run info last",),
)
