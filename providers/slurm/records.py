"""Slurm's own words as data: states, records of squeue, sacct and scontrol, partitions.

States: https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES and slurm_protocol_defs.c
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from psij_parsl.platforms.queries import Queue, SchedulerRecord
from psij_parsl.states import EndReason, JobState, JobStatus

_Q, _A, _C, _F, _X = JobState.QUEUED, JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELED

STATES: Mapping[str, JobState] = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "POWER_UP_NODE", "EXPEDITING"), _Q),
    **dict.fromkeys(("REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"), _Q),
    **dict.fromkeys(("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "STAGE_OUT", "RESIZING", "SIGNALING"), _A),
    "UPDATE_DB": _A,
    "COMPLETED": _C,
    "FAILED": _F,
    "CANCELLED": _X,
    "REVOKED": JobState.UNKNOWN,
}
_MOVED = frozenset(("REVOKED",))  # a sibling cluster of a federation has it
REASONS: Mapping[str, EndReason] = {
    "TIMEOUT": EndReason.TIMEOUT,
    "DEADLINE": EndReason.DEADLINE,
    "OUT_OF_MEMORY": EndReason.OUT_OF_MEMORY,
    "NODE_FAIL": EndReason.NODE_FAILURE,
    "BOOT_FAIL": EndReason.NODE_FAILURE,
    "PREEMPTED": EndReason.PREEMPTED,
    "LAUNCH_FAILED": EndReason.LAUNCH_FAILED,
    "RECONFIG_FAIL": EndReason.LAUNCH_FAILED,
}
HELD_STATES = frozenset(("REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"))
#: However a version writes it: JobHeldUser, JobHoldMaxRequeue, launch_failed_requeued_held, job requeued in held state.
_HELD = re.compile(r"held|JobHoldMaxRequeue", re.IGNORECASE)
#: Reasons that tell why a job ended. All others are why it waited, and stay when it is cancelled while it does.
_ENDED_BY = re.compile(
    r"TimeLimit|NodeDown|NodeFail\w*|OutOfMemory|DependencyNeverSatisfied|BadConstraints|SystemFailure|InvalidAccount"
    r"|InvalidQOS|InactiveLimit|DeadLine|Deadline|Prolog\w*|launch.failed.*|AccountNotAllowed|\w*BurstBuffer\w*|Raised.*"
    r"|Reservation\w*"
)
#: Reasons that say no more than the exit code and the signal. Before 23.02 a script that a signal ended had
#: JobLaunchFailure, since then it has RaisedSignal:9(Killed).
_EMPTY = re.compile(r"None|\(null\)|NonZeroExitCode|JobLaunchFailure|RaisedSignal:\d+(\(.*\))?")
_NEVER_STARTED = 53  # the signal that slurmd reports for a script it could not start


@lru_cache(maxsize=32768)
def status(
    native: str, exit_code: int | None, signal: int, nodes: str, message: str, attempt: int, started: str, ended: str
) -> JobStatus:
    """A status from Slurm's own words; `exit_code` and `signal` are the two halves of its exit status.

    A job that ended without ever having had a node is said to have started when it ended: it never did.
    """
    reason = REASONS.get(native)
    state = STATES.get(native, _F if reason else JobState.UNKNOWN)
    if state is _F and signal == _NEVER_STARTED:
        reason = EndReason.LAUNCH_FAILED
    if state is _X and message == "DependencyNeverSatisfied":  # "Dependency" alone is why it waited
        reason = EndReason.DEPENDENCY
    if _EMPTY.fullmatch(message) or (state.final and not _ENDED_BY.fullmatch(message)):
        message = ""
    had_nodes = state >= _A and bool(nodes or not state.final)
    own = state is _C or (state is _F and reason is None)  # the script's own end, not the manager's doing
    return JobStatus(
        state,
        native,
        exit_code=exit_code if own and not signal else None,
        signal=signal or None if own else None,
        reason=reason,
        message=message,
        nodes=nodes,
        attempt=attempt,
        started=read_time(started) if had_nodes else None,
        ended=read_time(ended) if state.final else None,
        held=native in HELD_STATES or (state is _Q and _HELD.search(message) is not None),
    )


@lru_cache(maxsize=32768)
def read_time(text: str) -> float | None:
    """`2026-11-26T04:02:58`, in this host's time zone; None for N/A, Unknown and None."""
    hour = _hour(text[:13])
    try:
        return None if hour is None else hour + int(text[14:16]) * 60 + int(text[17:19])
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _hour(text: str) -> float | None:
    try:
        return datetime.fromisoformat(f"{text}:00:00").timestamp()
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def exit_status(text: str) -> tuple[int | None, int]:
    """Slurm's exit status as (exit code, signal); (None, 0) where it is not known.

    `3:0` and `0:9` since 23.02 and in accounting; before, squeue printed the status of wait(2): `768` and `9`.
    """
    code, colon, signal = text.strip().partition(":")
    if not code.isdigit() or (colon and not signal.isdigit()):
        return None, 0
    return (int(code), int(signal)) if colon else (int(code) >> 8, int(code) & 127)


