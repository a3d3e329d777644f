"""LSF's own: whose commands they are, its variables, Parsl's blocks, and `psij-run` from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.errors import InvalidRequest, Rejected
from psij_parsl.providers.lsf.provider import LSFProvider
from psij_parsl.providers.lsf.scheduler import LSFScheduler
from psij_parsl.testing.tools import PATIENCE_S, shell
from tests.simulated.server import Simulated


def psij_run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "psij_parsl.cli", *words], capture_output=True, text=True, timeout=PATIENCE_S
    )


@pytest.mark.slow
def test_psij_run_runs_on_it_and_names_the_owner_of_its_commands(lsf: Simulated) -> None:
    done = psij_run("run", "--platform", "lsf", "-q", "short", "-t", "1", "--", "bash", "-c", "echo hello; exit 7")
    assert (done.returncode, done.stdout) == (7, "hello\n")
    [line] = [line for line in psij_run("platform", "list").stdout.splitlines() if line.startswith("lsf ")]
    assert line.split()[1] == "yes"
    done = psij_run("submit", "--platform", "lsf", "-t", "5", "-q", "short", "--", "true")
    assert done.returncode == 4
    assert "hard limit" in done.stderr


@pytest.mark.slow
def test_other_programs_that_are_called_so_are_not_taken_for_lsfs(lsf: Simulated) -> None:
    (lsf.bin / "bsub").write_text("#!/bin/sh\necho slurm 23.11.4\n")
    with pytest.raises(Rejected, match=r"is Slurm's, not LSF's"):
        BatchSchedulerExecutor("lsf").submit(shell("true"))


def test_its_own_variables_say_queue_and_project_where_nothing_else_does() -> None:
    scheduler = LSFScheduler()
    environ = {"LSB_DEFAULTQUEUE": "night normal", "LSB_DEFAULTPROJECT": "chem", "LSB_JOBID": "1"}
    wished = [(wish.variable, wish.name, wish.value) for wish in scheduler.wished(environ, {})]
    assert wished == [("LSB_DEFAULTQUEUE", "queue", "night"), ("LSB_DEFAULTPROJECT", "project", "chem")]
    assert scheduler.wished({"LSB_DEFAULTQUEUE": " "}, {}) == []
    assert scheduler.cluster({"LSF_ENVDIR": "/lsf/conf", "LSF_BINDIR": "/lsf/bin"}) == "LSF_ENVDIR=/lsf/conf"


@pytest.mark.slow
def test_a_block_takes_the_options_that_a_parameter_sets(lsf: Simulated, tmp_path: Path) -> None:
    options = '#BSUB -q normal\n#BSUB -R "select[type==any]"\n#BSUB -R order[ut]\n#BSUB -alloc_flags "smt4 gpumps"'
    provider = LSFProvider(num_nodes=2, wall_time_min=30, scheduler_options=options, cores_per_node=8)
    provider.script_dir = str(tmp_path)
    block = provider.submit("true", 1, "block")
    provider.cancel([block])
    [job] = lsf.jobs().values()
    assert (job["queue"], job["chunks"], job["chunk"]["slots"], job["walltime"]) == ("normal", 2, 8, 1800)
    script = Path(job["script"]).read_text()
    for line in ('-R "select[type==any]"', '-R "order[ut]"', '-alloc_flags "smt4 gpumps"'):
        assert f"#BSUB {line}\n" in script
    with pytest.raises(InvalidRequest, match="-K"):
        LSFProvider(scheduler_options="#BSUB -K")
