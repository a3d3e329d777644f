"""The files in a job's folder: the claim, by which it runs at most once, the exit file, and its output."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..job import Job
from ..system.files import private_folder, read_plain, translate_os_errors
from .record import JobRecord

_LONGEST = 4096  # bytes of a setup's text that are read
_SHOWN = 160
_EXIT_MOST = 4096  # bytes of an exit file that are read
ABANDONED = "abandoned"  # the claim of a submission that we gave up


def abandon(entry: JobRecord) -> str:
    """Make sure that a submission which was never seen will not run; returns the id that did start, else ''.

    An array has one claim for all its elements, in its own folder.
    """
    owner = claim(entry.folder, ABANDONED)
    return "" if owner == ABANDONED else owner


def claim(folder: Path, native: str) -> str:
    """Take the claim in a submission's folder for that id; returns the id that has it, which may be an earlier one.

    It is a symbolic link whose target is the id of whoever has it: made in one step, also on NFS. Where something
    else stands in its place, no script can take it: nothing of the job will run.
    """
    with translate_os_errors(folder):
        try:
            os.symlink(native, private_folder(folder) / "claim")
        except FileExistsError:
            return claimed_by(folder) or ABANDONED
    return native


def claimed_by(folder: Path) -> str:
    """The id that holds the claim in a job's folder; '' while none does."""
    try:
        return os.readlink(folder / "claim")
    except OSError:
        return ""


@dataclass(frozen=True)
class ExitFile:
    """What a job's script left at its end: whose end it was, and how it came. `detail` is of a setup that failed."""

    native: str
    attempt: int
    code: int
    stage: str
    ended: float
    detail: str = ""

    @classmethod
    def read(cls, folder: Path, native: str, same_id: Callable[[str, str], bool] = str.__eq__) -> ExitFile | None:
        """The exit file that the job of that id left in a folder; None if there is none, or none that is whole.

        `same_id` tells whether two spellings are of one id.
        """
        try:
            fields = read_plain(folder / "exit", _EXIT_MOST).decode().split()
            exit_file = cls(fields[0], int(fields[1]), int(fields[2]), fields[3], float(fields[4]))
        except (OSError, ValueError, IndexError):
            return None
        sensible = 0 <= exit_file.attempt < 2**31 and 0 <= exit_file.code < 256 and 0 <= exit_file.ended < 1e11
        if not sensible or not same_id(exit_file.native, native):
            return None
        return replace(exit_file, detail=_setup(folder)) if exit_file.stage == "setup" else exit_file


def _setup(folder: Path) -> str:
    """The text of the setup that failed, and how; '' where nobody can tell."""
    try:
        content = read_plain(folder / "setup", _LONGEST).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
    code, _, text = content.partition("\n")
    how = f"exit code {code}" if code.isdigit() else "it ended the shell, or became another program"
    shown = " ".join(text.split())
    return f"{shown[:_SHOWN]}{'...' if len(shown) > _SHOWN else ''} ({how})"


def outputs(folder: Path, key: str, job: Job) -> tuple[Path, Path]:
    """The files to which an element's stdout and stderr go, as the job's script has it."""
    if not job.stdout and not job.stderr:
        return folder / "stdout", folder / "stderr"
    index = key if job.array else ""
    stdout = _of_element(job.stdout, index) if job.stdout else folder / "stdout"
    stderr = _of_element(job.stderr, index) if job.stderr else (stdout if job.stdout else folder / "stderr")
    return stdout, stderr


def _of_element(path: Path, index: str) -> Path:
    return Path(f"{path}.{index}") if index and str(path) != os.devnull else Path(path)
