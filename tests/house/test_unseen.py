"""Tests on a host that has resource managers of its own: they pass, and nothing of the host's is called.

In a mount namespace, where /etc is a copy with the files by which PBS and Slurm are known, and where commands of
theirs that must not be called come first on PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import unseen

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SAMPLE = (
    "tests/sites/test_sites.py",
    "tests/cli/test_cli.py",
    "tests/sites/test_which_machine.py",
    "tests/cli/test_slurm.py",
    "tests/providers/pbspro/test_faults.py",
    "tests/parsl/test_config.py",
)
_HOST = r"""
set -e
cp -a /etc/. "$1/etc"
mkdir -p "$1/etc/slurm"
echo PBS_SERVER=nowhere >"$1/etc/pbs.conf"
echo ClusterName=nowhere >"$1/etc/slurm/slurm.conf"
mount --bind "$1/etc" /etc
shift
exec "$@"
"""
COMMANDS = ("sbatch", "squeue", "scancel", "sacct", "scontrol", "srun", "qsub", "qstat", "qdel", "bsub")


def on_a_host_with_managers(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command there, as a person would, whose environment is not changed by the tests that we are part of."""
    (folder / "etc").mkdir(parents=True)
    (folder / "bin").mkdir()
    for name in COMMANDS:
        (folder / "bin" / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/called\nexit 1\n')
        (folder / "bin" / name).chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if not unseen.is_ours(name)}
    environ |= {"PATH": f"{folder}/bin:{unseen.path_before()}", "SLURM_JOB_ID": "7", "PBS_CONF_FILE": "/etc/pbs.conf"}
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", _HOST, "sh", folder, *argv],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where that host's files go; tests are skipped where there can be none."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a mount namespace takes root and unshare")
    return tmp_path / "host"


def test_that_host_is_one_where_a_job_would_go_to_a_manager(folder: Path) -> None:
    script = '"$0" -m psij_parsl.cli submit -- true; exec "$0" -m psij_parsl.cli submit --site slurm -- true'
    done = on_a_host_with_managers(folder, "sh", "-c", script, sys.executable)
    assert done.returncode == 4
    assert "PBS Pro is here" in done.stderr
    assert "Slurm is here" in done.stderr
    assert "sbatch --parsable" in (folder / "called").read_text()


def test_no_test_sees_the_managers_of_such_a_host(folder: Path) -> None:
    done = on_a_host_with_managers(
        folder, sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *SAMPLE
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert not (folder / "called").exists()


def test_no_bench_sees_the_managers_of_such_a_host(folder: Path) -> None:
    looks = (
        "import bench.tools, shutil; from psij_parsl.sites import look; print(look());"
        "print([shutil.which(name) for name in ('sbatch', 'squeue', 'qsub', 'qstat', 'srun', 'bsub')])"
    )
    done = on_a_host_with_managers(folder, sys.executable, "-c", looks)
    assert done.stdout.splitlines() == ["Look(site=None, remark='')", str([None] * 6)], done.stderr
    assert not (folder / "called").exists()
