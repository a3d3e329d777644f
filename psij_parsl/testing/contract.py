"""What holds for every platform, as tests of an executor for a manager that really runs jobs.

    from psij_parsl import BatchSchedulerExecutor
    from psij_parsl.testing import PlatformContract


    class TestMine(PlatformContract):
        @pytest.fixture
        def executor(self):
            return BatchSchedulerExecutor("mine", poll_s=0.5)

What the platform cannot be asked for (arrays, holding, following another job), and what the machine has not (a second
node, GPUs), is skipped, with the word for it; a test of what is named in `must_have` is not.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from .. import BatchSchedulerExecutor, EndReason, Job, JobState, JobStatus, Submission
from ..errors import InvalidRequest, JobFailed, Rejected, UnknownJob
from ..resources.hostlist import expand
from .templates import sentinel_check
from .tools import PATIENCE_S, comes_true, ended, needs, processes, shell


class PlatformContract:
    """The suite; a subclass gives the fixture `executor`."""

    #: A value for each parameter whose rule asks for a certain form.
    samples: ClassVar[Mapping[str, object]] = {}
    #: How many elements the largest array has.
    array_size: int = 64
    #: What must be there: "nodes" (two), "memory", "gpus".
    must_have: ClassVar[Collection[str]] = ()

    @pytest.fixture(autouse=True)
    def own_state(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each test has a state directory of its own."""
        monkeypatch.setenv("PSIJ_PARSL_HOME", str(tmp_path_factory.mktemp("psij") / "state"))

    # ---- ends ----------------------------------------------------------------------------------------------

    def test_a_job_gives_back_what_it_printed(self, executor: BatchSchedulerExecutor) -> None:
        assert executor.submit(Job(command=["echo", "hello"])).result(PATIENCE_S) == "hello\n"

    def test_an_exit_code_is_told_as_it_was(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(shell("echo so >&2; exit 3"))
        status = job.wait(PATIENCE_S)
        assert (status.state, status.exit_code, status.exit_status) == (JobState.FAILED, 3, 3)
        with pytest.raises(JobFailed, match="exit code 3") as caught:
            job.result()
        assert "so" in str(caught.value)

    @pytest.mark.parametrize("number", [9, 11])
    def test_a_signal_is_shown_as_the_likely_cause(self, executor: BatchSchedulerExecutor, number: int) -> None:
        status = executor.submit(shell(f"kill -{number} $$")).wait(PATIENCE_S)
        assert status.state is JobState.FAILED
        assert status.exit_status == 128 + number
        assert {9: "SIGKILL", 11: "SIGSEGV"}[number] in status.describe()

    def test_a_command_that_does_not_exist_fails_with_127(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(Job(command=["no-such-command-anywhere"]))
        assert job.wait(PATIENCE_S).exit_code == 127
        assert "no-such-command-anywhere" in (job.stderr.read_text() if job.stderr else "")

    def test_the_manager_sees_the_exit_code_too(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(shell("exit 4"))
        job.wait(PATIENCE_S)
        answer = executor.scheduler.qstat(lambda seen: [job.native_id])
        record = answer.of(job.native_id)
        assert record is not None
        assert record.status.exit_code == 4

    def test_a_missing_directory_is_a_launch_failure(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        status = executor.submit(Job(command=["true"], directory=tmp_path / "none")).wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
        assert "directory" in status.message

    def test_an_output_file_that_cannot_be_written_is_a_launch_failure(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        status = executor.submit(Job(command=["true"], stdout=tmp_path / "none" / "out")).wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
        assert "output" in status.message

    @pytest.mark.parametrize("code", [99, 100, 137])
    def test_an_exit_code_that_means_more_to_some_is_told_as_it_was(
        self, executor: BatchSchedulerExecutor, tmp_path: Path, code: int
    ) -> None:
        status = executor.submit(shell(f"echo ran >>{tmp_path}/log; exit {code}")).wait(PATIENCE_S)
        assert (status.state, status.exit_status) == (JobState.FAILED, code)
        assert (tmp_path / "log").read_text() == "ran\n"

    # ---- what a job is given -------------------------------------------------------------------------------

    def test_two_nodes_are_two(self, executor: BatchSchedulerExecutor) -> None:
        job = self._has(executor, "nodes", shell('sort -u "$PSIJ_NODEFILE" | wc -l', num_nodes=2, job_mode="script"))
        assert job.result(PATIENCE_S).split() == ["2"]

    def test_memory_can_be_asked_for(self, executor: BatchSchedulerExecutor) -> None:
        job = self._has(executor, "memory", shell("echo fine", memory_per_node=100, job_mode="script"))
        assert job.result(PATIENCE_S) == "fine\n"

    def test_gpus_can_be_asked_for(self, executor: BatchSchedulerExecutor) -> None:
        job = self._has(executor, "gpus", shell("echo fine", gpus_per_rank=1, job_mode="script"))
        assert job.result(PATIENCE_S) == "fine\n"

    def _has(self, executor: BatchSchedulerExecutor, what: str, job: Job) -> Submission:
        try:
            return executor.submit(job)
        except (InvalidRequest, Rejected) as error:
            if what in self.must_have:
                raise
            pytest.skip(f"no {what} here: {error}")

    # ---- what a job starts with ----------------------------------------------------------------------------

    def test_a_job_starts_where_it_was_submitted(
        self, executor: BatchSchedulerExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert executor.submit(Job(command=["pwd"])).result(PATIENCE_S).strip() == str(tmp_path)

    def test_a_job_inherits_the_environment_and_adds_its_own(
        self, executor: BatchSchedulerExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FROM_OUTSIDE", "one two")
        job = shell('echo "$FROM_OUTSIDE|$OF_ITS_OWN"', environment={"OF_ITS_OWN": "it's $HOME"})
        assert executor.submit(job).result(PATIENCE_S) == "one two|it's $HOME\n"

    def test_a_job_without_the_environment_has_none_of_it(
        self, executor: BatchSchedulerExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FROM_OUTSIDE", "one")
        job = shell('echo "${FROM_OUTSIDE-none} $OWN"', inherit_environment=False, environment={"OWN": "2"})
        assert executor.submit(job).result(PATIENCE_S) == "none 2\n"

    def test_shell_functions_are_not_inherited(
        self, executor: BatchSchedulerExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BASH_FUNC_sneaky%%", "() { echo sneaky; }")
        assert executor.submit(shell("type -t sneaky || echo no")).result(PATIENCE_S) == "no\n"

    def test_a_job_reads_its_input_file(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        (tmp_path / "in put").write_text("words\n")
        job = Job(command=["cat"], stdin=tmp_path / "in put")
        assert executor.submit(job).result(PATIENCE_S) == "words\n"

    def test_output_files_are_relative_to_the_directory(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        job = shell("echo out; echo err >&2", directory=tmp_path, stdout=Path("o.txt"), stderr=Path("e.txt"))
        assert ended(executor.submit(job)) is JobState.COMPLETED
        assert (tmp_path / "o.txt").read_text() == "out\n"
        assert (tmp_path / "e.txt").read_text() == "err\n"

    def test_stderr_joins_a_stdout_that_was_named(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        job = shell("echo out; echo err >&2", stdout=tmp_path / "both")
        assert executor.submit(job).result(PATIENCE_S) == "out\nerr\n"

    def test_the_setup_runs_before_the_command(self, executor: BatchSchedulerExecutor) -> None:
        job = shell("echo $LOADED", setup="export LOADED='a module'")
        assert executor.submit(job).result(PATIENCE_S) == "a module\n"

    def test_the_job_knows_its_own_ids_and_nodes(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(shell('echo "$PSIJ_JOB_ID $PSIJ_NATIVE_ID $(wc -l <"$PSIJ_NODEFILE")"'))
        assert job.result(PATIENCE_S).split() == [job.id, job.native_id, "1"]

    def test_the_umask_is_the_users_own(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            ended(executor.submit(Job(command=["touch", "made"], directory=tmp_path)))
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o640

    # ---- names and words -----------------------------------------------------------------------------------

    def test_a_name_of_300_characters_is_kept(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(Job(command=["true"], name="x" * 300))
        assert job.name == "x" * 300
        assert ended(job) is JobState.COMPLETED

    def test_arguments_arrive_unchanged(self, executor: BatchSchedulerExecutor) -> None:
        words = ["a b", "it's", 'say "x"', "$HOME", ";", "\\", "tail\\", "#", "%j", "a,b", "a #b", "a\nb", "é", ""]
        words += ["*", "-n", "~", "a\tb"]
        job = executor.submit(Job(command=["printf", "%s\\0", *words]))
        assert job.result(PATIENCE_S).split("\0")[:-1] == words

    def test_a_script_that_looks_like_directives_is_only_a_script(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        script = tmp_path / "s.sh"
        script.write_text("#!/bin/bash\n#SBATCH --partition=nope\n#PBS -q nope\n#PSIJ-LOCAL --cores 999\necho fine\n")
        script.chmod(0o700)
        assert executor.submit(Job(command=[str(script)], setup="#SBATCH -N 99")).result(PATIENCE_S) == "fine\n"

    # ---- refusals cost nothing -----------------------------------------------------------------------------

    def test_an_unknown_parameter_is_refused_with_the_nearest(self, executor: BatchSchedulerExecutor) -> None:
        with pytest.raises(InvalidRequest, match="no parameter 'nodse'"):
            executor.submit(Job(command=["true"], parameters={"nodse": 1}))
        assert not executor.list()
        assert not list((executor.journal.home / "jobs").glob("*"))

    def test_a_refused_job_leaves_nothing_behind(self, executor: BatchSchedulerExecutor) -> None:
        with pytest.raises((InvalidRequest, Rejected)) as caught:
            executor.submit(Job(command=["true"], queue="nope"))
        assert "nope" in str(caught.value) or getattr(caught.value, "limit", "") == "queue"
        assert caught.value.hint
        assert not executor.journal.entries()
        assert not list((executor.journal.home / "jobs").glob("*"))

    def test_a_template_shows_every_parameter(self, executor: BatchSchedulerExecutor) -> None:
        sentinel_check(executor.platform.template_class, values=self.samples)

    # ---- life ----------------------------------------------------------------------------------------------

    def test_cancelling_a_running_job_ends_all_its_processes(self, executor: BatchSchedulerExecutor) -> None:
        mark = f"mark-{uuid.uuid4().hex}"
        job = executor.submit(shell(f"(exec -a {mark} sleep 300) & (exec -a {mark} sleep 300); wait"))
        comes_true(lambda: len(processes(mark)) >= 2)
        assert job.cancel()
        assert ended(job) is JobState.CANCELED
        comes_true(lambda: not processes(mark))
        assert not job.cancel()

    def test_a_held_job_starts_when_it_is_released(self, executor: BatchSchedulerExecutor) -> None:
        needs(executor, "hold")
        job = executor.submit(Job(command=["true"], hold=True))
        status = executor.status([job.id], urgent=True)[0]
        assert status.state is JobState.QUEUED
        executor.release([job.id])
        assert ended(job) is JobState.COMPLETED

    def test_a_queued_job_can_be_cancelled(self, executor: BatchSchedulerExecutor) -> None:
        needs(executor, "hold")
        job = executor.submit(Job(command=["true"], hold=True))
        assert job.cancel()
        assert ended(job) is JobState.CANCELED
        assert not (job.folder / "claim").is_symlink()

    def test_a_dependent_job_waits_for_the_first(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        needs(executor, "after")
        first = executor.submit(shell("sleep 1; echo first >>log", directory=tmp_path))
        second = executor.submit(shell("echo second >>log", directory=tmp_path, after=[first.id]))
        assert ended(second) is JobState.COMPLETED
        assert (tmp_path / "log").read_text() == "first\nsecond\n"

    def test_a_dependency_that_can_never_be_met_is_refused(self, executor: BatchSchedulerExecutor) -> None:
        first = executor.submit(Job(command=["false"]))
        ended(first)
        with pytest.raises(InvalidRequest, match="never start"):
            executor.submit(Job(command=["true"], after=[first.id]))

    def test_a_job_cancelled_while_it_waits_for_another_was_cancelled_and_no_more(
        self, executor: BatchSchedulerExecutor
    ) -> None:
        needs(executor, "hold", "after")
        first = executor.submit(Job(command=["true"], hold=True))
        second = executor.submit(Job(command=["true"], after=[first.id]))
        executor.status([second.id], urgent=True)
        assert second.cancel()
        status = second.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.CANCELED, None)
        first.cancel()

    def test_a_job_that_somebody_else_kills_while_it_waits_is_cancelled(
        self, executor: BatchSchedulerExecutor
    ) -> None:
        needs(executor, "hold")
        hasty = self._hasty(executor)
        witness = hasty.submit(Job(command=["true"], hold=True))
        job = hasty.submit(Job(command=["true"], hold=True))
        hasty.status([witness.id, job.id], urgent=True)
        executor.scheduler.qdel([job.native_id])  # by the manager's own command: we are not told
        status = job.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.CANCELED, None)
        witness.cancel()

    def test_a_strangers_job_with_our_id_is_left_alone(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        """The manager lost its books, has counted from 1 again, and somebody's job has the id of ours."""
        script = tmp_path / "theirs.sh"
        script.write_text("#!/bin/bash\nsleep 300\n")
        script.chmod(0o700)
        theirs = executor.scheduler.qsub(script)
        hasty = self._hasty(executor)
        ours = hasty.submit(shell("sleep 2"))
        comes_true(lambda: hasty.status([ours.id], urgent=True)[0].state is JobState.ACTIVE)  # seen, with its tag
        ended(ours)
        journal = hasty.journal
        job_id, folder = journal.new_folder()
        entry = journal.intend(replace(journal.get(ours.id), id=job_id, place=str(folder), native="", ended={}))
        entry = journal.commit(entry, theirs)
        journal.born({job_id: entry.committed - 3600})
        try:
            hasty.cancel([job_id])
            comes_true(lambda: hasty.status([job_id], urgent=True)[0].final)
            status = hasty.status([job_id])[0]
            assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)
            record = executor.scheduler.qstat(lambda seen: [theirs]).of(theirs)
            assert record is not None
            assert not record.status.final
        finally:
            executor.scheduler.qdel([theirs])

    @staticmethod
    def _hasty(executor: BatchSchedulerExecutor) -> BatchSchedulerExecutor:
        """One that waits not long for a job that its manager does not know."""
        return BatchSchedulerExecutor(executor.platform, poll_s=executor.snapshot.interval_s, grace_s=1.0)

    def test_notices_around_the_id_are_no_ids(
        self, executor: BatchSchedulerExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not executor.scheduler.commands:
            pytest.skip(f"the {executor.platform.name} platform has no submit command")
        name = executor.scheduler.submit_argv(tmp_path / "script.sh")[0]
        shim = tmp_path / name
        shim.write_text(
            f'#!/bin/bash\necho "Welcome to head7."\necho "Down on 2026.11"\n{shutil.which(name)} "$@"\nrc=$?\n'
            'echo "Balance 5.5; 2 jobs left"\nexit $rc\n'
        )
        shim.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        job = executor.submit(shell("echo $PSIJ_NATIVE_ID"))
        assert executor.scheduler.same_id(job.result(PATIENCE_S).strip(), job.native_id)
        assert len(executor.journal.entries()) == 1
        assert not executor.journal.get(job.id).twins

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
        first, last = executor.status([f"{whole.id}_0", f"{whole.id}_3"])
        assert status.started == min((each.started for each in (first, last) if each.started), default=None)
        assert status.ended == max((each.ended for each in (first, last) if each.ended), default=None)
        told = [each.nodes for each in (first, last) if each.nodes]
        assert set(expand(status.nodes) if told else ()) == {name for text in told for name in expand(text)}

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

    # ---- knowing -------------------------------------------------------------------------------------------

    def test_another_executor_knows_the_job(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(Job(command=["echo", "x"]))
        other = BatchSchedulerExecutor(executor.platform, poll_s=executor.snapshot.interval_s)
        assert other.wait([job.native_id], PATIENCE_S)
        assert other.submission(job.id).result() == "x\n"

    def test_a_job_that_was_not_submitted_by_us_can_be_attached(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        script = tmp_path / "theirs.sh"
        script.write_text("#!/bin/bash\nsleep 1\nexit 5\n")
        script.chmod(0o700)
        attached = executor.attach(executor.scheduler.qsub(script))
        status = attached.wait(PATIENCE_S)
        assert (status.state, status.exit_code) == (JobState.FAILED, 5)

    def test_attached_four_times_at_one_instant_it_is_one_job(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        script = tmp_path / "theirs.sh"
        script.write_text("#!/bin/bash\nsleep 2\n")
        script.chmod(0o700)
        native = executor.scheduler.qsub(script)
        others = [BatchSchedulerExecutor(executor.platform, poll_s=executor.snapshot.interval_s) for _ in range(4)]
        with ThreadPoolExecutor(4) as threads:
            made = list(threads.map(lambda each: each.attach(native).id, others))
        assert len(set(made)) == 1
        assert list(executor.journal.entries()) == [made[0]]
        assert ended(executor.submission(made[0])) is JobState.COMPLETED

    def test_an_attached_job_is_known_as_it_was_found(self, executor: BatchSchedulerExecutor) -> None:
        needs(executor, "hold")
        job = executor.submit(Job(command=["true"], hold=True))
        executor.journal.forget([job.id])  # as if from another state directory
        executor.status([executor.submit(Job(command=["true"])).id], urgent=True)  # a fresh snapshot without it
        attached = executor.attach(job.native_id)
        status = attached.status()
        assert attached.id != job.id
        assert (status.state, status.held) == (JobState.QUEUED, True)
        attached.cancel()

    def test_an_unknown_id_is_said_to_be_unknown(self, executor: BatchSchedulerExecutor) -> None:
        with pytest.raises(UnknownJob):
            executor.status(["nosuchjob"])
        with pytest.raises(UnknownJob):
            executor.attach("999999")

    def test_list_knows_a_job_that_was_just_submitted(self, executor: BatchSchedulerExecutor) -> None:
        needs(executor, "hold")
        job = executor.submit(Job(command=["true"], hold=True))
        assert job.id in [each.id for each in executor.list()]
        job.cancel()

    def test_callbacks_tell_each_state_in_order(self, executor: BatchSchedulerExecutor) -> None:
        seen: list[JobState] = []
        lock = threading.Lock()

        def note(submission: Submission, status: JobStatus) -> None:
            with lock:
                seen.append(status.state)

        stop = executor.on_status(note)
        executor.submit(shell("sleep 1"))
        comes_true(lambda: JobState.COMPLETED in seen)
        stop()
        assert seen == sorted(seen)

    def test_states_never_go_back(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(shell("sleep 0.5"))
        seen: list[JobState] = []

        def note(statuses: Sequence[JobStatus]) -> bool:
            seen.append(statuses[0].state)
            return statuses[0].final

        executor.wait_until(executor.journal.find([job.id]), note, timeout=PATIENCE_S)
        assert seen == sorted(seen)
        assert seen[-1] is JobState.COMPLETED

    # ---- privacy -------------------------------------------------------------------------------------------

    def test_folders_and_files_are_the_owners_alone(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(shell("sleep 0.2", environment={"SECRET": "x"}))
        ended(job)
        for root, folders, files in os.walk(executor.journal.home):
            for name in folders:
                assert stat.S_IMODE((Path(root) / name).stat().st_mode) & 0o077 == 0, name
            for name in set(files) - {"manager.log"}:  # which the manager makes, inside our folder
                path = Path(root) / name
                assert path.is_symlink() or stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert stat.S_IMODE(executor.journal.home.stat().st_mode) == 0o700

    def test_a_secret_value_is_in_no_argv_and_no_repr(self, executor: BatchSchedulerExecutor) -> None:
        secret = f"secret-{uuid.uuid4().hex}"
        job = shell("sleep 1", environment={"SECRET": secret})
        submission = executor.submit(job)
        assert secret not in repr(job) + repr(submission) + executor.render(job)
        assert secret not in (submission.folder / "script.sh").read_text()
        comes_true(lambda: submission.status().state >= JobState.ACTIVE)
        assert not processes(secret)
        ended(submission)
