"""Hostile values on managers that really run jobs: each comes back as it was given, or is refused by a named rule.

One job per value carries it in every place at once: as argument, in the environment, as directory, output file and
name. What the job itself saw comes back as JSON, so that no shell stands between the value and the check. Each
place is a test of its own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState, Submission
from psij_parsl.errors import Error, InvalidRequest, Rejected
from psij_parsl.testing.tools import PATIENCE_S
from tests.clusters.slurm import SlurmCluster

VALUES: Mapping[str, str] = {
    "blank": "a b",
    "blanks around": " a ",
    "single quote": "it's",
    "double quote": 'say "x"',
    "dollar": "$HOME",
    "substitution": "$(id)`id`",
    "semicolon": "a;b",
    "backslash": "a\\b",
    "two backslashes": "a\\\\b",
    "trailing backslash": "tail\\",
    "hash": "#",
    "comment": "a #b",
    "directive": "#SBATCH -N 99",
    "percent": "%j",
    "two percents": "100%%",
    "backslash and percent": "a\\b%j",
    "comma": "a,b",
    "newline": "a\nb",
    "trailing newline": "a\n",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "non-ASCII": "né €",
    "glob": "*[a-z]?",
    "tilde": "~",
    "option": "-rf",
    "redirection": "a>b&",
    "braces": "{{x}}{% y %}",
    "exclamation": "hey!!",
}
CELLS = [pytest.param(value, id=name) for name, value in VALUES.items()]

PROBE = """
import json, os, sys
json.dump({"argument": sys.argv[1:], "environment": os.environ.get("HOSTILE"), "directory": os.getcwd(),
           "output": os.readlink("/proc/self/fd/1")}, sys.stdout)
"""


@dataclass
class Sight:
    """One value's job, and what it saw."""

    submission: Submission
    directory: Path
    output: Path
    state: JobState = JobState.NEW
    saw: Mapping[str, Any] = field(default_factory=dict)


