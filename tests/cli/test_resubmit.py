"""`psij-run resubmit`: the same job once more, with the `local` manager for real, and with a simulated PBS for sites."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobFailed, JobState, site
from psij_parsl.errors import InvalidRequest
from tests.cli.helpers import one_sentence_and_a_hint, psij, psij_here
from tests.simulated.server import Simulated

#: Succeeds where there is a file `good`.
_FAILS_AT_FIRST = 'test -e good || exit 3; echo "$1 $VALUE"'
#: An array of which the elements 1, 4 and 7 fail, while there is no file `good`.
_SOME_FAIL = 'echo "element $PSIJ_ARRAY_INDEX"; test -e good || exit $((PSIJ_ARRAY_INDEX % 3 == 1))'


def submit(*words: str, code: int | None = None, **environ: str) -> str:
    """Submit a job; with `code`, wait until it has ended with that exit code. Returns its id."""
    done = psij("submit", *words, **environ)
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    if code is not None:
        assert psij("wait", job).returncode == code
    return job


def resubmit(*words: str, **environ: str) -> Any:
    """The only one of the answers of a `resubmit --json`, which must not fail."""
    done = psij("resubmit", *words, "--json", **environ)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    return row


def info(job: str) -> Any:
    return json.loads(psij("info", job, "--json").stdout)


def all_jobs() -> Sequence[str]:
    return [row["id"] for row in json.loads(psij("list", "-a", "--json").stdout)]


def refused(*words: str, code: int = 2) -> tuple[str, str]:
    """What `resubmit` says that submits nothing: a sentence and a hint."""
    before = all_jobs()
    done = psij("resubmit", *words)
    assert (done.returncode, all_jobs()) == (code, before), done.stderr
    return one_sentence_and_a_hint(done)


# ---- the same job ----------------------------------------------------------------------------------------------


def test_a_failed_job_is_the_same_again_wherever_and_whenever_that_is_said(here: Path) -> None:
    odd = "two\nexport VALUE='no' \"lines\"\n"
    first = submit(
        *("-t", "7", "-J", "mine", "--setup", "export SET_UP=1", "-o", "out", "--env", "OWN=a b"),
        *("--", "sh", "-c", _FAILS_AT_FIRST + '; echo "$OWN $SET_UP $PWD"', "x", "it's"),
        code=3,
        VALUE=odd,
    )
    (here / "good").touch()
    (here / "elsewhere").mkdir()
    os.chdir(here / "elsewhere")
    row = resubmit(first, "-t", "x2", VALUE="another", OWN="other", PSIJ_RUN_TIME="1", PSIJ_RUN_NODES="3")
    assert (row["resubmitted_from"], row["name"]) == (first, "mine")
    assert row["changed"] == {"wall_time_min": {"from": 7, "to": 14}}
    assert psij("wait", row["id"]).returncode == 0
    assert (here / "out").read_text() == f"it's {odd}\na b 1 {here}\n"


def test_the_record_names_the_one_before_it_and_info_shows_all_attempts() -> None:
    first = submit("--", "sh", "-c", "exit 3", code=3)
    second = resubmit(first, "-J", "again")["id"]
    psij("wait", second)
    third = resubmit("last")["id"]
    psij("wait", third)
    rows = {row["id"]: row["resubmitted_from"] for row in json.loads(psij("list", "-a", "--json").stdout)}
    assert rows == {first: None, second: first, third: second}
    assert f"exit code 3; again of {first}" in psij("status", second).stdout
    for job, later in ((first, [second]), (second, [third]), (third, [])):
        told = info(job)
        assert told["resubmitted_as"] == later
        assert [(one["id"], one["state"]) for one in told["attempts"]] == [
            (one, "FAILED") for one in (first, second, third)
        ]
        lines = psij("info", job).stdout.splitlines()
        at = next(number for number, line in enumerate(lines) if line.startswith("attempts "))
        assert [line.split()[-5] for line in lines[at : at + 3]] == [first, second, third], lines[at : at + 3]
    assert info(submit("--", "true", code=0))["attempts"] == []


def test_a_script_is_run_from_its_copy(here: Path) -> None:
    script = here / "job.sh"
    script.write_text("#!/bin/bash\n#PSIJ -t 5 -o out\ntest -e good || exit 3\necho original $1\n")
    first = submit("job.sh", "word", code=3)
    script.write_text("#!/bin/bash\necho changed\n")
    (here / "good").touch()
    assert psij("wait", resubmit(first, "-n", "4")["id"]).returncode == 0
    assert (here / "out").read_text() == "original word\n"
    assert info("last")["job"]["job_mode"] == "script"


def test_neither_hold_nor_begin_is_repeated_and_flags_add_to_what_can_be_repeated(here: Path) -> None:
    first = submit("--hold", "--env", "A=1", "--setup", "export B=2", "--", "sh", "-c", "echo $A$B$C$D")
    psij("cancel", first)
    psij("wait", first)
    again = resubmit(first, "--env", "C=3", "--setup", "export D=4", "--mode", "script")
    assert psij("wait", again["id"]).returncode == 0
    assert psij("logs", again["id"]).stdout == "1234\n"
    assert again["changed"]["environment"] == {"from": ["A"], "to": ["A", "C"]}  # names: values may be secret
    held = resubmit(again["id"], "--hold")
    assert json.loads(psij("status", held["id"], "--json").stdout)[0]["held"]


def test_ranks_that_are_asked_for_anew_start_as_ranks_do(here: Path) -> None:
    first = submit("--", "true", code=0)
    done = psij("resubmit", first, "-n", "3", "--dry-run", "--json")
    (row,) = json.loads(done.stdout)
    assert row["changed"] == {"ranks_per_node": {"from": 1, "to": 3}, "job_mode": {"from": "script", "to": "mpi"}}
    assert all_jobs() == [first]
    text = psij("resubmit", first, "-t", "x1.5", "-J", "new", "--dry-run").stdout
    assert text == f"would submit job {first} again: wall_time_min 15 (was 10), name new (was none)\n"


def test_a_file_that_is_written_anew_is_told(here: Path) -> None:
    first = submit("-o", "out", "--", "echo", "one", code=0)
    done = psij("resubmit", first, "--wait")
    assert f"{here}/out exists and is written anew" in done.stderr
    assert "written anew" not in psij("resubmit", first, "-o", "new", "--wait").stderr
    assert "written anew" not in psij("resubmit", first, "--append", "--wait").stderr
    assert (here / "out").read_text() == "one\none\n"
    assert (here / "new").read_text() == "one\n"
    of_each = submit("-o", "out.%j", "--", "echo", "two", code=0)
    assert "written anew" not in psij("resubmit", of_each, "--wait").stderr


# ---- arrays ----------------------------------------------------------------------------------------------------


def test_of_an_array_the_failed_elements_alone_with_their_own_indices(here: Path) -> None:
    array = submit("--array", "0-9", "-o", "out", "--", "sh", "-c", _SOME_FAIL, code=1)
    (here / "good").touch()
    done = psij("resubmit", array, "--failed", "-t", "x2")
    assert f"left alone: of array {array}, 7 COMPLETED" in done.stderr
    again = done.stdout.strip()
    assert psij("wait", again).returncode == 0
    told = info(again)
    assert (told["array"], told["job"]["wall_time_min"]) == ("1,4,7", 20)
    assert (here / "out.4").read_text() == "element 4\n"
    assert info(f"{again}_4")["resubmitted_from"] == f"{array}_4"
    assert [one["id"] for one in info(f"{array}_4")["attempts"]] == [f"{array}_4", f"{again}_4"]
    assert info(f"{array}_3")["attempts"] == []
    nothing = psij("resubmit", array, "--failed")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert f"7 COMPLETED, 3 COMPLETED as {again}" in nothing.stderr
    assert psij("wait", resubmit(array)["id"]).returncode == 0
    assert len(info("last")["job"]["array"]) == 10


def test_single_elements_are_named_and_make_one_array() -> None:
    array = submit("--array", "0-9", "--", "sh", "-c", _SOME_FAIL, code=1)
    again = resubmit(f"{array}_3", f"{array}_1")
    psij("wait", again["id"])
    assert again["array"] == "1,3"
    assert psij("logs", f"{again['id']}_3").stdout == "element 3\n"


def test_while_others_still_run_the_failed_ones_are_submitted(here: Path) -> None:
    array = submit("--array", "0-2", "--", "sh", "-c", 'test "$PSIJ_ARRAY_INDEX" != 2 || sleep 300; exit 4')
    psij("wait", f"{array}_0", f"{array}_1")
    said, hint = refused(array)
    assert f"job {array} has not ended" in said
    assert "--failed takes the elements" in hint
    done = psij("resubmit", "all", "--failed", "--json")
    (row,) = json.loads(done.stdout)
    assert row["array"] == "0-1"
    psij("cancel", "all")
    assert psij("wait", array, row["id"]).returncode == 143


def test_elements_with_commands_of_their_own_keep_them(here: Path) -> None:
    executor = BatchSchedulerExecutor("local")
    jobs = executor.submit_many(
        [
            Job(command=["sh", "-c", f"test -e good || exit {n % 2}; echo {n} $V"], environment={"V": str(n)})
            for n in range(4)
        ]
    )
    assert executor.wait(jobs, 120)
    (here / "good").touch()
    whole = jobs[0].id.partition("_")[0]
    again = executor.resubmit(whole, failed_only=True, wall_time_min="30m", environment={"W": "w"})
    assert again.wait(120).state is JobState.COMPLETED
    assert [(one.id, one.result()) for one in again.elements()] == [
        (f"{again.id}_1", "1 1\n"),
        (f"{again.id}_3", "3 3\n"),
    ]
    assert info(f"{again.id}_3")["job"]["wall_time_min"] == 30
    third = executor.resubmit(f"{again.id}_3")
    assert third.result() == ["3 3\n"]
    with pytest.raises(InvalidRequest, match="one stdout cannot be right for all"):
        executor.resubmit(whole, stdout="out")
    with pytest.raises(InvalidRequest, match="has no element 7"):
        executor.resubmit(whole, array=[7])


# ---- which jobs ------------------------------------------------------------------------------------------------


def test_all_that_failed_is_submitted_and_what_was_named_besides_is_left_alone() -> None:
    good, bad = submit("--", "true", code=0), submit("--", "sh", "-c", "exit 3", code=3)
    first = submit("--", "sh", "-c", "exit 4", code=4)
    repeated = resubmit(first)["id"]
    psij("wait", repeated)
    done = psij("resubmit", "all", good, "--failed")
    psij("wait", *done.stdout.split())
    assert [info(job)["resubmitted_from"] for job in done.stdout.split()] == [bad, repeated]
    assert f"left alone: job {good}, COMPLETED" in done.stderr
    assert "`psij-run resubmit all --failed`" in refused("all")[1]
    assert "--since goes with `all`" in refused(good, "--since", "1d")[0]
    assert "nothing was submitted" in psij("resubmit", "all", "--failed", "--since", "0").stderr
    assert f"job {repeated} repeats job {first}, and both are named" in refused(first, repeated)[0]


def test_what_was_cancelled_is_submitted_if_that_is_said() -> None:
    job = submit("--hold", "--", "true")
    psij("cancel", job)
    psij("wait", job)
    assert f"left alone: job {job}, CANCELED" in psij("resubmit", job, "--failed").stderr
    assert psij("wait", resubmit(job, "--failed", "--cancelled")["id"]).returncode == 0


@pytest.mark.parametrize("word", ["rerun", "retry", "requeue"])
def test_other_words_for_it_lead_to_it(word: str) -> None:
    assert "resubmit" in one_sentence_and_a_hint(psij_here(word, "last"))[1]


# ---- refusals --------------------------------------------------------------------------------------------------


def test_a_job_that_has_not_ended_or_runs_again_already_is_refused() -> None:
    job = submit("--hold", "--", "true")
    said, hint = refused(job)
    assert said == f"psij-run: job {job} has not ended, and two copies of it would write the same files"
    assert f"`psij-run cancel {job}`" in hint
    ended = submit("--", "true", code=0)
    again = resubmit(ended, "--hold")["id"]
    assert f"was submitted again already, as {again}, which has not ended" in refused(ended)[0]
    assert f"not ended as {again}" in psij("resubmit", ended, "--failed").stderr


def test_a_cleaned_job_is_refused(home: Path) -> None:
    job, other = submit("--", "false", code=1), submit("--", "false", code=1)
    shutil.rmtree(home / "jobs" / job)
    said, hint = refused(job)
    assert f"the folder of job {job} is gone" in said
    assert "submit it anew" in hint
    assert psij("clean", other).returncode == 0
    said, hint = refused(other)
    assert f"there is no job {other!r}" in said
    assert "if it was removed by `psij-run clean`, submit it anew" in hint


def test_a_job_whose_files_are_damaged_is_refused(home: Path) -> None:
    job = submit("--", "false", code=1)
    (home / "jobs" / job / "environment").unlink()
    assert "are damaged" in refused(job)[0]
    job = submit("--", "false", code=1)
    (home / "jobs" / job / "job.json").write_text('{"job": {"command": []}}')
    assert "are damaged" in refused(job)[0]


def test_a_job_whose_script_or_directories_are_gone_is_refused_and_all_are_checked_first(
    here: Path, home: Path
) -> None:
    (here / "job.sh").write_text("#!/bin/bash\nexit 3\n")
    (here / "sub").mkdir()
    good, script = submit("--", "true", code=0), submit("job.sh", code=3)
    outputs = submit("-o", "sub/out", "--", "true", code=0)
    inside = submit("-D", "sub", "--", "true", code=0)
    shutil.rmtree(here / "sub")
    (copy,) = (home / "scripts").iterdir()
    copy.unlink()
    assert f"the copy of its script that job {script} ran is gone: {copy}" in refused(script)[0]
    said, hint = refused(outputs)
    assert f"the directory for the output of job {outputs} is gone: {here}/sub" in said
    assert f"mkdir -p {here}/sub" in hint
    assert f"the directory of job {inside} is gone" in refused(inside)[0]
    before = all_jobs()
    done = psij("resubmit", good, script, outputs)
    assert (done.returncode, done.stdout, all_jobs()) == (2, "", before)
    assert "nothing was submitted, for 2 reasons" in done.stderr
    assert psij("wait", resubmit(outputs, "-o", "out")["id"]).returncode == 0
    assert psij("wait", resubmit(inside, "-D", str(here))["id"]).returncode == 0


def test_what_cannot_be_multiplied_and_unknown_parameters_are_refused() -> None:
    job = submit("--", "true", code=0)
    assert "has nothing there that could be multiplied" in refused(job, "--mem", "x2")[0]
    assert "must be more than nothing" in refused(job, "-t", "x0")[0]
    assert "-t y2" in refused(job, "-t", "y2")[0]
    assert "has no parameter 'nope'" in refused(job, "-X", "nope=1")[0]
    assert "there is no option --site" in refused(job, "--site", "laptop")[0]
    with pytest.raises(InvalidRequest, match="a job has no field 'walltime'"):
        site("laptop").executor().resubmit(job, walltime=3)  # type: ignore[call-arg]  # that is the test


# ---- what it comes after ---------------------------------------------------------------------------------------


def test_a_dependency_counts_while_that_job_or_its_next_attempt_has_not_ended(here: Path) -> None:
    first = submit("--", "sh", "-c", "test -e good && sleep 0.3 && echo first >> order", code=1)
    second = submit("-d", f"afterany:{first}", "--", "sh", "-c", "echo second >> order; test -e good", code=1)
    (here / "good").touch()
    psij("wait", resubmit(second)["id"])  # the first has ended
    assert (here / "order").read_text() == "second\nsecond\n"
    again = resubmit(first, "--hold")["id"]
    (row,) = json.loads(psij("resubmit", second, "--json").stdout)
    assert info(row["id"])["after"] == [f"afterany:{again}"]
    psij("release", again)
    assert psij("wait", again, row["id"]).returncode == 0
    assert (here / "order").read_text().split() == ["second", "second", "first", "second"]


def test_jobs_that_are_submitted_again_together_come_after_each_other(here: Path) -> None:
    text = "test -e good && echo {} >> order"
    first = submit("--array", "0-1", "--hold", "--", "sh", "-c", text.format("first"))
    second = submit("-d", first, "--", "sh", "-c", text.format("second"))
    psij("release", first)
    psij("wait", first, second)
    assert info(second)["started"] is None
    said, hint = refused(second)
    assert f"job {second} comes after job {first}_0, which ended otherwise than as afterok asks" in said
    assert "submit both again with one command" in hint
    (here / "good").touch()
    done = psij("resubmit", second, first, "--failed", "--cancelled")
    jobs = done.stdout.split()
    assert [info(job)["resubmitted_from"] for job in jobs] == [first, second]
    assert info(jobs[1])["after"] == [f"afterok:{jobs[0]}"]
    assert psij("wait", *jobs).returncode == 0
    assert (here / "order").read_text() == "first\nfirst\nsecond\n"
    assert psij("wait", resubmit(second, "--no-dependency")["id"]).returncode == 0


# ---- sites -----------------------------------------------------------------------------------------------------

_SITE = """
name = "granite"
platform = "pbspro"
setup = ["export OF_SITE=1"]
[queues.workq]
strict = true
default = true
max_time = "30m"
setup = ["export OF_QUEUE=workq"]
[queues.small]
strict = true
max_time = "50m"
environment = { LONG = "yes" }
"""


def test_the_limits_of_the_site_are_checked_and_another_queue_brings_its_own(here: Path, pbs: Simulated) -> None:
    (here / "granite.toml").write_text(_SITE)
    words = ("--", "sh", "-c", "echo $OF_SITE $OF_QUEUE $LONG $PSIJ_QUEUE")
    first = submit("--site", "./granite.toml", "-q", "workq", "-t", "20", "--mem", "100M", *words, code=0)
    assert psij("logs", first).stdout == "1 workq workq\n"
    assert "queue workq lets jobs run 30 min at most" in refused(first, "-t", "x2")[0]
    row = resubmit(first, "-t", "x2", "-q", "small", "--mem", "x1.5")
    assert (row["site"], row["changed"]["memory_per_node"]) == ("granite", {"from": 100, "to": 150})
    assert psij("wait", row["id"]).returncode == 0
    assert psij("logs", row["id"]).stdout == "1 yes small\n"
    (here / "granite.toml").unlink()
    assert f"the site of job {first} is gone" in refused(first)[0]


def test_a_job_that_was_only_attached_is_refused(pbs: Simulated) -> None:
    done = subprocess.run(["qsub"], input="sleep 0", capture_output=True, text=True, check=True)
    executor = BatchSchedulerExecutor("pbspro", poll_s=0.1)
    job = executor.attach(done.stdout.strip())
    assert executor.wait([job.id], 120)
    assert f"job {job.id} was only attached" in refused(job.id)[0]
    assert "left alone" not in psij("resubmit", "all", "--failed", "--cancelled").stderr


# ---- Python ----------------------------------------------------------------------------------------------------


def test_a_handle_is_submitted_again(here: Path) -> None:
    executor = BatchSchedulerExecutor("local")
    first = executor.submit(Job(command=["sh", "-c", "test -e good || exit 3; echo $V"], environment={"V": "v"}))
    with pytest.raises(JobFailed):
        first.result(120)
    (here / "good").touch()
    again = first.resubmit(wall_time_min="1h", failed_only=True)
    assert again.result(120) == "v\n"
    assert again.id != first.id
    entry = executor.journal.get(again.id)
    assert entry.resubmitted_from == first.id
    job = executor.journal.job(entry)
    assert job is not None
    assert job.wall_time_min == 60
    with pytest.raises(InvalidRequest, match="nothing of job .* is to be submitted again: COMPLETED"):
        again.resubmit(failed_only=True)
    with pytest.raises(InvalidRequest, match=r"use BatchSchedulerExecutor\('local'\)"):
        BatchSchedulerExecutor("local", site="laptop").resubmit(first)


# ---- other managers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manager", ["pbs", "torque", "lsf"])
def test_failed_elements_run_again_on_other_managers(
    manager: str, here: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(manager)
    platform = "pbspro" if manager == "pbs" else manager
    words = ("--platform", platform, "--array", "2,3,5-7", "-t", "2", "--", "sh", "-c")
    array = submit(
        *words, 'echo "element $PSIJ_ARRAY_INDEX"; test -e good || exit $((PSIJ_ARRAY_INDEX % 4 == 3))', code=1
    )
    (here / "good").touch()
    again = resubmit(array, "--failed", "-t", "x2")
    assert (again["array"], again["platform"]) == ("3,7", platform)
    assert psij("wait", again["id"]).returncode == 0
    assert [psij("logs", f"{again['id']}_{index}").stdout for index in (3, 7)] == ["element 3\n", "element 7\n"]
    one = resubmit(f"{again['id']}_7")
    assert psij("wait", one["id"]).returncode == 0
    assert psij("logs", f"{one['id']}_7").stdout == "element 7\n"
