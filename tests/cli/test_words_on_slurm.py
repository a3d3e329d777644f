"""What a job can say beside nodes, ranks and wall time, typed and at work on a real Slurm."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.testing.tools import PATIENCE_S
from tests.cli.helpers import psij
from tests.clusters.slurm import SlurmCluster


@pytest.fixture(autouse=True)
def on_slurm(slurm_plain: SlurmCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Slurm's commands lead to the test cluster, and jobs go there, from a folder of their own."""
    for name, value in slurm_plain.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PSIJ_RUN_PLATFORM", "slurm")
    monkeypatch.chdir(tmp_path)


def _submitted(*words: str) -> str:
    done = psij("submit", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _native(job: str) -> str:
    return str(json.loads(psij("status", job, "--json").stdout)[0]["native_id"])


def _shown(native: str) -> str:
    return subprocess.run(["scontrol", "show", "job", native], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("mode", ["mpi", "serial"])
def test_ranks_that_do_not_divide_by_the_nodes_are_all_started(mode: str) -> None:
    done = psij("run", "-N", "2", "-n", "5", "--mode", mode, "--", "sh", "-c", "echo $SLURM_PROCID $SLURMD_NODENAME")
    assert done.returncode == 0, done.stderr
    ranks = dict(line.split() for line in done.stdout.splitlines())
    assert sorted(ranks) == ["0", "1", "2", "3", "4"]
    assert sorted(Counter(ranks.values()).values()) == [2, 3]
    assert "srun" not in done.stderr


def test_ranks_alone_are_spread_by_slurm() -> None:
    executor = BatchSchedulerExecutor("slurm", poll_s=0.4)
    command = ["srun", "sh", "-c", "echo $SLURM_PROCID"]
    job = executor.submit(
        Job(command=command, num_nodes=None, ranks=3, job_mode="script", wall_time_min=None, cpus_per_rank=8)
    )
    assert executor.wait([job.id], PATIENCE_S)
    assert sorted(job.result().split()) == ["0", "1", "2"]


def test_memory_for_each_core() -> None:
    job = _submitted("-c", "2", "--mem-per-cpu", "100M", "--hold", "--", "true")
    assert "MinMemoryCPU=100M" in _shown(_native(job))
    psij("cancel", job)


def test_a_job_does_not_start_before_its_time() -> None:
    before = time.time()
    done = psij("run", "--begin", "+5", "--", "date", "+%s")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= int(before) + 5


def test_of_an_array_no_more_run_at_a_time_than_was_said() -> None:
    job = _submitted("--array", "0-7%2", "--", "sleep", "1")
    native, most, seen = _native(job).partition("_")[0], 0, set[str]()
    deadline = time.monotonic() + PATIENCE_S
    while True:
        query = ["squeue", "--noheader", "--array", "--jobs", native, "--states=RUNNING,COMPLETING,PENDING"]
        asked = subprocess.run([*query, "--format=%K %T"], capture_output=True, text=True, check=False)
        rows = [line.split() for line in asked.stdout.splitlines()]
        running = {index for index, state in rows if state == "RUNNING"}
        most, seen = max(most, len(running)), seen | running
        if not rows:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert most == 2
    assert len(seen) > 2
    assert psij("wait", job).returncode == 0


def test_output_is_added_to_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old\n")
    for words in (["--append"], ["--append"]):
        assert psij("wait", _submitted(*words, "-o", "log", "--", "echo", "new")).returncode == 0
    assert (tmp_path / "log").read_text() == "old\nnew\nnew\n"
    assert psij("wait", _submitted("-o", "log", "--", "echo", "alone")).returncode == 0
    assert (tmp_path / "log").read_text() == "alone\n"


@pytest.mark.parametrize("said", ["out-{array}_{index}.txt", "out-%A_%a.txt"])
def test_names_of_files_are_filled_in_and_found_again(said: str, tmp_path: Path) -> None:
    job = _submitted("--array", "3,12", "-o", said, "--", "sh", "-c", "echo element $PSIJ_ARRAY_INDEX")
    assert psij("wait", job).returncode == 0
    number = _native(job).partition("_")[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"out-{number}_12.txt", f"out-{number}_3.txt"]
    assert (tmp_path / f"out-{number}_12.txt").read_text() == "element 12\n"
    logs = psij("logs", job)
    assert logs.returncode == 0, logs.stderr
    assert {line.split("] ")[-1] for line in logs.stdout.splitlines()} >= {"element 3", "element 12"}


def test_the_id_in_the_name_of_a_file_is_slurms(tmp_path: Path) -> None:
    job = _submitted(
        "-J", "a b", "-o", "{name}-%j-{index}.txt", "-e", "%x-%j.err", "--", "sh", "-c", "echo out; echo bad >&2"
    )
    assert psij("wait", job).returncode == 0
    number = _native(job)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a_b-{number}-.txt", f"a_b-{number}.err"]
    assert psij("logs", job).stdout == "out\n"
    assert psij("logs", "--stderr", job).stdout == "bad\n"


def _dependency(native: str) -> str:
    words = dict(word.partition("=")[::2] for word in _shown(native).split())
    return words["Dependency"].replace("(unfulfilled)", "")


def test_what_slurm_knows_of_dependencies_can_be_typed_and_stand_in_a_script(tmp_path: Path) -> None:
    array = _submitted("--array", "0-1", "--hold", "--", "true")
    bad = _submitted("--", "false")
    number = _native(array).partition("_")[0]
    psij("wait", bad)
    said = {
        f"aftercorr:{array}": f"aftercorr:{number}_*",
        f"after:{array}+5": f"after:{number}_*+5",
        f"{bad}?{array}": f"afterok:{number}_*",  # the other one cannot be it any more
        f"afterany:{array}?singleton": f"afterany:{number}_*?singleton",
        "singleton": "singleton",
    }
    for typed, shown in said.items():
        words = ("--array", "0-1") if "corr" in typed else ()
        job = _submitted("-J", "mine", "-d", typed, *words, "--", "true")
        assert _dependency(_native(job).partition("_")[0]) == shown
        (tmp_path / "job.sh").write_text(f"#!/bin/sh\n#SBATCH -J mine -d {typed.replace(array, number)}\ntrue\n")
        if bad not in typed:
            assert _dependency(_native(_submitted(*words, "job.sh")).partition("_")[0]) == shown
    refused = psij("submit", "-d", f"{bad}?{bad}", "--", "true")
    assert (refused.returncode, "could never start" in refused.stderr) == (2, True)
    mixed = psij("submit", "-d", f"afterok:{array}", "-d", f"after:{array}?singleton", "--", "true")
    assert (mixed.returncode, "waits for all jobs of a list or for one of them" in mixed.stderr) == (2, True)
    psij("cancel", "all")


_WARNED = """#!/bin/bash
trap 'echo leaves' EXIT
srun PYTHON catches.py 5
echo "srun gave $?"
"""
#: Slurm signals all processes of a step: a shell there would see its `sleep` die, and might end before its trap runs.
_CATCHES = """
import signal, sys, time
def caught(number, frame):
    print("warned", flush=True)
    sys.exit(int(sys.argv[1]))
signal.signal(signal.SIGUSR1, caught)
time.sleep(100)
"""


def test_a_warning_reaches_the_program_below_a_scripts_srun_as_in_a_job_of_sbatch(tmp_path: Path) -> None:
    """Slurm looks at the time every 30 seconds, and warns as many too early: 35 seconds after the start at the soonest."""
    (tmp_path / "catches.py").write_text(_CATCHES)
    warned = _WARNED.replace("PYTHON", sys.executable)
    (tmp_path / "job.sh").write_text(warned)
    (tmp_path / "own.sh").write_text(warned.replace("\n", "\n#SBATCH -t 3 --signal=USR1@115 -o own.txt\n", 1))
    (tmp_path / "alone.sh").write_text(
        "#!/bin/bash\n#SBATCH -t 3 --signal=B:INT@115 -o alone.txt\ntrap 'echo alone; exit 6' INT\nsleep 100 & wait\n"
    )
    typed = _submitted("-t", "3", "--signal", "USR1@115", "-o", "typed.txt", "job.sh")
    own, alone = _submitted("own.sh"), _submitted("alone.sh")
    ranks = _submitted(
        *("-t", "3", "--signal", "USR1@115", "-n", "2", "-o", "ranks.txt"), *("--", sys.executable, "catches.py", "0")
    )
    codes = [psij("wait", job).returncode for job in (typed, own, alone, ranks)]
    assert codes == [0, 0, 6, 0]
    for name in ("typed", "own"):
        assert (tmp_path / f"{name}.txt").read_text().split("\n")[0] == "warned"
        assert (tmp_path / f"{name}.txt").read_text().endswith("srun gave 5\nleaves\n")
    assert (tmp_path / "alone.txt").read_text() == "alone\n"
    assert (tmp_path / "ranks.txt").read_text().count("warned\n") == 2
    assert "warned by USR1@115" in psij("info", own).stdout
