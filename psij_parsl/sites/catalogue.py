"""The catalogue of site files: lookup by name, layers, inheritance by `extends`, and the origin of each value."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import SiteError, nearest
from ..system.cache import Cache
from .content import Content, Fault, drop, merged
from .folder_index import FolderIndex
from .layers import Layer, SiteFile, layers, read
from .trust import Trust

_OWN = ("name", "extends", "detect")  # they say which site a file is: one of another name does not take them over


class Catalogue:
    """The site files of all layers. Knows what tells them apart, and reads the rest of a file when it is used."""

    def __init__(self, environ: Mapping[str, str], cache: Cache | None = None) -> None:
        """Without a cache all files are read."""
        self.layers: list[Layer] = []  # low to high
        self.places: dict[str, SiteError] = {}  # directories and plug-ins that cannot be read
        self._files: dict[str, list[SiteFile]] = {}  # by name, low to high
        self._indexes: list[FolderIndex] = []
        self.cache, self._trust = cache, Trust()
        for layer in layers(environ):
            if isinstance(layer, Layer):
                self._add(layer)
            else:
                self.places[layer[0]] = layer[1]

    def add(self, file: Path | str) -> SiteFile:
        """Put a file that a person named on top of all layers."""
        path = Path(os.path.abspath(os.path.expanduser(file)))
        layer = Layer("command line", path.parent)
        self.layers.append(layer)
        found = read(path, layer)
        self._files.setdefault(found.name, []).append(found)
        return found

    def _add(self, layer: Layer) -> None:
        self.layers.append(layer)
        try:
            index = FolderIndex(layer, self.cache, self._trust)
        except SiteError as error:
            self.places[str(layer.directory)] = error
            return
        self._indexes.append(index)
        for file in index.files:
            self._files.setdefault(file.name, []).append(file)

    def save(self) -> None:
        """Keep what was found out about the files for the next start."""
        for index in self._indexes:
            index.save()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._files))

    def files(self, layer: Layer) -> list[SiteFile]:
        """The files of one layer."""
        return [file for same_name in self._files.values() for file in same_name if file.layer == layer]

    def top(self, name: str) -> SiteFile | None:
        """The file that counts for a name: the one of the highest layer."""
        same_name = self._files.get(name)
        return same_name[-1] if same_name else None

    def below(self, file: SiteFile) -> SiteFile | None:
        """The file of the same name in the next lower layer that has one."""
        rank = self.layers.index(file.layer)
        lower = [other for other in self._files[file.name] if self.layers.index(other.layer) < rank]
        return lower[-1] if lower else None

    def base(self, file: SiteFile) -> SiteFile | None:
        """The file that this one extends, if it says so and there is one."""
        if file.extends is None:
            return None
        return self.below(file) if file.extends == file.name else self.top(file.extends)

    def file(self, name: str, *, asked_by: str = "") -> SiteFile:
        """The file of that name. Raises `SiteError` if there is none; `asked_by` says who named it."""
        file = self.top(name)
        if file is None:
            if name in self.places:
                raise self.places[name]
            by = f", which {asked_by} names" if asked_by else ""
            unread = [error.message for error in self.places.values()]
            raise SiteError(f"there is no site {name!r}{by}", hint="; ".join([nearest(name, self._files), *unread]))
        return file

    def chain(self, file: SiteFile) -> list[SiteFile]:
        """A file and all that it builds on; nothing where one of them is lacking, or which it is cannot be told."""
        found = [file]
        while not self._twins(found[-1]):
            if found[-1].extends is None:
                return found
            base = self.base(found[-1])
            if base is None or base in found:
                break
            found.append(base)
        return []

    def _twins(self, file: SiteFile) -> list[Path]:
        """All files of the same name in its layer, if there are several."""
        paths = [other.path for other in self._files[file.name] if other.layer == file.layer]
        return paths if len(paths) > 1 else []

    def content(self, file: SiteFile) -> Content:
        """The content of a file, merged with what it extends. Raises `SiteError` for what cannot be read."""
        return self._content(file, ())

    def _content(self, file: SiteFile, chain: tuple[SiteFile, ...]) -> Content:
        """The same; `chain` are the files that led here."""
        chain = (*chain, file)
        if twins := self._twins(file):
            raise SiteError(
                f"the site {file.name!r} is described twice in {file.layer.directory}: "
                + " and ".join(path.name for path in twins),
                hint="rename one, or remove it",
            )
        own = Content(dict(file.data), {key: f"{file.path}:{line}" for key, line in file.lines.items()})
        own.data.setdefault("name", file.name)
        own.origins.setdefault(("name",), str(file.path))
        if file.extends is None:
            return own
        where = own.origins["extends",]
        base = self.base(file)
        if base is None:
            return Content(own.data, own.origins, (self._no_base(file, where),))
        if base in chain:
            links = " extends ".join(f"{link.name} ({link.path})" for link in (*chain, base))
            raise SiteError(f"{where}: extends: it ends where it began: {links}", hint="leave one of them out")
        try:
            _ = base.data
        except SiteError as error:
            message = f"{where}: extends: {base.name} cannot be used: {error.message}"
            raise SiteError(message, hint=error.hint) from error
        below = self._content(base, chain)
        if base.name != file.name:
            for key in _OWN:
                drop(below, key)
        return Content(*merged(below, own), below.faults)

    def _no_base(self, file: SiteFile, where: str) -> Fault:
        if file.extends == file.name:
            return Fault(where, "extends", f"no lower layer has a site {file.name!r}")
        others = [name for name in self if name != file.name]
        return Fault(where, "extends", f"there is no site {file.extends!r}", nearest(file.extends or "", others))
