"""`psij-run` from outside, on the embedded platform: what each command answers, and how each mistake ends."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, JobState, JobStatus
from psij_parsl.cli.job_row import JobRow
from psij_parsl.jobs.record import JobRecord
from psij_parsl.system.processes import process_identity
from tests.cli.helpers import one_sentence_and_a_hint, psij, psij_here


def test_version_is_one_line() -> None:
    done = psij("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("psij-run ")


def test_no_words_at_all_show_the_help() -> None:
    done = psij()
    assert done.returncode == 0
    for command in ("run", "submit", "status", "platform", "site", "doctor"):
        assert f"\n  {command} " in done.stdout


def test_submit_prints_the_id_alone_and_the_job_can_be_followed_by_it() -> None:
    done = psij("submit", "-J", "greeting", "--", "sh", "-c", "echo hello; echo oops >&2")
    assert (done.returncode, done.stderr) == (0, "")
    job = done.stdout.strip()
    assert done.stdout == f"{job}\n"
    assert psij("wait", job).returncode == 0
    assert psij("logs", job).stdout == "hello\n"
    assert psij("logs", "--stderr", "last").stdout == "oops\n"
    row = json.loads(psij("status", job, "--json").stdout)[0]
    assert (row["id"], row["state"], row["name"]) == (job, "COMPLETED", "greeting")
    shown = psij("info", job).stdout
    for text in ("greeting", "COMPLETED", "echo hello", str(Path(row["folder"]) / "script.sh")):
        assert text in shown
    assert job not in psij("list").stdout
    assert job in psij("ls", "--all").stdout


@pytest.mark.parametrize("command", ["status", "list"])
def test_a_job_that_has_ended_since_the_last_look_is_shown_once(
    command: str, comes_true: Callable[..., None]
) -> None:
    job = psij("submit", "--", "true").stdout.strip()
    comes_true(lambda: "COMPLETED" in psij_here(command).stdout)
    assert job not in psij_here(command).stdout
    assert "is shown one more time" in " ".join(psij_here(command, "--help").stdout.split())


def test_submit_as_json_tells_all_ids() -> None:
    told = json.loads(psij("submit", "--json", "--", "true", "--json").stdout)
    assert told["id"] != told["native_id"] == "1"
    assert told["platform"] == "local"
    assert Path(told["folder"]).is_dir()


def test_an_environment_variable_asks_for_json_too() -> None:
    assert json.loads(psij("list", PSIJ_RUN_OUTPUT="json").stdout) == []


def test_submit_can_wait_and_exits_with_the_code_of_the_job() -> None:
    done = psij("submit", "--wait", "--", "sh", "-c", "exit 3")
    assert done.returncode == 3
    assert "exit code 3" in done.stderr


def test_render_shows_the_script_and_submits_nothing(home: Path) -> None:
    script = psij_here("render", "-t", "1h30m", "--", "./app", "a b")
    assert (script.returncode, "there is no program" in script.stderr) == (0, True)  # it may be for another machine
    script = psij_here("render", "-t", "1h30m", "--", "echo", "a b")
    assert script.stdout.startswith("#!/bin/bash\n")
    assert "--time 5400" in script.stdout
    assert "psij_command=(echo 'a b')" in script.stdout
    dry = psij_here("submit", "--dry-run", "-t", "90", "--json", "--", "echo", "a b")
    assert json.loads(dry.stdout)["script"] == script.stdout
    assert json.loads(dry.stdout)["submit"][1] == "submit"
    assert not (home / "journal.jsonl").exists()


def test_an_array_is_one_job_with_elements() -> None:
    line = "echo $PSIJ_ARRAY_INDEX; exit $PSIJ_ARRAY_INDEX"
    array = psij("submit", "--array", "0-2,7", "--", "sh", "-c", line).stdout.strip()
    done = psij("wait", array, "--json")
    assert done.returncode == 7
    assert [row["exit_code"] for row in json.loads(done.stdout)] == [0, 1, 2, 7]
    assert psij("logs", f"{array}_7").stdout == "7\n"
    whole = json.loads(psij("list", "-a", "--json").stdout)
    assert [(row["id"], row["message"]) for row in whole] == [(array, "1 COMPLETED, 3 FAILED")]
    assert len(json.loads(psij("status", array, "--elements", "--json").stdout)) == 4


def test_hold_release_and_dependencies() -> None:
    first = psij("submit", "--hold", "--", "sh", "-c", "sleep 0.2; echo first >> order").stdout.strip()
    second = psij("submit", "-d", f"afterany:{first}", "--", "sh", "-c", "echo second >> order").stdout.strip()
    row = json.loads(psij("status", first, "--json").stdout)[0]
    assert (row["state"], row["held"]) == ("QUEUED", True)
    assert psij("release", first).returncode == 0
    assert psij("wait", first, second).returncode == 0
    assert Path("order").read_text() == "first\nsecond\n"


def test_what_has_ended_since_anybody_looked_cannot_be_held() -> None:
    job = psij("submit", "--", "true").stdout.strip()
    executor = BatchSchedulerExecutor("local")
    native = executor.submission(job).native_id
    deadline = time.monotonic() + 60
    while not any(record.status.final for record in executor.scheduler.ask(executor.scheduler.live())):
        assert time.monotonic() < deadline, native
        time.sleep(0.05)
    done = psij("hold", job)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, f"psij-run: job {job} has ended")


def test_wait_gives_up_after_its_timeout_and_cancel_ends_the_job() -> None:
    job = psij("submit", "--", "sleep", "60").stdout.strip()
    late = psij("wait", "--timeout", "0.3s", job)
    assert late.returncode == 124
    assert job in late.stderr
    assert json.loads(psij("cancel", "all", "--json").stdout) == [{"id": job, "name": "sleep", "asked": True}]
    ended = psij("wait", job)
    assert ended.returncode == 143
    assert "CANCELED" in ended.stderr
    assert "ended already" in psij("cancel", job).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("logs last -n x", "-n x: it must be a whole number, 0 or more"),
        ("logs last -n -1", "-n -1: it must be a whole number, 0 or more"),
        ("list -n x", "--limit x: it must be a whole number above 0"),
        ("list -n 0", "--limit 0: it must be a whole number above 0"),
        ("info last_", "the array last has no element without an index"),
        ("submit -d nosuch true", "there is no job 'nosuch'"),
    ],
)
def test_a_wrong_number_or_name_is_told_in_our_own_words(words: str, said: str) -> None:
    assert psij_here("submit", "--hold", "--array", "0-1", "--", "true").returncode == 0
    sentence, hint = one_sentence_and_a_hint(psij_here(*words.split()))
    assert said in sentence
    assert "nosuch" not in words or "`psij-run list --all`" in hint


def test_logs_show_the_last_lines() -> None:
    psij("submit", "--wait", "--", "seq", "1000")
    assert psij("logs", "-n", "2", "last").stdout == "999\n1000\n"


def test_clean_removes_ended_jobs_and_nothing_else(home: Path) -> None:
    held = psij("submit", "--hold", "--", "true").stdout.strip()
    ended = psij("submit", "--wait", "--", "true").stdout.strip()
    assert psij("clean", held).returncode == 2
    assert psij("clean").returncode == 0
    assert (home / "jobs" / ended).is_dir()
    assert json.loads(psij("clean", "--older-than", "0", "--json").stdout)["removed"] == [ended]
    assert [path.name for path in (home / "jobs").iterdir()] == [held]
    assert [row["id"] for row in json.loads(psij("list", "-a", "--json").stdout)] == [held]


def test_a_job_of_another_cluster_keeps_its_last_known_state(tmp_path: Path) -> None:
    job = psij("submit", "--hold", "--", "true", PSIJ_LOCAL_HOME=str(tmp_path / "elsewhere")).stdout.strip()
    (row,) = json.loads(psij("status", "--json").stdout)
    assert row["state"] == "QUEUED"
    assert "another cluster" in row["why"]
    refused = psij("cancel", job)
    assert refused.returncode == 2
    assert "another cluster" in one_sentence_and_a_hint(refused)[0]


# ---- newcomers' mistakes ---------------------------------------------------------------------------------------


def test_a_queue_on_a_platform_without_queues_is_one_sentence() -> None:
    done = psij_here("submit", "--queue", "nope", "--", "hostname")
    assert done.returncode == 2
    assert "no queues" in one_sentence_and_a_hint(done)[0]


def test_an_unknown_queue_lists_those_that_there_are(tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {
        "sbatch": "echo 'sbatch: error: invalid partition specified: nope' >&2\n"
        "echo 'sbatch: error: Batch job submission failed: Invalid partition name specified' >&2\nexit 1\n",
        "scontrol": "echo 'PartitionName=debug State=UP'\necho 'PartitionName=long State=UP'\n",
    }.items():
        (commands / name).write_text(f"#!/bin/sh\n{text}")
        (commands / name).chmod(0o755)
    done = psij(
        "submit", "--platform", "slurm", "--queue", "nope", "--", "true", PATH=f"{commands}:{os.environ['PATH']}"
    )
    said, hint = one_sentence_and_a_hint(done)
    assert done.returncode == 4
    assert "Invalid partition" in said
    assert "debug, long" in hint


@pytest.mark.parametrize("command", ["status", "logs", "info", "cancel", "hold", "clean"])
def test_an_unknown_job_is_one_sentence(command: str) -> None:
    done = psij_here(command, "99999")
    assert done.returncode == 2
    assert "99999" in one_sentence_and_a_hint(done)[0]


def test_logs_of_a_pending_job_say_that_it_has_not_started() -> None:
    job = psij("submit", "--hold", "--", "true").stdout.strip()
    done = psij("logs", job)
    said, hint = one_sentence_and_a_hint(done)
    assert done.returncode == 1
    assert "not started" in said
    assert f"psij-run logs -f {job}" in hint


@pytest.mark.parametrize(("command", "code"), [("submit", 2), ("render", 2), ("run", 125)])
def test_no_command_to_run_is_one_sentence(command: str, code: int) -> None:
    done = psij_here(command)
    assert done.returncode == code
    said, hint = one_sentence_and_a_hint(done)
    assert "no command" in said
    assert f"psij-run {command} -- hostname" in hint


def test_a_platform_whose_commands_are_missing_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "hostname").symlink_to("/bin/hostname")
    done = psij_here("submit", "--platform", "slurm", "--", "hostname", PATH=str(tmp_path / "bin"))
    assert done.returncode == 4
    assert "sbatch" in one_sentence_and_a_hint(done)[0]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["sbumit", "--", "true"], "'submit'"),
        (["submit", "--quue", "x", "--", "true"], "'--queue'"),
        (["submit", "--platform", "locl", "--", "true"], "'local'"),
        (["submit", "-X", "foo=1", "--", "true"], "platform show local"),
        (["submit", "-X", "queue=debug", "--", "true"], "-q"),
        (["render", "--platform", "slurm", "-X", "qso=debug", "--", "true"], "'qos'"),
        (["platform", "shwo"], "'show'"),
        (["--json", "list"], "after the command"),
        (["submit", "-n", "2", "-N", "7", "--", "true"], "-N 2, or -n 7"),
        (["submit", "./nothing-here"], "env ./nothing-here"),
        (["submit", "--site", "nowhere", "--", "true"], ""),
        (["submit", "--mode", "mpl", "--", "true"], "mpi"),
    ],
)
def test_a_slip_is_met_with_what_was_meant(words: list[str], hint: str) -> None:
    done = psij_here(*words)
    assert done.returncode in (2, 3)
    assert hint in one_sentence_and_a_hint(done)[1]


def test_an_error_as_json_is_an_object_on_stderr() -> None:
    for words in (["status", "--json", "nope"], ["submit", "--json", "--quue", "x", "--", "true"]):
        done = psij_here(*words)
        error = json.loads(done.stderr)
        assert error.keys() == {"error", "hint", "code"}
        assert done.returncode == error["code"] == 2
        assert done.stdout == ""


def test_a_flag_of_the_program_does_not_change_how_our_errors_look() -> None:
    done = psij_here("submit", "--queue", "nope", "echo", "--json")
    assert one_sentence_and_a_hint(done)


def test_within_another_program_its_logging_is_as_it_was_before() -> None:
    logger, ours = logging.getLogger("psij_parsl"), logging.NullHandler()
    logger.addHandler(ours)
    try:
        before = logger.handlers[:], logger.level, logger.propagate
        for words in (["list", "-v"], ["status", "nosuch"], ["wait", "nosuch"]):
            psij_here(*words)
            assert (logger.handlers, logger.level, logger.propagate) == before
    finally:
        logger.removeHandler(ours)


def test_something_unforeseen_is_a_sentence_and_a_traceback_in_a_file(home: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import psij_parsl.jobs.log\n"
        "def boom(self):\n    raise ZeroDivisionError('boom')\n"
        "psij_parsl.jobs.log.Log._catch_up = boom\n"
    )
    done = psij("list", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "boom" in one_sentence_and_a_hint(done)[0]
    (trace,) = (home / "crashes").iterdir()
    assert "ZeroDivisionError" in trace.read_text()
    assert "ZeroDivisionError" in psij("list", PYTHONPATH=str(tmp_path), PSIJ_PARSL_DEBUG="1").stderr


def test_output_into_a_closed_pipe_ends_quietly() -> None:
    psij("submit", "--hold", "--", "true")
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m psij_parsl.cli list | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


# ---- platforms, sites, doctor ----------------------------------------------------------------------------------


@pytest.fixture
def broken_plugin(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with a platform that cannot be imported."""
    folder = tmp_path / "plugins" / "fake-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[psij_parsl.platforms]\nfake = no_such_module:platform\n")
    return folder.parent


