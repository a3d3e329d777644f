"""Parsers of `qstat -x`, which prints XML, and of the long form (`qstat -f`) that queues and the server are shown in.

The meaning of each end was seen on a build of Torque's last public source; the numbers below 0 are of its documentation
(admin guide, "Job exit status").
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html import unescape
from typing import TYPE_CHECKING

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import Queue, SchedulerRecord
from psij_parsl.platforms.tools import without_host
from psij_parsl.states import EndReason, JobState, JobStatus

if TYPE_CHECKING:
    from psij_parsl.platforms.usage import Usage

Attributes = Mapping[str, str]  # the parts of a list have names such as Resource_List.walltime

STATES: Mapping[str, JobState] = {
    **dict.fromkeys("QHWT", JobState.QUEUED),  # queued, held, waiting, in transit
    **dict.fromkeys("RES", JobState.ACTIVE),  # running, exiting, suspended
}
ENDED = "C"
#: Exit statuses below 0 are Torque's own (JOB_EXEC_*).
REASONS: Mapping[int, EndReason] = {
    **dict.fromkeys((-1, -2, -3, -7, -8, -9, -13, -14), EndReason.LAUNCH_FAILED),
    **dict.fromkeys((-4, -5, -6), EndReason.NODE_FAILURE),  # the daemon of its node was started anew
    -10: EndReason.OUT_OF_MEMORY,
    **dict.fromkeys((-11, -12), EndReason.TIMEOUT),  # wall time, CPU time
}
_SIGNALS = 256  # exit statuses above are signals; the script's own are 128 + n, for the shell above it says so
_OTHER_SIGNALS = 10000  # the same, where the daemon of the node runs on Solaris or macOS
_TERM = 15  # what qdel sends
_UNMET = re.compile(r"deleted as (a )?result of dependency")
_STARTED = re.compile(r"Job started on ")  # pbs_sched's comment, which repeats the state
TAG = "PSIJ_JOB_TAG"  # the variable in which our tag is, by which a job is recognized


# ---- text to pieces --------------------------------------------------------------------------------------------

_USED = re.compile(
    "<(Job_Id|Job_Owner|Variable_List|Output_Path|ctime|job_state|comment|depend|start_time|start_count|Hold_Types"
    "|exec_host|exit_status|comp_time)>([^<]*)<"
)
_IN_LISTS = re.compile(r"<(Resource_List|resources_used)>(.*?)</\1>", re.DOTALL)
_RESOURCE = re.compile(r"<(\w+)>([^<]*)</\1>")
_WALL_TIME = re.compile(r"<(Resource_List|resources_used)>(?:<(?!/\1).*?)?<walltime>([^<]*)<")


def jobs(text: str) -> Iterator[str]:
    """The XML of each job. With several ids, each has a document of its own.

    No text at all is what older versions print where there is no job. Raises `Unavailable` for an answer that is cut
    short: a job that is missing in it may well exist.
    """
    begun = max(text.count("<?xml"), text.count("<Data>"), bool(text.strip()))
    if begun > text.count("</Data>"):
        raise Unavailable("qstat's answer is cut short", output=text[-500:], hint="it is asked again later")
    return (xml for xml, end, _ in (piece.partition("</Job>") for piece in text.split("<Job>")[1:]) if end)


def attributes(xml: str) -> dict[str, str]:
    """Those attributes in the XML of a job that are used here."""
    found = {f"{part}.walltime": value for part, value in _WALL_TIME.findall(xml)}
    for name, value in _USED.findall(xml):
        found.setdefault(name, unescape(value) if "&" in value else value)
    return found


def long_form(text: str) -> Iterator[dict[str, str]]:
    """The jobs, queues or servers of the long form: a name, then lines ` name = value`, continued after a tab."""
    for block in re.split(r"^(?=(?:Job Id|Queue|Server): )", text.replace("\n\t", ""), flags=re.MULTILINE):
        kind, _, name = block.partition("\n")[0].partition(": ")
        if name:
            yield {kind.replace(" ", "_"): name, **dict(re.findall(r"^ {4}(\S+) = (.*)$", block, re.MULTILINE))}


# ---- a piece to a record ---------------------------------------------------------------------------------------


def read_job(xml: str, owner: str = "", *, used_so_far: bool = False) -> SchedulerRecord | None:
    """A job's record; None for a job of another owner.

    What the job has used is read if it has ended, or with `used_so_far`.
    """
    record = job_record(attributes(xml), owner)
    if record is None or not (used_so_far or record.status.final):
        return record
    return record._replace(usage=_used(xml))


def _used(xml: str) -> Usage:
    from .._pbs_family.usage import used

    lists = {name: dict(_RESOURCE.findall(content)) for name, content in _IN_LISTS.findall(xml)}
    exec_host = attributes(xml).get("exec_host", "")
    return used(
        lists.get("resources_used", {}),
        cores=_slots(exec_host),
        memory_asked=lists.get("Resource_List", {}).get("mem", ""),
        nodes=len(set(nodes(exec_host).split(","))),
    )


def _slots(exec_host: str) -> int | None:
    """`n1/0-3+n2/0-3`, and `n1/0+n1/1+n2/0`, are 8 and 3."""
    total = 0
    for part in filter(None, exec_host.split("+")):
        for span in part.partition("/")[2].split(","):
            first, _, last = span.partition("-")
            if not (first.isdecimal() and (last or first).isdecimal()):
                return None
            total += int(last or first) - int(first) + 1
    return total or None


def job_record(job: Attributes, owner: str = "") -> SchedulerRecord | None:
    """As `read_job`, from the attributes. Raises `KeyError` for a job without an id or a state."""
    if owner and job.get("Job_Owner", owner).partition("@")[0] != owner:
        return None
    tag = re.search(rf"(?:^|,){TAG}=(psij:[\w-]+)", job.get("Variable_List", ""))
    return SchedulerRecord(
        job["Job_Id"],
        status(job),
        tag[1] if tag else "",
        _time(job.get("ctime", "")),
        without_host(job.get("Output_Path", "")),
    )


def status(job: Attributes) -> JobStatus:
    """A job's status from its attributes."""
    letter, comment, depend = job["job_state"], job.get("comment", ""), job.get("depend", "")
    waits_for = ",".join(part for part in depend.split(",") if part.startswith("after"))
    started = _time(job.get("start_time", ""))
    starts = int(job.get("start_count", 0))
    message = "" if _STARTED.match(comment) else comment
    if letter != ENDED:
        state = STATES.get(letter, JobState.UNKNOWN)
        active = state is JobState.ACTIVE
        holds = job.get("Hold_Types", "")  # s is the manager's own, of an administrator or for a dependency
        held = letter == "H" and (any(kind in holds for kind in "uop") or ("s" in holds and not waits_for))
        if letter == "H" and not held and not message and waits_for:
            message = f"waits for {waits_for}"
        return JobStatus(
            state,
            letter,
            message=message,
            nodes=nodes(job.get("exec_host", "")) if active else "",
            attempt=max(0, starts - active),
            started=started if active else None,
            held=held,
        )
    exit_status = int(job["exit_status"]) if "exit_status" in job else None
    ran = started is not None or "exec_host" in job  # older versions give no time
    state, code, number, reason, own = end(exit_status, ran, _overran(job))
    if _UNMET.search(comment) or (waits_for and exit_status == _SIGNALS + _TERM and not ran):
        state, code, number, reason, own = JobState.CANCELED, None, None, EndReason.DEPENDENCY, ""
        message = comment or f"Torque deleted it: {waits_for} cannot be met"
    return JobStatus(
        state,
        letter,
        code,
        number,
        reason,
        message or own,
        nodes(job.get("exec_host", "")),
        max(0, starts - 1),
        started,
        _time(job.get("comp_time", "")),
    )


