"""Parsers of `bjobs -o`, `bhist -l` and `bqueues -l`: jobs and queues, one at a time.

States and termination reasons: https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=reference-bjobs and
https://www.ibm.com/docs/SSWRJV_10.1.0/lsf_admin/termination_reasons_lsf.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import Queue, SchedulerRecord
from psij_parsl.states import EndReason, JobState, JobStatus

if TYPE_CHECKING:
    from psij_parsl.platforms.usage import UsageRecord

Row = Mapping[str, str]

STATES: Mapping[str, JobState] = {
    **dict.fromkeys(("PEND", "PSUSP", "WAIT", "PROV"), JobState.QUEUED),  # its host's turn, or its host wakes up
    **dict.fromkeys(("RUN", "USUSP", "SSUSP"), JobState.ACTIVE),
    **dict.fromkeys(("DONE", "POST_DONE"), JobState.COMPLETED),
    **dict.fromkeys(("EXIT", "POST_ERR"), JobState.FAILED),
}
_MESSAGES: Mapping[str, str] = {  # states without further text
    "UNKWN": "LSF has lost contact with its host",
    "ZOMBI": "it was killed while its host did not answer; `bkill -r` takes it out of LSF's books",
    "POST_ERR": "what the site runs after the job has failed",
}
#: Who ended it: its owner, an administrator; after a checkpoint that ended it on demand.
CANCELS = frozenset(
    ("TERM_OWNER", "TERM_FORCE_OWNER", "TERM_ADMIN", "TERM_FORCE_ADMIN", "TERM_BUCKET_KILL", "TERM_CHKPNT")
)
REASONS: Mapping[str, EndReason] = {
    **dict.fromkeys(("TERM_RUNLIMIT", "TERM_CPULIMIT"), EndReason.TIMEOUT),
    "TERM_DEADLINE": EndReason.DEADLINE,
    **dict.fromkeys(("TERM_MEMLIMIT", "TERM_SWAP", "TERM_SWAPLIMIT"), EndReason.OUT_OF_MEMORY),
    **dict.fromkeys(
        ("TERM_PREEMPT", "TERM_LOAD", "TERM_WINDOW", "TERM_RC", "TERM_RC_RECLAIM"),  # the last two: rented hosts
        EndReason.PREEMPTED,
    ),
    **dict.fromkeys(
        ("TERM_CWD_NOTEXIST", "TERM_DATA", "TERM_CSM_ALLOC", "TERM_RMS", "TERM_PRE_EXEC_FAIL"),
        EndReason.LAUNCH_FAILED,
    ),
    "TERM_SLURM": EndReason.NODE_FAILURE,
    "TERM_REMOVE_HUNG_JOB": EndReason.NODE_FAILURE,  # by `bkill -r`, or because its host was away for too long
    "TERM_ZOMBIE": EndReason.LOST,  # it ended while LSF was away: only its exit file tells how
    "TERM_ORPHAN_SYSTEM": EndReason.DEPENDENCY,
}
_EXTERNAL = "TERM_EXTERNAL_SIGNAL"
_SIGNALS = 128  # exit codes above are signals, or a script's own


def ended(reason: str, code: int | None, started: bool = True) -> tuple[JobState, EndReason | None, int | None, str]:
    """State, reason, exit code and message of a job in state EXIT.

    `reason` is LSF's, `TERM_OWNER: job killed by owner`. LSF names none for a job that ended by itself. `code` is
    its exit code; it may be missing in a job that never started, which only a person can have ended.
    """
    keyword, _, text = reason.partition(":")
    text = text.strip(" .;") or keyword
    if keyword in CANCELS:
        return JobState.CANCELED, None, None, text
    if (meaning := REASONS.get(keyword)) is not None:
        state = JobState.CANCELED if meaning is EndReason.DEPENDENCY else JobState.FAILED
        return state, meaning, None, text
    if not started and code is None:
        return JobState.CANCELED, None, None, text or "it was ended before it started"
    return JobState.FAILED, None, code, text


def status(
    stat: str,
    reason: str = "",
    code: int | None = None,
    nodes: str = "",
    started: float | None = None,
    finished: float | None = None,
) -> JobStatus:
    """A job's status from what LSF shows of it."""
    state, message = STATES.get(stat, JobState.UNKNOWN), _MESSAGES.get(stat, "")
    if not state.final:
        active = state is JobState.ACTIVE
        return JobStatus(
            state, stat, message=message, nodes=nodes, started=started if active else None, held=stat == "PSUSP"
        )
    why: EndReason | None = None
    signal: int | None = None
    if state is JobState.COMPLETED:
        code = 0
    else:
        state, why, code, text = ended(reason, code, started is not None)
        message = text or message
        if reason.startswith(_EXTERNAL) and code is not None and code > _SIGNALS:
            signal, code = code - _SIGNALS, None
    return JobStatus(state, stat, code, signal, why, message, nodes, 0, started, finished)