def _known(text: str) -> str:
    """A field's text; '' for the words by which Slurm says that there is none."""
    return "" if text in ("(null)", "None assigned", "N/A") else text


LIVE_FIELDS = (
    "State",
    "exit_code",
    "RestartCnt",
    "SubmitTime",
    "StartTime",
    "EndTime",
    "NodeList",
    "Comment",
    "StdOut",
)


def read_squeue(line: str, cluster: str = "") -> SchedulerRecord | None:
    """A line of `live()`; None for one that names the cluster alone.

    An element of an array has a number of its own, too, by which scancel knows it: 12_3/15. A foreign comment may hold
    anything, and so may the path that follows; the reason comes last.
    """
    if line.startswith("CLUSTER: ") or not line:
        return None
    job_id, native, code, restarts, submitted, started, ended, nodes, tag, rest = line.split("|", 9)
    job_id, _, number = job_id.partition("/")
    output, _, message = rest.rpartition("|")
    found = status(native, *exit_status(code), _known(nodes), message.rstrip(), int(restarts or 0), started, ended)
    alias = number if number != job_id else ""
    if cluster:
        job_id = _at(job_id, cluster)
    return SchedulerRecord(
        job_id, found, _known(tag), read_time(submitted), output, cluster, native in _MOVED, alias=alias
    )


def _at(job_id: str, cluster: str) -> str:
    """An id as it is kept: with the cluster, where one was named."""
    return f"{job_id};{cluster}" if cluster else job_id


HISTORY_FIELDS = "JobID,State,ExitCode,Submit,Start,End,NodeList,Comment,Reason"
SUBMIT_LINE = "SubmitLine"  # since 21.08; our tag stands in it, whether or not the site keeps comments
_TAG_IN_LINE = re.compile(r"--comment=(psij:\w+)")
#: How we submit, where something on the way took the tag out of it.
_OUR_LINE = re.compile(r"(\S*/)?sbatch --parsable( -M \S+)?( --comment=\S*)?( \S.*/script\.sh)?")


def read_sacct(line: str, cluster: str = "", *, commanded: bool = False) -> SchedulerRecord | None:
    """A line of accounting. It lags behind squeue, so only an end counts. `commanded`: the submit line is the last."""
    if not line:
        return None
    job_id, native, code, submitted, started, ended, nodes, tag, message = line.split("|", 8)
    foreign = False
    if commanded:
        message, _, command = message.partition("|")
        told = _TAG_IN_LINE.search(command)
        tag = told[1] if told else tag
        foreign = bool(command) and not _OUR_LINE.fullmatch(command)
    native = native.split()[0]  # "CANCELLED by 1001"
    found = status(native, *exit_status(code), _known(nodes), message, 0, started, ended)
    if not found.final and native not in _MOVED:
        return None
    return SchedulerRecord(
        _at(job_id, cluster), found, _known(tag), read_time(submitted), "", cluster, native in _MOVED, foreign=foreign
    )


def fields(line: str) -> dict[str, str]:
    """`Key=value` pairs of a line of `scontrol -o`; a value may hold blanks, but not ` Key=`."""
    parts = re.split(r"(?:^|\s)([A-Z][A-Za-z:/_.-]*)=", line)
    return {key: value.strip() for key, value in zip(parts[1::2], parts[2::2], strict=True)}


def read_scontrol(line: str, cluster: str = "") -> SchedulerRecord | None:
    """A line of `scontrol -o show job`."""
    if not line.strip() or "JobId=" not in line:
        return None
    data = fields(line)
    job_id = data["JobId"]
    if "ArrayJobId" in data and "ArrayTaskId" in data:
        job_id = f"{data['ArrayJobId']}_{data['ArrayTaskId']}"
    found = status(
        data["JobState"],
        *exit_status(data.get("ExitCode", "")),
        _known(data.get("NodeList", "")),
        data.get("Reason", ""),
        int(data.get("Restarts", 0)),
        data.get("StartTime", ""),
        data.get("EndTime", ""),
    )
    return SchedulerRecord(
        _at(job_id, cluster),
        found,
        _known(data.get("Comment", "")),
        read_time(data.get("SubmitTime", "")),
        _known(data.get("StdOut", "")),
        cluster,
        data["JobState"] in _MOVED,
    )


def read_partition(line: str) -> Queue | None:
    """A line of `scontrol -o show partition`."""
    if "PartitionName=" not in line:
        return None
    data = fields(line)

    def number(key: str) -> int | None:
        return int(data[key]) if data.get(key, "").isdigit() else None

    return Queue(
        data["PartitionName"],
        data.get("State") == "UP",
        data.get("Default") == "YES",
        number("MaxNodes"),
        _minutes(data.get("MaxTime", "")),
        number("MinNodes"),
    )


def _minutes(text: str) -> int | None:
    days, dash, clock = text.rpartition("-")
    try:
        hours, minutes, _ = (int(part) for part in clock.split(":"))
        return (int(days) if dash else 0) * 1440 + hours * 60 + minutes
    except ValueError:  # UNLIMITED, NONE
        return None
