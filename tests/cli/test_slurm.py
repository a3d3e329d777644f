"""`psij-run` on a real Slurm: the same words as on a laptop."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from psij_parsl.testing.tools import comes_true
from tests.cli.helpers import COMMAND, one_sentence_and_a_hint, psij
from tests.clusters.slurm import SlurmCluster


@pytest.fixture(autouse=True)
def on_slurm(slurm_plain: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's commands lead to the test cluster, and jobs go there."""
    for name, value in slurm_plain.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PSIJ_RUN_PLATFORM", "slurm")


def test_run_is_the_program_itself_on_slurm_too() -> None:
    done = psij("run", "-t", "5", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert done.stderr.startswith("err\npsij-run: job ")


def test_many_ranks_are_launched_by_srun() -> None:
    done = psij("run", "-N", "2", "--ntasks-per-node", "1", "--", "sh", "-c", "echo $SLURM_PROCID")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["0", "1"]


def test_an_unknown_queue_is_answered_with_those_that_there_are() -> None:
    done = psij("submit", "--queue", "nope", "--", "hostname")
    assert done.returncode == 4
    said, hint = one_sentence_and_a_hint(done)
    assert "partition" in said
    assert "known: " in hint
    queues = json.loads(psij("platform", "show", "slurm", "--json").stdout)["queues"]
    assert all(queue["name"] in hint for queue in queues if queue["up"])


def test_sigterm_cancels_the_job_on_slurm() -> None:
    with subprocess.Popen(
        [*COMMAND, "run", "--", "sh", "-c", "echo up; exec sleep 60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=300)
    assert running.returncode == 143
    assert json.loads(psij("status", "last", "--json").stdout)[0]["state"] == "CANCELED"


def test_jobs_of_two_platforms_are_seen_and_cancelled_together() -> None:
    on_slurm = psij("submit", "--hold", "--", "true").stdout.strip()
    here_too = psij("submit", "--platform", "local", "--hold", "--", "true").stdout.strip()
    rows = json.loads(psij("status", "--json").stdout)
    assert [(row["id"], row["platform"], row["held"]) for row in rows] == [
        (on_slurm, "slurm", True),
        (here_too, "local", True),
    ]
    assert psij("cancel", "all").returncode == 0
    assert psij("wait", on_slurm, here_too).returncode == 143


def test_an_array_on_slurm_has_labelled_output_and_the_worst_code() -> None:
    done = psij("run", "--array", "1,3", "--", "sh", "-c", "echo $PSIJ_ARRAY_INDEX; exit $PSIJ_ARRAY_INDEX")
    assert done.returncode == 3
    assert sorted(done.stdout.splitlines()) == ["[1] 1", "[3] 3"]


def test_the_doctor_hears_slurm() -> None:
    rows = {row["what"]: row for row in json.loads(psij("doctor", "--json").stdout)}
    assert rows["platform slurm"]["state"] == "ok"
    assert "answers in" in rows["platform slurm"]["text"]


def test_a_pending_job_is_cancelled_within_seconds() -> None:
    with subprocess.Popen([*COMMAND, "run", "-v", "--hold", "--", "true"], stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        assert any(b"slurm id " in line for line in iter(running.stderr.readline, b""))
        began = monotonic()
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=300)
    assert running.returncode == 130
    assert monotonic() - began < 60


def test_the_table_tells_why_jobs_wait_and_when_they_may_start() -> None:
    """In words, with the estimate that the scheduler gives in the answer that is asked for anyway."""
    whole = ("submit", "-N", "4", "--ntasks-per-node", "1", "-X", "exclusive=yes", "-t", "3")
    names = ("runs", "next", "later", "held", "after", "array")
    first, *others = [
        psij(*whole, "-J", name, *flags, "--", "sleep", "300")
        for name, flags in zip(names, ((), (), (), ("--hold",), ("-d", "last"), ("--array", "0-2")), strict=True)
    ]
    assert not [done.stderr for done in (first, *others) if done.returncode]
    rows: dict[str, dict[str, Any]] = {}

    def told() -> bool:
        rows.update({row["name"]: row for row in json.loads(psij("status", "--json").stdout)})
        waiting = [rows[name]["expected_start"] for name in ("next", "later", "array")]
        return rows["runs"]["state"] == "ACTIVE" and all(waiting)

    try:
        comes_true(told)
    finally:  # or they would keep the nodes from other tests
        listed = json.loads(psij("list", "--state", "held", "--json").stdout)
        ended = psij("cancel", "all").returncode
    assert (ended, [row["name"] for row in listed]) == (0, ["held"])
    words = {
        "Resources": "waits for nodes, cores or memory to become free; expected to start ",
        "Priority": "others have a higher priority; expected to start ",
    }
    raw = {name: rows[name]["pending_reason"] for name in names}
    for name in ("next", "later"):  # which of them it is, versions differ in, and moments
        assert rows[name]["why"].startswith(words[raw[name]])
    assert rows["array"]["why"].startswith(f"3 QUEUED: {words[raw['array']]}")
    assert rows["after"]["why"].startswith("waits for another job")
    assert rows["held"]["why"] == "held by its user"
    assert [raw[name] for name in ("runs", "held", "after")] == ["", "JobHeldUser", "Dependency"]
    begun, waits = rows["runs"]["started"], [rows[name]["expected_start"] for name in ("next", "later", "array")]
    assert begun < waits[0] < waits[1] < waits[2] < begun + 3600


# ---- again -----------------------------------------------------------------------------------------------------

#: Prints the time limit that Slurm has for the job, and fails in the elements 3, 17 and 42 until there is a file `good`.
_SOME_FAIL = """
echo "$PSIJ_ARRAY_INDEX $(squeue -h -j ${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID -o %l)"
test -e good && exit
case $PSIJ_ARRAY_INDEX in 3 | 17 | 42) exit 4 ;; esac
"""


def test_a_failed_job_is_submitted_again_with_more_time_and_memory(here: Path) -> None:
    text = 'test -e good || exit 3; echo "$WORD $(squeue -h -j $SLURM_JOB_ID -o "%l %m")"'
    first = psij("submit", "-t", "2", "--mem", "100M", "--", "sh", "-c", text, WORD="kept").stdout.strip()
    assert psij("wait", first).returncode == 3
    (here / "good").touch()
    again = psij("resubmit", first, "-t", "x2", "--mem", "x1.5").stdout.strip()
    assert psij("wait", again).returncode == 0
    assert psij("logs", again).stdout == "kept 4:00 150M\n"
    assert [one["id"] for one in json.loads(psij("info", first, "--json").stdout)["attempts"]] == [first, again]


def test_a_script_with_lines_of_slurm_is_the_same_again_but_for_what_is_typed(here: Path, home: Path) -> None:
    (here / "job.sh").write_text("""#!/bin/bash
#SBATCH -t 2 --comment=kept
#SBATCH --ntasks=2 --nodes=1
#SBATCH --mem-per-cpu=60M
test -e good || exit 3
squeue -h -j $SLURM_JOB_ID -o "%l %D %m $SLURM_NTASKS"
""")
    first = psij("submit", "job.sh").stdout.strip()
    assert psij("wait", first).returncode == 3
    (here / "good").touch()
    (here / "job.sh").unlink()
    for flags, said in (
        ((), "2:00 1 60M 2"),
        (("-t", "x2"), "4:00 1 60M 2"),
        (("--mem", "200M", "-n", "4"), "2:00 1 200M 4"),
        (("-N", "2"), "2:00 2 60M 4"),
    ):
        again = psij("resubmit", first, *flags)
        assert psij("wait", again.stdout.strip()).returncode == 0, again.stderr
        assert psij("logs", "last").stdout == f"{said}\n"
    again = json.loads(psij("resubmit", first, "--json").stdout)[0]
    scripts = [Path(folder, "script.sh").read_text() for folder in (home / "jobs" / first, again["folder"])]
    assert scripts[1].replace(again["id"], first) == scripts[0]
    assert "\n#SBATCH --ntasks=2 --nodes=1\n" in scripts[1]


def test_of_fifty_elements_the_three_that_failed_run_again_with_more_time(here: Path) -> None:
    words = ("--array", "0-49", "-t", "2", "-o", "out", "--", "sh", "-c", _SOME_FAIL)
    array = psij("submit", *words).stdout.strip()
    assert psij("wait", array).returncode == 4
    (here / "good").touch()
    done = psij("resubmit", array, "--failed", "-t", "x2")
    again = done.stdout.strip()
    assert f"left alone: of array {array}, 47 COMPLETED" in done.stderr
    assert psij("wait", again).returncode == 0
    rows = json.loads(psij("status", again, "--elements", "--json").stdout)
    assert [(row["id"], row["resubmitted_from"]) for row in rows] == [
        (f"{again}_{index}", f"{array}_{index}") for index in (3, 17, 42)
    ]
    texts = {index: (here / f"out.{index}").read_text() for index in range(50)}
    assert texts == {index: f"{index} {'4:00' if index in (3, 17, 42) else '2:00'}\n" for index in range(50)}


def test_a_job_whose_folder_was_cleaned_is_refused(home: Path) -> None:
    job = psij("submit", "--", "false").stdout.strip()
    psij("wait", job)
    shutil.rmtree(home / "jobs" / job)
    done = psij("resubmit", job)
    assert done.returncode == 2
    assert f"the folder of job {job} is gone" in one_sentence_and_a_hint(done)[0]
    assert [row["id"] for row in json.loads(psij("list", "-a", "--json").stdout)] == [job]
