"""Validated sites, kept from one start to the next: the models, and pydantic below them, take longer to import than all
the rest of a start.

A site is kept with the text of each file that makes it up. It counts only for the same texts in files of the same
paths, which are read each time, and only for the same modules that made it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SiteError
from ..system.cache import Cache
from .catalogue import Catalogue
from .layers import PACKAGE, SiteFile
from .plugin_names import unknown_plugins

if TYPE_CHECKING:
    from .site import Site

_PACKAGE = PACKAGE.parent


def open_cache() -> Cache:
    """What earlier starts of this very code have kept."""
    return Cache(_stamp())


class SiteCache:
    """The validated sites of a catalogue's files."""

    def __init__(self, catalogue: Catalogue, kept: Cache) -> None:
        self._catalogue, self._kept = catalogue, kept

    def find(self, file: SiteFile) -> Site | None:
        """The site of a file as it was validated; None if that has to be done."""
        if not (texts := self._texts(file)):
            return None
        from .site_records import from_record

        kept = self._kept.read(_name(file, texts))
        try:
            if kept["name"] != file.name or kept["files"] != texts:
                return None
            site = from_record(kept["site"])
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        return None if any(unknown_plugins(site.platform, site.launcher)) else site

    def keep(self, file: SiteFile, site: Site) -> None:
        """Keep the site of a file, which was validated."""
        if not (texts := self._texts(file)):
            return
        from .site_records import to_record

        try:
            record = to_record(site)
        except TypeError:
            return
        self._kept.write(_name(file, texts), {"name": file.name, "files": texts, "site": record})

    def _texts(self, file: SiteFile) -> list[list[str]]:
        """The path and the text of each file that makes up a site; nothing where one cannot be used."""
        try:
            return [[one.place, one.text] for one in self._catalogue.chain(file)]
        except SiteError:
            return []


def _name(file: SiteFile, texts: list[list[str]]) -> str:
    places = "\n".join([file.name, *(path for path, _ in texts)])
    return f"site-{zlib.crc32(os.fsencode(places)):08x}"


@cache
def _stamp() -> str:
    """Another one for each version, and in a clone after each change of what makes a site."""
    facts: list[Any] = [(_PACKAGE / "__init__.py").read_bytes()]  # the version is in it
    for path in _code():
        status = os.stat(path)
        facts += [status.st_size, status.st_mtime_ns]
    return f"{zlib.crc32(repr(facts).encode()):08x}"


def _code() -> Iterator[Path]:
    for folder in ("sites", "sites/models"):
        yield from sorted((_PACKAGE / folder).glob("*.py"))
    yield from (_PACKAGE / "resources" / f"{name}.py" for name in ("hostlist", "node"))
    yield _PACKAGE / "platforms" / "templates" / "parameters.py"
