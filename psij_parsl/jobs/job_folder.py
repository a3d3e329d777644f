"""The files in a job's folder: the claim, by which the job runs at most once, the exit file, and the output."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..system.files import private_folder, read_plain, translate_os_errors
from .record import JobRecord

if TYPE_CHECKING:
    from ..job import Job

_SETUP_BYTES = 4096  # of a setup's text that are read
_SHOWN_CHARACTERS = 160
_EXIT_BYTES = 4096  # of an exit file that are read
ABANDONED = "abandoned"  # the target of the claim of a submission that we gave up


def abandon(entry: JobRecord) -> str:
    """Take the claim of a submission that the manager never showed, so that it cannot run.

    Returns the manager's id of the job that has the claim already, as it has started; else ''.

    An array has one claim for all its elements, in its own folder.
    """
    owner = claim(entry.folder, ABANDONED)
    return "" if owner == ABANDONED else owner


def claim(folder: Path, native: str) -> str:
    """Take the claim in a submission's folder for that id; returns the id that has it: this one, or an earlier one.

    The claim is a symbolic link whose target is the id that has it: such a link is made in one step, also on NFS. If
    there is a file or directory of that name, no script can take the claim: nothing of the job will run.
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


class ExitFile(NamedTuple):
    """What a job's script wrote at its end: the manager's id, the attempt, the exit code and the stage of the script.

    `ended` is the time, in seconds since the epoch; `detail` describes a setup that failed.
    """

    native: str
    attempt: int
    code: int
    stage: str
    ended: float
    detail: str = ""

    @classmethod
    def read(cls, folder: Path, native: str, same_id: Callable[[str, str], bool] = str.__eq__) -> ExitFile | None:
        """Read the exit file of the job with that id; None if there is none, or it is of another id or incomplete.

        `same_id` tells whether two texts are the same id.
        """
        try:
            fields = read_plain(folder / "exit", _EXIT_BYTES).decode().split()
            exit_file = cls(fields[0], int(fields[1]), int(fields[2]), fields[3], float(fields[4]))
        except (OSError, ValueError, IndexError):
            return None
        valid = 0 <= exit_file.attempt < 2**31 and 0 <= exit_file.code < 256 and 0 <= exit_file.ended < 1e11
        if not valid or not same_id(exit_file.native, native):
            return None
        return exit_file._replace(detail=_failed_setup(folder)) if exit_file.stage == "setup" else exit_file


def _failed_setup(folder: Path) -> str:
    """The text of the setup that failed, and how it failed; '' if that is not recorded."""
    try:
        content = read_plain(folder / "setup", _SETUP_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
    code, _, text = content.partition("\n")
    how = f"exit code {code}" if code.isdigit() else "it ended the shell, or became another program"
    shown = " ".join(text.split())
    return f"{shown[:_SHOWN_CHARACTERS]}{'...' if len(shown) > _SHOWN_CHARACTERS else ''} ({how})"


def outputs(folder: Path, key: str, job: Job) -> tuple[Path, Path]:
    """The files for the stdout and stderr of an element: the same as in the job's script.

    Where a name is filled in on the node, the script leaves a link of that name in the folder.
    """
    if not job.stdout and not job.stderr:
        return folder / "stdout", folder / "stderr"

    def of_element(path: Path, name: str) -> Path:
        if job.name_patterns and "{" in str(path):
            try:
                return Path(os.readlink(folder / name))
            except OSError:  # not started yet
                return folder / name
        return Path(f"{path}.{key}") if job.array and str(path) != os.devnull else Path(path)

    stdout = of_element(job.stdout, "stdout") if job.stdout else folder / "stdout"
    stderr = of_element(job.stderr, "stderr") if job.stderr else (stdout if job.stdout else folder / "stderr")
    return stdout, stderr


def outputs_of_each(folder: Path, job: Job) -> tuple[str, str]:
    """The names of the files for the stdout and stderr of an array's elements, with what is filled in in braces."""

    def of_each(path: Path) -> str:
        filled_in = (job.name_patterns and "{" in str(path)) or str(path) == os.devnull
        return str(path) if filled_in else f"{path}.{{index}}"

    stdout = of_each(job.stdout) if job.stdout else f"{folder}/{{index}}/stdout"
    if job.stderr:
        return stdout, of_each(job.stderr)
    return stdout, stdout if job.stdout else f"{folder}/{{index}}/stderr"
