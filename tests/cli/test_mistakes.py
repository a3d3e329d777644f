"""What a person most likely meant otherwise: remarks that cost nothing, and refusals that name the way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psij_parsl.cli.job_warnings import warnings
from psij_parsl.job import Job
from psij_parsl.jobs.journal import Journal
from psij_parsl.jobs.record import JobRecord
from psij_parsl.states import JobState, JobStatus
from tests.cli.helpers import one_sentence_and_a_hint, psij, psij_here


@pytest.fixture
def stranger(home: Path) -> str:
    """An open job of a platform that is not installed any more."""
    journal = Journal(home)
    job_id, folder = journal.new_folder()
    journal.commit(journal.intend(JobRecord(job_id, "toyq", str(folder), name="stranger")), "1")
    return job_id


def test_a_job_script_runs_once_unless_it_asks_otherwise(here: Path) -> None:
    script = here / "job.sh"
    script.write_text("#!/bin/sh\n#PSIJ -n 3\necho ran\n")
    assert psij("run", str(script)).stdout == "ran\n"
    script.write_text("#!/bin/sh\n#PSIJ -n 3 --mode serial\necho ran\n")
    assert psij("run", str(script)).stdout == "ran\n" * 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-D", "/no/such/place"), "no directory /no/such/place here"),
        (("-i", "nofile"), "no input file"),
        (("-o", "/no/such/place/out"), "no directory /no/such/place here"),
        (("-o", "."), "is a directory"),
        (("-o", "out.%q"), "%q in out.%q is not replaced"),
    ],
)
def test_files_that_are_not_here_are_remarked_on(words: tuple[str, ...], said: str) -> None:
    done = psij_here("submit", "--hold", *words, "--", "true")
    assert done.returncode == 0
    assert said in done.stderr


@pytest.mark.parametrize("flag", ["-o", "-e"])
def test_a_job_whose_output_has_no_directory_says_so(here: Path, flag: str) -> None:
    done = psij("run", flag, "out/x.txt", "--", "true")
    assert done.returncode == 125
    assert f"mkdir -p {here}/out\n" in done.stderr
    assert "the directory of its output file is not there" in done.stderr
    assert f"psij: there is no directory {here}/out on " in done.stderr
    assert "functions.sh" not in done.stderr


def test_lines_of_other_managers_and_misspelt_ones_are_remarked_on(here: Path) -> None:
    script = here / "job.sh"
    script.write_text("#!/bin/sh\n#MSUB -N 2\n#MSUB -t 5\n#PSIJ-t 5\n# PSIJ -t 6\n#PSIJ -t 7\ntrue\n#PBS -q x\n")
    said = psij_here("submit", "--hold", str(script)).stderr.splitlines()
    assert [line.partition("line ")[2][:2] for line in said] == ["2:", "4:", "5:"]
    script.write_text("#!/bin/sh\n#SBATCH -n 2\ntrue\n#SBATCH -t 5\n")
    (remark,) = psij_here("submit", "--hold", str(script)).stderr.splitlines()
    assert remark == f"psij-run: {script}: line 4 below the first command, where sbatch reads no options"
    script.chmod(0o755)
    assert psij_here("submit", "--hold", "--", "true").stderr == ""


@pytest.mark.parametrize(
    ("line", "remarked"),
    [
        ("#psij -N 2", True),
        ("#  psij --nodes 2", True),
        ("#PSIJ--nodes 2", True),
        ("#PSIJ-N2", True),
        ("#PSIJ-qdebug", True),
        ("#PSIJ: -N 2", True),
        ("#PSIJS -N 2", True),
        ("# psij", True),
        ("# psij-run submit x.sh", False),
        ("#psij-run submit -N 2 x.sh", False),
        ("# PSIJ-run submit -N 2 x.sh", False),
        ("# psij-parsl -N 2", False),
        ("# psij takes -N 2", False),
        ("# psij - a note", False),
    ],
)
def test_a_comment_that_speaks_of_us_is_no_misspelt_line(here: Path, line: str, remarked: bool) -> None:
    script = here / "job.sh"
    script.write_text(f"#!/bin/sh\n{line}\ntrue\n")
    said = list(warnings(Job(command=["true"]), str(script)))
    assert said == ([f"{script}, line 2: not a #PSIJ line, which begins with #PSIJ and a blank"] if remarked else [])


@pytest.mark.parametrize("begin", ["#!/bin/sh\n#PSIJ -t 7\n", "#!/bin/sh\n\n", "#PSIJ -t 7\n# a comment\n"])
def test_lines_after_the_first_command_are_remarked_on(here: Path, begin: str) -> None:
    script = here / "job.sh"
    script.write_text(f"{begin}true\n#PSIJ -N 2\n#PSIJ -q x\n")
    said = f"psij-run: {script}, line 4: a #PSIJ line after the first command is not read, and 1 more\n"
    script.chmod(0o755)
    done = psij_here("submit", "--hold", str(script))
    assert (done.returncode, done.stderr) == (0, said)
    assert psij_here("submit", "--hold", "--", str(script)).stderr == said


def test_a_line_of_shell_as_one_word_is_told_how_it_is_said() -> None:
    assert "-- bash -c" in psij_here("submit", "--hold", "--", "echo hi; true").stderr


@pytest.mark.parametrize("option", ["--qos", "--constraint=gpu", "--gres"])
def test_a_managers_parameter_typed_as_a_flag_is_told_how_it_is_said(option: str) -> None:
    done = psij_here("submit", option, "x", "--", "true")
    assert done.returncode == 2
    assert f"-X {option[2:].partition('=')[0]}=VALUE" in done.stderr


def test_a_launcher_that_there_is_not_is_refused_for_one_rank_too() -> None:
    done = psij_here("submit", "--launcher", "foo", "--", "true")
    assert done.returncode == 3
    one_sentence_and_a_hint(done)


def test_a_job_of_one_manager_cannot_come_after_one_of_another(stranger: str) -> None:
    done = psij_here("submit", "-d", f"afterany:{stranger}", "--", "true")
    assert done.returncode == 2
    assert f"job {stranger} belongs to toyq" in done.stderr
    one_sentence_and_a_hint(done)


def test_a_job_whose_platform_is_gone_keeps_nobody_from_the_others(stranger: str, home: Path) -> None:
    job = psij_here("submit", "--hold", "--", "true").stdout.strip()
    done = psij_here("cancel", "all")
    assert done.returncode == 3
    assert f"asked to cancel {job}" in done.stderr
    assert f"nothing was done about {stranger}" in done.stderr
    assert psij_here("wait", job).returncode == 143
    assert psij_here("wait", "all").returncode == 125
    assert "has not ended" in psij_here("clean", stranger).stderr
    done = psij_here("clean", "--force", stranger)
    assert done.returncode == 0
    assert done.stdout.startswith("forgot 1 job that had not ended (toyq still has it as 1), ")
    assert stranger not in Journal(home).entries()


def test_a_managers_id_that_two_have_given_is_remarked_on(stranger: str, home: Path) -> None:
    Journal(home).end({(stranger, ""): JobStatus(JobState.COMPLETED)})
    assert psij_here("info", "1").stderr == ""
    job = psij("submit", "--", "true").stdout.strip()
    said = f"psij-run: 1 is taken to be job {job} (local), and not {stranger} (toyq)\n"
    assert psij_here("status", "1").stderr == said  # as long as it is open, too
    assert psij("wait", job).returncode == 0
    done = psij_here("info", "1")
    assert (job in done.stdout, done.stderr) == (True, said)


def test_a_beginning_that_is_too_short_is_told_how_long_it_must_be(stranger: str) -> None:
    for few in (1, 3):
        done = psij_here("status", stranger[:few])
        assert done.returncode == 2
        assert "must have at least 4 letters" in one_sentence_and_a_hint(done)[0]
    assert "letters" not in psij_here("status", "zzz").stderr
    assert psij_here("status", stranger[:9]).returncode == 0


def test_clean_by_force_tells_what_goes_on() -> None:
    held = psij_here("submit", "--hold", "--", "true").stdout.strip()
    native = json.loads(psij_here("status", held, "--json").stdout)[0]["native_id"]
    ended = psij("submit", "--", "true").stdout.strip()
    assert psij("wait", ended).returncode == 0
    done = psij_here("clean", "--dry-run", "--force", held, ended)
    still = f"1 job that had not ended (local still has it as {native}), "
    assert done.stdout.startswith(f"would remove 1 ended job and would forget {still}")
    told = json.loads(psij_here("clean", "--force", "--json", held, ended).stdout)
    assert (told["removed"], told["not_ended"]) == (sorted([held, ended]), {held: native})


def test_clean_sees_ends_that_nobody_has_seen() -> None:
    job = psij("submit", "--", "true").stdout.strip()
    assert psij("wait", psij("submit", "-d", f"afterany:{job}", "--", "true").stdout.strip()).returncode == 0
    told = json.loads(psij("clean", "--older-than", "0", "--json").stdout)
    assert job in told["removed"]
