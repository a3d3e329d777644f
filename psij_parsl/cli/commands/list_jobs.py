"""`list`: the jobs on record as a table."""

from __future__ import annotations

import math
import time
from itertools import chain

from ...errors import InvalidRequest, nearest
from ...jobs.record_filter import RecordFilter
from ...validators import positive_int
from ..command import Command, Invocation
from ..flags import JSON, Flag, FlagValues
from ..job_choice import CHOICE, OPEN_STATES, SORT, wants
from ..job_table import JobTable
from ..moments import since, until
from ..output import Renderer
from .status import show_jobs

_FILTERS = ("state", "name", "site", "since", "until")


def _list(out: Renderer, invocation: Invocation) -> int:
    values = invocation.values()
    wanted = _filter(values)
    with_ended = "all" in values or "since" in values or "until" in values or not wanted.states <= OPEN_STATES
    table = JobTable()
    rows = table.chosen(wanted, ended=with_ended, count=values.get("count", 0))
    if "elements" in values:
        rows = (element for row in rows for element in table.elements(row) if wants(wanted, element))
    first = next(rows, None)
    empty = ""
    if first is not None:
        rows = chain([first], rows)
    elif any(name in values for name in _FILTERS) and not table.journal.new:
        _check_sites(wanted.sites)
        empty = "no job matches" if with_ended else "no open job matches; `-a` looks at those that have ended, too"
    show_jobs(out, table, rows, order=values.get("sort", ()), empty=empty)
    return 0


def _filter(values: FlagValues) -> RecordFilter:
    after, before = values.get("since", 0.0), values.get("until", math.inf)
    if after > time.time():
        raise InvalidRequest("--since is in the future, so no job can match", hint="for example --since 2d")
    if after > before:
        raise InvalidRequest("--since is later than --until, so no job can match", hint="exchange the two")
    return RecordFilter(
        after=after,
        before=before,
        names=values.get("name", ()),
        sites=values.get("site", ()),
        states=values.get("state", frozenset()),
        elements="elements" in values,
    )


def _check_sites(names: tuple[str, ...]) -> None:
    """Raise `InvalidRequest` for a name that no job has, if it is also none of a site or a platform."""
    if not names:
        return
    from ...platforms.registry import platforms
    from ...sites import installed

    known = {*installed(), *(name for name, _ in platforms())}
    for name in names:
        if name not in known:
            raise InvalidRequest(
                f"--site {name}: there is no such site, and no job of it on record", hint=nearest(name, known)
            )


LIST = Command(
    "list",
    "List the recorded jobs that have not ended, or all with -a.",
    _list,
    (
        Flag("all", ("-a", "--all"), "", "Show ended jobs too.", switch=True),
        Flag("elements", ("--elements",), "", "Show each element of an array on its own line.", switch=True),
        *CHOICE,
        Flag(
            "since",
            ("--since",),
            "TIME",
            "Show jobs submitted since then, ended ones too: 2d, 12h, 2026-11-27, 14:30, 2026-11-27T14:30.",
            since,
        ),
        Flag(
            "until", ("--until",), "TIME", "Show jobs submitted until then, ended ones too; a day is included.", until
        ),
        Flag("count", ("--limit", "-n", "--count"), "N", "Show only the newest N of them.", positive_int),
        SORT,
        JSON,
    ),
    details=(
        "Conditions of several kinds must all hold. --state with an end, --since and --until show ended jobs without"
        " -a, too.\n\nA job that has ended since you last asked is shown one more time."
    ),
    examples=(
        "psij-run list --all --since 2d",
        "psij-run list --state failed,canceled --name 'train-*' --since yesterday",
        "psij-run list --all --limit 100 --sort -run",
    ),
)
