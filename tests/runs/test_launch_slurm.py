"""Runs inside jobs of a real Slurm: placement, PMI, many at once, kills; and `job_mode` from the command line on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import COMMAND
from tests.clusters.packages import ManagerUnavailable
from tests.clusters.slurm import SlurmCluster, client_variables
from tests.providers.slurm.helpers import srun_says
from tests.runs import real_mpis
from tests.runs.launches import RECORD, Had, held_twice, recorded
from tests.runs.real_mpis import said

pytestmark = pytest.mark.slow

LAUNCH = [*COMMAND, "launch"]
Until = Callable[..., None]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The C program, built with each MPI."""
    try:
        real_mpis.install()
    except ManagerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    return real_mpis.build(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def slurm(slurm_plain: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    """The cluster, for clients in an empty directory."""
    for name in client_variables(os.environ):
        monkeypatch.delenv(name)
    for name, value in {**slurm_plain.env, **real_mpis.ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return slurm_plain


class InJob:
    """A job of 2 nodes that stands, and in it commands of ours: its script is a small server of them."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def __call__(self, *argv: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the job's script would."""
        return subprocess.run(
            argv,
            env={**self.environ, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def start(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            argv,
            env=dict(self.environ),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture
def job(slurm: SlurmCluster, tmp_path: Path, comes_true: Until) -> Any:
    """Inside a job of 2 nodes with 8 CPUs and 2 GPUs each, with the very environment of its script."""
    environment = tmp_path / "environment"
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/bash\nenv -0 >{environment}.new; mv {environment}.new {environment}; exec sleep 600\n")
    options = ("-N2", "--ntasks-per-node=8", "--gpus-per-node=2", "-o", str(tmp_path / "job.out"))
    number = slurm.run("sbatch", "--parsable", *options, str(script)).strip()
    comes_true(environment.exists, 30, "the job")
    words = (word.partition("=") for word in environment.read_text().split("\0") if word)
    yield InJob(tmp_path, {name: value for name, _, value in words})
    slurm.run("scancel", number)
    slurm.wait_idle()  # else the next one gets other nodes


# ---- one run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mpi", ["mpich", "openmpi"])
def test_an_mpi_program_runs_over_the_nodes_with_the_pmi_of_its_library(
    mpi: str, job: InJob, programs: dict[str, Path]
) -> None:
    """The cluster has no default. Nobody says --mpi here: that is told by the program."""
    done = job(*LAUNCH, "-N", "2", "-n", "4", "-c", "2", "-g", "1", "--", str(programs[mpi]))
    assert (done.returncode, done.stderr) == (0, srun_says())
    found = said(done.stdout)
    assert [(line["size"], line["sum"]) for line in found] == [(4, 6)] * 4
    assert [line["host"] for line in found] == ["node01"] * 2 + ["node02"] * 2
    assert [line["PSIJ_CPUS"] for line in found] == ["0-1", "2-3"] * 2
    assert [line["CUDA_VISIBLE_DEVICES"] for line in found] == ["0", "1"] * 2
    assert {line["OMP_NUM_THREADS"] for line in found} == {"2"}


@pytest.mark.parametrize(("said_by_hand", "mpi"), [("none", "mpich"), ("pmix", "mpich"), ("none", "openmpi")])
def test_the_wrong_pmi_is_caught_before_it_becomes_so_many_runs_of_one_rank(
    said_by_hand: str, mpi: str, job: InJob, programs: dict[str, Path]
) -> None:
    done = job(*LAUNCH, "-n", "2", f"--option=--mpi={said_by_hand}", "--", str(programs[mpi]))
    assert (done.returncode, done.stdout) == (125, "")
    assert f"srun --mpi={said_by_hand} gives it no such PMI: it would be 2 runs of one rank each" in done.stderr
    right = {"mpich": "pmi2", "openmpi": "pmix"}[mpi]
    assert f"say --option=--mpi={right}" in done.stderr


@pytest.mark.parametrize("launcher", ["mpich", "openmpi"])
def test_mpiexec_starts_its_daemons_by_steps_that_share_the_nodes(
    launcher: str, job: InJob, programs: dict[str, Path], tmp_path: Path, comes_true: Until
) -> None:
    """Beside a step of ours that has the same nodes."""
    other = job.start(
        *LAUNCH, "-N", "2", "-n", "4", "--", "sh", "-c", f"touch {tmp_path}/on.$PSIJ_RANK; exec sleep 600"
    )
    comes_true(lambda: len(list(tmp_path.glob("on.*"))) == 4, 60)
    done = job(*LAUNCH, "-N", "2", "-n", "4", "--launcher", launcher, "--", str(programs[launcher]))
    other.terminate()
    other.communicate(timeout=300)
    assert done.returncode == 0, done.stderr
    found = said(done.stdout)
    assert [line["host"] for line in found] == ["node01"] * 2 + ["node02"] * 2
    assert [line["PSIJ_CPUS"] for line in found] == ["2", "3"] * 2  # the other has the first two


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("nosuch-x || exit", 127)])
def test_one_ranks_failure_ends_the_run_with_its_code(script: str, code: int, job: InJob) -> None:
    done = job(
        *LAUNCH, "-N", "2", "-n", "2", "--", "sh", "-c", f"[ $PSIJ_RANK = 0 ] || {{ {script}; }}; exec sleep 600"
    )
    assert done.returncode == code


def test_serial_copies_and_input_and_files(job: InJob, tmp_path: Path) -> None:
    script = 'echo "$PSIJ_RANK $(cat)"; if [ $PSIJ_RANK = 0 ]; then exit 4; fi; sleep 0.5; echo survived'
    (tmp_path / "in").write_text("words\n")
    words = ["--mode", "serial", "-N", "2", "-n", "2", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out.%r")]
    assert job(*LAUNCH, *words, "--", "sh", "-c", script).returncode == 4
    assert [(tmp_path / f"out.{rank}").read_text() for rank in (0, 1)] == ["0 words\n", "1 \nsurvived\n"]


# ---- many at once -------------------------------------------------------------------------------------------------


def test_forty_mpi_tasks_share_two_nodes_each_on_its_own_cores(
    slurm: SlurmCluster, programs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """README's example as it stands there: what each rank had, and when, is told by itself."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    script = next(text for text in re.findall(r"^```bash\n(.*?)^```$", readme, re.M | re.S) if "launch" in text)
    (tmp_path / "job.sh").write_text(script)
    shutil.copy(programs["mpich"], tmp_path / "simulate")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    slurm.run("sbatch", "--wait", "-o", str(tmp_path / "job.out"), str(tmp_path / "job.sh"), timeout=180)
    said_by_all = (tmp_path / "job.out").read_text().replace(srun_says(), "")
    found = [said((tmp_path / f"task.{task}").read_text()) for task in range(1, 41)]
    sizes = [task % 8 + 1 for task in range(1, 41)]
    assert [[line["size"] for line in ranks] for ranks in found] == [[size] * size for size in sizes], said_by_all
    had = [
        Had(line["host"], frozenset([line["PSIJ_CPUS"]]), frozenset(), line["began"], line["ended"])
        for ranks in found
        for line in ranks
    ]
    assert held_twice(had) == []
    assert {rank.host for rank in had} == {"node01", "node02"}
    assert len({rank.cpus for rank in had}) == 8
    times = [(ranks[0]["began"], ranks[0]["ended"]) for ranks in found]
    assert any(one < two < end for one, end in times for two, _ in times)  # in parallel


def test_runs_of_a_farm_share_two_nodes(job: InJob, tmp_path: Path) -> None:
    """Tasks of four ranks, four at a time, each rank on a core of its own."""
    (tmp_path / "had").mkdir()
    words = ("--array", "1-8", "-n", "4", "--mode", "serial", "--json", "-o", "out.{index}", "--", *RECORD, "0.5")
    done = job(*LAUNCH, *words, RECORD_IN=str(tmp_path / "had"))
    assert json.loads(done.stdout)["done"] == 8, done.stderr
    had = recorded(tmp_path / "had")
    assert len(had) == 32
    assert held_twice(had) == []
    assert {rank.host for rank in had} == {"node01", "node02"}
    at_once = [sum(other.began <= rank.began < other.ended for other in had) for rank in had]
    assert max(at_once) > 4  # several runs


# ---- who is killed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["command", "launcher", "both", "rank"])
def test_killed_runs_leave_no_step_and_no_process(
    victim: str, job: InJob, slurm: SlurmCluster, tmp_path: Path, comes_true: Until
) -> None:
    """The ranks are a step of Slurm's, and srun's death is no end of it: it is found by name and cancelled."""
    script = f"trap '' TERM HUP; echo $$ >{tmp_path}/pid.$PSIJ_RANK; while :; do sleep 600; done"
    process = job.start(*LAUNCH, "--grace", "1", "-N", "2", "-n", "2", "--", "bash", "-c", script)
    comes_true(lambda: len([p for p in tmp_path.glob("pid.*") if p.read_text().strip()]) == 2, 60)
    ranks = [int(path.read_text()) for path in tmp_path.glob("pid.*")]
    srun = [pid for pid in _children(process.pid) if Path(f"/proc/{pid}/comm").read_text() == "srun\n"]
    assert len(srun) == 1
    for pid in {"command": [process.pid], "launcher": srun, "both": [process.pid, *srun], "rank": ranks[:1]}[victim]:
        os.kill(pid, 9)
    process.communicate(timeout=300)
    assert process.returncode == (-9 if victim in ("command", "both") else 137)
    comes_true(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks), 30, "the end of the ranks")
    comes_true(lambda: "psij-" not in slurm.run("squeue", "--steps", "--format=%i %j"), 30, "the end of the step")
    everywhere = [*LAUNCH, "--no-wait", "-N", "2", "-n", "16", "--", "true"]
    comes_true(lambda: job(*everywhere).returncode == 0, 30, "all nodes, free again")  # once the guard has seen it


def test_srun_has_a_name_for_its_step_and_scancel_finds_it(
    job: InJob, slurm: SlurmCluster, tmp_path: Path, comes_true: Until
) -> None:
    """The command alone, without our sweep, which sees the ranks here because all nodes are one machine."""
    program = """
import os, sys, psij_parsl.runs.run_processes
from psij_parsl import Job
from psij_parsl.runs.registry import launcher
from psij_parsl.resources import NodeResources
psij_parsl.runs.run_processes.processes = lambda *_: iter(())
job = Job(command=["bash", "-c", sys.argv[1]], num_nodes=2, job_mode="mpi")
with NodeResources.discover().assign(job) as nodes, launcher("srun")()(job, nodes) as run:
    sys.stdin.readline()
    os.kill(run.pid, 9)
    print(run.wait())
"""
    script = f"echo $$ >{tmp_path}/pid.$PSIJ_RANK; exec sleep 600"
    process = subprocess.Popen(
        [sys.executable, "-c", program, script],
        env=dict(job.environ),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    comes_true(lambda: len([p for p in tmp_path.glob("pid.*") if p.read_text().strip()]) == 2, 60)
    out, err = process.communicate("\n", timeout=60)
    assert out == "137\n", err
    ranks = [int(path.read_text()) for path in tmp_path.glob("pid.*")]
    comes_true(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks), 30, "the end of the ranks")


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# ---- job_mode, from the command line on ---------------------------------------------------------------------------


def ran(*words: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "run", "--platform", "slurm", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("mpi", ["mpich", "openmpi"])
def test_a_job_of_many_ranks_is_an_mpi_run(mpi: str, slurm: SlurmCluster, programs: dict[str, Path]) -> None:
    done = ran("-N", "2", "-n", "8", "-c", "2", "--", str(programs[mpi]))
    assert done.returncode == 0, done.stderr
    found = said(done.stdout)
    assert [(line["size"], line["sum"]) for line in found] == [(8, 28)] * 8
    assert [line["host"] for line in found] == [first for at in (0, 4) for first in [found[at]["host"]] * 4]
    assert len({line["host"] for line in found}) == 2
    assert {line["OMP_NUM_THREADS"] for line in found} == {"2"}


def test_serial_mode_is_independent_copies(slurm: SlurmCluster, programs: dict[str, Path]) -> None:
    script = "if [ $SLURM_PROCID = 1 ]; then exit 5; fi; sleep 0.5; echo survived on $(uname -n)"
    done = ran("--mode", "serial", "-N", "2", "-n", "4", "--", "sh", "-c", script)
    assert done.returncode == 5
    assert sorted(done.stdout.splitlines()) == ["survived on node01"] + ["survived on node02"] * 2
    found = said(ran("--mode", "serial", "-n", "2", "--", str(programs["mpich"])).stdout)
    assert [line["size"] for line in found] == [1, 1]


def test_script_mode_is_one_process_on_the_first_node(slurm: SlurmCluster) -> None:
    assert ran("--mode", "script", "-N", "2", "-n", "4", "--", "uname", "-n").stdout == "node01\n"
    assert ran("--", "uname", "-n").stdout == "node01\n"


def test_each_rank_of_a_job_sees_gpus_of_its_own(slurm: SlurmCluster) -> None:
    done = ran(
        "-N", "2", "-n", "4", "-g", "1", "--", "sh", "-c", "echo $(uname -n) $SLURM_LOCALID $CUDA_VISIBLE_DEVICES"
    )
    assert sorted(done.stdout.splitlines()) == ["node01 0 0", "node01 1 1", "node02 0 0", "node02 1 1"]


def test_launches_inside_a_submitted_job_place_themselves(slurm: SlurmCluster, tmp_path: Path) -> None:
    """`psij-run submit` of a script that launches: the whole way, with one GPU for each run."""
    (tmp_path / "had").mkdir()
    script = tmp_path / "work.sh"
    launch = f"{sys.executable} -m psij_parsl.cli launch -n 1 -c 2 -g 1"
    record = " ".join(f"'{word}'" if at else word for at, word in enumerate(RECORD[:2])) + f" '{RECORD[2]}'"
    script.write_text(
        f"#!/bin/bash\nexport RECORD_IN={tmp_path}/had\nfor i in 1 2 3 4 5 6; do {launch} -- {record} 0.3 & done\nwait\n"
    )
    done = ran(
        "--mode",
        "script",
        "-N",
        "2",
        "--ntasks-per-node",
        "4",
        "-c",
        "2",
        "-X",
        "gpus_per_node=2",
        "--",
        "bash",
        str(script),
    )
    if "no parameter 'gpus_per_node'" in done.stderr:
        done = ran(
            "--mode", "script", "-N", "2", "--ntasks-per-node", "2", "-c", "4", "-g", "1", "--", "bash", str(script)
        )
    assert done.returncode == 0, done.stderr
    had = recorded(tmp_path / "had")
    assert len(had) == 6
    assert held_twice(had) == []
    assert {(len(rank.cpus), len(rank.gpus)) for rank in had} == {(2, 1)}
