"""Parsers of `flux jobs --json` and `flux queue list`.

States, results and return codes: https://flux-framework.readthedocs.io/projects/flux-core/en/latest/man1/flux-jobs.html
Each kind of end was seen on flux-core 0.88.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import Queue, SchedulerRecord
from psij_parsl.states import EndReason, JobState, JobStatus
from psij_parsl.system.job_names import MANAGER_LOG

from .ids import f58, number

Fields = Mapping[str, Any]

STATES: Mapping[str, JobState] = {
    **dict.fromkeys(("NEW", "DEPEND", "PRIORITY", "SCHED"), JobState.QUEUED),
    **dict.fromkeys(("RUN", "CLEANUP"), JobState.ACTIVE),
    "COMPLETED": JobState.COMPLETED,
    **dict.fromkeys(("FAILED", "TIMEOUT"), JobState.FAILED),
    **dict.fromkeys(("CANCELED", "CANCELLED"), JobState.CANCELED),
}
#: Types of the exception that ended a job.
REASONS: Mapping[str, EndReason] = {
    **dict.fromkeys(("alloc", "prolog"), EndReason.LAUNCH_FAILED),  # alloc: the request can never be satisfied
    "dependency": EndReason.DEPENDENCY,
    "node-failure": EndReason.NODE_FAILURE,
    "preempt": EndReason.PREEMPTED,
    "timeout": EndReason.TIMEOUT,
}
_NODE_FAILURE = re.compile(r"node failure|lost contact")
_NOT_STARTED = (126, 127)  # return codes with an exception of the type exec: there was nothing to run
TAG = re.compile(r"psij:[0-9A-Za-z]+$")  # at the end of the job's name
_OUR_FOLDER = re.compile(r".*/(?=[a-z]*[0-9])[0-9a-z]{10}")
_BEGIN = re.compile(r"^\{", re.MULTILINE)


# ---- text to pieces --------------------------------------------------------------------------------------------


def jobs(text: str) -> Iterator[Any]:
    """Each job's fields. Flux prints `{"jobs": [...]}`, and the job alone if it was asked about exactly one id.

    Raises `Unavailable` for an answer that is cut short. What stands before or after the document is passed over.
    """
    begin = _BEGIN.search(text)
    try:
        document, _ = json.JSONDecoder(strict=False).raw_decode(text, begin.start() if begin is not None else 0)
    except ValueError:
        raise Unavailable(
            "the answer of flux jobs is cut short", output=text[-500:], hint="it is asked again later"
        ) from None
    if "id" in document or "jobid" in document:
        yield document
    else:
        yield from document["jobs"]


# ---- a piece to a record ---------------------------------------------------------------------------------------


def read_job(job: Fields) -> SchedulerRecord:
    """A job's record. Raises `ValueError` for one without an id or a state."""
    job_id = number(str(job.get("id") or job.get("jobid")))
    if job_id is None:
        raise ValueError("no id")
    name, folder = _text(job.get("name")), _text(job.get("cwd"))
    tag = match[0] if (match := TAG.search(name)) else ""
    # We submit in the job's own folder. Another program's job may have been submitted in a folder with such a name.
    ours = tag or _OUR_FOLDER.fullmatch(folder)
    return SchedulerRecord(
        f58(job_id),
        status(job),
        tag,
        _time(job.get("t_submit")),
        f"{folder}/{MANAGER_LOG}" if folder and ours else "",
        foreign=not ours and bool(name or folder),
    )


def status(job: Fields) -> JobStatus:
    """A job's status from its fields."""
    native = _text(job.get("status")) or _text(job.get("state"))
    if native == "INACTIVE":
        native = _text(job.get("result"))
    if not native:
        raise ValueError("no status")
    state = STATES.get(native, JobState.UNKNOWN)
    if state is JobState.QUEUED:
        expected = _time(_of_scheduler(job).get("t_estimate"))
        return JobStatus(state, native, message=_waits_for(job), held=job.get("urgency") == 0, expected=expected)
    code, number, reason, message = _end(job, state, native) if state.final else (None, None, None, "")
    return JobStatus(
        state,
        native,
        code,
        number,
        reason,
        message,
        _text(job.get("nodelist")),
        started=_time(job.get("t_run")),
        ended=(_time(job.get("t_cleanup")) or _time(job.get("t_inactive"))) if state.final else None,
    )


