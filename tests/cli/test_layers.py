"""From several sources to one job: words that say the same in different ways, and ranks spread over nodes of a site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.helpers import one_sentence_and_a_hint, psij_here

SITE = """
platform = "slurm"

[nodes.cpu]
cpus = 16
threads_per_core = 2
memory = "64 GB"

[nodes.gpu]
cpus = 64
gpus = { kind = "nvidia", ids = 4 }

[queues.small]
node = "cpu"
default = true

[queues.gpu]
node = "gpu"
"""


def asked(*words: str, **environ: str) -> set[str]:
    """The sizes in the option lines of a job for Slurm."""
    done = psij_here("render", *words, "--", "hostname", **environ)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    options = re.findall(r"^#SBATCH --((?:nodes|ntasks|mem|gpus|gres)\S*)", done.stdout, re.MULTILINE)
    return {option for option in options if not option.endswith("=1")}


@pytest.fixture(autouse=True)
def on_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSIJ_RUN_PLATFORM", "slurm")


@pytest.mark.parametrize(
    ("typed", "environ", "options"),
    [
        (("-n", "4"), {"PSIJ_RUN_NODES": "8"}, {"ntasks-per-node=4"}),
        (("-N", "2"), {"PSIJ_RUN_NTASKS": "9"}, {"nodes=2"}),
        (("--ntasks-per-node", "3"), {"PSIJ_RUN_NODES": "8", "PSIJ_RUN_NTASKS": "8"}, {"ntasks-per-node=3"}),
        (("-t", "5"), {"PSIJ_RUN_NODES": "2", "PSIJ_RUN_NTASKS": "5"}, {"nodes=2", "ntasks=5", "ntasks-per-node=3"}),
        (("--mem-per-cpu", "1G"), {"PSIJ_RUN_MEM": "9G"}, {"mem-per-cpu=1024M"}),
        (("--mem", "0"), {"PSIJ_RUN_MEM_PER_CPU": "9G"}, {"mem=0"}),
        (("-G", "2"), {"PSIJ_RUN_GPUS_PER_TASK": "4"}, {"gpus-per-node=2"}),
        (("-g", "2"), {"PSIJ_RUN_GPUS_PER_NODE": "a100:4"}, {"gpus-per-node=2"}),
        (("-N", "2", "-G", "a100:4"), {}, {"nodes=2", "gpus-per-node=a100:2"}),
    ],
)
def test_what_is_typed_replaces_all_that_says_the_same_in_another_way(
    typed: tuple[str, ...], environ: dict[str, str], options: set[str]
) -> None:
    assert asked(*typed, **environ) == options


@pytest.mark.parametrize("typed", [(), ("--mem", "1G"), ("--mem-per-cpu", "1G"), ("--mem-per-gpu", "1G", "-g", "1")])
def test_slurms_own_variable_for_memory_counts_where_nothing_is_said_of_memory(typed: tuple[str, ...]) -> None:
    done = psij_here("render", *typed, "--", "hostname", SBATCH_MEM_PER_NODE="0")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ("" if typed else "psij-run: the environment sets --mem 0 from SBATCH_MEM_PER_NODE\n")
    found = re.findall(r"^#SBATCH --(mem\S*)=", done.stdout, re.MULTILINE)
    assert found == [typed[0].removeprefix("--") if typed else "mem"]
    assert ("--mem=0" in done.stdout) is not bool(typed)


def test_what_is_typed_replaces_the_lines_of_a_script_that_say_the_same(tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n#PSIJ -N 4 --mem 8G\n#PSIJ -n 8\nhostname\n")
    done = psij_here("render", "-n", "2", "--mem-per-cpu", "1G", str(script))
    assert done.returncode == 0, done.stderr
    assert "--nodes=1" in done.stdout
    assert "--ntasks-per-node=2" in done.stdout
    assert "--mem-per-cpu=1024M" in done.stdout
    assert "--mem=" not in done.stdout
    as_written = psij_here("render", str(script)).stdout
    assert "--nodes=4" in as_written
    assert "--ntasks-per-node=2" in as_written


def test_gpus_that_do_not_divide_by_the_nodes_are_refused() -> None:
    said, hint = one_sentence_and_a_hint(psij_here("render", "-N", "2", "-G", "5", "--", "hostname"))
    assert said == "psij-run: 5 GPUs cannot be spread evenly over 2 nodes"
    assert hint == "hint: possible are -G 4 or -G 6, or -N 1"


def test_memory_in_two_ways_is_refused() -> None:
    said, hint = one_sentence_and_a_hint(psij_here("render", "--mem", "1G", "--mem-per-cpu", "1G", "--", "hostname"))
    assert "memory is said twice" in said
    assert hint == "hint: leave out --mem or --mem-per-cpu"


@pytest.mark.parametrize(
    ("typed", "options"),
    [
        (("-n", "8"), {"ntasks-per-node=8"}),
        (("-n", "16"), {"nodes=2", "ntasks-per-node=8"}),
        (("-n", "20"), {"nodes=3", "ntasks=20", "ntasks-per-node=7"}),
        (("-n", "16", "-c", "4"), {"nodes=8", "ntasks-per-node=2"}),
        (("-n", "8", "-g", "1", "-q", "gpu"), {"nodes=2", "ntasks-per-node=4", "gpus-per-node=4"}),
    ],
)
def test_ranks_alone_fill_nodes_whose_size_the_site_knows(
    typed: tuple[str, ...], options: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    monkeypatch.delenv("PSIJ_RUN_PLATFORM")
    done = psij_here("render", "--config", str(tmp_path / "site.toml"), *typed, "--", "hostname")
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^#SBATCH --((?:nodes|ntasks|gpus)\S*)", done.stdout, re.MULTILINE)
    assert {option for option in found if not option.endswith("=1")} == options


def test_info_tells_what_was_asked_for() -> None:
    words = ("--mem", "0", "--array", "0-3%2", "--begin", "2099-01-02T03:04", "-n", "2", "--mode", "script")
    job = psij_here("submit", "--platform", "local", *words, "--", "true").stdout.strip()
    (line,) = [line for line in psij_here("info", job).stdout.splitlines() if line.startswith("asked for")]
    assert line.split(maxsplit=2)[2].split(", ") == [
        *("nodes 1", "ranks per node 2", "all memory of each node", "minutes 10", "mode script"),
        *("elements at a time 2", "begin 2099-01-02T03:04:00"),
    ]
    assert "waits for its begin" in psij_here("status", job, "--json").stdout
    assert psij_here("cancel", job).returncode == 0
