"""`psij-run site test` on a real Slurm of two node types, right and with one fault after the other."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import COMMAND, psij
from tests.clusters.slurm import SlurmCluster

_SITE = """description = "Four nodes of two types"
platform = "slurm"
launcher = "srun"
environment = { TOOL = "a b" }
[nodes.odd]
cpus = 8
memory = "16 GB"
parameters = { constraint = "odd" }
[nodes.even]
cpus = 8
memory = "16 GB"
gpus = 2
parameters = { constraint = "even" }
[queues.debug]
node = ["odd", "even"]
default = true
strict = true
max_time = "30m"
max_nodes = 4
[queues.small]
node = "even"
max_time = "2h"
max_nodes = 1
setup = ["export OF_SMALL=1"]
"""


@pytest.fixture(autouse=True)
def on_slurm(slurm_plain: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's commands lead to the test cluster."""
    for name, value in slurm_plain.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def site(here: Path) -> Callable[..., str]:
    """Writes the site file, with these lines before it and these changes; gives its path."""

    def write(top: str = "", changes: dict[str, str] | None = None) -> str:
        text = _SITE
        for old, new in (changes or {}).items():
            assert old in text
            text = text.replace(old, new)
        (here / "two.toml").write_text(top + text)
        return "./two.toml"

    return write


def report(*args: str, code: int = 0, before: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*before, *COMMAND, "site", "test", *args, "--yes", "--json"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    checks: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
    return checks


def states(checks: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(check["check"], check["where"], check["state"]) for check in checks]


def test_two_queues_and_two_node_types_pass(site: Callable[..., str]) -> None:
    checks = report(site())
    odd, even = "debug, odd nodes", "debug, even nodes"
    assert states(checks) == [
        ("file", "", "PASSED"),
        ("hold", "debug", "PASSED"),
        ("hold", "small", "PASSED"),
        ("node", odd, "PASSED"),
        ("node", even, "PASSED"),
        ("spool", odd, "PASSED"),
        ("spool", even, "PASSED"),
        ("environment", odd, "PASSED"),
        ("environment", even, "PASSED"),
        ("environment", "small, even nodes", "PASSED"),
        ("mpi", odd, "PASSED"),
        ("mpi", even, "PASSED"),
        ("binding", odd, "SKIPPED"),  # the cluster's Slurm binds nothing
        ("binding", even, "SKIPPED"),
        ("gpu", even, "PASSED"),
        ("cancel", odd, "PASSED"),
        ("walltime", "", "SKIPPED"),
    ]
    texts = {(check["check"], check["where"]): check["text"] for check in checks}
    assert texts["node", odd] in ("node01 ran hostname", "node03 ran hostname")
    assert texts["mpi", odd] == "srun started 4 ranks on node01 and node03"
    assert texts["mpi", even] == "srun started 4 ranks on node02 and node04"
    assert "rank 0: CUDA_VISIBLE_DEVICES=0; rank 1: CUDA_VISIBLE_DEVICES=1" in texts["gpu", even]
    assert psij("list", "--json").stdout.strip() == "[]"


def test_a_named_queue_is_tested_alone(site: Callable[..., str]) -> None:
    checks = report(site(), "-q", "small", "--only", "hold,node,mpi")
    assert states(checks) == [
        ("hold", "small", "PASSED"),
        ("node", "small, even nodes", "PASSED"),
        ("mpi", "small, even nodes", "SKIPPED"),
    ]
    assert checks[-1]["text"] == "the queue takes no jobs of two nodes"


def test_a_queue_that_slurm_does_not_have(site: Callable[..., str]) -> None:
    checks = report(site(changes={"[queues.small]": "[queues.nosuch]"}), "--only", "hold,node", code=1)
    assert states(checks)[:2] == [("hold", "debug", "PASSED"), ("hold", "nosuch", "FAILED")]
    assert "Invalid partition" in checks[1]["text"]
    assert {check["state"] for check in checks[2:]} == {"PASSED"}


def test_a_setup_that_fails_in_one_queue(site: Callable[..., str]) -> None:
    file = site(changes={"export OF_SMALL=1": "module load nosuch"})
    checks = report(file, "--only", "node,environment", code=1)
    failed = [check for check in checks if check["state"] == "FAILED"]
    assert [(check["check"], check["where"]) for check in failed] == [("environment", "small, even nodes")]
    assert "its setup failed: module load nosuch" in failed[0]["text"]


def test_a_spool_that_nodes_do_not_see(site: Callable[..., str], tmp_path: Path) -> None:
    """On this host something else is mounted there."""
    spool = tmp_path / "spool"
    spool.mkdir()
    mounted = ("unshare", "-m", "sh", "-c", f'mount -t tmpfs -o mode=0700 none {spool} && exec "$@"', "sh")
    checks = report(site(f'spool = "{spool}"\n'), "-q", "small", "--only", "node,spool", code=1, before=mounted)
    assert states(checks) == [("node", "small, even nodes", "FAILED"), ("spool", "small, even nodes", "FAILED")]
    assert checks[1]["text"].startswith(f"nodes do not see {spool}")


def test_a_launch_line_that_starts_too_few_ranks(site: Callable[..., str]) -> None:
    line = json.dumps(["srun", "--ntasks=2", "{{ '--exact' if num_ranks > 99 }}"])
    checks = report(site(f"launch = {{ mpi = {line} }}\n"), "--only", "mpi", code=1)
    assert {check["text"] for check in checks} == {"srun started 2 ranks, and not 4"}


def test_ranks_that_are_not_bound_where_the_file_says_which_cores_there_are(site: Callable[..., str]) -> None:
    file = site(changes={"gpus = 2": 'gpus = 2\nblocked = "0"'})
    checks = report(file, "-q", "small", "--only", "binding", code=1)
    assert "ranks may use CPUs that the file blocks, 0" in checks[0]["text"]


def test_ranks_that_share_a_gpu(site: Callable[..., str]) -> None:
    line = ["srun", "--ntasks={{ num_ranks }}", "{{ '--gpus-per-node=2' if gpus_per_node }}", "env"]
    line += ["CUDA_VISIBLE_DEVICES=1"]  # and then our part of a rank takes it for all that there is
    checks = report(site(f"launch = {{ mpi = {json.dumps(line)} }}\n"), "--only", "gpu", code=1)
    shared = "rank 0: CUDA_VISIBLE_DEVICES=1; rank 1: CUDA_VISIBLE_DEVICES=1"
    assert checks[0]["text"] == f"ranks share a GPU ({shared})"


def test_no_more_jobs_are_queued_than_a_queue_takes(site: Callable[..., str]) -> None:
    file = site(changes={"max_nodes = 1": "max_nodes = 1\njobs = { queued = 1 }"})
    checks = report(file, "-q", "small", "--only", "node,environment,gpu")
    assert {check["state"] for check in checks} == {"PASSED"}
    rows = sorted(json.loads(psij("list", "--all", "--json").stdout), key=lambda row: float(row["submitted"]))
    assert len(rows) == 3
    for earlier, later in pairwise(rows):
        assert later["submitted"] >= earlier["ended"] - 1  # Slurm tells whole seconds


def test_a_slurm_that_is_not_here_is_told_before_any_job(
    site: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = psij("site", "test", site(), "--yes", "--only", "node")
    assert done.returncode == 4
    assert "not on PATH here" in done.stderr
    assert psij("list", "--all", "--json").stdout.strip() == "[]"
