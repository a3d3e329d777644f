"""`site list`, `show`, `detect` and `check`: machines that are known, and where each of their settings was said."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import InvalidRequest, SiteError, TemplateError, nearest
from ...sites import Site, detect, find, installed, look
from ..arguments import JsonRenderer
from ..completion import sites
from ..flags import is_empty
from ..output import Column, Renderer

_LIST = (
    Column("name", "NAME"),
    Column("here", "HERE"),
    Column("platform", "PLATFORM"),
    Column("description", "DESCRIPTION"),
    Column("error", "ERROR"),
)
_CHECKS = (Column("name", "NAME"), Column("state", "STATE"), Column("faults", "FAULTS"))
_ROWS = (Column("key", "SETTING"), Column("value", "VALUE"), Column("origin", "SAID IN"))


def list_sites(ctx: typer.Context, json: JsonRenderer = False) -> int:
    """List known sites.

    HERE tells how this host was recognised. A broken file is shown with its faults.
    """
    out: Renderer = ctx.obj
    try:
        here = detect()
    except SiteError as error:
        here = None
        out.note(error.message)
    rows = []
    for name, found in installed().items():
        sign = here.sign if here is not None and here.name == name else ""
        row = {"name": name, "here": sign, "platform": "", "description": "", "error": ""}
        if isinstance(found, SiteError):
            row["error"] = found.message
        else:
            row |= {"platform": found.platform, "description": found.description}
        rows.append(row)
    out.table(_LIST, rows, empty="no sites are known")
    return 0


def show(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FILE]",
            help="A site, or a site file (default: this host's).",
            show_default=False,
            autocompletion=sites,
        ),
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="A site file instead.", show_default=False)
    ] = None,
    json: JsonRenderer = False,
) -> int:
    """Show a site's settings, each with its file and line."""
    out: Renderer = ctx.obj
    if config == "":
        raise is_empty("--config")
    site = find(None, Path(config)) if config else _named(name)
    rows = [{"key": row.key, "value": row.value, "origin": row.origin} for row in site.rows]
    if out.json:
        out.record({"name": site.name, "platform": site.platform, "settings": rows}, ())
    else:
        out.table(_ROWS, rows)
    return 0


def detect_site(ctx: typer.Context, json: JsonRenderer = False) -> int:
    """Tell which site this host is, and by what sign."""
    out: Renderer = ctx.obj
    seen = look()
    if seen.site is not None:
        name, sign = seen.site
        out.note(sign)
    else:
        name, sign = find(placing=False).name, ""
        none = "no site is recognised here, so jobs run on this host; --site or PSIJ_SITE names another one"
        out.note(seen.remark or none)
    out.answer(name, {"name": name, "sign": sign, "remark": seen.remark})
    return 0


def check(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|FILE]...",
            help="Sites, or site files (default: all that are known).",
            show_default=False,
            autocompletion=sites,
        ),
    ] = None,
    json: JsonRenderer = False,
) -> int:
    """See whether site files are in order, those of all layers; exit with 3 if one is not."""
    out: Renderer = ctx.obj
    found = {name: _checked(name) for name in names} if names else {n: _faults(s) for n, s in installed().items()}
    rows = [{"name": name, "state": "broken" if faults else "ok", "faults": faults} for name, faults in found.items()]
    out.table(_CHECKS, rows if out.json else [line for row in rows for line in _spread(row)])
    return 3 if any(found.values()) else 0


def _named(name: str | None) -> Site:
    """The site of that name, or of that file."""
    return find(None, Path(name)) if name and (name.endswith(".toml") or "/" in name) else find(name, placing=False)


def _spread(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A site's row with each of its faults on a line."""
    first, *others = row["faults"] or [""]
    return [{**row, "faults": first}, *({"name": "", "state": "", "faults": fault} for fault in others)]


def _checked(name: str) -> list[str]:
    """What is wrong with the site of that name, or with that file."""
    try:
        return _faults(_named(name))
    except SiteError as error:
        return _lines(error)


def _faults(site: Site | SiteError) -> list[str]:
    """Faults of the file, and parameters and fields that its platform does not know."""
    if isinstance(site, SiteError):
        return _lines(site)
    from ...platforms.registry import platform
    from ...sites.site import FLAGS

    template = platform(site.platform).template_class
    known = {*template.params, *FLAGS}
    said: list[tuple[tuple[str, ...], str, Collection[str]]]
    said = [(("parameters", name), name, template.params) for name in site.parameters]
    said += [((key,), name, known) for key in ("required", "forbidden") for name in getattr(site, key)]
    faults = [
        f"{site.origin(key)}: {key[0]}: the {site.platform} platform has no parameter {name!r} ({nearest(name, names)})"
        for key, name, names in said
        if name not in names
    ]
    for name, value in site.parameters.items():
        if name in template.params:
            try:
                template.params[name].convert(value)
            except InvalidRequest as error:
                faults.append(f"{site.origin(('parameters', name))}: {error.message}")
    return [*faults, *_unworkable(site)]


def _unworkable(site: Site) -> Iterator[str]:
    """What each value allows, and all of them together do not."""
    from ...job import Job
    from ...runs.registry import launcher

    try:
        for finding in site.check(Job(command=["true"], **site.defaults)):
            if finding.level == "refuse":
                yield f"{site.origin('defaults.queue')}: a job of the defaults alone is refused: {finding.text}"
        if site.launch is not None and site.launcher is not None:
            launcher(site.launcher)(options=site.launch.options, lines=site.launch.lines)
    except TemplateError as error:
        yield f"{site.origin('launch.mpi')}: {error.message}{f' ({error.hint})' if error.hint else ''}"
    except InvalidRequest as error:
        yield f"{site.origin('defaults.num_nodes')}: {error.message}"


def _lines(error: SiteError) -> list[str]:
    return [line.strip() for line in str(error).splitlines()]