# ---- times -----------------------------------------------------------------------------------------------------

_TIME = re.compile(r"(?:[A-Z][a-z]{2} +)?([A-Z][a-z]{2}) +(\d+) +(\d+):(\d\d)(?::(\d\d))?(?: +(\d{4}))?")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_DAY_S = 86400.0


@lru_cache(maxsize=32768)
def moment(text: str, ahead_s: float = _DAY_S) -> float | None:
    """`Nov 26 22:23:47 2026` in this host's time zone; None for a text that is no time.

    Without LSB_DISPLAY_YEAR, which old versions ignore, there is neither a year nor, in `bjobs`, seconds: then it is
    the year in which the time is nearest to now, and no later than `ahead_s` from now.
    """
    if (match := _TIME.match(text)) is None or match[1] not in _MONTHS:
        return None
    now = time.time()
    year = int(match[6] or time.localtime(now).tm_year)
    month, day, hour, minute, second = _MONTHS.index(match[1]) // 3 + 1, *(int(match[at] or 0) for at in (2, 3, 4, 5))
    years = (year,) if match[6] else (year - 1, year, year + 1)
    times = [time.mktime((each, month, day, hour, minute, second, 0, 0, -1)) for each in years]
    return min((at for at in times if match[6] or at <= now + ahead_s), key=lambda at: abs(at - now), default=None)


# ---- bjobs -----------------------------------------------------------------------------------------------------

DELIMITER = "^"
#: What is asked about what jobs have used.
USAGE_COLUMNS = ("jobid", "jobindex", "stat", "submit_time", "cpu_used", "run_time", "slots", "max_mem", "queue")
#: The columns that we ask for. The last is never empty: a row without it was cut short.
COLUMNS = (
    *("jobid", "jobindex", "stat", "exit_code", "exit_reason", "submit_time", "start_time", "finish_time"),
    *("exec_host", "output_file", "job_description", "queue"),
)


def rows(text: str) -> Iterator[Row]:
    """Each row of `bjobs -o`, by its columns' names, which stand above them.

    A row with more columns is left out: another program's job, whose description has the delimiter in it. Raises
    `Unavailable` for an answer that is cut short: a job that is missing in it may well exist.
    """
    if not text.endswith("\n"):
        raise Unavailable("bjobs's answer is cut short", output=text[-500:], hint="it is asked again later")
    header: list[str] = []
    for line in text[:-1].split("\n"):
        cells = [cell.strip() for cell in line.split(DELIMITER)]
        if "JOBID" in cells:
            header = cells
        elif 1 < len(cells) <= len(header):
            yield {name: "" if cell == "-" else cell for name, cell in zip(header, cells, strict=False)}
    if not header:
        raise ValueError("there are no names of columns")


def _job_id(row: Row) -> str:
    job_id, index = row["JOBID"], row["JOBINDEX"]
    return job_id if index in ("", "0") or "[" in job_id else f"{job_id}[{index}]"


def read_job(row: Row) -> SchedulerRecord:
    """A job's record. Raises `KeyError` for a row that lacks columns."""
    job_id, _ = _job_id(row), row["QUEUE"]
    code = row["EXIT_CODE"]
    job_status = status(
        row["STAT"],
        row["EXIT_REASON"],
        int(code) if code.isdecimal() and int(code) else None,
        nodes(row["EXEC_HOST"]),
        moment(row["START_TIME"]),
        moment(row["FINISH_TIME"]),
    )
    return SchedulerRecord(
        job_id, job_status, row["JOB_DESCRIPTION"], moment(row["SUBMIT_TIME"]), output=row["OUTPUT_FILE"]
    )


def read_usage(row: Row) -> UsageRecord:
    """What a job has used so far, or in all."""
    from psij_parsl.platforms.usage import UsageRecord, held, size_bytes

    slots = row["SLOTS"]
    usage = replace(
        held(int(slots) if slots.isdecimal() else None, _amount(row["RUN_TIME"])),
        cpu_s=_amount(row["CPU_USED"]) or None,
        memory_bytes=size_bytes("".join(row["MAX_MEM"].split()[:2]).lower().removesuffix("ytes"), 1024**2) or None,
    )
    final = STATES.get(row["STAT"], JobState.UNKNOWN).final
    return UsageRecord(_job_id(row), usage, final, moment(row["SUBMIT_TIME"]))


