"""The search path of site files (layers), and the files in it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import SiteError
from ..system.files import user_home
from ..system.plugins import any_plugin
from .host_name import is_quick
from .trust import Trust, trusted_text, untrusted_text

if TYPE_CHECKING:
    from .toml_positions import Key

GROUP = "psij_parsl.sites"
SYSTEM = Path("/etc/psij_parsl/sites")
SYSTEM_LABEL = "system"
PACKAGE = Path(__file__).parent.parent / "configs"

_MOST_LEVELS = 20  # of tables and lists within each other
#: A line that may name the site, extend another, or hold detection rules. Where there is none, we need not parse.
_IDENTITY = re.compile(r"^[ \t]*\[*[ \t]*[\"']?(?:name|extends|detect)\b", re.MULTILINE)
_RULES = re.compile(r"^[ \t]*\[*[ \t]*[\"']?(?:extends|detect)\b", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)
_DOTTED = re.compile(r"(?<![\w.-])(?:[\w-]++[ \t]*+\.[ \t]*+){30}")
_MOST_RULES = 10  # of detection that count of a refused file
_DIGITS = re.compile(r"[\d_]{4000}")
_YAML = re.compile(r"---|- |[\w-]+[ \t]*:( |$)")
_BARE = re.compile(r"=[ \t]*[A-Za-z]")
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class Layer(NamedTuple):
    """One directory of site files. `label` says to people which it is."""

    label: str
    directory: Path


class Outdated(Exception):
    """A file is not as the index of its folder has it."""


@dataclass(frozen=True)
class SiteFile:
    """One site file, not yet understood; `error` says why it cannot be used.

    `place` is its path. `head` has the keys that identify a site; it may be known from an index, as is whether the file
    `is_toml` to its end; then the text is read when it is needed. `identity` tells this content from another one.
    """

    place: str
    layer: Layer
    head: Mapping[str, Any] = field(default_factory=dict, compare=False)
    error: SiteError | None = field(default=None, compare=False)
    known_text: str | None = field(default=None, compare=False, repr=False)
    identity: tuple[int, ...] = field(default=(), compare=False)
    is_toml: bool = field(default=False, compare=False)

    @cached_property
    def path(self) -> Path:
        return Path(self.place)

    @cached_property
    def name(self) -> str:
        name = self.head.get("name")
        if isinstance(name, str) and _NAME.fullmatch(name):
            return name
        return os.path.splitext(os.path.basename(self.place))[0]

    @property
    def extends(self) -> str | None:
        base = self.head.get("extends")
        return base if isinstance(base, str) else None

    @cached_property
    def text(self) -> str:
        """What it holds. Raises `SiteError` where that cannot be read, or may not be trusted."""
        if self.error is not None:
            raise self.error
        return trusted_text(self.place)[0] if self.known_text is None else self.known_text

    @cached_property
    def data(self) -> dict[str, Any]:
        """The whole content. Raises `SiteError`, with line and column, where it is not TOML."""
        data = _parse(self.text, self.path)
        if self.known_text is None and identifying(data) != self.head:
            raise Outdated(self.place)
        return data

    def check_toml(self) -> None:
        """Raise `SiteError` where it is not TOML."""
        if not self.is_toml:
            _ = self.data

    @property
    def may_have_rules(self) -> bool:
        """Whether there can be rules of detection in it, where its head does not tell; it is read for that."""
        try:
            return _RULES.search(untrusted_text(self.place)) is not None
        except SiteError:
            pass
        try:
            return stat.S_ISREG(self.path.stat().st_mode)
        except OSError:
            return True

    @property
    def is_known_as_toml(self) -> bool:
        return self.is_toml or "data" in vars(self)

    @cached_property
    def lines(self) -> dict[Key, int]:
        from .toml_positions import lines

        return lines(self.text)


def identifying(data: Mapping[str, Any]) -> dict[str, Any]:
    """Of a file's content, or of its head, the keys that identify a site."""
    return {key: data[key] for key in ("name", "extends", "detect") if key in data}


def layers(environ: Mapping[str, str]) -> Iterator[Layer | tuple[str, SiteError]]:
    """The directories that are searched, low to high; a plug-in without one gives its name and its error."""
    yield Layer("package", PACKAGE)
    yield from _plugins()
    yield Layer(SYSTEM_LABEL, Path(under_root(str(SYSTEM), environ)))
    listed = [place for place in environ.get("PSIJ_PARSL_SITE_PATH", "").split(os.pathsep) if place]
    paths = dict.fromkeys(os.path.abspath(os.path.expanduser(place)) for place in listed)
    for path in reversed(paths):  # as in PATH, the first one wins
        yield Layer("PSIJ_PARSL_SITE_PATH", Path(path))
    yield Layer("user", user_directory(environ))


def under_root(path: str, environ: Mapping[str, str]) -> str:
    """Where an absolute path of this host is looked for: below $PSIJ_PARSL_SYSROOT, if that is set."""
    root = environ.get("PSIJ_PARSL_SYSROOT")
    return os.path.join(root, path.lstrip("/")) if root else path


def user_directory(environ: Mapping[str, str]) -> Path:
    """Where a user's own site files lie."""
    config = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(config):  # by its standard a relative one does not count
        config = os.path.join(environ.get("HOME") or user_home(), ".config")
    return Path(config) / "psij_parsl" / "sites"


