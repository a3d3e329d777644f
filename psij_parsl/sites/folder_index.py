"""What tells site files apart, kept from one start to the next, so that sixty of them cost a look at each and no reading.

Whether a file may be trusted is never kept: that is seen anew each time.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import SiteError
from ..system.cache import Cache
from .layers import Layer, SiteFile, identifying, identity, names_in, read
from .trust import Trust

_SETTLED_NS = 2 * 10**9  # a file changed less than that ago may change again without another time


class FolderIndex:
    """The site files of one layer's folder, from its index where they are as it has them, and else read."""

    def __init__(self, layer: Layer, cache: Cache | None, trust: Trust) -> None:
        """Without a cache, all files are read. Raises `SiteError` where the folder is there and cannot be read."""
        self._layer, self._cache = layer, cache
        self._folder = str(layer.directory)
        self._name = f"folder-{zlib.crc32(os.fsencode(self._folder)):08x}"
        self._began_ns = time.time_ns()
        entries = names_in(layer)
        self._kept = self._read() if entries and cache is not None else {}
        self.files = [self._file(entry, trust) for entry in entries]

    def _read(self) -> dict[str, Any]:
        kept = self._cache.read(self._name) if self._cache is not None else None
        if not isinstance(kept, dict) or kept.get("folder") != self._folder:
            return {}
        files = kept.get("files")
        return files if isinstance(files, dict) else {}

    def _file(self, entry: os.DirEntry[str], trust: Trust) -> SiteFile:
        try:
            kept_identity, head, is_toml = self._kept[entry.name]
            status = entry.stat()
            if tuple(kept_identity) == identity(status) and isinstance(head, dict):
                trust.check(entry.path, status, link=entry.is_symlink())
                return SiteFile(entry.path, self._layer, head, identity=identity(status), is_toml=is_toml)
        except (KeyError, TypeError, ValueError, OSError, SiteError):
            pass  # it is read, and what is wrong with it is said
        return read(Path(entry.path), self._layer, trust)

    def save(self) -> None:
        """Keep what is known by now of files that have settled, if that is news."""
        if self._cache is None or not (self.files or self._kept):
            return
        files = {os.path.basename(file.place): _entry(file) for file in self._settled(self.files)}
        if files != self._kept:
            self._cache.write(self._name, {"folder": self._folder, "files": files})

    def _settled(self, files: Iterable[SiteFile]) -> Iterable[SiteFile]:
        for file in files:
            settled = file.identity and max(file.identity[-2:]) < self._began_ns - _SETTLED_NS
            if settled and (file.known_text is None or _is_plain(identifying(file.head))):
                yield file


def _entry(file: SiteFile) -> list[Any]:
    return [list(file.identity), identifying(file.head), file.is_known_as_toml]


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold it: TOML has dates, too."""
    if isinstance(value, dict | list):
        return all(map(_is_plain, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str | int | float)
