"""Site configuration: one TOML file per machine selects its platform, launcher and defaults.

`find()` gives the site for this host. Files are searched in layers (`layers.py`), built on each other
(`catalogue.py`), recognised (`detect.py`) and validated (`models/`, `validation.py`); only the last step needs
pydantic, and a host that no file describes never comes to it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import SiteError
from .catalogue import Catalogue
from .content import Fault
from .detect import Detected, Look
from .detect import look as _look
from .findings import Finding
from .generic import plain_site
from .layers import SiteFile
from .queues import NodeType, Queue
from .site import LAPTOP, Site
from .site_data import SettingRow

log = logging.getLogger(__name__)

__all__ = [
    "LAPTOP",
    "Detected",
    "Finding",
    "Look",
    "NodeType",
    "Queue",
    "SettingRow",
    "Site",
    "detect",
    "examine",
    "find",
    "installed",
    "json_schema",
    "known",
    "look",
    "named",
]


def find(
    name: str | None = None,
    file: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    placing: bool = True,
) -> Site:
    """The site to use: that file, else that name, else $PSIJ_SITE, else the one detected, else `laptop`.

    Inside a job $PSIJ_SITE is the job's own; where a file had been named for it, $PSIJ_SITE_FILE is its path, and it
    counts if it is to be read here. `placing`: jobs go there, so if it is `laptop` although a resource manager is
    here, a warning is logged. Raises `SiteError`, with all validation errors, if it is unknown or invalid.
    """
    catalogue = Catalogue(environ)
    if file is not None:
        return _from_file(catalogue, os.path.abspath(os.path.expanduser(file)))
    if name:
        return _site(catalogue, catalogue.file(name))
    if named := environ.get("PSIJ_SITE"):
        path = environ.get("PSIJ_SITE_FILE", "")
        if path and os.access(path, os.R_OK):
            site = _from_file(catalogue, path)
            if site.name == named:
                return site
            catalogue = Catalogue(environ)
        if not environ.get("PSIJ_JOB_ID") or catalogue.top(named) is not None:
            return _site(catalogue, catalogue.file(named, asked_by="$PSIJ_SITE"))
        where = f"its file {path}" if path else "its file"
        log.warning("the site %s of this job is not known on this host: %s cannot be read here", named, where)
    detected = _look(catalogue, environ)
    if detected.site is not None:
        return _site(catalogue, catalogue.file(detected.site.name))
    if placing and detected.remark:
        log.warning("%s", detected.remark)
    laptop = catalogue.top(LAPTOP.name)
    return _site(catalogue, laptop) if laptop else LAPTOP


def _from_file(catalogue: Catalogue, path: str) -> Site:
    return _site(catalogue, catalogue.add(Path(path))).named_by(path)


def _site(catalogue: Catalogue, file: SiteFile) -> Site:
    """The site of that file, validated. Raises `SiteError` with everything that is wrong with it."""
    if (plain := plain_site(file)) is not None:
        return plain
    from .validation import validated

    return validated(file, catalogue.content(file))


def named(name: str | None) -> Site:
    """The site of that name, or of that file if it looks like a path (default: this host's). Raises `SiteError`."""
    return find(None, Path(name)) if name and _is_path(name) else find(name, placing=False)


def examine(name: str, *, environ: Mapping[str, str] = os.environ) -> tuple[Site | None, Sequence[Fault]]:
    """As `named`, with all faults in place of an error: the site as far as it is right, None where nothing can be used.

    Raises `SiteError` for a file that cannot be read at all, or is no TOML.
    """
    catalogue = Catalogue(environ)
    path = os.path.abspath(os.path.expanduser(name))
    file = catalogue.add(Path(path)) if _is_path(name) else catalogue.file(name)
    if (plain := plain_site(file)) is not None:
        return plain, ()
    from .validation import examined

    return examined(file, catalogue.content(file))


def _is_path(name: str) -> bool:
    return name.endswith(".toml") or "/" in name


def detect(*, environ: Mapping[str, str] = os.environ, hostname: str | None = None) -> Detected | None:
    """The name of this host's site and the detection rule that matched, in words, or None. Validates nothing."""
    return look(environ=environ, hostname=hostname).site


def look(*, environ: Mapping[str, str] = os.environ, hostname: str | None = None) -> Look:
    """As `detect`; where no site is recognised, also which resource managers are here all the same."""
    return _look(Catalogue(environ), environ, hostname)


def known(*, environ: Mapping[str, str] = os.environ) -> tuple[list[str], dict[str, SiteError]]:
    """The names of all sites, and the directories and plug-ins that cannot be read, which are among the names."""
    catalogue = Catalogue(environ)
    return sorted({*catalogue, *catalogue.places}), catalogue.places


def installed(*, environ: Mapping[str, str] = os.environ) -> dict[str, Site | SiteError]:
    """Every site by name, or what is wrong with it; a directory or plug-in that cannot be read is in it too."""
    catalogue = Catalogue(environ)
    sites: dict[str, Site | SiteError] = dict(catalogue.places)
    for name in catalogue:
        try:
            sites[name] = _site(catalogue, catalogue.file(name))
        except SiteError as error:
            sites[name] = error
    return dict(sorted(sites.items()))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a site file, which ships as `schema.json` next to this module, for editors."""
    from .models.schema import json_schema as schema

    return schema()
