"""`psij-run launch --each-line` and `--array` over the two nodes of a job of a real Slurm."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.helpers import COMMAND
from tests.runs.test_launch_slurm import InJob, job, slurm  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow

LAUNCH = [*COMMAND, "launch"]


def test_tasks_and_runs_are_farmed_over_two_nodes(job: InJob, tmp_path: Path) -> None:  # noqa: F811
    """Each task once, on both nodes, with cores of its own; tasks of several ranks beside each other; the summary."""
    lines = tmp_path / "tasks"
    lines.write_text(
        "".join("echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES; sleep 0.2\n" for _ in range(39)) + "exit 3\n"
    )
    done = job(*LAUNCH, "--each-line", str(lines), "-c", "2", "-g", "1", "--json", "-o", "out/{index}")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert (told["done"], told["failed"], told["left"]) == (39, 1, 0)
    said = [(tmp_path / "out" / str(number)).read_text().split() for number in range(1, 40)]
    assert len(Counter(node for node, _ in said)) == 2
    assert {gpu for _, gpu in said} == {"0", "1"}

    done = job(
        *LAUNCH,
        "--array",
        "0-3",
        "-n",
        "4",
        "--launcher",
        "srun",
        "--mode",
        "serial",
        "-l",
        "--",
        "sh",
        "-c",
        "echo $PSIJ_RANK",
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == sorted(
        ["", *(f"[{index}] {rank}" for index in range(4) for rank in range(4))]
    )