def end(
    exit_status: int | None, started: bool, overran: bool
) -> tuple[JobState, int | None, int | None, EndReason | None, str]:
    """An end's state, exit code, signal, reason and message, from its exit status and whether it ever started.

    `overran`: it ran as long as its wall time allows.
    """
    if exit_status is None:
        if not started:  # somebody deleted it while it waited
            return JobState.CANCELED, None, None, None, ""
        return JobState.FAILED, None, None, EndReason.LOST, "Torque kept no exit status of it"
    if exit_status >= _OTHER_SIGNALS:
        exit_status += _SIGNALS - _OTHER_SIGNALS
    if exit_status > 0 and not started:  # the code that the site gives to deleted jobs
        return JobState.CANCELED, None, None, None, ""
    if exit_status < 0:
        return JobState.FAILED, None, None, REASONS.get(exit_status), f"Torque's exit status {exit_status}"
    if exit_status == _SIGNALS + _TERM:  # as qdel does it, and in older versions the end of the wall time
        if overran:
            return JobState.FAILED, None, None, EndReason.TIMEOUT, ""
        return JobState.CANCELED, None, None, None, ""
    if exit_status >= _SIGNALS:
        return JobState.FAILED, None, exit_status - _SIGNALS, None, ""
    return JobState.FAILED if exit_status else JobState.COMPLETED, exit_status, None, None, ""


def _overran(job: Attributes) -> bool:
    limit, used = (seconds(job.get(f"{name}.walltime", "")) for name in ("Resource_List", "resources_used"))
    return limit is not None and used is not None and used >= limit


def nodes(exec_host: str) -> str:
    """`n1/0-3+n2/0-3`, and `n1/0+n1/1+n2/0`, are n1,n2."""
    return ",".join(dict.fromkeys(part.partition("/")[0] for part in exec_host.split("+") if part))


@lru_cache(maxsize=4096)
def _time(text: str) -> float | None:
    """Seconds since the epoch, as XML has them, or `Thu Nov 26 04:31:59 2026` in this host's time zone."""
    try:
        return float(text) if text.isdigit() else time.mktime(time.strptime(text, "%a %b %d %H:%M:%S %Y"))
    except (ValueError, OverflowError):
        return None


def seconds(clock: str) -> int | None:
    """`01:30:00`, `1:00:00:00` with days, or a number of seconds; None for what is none of these."""
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or len(parts) > 4:
        return None
    factors = (1, 60, 3600, 86400)
    return sum(int(part) * factor for part, factor in zip(reversed(parts), factors, strict=False))


def read_end(xml: str) -> float | None:
    """When a running job's wall time ends; None for a job that does not run, or has no limit."""
    job = attributes(xml)
    began, limit = _time(job.get("start_time", "")), seconds(job.get("Resource_List.walltime", ""))
    return None if began is None or limit is None else began + limit


# ---- queues ----------------------------------------------------------------------------------------------------


def read_queue(queue: Attributes) -> Queue:
    """A queue and its limits; `up` is whether jobs that are put there will run."""
    most, least, limit = (queue.get(f"resources_{name}") for name in ("max.nodect", "min.nodect", "max.walltime"))
    longest = seconds(limit or "")
    return Queue(
        queue["Queue"],
        queue.get("enabled") == "True" and queue.get("started") == "True",
        False,
        int(most) if most else None,
        longest // 60 if longest is not None else None,
        int(least) if least else None,
    )


def read_default_queue(server: Attributes) -> str | None:
    """The queue of jobs that name none, from a server's attributes."""
    return server.get("default_queue")
