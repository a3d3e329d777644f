"""The whole test command's runs of pytest: the whole suite on Debian 12, and on each later Debian what may differ there.

Called by `tests/run`. Each run is in a root of its own (tests/clusters/roots.py): so none sees what this machine has
of managers, and none changes it. The whole suite comes first and is shown as it goes; beside it run the later Slurms,
and the managers that are used by an ordinary user (tests/clusters/managed.py), for most tests wait. They are shown when
they have ended. The last lines tell how each run went.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.clusters import inside, roots
from tests.clusters.packages import ManagerUnavailable
from tests.clusters.roots import Release, release

_LIMIT = 4200.0  # seconds, for one run of pytest
#: Where a report of each run is left, for tests/capabilities.py.
REPORTS = inside.REPOSITORY / "build" / "reports"
_REPORT = "report.xml"
_PYTEST = ["python", "-u", "-m", "pytest", "--dist", "loadfile", "--no-loadscope-reorder"]
#: What is run on Slurm 24.11 and on 26.05 beside the whole suite: these tests wait for jobs most of the time.
_LATER = {"24.11": "cluster and not managed", "26.05": "cluster and every_slurm"}
#: What is run of each manager that root starts for an ordinary user: the manager, and where it is.
_MANAGED = (("gridengine", "22.05"), ("htcondor", "24.11"), ("oar", "22.05"), ("htcondor", "26.05"))
#: What is run with the latest Python that can be had when all that has ended, for it keeps the processors busy. What
#: the Pythons between it and that of the whole suite would show, the tests of their releases' Slurms show.
_QUICK = "not cluster and not slow"
#: What is run on one Slurm that is asked for, where nothing is said of which tests.
_OF_SLURM = ["-m", "cluster and not managed"]
_TRIAL = """
from tests.clusters.slurm import SlurmCluster, SlurmSettings
for accounting in (False, True):
    with SlurmCluster(SlurmSettings(accounting=accounting, nodes=1)) as cluster:
        cluster.run("srun", "true")
