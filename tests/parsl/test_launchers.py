"""Launchers: the text that starts worker pools, run for real by bash and by real launch methods."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.errors import InvalidRequest, PluginError
from psij_parsl.job_size import Resources
from psij_parsl.runs.registry import launcher as find
from psij_parsl.testing.tools import comes_true
from tests.clusters.slurm import SlurmCluster
from tests.parsl.helpers import ON_SLURM, PARSL_IS_UNTIDY, ended

pytestmark = [*PARSL_IS_UNTIDY]

# Stands for srun, mpiexec, mpirun: notes its words, and runs the command once, as a remote shell would.
_FAKE = """#!/bin/bash
if [ "$1" = --version ]; then echo "{version}"; exit; fi
printf '%s\\n' "$@" >"{log}"
while [ "$#" -gt 0 ] && [ "$1" != bash ]; do shift; done
HERE=node "$@"
"""


@pytest.fixture
def fakes(tmp_path: Path) -> Callable[..., Mapping[str, str]]:
    """Makes an environment in which these programs are fakes."""

    def make(*names: str, version: str = "HYDRA build details") -> Mapping[str, str]:
        folder = tmp_path / "fakes"
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_text(_FAKE.format(version=version, log=folder / f"{name}.words"))
            (folder / name).chmod(0o755)
        kept = {name: os.environ[name] for name in ("HOME",) if name in os.environ}
        return {**kept, "PATH": f"{folder}:/usr/bin:/bin", "JOBNAME": "parsl.x", "HERE": "batch"}

    return make


def run(text: str, environment: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    cwd.mkdir(exist_ok=True)
    return subprocess.run(["bash", "-c", text], env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def named() -> list[Any]:
    from psij_parsl import launchers

    return [
        launchers.SrunLauncher,
        launchers.MpiExecLauncher,
        launchers.MpiRunLauncher,
        launchers.SingleNodeLauncher,
        launchers.SimpleLauncher,
    ]


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("number", range(5))
def test_b17_b18_b19_the_exit_status_is_the_commands_whatever_debug_is(
    fakes: Callable[..., Mapping[str, str]], tmp_path: Path, number: int, code: int, debug: bool
) -> None:
    text = named()[number](debug=debug)(f"(exit {code})", 1, 1, str(tmp_path))
    assert run(text, fakes("srun", "mpiexec", "mpirun"), tmp_path / "cwd").returncode == code


@pytest.mark.parametrize("number", range(5))
def test_b7_b20_b21_nothing_is_expanded_on_the_batch_node_and_no_file_is_left(
    fakes: Callable[..., Mapping[str, str]], tmp_path: Path, number: int
) -> None:
    kind = named()[number]
    command = 'echo "$HERE $(echo $HERE) `echo $HERE`" \'a  b\' "it\'s" \\$x'
    answer = run(kind()(command, 1, 1, f"{tmp_path}/a b"), fakes("srun", "mpiexec", "mpirun"), tmp_path / "cwd")
    here = "node" if kind.__name__ not in ("SingleNodeLauncher", "SimpleLauncher") else "batch"
    assert answer.stdout == f"{here} {here} {here} a  b it's $x\n"
    assert answer.stderr == ""
    assert os.listdir(tmp_path / "cwd") == []


def test_the_launch_line_is_told_when_debugging(fakes: Callable[..., Mapping[str, str]], tmp_path: Path) -> None:
    from psij_parsl.launchers import SrunLauncher

    answer = run(SrunLauncher(debug=True)("true", 1, 2), fakes("srun"), tmp_path / "cwd")
    assert answer.stderr.startswith("psij: srun --mpi=none")


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("mpiexec (OpenRTE) 4.1.4", ["--map-by", "ppr:1:node", "--host", "n1,n2"]),
        ("mpirun (Open MPI) 5.0.1", ["--map-by", "ppr:1:node", "--host", "n1,n2"]),
        ("HYDRA build details: 4.0", ["-ppn", "1", "-hosts", "n1,n2"]),
        ("Intel(R) MPI Library for Linux", ["-ppn", "1", "-hosts", "n1,n2"]),
    ],
)
@pytest.mark.parametrize("number", [1, 2])
def test_b23_b25_an_unlabelled_mpiexec_is_told_apart_where_it_runs_and_each_node_named_once(
    fakes: Callable[..., Mapping[str, str]], tmp_path: Path, number: int, version: str, words: list[str]
) -> None:
    kind = named()[number]
    environment = {**fakes(kind.program, version=version), "PBS_NODEFILE": str(tmp_path / "nodes")}
    (tmp_path / "nodes").write_text("n1\nn1\nn2\nn2\n")
    assert run(kind()("exit 4", 1, 2), environment, tmp_path / "cwd").returncode == 4
    said = (tmp_path / "fakes" / f"{kind.program}.words").read_text().splitlines()
    assert [word for word in said if word in words] == words
    assert said[-3:] == ["bash", "-c", "exit 4"]


def test_overrides_stand_before_the_command() -> None:
    from psij_parsl.launchers import SrunLauncher

    text = SrunLauncher(overrides="--label -x 'a b'")("true", 1, 2)
    assert text.endswith("--ntasks-per-node=1 --label -x 'a b' \"$@\"\n")
    with pytest.raises(InvalidRequest, match="no line of words"):
        SrunLauncher(overrides="'")


def test_a_launcher_of_one_node_refuses_more() -> None:
    from psij_parsl.launchers import MPIRunLauncher, SingleNodeLauncher

    with pytest.raises(InvalidRequest, match="2 nodes"):
        SingleNodeLauncher()("true", 1, 2)
    with pytest.raises(PluginError, match="no launcher 'srum'"):
        MPIRunLauncher("srum")


def test_b19_one_failing_copy_leaves_the_others_and_is_told(tmp_path: Path) -> None:
    from psij_parsl.launchers import SingleNodeLauncher

    text = SingleNodeLauncher()('[ "$PSIJ_RANK" = 0 ] && exit 3; sleep 0.3; echo "$PSIJ_RANK"', 3, 1)
    answer = run(text, {"PATH": "/usr/bin:/bin"}, tmp_path / "cwd")
    assert answer.returncode == 3
    assert sorted(answer.stdout.split()) == ["1", "2"]


def test_every_launch_method_says_one_process_per_node() -> None:
    shape = Resources(num_nodes=3)
    hosts = {"srun": "", "openmpi": '"$h"', "mpich": '"$h"'}
    told = {name: find(name)().text(shape, mode="per_node", hosts=given) for name, given in hosts.items()}
    assert told == {
        "srun": "srun --mpi=none --kill-on-bad-exit=0 --overlap --cpu-bind=none --nodes=3 --ntasks=3"
        " --ntasks-per-node=1",
        "openmpi": "env OMPI_MCA_orte_abort_on_non_zero_status=0 PRTE_MCA_state_base_error_non_zero_exit=0"
        ' "$psij_launcher" -n 3 --map-by ppr:1:node --bind-to none --host "$h"'
        " ${LD_LIBRARY_PATH+-x LD_LIBRARY_PATH} ${PATH+-x PATH}",
        "mpich": '"$psij_launcher" -disable-auto-cleanup -n 3 -ppn 1 -bind-to none -hosts "$h"',
    }


# ---- ours and Parsl's, crosswise -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SimpleLauncher", "SingleNodeLauncher", "WrappedLauncher", "MpiRunLauncher"])
def test_our_provider_works_with_parsls_launchers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fakes: Callable[..., Mapping[str, str]]
) -> None:
    import parsl.launchers

    from psij_parsl.providers import LocalProvider

    monkeypatch.setenv("PATH", f"{fakes('mpirun')['PATH']}")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    settings = {"prepend": "time"} if name == "WrappedLauncher" else {}
    provider = LocalProvider(launcher=getattr(parsl.launchers, name)(**settings), max_blocks=2)
    provider.script_dir = str(tmp_path / "submit_scripts")
    status = ended(provider, provider.submit('/bin/echo "$PSIJ_JOB_ID"', 1))
    assert status.exit_code == 0
    if name in ("SimpleLauncher", "WrappedLauncher"):
        assert status.stdout.split() == list(provider.blocks.records)
    assert os.listdir(tmp_path / "cwd") == []  # what they write is in the block's folder
    assert [*os.listdir(provider.script_dir)] == list(provider.blocks.records)


def test_parsls_launchers_work_below_a_directory_with_blanks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fakes: Callable[..., Mapping[str, str]]
) -> None:
    from parsl.launchers import MpiRunLauncher

    from psij_parsl.providers import LocalProvider

    monkeypatch.setenv("PATH", f"{fakes('mpirun')['PATH']}")
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")
    provider = LocalProvider(launcher=MpiRunLauncher(), max_blocks=2)
    provider.script_dir = str(tmp_path / "a b" / "scripts")
    assert ended(provider, provider.submit("/bin/echo hello", 1)).exit_code == 0
    provider = LocalProvider(launcher=MpiRunLauncher())
    provider.script_dir = str(tmp_path / "c d")
    with pytest.raises(InvalidRequest, match=r"MpiRunLauncher cannot work in .*c d"):
        provider.submit("/bin/echo hello", 1)


def test_a_launcher_of_before_2026_gets_three_arguments(tmp_path: Path) -> None:
    from psij_parsl.providers import LocalProvider

    def old(command: str, tasks_per_node: int, nodes_per_block: int) -> str:
        return f"{command} {tasks_per_node} {nodes_per_block}"

    provider = LocalProvider(launcher=old)
    provider.script_dir = str(tmp_path)
    assert ended(provider, provider.submit("echo", 1)).stdout == "1 1\n"


def test_our_launchers_work_with_parsls_local_provider(tmp_path: Path) -> None:
    from parsl.providers import LocalProvider

    from psij_parsl.launchers import SingleNodeLauncher

    provider = LocalProvider(launcher=SingleNodeLauncher())
    provider.script_dir = str(tmp_path)
    assert ended(provider, provider.submit("echo $JOBNAME; exit 3", 2)).exit_code == 3


@ON_SLURM
def test_our_launchers_work_with_parsls_slurm_provider(slurm: SlurmCluster, tmp_path: Path) -> None:
    from parsl.providers import SlurmProvider

    from psij_parsl.launchers import SrunLauncher

    provider = SlurmProvider(launcher=SrunLauncher(), nodes_per_block=2, exclusive=False, walltime="00:01:00")
    provider.script_dir = str(tmp_path)
    provider.submit("hostname; echo $((1 + 1))", 1)  # it would say COMPLETED before accounting knows the job (B3)
    told = comes_true(lambda: [p for p in tmp_path.glob("*.stdout") if p.read_text().count("\n") == 4])
    assert sorted(told[0].read_text().split()) == ["2", "2", "node01", "node02"]


@ON_SLURM
@pytest.mark.parametrize("name", ["SrunLauncher", "SimpleLauncher"])
def test_our_slurm_provider_works_with_parsls_launchers(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import parsl.launchers

    from psij_parsl.providers import SlurmProvider

    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    provider = SlurmProvider(launcher=getattr(parsl.launchers, name)(), nodes_per_block=2, cores_per_node=1)
    provider.script_dir = str(tmp_path / "scripts")
    status = ended(provider, provider.submit("hostname", 1))
    assert status.state.name == "COMPLETED", status
    assert {"node01"} <= {line.split()[-1] for line in status.stdout.splitlines()}
    assert os.listdir(tmp_path / "cwd") == []
