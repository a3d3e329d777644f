"""Site configuration: one TOML file per machine selects its platform, launcher and defaults.

`find()` gives the site for this host. Files are searched in layers (`layers.py`), built on each other
(`catalogue.py`), recognised (`detect.py`) and validated (`models/`, `validation.py`), which `search.py` puts together.
Only the last step needs pydantic; a host that no file describes never comes to it, and another one only when a file was
changed (`site_cache.py`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SiteError
from ..system.lazy_names import lazy_names
from .catalogue import Catalogue
from .content import Fault
from .detect import Detected, Look
from .detect import look as _look
from .findings import Finding
from .generic import plain_site
from .layers import Outdated
from .search import Search, is_path
from .site import LAPTOP, Site
from .site_cache import open_cache
from .site_data import SettingRow

if TYPE_CHECKING:
    from .queues import NodeType, Queue

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
]
__getattr__ = lazy_names(__name__, {"NodeType": ".queues", "Queue": ".queues"})


def find(
    name: str | None = None,
    file: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    placing: bool = True,
    afresh: bool = False,
) -> Site:
    """The site to use: that file, else that name, else $PSIJ_SITE, else the one detected, else `laptop`.

    A name with a slash, or one that ends in .toml, is a file's path, also in $PSIJ_SITE outside of jobs.
    Inside a job $PSIJ_SITE is the job's own; where a file had been named for it, $PSIJ_SITE_FILE is its path, and it
    counts if it is to be read here. `placing`: jobs go there, so if it is `laptop` although a resource manager is
    here, a warning is logged. `afresh`: all is read and validated, whatever is known from an earlier start. Raises
    `SiteError`, with all validation errors, if it is unknown or invalid.
    """
    if not afresh:
        try:
            return Search(environ, open_cache()).find(name, file, placing=placing)
        except Outdated:
            pass
    return Search(environ).find(name, file, placing=placing)


def examine(name: str, *, environ: Mapping[str, str] = os.environ) -> tuple[Site | None, Sequence[Fault]]:
    """The site of that name or path as far as it is right, None where nothing can be used, and all its faults.

    All is validated afresh. Raises `SiteError` for a file that cannot be read at all, or is no TOML.
    """
    catalogue = Catalogue(environ)
    file = catalogue.add(name) if is_path(name) else catalogue.file(name)
    if (plain := plain_site(file)) is not None:
        return plain, ()
    from .validation import examined

    return examined(file, catalogue.content(file))


def detect(*, environ: Mapping[str, str] = os.environ, hostname: str | None = None) -> Detected | None:
    """The name of this host's site and the detection rule that matched, in words, or None. Validates nothing."""
    return look(environ=environ, hostname=hostname).site


def look(*, environ: Mapping[str, str] = os.environ, hostname: str | None = None, file: str = "") -> Look:
    """As `detect`; where no site is recognised, also which resource managers are here all the same.

    With the path of a file, as if that lay above all others.
    """
    catalogue = Catalogue(environ)
    if file:
        catalogue.add(file)
    return _look(catalogue, environ, hostname)


def known(*, environ: Mapping[str, str] = os.environ) -> tuple[list[str], dict[str, SiteError]]:
    """The names of all sites, and the directories and plug-ins that cannot be read, which are among the names."""
    catalogue = Catalogue(environ)
    return sorted({*catalogue, *catalogue.places}), catalogue.places


def installed(*, environ: Mapping[str, str] = os.environ) -> dict[str, Site | SiteError]:
    """Every site by name, or what is wrong with it; a directory or plug-in that cannot be read is in it too.

    All are validated afresh.
    """
    search = Search(environ)
    sites: dict[str, Site | SiteError] = dict(search.catalogue.places)
    for name in search.catalogue:
        try:
            sites[name] = search.site(search.catalogue.file(name))
        except SiteError as error:
            sites[name] = error
    return dict(sorted(sites.items()))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a site file, which ships as `schema.json` next to this module, for editors."""
    from .models.schema import json_schema as schema

    return schema()
