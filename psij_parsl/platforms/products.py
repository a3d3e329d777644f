"""Whose commands are these? `qsub`, `qstat` and `qdel` are PBS's, Torque's, Grid Engine's and Cobalt's alike.

A command is asked for its version, which no manager counts as a request. What cannot be told, by a wrapper that says
nothing or a command that does not answer, is no proof of anything.
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

#: What the commands of each manager say of themselves, or by which complaint they are known where they refuse the
#: question or are not configured. No words that a site's own wrapper might use.
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
_ASK_S = 5.0
_REMEMBERED = "commands.json"
_MOST_REMEMBERED = 64


class Told(NamedTuple):
    """What a command said of itself. `product` is the manager that it belongs to, '' where that cannot be told."""

    command: str
    path: str
    product: str
    output: Output

    def not_of(self, product: str) -> str:
        """That it is another manager's than `product`, as a sentence."""
        return f"the {self.command} at {self.path} is {self.product}'s, not {product}'s"


def ask(scheduler: Scheduler, timeout_s: float = _ASK_S) -> list[Told]:
    """What the commands of a platform say of themselves: the first, and others where they may be someone else's.

    One that lies beside a command which is known belongs to the same manager, and is not asked. Commands that are
    not on PATH, or cannot be started, say nothing.
    """
    told: list[Told] = []
    known: set[str] = set()  # directories
    for argv in scheduler.probes:
        path = where(argv[0])
        if not path or os.path.dirname(path) in known:
            continue
        try:
            output = scheduler.run(argv, timeout_s=timeout_s)
        except SchedulerError:
            continue
        product = _product(scheduler, output)
        told.append(Told(argv[0], path, product, output))
        if product:
            known.add(os.path.dirname(path))
    return told


def foreign(told: Iterable[Told], product: str) -> Told | None:
    """The first of those that is known as another manager's than `product`."""
    return next((each for each in told if each.product not in ("", product)), None)


def where(command: str, path: str | None = None) -> str:
    """The absolute path of a command on PATH; '' if it is not there."""
    found = shutil.which(command, path=path)
    return os.path.abspath(found) if found else ""


def refuse_foreign(scheduler: Scheduler, home: Path) -> None:
    """Before the first submission: raise `Rejected` where a command of our names is known as another manager's.

    Asked only of platforms whose names are shared, once for each executor; that a command is ours is remembered in
    the state directory for as long as its file is the same.
    """
    if scheduler.product_known or not scheduler.shared_names:
        return
    import json

    from ..system.commands import CommandRunner
    from ..system.files import private_folder, read_json, write_whole

    if not isinstance(scheduler.run, CommandRunner):
        return
    marks = {path: _mark(path) for argv in scheduler.probes if (path := where(argv[0]))}
    file = home / _REMEMBERED
    found = read_json(file)
    remembered = found if isinstance(found, dict) else {}
    if any(remembered.get(path) != [scheduler.product, mark] for path, mark in marks.items()):
        told = ask(scheduler)
        if other := foreign(told, scheduler.product):
            raise Rejected(
                other.not_of(scheduler.product),
                hint=f"put {scheduler.product}'s commands first on PATH, or choose another --platform;"
                " `psij-run platform list` tells which are here",
            )
        ours = {os.path.dirname(each.path) for each in told if each.product}
        new = {path: [scheduler.product, mark] for path, mark in marks.items() if os.path.dirname(path) in ours}
        if new:
            rest = [(path, mark) for path, mark in remembered.items() if path not in new]
            kept = dict(rest[len(new) - _MOST_REMEMBERED :]) | new
            write_whole(private_folder(home) / file.name, json.dumps(kept))
    scheduler.product_known = True


def _product(scheduler: Scheduler, output: Output) -> str:
    if scheduler.probe_answer and re.search(scheduler.probe_answer, output.text, re.MULTILINE):
        return scheduler.product
    return next((name for name, banner in BANNERS.items() if re.search(banner, output.text, re.MULTILINE)), "")


def _mark(path: str) -> Sequence[int]:
    """What changes with a file's content: its size and when it was written."""
    try:
        status = os.stat(path)
    except OSError:  # it went away just now
        return []
    return [status.st_size, status.st_mtime_ns]
