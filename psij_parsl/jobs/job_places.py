"""Makes job ids and the folders of jobs. Each folder names the state directory to which it belongs."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from ..errors import InvalidRequest
from ..system.files import guard_spool, private_folder, translate_os_errors
from .fault_points import fault_point

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
EPOCH = 1_577_836_800  # 2020-01-01
_PROJECT = "{project}"
_IDENTITY = "identity"  # the link in the state directory whose target is its identity
_OWNER = "owner"  # the link in a job's folder that names the identity of its state directory


def spool_of(spool: Path | None, project: str | None) -> Path | None:
    """The directory for the folder of a job that is charged to that project: `{project}` in `spool` stands for it.

    Raises `InvalidRequest` for a job without a project where one is needed.
    """
    if spool is None or _PROJECT not in str(spool):
        return spool
    if not project or "/" in project or project.startswith("."):
        what = f"{project!r} cannot be one" if project else "the job names none"
        raise InvalidRequest(
            f"jobs' folders lie below a folder of the project, {spool}, and {what}", hint="give -A/--account"
        )
    return Path(str(spool).replace(_PROJECT, project))


def spool_without_project(spool: Path | None) -> Path | None:
    """The directory for folders that no compute node sees: None where that depends on a project."""
    return None if spool is not None and _PROJECT in str(spool) else spool


class JobPlaces:
    """Makes the ids and the folders of the jobs of one state directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._spools: set[Path] = set()  # that were checked: no other user can write there
        self._identity = ""

    def prepare(self, spool: Path | None = None) -> tuple[str, Path]:
        """A new job id and the path of its folder. Nothing is written yet."""
        job_id = new_id()
        return job_id, (spool or self.home / "jobs") / job_id

    @property
    def identity(self) -> str:
        """The identity of this state directory, which the folders of its jobs name. A copy of it has another one."""
        if not self._identity:
            path = private_folder(self.home) / _IDENTITY
            with translate_os_errors(path):
                inode = f".{self.home.stat().st_ino}"
                recorded = os.readlink(path) if os.path.islink(path) else ""
                if not recorded.endswith(inode):
                    new_identity = os.urandom(8).hex()
                    if recorded:  # this directory is a copy, and that is the identity of the original
                        os.symlink(new_identity + inode, self.home / f".{new_identity}")
                        os.replace(self.home / f".{new_identity}", path)
                    else:
                        with suppress(FileExistsError):  # another process has just done it
                            os.symlink(new_identity + inode, path)
                self._identity = os.readlink(path)
        return self._identity

    def make_folder(self, folder: Path) -> bool:
        """Make the folder of a job; False if another process has just taken that id."""
        identity = self.identity
        try:
            if folder.parent not in self._spools:
                guard_spool(folder.parent)
                self._spools.add(folder.parent)
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return False
        except FileNotFoundError:
            private_folder(folder.parent)
            return self.make_folder(folder)
        except OSError:
            with translate_os_errors(folder):
                raise
        try:
            self._link(identity, f"{folder}/{_OWNER}")
        except OSError:
            folder.rmdir()
            with translate_os_errors(folder):
                raise
        fault_point("folder")
        return True

    def _link(self, identity: str, owner: str) -> None:
        """Make the link that names the identity, in one step: it is there whole or not at all."""
        try:  # the same inode once more: a tenth of the time that a new one takes
            os.link(f"{self.home}/{_IDENTITY}", owner, follow_symlinks=False)
        except OSError:  # on another file system, or too many already
            os.symlink(identity, owner)


def owner_of(folder: Path) -> str:
    """The identity of the state directory to which a job's folder belongs; '' if the folder does not name one."""
    try:
        return os.readlink(folder / _OWNER)
    except OSError:
        return ""


def new_id() -> str:
    """A new job id: ten characters that sort by time. It is never a number, as the managers' ids may be."""
    number = int(time.time()) - EPOCH
    time_part = ""
    for _ in range(6):
        number, digit = divmod(number, 32)
        time_part = ALPHABET[digit] + time_part
    job_id = time_part + "".join(ALPHABET[byte % 32] for byte in os.urandom(4))
    return job_id if not job_id.isdigit() else new_id()
