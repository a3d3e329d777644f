"""The search for the site to use."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import SiteError
from ..system.cache import Cache
from .catalogue import Catalogue
from .detect import look
from .generic import plain_site
from .layers import PACKAGE, SiteFile
from .site import LAPTOP, Site
from .site_cache import SiteCache

log = logging.getLogger("psij_parsl.sites")


def is_path(name: str) -> bool:
    """Whether what a person gave for a site is a file's path."""
    return name.endswith(".toml") or "/" in name


class Search:
    """A search through all site files; with a cache it takes from it what is known of files that are as they were."""

    def __init__(self, environ: Mapping[str, str], cache: Cache | None = None) -> None:
        self._environ, self._cache = environ, cache
        self.catalogue = Catalogue(environ, cache)

    def find(self, name: str | None, file: Path | None, *, placing: bool) -> Site:
        """See `sites.find`. Raises `Outdated` where a cache turns out to be."""
        site = self._find(name, file, placing)
        self.catalogue.save()
        return site

    def _find(self, name: str | None, file: Path | None, placing: bool) -> Site:
        if file is not None:
            return self._from_file(file)
        if name:
            return self._named(name)
        if named := self._environ.get("PSIJ_SITE"):
            path = self._environ.get("PSIJ_SITE_FILE", "")
            if path and os.access(path, os.R_OK):
                site = self._from_file(path)
                if site.name == named:
                    return site
                self.catalogue = Catalogue(self._environ, self._cache)
            if not self._environ.get("PSIJ_JOB_ID") or self.catalogue.top(named) is not None:
                return self._named(named, asked_by="$PSIJ_SITE")
            where = f"its file {path}" if path else "its file"
            log.warning("the site %s of this job is not known on this host: %s cannot be read here", named, where)
        return self._detected(placing)

    def _detected(self, placing: bool) -> Site:
        detected = look(self.catalogue, self._environ)
        if detected.site is not None:
            name, sign = detected.site
            try:
                return self.site(self.catalogue.file(name))
            except SiteError as error:
                other = f"this host is {name}, for {sign}; --site with another name goes on without its file"
                raise SiteError(error.message, hint=f"{error.hint}; {other}" if error.hint else other) from error
        if placing and detected.remark:
            log.warning("%s", detected.remark)
        laptop = self.catalogue.top(LAPTOP.name)
        return self.site(laptop) if laptop else LAPTOP

    def _named(self, name: str, *, asked_by: str = "") -> Site:
        if is_path(name):
            return self._from_file(name)
        return self.site(self.catalogue.file(name, asked_by=asked_by))

    def _from_file(self, path: Path | str) -> Site:
        file = self.catalogue.add(path)
        return self.site(file).named_by(file.place)

    def site(self, file: SiteFile) -> Site:
        """The site of that file, validated. Raises `SiteError` with everything that is wrong with it."""
        if file.name == LAPTOP.name and file.layer.directory == PACKAGE:
            return LAPTOP
        known = SiteCache(self.catalogue, self._cache) if self._cache is not None else None
        if known is not None and (site := known.find(file)) is not None:
            return site
        site = plain_site(file)
        if site is None:
            from .validation import validated

            site = validated(file, self.catalogue.content(file))
        if known is not None:
            known.keep(file, site)
        return site
