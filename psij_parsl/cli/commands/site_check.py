"""`site check`: everything that is wrong with a site's file, with its line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import SiteError
from ...sites import examine, known
from ..command import Command, Invocation
from ..flags import JSON, Argument
from ..output import Column, Renderer
from .sites import CHOICE, SITE_HELP, choices

_CHECKS = (Column("name", "NAME"), Column("state", "STATE"), Column("faults", "ERRORS AND WARNINGS", wraps=True))


def _check(out: Renderer, invocation: Invocation) -> int:
    asked = [*invocation.arguments, *choices(invocation.texts)]
    names, places = (asked, {}) if asked else known()
    found = {
        name: (_lines(places[name]), []) if name in places else _found_in(name, here=bool(asked)) for name in names
    }
    rows = [
        {"name": name, "state": "broken" if errors else "ok", "faults": errors, "warnings": warned}
        for name, (errors, warned) in found.items()
    ]
    if not asked and (warned := [str(row["name"]) for row in rows if row["warnings"]]) and not out.json:
        out.note(f"warnings of {', '.join(warned)}: `psij-run site check {warned[0]}` shows them")
        rows = [{**row, "warnings": []} for row in rows]
    out.table(_CHECKS, rows if out.json else [line for row in rows for line in _one_a_line(row)])
    return 3 if any(errors for errors, _ in found.values()) else 0


def _one_a_line(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A site's row with each of its errors and warnings on its own line."""
    first, *others = [*row["faults"], *(f"warning: {text}" for text in row["warnings"])] or [""]
    return [{**row, "faults": first}, *({"name": "", "state": "", "faults": error} for error in others)]


def _found_in(name: str, *, here: bool) -> tuple[list[str], list[str]]:
    """What is wrong with the site of that name, or with that file; and, if nothing is, what to warn of, on this host
    too if it is to be used `here`."""
    from ..site_checks import faults, faults_of_values, warnings, warnings_here

    try:
        site, found = examine(name)
    except SiteError as error:
        return _lines(error), []
    if site is not None:
        found = (
            sorted(dict.fromkeys([*found, *faults_of_values(site)]), key=lambda fault: fault.place)
            if found
            else faults(site)
        )
    warned = [*warnings(site), *(warnings_here(site) if here else ())] if site is not None and not found else []
    return [str(fault) for fault in found], [str(fault) for fault in warned]


def _lines(error: SiteError) -> list[str]:
    return [line.strip() for line in str(error).splitlines()]


CHECK = Command(
    "check",
    "Check all site files that are found, or the named ones; exit with 3 if one has errors.",
    _check,
    (*CHOICE, JSON),
    Argument("names", "[NAME|FILE]...", f"{SITE_HELP} (default: all known sites).", complete="sites"),
    details=(
        "Values, parameters of the platform, launch lines, shell texts, and for each queue the script of its smallest"
        " job. It warns of node types of a queue between which no job can choose, and, of a site that is named, of"
        " variables of `spool` that are not set here."
    ),
    examples=("psij-run site check", "psij-run site check ./cluster.toml"),
)
