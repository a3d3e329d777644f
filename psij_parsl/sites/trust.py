"""Reading a site file with checks of its permissions.

A site file holds shell text that runs as the user. So one that others could have written is refused; what the owner
of this package has written is trusted as the package's own code is.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import SiteError
from ..system.files import private_group

_MOST_BYTES = 1 << 20  # of a file


class Trust:
    """The checks of one scan: a folder that holds many files is looked at once."""

    def __init__(self) -> None:
        self._code = os.stat(__file__)
        self._code_folders = {str(folder) for folder in Path(os.path.realpath(__file__)).parents}
        self._trusted: set[str] = set()  # by themselves
        self._seen: set[str] = set()  # folders of files, with all those above them
        self._private: dict[tuple[int, int], bool] = {}

    def check(self, path: str, status: os.stat_result, *, link: bool = True) -> None:
        """Raise `SiteError` if others can write to a file or replace it. `link`: the name may be a symbolic link."""
        _check_regular(path, status)
        if status.st_mode & stat.S_IWOTH:
            raise SiteError(f"the site file {path} is refused: everybody can write to it", hint=f"chmod o-w {path}")
        if not self._is_ours(status):
            raise SiteError(
                f"the site file {path} is refused: it belongs to {_user(status.st_uid)}, neither to you nor to root",
                hint="its shell lines would run as you: read it, and make a copy of your own",
            )
        as_code = self._code.st_mode & stat.S_IWGRP and self._code.st_gid == status.st_gid
        if status.st_mode & stat.S_IWGRP and not as_code and not self._group_is_private(status):
            raise SiteError(f"the site file {path} is refused: its group can write to it", hint=f"chmod g-w {path}")
        folder = os.path.dirname(path)
        if link:
            self._check_folders(path, os.path.dirname(os.path.realpath(path)))
        if folder not in self._seen:
            self._check_folders(path, os.path.abspath(folder))
            self._check_folders(path, os.path.realpath(folder))
            self._seen.add(folder)

    def _check_folders(self, path: str, folder: str) -> None:
        for each in _with_parents(folder):
            if each not in self._code_folders and each not in self._trusted:
                self._check_folder(path, each)
                self._trusted.add(each)

    def _check_folder(self, path: str, folder: str) -> None:
        """Raise `SiteError` if others than root, the user and this package's owner can put other files into a folder."""
        status = os.stat(folder)
        if status.st_mode & stat.S_ISVTX:  # there they cannot replace what is not theirs
            return
        who = ""
        if status.st_mode & stat.S_IWOTH:
            who = "everybody"
        elif status.st_mode & stat.S_IWGRP and not self._group_is_private(status):
            who = "its group"
        elif not self._is_ours(status):
            raise SiteError(
                f"the site file {path} is refused: {folder} belongs to {_user(status.st_uid)}, who can replace it",
                hint="its shell lines would run as you: read it, and make a copy of your own",
            )
        if who:
            raise SiteError(
                f"the site file {path} is refused: {who} can replace files in {folder}", hint=f"chmod go-w {folder}"
            )

    def _is_ours(self, status: os.stat_result) -> bool:
        return status.st_uid in (0, os.geteuid(), self._code.st_uid)

    def _group_is_private(self, status: os.stat_result) -> bool:
        key = status.st_gid, status.st_uid
        if key not in self._private:
            self._private[key] = private_group(*key)
        return self._private[key]


def trusted_text(path: str, trust: Trust | None = None) -> tuple[str, os.stat_result]:
    """The text of a site file, and what the system said of it. Raises `SiteError`."""
    return _text(path, (trust or Trust()).check)


def untrusted_text(path: str) -> str:
    """The text of a file that may be refused: only to see which machine it is for. Raises `SiteError`."""
    return _text(path, _check_regular)[0]


def _check_regular(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SiteError(f"the site file {path} is no regular file", hint="name a file")


def _text(path: str, check: Callable[[str, os.stat_result], None]) -> tuple[str, os.stat_result]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not keep us waiting
        try:
            status = os.fstat(handle)
            check(path, status)
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
    return _decoded(content, path), status


def _decoded(content: bytes, path: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SiteError(f"{path}:1: this is UTF-16, and TOML is UTF-8", hint="save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SiteError(f"{path}:{line}: this is not UTF-8, as TOML must be", hint="save it as UTF-8") from error


def _with_parents(folder: str) -> Iterator[str]:
    yield folder
    while (parent := os.path.dirname(folder)) != folder:
        yield (folder := parent)


def _user(uid: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"
