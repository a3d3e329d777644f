"""Parsers of squeue, sacct and scontrol: Slurm's job states, job records, partitions.

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
_MOVED = frozenset(("REVOKED",))  # a sibling cluster of the federation has the job
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
#: Reasons of held jobs, in all versions: JobHeldUser, JobHoldMaxRequeue, launch_failed_requeued_held, job requeued in
#: held state.
_HELD = re.compile(r"held|JobHoldMaxRequeue", re.IGNORECASE)
#: Reasons why a job ended. All others are reasons why it waited; they stay in the record of a job that was cancelled
#: while it waited.
_ENDED_BY = re.compile(
    r"TimeLimit|NodeDown|NodeFail\w*|OutOfMemory|DependencyNeverSatisfied|BadConstraints|SystemFailure|InvalidAccount"
    r"|InvalidQOS|InactiveLimit|DeadLine|Deadline|Prolog\w*|launch.failed.*|AccountNotAllowed|\w*BurstBuffer\w*|Raised.*"
    r"|Reservation\w*"
)
#: Reasons that add nothing to the exit code and the signal. A script that was ended by a signal had JobLaunchFailure
#: before 23.02, and has RaisedSignal:9(Killed) since then.
_EMPTY = re.compile(r"None|\(null\)|NonZeroExitCode|JobLaunchFailure|RaisedSignal:\d+(\(.*\))?")
_NEVER_STARTED = 53  # the signal that slurmd reports for a script it could not start


@lru_cache(maxsize=32768)
def status(
    native: str, exit_code: int | None, signal: int, nodes: str, message: str, attempt: int, started: str, ended: str
) -> JobStatus:
    """A job's status from the fields of its record; `exit_code` and `signal` are the two halves of its exit status.

    For a job that ended without ever having had a node, Slurm gives the end as the start too. Such a job never
    started, and so `started` is None. The start of a job that waits is the one that the scheduler expects.
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
        expected=read_time(started) if state is _Q else None,
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


def _value(text: str) -> str:
    """A field's text; '' for the texts that stand for "no value" in Slurm."""
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
    """The job in a line of `live()`; None for a line that only names the cluster.

    An element of an array also has a job number of its own, by which scancel knows it: 12_3/15. The comment of
    another program's job may hold anything, and so may the path that follows; the reason is last, and then `|.` is
    """
    if line.startswith("CLUSTER: ") or not line:
        return None
    job_id, native, code, restarts, submitted, started, ended, nodes, tag, rest = line.split("|", 9)
    job_id, _, number = job_id.partition("/")
    output, _, message = rest.removesuffix("|.").rpartition("|")
    job_status = status(
        native, *exit_status(code), _value(nodes), message.rstrip(), int(restarts or 0), started, ended
    )
    alias = number if number != job_id else ""
    if cluster:
        job_id = _at(job_id, cluster)
    return SchedulerRecord(
        job_id, job_status, _value(tag), read_time(submitted), output, cluster, native in _MOVED, alias=alias
    )


def _at(job_id: str, cluster: str) -> str:
    """An id as records have it: with the cluster, where one was named."""
    return f"{job_id};{cluster}" if cluster else job_id


HISTORY_FIELDS = "JobID,State,ExitCode,Submit,Start,End,NodeList,Comment,Reason"
SUBMIT_LINE = "SubmitLine"  # since 21.08; it has our tag, whether or not the site stores comments
_TAG_IN_LINE = re.compile(r"--comment=(psij:\w+)")
#: Our submit command, also where something (a site's wrapper, say) removed the tag from it.
_OUR_LINE = re.compile(r"(\S*/)?sbatch --parsable( -M \S+)?( --comment=\S*)?( \S.*/script\.sh)?")


def read_sacct(line: str, cluster: str = "", *, commanded: bool = False) -> SchedulerRecord | None:
    """The ended job in a line of accounting; None for a job that goes on, because accounting lags behind squeue.

    `commanded`: the last field is the submit line.
    """
    if not line:
        return None
    job_id, native, code, submitted, started, ended, nodes, tag, message = line.removesuffix("|").split("|", 8)
    foreign = False
    if commanded:
        message, _, command = message.partition("|")
        match = _TAG_IN_LINE.search(command)
        tag = match[1] if match else tag
        foreign = bool(command) and not _OUR_LINE.fullmatch(command)
    native = native.split()[0]  # "CANCELLED by 1001"
    job_status = status(native, *exit_status(code), _value(nodes), message, 0, started, ended)
    if not job_status.final and native not in _MOVED:
        return None
    return SchedulerRecord(
        _at(job_id, cluster),
        job_status,
        _value(tag),
        read_time(submitted),
        "",
        cluster,
        native in _MOVED,
        foreign=foreign,
    )


def fields(line: str) -> dict[str, str]:
    """The `Key=value` pairs of a line of `scontrol -o`; a value may hold blanks, but not ` Key=`."""
    parts = re.split(r"(?:^|\s)([A-Z][A-Za-z:/_.-]*)=", line)
    return {key: value.strip() for key, value in zip(parts[1::2], parts[2::2], strict=True)}


def read_scontrol(line: str, cluster: str = "") -> SchedulerRecord | None:
    """The job in a line of `scontrol -o show job`."""
    if not line.strip() or "JobId=" not in line:
        return None
    data = fields(line)
    job_id = data["JobId"]
    if "ArrayJobId" in data and "ArrayTaskId" in data:
        job_id = f"{data['ArrayJobId']}_{data['ArrayTaskId']}"
    job_status = status(
        data["JobState"],
        *exit_status(data.get("ExitCode", "")),
        _value(data.get("NodeList", "")),
        data.get("Reason", ""),
        int(data.get("Restarts", 0)),
        data.get("StartTime", ""),
        data.get("EndTime", ""),
    )
    return SchedulerRecord(
        _at(job_id, cluster),
        job_status,
        _value(data.get("Comment", "")),
        read_time(data.get("SubmitTime", "")),
        _value(data.get("StdOut", "")),
        cluster,
        data["JobState"] in _MOVED,
    )


def read_partition(line: str) -> Queue | None:
    """The partition in a line of `scontrol -o show partition`."""
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
        minutes(data.get("MaxTime", "")),
        number("MinNodes"),
    )


def minutes(text: str) -> int | None:
    """The whole minutes of a limit such as `1-12:00:00`; None for UNLIMITED and the like."""
    days, dash, clock = text.rpartition("-")
    try:
        hours, rest, _ = (int(part) for part in clock.split(":"))
        return (int(days) if dash else 0) * 1440 + hours * 60 + rest
    except ValueError:  # UNLIMITED, NONE
        return None