def test_platforms_are_listed_and_a_broken_one_spoils_no_other(broken_plugin: Path) -> None:
    done = psij("platform", "list", "--json", PYTHONPATH=str(broken_plugin))
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0
    assert rows["local"]["installed"]
    assert "arrays" in rows["local"]["can"]
    assert "GPUs" in rows["slurm"]["can"]
    assert "no_such_module" in rows["fake"]["error"]


def test_platform_show_lists_parameters_with_defaults_and_help() -> None:
    done = psij_here("platform", "show", "slurm", PATH="/nowhere")
    for text in ("num_nodes", "wall_time_min", "qos", "quality of service", "exclusive", "whole nodes", "no"):
        assert text in done.stdout
    told = json.loads(psij_here("platform", "show", "slurm", "--json", PATH="/nowhere").stdout)
    parameters = {row["name"]: row for row in told["parameters"]}
    assert parameters["exclusive"]["default"] is False
    assert parameters["exclusive"]["takes"] == "yes or no"
    assert parameters["queue"]["flag"] == "-q"


def test_sites_are_listed_and_shown_with_the_origin_of_each_setting(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nplatform = "local"\n\n[defaults]\nwall_time_min = 7\n')
    assert psij("site", "list").returncode == 0
    done = psij("site", "show", "--config", str(file), "--json")
    assert psij("site", "show", str(file), "--json").stdout == done.stdout
    assert done.returncode == 0, done.stderr
    rows = {row["key"]: row for row in json.loads(done.stdout)["settings"]}
    assert rows["defaults.wall_time_min"]["value"] == 7
    assert rows["defaults.wall_time_min"]["origin"].endswith("mine.toml:5")
    script = psij("render", "--config", str(file), "--", "true")
    assert "--time 420" in script.stdout


def test_doctor_finds_all_in_order() -> None:
    done = psij("doctor", PATH="/nowhere")
    assert done.returncode == 0, done.stdout
    for text in ("python", "state directory", "journal", "platform local", "answers in"):
        assert text in done.stdout


RAISING = (
    "raise SystemExit(0)",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "raise RuntimeError('no')",
    "platform = 5",
)
IN_A_PART = """
from psij_parsl import Platform
platform = Platform("fake", "fakes", scheduler="parts:Scheduler", template="parts:Template")
"""


@pytest.mark.parametrize("text", [*RAISING, "part: raise SystemExit(0)", "part: raise KeyboardInterrupt"])
def test_a_plugin_that_ends_or_raises_anything_spoils_no_other(tmp_path: Path, text: str) -> None:
    info = tmp_path / "plugins" / "fake-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: fake\nVersion: 1.0\n")
    points = "[psij_parsl.platforms]\nfake = fakes:platform\n[psij_parsl.launchers]\nfake = fakes:launcher\n"
    (info / "entry_points.txt").write_text(points)
    package = info.parent / "fakes"
    package.mkdir()
    within = text.startswith("part: ")
    (package / "__init__.py").write_text(IN_A_PART if within else text + "\n")
    (package / "parts.py").write_text(text.removeprefix("part: ") + "\n")
    done = psij("platform", "list", "--json", PYTHONPATH=str(info.parent))
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["fake"]["error"]
    assert rows["local"]["installed"]
    doctor = psij("doctor", "--json", PATH="/nowhere", PYTHONPATH=str(info.parent))
    found = {check["what"]: check for check in json.loads(doctor.stdout)}
    assert found["platform fake"]["state"] == "broken"
    assert found["platform local"]["state"] == "ok"
    assert "launchers" in found