class Places:
    """The matrix; subclasses name the platform."""

    platform = ""

    @pytest.fixture(scope="class")
    @classmethod
    def sights(cls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
        """Filled by the first test that asks: submitting all and waiting once is what makes this quick."""
        return {"root": tmp_path_factory.mktemp("hostile"), "home": tmp_path_factory.mktemp("state")}

    @pytest.fixture
    def executor(self) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor(self.platform, poll_s=0.5)

    @pytest.fixture
    def seen(self, executor: BatchSchedulerExecutor, sights: dict[str, Any]) -> Mapping[str, Sight]:
        if "single" not in sights:
            with self._own_home(sights) as own:
                jobs = [self._job(sights["root"] / "single", value) for value in VALUES.values()]
                sights["single"] = _look(own, jobs, [own.submit(job) for job in jobs])
        return sights["single"]  # type: ignore[no-any-return]

    @pytest.fixture
    def seen_in_array(self, executor: BatchSchedulerExecutor, sights: dict[str, Any]) -> Mapping[str, Sight]:
        if "array" not in sights:
            with self._own_home(sights) as own:
                jobs = [self._job(sights["root"] / "array", value) for value in VALUES.values()]
                sights["array"] = _look(own, jobs, own.submit_many(jobs))
        return sights["array"]  # type: ignore[no-any-return]

    @contextmanager
    def _own_home(self, sights: Mapping[str, Any]) -> Iterator[BatchSchedulerExecutor]:
        """The jobs outlive the test that submits them, so their state directory does, too."""
        yield BatchSchedulerExecutor(self.platform, home=sights["home"], poll_s=0.5)

    @staticmethod
    def _job(root: Path, value: str) -> Job:
        directory = root / f"in {value}"
        directory.mkdir(parents=True)
        return Job(
            command=[sys.executable, "-c", PROBE, value, value],
            name=value,
            directory=directory,
            stdout=root / f"out {value}",
            stderr=root / f"err {value}",
            environment={"HOSTILE": value},
        )

    # ---- what the job saw ----------------------------------------------------------------------------------

    @pytest.mark.parametrize("value", CELLS)
    def test_an_argument_arrives_unchanged(self, seen: Mapping[str, Sight], value: str) -> None:
        assert seen[value].saw["argument"] == [value, value]

    @pytest.mark.parametrize("value", CELLS)
    def test_an_environment_value_arrives_unchanged(self, seen: Mapping[str, Sight], value: str) -> None:
        assert seen[value].saw["environment"] == value

    @pytest.mark.parametrize("value", CELLS)
    def test_the_job_stands_in_its_directory(self, seen: Mapping[str, Sight], value: str) -> None:
        assert seen[value].saw["directory"] == str(seen[value].directory)

    @pytest.mark.parametrize("value", CELLS)
    def test_the_output_goes_to_the_file_of_that_name(self, seen: Mapping[str, Sight], value: str) -> None:
        assert seen[value].saw["output"] == str(seen[value].output)
        assert seen[value].submission.stdout == seen[value].output
        assert (seen[value].output.parent / f"err {value}").read_text() == ""

    @pytest.mark.parametrize("value", CELLS)
    def test_our_record_keeps_the_name(self, seen: Mapping[str, Sight], sights: dict[str, Any], value: str) -> None:
        with self._own_home(sights) as own:
            again = own.submission(seen[value].submission.id)
        assert (seen[value].submission.name, again.name) == (value, value)
        assert seen[value].state is JobState.COMPLETED

    def test_no_output_file_came_up_under_another_name(self, seen: Mapping[str, Sight]) -> None:
        root = seen["#"].output.parent
        expected = {f"{what} {value}" for what in ("in", "out", "err") for value in VALUES.values()}
        assert {path.name for path in root.iterdir()} == expected

    @pytest.mark.parametrize("value", CELLS)
    def test_all_of_it_arrives_in_an_element_of_an_array(
        self, seen_in_array: Mapping[str, Sight], value: str
    ) -> None:
        sight = seen_in_array[value]
        assert sight.saw == {
            "argument": [value, value],
            "environment": value,
            "directory": str(sight.directory),
            "output": str(sight.output),
        }

    # ---- where our own files lie ---------------------------------------------------------------------------

    @pytest.fixture
    def spooled(self, sights: dict[str, Any]) -> Mapping[str, Any]:
        """A job for each value as the name of the spool directory: its folder, or the error that refused it."""
        if "spool" not in sights:
            found: dict[str, Any] = {}
            for value in VALUES.values():
                own = BatchSchedulerExecutor(
                    self.platform, home=sights["home"], spool=sights["root"] / "spool" / f"at {value}", poll_s=0.5
                )
                job = Job(command=["sh", "-c", 'printf %s "$PSIJ_JOB_FOLDER"'])
                found[value] = attempt(lambda own=own, job=job: own.submit(job))
            for submission in found.values():
                if isinstance(submission, Submission):
                    submission.wait(PATIENCE_S)
            sights["spool"] = found
        return sights["spool"]  # type: ignore[no-any-return]

    @pytest.mark.parametrize("value", CELLS)
    def test_the_jobs_folder_may_lie_anywhere(self, spooled: Mapping[str, Any], value: str) -> None:
        made = spooled[value]
        if isinstance(made, InvalidRequest):
            assert "manager.log" in made.message
            assert "control characters" in made.message
            assert re.search(r"[\n\r\t]", value)
            return
        assert made.status().state is JobState.COMPLETED
        assert (made.folder / "stdout").read_bytes() == os.fsencode(made.folder)

    # ---- what goes onto directive lines --------------------------------------------------------------------

    @pytest.mark.parametrize("value", CELLS)
    def test_a_project_is_charged_as_it_is_said_or_refused(
        self, executor: BatchSchedulerExecutor, value: str
    ) -> None:
        self._kept_or_refused(executor, value, "project", Job(command=["true"], project=value, hold=True))

    @pytest.mark.parametrize("value", CELLS)
    def test_a_queue_is_asked_for_as_it_is_said_or_refused(
        self, executor: BatchSchedulerExecutor, value: str
    ) -> None:
        self._kept_or_refused(executor, value, "queue", Job(command=["true"], queue=value, hold=True))

    def _kept_or_refused(self, executor: BatchSchedulerExecutor, value: str, name: str, job: Job) -> None:
        made = attempt(lambda: executor.submit(job))
        if isinstance(made, InvalidRequest):
            assert name in str(made)
            assert repr(value) in str(made)
            assert re.search(r"must be|must not|there must|eats|has no|cannot", str(made)), "which rule?"
        elif isinstance(made, Rejected):  # plain enough to be sent, and the manager knows none of that name
            assert made.limit == name
            assert re.fullmatch(r"[A-Za-z0-9._\-+:=@%/,~]+", value)
        else:
            assert self._told(executor, made, name) == value
            made.cancel()

    def _told(self, executor: BatchSchedulerExecutor, submission: Submission, name: str) -> object:
        """The value as the manager has it, or where it keeps none, our own record."""
        job = executor.journal.job(executor.journal.get(submission.id))
        return getattr(job, name)


class TestLocal(Places):
    platform = "local"

    def test_a_parameter_that_it_has_not_is_refused_whatever_it_is(self, executor: BatchSchedulerExecutor) -> None:
        for value in VALUES.values():
            with pytest.raises(InvalidRequest, match="no parameter 'mail_user'"):
                executor.submit(Job(command=["true"], parameters={"mail_user": value}))


class TestSlurm(Places):
    platform = "slurm"

    @pytest.fixture(autouse=True)
    def cluster(self, slurm_plain: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """One cluster for all cells: they leave nothing running. Without accounting it takes any account."""
        for name, value in slurm_plain.env.items():
            monkeypatch.setenv(name, value)

    @pytest.mark.parametrize("value", CELLS)
    def test_a_parameter_reaches_the_manager_or_is_refused(
        self, executor: BatchSchedulerExecutor, value: str
    ) -> None:
        job = Job(command=["true"], parameters={"mail_user": value, "mail_type": "BEGIN"}, hold=True)
        self._kept_or_refused(executor, value, "mail_user", job)

    @pytest.mark.parametrize("value", CELLS)
    def test_a_further_option_of_sbatch_cannot_bring_in_a_second_line(
        self, executor: BatchSchedulerExecutor, value: str
    ) -> None:
        plain = executor.render(Job(command=["true"])).splitlines()
        job = Job(command=["true"], parameters={"directives": [f"--wckey={value}"]})
        text = attempt(lambda: executor.render(job))
        if isinstance(text, InvalidRequest):
            assert "directives" in str(text)
            assert "plain characters" in str(text)
        else:
            fresh = [line for line in text.splitlines() if line not in plain]
            assert [shlex.split(line.removeprefix("#SBATCH ")) for line in fresh] == [[f"--wckey={value.strip()}"]]

    @pytest.mark.parametrize("value", CELLS)
    def test_the_manager_gets_a_plain_name(self, executor: BatchSchedulerExecutor, value: str) -> None:
        text = executor.render(Job(command=["true"], name=value))
        assert re.search(r"^#SBATCH --job-name=[A-Za-z][A-Za-z0-9_.-]*$", text, re.MULTILINE)

    def _told(self, executor: BatchSchedulerExecutor, submission: Submission, name: str) -> object:
        pattern = {"mail_user": r" MailUser=(.*?) MailType=", "project": r" Account=(.*?) QOS="}.get(name)
        if pattern is None:
            return super()._told(executor, submission, name)
        shown = subprocess.run(
            ["scontrol", "-o", "show", "job", submission.native_id], capture_output=True, text=True, check=True
        ).stdout
        found = re.search(pattern, shown)
        return found and found[1]


def attempt(call: Callable[[], Any]) -> Any:
    """What a call gives, or the error of ours that it raises."""
    try:
        return call()
    except Error as error:
        return error


def _look(executor: BatchSchedulerExecutor, jobs: list[Job], made: list[Submission]) -> dict[str, Sight]:
    """Wait for all, and read back what each job saw."""
    sights: dict[str, Sight] = {}
    for job, submission in zip(jobs, made, strict=True):
        assert job.directory is not None
        assert job.stdout is not None
        sight = sights[job.name] = Sight(submission, job.directory, job.stdout)
        sight.state = submission.wait(PATIENCE_S).state
        if os.path.exists(job.stdout):
            sight.saw = json.loads(job.stdout.read_text())
    return sights
