"""What a site gives to the jobs of its executor that are described by a command and fields, and not by a `Job`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..sites.site import Site


class SiteDefaults:
    """The defaults of a site. Pickled, it is the site's name and file, and what these say is read where it is needed."""

    def __init__(self, name: str, file: str, site: Site | None = None) -> None:
        self.name, self.file, self._site = name, file, site

    def __repr__(self) -> str:
        return f"SiteDefaults({self.name!r}, {self.file!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return SiteDefaults, (self.name, self.file)

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a job, filled up from the site. Raises `InvalidRequest` for what the site refuses."""
        if self._site is None:
            from ..sites import find

            self._site = find(None, Path(self.file)) if self.file else find(self.name)
        return self._site.complete(values)
