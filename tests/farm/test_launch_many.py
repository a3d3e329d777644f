"""`psij-run launch --each-line` and `--array` on this host: what runs, what is printed and recorded, how it ends."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.farm.farm import Farm, Rules
from psij_parsl.farm.host_engine import HostEngine
from psij_parsl.farm.output import Output, Stream
from psij_parsl.farm.slots import Slot
from psij_parsl.farm.source import Indices
from psij_parsl.farm.state_file import StateFile
from psij_parsl.farm.task import Task
from psij_parsl.resources import NodeResources
from psij_parsl.runs.run_processes import processes
from tests.cli.helpers import COMMAND, one_sentence_and_a_hint, psij_here
from tests.cli.terminals import Terminal

Until = Callable[..., Any]
LAUNCH = [*COMMAND, "launch"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every farm starts in an empty directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PSIJ_FARM"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def farm(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return psij_here("launch", *words, **environ)


def tasks(*lines: str) -> str:
    Path("tasks").write_text("".join(f"{line}\n" for line in lines))
    return "tasks"


def told(*words: str) -> dict[str, Any]:
    """The summary of a farm."""
    done = farm("--json", *words)
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (0 if summary["done"] + summary["done_before"] == summary["total"] else 1), done
    return summary


def started(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*LAUNCH, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def idle() -> bool:
    """Whether nothing of this host is held."""
    return not NodeResources.discover().holders()


# ---- tasks and their output -------------------------------------------------------------------------------------


def test_lines_run_each_with_its_number_and_its_core_and_a_summary_is_printed() -> None:
    done = farm(
        "--each-line", tasks("echo $PSIJ_ARRAY_INDEX; echo bad >&2", "", "# none", "printf 'no newline'; cat"), "-l"
    )
    assert sorted(done.stdout.splitlines()) == ["[1] 1", "[4] no newline"]
    first, summary = done.stderr.splitlines()
    assert first == "[1] bad"
    assert summary.startswith("psij-run: 2 tasks: 2 done; ")
    assert done.returncode == 0
    assert idle()


def test_the_output_of_a_task_stands_together() -> None:
    done = farm("--array", "0-7", "--", "sh", "-c", "echo begin {index}; sleep 0.0{index}; echo end {index}")
    lines = done.stdout.splitlines()
    assert lines[::2] == [line.replace("end", "begin") for line in lines[1::2]]
    assert Counter(lines[1::2]) == Counter(f"end {index}" for index in range(8))


def test_each_task_has_files_of_its_own_or_all_have_one() -> None:
    Path("in.2").write_text("text")
    Path("in.3").write_text("TEXT")
    done = farm(
        "--array",
        "2,3",
        "-i",
        "in.{index}",
        "-o",
        "out/{index:3}/o",
        "-e",
        "{index}.err",
        "--",
        "sh",
        "-c",
        "cat; echo $PSIJ_ARRAY_INDEX >&2",
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert [Path(name).read_text() for name in ("out/002/o", "out/003/o", "2.err", "3.err")] == [
        "text",
        "TEXT",
        "2\n",
        "3\n",
    ]
    done = farm("--array", "2,3", "-P", "1", "-o", "all", "-l", "--", "sh", "-c", "echo out; echo err >&2")
    assert Path("all").read_text() == "".join(f"[{index}] {word}\n" for index in (2, 3) for word in ("out", "err"))
    assert done.stdout == ""
    farm("--array", "2,3", "-P", "1", "-o", "all", "-e", "./all", "--", "sh", "-c", "echo out; echo err >&2")
    assert Path("all").read_text() == "out\nerr\n" * 2


def test_what_came_through_a_pipe_is_started_as_it_comes(comes_true: Until) -> None:
    process = subprocess.Popen(
        [*LAUNCH, "--each-line", "-", "--", "touch"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    for name in ("one", "two"):
        process.stdin.write(f"{name}\n".encode())
        process.stdin.flush()
        comes_true(lambda name=name: Path(name).exists(), 30, name)
    _, err = process.communicate(timeout=60)
    assert b"2 tasks: 2 done" in err
    assert process.returncode == 0


def test_no_more_run_than_are_allowed_and_each_has_cores_and_gpus_of_its_own() -> None:
    """On a host that says it has GPUs. A task without any sees none."""
    script = (
        "echo $PSIJ_CPUS $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS; grep Cpus_allowed_list /proc/self/status; sleep 0.1"
    )
    done = farm("--array", "0-5", "-g", "1", "-o", "{index}", "--", "sh", "-c", script, CUDA_VISIBLE_DEVICES="3,5")
    assert done.returncode == 0, done.stderr
    cpus = sorted(os.sched_getaffinity(0))[:2]
    seen = set()
    for index in range(6):
        words = Path(str(index)).read_text().split()
        assert (words[2], words[0]) == ("1", words[-1])
        seen.add((int(words[0]), words[1]))
    assert seen == set(zip(cpus, "35", strict=False))
    done = farm("--array", "0", "--", "sh", "-c", "echo gpus $CUDA_VISIBLE_DEVICES", CUDA_VISIBLE_DEVICES="3,5")
    assert done.stdout == "gpus\n"


def test_tasks_of_several_ranks_are_runs() -> None:
    done = farm(
        "--array",
        "5-7",
        "-n",
        "2",
        "--mode",
        "serial",
        "--",
        "sh",
        "-c",
        "echo $PSIJ_ARRAY_INDEX.$PSIJ_RANK; exit $(({index} == 6))",
    )
    assert sorted(done.stdout.split()) == [f"{index}.{rank}" for index in (5, 6, 7) for rank in (0, 1)]
    assert "task 6 failed with exit code 1" in done.stderr
    assert done.returncode == 1
    assert idle()


def test_the_farm_holds_what_it_needs_and_a_run_within_it_does_not_wait_for_ever(comes_true: Until) -> None:
    held = sum(len(node.cpus) for node in NodeResources.discover().idle())
    line = tasks(" ".join([*LAUNCH, "-n", "1", "--", "true"]))
    done = farm("--each-line", line, *(("-c", str(held))))
    assert "task 1 failed with exit code 125" in done.stderr
    assert "the farm whose task it is in holds the nodes" in done.stderr
    process = started("--array", "0", "-P", "1", "--", "sleep", "60")
    comes_true(
        lambda: [len(holder.nodes[0].cpus) for holder in NodeResources.discover().holders() if holder.nodes] == [1],
        30,
        "held",
    )
    process.terminate()
    process.communicate(timeout=30)
    assert idle()


# ---- failures ------------------------------------------------------------------------------------------------------


def test_failures_are_counted_and_named_and_end_nothing() -> None:
    done = farm("--each-line", tasks("exit 3", "kill -9 $$", "true", *["false"] * 12), "-P", "1", "-o", "out/{index}")
    lines = done.stderr.splitlines()
    out = Path("out").absolute()
    assert lines[0].endswith(f"; its output is in {out}/1")
    assert "task 1 failed with exit code 3 on " in lines[0]
    assert "task 2 failed with exit code 137 (SIGKILL)" in lines[1]
    assert lines[10] == f"psij-run: 4 more failed; {Path('tasks.farm').absolute()} names them"
    assert lines[11].startswith("psij-run: 15 tasks: 1 done, 14 failed; ")
    assert done.returncode == 1


@pytest.mark.parametrize(("halt", "began"), [("1", 1), ("3", 3), ("10%", 2), ("100%", 20)])
def test_halt_says_how_many_failures_end_it(halt: str, began: int) -> None:
    summary = told("--array", "0-19", "-P", "1", "--halt", halt, "--", "false")
    assert (summary["failed"], summary["left"]) == (began, 20 - began)
    assert summary["reason"] == ("halt" if began < 20 else "")  # else there was nothing to stop


def test_what_cannot_be_started_is_said() -> None:
    Path("plain").write_text("x")
    Path("script").write_text("echo no interpreter $1")
    Path("script").chmod(0o755)
    for word, code, why in (("nope", 127, "there is no program nope"), ("./plain", 126, ""), ("./script", 0, "")):
        summary = told("--array", "1", "--", word, "x")
        assert [(failed["exit_code"], failed["error"]) for failed in summary["first_failed"]] == (
            [(code, why)] if code else []
        )
    Path("file").write_text("")
    assert "cannot be made" in told("--array", "1", "-o", "file/{index}", "--", "true")["first_failed"][0]["error"]
    assert "/nowhere" in told("--array", "1", "-i", "/nowhere/{index}", "--", "true")["first_failed"][0]["error"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--array", "0-3"], "there is no command to run"),
        (["--array", "0-3", "-P", "0", "--", "true"], "-P 0: it must be a whole number above 0"),
        (["--array", "0-3", "-c", "9999", "--", "true"], "each node must have 9999 cores"),
        (["--array", "0-3", "-g", "99", "--", "true"], "each node must have 99 GPUs"),
        (["--array", "0-3", "--each-line", "tasks"], "--each-line and --array"),
        (["--array", "0-3", "--fresh", "--again", "failed", "--", "true"], "--fresh runs all tasks anew"),
        (["--array", "0-3", "--share", "2", "--", "true"], "--share is for one run"),
        (["--array", "0-3", "-i", "-", "--", "true"], "cannot share one stdin"),
        (["--array", "0-3", "-o", "{id}", "--", "true"], "there is no {id} of a task of many"),
        (["--array", "0-3", "-o", "out/{}", "--", "true"], "there is no {} of a task of many"),
        (["--array", "0-3", "-o", "{index}", "-l", "--", "true"], "--label is for output that is collected"),
        (["--array", "0-3", "--halt", "0", "--", "true"], "--halt 0"),
        (["--array", "0-3", "--halt", "101%", "--", "true"], "--halt 101%"),
        (["--array", "0-3", "--again", "lost", "--", "true"], "--again lost"),
        (["--array", "0-3", "--state", "tasks", "--", "true"], "is no state of a farm"),
        (["--array", "0-3", "--state", "no/such", "--", "true"], "cannot be kept in"),
        (["--array", "0-3", "--state", "/dev/zero", "--", "true"], "/dev/zero is no file"),
        (["--each-line", "nowhere"], "cannot read nowhere"),
        (["--each-line", "."], "cannot read .: Is a directory"),
        (["--each-line", "empty"], "empty has no tasks"),
        (["--each-line", "binary"], "line 2 of binary is no text that a command could have"),
        (["-P", "2", "--", "true"], "-P is for many tasks"),
        (["--resume", "--", "true"], "--resume is for many tasks"),
    ],
)
def test_a_mistake_costs_one_sentence_and_a_hint(words: list[str], said: str) -> None:
    tasks("exit 1")
    Path("empty").write_text("\n# nothing\n")
    Path("binary").write_text("true\ntr\0ue\n")
    done = farm(*words)
    assert said in one_sentence_and_a_hint(done)[0]
    assert done.returncode == 125
    assert {path.name for path in Path().iterdir()} == {"tasks", "empty", "binary"}
    assert idle()


# ---- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_tasks_and_the_summary_is_printed(number: int, comes_true: Until) -> None:
    """One ends by TERM, and with it what it started; one does not and is killed. Both are run by --resume."""
    tasks("sleep 600; touch late", "trap '' TERM; echo >stays; sleep 600 & sleep 600; sleep 600", "true")
    process = started("--each-line", "tasks", "-P", "2", "--grace", "1")
    comes_true(lambda: Path("stays").exists(), 30, "both")
    process.send_signal(number)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert b"3 tasks: 0 done, 2 stopped, 1 not begun" in err
    assert b"--resume goes on from" in err
    assert not marked()
    assert idle()
    tasks_again = Path("tasks").read_text()
    assert tasks_again.startswith("sleep")
    done = farm("--each-line", "tasks")
    assert "has not finished" in one_sentence_and_a_hint(done)[0]


def test_a_second_interrupt_kills_the_tasks_and_the_summary_is_printed(comes_true: Until) -> None:
    script = "trap 'echo >asked' TERM; echo >began; while true; do sleep 0.05; done"
    process = started("--array", "0-1", "-P", "1", "--grace", "600", "--", "sh", "-c", script)
    for name in ("began", "asked"):
        comes_true(lambda name=name: Path(name).exists(), 30, name)
        process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGINT
    assert b"2 tasks: 0 done, 1 stopped, 1 not begun" in err
    assert not marked()
    assert idle()


def marked() -> list[int]:
    """The processes of farms in the state files of this directory."""
    found: list[int] = []
    for path in Path().glob("*.farm"):
        for line in path.read_text().splitlines():
            if line.startswith("farm "):
                found += processes(json.loads(line[5:])["mark"], -1)
    return found


def test_whoever_reads_the_output_may_leave() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(LAUNCH)} --array 0-9999 -- echo x{{index}} | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split()[-1] == "141"
    assert not marked()


def test_the_process_that_starts_tasks_is_killed_and_nothing_of_them_is_left(comes_true: Until) -> None:
    process = started("--array", "0-3", "-P", "1", "--", "sh", "-c", "setsid sleep 600 & echo >began; sleep 600")
    comes_true(lambda: Path("began").exists(), 30, "it")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 125
    assert b"1 with an unknown end" in err
    assert b"the process that starts the tasks was killed" in err
    assert not marked()
    assert idle()


def test_what_the_state_calls_done_has_its_output(comes_true: Until) -> None:
    """Also when the farm is killed, and when the output has no room."""
    script = "echo {index}; case {index} in 1) echo >second; sleep 600;; esac"
    process = started("--array", "0,1", "-P", "1", "-o", "all", "--", "sh", "-c", script)
    comes_true(lambda: Path("second").exists(), 30, "it")
    process.kill()
    process.communicate()
    assert "ended 0 0" in Path("sh.farm").read_text()
    assert Path("all").read_text() == "0\n"
    words = ("--array", "0,1", "-P", "1", "-o", "/dev/full", "--", "echo")
    done = farm(*words)
    assert done.returncode == 125
    assert "2 tasks: 0 done, 1 with an unknown end, 1 not begun" in done.stderr
    assert "psij-run: /dev/full cannot be written: No space left on device\nhint: " in done.stderr
    assert "ended" not in Path("echo.farm").read_text()
    assert told(*words[:4], "--again", "unknown", "--", "echo")["done"] == 2


# ---- killed, and resumed -------------------------------------------------------------------------------------------

_RECORDS = "echo {index} >>ran; sleep 0.0$(({index} % 5)); echo {index} >>done"


@pytest.mark.parametrize("killed_after", [0, 1, 7, 20])
def test_killed_at_any_moment_and_resumed_each_task_ran_once_or_is_named(
    killed_after: int, comes_true: Until
) -> None:
    words = ("--array", "0-39", "--", "sh", "-c", _RECORDS)
    process = started(*words)
    comes_true(
        lambda: killed_after == 0 or (Path("ran").exists() and len(Path("ran").read_text().split()) >= killed_after),
        60,
        "it",
    )
    time.sleep(random.random() / 50)
    process.kill()
    process.communicate()
    summary = told("--resume", *words)
    ran = Counter(map(int, Path("ran").read_text().split()))
    assert set(ran.values()) == {1}
    named = set(summary["unknown"])
    assert {index for index in range(40) if not ran[index]} <= named
    assert len(named) <= len(os.sched_getaffinity(0))
    assert summary["done"] + summary["done_before"] + len(named) == 40
    assert not marked()
    assert idle()
    summary = told("--again", "unknown", *words)
    assert summary["done_before"] + summary["done"] == 40
    assert summary["done"] == len(named)


def test_resuming_runs_what_failed_only_if_asked() -> None:
    words = ("--each-line", tasks("echo 1 >>ran", "test -e now && echo 2 >>ran", "echo 3 >>ran"))
    assert told(*words)["failed"] == 1
    Path("now").touch()
    summary = told(*words, "--resume")
    assert (summary["done_before"], summary["failed_before"], summary["done"]) == (2, 1, 0)
    assert told(*words, "--again", "failed")["done"] == 1
    assert sorted(Path("ran").read_text().split()) == ["1", "2", "3"]
    assert told(*words, "--resume")["done_before"] == 3
    assert told(*words)["done"] == 3  # the earlier one had finished: anew


def test_a_state_that_a_failed_host_has_damaged_counts_as_far_as_it_can_be_read() -> None:
    words = ("--array", "0-6", "--", "sh", "-c", "echo {index} >>ran")
    assert told(*words)["done"] == 7
    lines = Path("sh.farm").read_bytes().splitlines(keepends=True)
    begun = [next(line for line in lines if line.startswith(b"begun %d " % number)) for number in range(5)]
    Path("sh.farm").write_bytes(
        b"".join([lines[0], *begun[:2], b"ended 0 0 0.1 n\n", b"\0" * 60, b"\n", begun[4], b"\0" * 99])
    )
    done = farm("--resume", *words)
    assert "bytes that cannot be read" in done.stderr.splitlines()[0]
    assert "7 tasks: 3 done (1 of them before), 4 with an unknown end" in done.stderr
    assert "tasks 1, 2, 3, 4 had begun" in done.stderr
    assert sorted(Path("ran").read_text().split()) == sorted([*"0123456", *"56"])
    assert told("--again", "unknown", *words)["done"] == 4


@pytest.mark.parametrize("changed", [("echo 2", "echo 1", "echo 3"), ("echo 1",), ("echo 0", "echo 1", "echo 2")])
def test_other_lines_than_before_are_refused(changed: tuple[str, ...]) -> None:
    farm("--each-line", tasks("echo 1", "echo 2", "false"))
    before = Path("tasks.farm").read_text()
    done = farm("--each-line", tasks(*changed), "--resume")
    assert "is not what" in one_sentence_and_a_hint(done)[0]
    assert Path("tasks.farm").read_text() == before
    assert told("--each-line", "tasks", "--fresh")["done"] == len(changed)


def test_lines_may_be_added_at_the_end() -> None:
    farm("--each-line", tasks("true", "true"))
    summary = told("--each-line", tasks("true", "true", "true"), "--resume")
    assert (summary["done_before"], summary["done"]) == (2, 1)


def test_two_farms_of_the_same_tasks_do_not_run_at_once(comes_true: Until) -> None:
    process = started("--array", "0", "--", "sh", "-c", "echo >began; sleep 600")
    comes_true(lambda: Path("began").exists(), 30, "it")
    said, hint = one_sentence_and_a_hint(farm("--array", "0", "--resume", "--", "sh", "-c", "echo >began; sleep 600"))
    assert f"in use by process {process.pid} on " in said
    assert "--state" in hint
    process.terminate()
    process.communicate(timeout=30)


def test_a_farm_holds_no_more_of_a_million_tasks_than_those_that_run() -> None:
    """Its memory and its state grow neither with the tasks that come nor with those that were."""
    program = (
        "import psij_parsl.cli as c; code = c.main();"
        "print(code, *[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    sizes = []
    for lines in (10, 300_000):
        Path("many").write_text("x" * 40 + "\n" + f"{'y' * 40}\n" * (lines - 1))
        done = subprocess.run(
            [sys.executable, "-c", program, "launch", "--each-line", "many", "--halt", "1", "--fresh", "--", "false"],
            capture_output=True,
            text=True,
            check=True,
        )
        code, size = map(int, done.stdout.split())
        assert code == 1
        sizes.append(size)
    assert sizes[1] < sizes[0] + 4000  # kB; a list of the lines would be 30 MB


@pytest.mark.parametrize(("seconds", "lasts", "began"), [(6.5, 0, True), (30, 60, False)])
def test_nothing_is_started_that_could_not_end_in_the_wall_time(seconds: float, lasts: float, began: bool) -> None:
    """What runs near its end is asked to end, and --resume runs it."""
    state, output = StateFile(Path("state").absolute()), Output(Stream("/dev/null", len), None)
    place = Slot((), {})
    engine = HostEngine([place], mark="farm-at-its-end", environment=dict(os.environ))
    source = Indices(range(1000), ("sleep", "0.2"))
    state.open({}, fresh=True)
    rules = Rules(end=time.time() + seconds, lasts_s=lasts, grace_s=0.5)
    with output:
        summary = Farm(
            engine, source, state, output, lambda item, out, err: Task(item.number, item.argv), rules
        ).run()
    state.release()
    assert summary.reason == "wall time"
    assert (summary.done + summary.stopped > 0) is began
    assert summary.left == 1000 - summary.done
    assert not summary.failed


def test_a_terminal_shows_how_far_it_is_and_keeps_whole_lines_of_output() -> None:
    script = "echo out-{index}; while [ {index} = 2 ] && [ ! -e seen ]; do sleep 0.05; done; exit $(({index} == 1))"
    terminal = Terminal("launch", "--array", "0-2", "-P", "1", "--", "sh", "-c", script, columns=100, NO_COLOR="1")
    terminal.see("2/3")
    terminal.see("1 running, 1 failed")
    Path("seen").touch()
    terminal.see("psij-run: 3 tasks: 2 done, 1 failed; ")
    assert terminal.close() == 1
    for index in range(3):
        assert re.search(rf"(\n|\x1b\[2K)out-{index}\r\n", terminal.text)


def test_a_third_interrupt_ends_it_at_once_and_the_terminal_has_its_cursor() -> None:
    terminal = Terminal("launch", "--array", "0-2", "-P", "1", "--", "sh", "-c", "sleep 600", columns=100)
    terminal.see("1 running")
    children = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGSTOP)  # so that the farm cannot end at the second
    try:
        terminal.type("\x03")
        terminal.until(lambda: "\x1b[2K" in terminal.text.partition("^C")[2])  # the first has been seen
        terminal.type("\x03")
        terminal.see("\x1b[?25h")
        terminal.type("\x03")
        os.waitid(os.P_PID, terminal.pid, os.WEXITED | os.WNOWAIT)
    finally:
        for child in children:
            os.kill(int(child), signal.SIGCONT)
    assert terminal.close() == 128 + signal.SIGINT
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")


def test_without_a_terminal_rich_is_not_imported() -> None:
    program = "import sys, psij_parsl.cli as c; sys.argv[1:] = ['launch', '--array', '0', '--', 'true']; c.main(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"rich", "typer", "pydantic", "parsl", "multiprocessing"} & set(done.stdout.split())
