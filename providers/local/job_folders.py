"""Job folders: each submission's script and environment, and the pid and lock files of its supervisors."""

from __future__ import annotations

import binascii
import fcntl
import os

from .records import LocalError

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from .records import LocalJob, Spec


class JobFolders:
    """The job folders under one state directory."""

    home: str

    def folder(self, spec: Spec) -> str:
        return os.path.join(self.home, "jobs", spec.id)

    def file(self, job: LocalJob, kind: str) -> str:
        """The path of this job's ``pid`` or ``alive`` file; each element of an array has its own."""
        return os.path.join(self.folder(job.spec), kind if job.index is None else f"{kind}_{job.index}")

    def keep_script(self, spec: Spec, script: bytes, environ: bytes) -> None:
        """Store a submission's script and environment. They are not synced to the disk, which would be slow: the
        journal has their checksum instead, so that a copy which a power failure damaged is refused."""
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
        spec.script = _checksum(script) + _checksum(environ)

    def script(self, spec: Spec) -> tuple[str, dict[bytes, bytes]]:
        """The path of a job's script, and its environment. Raises `LocalError` if the copies are damaged."""
        contents = []
        for name in ("script", "environ"):
            with open(os.path.join(self.folder(spec), name), "rb") as file:
                contents.append(file.read())
        if _checksum(contents[0]) + _checksum(contents[1]) != spec.script:
            raise LocalError("its copy of the script was damaged")
        pairs = (item.partition(b"=") for item in contents[1].split(b"\0") if item)
        return os.path.join(self.folder(spec), "script"), {name: value for name, _, value in pairs}

    def is_alive(self, job: LocalJob) -> bool:
        """Whether the job's supervisor is alive: it holds a lock, which the kernel releases when a process dies.

        Unlike a pid, this is right across containers too, but only within one boot: the caller checks the boot.
        """
        try:
            handle = os.open(
                self.file(job, "alive"), os.O_RDONLY | os.O_CLOEXEC
            )  # works on a read-only file system too
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
        """Pid and start time of the job's script, which leads its session; None if it was not started."""
        try:
            with open(self.file(job, "pid")) as file:
                pid, _, start = file.read().partition(" ")
                return int(pid), start
        except (OSError, ValueError):
            return None

    def remove(self, name: str) -> None:
        """Remove a submission's folder."""
        folder = os.path.join(self.home, "jobs", name)
        try:
            for entry in os.listdir(folder):
                os.unlink(os.path.join(folder, entry))
            os.rmdir(folder)
        except OSError:  # removed already, or to be removed at the next clean-up
            return


def create(path: str, flags: int = os.O_TRUNC) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def _checksum(data: bytes) -> list[int]:
    return [len(data), binascii.crc32(data)]
