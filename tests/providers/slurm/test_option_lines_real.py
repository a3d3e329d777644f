"""What sbatch makes of option lines, beside what our table makes of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from psij_parsl.providers.slurm.directives import TABLE
from tests.clusters.slurm import SlurmCluster

pytestmark = pytest.mark.slow

#: Option lines, and which of the job's attributes tell how sbatch has understood them.
LINES = {
    "--job-na=abc --time=0-0:06 # --time=9": {"JobName": "name", "TimeLimit": "wall_time_min"},
    "-J'two words' -t 8 -H": {"JobName": "name", "TimeLimit": "wall_time_min"},
    '-J "a\\"b" -t 0:05:30': {"JobName": "name", "TimeLimit": "wall_time_min"},
    "-J a#b -t 5": {"JobName": "name"},
    "-t 10:01 -n2 -c 3": {"TimeLimit": "wall_time_min", "NumTasks": "ranks", "CPUs/Task": "cpus_per_rank"},
    "-t5 -N 2 --tasks-per-node=2": {"TimeLimit": "wall_time_min", "NumNodes": "num_nodes"},
    "-t 3 -x node02 -w node01": {"ExcNodeList": "exclude_hosts", "ReqNodeList": "hosts"},
    "-t 3 --mem=100 -o out-%%.txt": {"MinMemoryNode": "memory_per_node"},
    "-t 3 -t 4 -J first --job-name=second": {"TimeLimit": "wall_time_min", "JobName": "name"},
}


@pytest.mark.parametrize("line", LINES)
def test_sbatch_understands_the_line_as_we_do(line: str, slurm_plain: SlurmCluster, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/bash\n\n# a remark\n#SBATCH {line}\n  #SBATCH -t 77\ntrue\n#SBATCH -t 88 -J never\n")
    job_id = slurm_plain.run("sbatch", "--parsable", "--hold", "--chdir=/tmp", str(script)).strip()
    shown = slurm_plain.run("scontrol", "show", "job", "-o", job_id)
    slurm_plain.run("scancel", job_id)
    words = TABLE.read(script.read_text()).words
    for attribute, word in LINES[line].items():
        match = re.search(rf"(?:^| ){re.escape(attribute)}=(.*?)(?: [A-Z]\w*(?:/\w+|:\w+)*=|$)", shown)
        assert match, shown
        assert _plain(attribute, match[1]) == str(words[word]), shown


def _plain(attribute: str, text: str) -> str:
    """As our word is: minutes of `1-02:00:00`, MB of `100M`."""
    if attribute == "TimeLimit":
        days, _, clock = text.rpartition("-")
        hours, minutes, seconds = map(int, clock.split(":"))
        return str(int(days or 0) * 1440 + hours * 60 + minutes + (seconds > 0))
    if attribute == "MinMemoryNode":
        return text.removesuffix("M")
    return text.partition("-")[0] if attribute == "NumNodes" else text
