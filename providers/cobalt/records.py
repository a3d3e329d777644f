"""Parsers of `qstat -l`, which prints a block of `name : value` for each job or queue.

States: Cobalt 1.0.33, src/lib/Components/cqm.py, `Job.__get_job_state`; formats: src/clients/POSIX/qstat.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import Queue, SchedulerRecord
from psij_parsl.resources.hostlist import expand
from psij_parsl.states import EndReason, JobState, JobStatus

#: The columns that are asked for. Cobalt prints `-` for one that it does not have; the last one ends a block.
COLUMNS = ("JobID", "State", "Location", "SubmitTime", "StartTime", "WallTime", "OutputPath", "Envs", "Index")
TAG = "PSIJ_JOB_TAG"  # the variable in which our tag is; `Envs` holds the variables of --env, and no others

STATES: Mapping[str, JobState] = {
    **dict.fromkeys(("queued", "maxrun_hold", "user_hold", "admin_hold", "dep_hold"), JobState.QUEUED),
    "starting": JobState.QUEUED,  # its nodes are prepared, and may be booted
    "preempted": JobState.QUEUED,
    **dict.fromkeys(("running", "killing", "preempting", "exiting"), JobState.ACTIVE),
    "dep_fail": JobState.CANCELED,  # it waits for a job that is gone: until it is deleted, or its owner changes it
}
DONE = "done"  # for a moment, and of any job that is over: as good as gone
_HELD = ("user_hold", "admin_hold")
_MESSAGES: Mapping[str, str] = {
    "maxrun_hold": "its queue lets no more jobs of yours run at a time",
    "admin_hold": "held by an administrator",
    "dep_hold": "it waits for another job",
    "dep_fail": "a job that it was to follow is gone, and did not end with exit code 0 while this one waited",
}
_NO_VALUE = ("", "-", "None", "N/A")


def blocks(text: str, first: str = "JobID", last: str = COLUMNS[-1]) -> list[str]:
    """The blocks of `qstat -l`, by their first and last columns; a site's notices around them are passed over.

    Raises `Unavailable` for an answer that is cut short: a job that is missing in it may well exist.
    """
    begun = re.split(rf"^(?={first}\s*:)", text, flags=re.MULTILINE)[1:]
    ended = not begun or "\n\n" in begun[-1] or re.search(rf"^\s*{last}\s*:.*\n", begun[-1], re.MULTILINE)
    if not ended or text[-1:] not in ("", "\n"):
        raise Unavailable("qstat's answer is cut short", output=text[-500:], hint="it is asked again later")
    return [block.split("\n\n")[0] for block in begun]


def queue_blocks(text: str) -> list[str]:
    """The blocks of `qstat -Q -l`."""
    return blocks(text, "Name", "State")


def read_job(block: str) -> SchedulerRecord | None:
    """A job's record; None for one that is over. Raises `ValueError` for a damaged block."""
    fields = _fields(block)
    native = fields["State"]
    if native == DONE:
        return None
    state = STATES.get(native, JobState.UNKNOWN)
    status = JobStatus(
        state,
        native,
        reason=EndReason.DEPENDENCY if state is JobState.CANCELED else None,
        message=_MESSAGES.get(native, ""),
        nodes=nodes(fields.get("Location", "")),
        started=_time(fields.get("StartTime", "")),
        held=native in _HELD,
    )
    tag = re.search(rf"(?:^| ){TAG}=(\S+)", fields.get("Envs", ""))
    return SchedulerRecord(
        fields["JobID"],
        status,
        tag[1] if tag is not None else "",
        _time(fields.get("SubmitTime", "")),
        fields.get("OutputPath", ""),
        leftover=state is JobState.CANCELED,
    )


def read_end(block: str) -> float | None:
    """When a running job's wall time ends; None for a job that does not run."""
    fields = _fields(block)
    began = _time(fields["StartTime"])
    return None if began is None else began + 60 * _minutes(fields["WallTime"])


def read_queue(block: str) -> Queue:
    """A queue and its limits; `up` is whether jobs that are put there will run."""
    fields = _fields(block, "State")
    name, longest = fields["Name"], fields.get("MaxTime", "")
    return Queue(
        name,
        fields["State"] == "running",
        name == "default",  # the queue of jobs that name none
        minutes=None if longest in _NO_VALUE else _minutes(longest),
    )


@lru_cache(maxsize=4096)
def nodes(location: str) -> str:
    """The nodes by name: Cray's numbers `1001-1002` are nid01001,nid01002; other names stay as they are."""
    if re.fullmatch(r"\d[\d,-]*", location):
        return ",".join(expand(location, prefix="nid", width=5))
    return "" if location in _NO_VALUE else location


def _fields(block: str, last: str = COLUMNS[-1]) -> dict[str, str]:
    """The values by their names. Raises `ValueError` if the state or the last column is missing."""
    pairs = (line.partition(":") for line in block.splitlines())
    fields = {name.strip(): value.strip() for name, _, value in pairs}
    if not {"State", last} <= fields.keys():
        raise ValueError("a damaged block")
    return fields


def _time(text: str) -> float | None:
    """`Thu Nov 05 17:29:30 2020 +0000 (UTC)`, in the zone that it names."""
    clock = re.fullmatch(r"(\w+ \w+ +\d+ \d\d):(\d\d):(\d\d) (\d{4} [+-]\d{4})( \(.*\))?", text)
    hour = None if clock is None else _hour(f"{clock[1]} {clock[4]}")
    return None if clock is None or hour is None else hour + int(clock[2]) * 60 + int(clock[3])


@lru_cache(maxsize=1024)
def _hour(text: str) -> float | None:
    """`Thu Nov 05 17 2020 +0000`: ten thousand jobs have few different hours."""
    try:
        return datetime.strptime(text, "%a %b %d %H %Y %z").timestamp()
    except ValueError:
        return None


def _minutes(clock: str) -> int:
    hours, minutes, _ = (int(part) for part in clock.split(":"))
    return hours * 60 + minutes
