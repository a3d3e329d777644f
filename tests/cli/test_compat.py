"""`--compat slurm`: scripts that call srun run where there is no Slurm, by a stand-in for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import Job
from psij_parsl.cli.completion import stand_ins
from psij_parsl.errors import InvalidRequest
from psij_parsl.resources.discover import described
from psij_parsl.sites.manager_detection import at_home
from tests.cli.helpers import COMMAND, one_sentence_and_a_hint, psij, psij_here
from tests.clusters.packages import ManagerUnavailable
from tests.runs import real_mpis
from tests.simulated.server import Simulated

slow = pytest.mark.slow
#: `bash` and the like may be MPI's, for all that can be seen: then the host's mpiexec starts them.
MPI = real_mpis.ENVIRONMENT


def script(path: Path, *body: str, lines: str = "#SBATCH -n 4 -t 5") -> str:
    path.write_text("\n".join(["#!/bin/bash", lines, *body, ""]))
    return str(path)


def ran(job: str, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return psij("run", "--platform", "local", "--compat", "slurm", *args, job, **MPI, **environ)


@slow
def test_srun_starts_the_jobs_ranks_on_this_host(tmp_path: Path) -> None:
    job = script(tmp_path / "job.sh", "srun -l bash -c 'echo $SLURM_PROCID of $SLURM_NTASKS, $SLURM_LOCALID'")
    done = ran(job, "-n", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == ["[0] 0 of 2, 0", "[1] 1 of 2, 1"]


@slow
def test_a_login_shell_that_makes_its_path_anew_finds_it_too(tmp_path: Path) -> None:
    profile = tmp_path / ".bash_profile"
    profile.write_text("PATH=/usr/bin:/bin\n")
    job = tmp_path / "job.sh"
    job.write_text("#!/bin/bash -l\n#SBATCH -n 2\nsrun sh -c 'echo here'\n")
    assert ran(str(job), HOME=str(tmp_path)).stdout.split() == ["here", "here"]


@slow
def test_its_exit_code_is_the_runs_and_125_for_what_it_refuses(tmp_path: Path) -> None:
    job = script(
        tmp_path / "job.sh",
        *("srun -n1 sh -c 'exit 7'; echo $?", "srun --pty bash; echo $?", "srun -n 999 true; echo $?"),
        *("echo data | srun -n1 cat", "srun -n1 nosuchprogram; exit $?"),
        lines="",
    )
    done = ran(job, "-n", "2")
    assert done.stdout.split() == ["7", "125", "125", "data"]
    assert done.returncode == 127
    assert "psij-run: srun: the srun of psij-run has no option --pty\nhint: " in done.stderr


@slow
def test_two_in_the_background_share_the_jobs_cores(tmp_path: Path) -> None:
    """Each waits for the other's file: they run at once. A third, for which there is no core, runs after them."""
    meet = "touch $0; while [ ! -e $1 ]; do sleep 0.05; done"
    job = script(
        tmp_path / "job.sh",
        f"srun -n1 -c1 sh -c '{meet}' a b &",
        f"srun -n1 -c1 sh -c '{meet}; echo $PSIJ_CPUS >cores' b a &",
        "while [ ! -e a ] || [ ! -e b ]; do sleep 0.05; done",
        "srun -n 2 sh -c 'echo third'",
        "wait",
    )
    done = ran(job, "-n", "2", "-D", str(tmp_path))
    assert (done.returncode, done.stdout.split()) == (0, ["third", "third"]), done.stderr


@slow
def test_ranks_see_the_gpus_of_the_job_unless_some_are_asked_for(tmp_path: Path) -> None:
    show = "sh -c 'echo $SLURM_PROCID ${CUDA_VISIBLE_DEVICES:-none}'"
    job = script(tmp_path / "job.sh", f"srun {show}", f"srun --gpus-per-task=1 {show}", f"srun --gres=none {show}")
    done = ran(job, "-n", "2", "--env", "CUDA_VISIBLE_DEVICES=4,7")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert [sorted(shown[at : at + 2]) for at in (0, 2, 4)] == [
        ["0 4,7", "1 4,7"],
        ["0 4", "1 7"],
        ["0 none", "1 none"],
    ]


@slow
def test_elements_of_an_array_have_it_each(tmp_path: Path) -> None:
    job = script(tmp_path / "job.sh", "srun -n1 sh -c 'echo $SLURM_ARRAY_TASK_ID'", lines="#SBATCH --array=3-4")
    assert sorted(ran(job).stdout.splitlines()) == ["[3] 3", "[4] 4"]


@slow
@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
def test_srun_starts_mpi_programs(mpi: str, tmp_path: Path) -> None:
    try:
        real_mpis.install()
    except ManagerUnavailable as error:
        pytest.skip(str(error))
    program = real_mpis.build(tmp_path)[mpi]
    job = script(tmp_path / "job.sh", f"srun --mpi=pmix {program}", lines="#SBATCH --ntasks=2")
    done = ran(job)
    assert done.returncode == 0, done.stderr
    assert [(rank["rank"], rank["size"]) for rank in real_mpis.said(done.stdout)] == [(0, 2), (1, 2)]


