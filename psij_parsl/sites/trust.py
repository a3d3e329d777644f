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
from ..system.files import group_lets_others_write, private_group
from ..system.namespaces import UserNamespace

_MOST_BYTES = 1 << 20  # of a file
_MOST_LINKS = 40


class Trust:
    """The checks of one scan: a folder that holds many files is looked at once."""

    def __init__(self) -> None:
        self._code = os.stat(__file__)
        package = Path(__file__).parents[1]
        self._package = tuple(f"{os.path.realpath(place)}/" for place in (package, package / "configs"))
        self._namespace = UserNamespace.here()
        self._owners = {0, os.geteuid()} | ({self._code.st_uid} - {self._namespace.stranger})
        self._code_folders = {str(folder) for folder in Path(os.path.realpath(__file__)).parents}
        self._trusted: set[str] = set()  # by themselves
        self._seen: set[str] = set()  # folders of files, with all those above them
        self._private: dict[tuple[int, int], bool] = {}

    def check(self, path: str, status: os.stat_result, *, link: bool = True) -> None:
        """Raise `SiteError` if others can write to a file or replace it. `link`: the name may be a symbolic link."""
        _check_regular(path, status)
        if status.st_mode & stat.S_IWOTH:
            raise SiteError(f"the site file {path} is refused: everybody can write to it", hint=f"chmod o-w {path}")
        if not self._is_ours(path, status):
            raise SiteError(
                f"the site file {path} is refused: it belongs to {_user(status.st_uid)}, neither to you nor to root",
                hint="its shell lines would run as you: read it, and make a copy of your own",
            )
        if group_lets_others_write(path, status, is_private=self._is_codes_or_private):
            raise SiteError(f"the site file {path} is refused: its group can write to it", hint=f"chmod g-w {path}")
        folder = os.path.abspath(os.path.dirname(path))
        if folder not in self._seen:
            self._check_folders(path, folder)
            self._seen.add(folder)
        if link:
            self._check_folders(path, os.path.abspath(path))

    def _check_folders(self, path: str, place: str) -> None:
        for each in way_to(place):
            if each not in self._code_folders and each not in self._trusted:
                self._check_folder(path, each)
                self._trusted.add(each)

    def _check_folder(self, path: str, folder: str) -> None:
        """Raise `SiteError` if others than root, the user and this package's owner can put other files into a folder."""
        status = os.stat(folder)
        # In a namespace without root, root's folders (/ and /home, mostly) and those of strangers look the same. They
        # pass if nobody else can write to them, for without them no file would: what counts there is whose the file is.
        ours = self._is_ours(folder, status) or self._namespace.may_be_root(status.st_uid)
        if ours and status.st_mode & stat.S_ISVTX:  # there they cannot replace what is not theirs
            return
        who = ""
        if status.st_mode & stat.S_IWOTH:
            who = "everybody"
        elif group_lets_others_write(folder, status, is_private=self._is_private):
            who = "its group"
        elif not ours:
            raise SiteError(
                f"the site file {path} is refused: {folder} belongs to {_user(status.st_uid)}, who can replace it",
                hint="its shell lines would run as you: read it, and make a copy of your own",
            )
        if who:
            raise SiteError(
                f"the site file {path} is refused: {who} can replace files in {folder}", hint=f"chmod go-w {folder}"
            )

    def _is_ours(self, path: str, status: os.stat_result) -> bool:
        """Whether it belongs to root, the user or this package's owner.

        What belongs to somebody unknown does so only beside the package's code, which runs anyway; and below /etc,
        where nobody but root makes files, if root is among the unknown.
        """
        uid = status.st_uid
        if uid in self._owners and not self._namespace.is_strange(uid):
            return True
        of_root = ("/etc/",) if self._namespace.may_be_root(uid) else ()
        of_package = self._package if uid == self._code.st_uid else ()
        return bool(of_root or of_package) and f"{os.path.realpath(path)}/".startswith(of_root + of_package)

    def _is_codes_or_private(self, gid: int, uid: int) -> bool:
        """Whether who is in the group can write this package's code as well, or nobody but the user is in it."""
        return (bool(self._code.st_mode & stat.S_IWGRP) and self._code.st_gid == gid) or self._is_private(gid, uid)

    def _is_private(self, gid: int, uid: int) -> bool:
        if (gid, uid) not in self._private:
            # somebody unknown and their group look like the user nobody with a group of the same number
            self._private[gid, uid] = not self._namespace.is_strange(uid) and private_group(gid, uid)
        return self._private[gid, uid]


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


def way_to(place: str) -> Iterator[str]:
    """Every folder in which a name is looked up on the way to an absolute path, through all links; it itself, if it is one."""
    left, at, links = [*reversed(place.split("/"))], "/", 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = os.path.dirname(at)
            continue
        yield at
        inner = os.path.join(at, name)
        if not os.path.islink(inner):
            at = inner
            continue
        links += 1
        if links > _MOST_LINKS:
            return  # the system does not follow them either
        target = os.readlink(inner)
        left += reversed(target.split("/"))
        at = "/" if target.startswith("/") else at
    if os.path.isdir(at):
        yield at


def _user(uid: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"
