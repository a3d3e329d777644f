"""Parsers of `qstat -f -F json`: jobs, queues and servers, one at a time.

States and substates: OpenPBS, src/include/job.h and pbs_ifl.h. The meaning of each end was seen on OpenPBS 23.06.06.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import Queue, SchedulerRecord
from psij_parsl.platforms.tools import without_host
from psij_parsl.states import EndReason, JobState, JobStatus

if TYPE_CHECKING:
    from psij_parsl.platforms.usage import Usage

Attributes = Mapping[str, Any]

STATES: Mapping[str, JobState] = {
    **dict.fromkeys("QHWTM", JobState.QUEUED),  # queued, held, waiting, in transit, moved (see `MOVED`)
    **dict.fromkeys("RBESU", JobState.ACTIVE),  # running, array begun, exiting, suspended
}
MOVED = "M"  # to another server: this server's answer says nothing about the job's state
ENDED = frozenset("FX")  # finished; a finished element of an array that has not ended
DELETED = 91  # the substate of a job that somebody deleted
#: Exit statuses below 0 are PBS's own (job.h, JOB_EXEC_*).
REASONS: Mapping[int, EndReason] = {
    **dict.fromkeys((-1, -2, -3, -7, -10, -13, -16, -17, -18, -19, -21, -22, -23, -30), EndReason.LAUNCH_FAILED),
    **dict.fromkeys((-4, -5, -6, -14, -20), EndReason.NODE_FAILURE),  # its node, or PBS there, went away
    **dict.fromkeys((-26, -27), EndReason.OUT_OF_MEMORY),
    **dict.fromkeys((-28, -29), EndReason.TIMEOUT),  # CPU time, wall time
}
_MESSAGES: Mapping[int, str] = {
    -24: "used more CPUs at once than it asked for",
    -25: "used more CPU time than its CPUs",
}
_SIGNALS = 256  # exit statuses above are signals
_FOLLOWS = re.compile(r"\bafter\w*:")  # in `depend`, whose other kinds are about jobs that follow this one
_GAVE_UP = re.compile(r"too many failed attempts to run")  # after 20 starts that failed; it stays in state H
TAG = "PSIJ_JOB_TAG"  # the variable in which our tag is, by which a job is recognized


# ---- text to pieces --------------------------------------------------------------------------------------------

_DOCUMENT_BEGINS = re.compile(r"^\{", re.MULTILINE)
_JOB_BEGINS = re.compile(r'^[ \t]+"(\d+(?:\[\d*\])?\.[^"\s]+)":[ \t]*(?=\{[ \t\r]*$)', re.MULTILINE)
_ATTRIBUTE = re.compile(r'^([ \t]+)"([A-Za-z_]+)":[ \t]*(?=["\d-])(.*?),?[ \t\r]*$', re.MULTILINE)
_TAGGED = re.compile(rf'"{TAG}":\s*"(psij:[\w-]+)"')
_tolerant = json.JSONDecoder(strict=False)  # a line break inside a string is accepted


def jobs(text: str) -> Iterator[tuple[str, Attributes | str]]:
    """Each job's id and attributes; where these are no valid JSON (odd numbers, quotes), the job's text.

    Raises `Unavailable` for an answer that is cut short: a job that is missing in it may well exist. What a site's
    wrapper prints before or after the JSON document is passed over.
    """
    first = _DOCUMENT_BEGINS.search(text)
    begin = first.start() if first is not None else 0
    try:
        document, _ = _tolerant.raw_decode(text, begin)
        yield from document.get("Jobs", {}).items()  # without a job there is no such key
        return
    except ValueError:
        if first is None or not text.rstrip().endswith("\n}"):
            raise Unavailable(
                "qstat's answer is cut short", output=text[-500:], hint="it is asked again later"
            ) from None
        job_keys = [*_JOB_BEGINS.finditer(text, begin)]
    for number, job_key in enumerate(job_keys):
        try:
            yield job_key[1], _tolerant.raw_decode(text, job_key.end())[0]
        except ValueError:
            yield (
                job_key[1],
                text[job_key.end() : job_keys[number + 1].start() if number + 1 < len(job_keys) else None],
            )


def recovered(text: str) -> Attributes:
    """Those of a job's attributes that can be read in invalid JSON. Raises `ValueError` if they show no state or end."""
    attributes: dict[str, Any] = {}
    indent = None
    for match in _ATTRIBUTE.finditer(text):
        indent = indent or match[1]
        if match[1] == indent:  # deeper are resources, and variables, whose names may be anything
            try:
                attributes.setdefault(match[2], _tolerant.decode(match[3]))
            except ValueError:
                continue
    if "job_state" not in attributes:
        raise ValueError("no job_state")
    if attributes["job_state"] in ENDED and "substate" not in attributes:
        raise ValueError("no substate, which decides how it ended")
    if tagged := _TAGGED.search(text):
        attributes["Variable_List"] = {TAG: tagged[1]}
    return attributes