"""


@dataclass
class Run:
    """One run of pytest, and how it went."""

    where: Release
    arguments: Sequence[str]
    workers: str
    show: Callable[[str], object]
    of_slurm: bool = True  # whether its tests need a Slurm: one of a release that moves is tried first
    manager: str = ""  # what tests.clusters.managed starts for it
    slurm: str = ""
    python: str = ""
    result: str = "not run"
    failed: bool = True
    output: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self) -> None:
        """Make the root if it is not there, and run."""
        began = time.monotonic()
        try:
            with inside.room(roots.make(self.where)) as room:
                slurm = room.run(["slurmctld", "-V"]).split()[-1]
                self.python = room.run(["python", "-V"]).split()[-1]
                if self.where.moves and self.of_slurm:
                    room.run(["python", "-c", _TRIAL])
                self.slurm = slurm
                self._run(room)
        except ManagerUnavailable as error:
            self.failed = not self.where.moves
            self.result = f"{'skipped' if self.where.moves else 'impossible'}: {error}"
        finally:
            self.seconds = time.monotonic() - began

    def _run(self, room: inside.Room) -> None:
        arguments = ["-n", self.workers, f"--junitxml=/tmp/{_REPORT}", *self.arguments]
        command = room.command([*self._managed(), *_PYTEST, *arguments])
        with subprocess.Popen(
            command,
            env=room.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            clock = threading.Timer(_LIMIT, process.kill)
            clock.start()
            assert process.stdout is not None
            for line in process.stdout:
                self.show(line)
                self._read(line)
            code = process.wait()
            clock.cancel()
        self.failed = code != 0
        if (report := room.folder / "tmp" / _REPORT).exists():
            REPORTS.mkdir(parents=True, exist_ok=True)
            kind = self.manager or ("slurm" if self.of_slurm else "quick")
            shutil.copy(report, REPORTS / f"{self.where.slurm}-{kind}.xml")
        if self.result == "not run":
            self.result = f"pytest ended with {code} and no summary"

    def _managed(self) -> list[str]:
        return ["python", "-m", "tests.clusters.managed", self.manager, "--"] if self.manager else []

    @property
    def subject(self) -> str:
        """What it is about, for people."""
        what = self.manager or f"Slurm {self.slurm or self.where.slurm}"
        return f"{what} and Python {self.python or '?'}, on Debian {self.where.name}"

    def _read(self, line: str) -> None:
        """Keep what pytest says in the end."""
        found = re.search(r"(\d+ (?:passed|failed|skipped|error|deselected|rerun|xfail).*?) in \d", line)
        if found:
            self.result = found[1]


def everywhere(workers: str) -> list[Run]:
    """The whole suite on Debian 12, and beside it the Slurms of the other releases, one after the other; then a Python."""
    whole = Run(release("22.05"), ["-m", "not managed"], workers, print_now)
    later = [Run(release(name), ["-m", marks], "2", print) for name, marks in _LATER.items()]
    managed = [_managed_run(name, where) for name, where in _MANAGED]
    for run in (*later, *managed):
        run.show = run.output.append
    quick: list[Run] = []
    roots.make(whole.where)  # the others take a library from it

    def one_after_the_other(runs: Sequence[Run]) -> None:
        for run in runs:
            run()

    beside = [threading.Thread(target=one_after_the_other, args=(runs,)) for runs in (later, managed)]
    for thread in beside:
        thread.start()
    whole()
    for thread in beside:
        thread.join()
    for run in (*later, *managed):
        print(f"\n==== {run.subject} ====\n{''.join(run.output)}", flush=True)
    for name in reversed(_LATER):
        quick.append(Run(release(name), ["-m", _QUICK], workers, print_now, of_slurm=False))
        quick[-1]()
        if quick[-1].python:
            break
    return [whole, *later, *managed, *quick]


def _managed_run(name: str, where: str, arguments: Sequence[str] = ()) -> Run:
    """The tests of a manager that has a user of its own; they wait most of the time, so many run at once."""
    arguments = ["--dist", "loadscope", "-m", name, *arguments]
    return Run(release(where), arguments, "4", print_now, of_slurm=False, manager=name)


def print_now(text: str) -> None:
    """Show a line at once, also where the output is a pipe."""
    print(text, end="", flush=True)


def on_this_host(arguments: Sequence[str], workers: str) -> int:
    """pytest with the Slurm of this machine; its exit code."""
    command = [sys.executable, *_PYTEST[1:], "-n", workers, *arguments]
    return subprocess.run(command, cwd=inside.REPOSITORY, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """Arguments go to pytest; $PSIJ_TEST_SLURM names one Slurm, 22.05, 24.11, 26.05 or "host".

    $PSIJ_TEST_MANAGED names a manager that root starts for an ordinary user instead, where it has several versions in
    one of the roots: gridengine, oar, htcondor or htcondor@26.05.
    """
    chosen, workers = os.environ.get("PSIJ_TEST_SLURM", ""), os.environ.get("PSIJ_TEST_WORKERS") or "3"
    managed, _, where = os.environ.get("PSIJ_TEST_MANAGED", "").partition("@")
    if chosen == "host" or (arguments and not chosen and not managed):
        return on_this_host(arguments, workers)
    try:
        if managed:
            runs = [_managed_run(managed, where or dict(reversed(_MANAGED))[managed], arguments)]
            runs[0]()
        elif chosen:
            runs = [Run(release(chosen), arguments or _OF_SLURM, workers, print_now)]
            runs[0]()
        else:
            runs = everywhere(workers)
    except ManagerUnavailable as error:
        print(f"tests/run: no root of Debian: {error}", file=sys.stderr)
        if os.environ.get("CI") or chosen or managed:
            return 1
        print("tests/run: so on this host alone, with the Slurm that it has", file=sys.stderr)
        return on_this_host(arguments, workers)
    print()
    for run in runs:
        word = "failed" if run.failed else "passed" if run.slurm else "skipped"
        print(f"{run.subject:54} {word:8} {run.seconds:5.0f} s  {run.result}")
    return int(any(run.failed for run in runs))


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