def _end(job: Fields, state: JobState, native: str) -> tuple[int | None, int | None, EndReason | None, str]:
    """The exit code, signal, reason and message of a job that has ended.

    A job that an exception ended has a return code as well, which is not the script's: 1 if it never started, else
    that of the signal by which Flux ended it. Only one of the type exec comes with the script's own.
    """
    kind, note = _exception(job)
    code = job.get("returncode")
    code = code if type(code) is int else None
    reason = EndReason.TIMEOUT if native == "TIMEOUT" else None
    if state is JobState.FAILED and reason is None:
        reason = EndReason.NODE_FAILURE if kind and _NODE_FAILURE.search(note) else REASONS.get(kind)
        if kind == "exec" and code in _NOT_STARTED:
            reason = EndReason.LAUNCH_FAILED
    plain = state is JobState.FAILED and native != "TIMEOUT" and kind in ("", "exec")
    if not (plain or state is JobState.COMPLETED) or reason is EndReason.NODE_FAILURE or code == -128:
        code = None
    message = ": ".join(filter(None, (kind if kind not in ("cancel", "timeout", "exec") else "", note)))
    if code is not None and code < 0:
        return None, -code, reason, message
    return code, None, reason, message


def _exception(job: Fields) -> tuple[str, str]:
    """The type and the note of the exception that ended the job; '' if none did. Only severity 0 ends a job."""
    exception = job.get("exception")
    if not isinstance(exception, dict) or not exception.get("occurred"):
        return "", ""
    kind, note = _text(exception.get("type")), _text(exception.get("note"))
    return (kind, note) if exception.get("severity") == 0 or kind == "node-failure" else ("", "")


def _waits_for(job: Fields) -> str:
    """Why a job waits, where Flux shows it."""
    if dependencies := _text(job.get("dependencies")):
        return f"waits for {dependencies}"
    if job.get("priority") == 0 and job.get("urgency") != 0:
        return "its priority is 0, so that it does not start"
    return _text(_of_scheduler(job).get("reason_pending"))


def _of_scheduler(job: Fields) -> Fields:
    """What the scheduler has noted about a job."""
    annotations = job.get("annotations")
    scheduler = annotations.get("sched") if isinstance(annotations, dict) else None
    return scheduler if isinstance(scheduler, dict) else {}


def _text(value: Any) -> str:
    """A text, or a list of texts with commas; '' for all else."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else ""


def _time(value: Any) -> float | None:
    """Seconds since the epoch; 0 is none."""
    seconds = float(value) if isinstance(value, int | float | str) and value else 0.0
    return seconds if seconds > 0 and math.isfinite(seconds) else None


def read_end(job: Fields) -> float | None:
    """When a running job's wall time ends; None for a job that does not run, or has no limit."""
    return _time(job.get("expiration")) if _text(job.get("state")) == "RUN" else None


# ---- queues ----------------------------------------------------------------------------------------------------

#: The columns of `flux queue list` that we ask for. The last has the default queue's name with an asterisk; the names
#: of the others are repeated in it, so that a line which is cut short is none.
QUEUE_COLUMNS = (
    "queue",
    "enabled",
    "started",
    "limits.min.nnodes",
    "limits.max.nnodes",
    "limits.timelimit",
    "queuem",
)
_YES = frozenset(("✔", "y"))


def read_queue(line: str) -> Queue | None:
    """A queue and its limits, from its line; None for the one queue of a Flux without named queues."""
    name, enabled, started, least, most, limit, marked = line.split("|")
    if marked not in (name, f"{name}*"):
        raise ValueError("the line is cut short")
    seconds, nodes = float(limit or "inf"), float(most or "inf")
    return (
        Queue(
            name,
            enabled in _YES and started in _YES,
            marked != name,
            int(nodes) if math.isfinite(nodes) else None,
            int(seconds) // 60 if 0 < seconds < math.inf else None,
            int(least) if least.isdecimal() and int(least) > 0 else None,
        )
        if name
        else None
    )
