"""What a job may come after, and what of that a platform cannot be asked for, with the `local` manager for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.errors import InvalidRequest, NeverSatisfied, UnknownJob
from psij_parsl.testing.tools import ended
from tests.cli.helpers import one_sentence_and_a_hint, psij


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> BatchSchedulerExecutor:
    monkeypatch.chdir(tmp_path)
    return BatchSchedulerExecutor("local")


def _array(last: int, *, fails_at: int = -1, **fields: Any) -> Job:
    return Job(command=["sh", "-c", f"[ $PSIJ_ARRAY_INDEX != {fails_at} ]"], array=range(last + 1), **fields)


@pytest.mark.parametrize(
    ("after", "array", "says"),
    [
        ("{0}?1", (), "local cannot wait for one of several jobs"),
        ("after:{0}+5", (), "local cannot wait 5 minutes after the start of job"),
        ("aftercorr:{0}", (), "is for arrays, element after element, and this job is none"),
        ("aftercorr:{0}_1", (0, 1), "is no whole array"),
        ("aftercorr:{0}", (1, 2, 7), "index 7 is in one of the two arrays alone"),
        ("aftercorr:{0}", (0, 2), "element 2 of job {0} has ended, but not well"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_submitted(
    local: BatchSchedulerExecutor, after: str, array: tuple[int, ...], says: str
) -> None:
    first = local.submit(_array(2, fails_at=2))
    ended(first)
    with pytest.raises(InvalidRequest) as caught:
        local.submit(Job(command=["true"], array=array, after=[after.format(first.id)]))
    assert says.format(first.id) in caught.value.message
    assert caught.value.hint
    assert [*local.journal.entries()] == [first.id]


def test_a_job_that_nobody_knows_and_one_that_ended_otherwise_have_errors_of_their_own(
    local: BatchSchedulerExecutor,
) -> None:
    for name, says in {"nope": "there is no job 'nope'", "last": "there is no last job"}.items():
        with pytest.raises(UnknownJob, match=says):
            local.submit(["true"], after=[name])
    assert not local.journal.entries()
    failed = local.submit(["false"])
    ended(failed)
    with pytest.raises(NeverSatisfied, match="job last has ended, but not as afterok asks"):
        local.submit(["true"], after="last")


def test_several_jobs_in_one_text_of_a_list_are_all_waited_for() -> None:
    assert Job(command=["true"], after=["afterok:3:4", "after:5", "6"]).after == (
        *("afterok:3", "afterok:4"),
        *("after:5", "afterok:6"),
    )
    assert Job(command=["true"], after=["3,afterany:4"]).after == ("afterok:3", "afterany:4")
    lines = BatchSchedulerExecutor("slurm").render(Job(command=["true"], after=["afterok:3:4"]))
    assert "#SBATCH --dependency=afterok:3,afterok:4\n" in lines


def test_elements_of_which_each_came_before_are_not_waited_for(local: BatchSchedulerExecutor) -> None:
    first = local.submit(_array(2, fails_at=2))
    ended(first)
    second = local.submit(_array(1, after=[f"aftercorr:{first.id}"]))
    assert "--after" not in (second.folder / "script.sh").read_text()
    assert ended(second) is JobState.COMPLETED


def test_an_array_that_is_submitted_again_comes_after_the_elements_it_came_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PSIJ_RUN_PLATFORM", "local")
    command = ("--", "sh", "-c", "test -e good || exit $((PSIJ_ARRAY_INDEX == 1))")
    first = psij("submit", "--hold", "--array", "0-2", *command).stdout.strip()
    second = psij("submit", "--array", "0-2", "-d", f"aftercorr:{first}", *command).stdout.strip()
    psij("release", first)
    psij("wait", second)
    elements = json.loads(psij("status", second, "--elements", "--json").stdout)
    assert [one["reason"] for one in elements] == [None, "DEPENDENCY", None], elements
    _, hint = one_sentence_and_a_hint(psij("resubmit", f"{second}_1"))
    assert "submit both again" in hint
    Path("good").touch()
    again = psij("resubmit", f"{first}_1", f"{second}_1", "--json")
    assert again.returncode == 0, again.stderr
    assert psij("wait", "last").returncode == 0


def test_a_script_of_slurms_waits_for_jobs_of_its_name_here_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("job.sh").write_text(
        "#!/bin/sh\n#SBATCH -J mine -d singleton -t 5 -o out --open-mode=append\nsleep 1; date +%s.%N\n"
    )
    for _ in range(2):
        done = psij("submit", "--platform", "local", "job.sh")
        assert done.returncode == 0, done.stderr
    assert psij("wait", "last").returncode == 0
    first, second = map(float, Path("out").read_text().split())
    assert second - first >= 1