def _plugins() -> Iterator[Layer | tuple[str, SiteError]]:
    if not any_plugin(GROUP):
        return
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            yield Layer(f"plug-in {point.name}", _directory(point.load()))
        except BaseException as error:  # noqa: BLE001 - third-party code must not spoil the others, whatever it raises
            message = (
                f"the sites of plug-in {point.name} ({point.value}) cannot be found: {type(error).__name__}: {error}"
            )
            yield (
                point.name,
                SiteError(message, hint="it must load to a directory, or a package with TOML files in it"),
            )


def _directory(loaded: Any) -> Path:
    if isinstance(loaded, str | os.PathLike):
        path = Path(os.fspath(loaded))
    elif getattr(loaded, "__path__", None):
        path = Path(next(iter(loaded.__path__)))
    elif getattr(loaded, "__file__", None):
        path = Path(loaded.__file__).parent
    else:
        raise TypeError(f"{loaded!r} is neither a directory nor a module")
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is no directory")
    return path


def names_in(layer: Layer) -> list[os.DirEntry[str]]:
    """The entries of a layer's site files by name. Raises `SiteError` where the directory is there and cannot be read."""
    try:
        with os.scandir(layer.directory) as entries:
            found = [one for one in entries if one.name.endswith(".toml") and not one.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.islink(layer.directory) and isinstance(error, FileNotFoundError):
            message = f"the site files in {layer.directory} cannot be listed: it is a link to what is not there"
            raise SiteError(message, hint="look whether that is mounted") from error
        return []
    except OSError as error:
        raise SiteError(
            f"the site files in {layer.directory} cannot be listed: {error.strerror}",
            hint="look at its permissions, and at those of the folders above",
        ) from error
    return sorted(found, key=lambda one: one.name)


def read(path: Path, layer: Layer, trust: Trust | None = None) -> SiteFile:
    """Read one file; what is wrong with it is kept in it."""
    try:
        text, status = trusted_text(str(path), trust)
    except SiteError as error:
        return SiteFile(str(path), layer, _head_of_refused(path), error)
    try:
        return SiteFile(str(path), layer, _head(text, path), known_text=text, identity=identity(status))
    except SiteError as error:
        return SiteFile(str(path), layer, error=error)


def _head_of_refused(path: Path) -> dict[str, Any]:
    """By what a file that may not be used says that it is for a host, so that jobs do not go elsewhere there.

    Nothing is run for somebody else's rules, and no pattern is tried that could take for ever.
    """
    try:
        head = _head(untrusted_text(str(path)), path)
    except SiteError:
        return {}
    rules = head.get("detect")
    if isinstance(rules, list):
        head["detect"] = [rule for rule in rules if _is_harmless(rule)][:_MOST_RULES]
    return head


def _is_harmless(rule: Any) -> bool:
    known = isinstance(rule, dict) and rule.keys() <= {"env", "cluster", "file", "hostname"}
    return known and is_quick(rule.get("hostname", ""))


def identity(status: os.stat_result) -> tuple[int, ...]:
    """What is another one when a file was written to or replaced, even with its size and its time kept."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _head(text: str, path: Path) -> dict[str, Any]:
    """The keys that identify a site: `name`, `extends` and `detect`, read without the rest where that can be."""
    if not _IDENTITY.search(text):
        return {}
    first = _HEADER.search(text)
    if first is not None and not _IDENTITY.search(text, first.start()):
        try:
            return _parse(text[: first.start()], path)
        except SiteError:  # broken, or that [ stood in a list or a text of several lines
            pass
    return _parse(text, path)


def _parse(text: str, path: Path) -> dict[str, Any]:
    import tomllib

    if dotted := _DOTTED.search(text):
        raise _too_deep(path, text.count("\n", 0, dotted.start()) + 1)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line, column = (place[1], place[2]) if place else (None, None)
        where = f"{path}:{line}:{column}" if line else f"{path}:{text.count(chr(10)) + 1}"
        message = str(error)[: place.start()] if place else str(error)
        tail = " at the end of the file" if place and not line else ""
        raise SiteError(f"{where}: {message}{tail}", hint=_what_it_is(text, line)) from error
    except RecursionError as error:
        raise _too_deep(path) from error
    except ValueError as error:
        digits = _DIGITS.search(text)
        line = text.count("\n", 0, digits.start()) + 1 if digits else 1
        raise SiteError(f"{path}:{line}: a number has too many digits", hint="no site needs that") from error
    if _levels(data) > _MOST_LEVELS:
        raise _too_deep(path)
    return data


def _too_deep(path: Path, line: int | None = None) -> SiteError:
    where = f"{path}:{line}" if line else path
    return SiteError(f"{where}: lists or tables are nested too deeply", hint="no site needs that")


def _levels(data: Any) -> int:
    """How many tables and lists are within each other, counted up to one more than we take."""
    level, values = 0, [data]
    while values and level <= _MOST_LEVELS:
        level += 1
        inner: list[Any] = []
        for value in values:
            inner += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        values = inner
    return level


def _what_it_is(text: str, line: str | None) -> str:
    """A hint for what is no TOML."""
    if text.lstrip()[:1] == "{":
        return "this looks like JSON, and a site file is TOML: https://toml.io"
    wrong = text.split("\n")[int(line) - 1].strip() if line else ""
    if _YAML.match(wrong):
        return "this looks like YAML, and a site file is TOML: https://toml.io"
    if _BARE.search(wrong):
        return "text stands in quotes, and it is true and false in lower case: https://toml.io"
    return "this is not TOML: https://toml.io"