# ---- a piece to a record ---------------------------------------------------------------------------------------


def read_job(
    piece: tuple[str, Attributes | str], owner: str = "", *, used_so_far: bool = False
) -> SchedulerRecord | None:
    """A job's record; None for a job of another owner, and for one without a usable status.

    What the job has used is read if it has ended, or with `used_so_far`.
    """
    job_id, attributes = piece
    job = recovered(attributes) if isinstance(attributes, str) else attributes
    if owner and not str(job.get("Job_Owner", owner)).startswith(f"{owner}@"):
        return None
    get = job.get
    code = get("Exit_status")
    job_status = status(
        get("job_state", ""),
        get("substate"),
        int(code) if code is not None else None,
        str(get("comment", "")),
        get("exec_host", ""),
        int(get("run_count", 0)),
        get("stime", ""),
        get("obittime", ""),
        get("Hold_Types", ""),
        get("depend", ""),
    )
    if job_status is None:
        return None
    if job_status.state is JobState.QUEUED and "estimated" in job:
        job_status = replace(job_status, expected=_estimate(job["estimated"]))
    variables = get("Variable_List", {})
    tag = variables.get(TAG, "") if isinstance(variables, dict) else ""
    return SchedulerRecord(
        job_id,
        job_status,
        tag,
        _time(str(get("ctime", ""))),
        without_host(str(get("Output_Path", ""))),
        moved=job_status.native == MOVED,
        leftover=job_status.native == "H" and job_status.final,
        usage=_used(job) if used_so_far or job_status.final else None,
    )


def _used(job: Attributes) -> Usage | None:
    from .._pbs_family.usage import used

    resources, asked = job.get("resources_used"), job.get("Resource_List")
    if not isinstance(resources, dict):
        return None
    cores = resources.get("ncpus")
    hosts = {part.partition("/")[0] for part in str(job.get("exec_host", "")).split("+")}
    return used(
        resources,
        cores=cores if isinstance(cores, int) else None,
        memory_asked=str(asked.get("mem", "")) if isinstance(asked, dict) else "",
        nodes=len(hosts),
    )


@lru_cache(maxsize=32768)
def status(
    letter: str,
    substate: int | None,
    code: int | None,
    comment: str,
    exec_host: str,
    runs: int,
    started: str,
    ended: str,
    holds: str,
    depend: str,
) -> JobStatus | None:
    """A job's status from its attributes; None where they do not show it."""
    message = _message(comment)
    if letter == "H" and "s" in holds and _GAVE_UP.search(comment):
        return JobStatus(JobState.FAILED, letter, reason=EndReason.LAUNCH_FAILED, message=message)
    if letter not in ENDED:
        state = STATES.get(letter, JobState.UNKNOWN)
        held = letter == "H" and any(kind in holds for kind in "uop")
        if letter == "H" and depend and not held and not message:
            message = f"waits for {depend}"
        active = state is JobState.ACTIVE
        return JobStatus(
            state,
            letter,
            message=message,
            nodes=nodes(exec_host) if active else "",
            attempt=max(0, runs - active),
            started=_time(started) if active else None,
            held=held,
        )
    state = JobState.FAILED
    reason: EndReason | None = None
    number: int | None = None
    if comment == "Subjob finished" and not exec_host:
        return None  # PBS has dropped this element's attributes and shows the array's, exit status included
    if code is None:
        if substate != DELETED and not (_FOLLOWS.search(depend) and not started):
            return None
        state = JobState.CANCELED
        if substate != DELETED:
            reason, message = EndReason.DEPENDENCY, message or f"PBS deleted it: {depend} cannot be met"
    elif code < 0:
        reason, message = REASONS.get(code), message or _MESSAGES.get(code, f"PBS's exit status {code}")
        code = None
    elif substate == DELETED:
        preempted = "preempt" in comment.lower()
        state, reason = (JobState.FAILED, EndReason.PREEMPTED) if preempted else (JobState.CANCELED, None)
        code = None
    elif code == 0:
        state = JobState.COMPLETED
    elif code >= _SIGNALS:
        number, code = code - _SIGNALS, None
    return JobStatus(
        state, letter, code, number, reason, message, nodes(exec_host), max(0, runs - 1), _time(started), _time(ended)
    )


