"""Job scripts that people have, as they are, on each manager: what ran, with what, what is left out, what is refused.

`tests/scripts_people_have/table.toml` tells what is right; it was written from the scripts' lines and the managers'
documentation. On the script's own manager the same comes as by the manager's own submit command.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.testing.tools import comes_true
from tests.cli.helpers import psij_here
from tests.clusters.managed import Remote
from tests.clusters.slurm import SlurmCluster
from tests.simulated.server import Simulated

SCRIPTS = Path(__file__).parents[1] / "scripts_people_have"
TABLE = tomllib.loads((SCRIPTS / "table.toml").read_text())
#: What scontrol says of any two submissions of the same script that differs.
_OWN = re.compile(
    r"\w*Time|\w*JobId|Std\w+|WorkDir|Command|Priority|LastSchedEval|Scheduler|AllocNode:Sid|Comment|JobName|Nodes"
    r"|NodeList|BatchHost|CPU_IDs|ExitCode|SchedNodeList"
)
#: What a job sees that is another one's: ids, names of nodes, numbers of GPUs, and our log.
_OWN_VARIABLES = re.compile(
    r"PSIJ_\w+|SLURM_((ARRAY_)?JOB_?ID|\w*NODELIST|NODENAME|TASK_PID|TOPOLOGY_ADDR|JOB_(START|END)_TIME)|SLURMD_NODENAME|host|rank"
    r"|SLURM_JOB_GPUS|CUDA_VISIBLE_DEVICES|JOB_(ID|SCRIPT)|SGE_(STD\w+_PATH|JOB_SPOOL_DIR|O_WORKDIR|CWD_PATH)"
)


class Comes:
    """What comes of a script on a platform, with some flags."""

    def __init__(self, script: str, where: str, row: Mapping[str, Any]) -> None:
        self.script, self.row = script, row
        self.platform, *self.flags = where.split()
        self.unread = bool(row.get("interpreter")) and not os.path.exists(row["interpreter"])

    @property
    def notes(self) -> list[str]:
        """The remarks."""
        missing = f"there is no {self.row.get('interpreter')} here; the job fails unless there is one where it runs"
        return [*self.row.get("notes", ()), *([missing] if self.unread else [])]

    def is_refused(self, here: Path) -> None:
        """Submit it, and hold the refusal against the table."""
        done, (*notes, why, hint) = self._submit(here)
        assert done.returncode == 2, done.stderr
        assert notes == self.notes
        assert self.row["why"] in why
        named = {
            int(number) for text in re.findall(r"\blines? ([0-9, ]+)", why) for number in re.findall(r"\d+", text)
        }
        assert named == {*self.row["refused"]}
        assert hint.startswith("hint: ")
        assert json.loads(psij_here("list", "-a", "--json").stdout) == []

    def runs(self, here: Path) -> str:
        """Submit it, wait for it, and hold what it saw against the table. Returns the manager's id."""
        done, notes = self._submit(here)
        assert (done.returncode, notes) == (0, self.notes), done.stderr
        job = done.stdout.strip()
        native: str = json.loads(psij_here("status", job, "--json").stdout)[0]["native_id"]
        number = re.match(r"\d+", native)
        assert number
        before = {path.name for path in SCRIPTS.iterdir()}
        assert psij_here("wait", job).returncode == (127 if self.unread else 0)
        written = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()} - before
        outputs = {index: self._outputs(number[0], index) for index in self.row.get("indices", [""])}
        assert written == {name for names in outputs.values() for name in names}
        for index, names in {} if self.unread else outputs.items():
            seen = printed(here / names[0])
            wanted = {name: self._filled(text, here, number[0], index) for name, text in self.row["saw"].items()}
            assert {name: seen.get(name) for name in wanted} == wanted
        return native

    def _submit(self, here: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        """The command, and the lines of its stderr without what stands before each of them."""
        people_have(here)
        done = psij_here(*("submit", "--platform", self.platform, *self.flags, self.script, "a", "b c"))
        lines = done.stderr.splitlines()
        return done, [line.removeprefix("psij-run: ").removeprefix(f"{self.script}: ") for line in lines]

    def _outputs(self, number: str, index: str) -> list[str]:
        return [name.replace("ID", number).replace("INDEX", str(index)) for name in self.row["outputs"]]

    @staticmethod
    def _filled(text: str, here: Path, number: str, index: str) -> str:
        return text.replace("HERE", str(here)).replace("INDEX", str(index)) if text != "ID" else number


def rows(platform: str, *, refused: bool | None = None, same: bool | None = None) -> list[Any]:
    """The table's rows of a platform as parameters: those that are refused or not, that are the same or not."""
    found = [(script, where, row) for script, of in TABLE.items() for where, row in of.items()]
    return [
        pytest.param(Comes(script, where, row), id=f"{script} {where}")
        for script, where, row in found
        if where.split()[0] == platform
        and refused in (None, "refused" in row)
        and same in (None, row.get("same", False))
    ]


def people_have(folder: Path) -> None:
    """Put the scripts, their program and its folder there."""
    for path in SCRIPTS.iterdir():
        shutil.copy(path, folder)
    (folder / "logs").mkdir()


def printed(path: Path) -> dict[str, str]:
    """What a job saw: `name: text`, and variables."""
    pairs = (re.match(r"(\w+)=(.*)|([\w ]+): (.*)", line) for line in path.read_text().splitlines())
    return {match[1] or match[3]: match[2] if match[1] else match[4] for match in pairs if match}


def test_each_script_has_a_row_for_each_platform() -> None:
    scripts = {path.name for path in SCRIPTS.iterdir()} - {"seen", "table.toml"}
    assert scripts == TABLE.keys()
    assert len(scripts) >= 20
    for script, of in TABLE.items():
        assert {"local", "pbspro", "slurm", "gridengine"} <= of.keys(), script


@pytest.mark.parametrize("comes", rows("local", refused=True))
def test_what_this_host_cannot_do_is_refused_by_its_lines(comes: Comes, here: Path) -> None:
    comes.is_refused(here)


@pytest.mark.parametrize("comes", rows("local", refused=False))
def test_a_script_runs_on_this_host(comes: Comes, here: Path) -> None:
    comes.runs(here)


@pytest.mark.parametrize("comes", rows("pbspro", refused=True))
def test_what_pbs_cannot_do_is_refused_by_its_lines(comes: Comes, here: Path, pbs: Simulated) -> None:
    comes.is_refused(here)
    assert not pbs.jobs()


@pytest.mark.parametrize("comes", rows("pbspro", refused=False))
def test_a_script_runs_on_pbs(comes: Comes, here: Path, pbs: Simulated) -> None:
    native = comes.runs(here)
    job = pbs.jobs()[native]
    mem = re.search(r"\bmem=(\w+)", job["arguments"])
    asked = {**job, **job["chunk"], "mem": mem and mem[1]}
    assert {name: asked.get(name) for name in comes.row["asked"]} == comes.row["asked"]


class TestOnSlurm:
    """A script with #SBATCH lines is the same job as by sbatch; others are what their lines say."""

    @pytest.fixture(autouse=True)
    def _on_slurm(self, slurm_accounting: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in slurm_accounting.env.items():
            monkeypatch.setenv(name, value)

    @pytest.mark.parametrize("comes", rows("slurm", refused=True))
    def test_what_slurm_cannot_do_is_refused_by_its_lines(self, comes: Comes, here: Path) -> None:
        comes.is_refused(here)

    @pytest.mark.parametrize("comes", rows("slurm", refused=False))
    def test_a_script_runs(
        self, comes: Comes, here: Path, tmp_path_factory: pytest.TempPathFactory, slurm_accounting: SlurmCluster
    ) -> None:
        there, theirs = tmp_path_factory.mktemp("sbatch"), ""
        if comes.row.get("same"):
            people_have(there)
            argv = ["sbatch", "--parsable", comes.script, "a", "b c"]
            theirs = subprocess.run(argv, cwd=there, capture_output=True, text=True, check=True).stdout.strip()
        ours = comes.runs(here)
        shown = _scontrol(ours)
        assert {name: shown.get(name) for name in comes.row["asked"]} == {
            name: str(value) for name, value in comes.row["asked"].items()
        }
        if theirs:
            comes_true(lambda: _has_ended(theirs), 60)
            assert _told(_scontrol(theirs)) == _told(shown)
            if not comes.unread:
                _same_outputs(there, theirs, here, ours)


class TestOnGridEngine:
    """A script with `#$` lines is the same job as by qsub."""

    @pytest.mark.parametrize("comes", rows("gridengine", refused=True))
    def test_what_grid_engine_cannot_do_is_refused_by_its_lines(
        self, comes: Comes, here: Path, gridengine: Remote
    ) -> None:
        comes.is_refused(here)

    @pytest.mark.parametrize("comes", rows("gridengine", refused=False))
    def test_a_script_runs(
        self, comes: Comes, here: Path, tmp_path_factory: pytest.TempPathFactory, gridengine: Remote
    ) -> None:
        there, theirs = tmp_path_factory.mktemp("qsub"), ""
        if comes.row.get("same"):
            people_have(there)
            argv = ["qsub", "-terse", comes.script, "a", "b c"]
            done = subprocess.run(argv, cwd=there, capture_output=True, text=True, check=True)
            theirs = done.stdout.strip().partition(".")[0]
        ours = comes.runs(here).partition(".")[0]
        elements = len(comes.row.get("indices", [0]))
        told = _qacct(ours, elements)
        assert {name: told.get(name) for name in comes.row["asked"]} == {
            name: str(value) for name, value in comes.row["asked"].items()
        }
        if theirs:
            assert _qacct(theirs, elements) == told
            _same_outputs(there, theirs, here, ours)


def _qacct(job: str, elements: int) -> dict[str, str]:
    """What the accounting says that a job asked for and got, when all its elements are in it."""
    argv = ["qacct", "-j", job]
    found: list[str] = []

    def whole() -> bool:
        text = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        found[:] = re.split(r"^=+$", text, flags=re.MULTILINE)[1:]
        return len(found) == elements

    comes_true(whole, 60)
    pairs = dict(re.findall(r"^(\w+) +(.*?) *$", found[0], re.MULTILINE))
    options = dict(re.findall(r"(-\w+) (\S+)", pairs["category"]))
    resources = ",".join(sorted(options.get("-l", "").split(",")))
    return {**{name: pairs[name] for name in ("granted_pe", "slots", "project", "department")}, "-l": resources}


def _scontrol(job: str) -> dict[str, str]:
    argv = ["scontrol", "-o", "show", "job", job]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    first = min(lines, key=lambda line: int((re.search(r" ArrayTaskId=(\d+) ", line) or (0, 0))[1]))
    told = first.replace("=gres:gpu", "=gres/gpu")  # as 22.05 has it
    return dict(re.findall(r"(\S+?)=(.*?) *(?= \S+?=|$)", told))


def _has_ended(job: str) -> bool:
    argv = ["squeue", "-h", "-j", job]
    return not subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def _told(shown: Mapping[str, str]) -> dict[str, str]:
    """Without what differs between any two jobs."""
    return {name: text for name, text in shown.items() if not _OWN.fullmatch(name)}


def _same_outputs(there: Path, theirs: str, here: Path, ours: str) -> None:
    """The jobs have written the same files with the same lines, but for their ids, nodes and folders."""

    def outputs(folder: Path, job: str) -> dict[str, dict[str, str]]:
        found = {}
        for path in folder.rglob("*"):
            if path.is_file() and not (SCRIPTS / path.name).exists():
                seen = {name: text.replace(str(folder), "HERE") for name, text in printed(path).items()}
                name = str(path.relative_to(folder)).replace(job.partition("_")[0], "ID", 1)
                found[name] = {key: text for key, text in seen.items() if not _OWN_VARIABLES.fullmatch(key)}
        return found

    wanted, found = outputs(there, theirs), outputs(here, ours)
    assert wanted.keys() == found.keys()
    for name, seen in wanted.items():
        assert sorted({*seen.items()} ^ {*found[name].items()}) == []
