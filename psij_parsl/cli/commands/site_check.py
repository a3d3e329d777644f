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

_CHECKS = (Column("name", "NAME"), Column("state", "STATE"), Column("faults", "ERRORS"))


def _check(out: Renderer, invocation: Invocation) -> int:
    asked = [*invocation.arguments, *choices(invocation.texts)]
    names, places = (asked, {}) if asked else known()
    errors = {name: _lines(places[name]) if name in places else _errors_of(name) for name in names}
    rows = [{"name": name, "state": "broken" if lines else "ok", "faults": lines} for name, lines in errors.items()]
    out.table(_CHECKS, rows if out.json else [line for row in rows for line in _one_error_a_line(row)])
    return 3 if any(errors.values()) else 0


def _one_error_a_line(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A site's row with each of its errors on its own line."""
    first, *others = row["faults"] or [""]
    return [{**row, "faults": first}, *({"name": "", "state": "", "faults": error} for error in others)]


def _errors_of(name: str) -> list[str]:
    """What is wrong with the site of that name, or with that file."""
    from ..site_checks import faults, faults_of_values

    try:
        site, found = examine(name)
    except SiteError as error:
        return _lines(error)
    if site is not None:
        found = (
            sorted(dict.fromkeys([*found, *faults_of_values(site)]), key=lambda fault: fault.place)
            if found
            else faults(site)
        )
    return [str(fault) for fault in found]


def _lines(error: SiteError) -> list[str]:
    return [line.strip() for line in str(error).splitlines()]


CHECK = Command(
    "check",
    "Check all site files that are found, or the named ones; exit with 3 if one has errors.",
    _check,
    (*CHOICE, JSON),
    Argument("names", "[NAME|FILE]...", f"{SITE_HELP} (default: all known sites).", complete="sites"),
    details=(
        "Values, parameters of the platform, launch lines, shell texts, and for each queue the script of its smallest job."
    ),
    examples=("psij-run site check", "psij-run site check ./cluster.toml"),
)
