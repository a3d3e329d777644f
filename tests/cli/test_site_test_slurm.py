"""`psij-run site test` on a real Slurm of two node types, right and with one fault after the other."""

from __future__ import annotations

import json
import re
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
memory = 16000
parameters = { constraint = "odd" }
[nodes.even]
cpus = 8
memory = 16000
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


_SELECTS = 'parameters = {{ constraint = "{}" }}\n'


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
    assert checks[-1]["text"] == "the queue takes no jobs of 2 nodes"


def test_there_is_one_node_of_a_type(site: Callable[..., str]) -> None:
    checks = report(site(changes={"[nodes.even]\n": "[nodes.even]\ncount = 1\n"}), "-q", "debug", "--only", "mpi")
    texts = {where: (state, check["text"]) for check in checks for _, where, state in states([check])}
    assert texts["debug, even nodes"] == ("SKIPPED", "there is only 1 of these nodes")
    assert texts["debug, odd nodes"][0] == "PASSED"


def test_a_queue_that_slurm_does_not_have(site: Callable[..., str]) -> None:
    checks = report(site(changes={"[queues.small]": "[queues.nosuch]"}), "--only", "hold,node", code=1)
    assert states(checks)[:2] == [("hold", "debug", "PASSED"), ("hold", "nosuch", "FAILED")]
    assert "Invalid partition" in checks[1]["text"]
    assert {check["state"] for check in checks[2:]} == {"PASSED"}


_ALIKE = {"[nodes.odd]\n": "[nodes.odd]\ngpus = 2\n", _SELECTS.format("odd"): "", _SELECTS.format("even"): ""}


def test_a_node_type_is_not_tested_by_a_job_that_came_to_another_one(site: Callable[..., str]) -> None:
    file = site(changes={_SELECTS.format("odd"): ""})
    checks = report(file, "-X", "nodelist=node02", "--only", "node,spool,environment,binding")
    of_odd = [check for check in checks if "odd" in check["where"]]
    assert [(check["check"], check["state"]) for check in of_odd] == [
        (name, "SKIPPED") for name in ("node", "spool", "environment", "binding")
    ]
    for check in of_odd:
        assert check["text"] == "the job came to a node of type even, node02: queue debug does not tell them apart"
    assert {check["state"] for check in checks if check["check"] == "node" and check not in of_odd} == {"PASSED"}


def test_types_that_are_equal_in_all_that_shows(site: Callable[..., str]) -> None:
    checks = report(site(changes=_ALIKE), "-q", "debug", "--only", "node")
    assert states(checks) == [("node", "debug, odd nodes", "PASSED"), ("node", "debug, even nodes", "PASSED")]
    assert checks[0]["text"].endswith(" ran hostname; nothing that shows tells it from even nodes")


def test_a_queue_that_has_only_the_one_type_is_preferred(site: Callable[..., str]) -> None:
    checks = report(site(changes=_ALIKE), "--only", "node,mpi")
    even = [(check["check"], check["where"]) for check in checks if "even" in check["where"]]
    assert even == [("node", "small, even nodes"), ("mpi", "debug, even nodes")]


@pytest.mark.parametrize(
    ("said", "has"),
    [
        ("cpus = 64\nmemory = 16000\ngpus = 2", "8 CPUs of 64"),
        ("cpus = 8\nmemory = 16000\ngpus = 4", "2 GPUs of 4"),
        ('cpus = 8\nmemory = "64 GB"\ngpus = 2', "16000 MB of 65536"),
    ],
    ids=["cpus", "gpus", "memory"],
)
def test_a_node_that_is_of_no_type_of_the_file(site: Callable[..., str], said: str, has: str) -> None:
    file = site(changes={"cpus = 8\nmemory = 16000\ngpus = 2": said})
    checks = report(file, "-q", "small", "--only", "node", code=1)
    assert states(checks) == [("node", "small, even nodes", "FAILED")]
    assert re.fullmatch(
        rf"node0\d is no even node, and of no other type of the file: it has {has}", checks[0]["text"]
    )
    assert checks[0]["hint"]


def test_a_node_of_a_type_that_the_queue_does_not_have(site: Callable[..., str]) -> None:
    changes = {**_ALIKE, "cpus = 8\nmemory = 16000\ngpus = 2": 'cpus = 64\nmemory = "16 GB"\ngpus = 2'}
    checks = report(site(changes=changes), "-q", "small", "--only", "node,spool", code=1)
    assert [check["state"] for check in checks] == ["FAILED", "PASSED"]
    text = r"node0\d is a node of type odd, which the file does not have in queue small"
    assert re.fullmatch(text, checks[0]["text"])


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


@pytest.fixture
def shared(tmp_path: Path) -> tuple[Path, Path, tuple[str, ...]]:
    """A directory under two paths, of which nodes see only the second; and what a command here is run by to see the first."""
    here, on_nodes = tmp_path / "login" / "spool", tmp_path / "nodes" / "spool"
    here.mkdir(parents=True)
    on_nodes.mkdir(parents=True)
    return here, on_nodes, ("unshare", "-m", "sh", "-c", f'mount --bind {on_nodes} {here} && exec "$@"', "sh")


def test_a_spool_that_has_another_path_on_nodes(
    site: Callable[..., str], shared: tuple[Path, Path, tuple[str, ...]]
) -> None:
    here, on_nodes, mounted = shared
    file = site(f'spool = {{ path = "{here}", on_nodes = "{on_nodes}" }}\n')
    checks = report(file, "--only", "node,spool,environment,mpi", before=mounted)
    assert {check["state"] for check in checks} == {"PASSED"}
    (text, _) = (check["text"] for check in checks if check["check"] == "spool")
    assert re.fullmatch(rf"node0\d read and wrote in {here}, which is {on_nodes} on nodes", text)
    assert not any(here.iterdir())  # without the mount, as on nodes
    assert any(on_nodes.iterdir())


@pytest.mark.parametrize("on_nodes", ["elsewhere", "nosuch"])
def test_a_spool_whose_path_on_nodes_is_wrong(
    site: Callable[..., str], shared: tuple[Path, Path, tuple[str, ...]], tmp_path: Path, on_nodes: str
) -> None:
    here, _, mounted = shared
    (tmp_path / "elsewhere").mkdir()
    file = site(f'spool = {{ path = "{here}", on_nodes = "{tmp_path / on_nodes}" }}\n')
    checks = report(file, "-q", "small", "--only", "node,spool", code=1, before=mounted)
    assert states(checks) == [("node", "small, even nodes", "FAILED"), ("spool", "small, even nodes", "FAILED")]
    spool = f"{here}, which is {tmp_path / on_nodes} on nodes"
    assert checks[1]["text"] == f"nodes do not see {spool}: none has written into the job's folder"
    assert "`on_nodes`" in checks[1]["hint"]


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