def _amount(text: str) -> float | None:
    """`1.5 second(s)`"""
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return None


def nodes(exec_host: str) -> str:
    """`4*node01:4*node02` is node01,node02."""
    return ",".join(dict.fromkeys(host.rpartition("*")[2] for host in exec_host.split(":") if host))


def read_end(row: Row) -> float | None:
    """When a running job's wall time ends; None for one that does not run, or has no limit (no `L` follows)."""
    finish = row["FINISH_TIME"]
    return moment(finish, 400 * _DAY_S) if row["STAT"] == "RUN" and finish.endswith(" L") else None


# ---- bhist -----------------------------------------------------------------------------------------------------

_JOB = re.compile(r"^Job <(\d+(?:\[\d+\])?)>", re.MULTILINE)
_EVENT = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d(?: \d{4})?): (.*)")


def histories(text: str) -> Iterator[str]:
    """Each job of `bhist -l`."""
    begins = [match.start() for match in _JOB.finditer(text)]
    for begin, end in zip(begins, [*begins[1:], None], strict=True):
        yield text[begin:end]


def _events(block: str) -> list[tuple[str, str]]:
    """The time and the text of each event, without blanks: lines are broken at any place, also inside a word."""
    events: list[tuple[str, str]] = []
    for line in block.split("\n"):
        if event := _EVENT.match(line):
            events.append((event[1], event[2]))
        elif line.startswith("Job <"):
            events.append(("", line))
        elif events and line.startswith(" "):
            at, text = events.pop()
            events.append((at, text + line))
    return [(at, re.sub(r"\s", "", text)) for at, text in events]


def read_history(block: str) -> SchedulerRecord | None:
    """A job's record in `bhist -l`; None for one whose submission is not shown.

    Raises `ValueError` for a job without the summary of times, which stands below each one: the answer was cut short.
    """
    if "\nSummary of time in seconds" not in block or not block.endswith("\n"):
        raise ValueError("cut short")
    stat, reason, hosts, tag, output = "PEND", "", "", "", ""
    code: int | None = None
    submitted: float | None = None
    started: float | None = None
    finished: float | None = None
    for at, text in _events(block):
        when = moment(at)
        if text.startswith("Job<"):
            tag = _bracketed(r",JobDescription", text.partition(",Command<")[0])
        elif text.startswith("Submittedfromhost"):
            submitted, output = when, _bracketed(r",OutputFile(?:\(overwrite\))?", text)
        elif text.startswith("Dispatched"):
            hosts = ":".join(re.findall(r"<([^>]*)>", re.split(",Allocated|,EffectiveRES", text)[0]))
        elif text.startswith("Starting"):
            stat, started = "RUN", when
        elif text.startswith("Pending:"):  # once more
            stat, started, code, reason = "PEND", None, None, ""
        elif text.startswith("Donesuccessfully"):
            stat, finished = "DONE", when
        elif exited := re.match(r"Exited(?:withexitcode(\d+)|bysignal(\d+))?|Completed<exit>", text):
            stat, finished = "EXIT", when
            if exited[1] or exited[2]:
                code = int(exited[1] or 0) or _SIGNALS + int(exited[2] or 0)
            if why := re.search(r"TERM_[A-Z_]+", text):
                reason = why[0]
    if submitted is None:
        return None
    job_status = status(stat, reason, code, nodes(hosts), started, finished)
    return SchedulerRecord(_JOB.match(block)[1], job_status, tag, submitted, output=output)  # type: ignore[index]


def _bracketed(name: str, text: str) -> str:
    match = re.search(rf"{name}<([^>]*)>", text)
    return match[1] if match else ""


# ---- queues ----------------------------------------------------------------------------------------------------

_LIMITS = re.compile(r"^(.*)\bRUNLIMIT\b.*\n(.*)$", re.MULTILINE)


def queues(text: str) -> Iterator[str]:
    """Each queue of `bqueues -l`."""
    yield from re.split(r"^QUEUE: ", text, flags=re.MULTILINE)[1:]


def read_queue(block: str) -> Queue:
    """A queue and the longest wall time there; `up` is whether jobs that are put there will run.

    The limits stand below their names: `RUNLIMIT`, and `480.0 min of hostA` in the same column.
    """
    minutes = None
    for before, values in _LIMITS.findall(block):  # default limits come first, then the maximum
        if limit := re.match(r" *([\d.]+) min", values[max(0, len(before) - 1) :]):
            minutes = int(float(limit[1]))
    return Queue(block.split()[0], "Open:Active" in block, "default queue" in block, None, minutes)
