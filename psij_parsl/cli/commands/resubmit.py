"""`resubmit`: jobs that have ended once more, as they were or with other wishes."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...errors import Error, InvalidRequest, UnknownJob
from ...jobs.attempts import choose
from ...jobs.executor import Submission
from ...jobs.record import JobRecord
from ...jobs.record_filter import RecordFilter
from ...states import JobState
from ...system.id_ranges import format_ranges
from ..command import Command, Invocation
from ..flags import Flag
from ..job_flags import JOB_FLAGS
from ..job_table import JobTable
from ..moments import since
from ..output import Renderer
from ..repeating import Repeat, Repeater
from ..selectors import JOBS_AGAIN, required
from .submit import print_id

_DAY_S = 86400.0
#: Flags that choose where a job goes, which is where it was, or how a script is read, which was done.
_NOT_AGAIN = ("site", "platform", "config", "wrap", "directives", "ignore_directives")

Selected = Sequence[tuple[JobRecord, Sequence[str]]]


def _resubmit(out: Renderer, invocation: Invocation) -> int:
    texts = invocation.texts
    own = {flag.name: flag.value(texts[flag.name]) for flag in _OWN if flag.name in texts}
    states = {state for name, state in _STATES.items() if name in own}
    table = JobTable()
    selected = _selected(out, table, required(invocation.arguments, "resubmit"), states, own.get("since"))
    if not selected:
        out.note("nothing was submitted")
        if out.json:
            out.table((), [])
        return 0
    job_texts = {name: text for name, text in texts.items() if name not in own}
    repeater = Repeater(out, table, job_texts, independent="no_dependency" in own)
    repeats = _checked(repeater, selected)
    repeater.note_rewritten()
    if "dry_run" in own:
        out.table((), [_data(repeat) for repeat in repeats]) if out.json else _describe(out, repeats)
        return 0
    submitted, exit_code = _submit(out, repeats, verbose="verbose" in texts)
    if "wait" in own:
        from .wait import wait_for

        exit_code = wait_for(out, table, submitted) or exit_code
    return exit_code


# ---- which jobs ----------------------------------------------------------------------------------------------


def _selected(
    out: Renderer, table: JobTable, selectors: Sequence[str], states: Collection[JobState], after: float | None
) -> Selected:
    """The jobs, each with the keys of its elements. What is left alone is noted. Raises `InvalidRequest`."""
    every = "all" in selectors
    if every and not states:
        raise InvalidRequest(
            "`all` would submit again whatever has ended",
            hint="`psij-run resubmit all --failed` takes what has failed",
        )
    if after is not None and not every:
        raise InvalidRequest("--since goes with `all`", hint="psij-run resubmit all --failed --since 2d")
    wanted: dict[str, dict[str, None]] = {}
    if every:
        table.poll(
            [(entry, "*" if entry.array else "") for entry in table.journal.open_entries().values()], urgent=True
        )
        recent = RecordFilter(after=time.time() - _DAY_S if after is None else after)
        wanted = {
            entry.id: {"*": None}
            for entry in table.journal.wanted(recent)
            if _has(entry, states) and not entry.attached
        }
    named = _find(table, [selector for selector in selectors if selector != "all"])
    for entry, key in named:
        wanted.setdefault(entry.id, {})[key] = None
    table.poll([(entry, key) for entry, key in named if entry.open], urgent=True)  # they may have ended since
    for note in table.notes:
        out.note(note)
    names = {entry.id for entry, _ in named}
    entries = table.journal.some(wanted)
    selected = []
    refusals: list[Error] = []
    for job_id, entry in entries.items():
        try:
            choice = choose(table.journal, entry, [*wanted[job_id]], states, last_only=job_id not in names)
        except InvalidRequest as error:
            refusals.append(error)
            continue
        if choice.keys:
            selected.append((entry, choice.keys))
        if choice.reason and job_id in names:
            out.note(f"left alone: {'of array' if entry.array else 'job'} {job_id}, {choice.reason}")
    _refuse(refusals)
    return selected


def _find(table: JobTable, selectors: Sequence[str]) -> Sequence[tuple[JobRecord, str]]:
    try:
        return table.find(selectors)
    except UnknownJob as error:
        hint = f"if it was removed by `psij-run clean`, submit it anew; {error.hint}"
        raise UnknownJob(error.message, hint=hint) from error


def _has(entry: JobRecord, states: Collection[JobState]) -> bool:
    return any(status.state in states for status in entry.ended.values())


# ---- checking and submitting ---------------------------------------------------------------------------------


def _checked(repeater: Repeater, selected: Selected) -> list[Repeat]:
    """All attempts, in the order in which they are to be submitted. Raises `InvalidRequest`, before any is submitted."""
    along = {entry.id: keys for entry, keys in selected}
    repeats, refusals = [], []
    for entry, keys in selected:
        try:
            if entry.resubmitted_from in along and {*along[entry.resubmitted_from]} & {*keys}:
                raise InvalidRequest(
                    f"job {entry.id} repeats job {entry.resubmitted_from}, and both are named",
                    hint="name one of them",
                )
            repeats.append(repeater.repeat(entry, keys, along))
        except Error as error:
            refusals.append(error)
    _refuse(refusals)
    if any(one.jobs & along.keys() for repeat in repeats for one in repeat.after):
        repeats.sort(key=lambda repeat: repeat.entry.intended)  # a job comes after those that were there before it
    return repeats


def _refuse(refusals: Sequence[Error]) -> None:
    """Raise what is wrong with these jobs, all of it, if there is anything."""
    if len(refusals) == 1:
        raise refusals[0]
    if refusals:
        listed = "\n".join(f"  {error}" for error in refusals)
        raise InvalidRequest(f"nothing was submitted, for {len(refusals)} reasons:\n{listed}")


def _submit(out: Renderer, repeats: Sequence[Repeat], *, verbose: bool) -> tuple[list[str], int]:
    """Submit, and print the ids; returns these, and the exit code."""
    new_ids: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    exit_code = 0
    try:
        for repeat in repeats:
            submission = repeat.submit_after(new_ids)
            new_ids[repeat.entry.id] = submission.id
            rows.append(_data(repeat, submission))
            if not out.json and (error := print_id(out, repeat.target.executor, submission)) is not None:
                out.error(error)
                exit_code = error.exit_status
            if verbose:
                out.note(f"{submission.id} is {repeat.description}")
    except KeyboardInterrupt:
        out.note("interrupted during the submission; `psij-run list` shows whether the job was submitted")
        raise
    finally:
        if len(rows) < len(repeats):
            left = ", ".join(repeat.entry.id for repeat in repeats[len(rows) :])
            out.note(f"{len(rows)} of {len(repeats)} jobs were submitted again; not certainly: {left}")
        if out.json:
            out.table((), rows)
    return list(new_ids.values()), exit_code


def _data(repeat: Repeat, submission: Submission | None = None) -> dict[str, Any]:
    executor, job = repeat.target.executor, repeat.job
    return {
        "id": submission.id if submission else None,
        "native_id": submission.native_id if submission else None,
        "folder": str(submission.folder) if submission else None,
        "platform": executor.platform.name,
        "site": executor.site,
        "name": job.display_name,
        "resubmitted_from": repeat.entry.id,
        "array": format_ranges(job.array) if job.array else "",
        "changed": {name: {"from": before, "to": after} for name, (before, after) in repeat.differences.items()},
    }


def _describe(out: Renderer, repeats: Sequence[Repeat]) -> None:
    for repeat in repeats:
        out.out.write(f"would submit {repeat.description}\n")


_STATES: Mapping[str, JobState] = {"failed": JobState.FAILED, "cancelled": JobState.CANCELED}
_OWN = (
    Flag("failed", ("--failed",), "", "Only what has failed: of an array its failed elements alone.", switch=True),
    Flag(
        "cancelled",
        ("--cancelled", "--canceled"),
        "",
        "Only what was cancelled; with --failed, what has failed or was cancelled.",
        switch=True,
    ),
    Flag(
        "no_dependency",
        ("--no-dependency",),
        "",
        "Start without waiting for the jobs that it came after, whatever became of them.",
        switch=True,
    ),
    Flag(
        "since",
        ("--since",),
        "TIME",
        "With `all`: what was submitted since then: 2d, 12h, 2026-11-27, 14:30 (default: 1d).",
        since,
    ),
    Flag("wait", ("--wait",), "", "Wait for the jobs and exit with their exit code.", switch=True),
    Flag("dry_run", ("--dry-run",), "", "Check everything and say what would be submitted.", switch=True),
)

RESUBMIT = Command(
    "resubmit",
    "Submit jobs that have ended once more, and print their new ids.",
    _resubmit,
    (*_OWN, *(flag for flag in JOB_FLAGS if flag.name not in _NOT_AGAIN)),
    JOBS_AGAIN,
    details=(
        "The same command, script, files, environment and wishes as then, at the same site. Flags of `submit` replace what"
        " the job had, and those that can be repeated add to it; -t x2 or --mem x1.5 multiply. Nothing is submitted unless"
        " all of it can be."
    ),
    examples=(
        "psij-run resubmit last -t x2",
        "psij-run resubmit 3kq0v5d2mp --failed --mem x1.5",
        "psij-run resubmit all --failed --since 2d",
    ),
)