@slow
def test_on_a_simulated_pbs_it_sees_the_allocation_of_pbs(pbs: Simulated, put: Callable[[str, str], Path]) -> None:
    """With a stand-in for mpiexec that starts one rank here, for no host is called node01."""
    put("mpiexec", 'until [ "$1" = sh ] || [ "$1" = bash ]; do shift; done; PMI_RANK=0 PMI_SIZE=1 exec "$@"')
    put("psij-run", f'exec {" ".join(COMMAND)} "$@"')
    body = ("srun -n1 sh -c 'echo rank $SLURM_PROCID'", "psij-run resources show --json", "echo $SLURM_JOB_ID")
    job = script(Path("job.sh"), *body, lines="#SBATCH -n 2 -t 5 -e err.txt")
    done = psij("run", "--platform", "pbspro", "--compat", "slurm", job)
    assert done.returncode == 0, done.stderr
    rank, shown, native = done.stdout.splitlines()
    assert rank == "rank 0"
    assert json.loads(shown)["platform"] == "pbspro"
    assert json.loads(shown)["id"].partition(".")[0] == native  # a number, as scripts of Slurm expect


def test_the_variables_of_a_script_are_not_taken_for_its_managers_own(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes"
    nodes.write_text("one\ntwo\nthree\n")
    of_pbs = {"PBS_JOBID": "7.head", "PBS_NODEFILE": str(nodes), "NCPUS": "4"}
    of_slurm = {"SLURM_JOB_ID": "7.head", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_CPUS_PER_NODE": "1(x2)"}
    ours = {"PSIJ_NATIVE_ID": "7.head", "PSIJ_JOB_PLATFORM": "local", "PSIJ_LOCAL_JOB_ID": "7.head"}
    local = {**ours, "PSIJ_LOCAL_CORES": "8", "PSIJ_LOCAL_HOME": "/tmp"}
    assert described({**of_slurm, **local}).platform == "local"
    assert described({**of_slurm, "PSIJ_NATIVE_ID": "7.head", "PSIJ_JOB_PLATFORM": "slurm"}).platform == "slurm"
    assert (
        described({**of_slurm, **of_pbs, "PSIJ_NATIVE_ID": "7.head", "PSIJ_JOB_PLATFORM": "pbspro"}).platform
        == "pbspro"
    )
    home, _ = at_home(["slurm"], {**local, "SLURM_JOB_ID": "7.head", "PATH": "/nowhere"})
    assert not [manager for manager in home if "SLURM_JOB_ID" in manager.sign]
    home, _ = at_home(["slurm"], {"SLURM_JOB_ID": "7", "PATH": "/nowhere"})
    assert any("SLURM_JOB_ID" in manager.sign for manager in home)


def test_the_python_that_submitted_is_named_where_it_is_not_there(tmp_path: Path) -> None:
    """As on a node that does not see where it is installed."""
    job = psij_here("submit", "--platform", "local", "--compat", "slurm", "--", "true").stdout.strip()
    folder = Path(psij_here("info", "--json", job).stdout.partition('"folder": "')[2].partition('"')[0])
    text = (folder / "bin" / "srun").read_text()
    assert sys.executable in text
    elsewhere = tmp_path / "srun"
    elsewhere.write_text(text.replace(sys.executable, "/nowhere/python"))
    done = subprocess.run(["sh", elsewhere, "true"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (125, "")
    said, hint = done.stderr.splitlines()
    assert said.startswith("psij-run: srun: there is no /nowhere/python, which submitted this job, on ")
    assert hint.startswith("hint: ")


def test_a_line_of_ours_may_ask_for_it_and_on_slurm_itself_there_is_nothing_to_do(tmp_path: Path) -> None:
    job = script(tmp_path / "job.sh", "srun hostname", lines="#PSIJ --compat slurm -n 2")
    assert "bin in the job's folder" in psij_here("render", "--platform", "pbspro", job).stdout
    on_slurm = psij_here("render", "--platform", "slurm", job)
    assert (on_slurm.returncode, on_slurm.stderr) == (0, "")
    assert "bin in the job's folder" not in on_slurm.stdout
    assert 'exec -- "$@"' in on_slurm.stdout  # the command runs once there, too


def test_the_remark_on_missing_programs_says_what_would_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("bash", "sh"):
        (bare / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(bare))
    job = script(tmp_path / "job.sh", "srun hostname", "scontrol show job")
    without = psij_here("render", "--platform", "local", job).stderr
    assert "line 3: srun, line 4: scontrol): they end with 127; --compat slurm puts srun there" in without
    given = psij_here("render", "--platform", "local", "--compat", "slurm", job).stderr
    assert "(line 4: scontrol): they end with 127\n" in given
    (bare / "srun").symlink_to(bare / "sh")
    there = psij_here("render", "--platform", "local", job).stderr
    assert "programs that serve slurm's own jobs alone (line 3: srun); --compat slurm puts others" in there
    (bare / "srun").unlink()
    script(tmp_path / "job.sh", "srun hostname", lines="")
    lone = psij_here("submit", "--platform", "local", "--hold", job).stderr
    assert lone.startswith(f"psij-run: {job}, line 3: srun is not on PATH here")
    assert lone.endswith("; --compat slurm puts one there\n")
    script(tmp_path / "job.sh", "srun hostname")
    assert psij_here("render", "--platform", "local", "--compat", "slurm", job).stderr == ""


def test_platforms_without_stand_ins_and_other_modes_are_refused() -> None:
    for name in ("pbspro", "slrum"):
        done = psij_here("submit", "--platform", "local", "--compat", name, "--", "true")
        assert done.returncode == 2
        assert f"no stand-ins for the commands of '{name}'" in one_sentence_and_a_hint(done)[0]
    done = psij_here("submit", "--platform", "local", "--compat", "slurm", "--mode", "mpi", "--", "true")
    assert "a job in mode mpi calls no commands of slurm" in one_sentence_and_a_hint(done)[0]
    assert [name for name, _ in stand_ins(None, "s")] == ["slurm"]  # type: ignore[arg-type]  # it looks at no context
    with pytest.raises(InvalidRequest):
        Job(command=["true"], compat=7)  # type: ignore[arg-type]  # a mistake of the user's
