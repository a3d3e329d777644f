"""The folders of single jobs: their script and environment, and the signs that their supervisors leave."""

from __future__ import annotations

import binascii
import fcntl
import os

from .records import LocalError

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from .records import LocalJob, Spec


class JobFolders:
    """The files of single jobs under one state directory."""

    home: str

    def folder(self, spec: Spec) -> str:
        return os.path.join(self.home, "jobs", spec.id)

    def file(self, job: LocalJob, kind: str) -> str:
        """``pid`` or ``alive`` of this job; an array's elements have one each."""
        return os.path.join(self.folder(job.spec), kind if job.index is None else f"{kind}_{job.index}")

    def keep_script(self, spec: Spec, script: bytes, environ: bytes) -> None:
        """Copy a submission. Not synced, which costs: its check sum is in the journal instead, so that a copy
        that a power cut spoilt is refused."""
        self.remove(spec.id)
        folder = self.folder(spec)
        try:
            os.mkdir(folder, 0o700)
            for name, data in (("script", script), ("environ", environ)):
                with open(create(os.path.join(folder, name)), "wb") as file:
                    file.write(data)
        except OSError as error:
            self.remove(spec.id)
            raise LocalError(f"{folder} cannot be written: {error.strerror}") from error
        spec.script = _sum(script) + _sum(environ)

    def script(self, spec: Spec) -> tuple[str, dict[bytes, bytes]]:
        """The path of a job's script, and its environment."""
        found = []
        for name in ("script", "environ"):
            with open(os.path.join(self.folder(spec), name), "rb") as file:
                found.append(file.read())
        if _sum(found[0]) + _sum(found[1]) != spec.script:
            raise LocalError("its copy of the script was damaged")
        pairs = (item.partition(b"=") for item in found[1].split(b"\0") if item)
        return os.path.join(self.folder(spec), "script"), {name: value for name, _, value in pairs}

    def is_alive(self, job: LocalJob) -> bool:
        """Whether its supervisor lives: it holds a lock that the kernel takes back from the dead.

        Unlike a pid this is true across containers, but only within one boot: the caller looks at that.
        """
        try:
            handle = os.open(self.file(job, "alive"), os.O_RDONLY | os.O_CLOEXEC)  # also where nothing can be written
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def leader(self, job: LocalJob) -> tuple[int, str] | None:
        """Pid and start time of its script, if it was started."""
        try:
            with open(self.file(job, "pid")) as file:
                pid, _, start = file.read().partition(" ")
                return int(pid), start
        except (OSError, ValueError):
            return None

    def remove(self, name: str) -> None:
        """Take a submission's folder away."""
        folder = os.path.join(self.home, "jobs", name)
        try:
            for entry in os.listdir(folder):
                os.unlink(os.path.join(folder, entry))
            os.rmdir(folder)
        except OSError:  # gone already, or left to the next sweep
            return


def create(path: str, flags: int = os.O_TRUNC) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def _sum(data: bytes) -> list[int]:
    return [len(data), binascii.crc32(data)]
