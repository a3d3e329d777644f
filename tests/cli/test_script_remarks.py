"""Remarks on job scripts: what their lines say and a job does not do, and files that are no scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.helpers import psij, psij_here


def script(*lines: str) -> None:
    Path("job.sh").write_text("\n".join(["#!/bin/bash", *lines, "echo hi", ""]))


@pytest.mark.parametrize("platform", ["local", "slurm", "pbspro"])
@pytest.mark.parametrize(
    "line",
    [
        "#SBATCH -W",
        "#SBATCH --wait",
        "#PBS -W block=true",
        "#BSUB -K",
        "#$ -sync y",
        "# flux: --wait",
        "# flux: --watch",
    ],
)
def test_lines_that_have_the_submit_command_wait_are_left_out_with_a_remark(platform: str, line: str) -> None:
    script(line)
    done = psij_here("render", "--platform", platform, "job.sh")
    assert done.returncode == 0, done.stderr
    said = line.split(" ", 1 if line[1] != " " else 2)[-1]
    assert f"job.sh: line 2 {said}: `submit` waits with --wait only\n" in done.stderr
    assert line not in done.stdout


@pytest.mark.parametrize(
    ("data", "why"), [(b"echo \0\n", "has a NUL byte"), (b"#" * (4 << 20), "is longer than 4 MB")]
)
def test_a_script_that_is_no_text_is_taken_for_a_program_and_that_is_said(data: bytes, why: str) -> None:
    Path("job.sh").write_bytes(b"#!/bin/bash\n#SBATCH -n 2\n" + data)
    Path("job.sh").chmod(0o755)
    done = psij_here("render", "--platform", "local", "./job.sh")
    assert (
        f"psij-run: ./job.sh {why}: it is taken for a program, and no option line in it is read\n" == done.stderr
    ), done.stderr
    assert "--" not in psij_here("render", "--platform", "local", "--", "./job.sh").stderr


def test_a_variable_of_slurms_that_does_not_count_beside_a_line_is_told() -> None:
    """sbatch itself would follow it."""
    script("#SBATCH -t 5")
    render = ["render", "--platform", "slurm"]
    done = psij_here(*render, "job.sh", SBATCH_TIMELIMIT="7")
    assert "SBATCH_TIMELIMIT does not count, for line 2 says -t 5\n" in done.stderr
    assert "SBATCH_TIMELIMIT" not in psij_here(*render, "-t", "9", "job.sh", SBATCH_TIMELIMIT="7").stderr
    script()
    assert "-t 7 from SBATCH_TIMELIMIT\n" in psij_here(*render, "job.sh", SBATCH_TIMELIMIT="7").stderr


@pytest.mark.parametrize(
    ("platform", "line"), [("torque", "#PBS -l nodes=2:ppn=2"), ("oar", "#OAR -l /nodes=2/core=2,walltime=1")]
)
def test_a_refusal_names_the_line_whose_place_is_taken(platform: str, line: str) -> None:
    script(line)
    done = psij_here("render", "--platform", platform, "-n", "3", "job.sh")
    assert done.returncode == 2
    said = line.partition(" ")[2]
    assert f"the number of nodes; what is typed takes the place of job.sh, line 2 {said}\n" in done.stderr


@pytest.mark.slow
def test_what_the_manager_wrote_of_all_elements_is_told_once_and_info_names_the_stand_ins() -> None:
    psij("submit", "--platform", "local", "--compat", "slurm", "--array", "0-2", "-o", "nowhere/out", "--", "true")
    done = psij("wait", "last")
    assert done.stderr.count("ended FAILED, LAUNCH_FAILED") == 3
    assert done.stderr.count("--- local wrote") == 1
    assert "stand-ins of slurm" in psij("info", "last").stdout
    assert json.loads(psij("info", "last", "--json").stdout)["job"]["compat"] == "slurm"
