"""From site files to one site: names, layers, `extends`, and where each value was said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SiteError, nearest
from .layers import PACKAGE, Layer, SiteFile, files, layers, read
from .site import Generic, Laptop, Site
from .toml_positions import Key

if TYPE_CHECKING:
    from .validation import Fault

_OWN = ("name", "extends", "detect")  # they say which site a file is: one of another name does not take them over


@dataclass(frozen=True)
class Content:
    """Tables and where each of their values was said; `faults` are those of the way there."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


class Catalogue:
    """The site files of all layers. Reads what tells them apart, and the rest when one is chosen."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.layers: list[Layer] = []  # low to high
        self.places: dict[str, SiteError] = {}  # directories and plug-ins that cannot be read
        self._files: dict[str, list[SiteFile]] = {}  # by name, low to high
        for layer in layers(environ):
            if isinstance(layer, Layer):
                self._add(layer)
            else:
                self.places[layer[0]] = layer[1]

    def add(self, path: Path) -> SiteFile:
        """Put a file that a person named on top of all layers."""
        layer = Layer("command line", path.parent)
        self.layers.append(layer)
        file = read(path, layer)
        self._files.setdefault(file.name, []).append(file)
        return file

    def _add(self, layer: Layer) -> None:
        self.layers.append(layer)
        try:
            for file in files(layer):
                self._files.setdefault(file.name, []).append(file)
        except SiteError as error:
            self.places[str(layer.directory)] = error

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._files))

    def top(self, name: str) -> SiteFile | None:
        """The file that counts for a name: the one of the highest layer."""
        found = self._files.get(name)
        return found[-1] if found else None

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

    def site(self, name: str, *, asked_by: str = "") -> Site:
        """The site of that name, validated. Raises `SiteError`; `asked_by` says who named it."""
        file = self.top(name)
        if file is None:
            if name in self.places:
                raise self.places[name]
            by = f", which {asked_by} names" if asked_by else ""
            raise SiteError(f"there is no site {name!r}{by}", hint=nearest(name, self._files))
        return self.load(file)

    def load(self, file: SiteFile) -> Site:
        """The site of that file, validated. Raises `SiteError` with everything that is wrong with it."""
        if file.name == Laptop.name and file.layer.directory == PACKAGE:
            return Laptop()
        if file.layer.directory == PACKAGE and not {*file.data} - {*Generic.KEYS}:
            return Generic(file)
        from .validation import validated

        return validated(file, self._content(file, ()))

    def _content(self, file: SiteFile, chain: tuple[SiteFile, ...]) -> Content:
        """What a file says on top of what it extends."""
        chain = (*chain, file)
        twins = [other.path for other in self._files[file.name] if other.layer == file.layer]
        if len(twins) > 1:
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
                _drop(below, (key,))
                below.data.pop(key, None)
        return Content(*_merged(below, own), below.faults)

    def _no_base(self, file: SiteFile, where: str) -> Fault:
        from .validation import Fault

        if file.extends == file.name:
            return Fault(where, "extends", f"no lower layer has a site {file.name!r}")
        others = [name for name in self if name != file.name]
        return Fault(where, "extends", f"there is no site {file.extends!r}", nearest(file.extends or "", others))


def _merged(low: Content, high: Content) -> tuple[dict[str, Any], dict[Key, str]]:
    """Tables merge by key; every other value, lists among them, replaces the lower one."""
    whole = Content(low.data, dict(low.origins))

    def lay(under: dict[str, Any], over: dict[str, Any], table: Key) -> dict[str, Any]:
        result = dict(under)
        for name, value in over.items():
            key = (*table, name)
            if isinstance(value, dict) and isinstance(under.get(name), dict):
                result[name] = lay(under[name], value, key)
            else:
                _drop(whole, key)
                result[name] = value
        return result

    data = lay(low.data, high.data, ())
    whole.origins.update(high.origins)
    return data, whole.origins


def _drop(content: Content, key: Key) -> None:
    for other in [other for other in content.origins if other[: len(key)] == key]:
        del content.origins[other]
