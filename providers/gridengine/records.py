"""Parsers of `qstat -r -xml`, `qacct -j` and `qconf -sq`: jobs, ended jobs and queues, one at a time.

States: sge_status(5). Failure codes: sge_accounting(5) and what was seen of Son of Grid Engine 8.1.9.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import Queue, SchedulerRecord
from psij_parsl.states import EndReason, JobState, JobStatus

Fields = Mapping[str, str]

#: Deletion, hold, transfer, running, Restarted, suspended (3), queued, waiting, Error; Univa's: N (suspended) and
#: P (preempted, among the jobs that wait).
_LETTERS = frozenset("dhtrRsSTqwENP")
_RUNNING = frozenset("trsST")
RESCHEDULED = frozenset((24, 25))  # failure codes of an attempt that was no end
_RAN = frozenset((0, 12, 13, 14, 15, 16, 30))  # the job's own end; what failed was cleaning up, or it exited with 100
_KILLED = frozenset((17, 100))
_LIMIT = 37  # wall time, CPU time or memory
_NODE = frozenset((18, 19, 20, 21, 22))  # its shepherd, the process that watches it, died; the node forgot the job
_TAG = re.compile(r"(?:^|\.)(psij\.[0-9a-z]+)$")  # at the end of the name
_NONE = ("", "NONE", "undefined")


# ---- jobs that have not ended ----------------------------------------------------------------------------------

_JOB = re.compile(r"<job_list\b[^>]*>(.*?)</job_list>", re.DOTALL)
_FIELD = re.compile(r"<(\w+)\b[^>]*>([^<]*)</\1>")
_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")


def jobs(text: str) -> Iterator[tuple[Fields, str]]:
    """Each job's fields, and its task: '' if it is no array. Waiting tasks of an array come as ranges.

    Each job is read alone: names may hold what is no XML. Raises `Unavailable` for an answer that is cut short.
    """
    if not 0 < text.count("<job_info") == text.count("</job_info>"):
        raise Unavailable("qstat's answer is cut short", output=text[-500:], hint="it is asked again later")
    for job in _JOB.finditer(text):
        fields = {name: html.unescape(value.strip()) for name, value in _FIELD.findall(job[1])}
        for task in _tasks(fields.get("tasks", "")):
            yield fields, task


def _tasks(text: str) -> Iterator[str]:
    ranges = [_RANGE.fullmatch(part) for part in text.split(",")]
    for part in ranges:
        if part is None:  # no array, or a text that `read_job` refuses
            yield text
            return
        first = int(part[1])
        yield from map(str, range(first, int(part[2] or first) + 1, int(part[3] or 1)))


def read_job(piece: tuple[Fields, str]) -> SchedulerRecord | None:
    """A job's record; None for one that has ended: how, only `qacct` knows."""
    fields, task = piece
    letters = set(fields["state"])
    if "z" in letters:
        return None
    name = fields.get("full_job_name") or fields.get("JB_name", "")
    return SchedulerRecord(
        _id(fields["JB_job_number"], task),
        status(fields["state"], fields),
        _tag(name),
        moment(fields.get("JB_submission_time", "")),
        leftover="E" in letters,
    )


def status(letters: str, fields: Fields) -> JobStatus:
    """A job's status by its state, such as qw, hqw, Rr, dT, Eqw, and its other fields."""
    kinds = set(letters)
    state, message, reason = JobState.UNKNOWN, "", None
    if "E" in kinds and kinds <= _LETTERS:
        state, reason = JobState.FAILED, EndReason.LAUNCH_FAILED
        message = "Grid Engine could not start it, or it asked for that by exit code 100"
    elif kinds & _RUNNING and kinds <= _LETTERS:
        state = JobState.ACTIVE
        message = "suspended" if kinds & set("sSTN") else ""
    elif kinds & set("qNP") and kinds <= _LETTERS:
        state = JobState.QUEUED
        message = "preempted" if kinds & set("NP") else ""
    waits_for = fields.get("predecessor_jobs", "")
    if state is JobState.QUEUED and waits_for:
        message = f"waits for {waits_for}"
    return JobStatus(
        state,
        letters,
        reason=reason,
        message=message,
        nodes=fields.get("queue_name", "").partition("@")[2] if state is JobState.ACTIVE else "",
        attempt=int("R" in kinds),
        started=moment(fields.get("JAT_start_time", "")) if state is JobState.ACTIVE else None,
        held=state is JobState.QUEUED and "h" in kinds and not waits_for,
    )


