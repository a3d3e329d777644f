"""`site list`, `show`, `detect`, `path` and `schema`: the known machines, and where their settings come from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...errors import InvalidRequest, SiteError
from ...sites import detect, find, installed, json_schema, look
from ...sites.catalogue import Catalogue
from ...sites.search import is_path
from ..command import Command, Invocation
from ..flags import JSON, Argument, Flag, FlagTexts
from ..job_flags import job_flags
from ..job_from_flags import from_environment
from ..output import Column, Renderer

_LIST = (
    Column("name", "NAME"),
    Column("here", "HERE"),
    Column("platform", "PLATFORM"),
    Column("description", "DESCRIPTION", wraps=True),
    Column("error", "ERROR", wraps=True),
)
_PATH = (Column("layer", "LAYER"), Column("directory", "DIRECTORY", wraps=True), Column("sites", "SITES", wraps=True))
_FILES = (Column("layer", "LAYER"), Column("files", "FILES", wraps=True))
_ROWS = (Column("key", "SETTING"), Column("value", "VALUE", wraps=True), Column("origin", "FROM", wraps=True))
_ORIGINS = (*_ROWS, Column("source", "SOURCE", wraps=True))
SITE_HELP = "Name of a site, or a site file"
ONE_SITE = Argument(
    "name", "[NAME|FILE]", f"{SITE_HELP} (default: the site of this host).", many=False, complete="sites"
)
#: The same as the commands for jobs have it.
CHOICE = job_flags("site", "config")


def chosen(invocation: Invocation) -> str | None:
    """The name or the path by which a site was asked for, None for this host's. Raises `InvalidRequest` for several."""
    said = [text for text in (invocation.argument, *choices(invocation.texts)) if text is not None]
    if "" in said:
        raise InvalidRequest("the site's name is empty", hint="give a name or a file, or leave it out")
    if len(said) > 1:
        raise InvalidRequest("the site is given twice", hint=f"only {said[0]}, or only {said[1]}")
    return said[0] if said else next(choices(from_environment().texts), None)


def choices(texts: FlagTexts) -> Iterator[str]:
    """The site that flags or variables name, and the file, as a path that cannot be taken for a name."""
    if "site" in texts:
        yield str(texts["site"])
    if "config" in texts:
        file = str(texts["config"])
        yield file if is_path(file) else os.path.join(os.curdir, file)


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
    site = find(chosen(invocation), placing=False, afresh=True)
    rows = [
        {"key": row.key, "value": row.value, "origin": row.origin, "source": site.source(row.key)}
        for row in site.rows
    ]
    if out.json:
        out.record({"name": site.name, "platform": site.platform, "settings": rows}, ())
    else:
        out.table(_ORIGINS if "origin" in invocation.texts else _ROWS, rows)
    return 0


def _detect(out: Renderer, invocation: Invocation) -> int:
    seen = look()
    if seen.site is not None:
        name, sign = seen.site
        out.note(sign)
    else:
        name, sign = find(placing=False).name, ""
        none = "no site is detected here, so jobs run on this host; --site or PSIJ_SITE names another site"
        chosen_by = f"by $PSIJ_SITE: {name}" if os.environ.get("PSIJ_SITE") else ""
        out.note(chosen_by or seen.remark or none)
    out.answer(name, {"name": name, "sign": sign, "remark": seen.remark})
    return 0


def _path(out: Renderer, invocation: Invocation) -> int:
    """Where site files are looked for, or those of one site, the one that counts first."""
    catalogue = Catalogue(os.environ)
    if (name := invocation.argument) is not None:
        catalogue.file(name)
    rows = []
    for layer in reversed(catalogue.layers):
        files = [file for file in catalogue.files(layer) if name in (None, file.name)]
        if files or name is None:
            paths = [str(file.path) for file in files] if name else []
            row = {"layer": layer.label, "directory": str(layer.directory), "sites": len(files), "files": paths}
            if lacks := _lacking(layer.directory, catalogue.places.get(str(layer.directory))):
                row["sites"] = f"none: {lacks}"
            rows.append(row)
    out.table(_FILES if name else _PATH, rows)
    return 0


def _lacking(directory: Path, error: SiteError | None) -> str:
    """Why no files can be in a directory, if there is a reason."""
    if error is not None:
        return error.message
    if directory.is_dir():
        return ""
    return "it is a file, and a folder is wanted" if directory.exists() else "it is not there"


def _schema(out: Renderer, invocation: Invocation) -> int:
    import json

    schema = json_schema()
    out.answer(json.dumps(schema, indent=2), schema)
    return 0


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
    (
        *CHOICE,
        Flag("origin", ("--origin",), "", "Show also the source that the file names for each setting.", switch=True),
        JSON,
    ),
    ONE_SITE,
    examples=("psij-run site show polaris", "psij-run site show frontier --origin"),
)
DETECT = Command("detect", "Show which site this host belongs to, and how it was recognized.", _detect, (JSON,))
PATH = Command(
    "path",
    "Show the directories in which site files are looked for, or the files that make up a site.",
    _path,
    (JSON,),
    Argument("name", "[NAME]", "Name of a site: show its files.", many=False, complete="sites"),
    details="The first one counts before the others.",
    examples=("psij-run site path", "psij-run site path polaris"),
)
SCHEMA = Command(
    "schema",
    "Print the JSON Schema of a site file, for editors.",
    _schema,
    (JSON,),
    details="An editor that knows Taplo finds it by the first line of a file: #:schema PATH-OR-URL",
    examples=("psij-run site schema > site.schema.json",),
)
