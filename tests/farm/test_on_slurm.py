"""A farm, and `map`, over two nodes of a real Slurm. Workers take long to start: one core of each node, and one job."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.clusters.hosts import comes_true
from tests.clusters.slurm import SlurmCluster

TASKS = 12
PYTHON = shlex.quote(sys.executable)
JOB = f"""#!/bin/bash
cd "$FOLDER"
trap 'touch finished' EXIT
launch() {{ exec {PYTHON} -m psij_parsl.cli launch --each-line tasks -o 'out/{{index}}.txt' --json "$@"; }}
touch ran
launch >first.json 2>first.err &
farm=$!
while [ "$(wc -l <ran)" -lt 4 ] && kill -0 $farm; do sleep 0.1; done
kill -KILL $farm
wait $farm
left=0
while pgrep -f "sleep 0[.]5$ID|psij_parsl.parsl.worker_pool $STATE" >/dev/null && [ "$left" -lt 300 ]; do
  sleep 0.1; left=$((left + 1))
done
echo "$left" >left
cp ran before
(launch --resume >second.json 2>second.err)
echo $? >code
{PYTHON} program.py >mapped
"""
MAP = """
import os
import time
from pathlib import Path

from psij_parsl import farm


def where(number):
    host = os.uname().nodename
    Path(f"seen.{host}").touch()
    while not (Path("seen.node01").exists() and Path("seen.node02").exists()):
        time.sleep(0.1)
    return number, host


found = list(farm.map(where, range(20)))
assert [number for number, _ in found] == [*range(20)], found
print(*sorted({host for _, host in found}))
"""


def test_a_farm_over_two_nodes_what_a_kill_leaves_and_map(
    slurm_plain: SlurmCluster, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ID": str(os.getpid()), "STATE": str(home), "FOLDER": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "out").mkdir()
    both = "touch up.$(hostname); while [ ! -e up.node01 ] || [ ! -e up.node02 ]; do sleep 0.1; done"
    lines = [f"echo {at} >>ran; {both}; hostname; sleep 0.5$ID; exit {at % 3}\n" for at in range(1, TASKS + 1)]
    (tmp_path / "tasks").write_text("".join(lines))
    (tmp_path / "program.py").write_text(MAP)
    (tmp_path / "job").write_text(JOB)
    options = ["--nodes=2", "--ntasks-per-node=1", f"--output={tmp_path}/log", "--time=5"]
    try:
        slurm_plain.run("sbatch", *options, f"{tmp_path}/job")  # its --wait looks after 42 s, and after 74
        assert comes_true((tmp_path / "finished").exists, 300)
    finally:
        for path in (tmp_path / "log", *tmp_path.glob("*.err")):
            print(path.read_text() if path.exists() else "")
    summary = json.loads((tmp_path / "second.json").read_text())
    ran = Counter(map(int, (tmp_path / "ran").read_text().split()))
    unknown = {*summary["unknown"]}
    assert set(ran.values()) == {1}  # none twice
    assert {*range(1, TASKS + 1)} - ran.keys() <= unknown  # who did not run is named
    assert 4 <= len((tmp_path / "before").read_text().split()) < TASKS
    assert int((tmp_path / "left").read_text()) < 300  # nothing of the killed farm
    assert 0 < len(unknown) <= 2
    done = {*range(1, TASKS + 1)} - unknown
    well = sum(at % 3 == 0 for at in done)
    assert summary["done"] + summary["done_before"] == well
    assert summary["failed"] + summary["failed_before"] == len(done) - well
    assert (tmp_path / "code").read_text() == "1\n"
    hosts = {(tmp_path / "out" / f"{at}.txt").read_text() for at in done}
    assert hosts == {"node01\n", "node02\n"}
    assert (tmp_path / "mapped").read_text() == "node01 node02\n"
