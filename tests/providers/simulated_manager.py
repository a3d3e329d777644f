"""A test class that each simulated manager's tests subclass: servers that are down, hang or forget, odd answers.

A subclass names the platform, what differs between the managers, and the fixture by which it gets the server:

    class TestFaults(SimulatedFaults):
        platform = "lsf"
        submits, cancels = ("bsub",), ("bkill",)
        ...

        @pytest.fixture
        def server(self, lsf: Simulated) -> Simulated:
            return lsf
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState, Submission
from psij_parsl.errors import Ambiguous, InvalidRequest, Unavailable
from psij_parsl.system.commands import CommandRunner, Output, RunningCommand
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, needs, shell
from tests.simulated.server import Simulated

Executor = Callable[..., BatchSchedulerExecutor]

#: A test with one of these arguments is run with each value of the class's attribute.
_EACH_OF = {
    "words": "errors_after_taking",
    "cut": "cuts",
    "form": "other_forms",
    "unknown": "unknown_states",
    "damage": "damages",
    "notice": "notices",
}


class OnSimulatedManager:
    """What the classes below share."""

    platform: ClassVar[str]
    #: The first words of the command lines that submit and that cancel.
    submits: ClassVar[tuple[str, ...]] = ("qsub",)
    cancels: ClassVar[tuple[str, ...]] = ("qdel",)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for argument, attribute in _EACH_OF.items():
            if argument in metafunc.fixturenames:
                values = getattr(self, attribute)
                metafunc.parametrize(argument, values, ids=[repr(value)[:40] for value in values])

    @pytest.fixture
    def make(self, server: Simulated) -> Executor:
        return partial(BatchSchedulerExecutor, self.platform, poll_s=0.1)

    @pytest.fixture
    def executor(self, make: Executor) -> BatchSchedulerExecutor:
        return make(grace_s=0.5, settle_s=0.5)

    @pytest.fixture
    def log(self, tmp_path: Path) -> Path:
        """Where each execution of a job leaves a line."""
        return tmp_path / "log"


class ServerFaults(OnSimulatedManager):
    """The server is down, hangs, is deaf, or breaks off: no job is lost, none runs twice."""

    #: What the submit command says when the server is down, as a pattern, and what our hint then names.
    down: ClassVar[str]
    down_hint: ClassVar[str] = ""
    #: What the submit command prints in place of the id of a job that the server has taken.
    errors_after_taking: ClassVar[Sequence[str]]

    @contextmanager
    def impatient(
        self, executor: BatchSchedulerExecutor, seconds: float, handed_over: Callable[[], object] = lambda: True
    ) -> Iterator[None]:
        """Each command is ended after so long; one that submits gets that time from when its script is handed over."""
        assert isinstance(executor.scheduler.run, CommandRunner)
        start = executor.scheduler.run.start

        def started(argv: Sequence[str], **settings: Any) -> RunningCommand:
            command = start(argv, **settings)
            if tuple(argv[: len(self.submits)]) == self.submits and tuple(argv) not in executor.scheduler.probes:
                comes_true(handed_over)
            return command

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(executor.scheduler, "submit", partial(executor.scheduler.submit, timeout_s=seconds))
            patch.setattr(executor.scheduler.run, "timeout_s", seconds)
            patch.setattr(executor.scheduler.run, "start", started)
            yield

    def test_a_server_that_is_down_leaves_states_as_they_were(
        self, executor: BatchSchedulerExecutor, server: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("psij_parsl.platforms.scheduler.backoff", lambda **settings: iter(()))
        job = executor.submit(shell(f"until [ -e {tmp_path}/go ]; do sleep 0.2; done; exit 3"))
        held = executor.submit(Job(command=["true"], hold=True))
        comes_true(lambda: job.status().state is JobState.ACTIVE)
        server.control(server="down")
        with pytest.raises(Unavailable, match=self.down) as caught:
            executor.submit(Job(command=["true"]))
        assert caught.value.hint
        assert self.down_hint in caught.value.hint
        assert set(executor.journal.entries()) == {job.id, held.id}
        assert job.status().state is JobState.ACTIVE
        for change in (job.cancel, held.cancel, lambda: executor.release([held.id])):
            with pytest.raises(Unavailable):
                change()
        with pytest.raises((Unavailable, InvalidRequest)):
            executor.hold([job.id])
        server.control(server="up")
        (tmp_path / "go").touch()
        assert job.wait(PATIENCE_S).exit_code == 3
        assert held.status().state is JobState.QUEUED
        held.cancel()

    def test_a_submission_to_a_server_that_is_down_is_tried_again(
        self, executor: BatchSchedulerExecutor, server: Simulated
    ) -> None:
        def heal() -> None:
            comes_true(lambda: len(_calls(server, self.submits)) > 1)
            server.control(server="up")

        server.control(server="down")
        healing = threading.Thread(target=heal)
        healing.start()
        job = executor.submit(Job(command=["true"]))
        healing.join()
        assert ended(job) is JobState.COMPLETED
        assert server.taken() == 1

    def test_a_submission_to_a_hung_server_is_found_when_it_wakes_up_and_runs_once(
        self, make: Executor, server: Simulated, log: Path
    ) -> None:
        def wake() -> None:
            comes_true(lambda: server.calls() and not _calls(server, self.submits, since=-1))  # now it is looked for
            server.control(server="up")

        executor = make(settle_s=3.0)
        server.control(server="hung")
        waking = threading.Thread(target=wake)
        waking.start()
        with self.impatient(executor, 0.7, handed_over=server.unread):
            job = executor.submit(shell(f"echo x >>{log}"))
        waking.join()
        assert ended(job) is JobState.COMPLETED
        assert log.read_text() == "x\n"
        assert len(_calls(server, self.submits)) == server.taken() == 1

    def test_a_server_that_stays_hung_leaves_the_job_in_the_journal(
        self, make: Executor, server: Simulated, log: Path
    ) -> None:
        executor = make(settle_s=0.5, patience_s=1.5)
        server.control(server="hung")
        with self.impatient(executor, 0.3, handed_over=server.unread), pytest.raises(Ambiguous):
            executor.submit(shell(f"echo x >>{log}"))
        [entry] = executor.journal.entries().values()
        server.control(server="up")
        assert executor.wait([entry.id], PATIENCE_S)
        assert executor.status([entry.id])[0].state is JobState.COMPLETED
        assert log.read_text() == "x\n"
        assert server.taken() == 1

    def test_a_submission_that_a_deaf_server_never_heard_of_has_failed_in_the_end(
        self, make: Executor, server: Simulated, log: Path
    ) -> None:
        """Although the process that submitted it lives on: this one."""
        executor = make(settle_s=0.1, patience_s=1.5)
        server.control(server="deaf")
        with self.impatient(executor, 0.3), pytest.raises(Ambiguous):
            executor.submit(shell(f"echo x >>{log}"))
        [entry] = executor.journal.entries().values()
        server.control(server="up")
        assert executor.wait([entry.id], PATIENCE_S)
        [status] = executor.status([entry.id])
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
        assert not log.exists()
        assert server.taken() == 0

    def test_an_error_after_the_job_was_taken_makes_one_record_and_one_execution(
        self, executor: BatchSchedulerExecutor, server: Simulated, log: Path, words: str
    ) -> None:
        server.control(broken=words)
        job = executor.submit(shell(f"echo x >>{log}; sleep 1"))
        server.control(broken="")
        assert ended(job) is JobState.COMPLETED
        assert log.read_text() == "x\n"
        assert (server.taken(), len(executor.journal.entries())) == (1, 1)
        assert not _calls(server, self.cancels)


class OddAnswers(OnSimulatedManager):
    """An answer that is cut short, odd or damaged tells nothing wrong, and nothing about other jobs."""

    #: After so many bytes the answer to a query ends, and what is then said of it, as a pattern.
    cuts: ClassVar[Sequence[int]]
    cut_short: ClassVar[str] = "cut short"
    #: Answers that are whole, and yet are none.
    other_forms: ClassVar[Sequence[str]]
    #: The manager's words for states that no table of ours knows.
    unknown_states: ClassVar[Sequence[str]]
    #: What a record may have in it, as the simulated manager's setting `spoil` has it.
    damages: ClassVar[Sequence[str]]
    #: Answers of the submit command, {id} being its usual one.
    notices: ClassVar[Sequence[str]]

    @pytest.fixture
    def held(self, executor: BatchSchedulerExecutor, server: Simulated) -> Iterator[Submission]:
        """A job that waits."""
        job = executor.submit(Job(command=["true"], hold=True))
        yield job
        server.control(truncate=0, spoil={}, state={})
        job.cancel()

    def test_an_answer_that_is_cut_short_is_no_answer(
        self, executor: BatchSchedulerExecutor, server: Simulated, held: Submission, cut: int
    ) -> None:
        server.control(truncate=cut)
        with pytest.raises(Unavailable, match=self.cut_short):
            executor.scheduler.qstat(lambda seen: [held.native_id])
        assert executor.status([held.id], urgent=True)[0].state is JobState.QUEUED

    def test_a_document_of_another_form_is_no_answer(
        self, executor: BatchSchedulerExecutor, held: Submission, monkeypatch: pytest.MonkeyPatch, form: str
    ) -> None:
        with monkeypatch.context() as patch:
            answering(executor, form, patch)
            with pytest.raises(Unavailable):
                executor.scheduler.qstat(lambda seen: [held.native_id])
            assert executor.status([held.id], urgent=True)[0].state is JobState.QUEUED

    def test_an_unknown_state_changes_nothing_and_is_said_once(
        self, executor: BatchSchedulerExecutor, server: Simulated, caplog: pytest.LogCaptureFixture, unknown: str
    ) -> None:
        job = executor.submit(shell("sleep 60"))
        comes_true(lambda: job.status().state is JobState.ACTIVE)
        server.control(state={job.native_id: unknown})
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert executor.status([job.id], urgent=True)[0].state is JobState.ACTIVE
        assert len([line for line in caplog.messages if f"'{unknown}'" in line]) == 1
        server.control(state={})
        job.cancel()
        assert ended(job) is JobState.CANCELED

    def test_a_damaged_record_harms_at_most_its_own_job(
        self, executor: BatchSchedulerExecutor, server: Simulated, held: Submission, damage: str
    ) -> None:
        """As long as the answer has any other record that can be read."""
        other, witness = (executor.submit(Job(command=["true"], hold=True)) for _ in range(2))
        server.control(spoil={held.native_id: damage})
        answer = executor.scheduler.qstat(lambda seen: ())
        record = answer.of(held.native_id)
        assert record is None or (record.status.state, record.status.held) == (JobState.QUEUED, True)
        odd, sound = executor.status([held.id, other.id], urgent=True)
        assert (odd.state, sound.state, sound.held) == (JobState.QUEUED, JobState.QUEUED, True)
        executor.release([other.id])
        assert ended(other) is JobState.COMPLETED
        odd, sound = executor.status([held.id, witness.id], urgent=True)
        assert (odd.state, sound.state) == (JobState.QUEUED, JobState.QUEUED)
        witness.cancel()

    def test_notices_around_the_id_are_no_ids(
        self, executor: BatchSchedulerExecutor, server: Simulated, notice: str
    ) -> None:
        server.control(answer=notice)
        job = executor.submit(Job(command=["true"], hold=True))
        assert [*server.jobs()] == [job.native_id]
        executor.release([job.id])
        assert ended(job) is JobState.COMPLETED
        assert server.taken() == 1


class LostRecords(OnSimulatedManager):
    """The manager forgets jobs, or gives their ids to others'."""

    #: Lines that a script of somebody else's has to have.
    script_options: ClassVar[str] = ""

    def test_without_history_the_exit_file_tells_the_end(
        self, executor: BatchSchedulerExecutor, server: Simulated
    ) -> None:
        server.control(history=False)
        good, bad = executor.submit(Job(command=["true"])), executor.submit(shell("exit 3"))
        assert ended(good) is JobState.COMPLETED
        status = bad.wait(PATIENCE_S)
        assert (status.state, status.exit_code) == (JobState.FAILED, 3)

    def test_without_history_the_exit_files_tell_the_ends_of_an_array(
        self, executor: BatchSchedulerExecutor, server: Simulated
    ) -> None:
        needs(executor, "array")
        server.control(history=False)
        many = executor.submit(shell("exit $PSIJ_ARRAY_INDEX", array=(0, 1, 2)))
        assert many.wait(PATIENCE_S).message == "1 COMPLETED, 2 FAILED"

    @pytest.mark.parametrize("hold", [True, False], ids=["held", "running"])
    def test_without_history_a_job_that_we_cancelled_is_cancelled(
        self, executor: BatchSchedulerExecutor, server: Simulated, hold: bool
    ) -> None:
        server.control(history=False)
        job = executor.submit(shell("sleep 60", hold=hold))
        if not hold:
            comes_true(lambda: job.status().state is JobState.ACTIVE)
        job.cancel()
        status = job.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.CANCELED, None)

    def test_a_job_that_the_manager_has_forgotten_is_lost_not_completed(
        self, executor: BatchSchedulerExecutor, server: Simulated
    ) -> None:
        job = executor.submit(Job(command=["true"], hold=True))
        assert executor.status([job.id], urgent=True)[0].held
        server.forget(job.native_id)
        status = job.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)

    def test_a_strangers_job_with_our_id_is_neither_ours_nor_cancelled(
        self, executor: BatchSchedulerExecutor, server: Simulated, tmp_path: Path
    ) -> None:
        """The server lost its books, and counts from its first id again."""
        job = executor.submit(Job(command=["true"], hold=True))
        assert executor.status([job.id], urgent=True)[0].held
        server.lose_all()
        script = tmp_path / "theirs.sh"
        script.write_text(f"#!/bin/bash\n{self.script_options}sleep 60\n")
        script.chmod(0o700)
        theirs = executor.scheduler.qsub(script)
        assert executor.scheduler.same_id(theirs, job.native_id)
        server.change(theirs, submitted=time.time() + 60)  # and not at the same second
        job.cancel()
        status = job.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)
        assert not job.cancel()
        assert not _calls(server, self.cancels)
        assert server.jobs()[theirs]["state"] == server.manager.RUNNING


def answering(executor: BatchSchedulerExecutor, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each of the manager's commands print that text from now on."""

    def run(argv: Sequence[str], **settings: object) -> Output:
        return Output(tuple(argv), 0, text, "")

    monkeypatch.setattr(executor.scheduler, "run", run)


def _calls(server: Simulated, words: Sequence[str], *, since: int = 0) -> list[list[str]]:
    """The command lines so far, or from that one on, that begin with those words."""
    return [line for line in server.calls()[since:] if line[: len(words)] == [*words]]


class SimulatedFaults(ServerFaults, OddAnswers, LostRecords):
    """All that can go wrong with a manager."""
