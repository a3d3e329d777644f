"""`site list` and `site show`: machines that are known, and where each of their settings was said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SiteError
from ..sites import detect, find, installed
from .arguments import Json
from .complete import sites
from .output import Column, Renderer

_LIST = (
    Column("name", "NAME"), Column("here", "HERE"), Column("platform", "PLATFORM"),
    Column("description", "DESCRIPTION"), Column("error", "ERROR"),
)  # fmt: skip
_ROWS = (Column("key", "SETTING"), Column("value", "VALUE"), Column("origin", "SAID IN"))


def list_sites(ctx: typer.Context, json: Json = False) -> int:
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
            metavar="[NAME]", help="A site (default: this host's).", show_default=False, autocompletion=sites
        ),
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="A site file instead.", show_default=False)
    ] = None,
    json: Json = False,
) -> int:
    """Show a site's settings, each with its file and line."""
    out: Renderer = ctx.obj
    site = find(name, Path(config) if config else None)
    rows = [{"key": row.key, "value": row.value, "origin": row.origin} for row in site.rows()]
    if out.json:
        out.record({"name": site.name, "platform": site.platform, "settings": rows}, ())
    else:
        out.table(_ROWS, rows)
    return 0
