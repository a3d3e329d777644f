"""A farm, and `map`, over two nodes of a real Slurm. One job is for all, and one start of the workers for each command."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.clusters.slurm import SlurmCluster

PSIJ_RUN = f"{shlex.quote(sys.executable)} -m psij_parsl.cli"
FARM = (
    """
touch ran
launch() { %s launch --each-line "$@" --json; }
launch ends -o 'out/{index}.txt' >ends.json 2>ends.err
echo $? >ends.code
launch long >first.json 2>first.err &
farm=$!
while [ "$(wc -l <ran)" -lt 12 ]; do sleep 0.1; done
pkill -KILL -P $farm  # the shell's child, if it is one
kill -KILL $farm
wait $farm
left=0
while pgrep -f "sleep 1[.]$ID|psij_parsl.parsl.worker_pool $HOME_OF_FARMS" >/dev/null; do
  sleep 0.1; left=$((left + 1)); [ "$left" -lt 300 ] || break
done
echo "$left" >left
cp ran ran.before
launch long --resume >second.json 2>second.err
echo $? >second.code
"""
    % PSIJ_RUN
)
MAP = """
import os
from psij_parsl import farm


def where(number):
    return number, os.uname().nodename, os.environ["PSIJ_CPUS"]


found = list(farm.map(where, range(64)))
assert [number for number, _, _ in found] == [*range(64)], found
print(*sorted({host for _, host, _ in found}))
print(*farm.map(["echo", "{}"], "ab", at_once=2), sep="", end="")
"""


def _run(slurm: SlurmCluster, folder: Path, script: str) -> None:
    (folder / "script").write_text(f"#!/bin/bash\ncd {folder}\n{script}")
    options = ["--wait", "--nodes=2", "--ntasks-per-node=4", f"--output={folder}/log", "--time=5"]
    try:
        slurm.run("sbatch", *options, f"{folder}/script", timeout=300)
    finally:
        print((folder / "log").read_text() if (folder / "log").exists() else "")


def test_a_farm_over_two_nodes_its_ends_and_what_a_kill_leaves(
    slurm_plain: SlurmCluster, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ID", str(os.getpid()))
    monkeypatch.setenv("HOME_OF_FARMS", str(home))
    (tmp_path / "out").mkdir()
    (tmp_path / "ends").write_text("".join(f"hostname; sleep 0.2; exit {number % 3}\n" for number in range(24)))
    long = [f"echo {number} >>ran; sleep 1.$ID; echo {number} >>done\n" for number in range(32)]
    (tmp_path / "long").write_text("".join(long))
    _run(slurm_plain, tmp_path, FARM)
    first = json.loads((tmp_path / "ends.json").read_text())
    assert (first["total"], first["done"], first["failed"], first["unknown"]) == (24, 8, 16, [])
    hosts = {(tmp_path / "out" / f"{index}.txt").read_text().strip() for index in range(1, 25)}
    assert hosts == {"node01", "node02"}
    assert int((tmp_path / "left").read_text()) < 300
    ran = [*map(int, (tmp_path / "ran").read_text().split())]
    before = [*map(int, (tmp_path / "ran.before").read_text().split())]
    assert sorted(ran) == [*range(32)]  # none twice, and none never
    assert 12 <= len(before) < 32
    second = json.loads((tmp_path / "second.json").read_text())
    done = {*map(int, (tmp_path / "done").read_text().split())}
    assert {*range(32)} - {number - 1 for number in second["unknown"]} <= done
    assert second["total"] == second["done"] + second["done_before"] + len(second["unknown"])


def test_map_over_two_nodes(slurm_plain: SlurmCluster, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(MAP)
    _run(slurm_plain, tmp_path, f"{shlex.quote(sys.executable)} program.py\n")
    assert (tmp_path / "log").read_text() == "node01 node02\na\nb\n"
