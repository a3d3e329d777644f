"""stdin, stdout and stderr of psij-run that are closed, full, slow, set not to block, or without a reader."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.helpers import COMMAND, psij

pytestmark = pytest.mark.slow

WHY = {"closed": "it is closed", "full": "No space left on device", "without a reader": "its reader has left"}
SHELL = {"closed": ">&-", "full": ">/dev/full"}


def shell(words: str, redirections: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """psij-run with these words, its streams as a shell redirects them."""
    return subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} {words} {redirections}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
    )


def unread(words: str) -> subprocess.CompletedProcess[str]:
    """psij-run whose stdout is a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            ["bash", "-c", f"{' '.join(COMMAND)} {words}"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    finally:
        os.close(writing)


def with_bad_stdout(words: str, how: str) -> subprocess.CompletedProcess[str]:
    return unread(words) if how == "without a reader" else shell(words, SHELL[how])


def jobs() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(psij("list", "-a", "--json").stdout)
    return found


@pytest.fixture
def ended() -> Iterator[None]:
    """No job outlives its test."""
    yield
    psij("cancel", "all")


# ---- submit: the job is there, so its id must be known ----------------------------------------------------------


@pytest.mark.parametrize("how", WHY)
def test_a_job_whose_id_cannot_be_printed_is_told_on_stderr(how: str) -> None:
    done = with_bad_stdout("submit -- true", how)
    (job,) = jobs()
    assert done.returncode == 6
    said, hint = done.stderr.splitlines()
    assert said == (
        f"psij-run: job {job['id']} was submitted (local id {job['native_id']}), but stdout cannot be written:"
        f" {WHY[how]}"
    )
    assert f"psij-run status {job['id']}" in hint


@pytest.mark.parametrize("how", WHY)
def test_so_it_is_as_json_and_with_wait(how: str) -> None:
    done = with_bad_stdout("submit --json -- true", how)
    error = json.loads(done.stderr)
    assert (done.returncode, error["code"]) == (6, 6)
    assert str(jobs()[0]["id"]) in error["error"]
    assert with_bad_stdout("submit --wait -- true", how).returncode == 6
    assert with_bad_stdout("submit --wait -- sh -c 'exit 3'", how).returncode == 3  # the job's own says more


def test_with_no_stream_at_all_the_record_is_there() -> None:
    for streams in (">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"):
        before = len(jobs())
        done = shell("submit -- true", streams)
        assert (done.returncode, done.stdout, done.stderr) == (6, "", "")
        assert len(jobs()) == before + 1
    assert psij("wait", "all").returncode == 0


# ---- every other answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WHY)
@pytest.mark.parametrize(
    "words",
    [
        "status last",
        "status last --json",
        "list -a",
        "list -a --json",
        "info last",
        "logs last",
        "render -- true",
        "doctor",
        "site list",
        "platform list",
        "--help",
        "list --help",
        "--version",
        "resources show",
    ],
)
def test_an_answer_that_cannot_be_written_is_one_sentence(words: str, how: str) -> None:
    psij("submit", "--wait", "--", "echo", "something")
    done = with_bad_stdout(words, how)
    if how == "without a reader":  # as of any program that dies of SIGPIPE
        assert (done.returncode, done.stderr) == (141, "")
        return
    assert done.returncode == 6
    told = [json.loads(line)["error"] for line in done.stderr.splitlines()] if "--json" in words else None
    lines = told or [line for line in done.stderr.splitlines() if not line.startswith("hint: ")]
    assert [line.removeprefix("psij-run: ") for line in lines] == [f"stdout cannot be written: {WHY[how]}"]


@pytest.mark.parametrize("how", SHELL)
def test_so_it_is_with_completion_and_waits(how: str) -> None:
    psij("submit", "--wait", "--", "true")
    asked = {"_PSIJ_RUN_COMPLETE": "complete_bash", "COMP_WORDS": "psij-run sta", "COMP_CWORD": "1"}
    completed = shell("", SHELL[how], **asked)
    assert completed.returncode == 6
    assert completed.stderr.startswith("psij-run: stdout cannot be written")
    waited = shell("wait last --json", SHELL[how])
    assert (waited.returncode, json.loads(waited.stderr)["code"]) == (125, 125)
    assert shell("wait last", SHELL[how]).returncode == 0  # it had nothing to print


@pytest.mark.parametrize("words", ["status", "list -a", "--help", "submit -- true", "run -- true", "run -- nope"])
def test_a_stderr_that_cannot_be_written_changes_nothing(words: str) -> None:
    good = shell(words)
    for stderr in ("2>&-", "2>/dev/full"):
        done = shell(words, stderr)
        assert done.returncode == good.returncode
        assert bool(done.stdout) == bool(good.stdout)


# ---- run ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", SHELL)
def test_a_run_that_cannot_show_its_output_says_so_once_and_sees_the_job_to_its_end(how: str) -> None:
    done = shell("run -- sh -c 'echo one; sleep 1; echo two; touch ended'", SHELL[how])
    assert done.returncode == 125
    said, hint = done.stderr.splitlines()
    job = jobs()[0]
    assert said == f"psij-run: job {job['id']} runs on, but stdout cannot be written: {WHY[how]}"
    assert f"psij-run logs {job['id']}" in hint
    assert Path("ended").exists()
    assert psij("logs", "last").stdout == "one\ntwo\n"
    bad = shell("run --json -- sh -c 'echo one; exit 4'", SHELL[how])
    assert bad.returncode == 4
    assert "stdout cannot be written" in json.loads(bad.stderr.splitlines()[0])["error"]


def test_a_run_that_writes_nothing_needs_no_stdout() -> None:
    assert shell("run -- true", ">&-").returncode == 0
    assert shell("run -- sh -c 'echo err >&2'", ">&-").stderr == "err\n"
    assert shell("run -- sh -c 'echo out; echo err >&2'", "2>/dev/full").stdout == "out\n"
    assert shell("run -- sh -c 'echo out; echo err >&2'", "2>/dev/full").returncode == 125


def test_what_follows_output_that_cannot_be_shown_ends() -> None:
    psij("submit", "--", "sh", "-c", "echo one; sleep 300")
    for words in ("logs -f last", "status --watch last"):
        done = shell(words, ">/dev/full")
        assert done.returncode == 6
        assert done.stderr.startswith("psij-run: stdout cannot be written: No space left on device\nhint: ")
    psij("cancel", "all")


# ---- who reads slowly, or not at once ----------------------------------------------------------------------------


def test_a_stdout_that_is_set_not_to_block_gets_everything(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"0123456789abcde\n" * 100_000)
    for words in (["run", "--", "cat", "big"], ["logs", "last"]):
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        with subprocess.Popen([*COMMAND, *words], stdout=writing, stderr=subprocess.PIPE) as running:
            os.close(writing)
            with open(reading, "rb") as pipe:
                first = pipe.read(1)
                if words[0] == "run":  # the job has written it all, and the pipe has been full
                    assert psij("wait", "last").returncode == 0
                assert first + pipe.read() == (tmp_path / "big").read_bytes()
            assert running.wait(300) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("ended")
def test_a_reader_that_has_stopped_keeps_no_job_from_being_cancelled(
    number: int, comes_true: Callable[..., None]
) -> None:
    reading, writing = os.pipe()
    text = "yes | head -c 9000000; exec sleep 300"  # much more than a pipe holds, and no disk full of it
    words = [*COMMAND, "run", "--", "sh", "-c", text]
    with subprocess.Popen(words, stdout=writing, stderr=subprocess.PIPE) as running:
        os.close(writing)
        assert os.read(reading, 2) == b"y\n"
        comes_true(lambda: Path("/proc", str(running.pid)).exists() and jobs()[0]["state"] == "ACTIVE")
        running.send_signal(number)
        _, errors = running.communicate(timeout=300)
    os.close(reading)
    assert running.returncode == 128 + number
    assert b"its reader takes nothing" in errors
    assert jobs()[0]["state"] == "CANCELED"


# ---- what a job and a rank have ----------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", ["<&-", "<&- >&-", "<&- >&- 2>&-", "2>&-"])
def test_a_jobs_own_streams_are_right_whatever_ours_are(streams: str) -> None:
    shell("submit --wait -- sh -c 'readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2'", streams)
    folder = jobs()[0]["folder"]
    assert psij("logs", "last").stdout == f"/dev/null\n{folder}/stdout\n{folder}/stderr\n"


def test_a_ranks_streams_are_no_files_of_ours(tmp_path: Path) -> None:
    """With 0 to 2 closed, the next file that anybody opens has such a number."""
    script = "for f in 0 1 2; do readlink /proc/self/fd/$f; done >said"
    for ranks in ("1", "2"):
        assert shell(f"launch -n {ranks} -- sh -c '{script}'", "<&- >&- 2>&-").returncode == 0
        assert (tmp_path / "said").read_text().splitlines() == ["/dev/null", str(tmp_path / "said"), "/dev/null"]


@pytest.mark.parametrize("how", SHELL)
def test_a_launch_whose_rank_cannot_write_ends_with_the_ranks_code(how: str) -> None:
    done = shell("launch -- sh -c 'echo one || exit 9'", SHELL[how])
    assert done.returncode == 9
    assert "Traceback" not in done.stderr


# ---- what else a parent leaves us without ------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["status", "submit -- true", "run -- true", "launch -n 2 -- true"])
def test_with_few_files_to_open_nothing_is_begun(words: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = subprocess.run(
        [*COMMAND, *words.split()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (10, hard)),
    )
    assert done.returncode == 125
    assert done.stderr == (
        "psij-run: this process may open 10 files at once, and needs 32; nothing was done\n"
        "hint: raise the limit: ulimit -n 1024\n"
    )
    assert jobs() == []


@pytest.mark.parametrize("words", ["status", "list -a", "submit -D /tmp -- true", "launch -D /tmp -- true", "clean"])
def test_a_working_directory_that_is_gone_is_needed_by_few(words: str, tmp_path: Path) -> None:
    psij("submit", "--", "sleep", "300")
    done = _without_directory(words, tmp_path)
    psij("cancel", "all")
    assert (done.returncode, done.stderr.replace("removed 0 ended jobs, 0 bytes\n", "")) == (0, "")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("submit -- true", 2),
        ("run -- true", 125),
        ("launch -- true", 125),
        ("launch -n 2 -- true", 125),
        ("render -- true", 2),
        ("site check a.toml", 2),
    ],
)
def test_who_needs_it_says_so(words: str, code: int, tmp_path: Path) -> None:
    done = _without_directory(words, tmp_path)
    said, hint = done.stderr.splitlines()
    assert (done.returncode, said) == (code, "psij-run: the working directory does not exist any more")
    assert "-D" in hint
    assert jobs() == []


def _without_directory(words: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    gone = tmp_path / "gone"
    gone.mkdir()
    return subprocess.run(
        ["bash", "-c", f"cd {gone}; rmdir {gone}; {' '.join(COMMAND)} {words}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("change", ["-u HOME", "HOME=/nonexistent", "HOME=", "-u TERM", "COLUMNS=0", "COLUMNS=x"])
def test_an_environment_that_lacks_something_is_no_hindrance(change: str) -> None:
    command = f"env {change} {' '.join(COMMAND)}"
    for words in ("run -- echo it-ran", "launch -- echo it-ran", "--help", "status"):
        done = subprocess.run(
            ["bash", "-c", f"{command} {words}"], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (0, False)
        assert ("it-ran" in done.stdout) == ("it-ran" in words)


def test_an_input_that_is_a_directory_is_one_sentence(tmp_path: Path) -> None:
    done = psij("launch", "-i", str(tmp_path), "--", "cat")
    assert done.returncode == 125
    assert "Is a directory" in done.stderr