def _id(number: str, task: str) -> str:
    if not re.fullmatch(r"\d+", number) or not re.fullmatch(r"\d*", task):
        raise ValueError(f"{number!r} {task!r} is no job's number")
    return f"{number}.{task}" if task else number


def _tag(name: str) -> str:
    found = _TAG.search(name)
    return found[1] if found else ""


# ---- jobs that have ended --------------------------------------------------------------------------------------


def past_jobs(text: str) -> list[Fields]:
    """As `ended_jobs`. Raises `Unavailable` for an answer that is cut short.

    The answer about all jobs ends with a table of sums; one about a single job has none. Of a job with several tables,
    the last is the one that counts, so without it there would be another end.
    """
    single = text.count("\njobnumber ") == 1 and re.search(r"(?m)^category ", text)
    if not text.endswith("\n") or not (single or re.search(r"(?m)^OWNER ", text)):
        raise Unavailable("qacct's answer is cut short", output=text[-500:], hint="it is asked again later")
    return ended_jobs(text)


def ended_jobs(text: str) -> list[Fields]:
    """The last table of each job in `qacct -j`. Earlier ones are of attempts, or of its processes on other nodes."""
    last: dict[tuple[str, ...], Fields] = {}
    for key, fields in tables(text):
        if fields.get("pe_taskid", "") in _NONE:
            last.pop(key, None)
            last[key] = fields
    return list(last.values())


def tables(text: str) -> Iterator[tuple[tuple[str, ...], Fields]]:
    """Each table in `qacct -j`, with what the tables of one job or task have in common."""
    for number, table in enumerate(re.split(r"(?m)^=+$", text)):
        rows = (line.split(None, 1) for line in table.splitlines())
        fields = {row[0]: row[1].strip() for row in rows if len(row) > 1}
        if {"jobnumber", "exit_status"} & fields.keys():
            yield tuple(fields.get(name, str(number)) for name in ("jobnumber", "taskid", "jobname")), fields


def read_ended(fields: Fields) -> SchedulerRecord | None:
    """An ended job's record; None where its last attempt was to be followed by another one."""
    failed, _, explanation = fields["failed"].partition(":")
    code, number = int(fields["exit_status"].split()[0]), int(failed)
    if number in RESCHEDULED:
        return None
    state, signal, reason, exit_code = JobState.FAILED, None, None, None
    if fields.get("deleted_by", "") not in _NONE:  # Univa's
        state, explanation = JobState.CANCELED, f"deleted by {fields['deleted_by']}"
    elif number == code == 0 and fields.get("ru_minflt") == "0" and not _bytes(fields.get("ru_maxrss", "0")):
        # No process has so little: its node has told nothing, and an administrator took the job out of the books.
        state, explanation = JobState.CANCELED, "deleted by force"
    elif number in _RAN:
        state = JobState.FAILED if code else JobState.COMPLETED
        exit_code, explanation = code, ""
    elif number in _KILLED:  # by itself, by the kernel, or by qdel: they look the same
        signal = code - 128 if code > 128 else None
        explanation = "" if signal else explanation
    elif number == _LIMIT:
        reason = EndReason.OUT_OF_MEMORY if _over_memory(fields) else EndReason.TIMEOUT
    elif number in _NODE:
        reason = EndReason.NODE_FAILURE
    elif number < _LIMIT or number == 38:
        reason = EndReason.LAUNCH_FAILED
    task = fields.get("taskid", "")
    return SchedulerRecord(
        _id(fields["jobnumber"], "" if task in _NONE else task),
        JobStatus(
            state,
            f"failed {failed.strip()}",
            exit_code,
            signal,
            reason,
            explanation.strip(),
            fields.get("hostname", ""),
            started=moment(fields.get("start_time", "")),
            ended=moment(fields.get("end_time", "")),
        ),
        _tag(fields.get("jobname", "")),
        moment(fields.get("qsub_time", "")),
    )