def test_doctor_shows_what_is_broken_with_its_traceback(broken_plugin: Path) -> None:
    done = psij("doctor", PATH="/nowhere", PYTHONPATH=str(broken_plugin))
    assert done.returncode == 3
    assert "ModuleNotFoundError" in done.stdout


def test_a_state_directory_that_depends_on_where_one_is_is_refused(tmp_path: Path) -> None:
    for words in ("submit true", "list", "launch true"):
        done = psij_here(*words.split(), PSIJ_PARSL_HOME="state")
        assert done.returncode in (3, 125)
        assert "PSIJ_PARSL_HOME is the relative path state" in one_sentence_and_a_hint(done)[0]
    assert not (tmp_path / "state").exists()
    done = psij_here("doctor", PSIJ_PARSL_HOME="state")
    assert (done.returncode, "Traceback" in done.stdout) == (3, False)


def test_a_state_directory_that_cannot_be_written_is_named_with_its_whole_path() -> None:
    done = psij_here("submit", "--", "true", PSIJ_PARSL_HOME="/proc/self")
    assert done.returncode == 3
    assert "cannot write /proc/self/identity: " in one_sentence_and_a_hint(done)[0]


def test_doctor_of_a_state_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = psij("doctor", "--json", PSIJ_PARSL_HOME=str(tmp_path / "file" / "state"))
    assert done.returncode == 3
    assert "state directory" in [row["what"] for row in json.loads(done.stdout) if row["state"] == "broken"]


def test_a_block_that_its_workflow_has_cancelled_is_no_orphan_to_be_cancelled() -> None:
    host, boot, _, start = process_identity().split("/")
    block = JobRecord("0123456789", "local", "/x", run=f"{host}/{boot}/999999999/{start}", native="5", committed=1.0)
    assert "its workflow is gone" in JobRow(block, "", JobStatus(JobState.ACTIVE), "5").why
    told = replace(block, cancelled={"*": 2.0})
    assert JobRow(told, "", JobStatus(JobState.ACTIVE), "5").why == "asked to be cancelled"
    unsent = replace(told, unsent=("*",))
    assert "its workflow is gone" in JobRow(unsent, "", JobStatus(JobState.ACTIVE), "5").why
