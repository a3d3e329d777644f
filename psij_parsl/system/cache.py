"""The folder `cache` of the state directory: JSON that can be made again, so that it need not be made at each start.

Nothing here fails a command: what cannot be read, or is not ours alone, or is damaged, is not there, and what cannot
be written is not kept. Processes need no lock, for a file is replaced as a whole.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import JournalError
from .files import guard, home, private_folder, write_whole

log = logging.getLogger(__name__)

_MOST_FILES = 64
_MOST_BYTES = 8 << 20  # of one file


class Cache:
    """The files of one form. `stamp` says which, and is a part of their names: those of others do not count."""

    def __init__(self, stamp: str) -> None:
        self._stamp = stamp
        self._folder = self._found(make=False)

    def read(self, name: str) -> Any:
        """What was kept under that name; None if there is nothing that counts."""
        if self._folder is None:
            return None
        try:
            with open(self._path(self._folder, name), "rb", opener=_no_link) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or not _ours_alone(status):
                    return None
                head, _, text = file.read(_MOST_BYTES).partition(b"\n")
            return json.loads(text) if head.decode() == _sum(text) else None
        except (OSError, ValueError, RecursionError):
            return None

    def write(self, name: str, value: Any) -> None:
        """Keep what JSON can hold. The files that were written longest ago go."""
        try:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            content = text.encode()
            folder = self._found(make=True)
            if folder is None or len(content) >= _MOST_BYTES:
                return
            write_whole(self._path(folder, name), f"{_sum(content)}\n{text}")
            self._tidy(folder)
        except (JournalError, OSError, TypeError, ValueError, RecursionError) as error:
            log.debug("%s is not kept: %s", name, error)

    def _path(self, folder: Path, name: str) -> Path:
        return folder / f"{name}-{self._stamp}.json"

    @staticmethod
    def _found(*, make: bool) -> Path | None:
        """The folder, with `make` made if need be; None where there can be none, or where it is not ours alone."""
        try:
            place = home()
            guard(place)
            folder = place / "cache"
            if make and not folder.is_dir():
                private_folder(folder)
            status = os.lstat(folder)
            return folder if stat.S_ISDIR(status.st_mode) and _ours_alone(status) else None
        except (JournalError, OSError):
            return None

    @staticmethod
    def _tidy(folder: Path) -> None:
        files = []
        for entry in os.scandir(folder):
            with suppress(FileNotFoundError):  # another process tidies, too
                files.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
        for _, path in sorted(files)[:-_MOST_FILES]:
            with suppress(FileNotFoundError):
                os.unlink(path)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe must not keep us waiting


def _sum(text: bytes) -> str:
    return f"{zlib.crc32(text):08x}"


def _ours_alone(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and status.st_mode & 0o077 == 0