def _over_memory(fields: Fields) -> bool:
    """Whether a job that met a limit had asked for less memory than it used."""
    asked = re.search(r"\bh_vmem=([\d.]+[kKmMgG]?)", fields.get("category", ""))
    return asked is not None and _bytes(fields.get("maxvmem", "")) >= _bytes(asked[1]) * int(fields.get("slots", "1"))


def _bytes(text: str) -> float:
    """`1.500G`, `512M`, `4.715KB`."""
    size = re.match(r"([\d.]+)\s*([KMG]?)", text.upper())
    return float(size[1]) * 1024 ** " KMG".index(size[2] or " ") if size else 0.0


# ---- times and queues ------------------------------------------------------------------------------------------

_CLOCK = re.compile(r"(?<=\d\d):(\d\d):(\d\d)(?:\.\d+)?\b")  # after the hour
_FORMS = ("%Y-%m-%dT%H:", "%Y-%m-%d %H:", "%m/%d/%Y %H:", "%a %b %d %H: %Y")


def moment(text: str) -> float | None:
    """A time in this host's zone, in any of the forms of Grid Engine's descendants; None if there is none.

    The epoch itself stands for no time. Univa's have milliseconds, and those of the open cluster scheduler microseconds.
    """
    if text.isdecimal():
        return int(text) / (1_000_000 if len(text) > 14 else 1000 if len(text) > 11 else 1) or None
    clock = _CLOCK.search(text)
    hour = None if clock is None else _hour(f"{text[: clock.start(1)]}{text[clock.end() :]}")
    seconds = None if clock is None or hour is None else hour + int(clock[1]) * 60 + int(clock[2])
    return seconds if seconds is not None and seconds > 86400 else None


@lru_cache(maxsize=1024)
def _hour(text: str) -> float | None:
    """The same without minutes and seconds: ten thousand jobs have few different hours."""
    for form in _FORMS:
        try:
            return time.mktime(time.strptime(text, form))
        except (ValueError, OverflowError):
            continue
    return None


def read_end(text: str, task: str = "1") -> float | None:
    """When a running job's wall time ends, in `qstat -j ID -xml`; None for a job that does not run, or has no limit."""
    limit = re.search(r"<CE_name>h_rt</CE_name>.*?<CE_doubleval>([\d.]+)<", text, re.DOTALL)
    tasks = re.findall(r"<JAT_task_number>(\d+)<", text), re.findall(r"<JAT_start_time>(\d+)<", text)
    began = moment(dict(zip(*tasks, strict=True)).get(task, ""))
    return None if began is None or limit is None else began + float(limit[1])


def queues(text: str) -> list[Fields]:
    """Each queue of `qconf -sq '*'`."""
    blocks = re.split(r"(?m)^(?=qname\s)", text.replace("\\\n", " "))[1:]
    return [dict(line.split(None, 1) for line in block.splitlines() if len(line.split()) > 1) for block in blocks]


def read_queue(fields: Fields) -> Queue:
    """A queue and its longest wall time, where that is the same on all hosts. It says nothing of its state."""
    longest, _, of_hosts = fields.get("h_rt", "").partition(",")
    clock = re.fullmatch(r"(\d+):(\d+):(\d+)", longest.strip())
    minutes = None if clock is None or of_hosts else int(clock[1]) * 60 + int(clock[2])
    return Queue(fields["qname"].strip(), fields.get("slots", "").strip() != "0", minutes=minutes)
