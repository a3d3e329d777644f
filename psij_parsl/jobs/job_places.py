"""Where jobs' folders lie: new ids, and their folders, each with a mark that says which state directory's it is."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from pathlib import Path

from ..system.files import guard_spool, private_folder, translate_os_errors
from .fault_points import fault_point

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
EPOCH = 1_577_836_800  # 2020-01-01
_OWNER = "owner"  # the link in a job's folder that says which state directory's it is


class JobPlaces:
    """The ids and the folders that jobs of one state directory get."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._spools: set[Path] = set()  # that are known to be safe
        self._identity = ""

    def prepare(self, spool: Path | None = None) -> tuple[str, Path]:
        """A new id, and where its folder is to be made. Nothing is written yet."""
        job_id = new_id()
        return job_id, (spool or self.home / "jobs") / job_id

    @property
    def identity(self) -> str:
        """What this state directory is known by in the folders of its jobs. A copy of it is another one."""
        if not self._identity:
            place = private_folder(self.home) / "identity"
            with translate_os_errors(place):
                inode = f".{self.home.stat().st_ino}"
                known = os.readlink(place) if os.path.islink(place) else ""
                if not known.endswith(inode):
                    fresh = f"{random.SystemRandom().getrandbits(64):016x}"
                    if known:  # of the directory that this one is a copy of
                        os.symlink(fresh + inode, self.home / f".{fresh}")
                        os.replace(self.home / f".{fresh}", place)
                    else:
                        with suppress(FileExistsError):  # another process has just done it
                            os.symlink(fresh + inode, place)
                self._identity = os.readlink(place)
        return self._identity

    def make_folder(self, folder: Path) -> bool:
        """Make a job's folder; False if another process has just taken that id."""
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
            os.symlink(identity, folder / _OWNER)  # in one step: it is there whole or not at all
        except OSError:
            folder.rmdir()
            with translate_os_errors(folder):
                raise
        fault_point("folder")
        return True


def owner_of(folder: Path) -> str:
    """The identity of the state directory that a job's folder belongs to; '' for one that does not say."""
    try:
        return os.readlink(folder / _OWNER)
    except OSError:
        return ""


def new_id() -> str:
    """Ten characters, sorted by time, that nobody mixes up with a manager's number."""
    number = int(time.time()) - EPOCH
    time_part = ""
    for _ in range(6):
        number, digit = divmod(number, 32)
        time_part = ALPHABET[digit] + time_part
    job_id = time_part + "".join(random.SystemRandom().choices(ALPHABET, k=4))
    return job_id if not job_id.isdigit() else new_id()
