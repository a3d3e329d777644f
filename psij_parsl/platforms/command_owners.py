"""Detection of the manager that a command on PATH belongs to: PBS, Torque, Grid Engine and Cobalt all have a `qsub`.

A command is run with its version option, which no manager counts as a request. If it is a wrapper without that
option, or does not answer, its owner is unknown; an unknown owner proves nothing.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import Rejected, SchedulerError

if TYPE_CHECKING:
    from ..system.commands import Output
    from .scheduler import Scheduler

#: For each manager, a pattern of its commands' version text, or of their error where they refuse the option or are not
#: configured. It must not match what a site's own wrapper might print.
BANNERS: Mapping[str, str] = {
    "PBS Pro": r"pbs_version\s*=",
    "Slurm": r"^slurm\S* \d+\.\d+|_establish_config_source"
    r"|^ *qsub \[-a start_time\](.*\s)*?.*-P wckey|^ *qstat .*\s.*\[--man\]",  # its wrappers for PBS's users
    "Grid Engine": r"^(SGE|SoGE|OGS/GE|UGE|AGE|OCS|GCS|N1GE|GE) \S*\d|\bSGE_ROOT\b|invalid option argument \"--version\""
    r"|Unable to initialize environment because of error|/common/bootstrap\b",
    "Torque": r"\A[Vv]ersion: [2-6]\.\d+\.\d+\s*$|^Version: \S+\s+Commit: ",
    "Cobalt": r"\bc?q(sub|stat|del)(\.py)?,? (\$|[Vv]ersion\b|\d)|\bCobalt\b",
    "HTCondor": r"\bHTCondor\b|\$CondorVersion",
    "LSF": r"\b(Spectrum|Platform) LSF\b",
}
_PROBE_TIMEOUT_S = 5.0
_CACHE_FILE = "commands.json"
_MAX_CACHED = 64


class CommandOwner(NamedTuple):
    """The manager that a command belongs to, by the command's output. `product` is its name, '' if unknown."""

    command: str
    path: str
    product: str
    output: Output

    def not_of(self, product: str) -> str:
        """A sentence that says that the command is another manager's than `product`."""
        return f"the {self.command} at {self.path} is {self.product}'s, not {product}'s"


def ask(scheduler: Scheduler, timeout_s: float = _PROBE_TIMEOUT_S) -> list[CommandOwner]:
    """The owners of a platform's commands: of the first, and of others that may be another manager's.

    A command in the same directory as one whose owner is known belongs to the same manager, and is not run. Commands
    that are not on PATH, or cannot be started, are left out.
    """
    owners: list[CommandOwner] = []
    recognized: set[str] = set()  # directories of commands whose owner is known
    for argv in scheduler.probes:
        path = where(argv[0])
        if not path or os.path.dirname(path) in recognized:
            continue
        try:
            output = scheduler.run(argv, timeout_s=timeout_s)
        except SchedulerError:
            continue
        product = _product(scheduler, output)
        owners.append(CommandOwner(argv[0], path, product, output))
        if product:
            recognized.add(os.path.dirname(path))
    return owners


def foreign(owners: Iterable[CommandOwner], product: str) -> CommandOwner | None:
    """The first command whose owner is known and is not `product`."""
    return next((owner for owner in owners if owner.product not in ("", product)), None)


def where(command: str, path: str | None = None) -> str:
    """The absolute path of a command on PATH; '' if it is not there."""
    executable = shutil.which(command, path=path)
    return os.path.abspath(executable) if executable else ""


def refuse_foreign(scheduler: Scheduler, home: Path) -> None:
    """Raise `Rejected` if one of the scheduler's commands is another manager's. Called before the first submission.

    Only commands with names that several managers use are checked, once for each executor. That a command is the
    platform's own is cached in the state directory, as long as the command's file stays the same.
    """
    if scheduler.product_known or not scheduler.shared_names:
        return
    import json

    from ..system.commands import CommandRunner
    from ..system.files import private_folder, read_json, write_whole

    if not isinstance(scheduler.run, CommandRunner):
        return
    stamps = {path: _stamp(path) for argv in scheduler.probes if (path := where(argv[0]))}
    file = home / _CACHE_FILE
    content = read_json(file)
    cached = content if isinstance(content, dict) else {}
    if any(cached.get(path) != [scheduler.product, stamp] for path, stamp in stamps.items()):
        owners = ask(scheduler)
        if other := foreign(owners, scheduler.product):
            raise Rejected(
                other.not_of(scheduler.product),
                hint=f"put {scheduler.product}'s commands first on PATH, or choose another --platform;"
                " `psij-run platform list` tells which are here",
            )
        recognized = {os.path.dirname(owner.path) for owner in owners if owner.product}
        new = {
            path: [scheduler.product, stamp] for path, stamp in stamps.items() if os.path.dirname(path) in recognized
        }
        if new:
            older = [(path, stamp) for path, stamp in cached.items() if path not in new]
            entries = dict(older[len(new) - _MAX_CACHED :]) | new
            write_whole(private_folder(home) / file.name, json.dumps(entries))
    scheduler.product_known = True


def _product(scheduler: Scheduler, output: Output) -> str:
    if scheduler.probe_answer and re.search(scheduler.probe_answer, output.text, re.MULTILINE):
        return scheduler.product
    return next((name for name, banner in BANNERS.items() if re.search(banner, output.text, re.MULTILINE)), "")


def _stamp(path: str) -> Sequence[int]:
    """A file's size and time of change, which differ when its content does."""
    try:
        status = os.stat(path)
    except OSError:  # it has been removed meanwhile
        return []
    return [status.st_size, status.st_mtime_ns]
