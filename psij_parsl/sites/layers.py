"""The search path of site files (layers), and reading a file with checks of its permissions.

A site file holds shell text that runs as the user. So one that others could have written is refused; what the owner
of this package has written is trusted as the package's own code is.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import SiteError
from ..system.files import private_group
from ..system.plugins import any_plugin
from .toml_positions import Key, lines

GROUP = "psij_parsl.sites"
SYSTEM = Path("/etc/psij_parsl/sites")
PACKAGE = Path(__file__).parent.parent / "configs"

_MOST_BYTES = 1 << 20  # of a file
_MOST_LEVELS = 20  # of tables and lists within each other
#: A line that may name the site, extend another, or hold detection rules. Where there is none, we need not parse.
_IDENTITY = re.compile(r"^[ \t]*\[*[ \t]*[\"']?(?:name|extends|detect)\b", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)
_DOTTED = re.compile(r"(?<![\w.-])(?:[\w-]++[ \t]*+\.[ \t]*+){30}")
_YAML = re.compile(r"---|- |[\w-]+[ \t]*:( |$)")
_BARE = re.compile(r"=[ \t]*[A-Za-z]")
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True)
class Layer:
    """One directory of site files. `label` says to people which it is."""

    label: str
    directory: Path


@dataclass(frozen=True)
class SiteFile:
    """One site file, read and not yet understood. `error` says why it cannot be used."""

    path: Path
    layer: Layer
    text: str = ""
    head: Mapping[str, Any] = field(default_factory=dict)
    error: SiteError | None = None

    @property
    def name(self) -> str:
        name = self.head.get("name")
        return name if isinstance(name, str) and _NAME.fullmatch(name) else self.path.stem

    @property
    def extends(self) -> str | None:
        base = self.head.get("extends")
        return base if isinstance(base, str) else None

    @cached_property
    def data(self) -> dict[str, Any]:
        """The whole content. Raises `SiteError`, with line and column, where it is not TOML."""
        if self.error is not None:
            raise self.error
        return _parse(self.text, self.path)

    @cached_property
    def lines(self) -> dict[Key, int]:
        return lines(self.text)


def layers(environ: Mapping[str, str]) -> Iterator[Layer | tuple[str, SiteError]]:
    """The directories that are searched, low to high; a plug-in without one gives its name and its error."""
    yield Layer("package", PACKAGE)
    yield from _plugins()
    yield Layer("system", Path(under_root(str(SYSTEM), environ)))
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
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")) / "psij_parsl" / "sites"


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


def files_of(layer: Layer) -> list[SiteFile]:
    """The site files of a layer by name. Raises `SiteError` where the directory is there and cannot be read."""
    try:
        names = sorted(os.listdir(layer.directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SiteError(f"the site files in {layer.directory} cannot be listed: {error.strerror}") from error
    return [
        read(layer.directory / name, layer) for name in names if name.endswith(".toml") and not name.startswith(".")
    ]


def read(path: Path, layer: Layer) -> SiteFile:
    """Read one file; what is wrong with it is kept in it."""
    try:
        text = _trusted_text(path)
        return SiteFile(path, layer, text, _head(text, path))
    except SiteError as error:
        return SiteFile(path, layer, error=error)


def _trusted_text(path: Path) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not keep us waiting
        try:
            _check_trust(path, os.fstat(handle))
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read(_MOST_BYTES + 1)
        finally:
            os.close(handle)
    except OSError as error:
        raise SiteError(
            f"the site file {path} cannot be read: {error.strerror}", hint="look at its path and its permissions"
        ) from error
    if len(content) > _MOST_BYTES:
        raise SiteError(f"the site file {path} is larger than 1 MB", hint="no site needs that: is it another file?")
    return _decoded(content, path)


def _decoded(content: bytes, path: Path) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SiteError(f"{path}:1: this is UTF-16, and TOML is UTF-8", hint="save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SiteError(f"{path}:{line}: this is not UTF-8, as TOML must be", hint="save it as UTF-8") from error


def _check_trust(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SiteError(f"the site file {path} is no regular file", hint="name a file")
    if status.st_mode & stat.S_IWOTH:
        raise SiteError(f"the site file {path} is refused: everybody can write to it", hint=f"chmod o-w {path}")
    if status.st_uid not in (0, os.geteuid(), os.stat(__file__).st_uid):
        raise SiteError(
            f"the site file {path} is refused: it belongs to {_user(status.st_uid)}, neither to you nor to root",
            hint="its shell lines would run as you: read it, and make a copy of your own",
        )
    code = os.stat(__file__)
    as_code = code.st_mode & stat.S_IWGRP and code.st_gid == status.st_gid
    if status.st_mode & stat.S_IWGRP and not as_code and not private_group(status.st_gid, status.st_uid):
        raise SiteError(f"the site file {path} is refused: its group can write to it", hint=f"chmod g-w {path}")
    folders_of_code = Path(os.path.realpath(__file__)).parents
    for folder in dict.fromkeys((*path.absolute().parents, *Path(os.path.realpath(path)).parents)):
        if folder not in folders_of_code:
            _check_folder(path, folder)


def _check_folder(path: Path, folder: Path) -> None:
    """Raise `SiteError` if others than root, the user and this package's owner can put other files into a folder."""
    status = folder.stat()
    if status.st_mode & stat.S_ISVTX:  # there they cannot replace what is not theirs
        return
    who = ""
    if status.st_mode & stat.S_IWOTH:
        who = "everybody"
    elif status.st_mode & stat.S_IWGRP and not private_group(status.st_gid, status.st_uid):
        who = "its group"
    elif status.st_uid not in (0, os.geteuid(), os.stat(__file__).st_uid):
        raise SiteError(
            f"the site file {path} is refused: {folder} belongs to {_user(status.st_uid)}, who can replace it",
            hint="its shell lines would run as you: read it, and make a copy of your own",
        )
    if who:
        raise SiteError(
            f"the site file {path} is refused: {who} can replace files in {folder}", hint=f"chmod go-w {folder}"
        )


def _user(uid: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"


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