_RUN = re.compile(r"Job (?:run at|Array Began at) .*?(?: on \(.*\))?(?: and (.*))?$")


def _message(comment: str) -> str:
    """The comment without what repeats the state: when and where the job began, that it finished or failed."""
    match = _RUN.match(comment)
    if match is None:
        return comment
    return "" if match[1] in (None, "finished", "failed") else match[1]


@lru_cache(maxsize=4096)
def nodes(exec_host: str) -> str:
    """`node01/0*8+node02/0*8` is node01,node02."""
    return ",".join(dict.fromkeys(part.partition("/")[0] for part in exec_host.split("+"))) if exec_host else ""


_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


@lru_cache(maxsize=32768)
def _time(text: str) -> float | None:
    """`Sat Nov 21 21:34:27 2026`, in this host's time zone."""
    try:
        _, month, day, clock, year = text.split()
        hours, minutes, seconds = clock.split(":")
        number = _MONTHS.index(month) // 3 + 1
        return time.mktime((int(year), number, int(day), int(hours), int(minutes), int(seconds), 0, 0, -1))
    except (ValueError, OverflowError):
        return None


def _estimate(estimated: object) -> float | None:
    """When the scheduler expects a job to start, where it says so: as a text, or as seconds since the epoch."""
    start = estimated.get("start_time") if isinstance(estimated, dict) else None
    if type(start) is int and 0 < start < 1e11:
        return float(start)
    return _time(start) if isinstance(start, str) else None


def read_end(piece: tuple[str, Attributes | str]) -> float | None:
    """When a running job's wall time ends; None for a job that does not run, or has no limit."""
    attributes = piece[1]
    if isinstance(attributes, str):
        raise ValueError("no JSON")
    began, limit = _time(attributes.get("stime", "")), attributes.get("Resource_List", {}).get("walltime")
    return None if began is None or limit is None else began + _seconds(limit)


# ---- queues ----------------------------------------------------------------------------------------------------


def queues(text: str) -> Iterator[tuple[str, Attributes]]:
    """Each queue of `qstat -Qf -F json`."""
    document, _ = _tolerant.raw_decode(text, max(0, text.find("{")))
    yield from document.get("Queue", {}).items()


def servers(text: str) -> Iterator[Attributes]:
    """Each server of `qstat -Bf -F json`."""
    document, _ = _tolerant.raw_decode(text, max(0, text.find("{")))
    yield from document.get("Server", {}).values()


def read_default_queue(attributes: Attributes) -> str | None:
    """The queue of jobs that name none, from a server's attributes."""
    return attributes.get("default_queue")


def read_queue(piece: tuple[str, Attributes]) -> Queue:
    """A queue and its limits; `up` is whether jobs that are put there will run."""
    name, attributes = piece
    maximum, minimum = attributes.get("resources_max", {}), attributes.get("resources_min", {})
    up = attributes.get("enabled") == "True" and attributes.get("started") == "True"
    return Queue(
        name,
        up,
        False,
        _integer(maximum.get("nodect")),
        _minutes(maximum.get("walltime")),
        _integer(minimum.get("nodect")),
    )


def _integer(value: Any) -> int | None:
    return int(value) if value is not None else None


def _minutes(clock: str | None) -> int | None:
    return None if clock is None else _seconds(clock) // 60


def _seconds(clock: str) -> int:
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return (hours * 60 + minutes) * 60 + seconds
