"""`site check`: everything that is wrong with a site's file, with its line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import SiteError
from ...sites import Site, installed, named
from ..command import Command, Invocation
from ..flags import JSON, Argument
from ..output import Column, Renderer
from .sites import SITE_HELP

_CHECKS = (Column("name", "NAME"), Column("state", "STATE"), Column("faults", "ERRORS"))


def _check(out: Renderer, invocation: Invocation) -> int:
    if names := invocation.arguments:
        errors = {name: _errors_of(name) for name in names}
    else:
        errors = {name: _errors(site) for name, site in installed().items()}
    rows = [{"name": name, "state": "broken" if lines else "ok", "faults": lines} for name, lines in errors.items()]
    out.table(_CHECKS, rows if out.json else [line for row in rows for line in _one_error_a_line(row)])
    return 3 if any(errors.values()) else 0


def _one_error_a_line(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A site's row with each of its errors on its own line."""
    first, *others = row["faults"] or [""]
    return [{**row, "faults": first}, *({"name": "", "state": "", "faults": error} for error in others)]


def _errors_of(name: str) -> list[str]:
    """What is wrong with the site of that name, or with that file."""
    try:
        return _errors(named(name))
    except SiteError as error:
        return _lines(error)


def _errors(site: Site | SiteError) -> list[str]:
    if isinstance(site, SiteError):
        return _lines(site)
    from ..site_checks import faults

    return [str(fault) for fault in faults(site)]


def _lines(error: SiteError) -> list[str]:
    return [line.strip() for line in str(error).splitlines()]


CHECK = Command(
    "check",
    "Check all site files that are found, or the named ones; exit with 3 if one has errors.",
    _check,
    (JSON,),
    Argument("names", "[NAME|FILE]...", f"{SITE_HELP} (default: all known sites).", complete="sites"),
    details=(
        "Values, parameters of the platform, launch lines, shell texts, and for each queue the script of its smallest job."
    ),
    examples=("psij-run site check", "psij-run site check ./cluster.toml"),
)
