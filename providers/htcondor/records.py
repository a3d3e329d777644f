"""Parsers of the ads in `condor_q -json` and `condor_history -json`.

Codes: HTCondor's manual, "Job ClassAd Attributes". The meaning of each end was seen on HTCondor 23.9.6 and 25.14.1.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.states import EndReason, JobState, JobStatus

if TYPE_CHECKING:
    from psij_parsl.platforms.usage import Usage

Ad = Mapping[str, Any]

#: What is asked of each job.
ATTRIBUTES = (
    "ClusterId,ProcId,TotalSubmitProcs,JobStatus,LastJobStatus,ExitCode,ExitBySignal,ExitSignal,HoldReason,HoldReasonCode"
    ",HoldReasonSubCode,LastHoldReason,LastHoldReasonCode,LastHoldReasonSubCode,RemoveReason,QDate,JobCurrentStartDate,CompletionDate,EnteredCurrentStatus"
    ",RemoteUserCpu,RemoteSysCpu,CpusProvisioned,ResidentSetSize,ResidentSetSize_RAW,MemoryProvisioned"
    ",NumJobStarts,RemoteHost,LastRemoteHost,JobBatchName,Out,AllowedJobDuration"
)

IDLE, RUNNING, REMOVED, COMPLETED, HELD, TRANSFERRING, SUSPENDED = range(1, 8)
LETTERS = dict(enumerate("IRXCH>S", IDLE))  # as condor_q shows them
STATES: Mapping[int, JobState] = {
    IDLE: JobState.QUEUED,
    HELD: JobState.QUEUED,
    **dict.fromkeys((RUNNING, TRANSFERRING, SUSPENDED), JobState.ACTIVE),
}
#: HoldReasonCodes of jobs that have failed for certain. HTCondor holds them for ever.
DEAD: Mapping[int, EndReason] = {
    **dict.fromkeys((46, 47), EndReason.TIMEOUT),  # allowed_job_duration, allowed_execute_duration
    34: EndReason.OUT_OF_MEMORY,
    # no process; output, input, their streams; directory; hook; event log; account; container
    **dict.fromkeys((6, 7, 8, 9, 10, 14, 19, 22, 23, 35, 45), EndReason.LAUNCH_FAILED),
}
_LIMIT, _OF_DISK = 34, 104  # a limit of its host was exceeded: of memory, unless the second code is this
_SPOOLING = 16  # the hold of a job whose input files are still sent to the schedd
_BY_SOMEBODY = re.compile(r"^via condor_|\(by user .*\)")


# ---- text to ads -----------------------------------------------------------------------------------------------

_AD = re.compile(r"^\{[ \t\r]*$.*?^\}", re.MULTILINE | re.DOTALL)


def ads(text: str) -> Sequence[Ad | str]:
    """The ads of an answer; one that is no valid JSON is given as text. Nothing at all means no jobs.

    Raises `Unavailable` for an answer that is cut short: a job that is missing in it may well exist.
    """
    begin = re.search(r"^\[", text, re.MULTILINE)
    if begin is None:
        if text.strip():
            raise ValueError("no list of jobs")
        return []
    document = text[begin.start() :].rstrip()
    try:
        listed = json.loads(document, strict=False)  # a line break inside a string is accepted
        return listed if isinstance(listed, list) else []
    except ValueError:
        if document.endswith("\n]"):
            return _AD.findall(document)
    raise Unavailable("HTCondor's answer is cut short", output=text[-500:], hint="it is asked again later")


def past_ads(text: str) -> Sequence[Ad | str]:
    """The same of history, which begins with the newest: the last record of an id is the one that counts."""
    return ads(text)[::-1]


# ---- an ad to a record -----------------------------------------------------------------------------------------


def read_job(piece: Ad | str, *, past: bool = False, used_so_far: bool = False) -> SchedulerRecord:
    """A job's record, from the queue or from history (`past`). Raises for an ad without id.

    What the job has used is read if it has ended, or with `used_so_far`.
    """
    ad: Ad = json.loads(piece, strict=False) if isinstance(piece, str) else piece
    cluster, proc = ad["ClusterId"], ad["ProcId"]
    if not isinstance(cluster, int) or not isinstance(proc, int):
        raise ValueError("an id that is no number")
    status = read_status(ad, past=past)
    is_element = (_number(ad, "TotalSubmitProcs") or 1) > 1
    return SchedulerRecord(
        f"{cluster}.{proc}",
        status,
        _text(ad, "JobBatchName"),
        _number(ad, "QDate"),
        _text(ad, "Out"),
        leftover=status.native == LETTERS[HELD] and status.final,
        whole=str(cluster) if is_element else "",
        place=proc,
        alias="" if is_element else str(cluster),
        usage=_used(ad, status) if used_so_far or status.final else None,
    )


def _used(ad: Ad, status: JobStatus) -> Usage:
    """What the last run of a job has used; sizes of processes are in KB, those of slots in MB."""
    from psij_parsl.platforms.usage import held

    until = status.ended if status.final else time.time()
    ran = until - status.started if until is not None and status.started is not None else None
    seconds = [ad[name] for name in ("RemoteUserCpu", "RemoteSysCpu") if isinstance(ad.get(name), int | float)]
    exact, rounded = _number(ad, "ResidentSetSize_RAW"), _number(ad, "ResidentSetSize")  # up, by up to a quarter
    size = exact or rounded
    asked = _number(ad, "MemoryProvisioned")
    return replace(
        held(_number(ad, "CpusProvisioned"), ran),
        cpu_s=sum(seconds) or None,
        memory_bytes=size * 1024 if size else None,
        memory_asked_bytes=asked * 1024**2 if asked else None,
    )


def _dead(ad: Ad, which: str) -> EndReason | None:
    """The reason of a hold, the present or the `Last` one; None for one that is no end, or has no word of ours."""
    hold = _number(ad, f"{which}HoldReasonCode") or 0
    if hold == _LIMIT and _number(ad, f"{which}HoldReasonSubCode") == _OF_DISK:
        return None
    return DEAD.get(int(hold))


def read_status(ad: Ad, *, past: bool = False) -> JobStatus:
    """A job's status."""
    native, starts = _number(ad, "JobStatus") or 0, _number(ad, "NumJobStarts") or 0
    state = STATES.get(native, JobState.UNKNOWN)
    code = signal = reason = None
    message, held = "", False
    if native == HELD:
        message = _text(ad, "HoldReason")
        hold = _number(ad, "HoldReasonCode") or 0
        reason, held = _dead(ad, ""), hold not in DEAD and hold != _SPOOLING
        state = JobState.FAILED if hold in DEAD else JobState.QUEUED
    elif native == REMOVED:
        message = _text(ad, "RemoveReason")
        dead = ad.get("LastJobStatus") == HELD and (_number(ad, "LastHoldReasonCode") or 0) in DEAD
        if not past:  # it is removed as soon as its processes have ended, which may take minutes
            state = JobState.QUEUED if ad.get("LastJobStatus") in (IDLE, HELD) else JobState.ACTIVE
        elif dead:  # we, or somebody else, have taken it out of the queue after its end
            state, reason, message = JobState.FAILED, _dead(ad, "Last"), _text(ad, "LastHoldReason")
        else:  # else by an expression, the job's or the pool's
            state = JobState.CANCELED if not message or _BY_SOMEBODY.search(message) else JobState.FAILED
    elif native == COMPLETED:
        if ad.get("ExitBySignal") is True:
            signal = _number(ad, "ExitSignal")
        else:
            code = _number(ad, "ExitCode")
        state = JobState.COMPLETED if code == 0 else JobState.FAILED
        if code is None and signal is None:
            reason, message = EndReason.LOST, "HTCondor gives no exit code"
    ran = state is JobState.ACTIVE or state.final
    return JobStatus(
        state,
        LETTERS.get(native, str(ad.get("JobStatus", ""))),
        code,
        signal,
        reason,
        message,
        nodes=_host(_text(ad, "RemoteHost") or _text(ad, "LastRemoteHost")) if ran else "",
        attempt=max(0, starts - ran),
        started=_number(ad, "JobCurrentStartDate") if ran else None,
        ended=(_number(ad, "CompletionDate") or _number(ad, "EnteredCurrentStatus")) if state.final else None,
        held=held,
    )


def read_end(piece: Ad | str) -> float | None:
    """When a running job's wall time ends; None for a job that does not run, or has no limit."""
    if isinstance(piece, str):
        raise ValueError("no JSON")
    began, limit = _number(piece, "JobCurrentStartDate"), _number(piece, "AllowedJobDuration")
    return None if began is None or limit is None else float(began + limit)


def _host(slot: str) -> str:
    """`slot1_2@node01.site.org` is node01.site.org."""
    return slot.rpartition("@")[2]


def _number(ad: Ad, name: str) -> int | None:
    """A whole number; None where there is none, or an expression that HTCondor has not evaluated."""
    value = ad.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(ad: Ad, name: str) -> str:
    value = ad.get(name)
    return value if isinstance(value, str) else ""
