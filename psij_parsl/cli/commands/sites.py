"""`site list`, `show`, `detect` and `check`: the known machines, and where each of their settings comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import InvalidRequest, SiteError, TemplateError, nearest
from ...sites import Site, detect, find, installed, look
from ..command import Command, Invocation
from ..flags import JSON, Argument, Flag
from ..output import Column, Renderer

_LIST = (
    Column("name", "NAME"),
    Column("here", "HERE"),
    Column("platform", "PLATFORM"),
    Column("description", "DESCRIPTION"),
    Column("error", "ERROR"),
)
_CHECKS = (Column("name", "NAME"), Column("state", "STATE"), Column("faults", "ERRORS"))
_ROWS = (Column("key", "SETTING"), Column("value", "VALUE"), Column("origin", "FROM"))


def _list(out: Renderer, invocation: Invocation) -> int:
    try:
        here = detect()
    except SiteError as error:
        here = None
        out.note(error.message)
    rows = []
    for name, site in installed().items():
        sign = here.sign if here is not None and here.name == name else ""
        row = {"name": name, "here": sign, "platform": "", "description": "", "error": ""}
        if isinstance(site, SiteError):
            row["error"] = site.message
        else:
            row |= {"platform": site.platform, "description": site.description}
        rows.append(row)
    out.table(_LIST, rows, empty="no sites are known")
    return 0


def _show(out: Renderer, invocation: Invocation) -> int:
    config = invocation.texts.get("config")
    site = find(None, Path(config)) if config else _named(invocation.argument)
    rows = [{"key": row.key, "value": row.value, "origin": row.origin} for row in site.rows]
    if out.json:
        out.record({"name": site.name, "platform": site.platform, "settings": rows}, ())
    else:
        out.table(_ROWS, rows)
    return 0


def _detect(out: Renderer, invocation: Invocation) -> int:
    seen = look()
    if seen.site is not None:
        name, sign = seen.site
        out.note(sign)
    else:
        name, sign = find(placing=False).name, ""
        none = "no site is detected here, so jobs run on this host; --site or PSIJ_SITE names another site"
        out.note(seen.remark or none)
    out.answer(name, {"name": name, "sign": sign, "remark": seen.remark})
    return 0


def _check(out: Renderer, invocation: Invocation) -> int:
    if names := invocation.arguments:
        errors = {name: _errors_of(name) for name in names}
    else:
        errors = {name: _errors(site) for name, site in installed().items()}
    rows = [{"name": name, "state": "broken" if lines else "ok", "faults": lines} for name, lines in errors.items()]
    out.table(_CHECKS, rows if out.json else [line for row in rows for line in _one_error_a_line(row)])
    return 3 if any(errors.values()) else 0


def _named(name: str | None) -> Site:
    """The site of that name, or of that file."""
    return find(None, Path(name)) if name and (name.endswith(".toml") or "/" in name) else find(name, placing=False)


def _one_error_a_line(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A site's row with each of its errors on its own line."""
    first, *others = row["faults"] or [""]
    return [{**row, "faults": first}, *({"name": "", "state": "", "faults": error} for error in others)]


def _errors_of(name: str) -> list[str]:
    """What is wrong with the site of that name, or with that file."""
    try:
        return _errors(_named(name))
    except SiteError as error:
        return _lines(error)


def _errors(site: Site | SiteError) -> list[str]:
    """Errors of the file, and parameters and fields that its platform does not know."""
    if isinstance(site, SiteError):
        return _lines(site)
    from ...job import FLAGS
    from ...platforms.registry import platform

    template = platform(site.platform).template_class
    field_names = {*template.params, *FLAGS}
    uses: list[tuple[tuple[str, ...], str, Collection[str]]]
    uses = [(("parameters", name), name, template.params) for name in site.parameters]
    uses += [((key,), name, field_names) for key in ("required", "forbidden") for name in getattr(site, key)]
    errors = [
        f"{site.origin(key)}: {key[0]}: the {site.platform} platform has no parameter {name!r} ({nearest(name, names)})"
        for key, name, names in uses
        if name not in names
    ]
    for name, value in site.parameters.items():
        if name in template.params:
            try:
                template.params[name].convert(value)
            except InvalidRequest as error:
                errors.append(f"{site.origin(('parameters', name))}: {error.message}")
    return [*errors, *_contradictions(site)]


def _contradictions(site: Site) -> Iterator[str]:
    """Values that are possible one by one, but not together."""
    from ...job import Job
    from ...runs.registry import launcher

    try:
        for violation in site.check(Job(command=["true"], **site.defaults)):
            if violation.level == "refuse":
                yield f"{site.origin('defaults.queue')}: a job with the defaults alone is refused: {violation.text}"
        if site.launch is not None and site.launcher is not None:
            launcher(site.launcher)(options=site.launch.options, lines=site.launch.lines)
    except TemplateError as error:
        yield f"{site.origin('launch.mpi')}: {error.message}{f' ({error.hint})' if error.hint else ''}"
    except InvalidRequest as error:
        yield f"{site.origin('defaults.num_nodes')}: {error.message}"


def _lines(error: SiteError) -> list[str]:
    return [line.strip() for line in str(error).splitlines()]


_SITE_HELP = "Name of a site, or a site file"
LIST = Command(
    "list",
    "List the known sites.",
    _list,
    (JSON,),
    details="HERE shows how this host was recognized as a part of the site, ERROR what is wrong with the site's file.",
)
SHOW = Command(
    "show",
    "Show the settings of a site, each with its file and line.",
    _show,
    (Flag("config", ("--config",), "FILE", "Site file to show instead of a known site."), JSON),
    Argument("name", "[NAME|FILE]", f"{_SITE_HELP} (default: the site of this host).", many=False, complete="sites"),
    examples=("psij-run site show polaris",),
)
DETECT = Command("detect", "Show which site this host belongs to, and how it was recognized.", _detect, (JSON,))
CHECK = Command(
    "check",
    "Check all site files that are found, or the named ones; exit with 3 if one has errors.",
    _check,
    (JSON,),
    Argument("names", "[NAME|FILE]...", f"{_SITE_HELP} (default: all known sites).", complete="sites"),
    examples=("psij-run site check", "psij-run site check ./cluster.toml"),
)
