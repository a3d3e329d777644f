"""Contract tests of job arrays, for every platform that has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import BatchSchedulerExecutor, JobFailed, JobState
from ..resources.hostlist import expand
from .tools import PATIENCE_S, ended, needs, shell


class Arrays:
    """Each index runs once, and the array's status combines those of all elements."""

    #: How many elements the largest array has.
    array_size: int = 64

    def test_an_array_runs_each_index_once(self, executor: BatchSchedulerExecutor) -> None:
        needs(executor, "array")
        indices = (0, 1, 2, 7)
        whole = executor.submit(shell("echo $PSIJ_ARRAY_INDEX; [ $PSIJ_ARRAY_INDEX != 7 ]", array=indices))
        status = whole.wait(PATIENCE_S)
        assert status.state is JobState.FAILED
        assert status.message == "3 COMPLETED, 1 FAILED"
        for index in indices:
            element = executor.submission(f"{whole.id}_{index}")
            assert element.stdout is not None
            assert element.stdout.read_text() == f"{index}\n"
        with pytest.raises(JobFailed) as caught:
            whole.result()
        assert [element.id for element in caught.value.elements] == [f"{whole.id}_7"]

    def test_a_large_array_beside_a_plain_job_runs_each_index_once(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        needs(executor, "array")
        plain = executor.submit(shell("sleep 2; exit 5"))
        whole = executor.submit(
            shell(f"echo $PSIJ_ARRAY_INDEX >>{tmp_path}/log", array=range(self.array_size), stdout=Path("/dev/null"))
        )
        status = whole.wait(PATIENCE_S + self.array_size)
        assert (status.state, status.message) == (JobState.COMPLETED, f"{self.array_size} COMPLETED")
        assert sorted(map(int, (tmp_path / "log").read_text().split())) == [*range(self.array_size)]
        assert plain.wait(PATIENCE_S).exit_code == 5

    def test_an_array_began_with_its_first_element_and_ended_with_its_last(
        self, executor: BatchSchedulerExecutor
    ) -> None:
        needs(executor, "array")
        whole = executor.submit(shell("sleep $PSIJ_ARRAY_INDEX", array=(0, 3)))
        status = whole.wait(PATIENCE_S)
        assert whole.result() == ["", ""]
        first, last = executor.status([f"{whole.id}_0", f"{whole.id}_3"])
        elements = (first, last)
        assert status.started == min((element.started for element in elements if element.started), default=None)
        assert status.ended == max((element.ended for element in elements if element.ended), default=None)
        host_lists = [element.nodes for element in elements if element.nodes]
        assert set(expand(status.nodes) if host_lists else ()) == {
            name for text in host_lists for name in expand(text)
        }

    def test_what_failed_of_an_array_is_submitted_again_with_its_indices(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        needs(executor, "array")
        text = f"echo $PSIJ_ARRAY_INDEX; test -e {tmp_path}/good || exit $((PSIJ_ARRAY_INDEX % 4 == 3))"
        whole = executor.submit(shell(text, array=(2, 3, 5, 6, 7)))
        assert ended(whole) is JobState.FAILED
        (tmp_path / "good").touch()
        again = whole.resubmit(failed_only=True)
        assert again.wait(PATIENCE_S).state is JobState.COMPLETED
        assert [(one.id, one.result()) for one in again.elements()] == [
            (f"{again.id}_3", "3\n"),
            (f"{again.id}_7", "7\n"),
        ]
        assert executor.resubmit(f"{whole.id}_5").result(PATIENCE_S) == ["5\n"]

    def test_many_alike_jobs_are_one_array(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        needs(executor, "array")
        jobs = [
            shell(
                f"echo {i} $OWN; exit {int(i == 5)}",
                environment={"OWN": f"it's {i}"},
                directory=tmp_path,
                stdout=tmp_path / f"out {i}",
            )
            for i in range(20)
        ]
        made = executor.submit_many(jobs)
        assert len({job.id for job in made}) == 20
        assert len({job.id.split("_")[0] for job in made}) == 1
        assert [ended(job) for job in made] == [JobState.FAILED if i == 5 else JobState.COMPLETED for i in range(20)]
        assert [(tmp_path / f"out {i}").read_text() for i in range(20)] == [f"{i} it's {i}\n" for i in range(20)]
        assert [executor.submission(job.id).stdout for job in made] == [job.stdout for job in made]
