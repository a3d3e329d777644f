"""Parsers of `oarstat -J` and `oarstat -f -J`: jobs, one at a time.

Only the full form has a job's exit code and events, and without them nothing is said of an end (facts from OAR 2.5.9,
recorded and at work; other descriptions give them to the short form). States: OAR::IO and NodeChangeState of OAR.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.states import EndReason, JobState, JobStatus

Attributes = Mapping[str, Any]

STATES: Mapping[str, JobState] = {
    **dict.fromkeys(("Waiting", "Hold", "toAckReservation", "toLaunch", "Launching"), JobState.QUEUED),
    **dict.fromkeys(("Running", "Suspended", "Resuming", "Finishing"), JobState.ACTIVE),
}
ENDED = frozenset(("Terminated", "Error"))
#: The event by which OAR ends a job; what is asked for later comes too late.
_ENDS = ("SWITCH_INTO_TERMINATE_STATE", "SWITCH_INTO_ERROR_STATE")
_CANCEL, _RESUBMITTED = "FRAG_JOB_REQUEST", "RESUBMIT_JOB_AUTOMATICALLY"
#: Events of jobs in the state Error, and what they mean; the first that is there counts.
REASONS: Mapping[str, EndReason] = {
    "BESTEFFORT_KILL": EndReason.PREEMPTED,
    **dict.fromkeys(
        (
            "WORKING_DIRECTORY",
            "OUTPUT_FILES",
            "PROLOGUE_ERROR",
            "SERVER_PROLOGUE_ERROR",
            "SERVER_PROLOGUE_TIMEOUT",
            "SERVER_PROLOGUE_EXIT_CODE_ERROR",
            "CANNOT_WRITE_NODE_FILE",
            "CANNOT_WRITE_PID_FILE",
            "CANNOT_CREATE_TMP_DIRECTORY",
            "USER_SHELL",
            "CPUSET_MANAGER_FILE",
        ),
        EndReason.LAUNCH_FAILED,
    ),
    **dict.fromkeys(
        (
            "PING_CHECKER_NODE_SUSPECTED",
            "CPUSET_ERROR",
            "LAUNCHING_OAREXEC_TIMEOUT",
            "SSH_TRANSFER_TIMEOUT",
            "BAD_HASHTABLE_DUMP",
            "RESERVATION_NO_NODE",
        ),
        EndReason.NODE_FAILURE,
    ),
}
_TAG = re.compile(r"psij:[0-9a-zA-Z]+$")
_PLAIN_MESSAGE = re.compile(r"R=\d+,W=\S*( \(.*quota_ok\))?")  # what was asked for, and that nothing is wrong


def jobs(text: str) -> Iterator[tuple[str, Attributes]]:
    """Each job's id and attributes. For no jobs `oarstat` prints nothing at all.

    Lines before the document (a wrapper's) are passed over. Raises `Unavailable` for what is no JSON document, or a
    part of one: a job that is missing in it may well exist.
    """
    if not text.strip():
        return
    begin = re.search(r"^\{", text, re.MULTILINE)
    try:
        document, _ = json.JSONDecoder(strict=False).raw_decode(text, begin.start() if begin is not None else 0)
    except ValueError:
        raise Unavailable(
            "oarstat's answer is no JSON, or cut short", output=text[-500:], hint="it is asked again later"
        ) from None
    yield from document.items()


def read_job(piece: tuple[str, Attributes]) -> SchedulerRecord | None:
    """A job's record; None for one that OAR could not start, and has submitted again: see the job with the new id.

    Of an array's element it tells the failure all the same, for no element has a second id.
    """
    key, job = piece
    types = [str(event.get("type")) for event in _events(job)]
    if job["state"] == "Error" and _RESUBMITTED in types and "--array" not in str(job.get("initial_request")):
        return None
    job_id, place = str(job.get("Job_Id") or key), _number(job.get("array_index"))
    again = _number(job.get("resubmit_job_id"))  # OAR gives it the array's id of the job whose place it takes
    tagged = _TAG.search(str(job.get("name") or ""))
    return SchedulerRecord(
        job_id,
        status(job, types),
        tagged[0] if tagged is not None else "",
        _time(job.get("submissionTime")),
        str(job.get("stdout_file") or ""),
        whole=job_id if again else str(job.get("array_id") or job_id),  # a plain job is an array of one
        place=place - 1 if place else None,
    )


def status(job: Attributes, types: Sequence[str]) -> JobStatus:
    """A job's status from its attributes and the types of its events."""
    native, message = str(job["state"]), str(job.get("message") or "")
    started, nodes = _time(job.get("startTime")), job.get("assigned_network_address") or ()
    nodes = ",".join(nodes if isinstance(nodes, list) else str(nodes).replace("+", ",").split(","))
    message = "" if _PLAIN_MESSAGE.fullmatch(message) else message
    if native not in ENDED or "exit_code" not in job or "events" not in job:
        state = STATES.get(native, JobState.UNKNOWN)
        active = state is JobState.ACTIVE
        return JobStatus(
            state,
            native,
            message=message,
            nodes=nodes if active else "",
            started=started if active else None,
            held=native == "Hold",
        )
    code = _number(job["exit_code"])
    state, reason, text = _end(native, code, types, job)
    own = state is not JobState.CANCELED and reason is None and code is not None
    return JobStatus(
        state,
        native,
        exit_code=code >> 8 if own and code is not None and not code & 127 else None,
        signal=code & 127 or None if own and code is not None else None,
        reason=reason,
        message=text or message,
        nodes=nodes,
        started=started,
        ended=_time(job.get("stopTime")),
    )


def _end(
    native: str, code: int | None, types: Sequence[str], job: Attributes
) -> tuple[JobState, EndReason | None, str]:
    """How a job ended: its state, the reason, and OAR's own text where the manager ended it."""
    texts = dict(zip(types, (str(event.get("description") or "") for event in _events(job)), strict=True))
    end = min((types.index(event) for event in _ENDS if event in types), default=len(types))
    cancelled = _CANCEL in types[:end]
    if native == "Terminated" and code == 0:
        return JobState.COMPLETED, None, ""  # also where it ended by itself before a cancel reached it
    if native == "Terminated" and not cancelled:
        return (
            JobState.FAILED,
            None if code is not None else EndReason.LOST,
            "" if code is not None else "no exit code",
        )
    if "WALLTIME" in types and f"User {job.get('owner')} " not in texts.get(_CANCEL, ""):
        return JobState.FAILED, EndReason.TIMEOUT, texts["WALLTIME"]
    if found := next((event for event in REASONS if event in types), ""):
        return JobState.FAILED, REASONS[found], texts[found]
    if cancelled:
        return JobState.CANCELED, None, texts[_CANCEL]
    return JobState.FAILED, None, next((texts[event] for event in reversed(types) if event not in _ENDS), "")


def _events(job: Attributes) -> Sequence[Attributes]:
    """A job's events in the order in which they came."""
    events = [event for event in job.get("events") or () if isinstance(event, dict)]
    return sorted(events, key=lambda event: (_number(event.get("date")) or 0, _number(event.get("event_id")) or 0))


def read_end(piece: tuple[str, Attributes]) -> float | None:
    """When a running job's wall time ends; None for a job that does not run."""
    started, limit = _time(piece[1].get("startTime")), _number(piece[1].get("walltime"))
    return None if started is None or not limit or piece[1]["state"] in ENDED else started + limit


def _number(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


def _time(value: Any) -> float | None:
    """Seconds since the epoch; 0 is none."""
    return float(value) or None if value not in (None, "") else None
