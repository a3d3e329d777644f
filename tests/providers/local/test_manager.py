"""The local resource manager, with real processes: nothing is patched, and every wait has a deadline."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.dependency import BY_ELEMENT, DEPENDENCY_KINDS
from psij_parsl.providers.local.manager import main
from psij_parsl.providers.local.records import AFTER, parse_row
from psij_parsl.testing.tools import PATIENCE_S

FOLDER = Path(__file__).resolve().parents[3] / "providers" / "local"
OVER = {"DONE", "FAILED", "CANCELLED", "TIMEOUT", "LOST"}


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return value


def runs(pid: int) -> bool:
    """Whether a process exists, zombies apart."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rfind(")") + 2] not in "ZX"


class Manager:
    """One state directory, and its command line called in process."""

    def __init__(self, folder: Path, cores: int = 2) -> None:
        self.folder, self.home = folder, folder / "state"
        self.environ = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PSIJ_LOCAL_HOME": str(self.home),
            "PSIJ_LOCAL_CORES_TOTAL": str(cores),
            "PSIJ_LOCAL_KILL_WAIT": "0.4",
        }

    def call(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        return main(words, stdin=stdin, environ=self.environ, cwd=str(self.folder))

    def ok(self, *words: str, stdin: str = "") -> str:
        code, out, errors = self.call(*words, stdin=stdin)
        assert (code, errors) == (0, "")
        return out

    def submit(self, script: str, *options: str) -> str:
        return self.ok("submit", *options, "-", stdin=script).strip()

    def jobs(self) -> dict[str, dict[str, Any]]:
        return {job["id"]: job for job in map(parse_row, self.ok("list").splitlines())}

    def state(self, job: str) -> str:
        return str(self.jobs()[job]["state"])

    def ended(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = until(
            lambda: (record := self.jobs()[job])["state"] in OVER and record, f"the end of job {job}"
        )
        return found

    def running(self, job: str) -> None:
        until(lambda: self.state(job) == "RUNNING", f"job {job} runs")

    def read(self, name: str) -> list[str]:
        """The words that a job has written to a file in its directory."""
        try:
            return (self.folder / name).read_text().split()
        except FileNotFoundError:
            return []

    def pid(self, name: str) -> int:
        return int(until(lambda: self.read(name), f"the file {name}")[0])

    def supervisor(self, job: str) -> int:
        for line in reversed((self.home / "journal").read_text().splitlines()):
            record = json.loads(line)
            if record.get("id") == job and record.get("by"):
                return int(record["by"][3])
        raise AssertionError(f"job {job} has no supervisor")


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    live = [job for job, record in manager.jobs().items() if record["state"] not in OVER]
    if live:
        manager.call("cancel", *live)
    for job in live:
        manager.ended(job)


# What a job waits for, beside others


def test_of_an_array_no_more_elements_run_at_a_time_than_it_says_and_other_jobs_pass_them(tmp_path: Path) -> None:
    manager = Manager(tmp_path, cores=8)
    text = "ls running | wc -l >>seen; touch running/$PSIJ_LOCAL_ARRAY_INDEX; sleep 0.3; rm running/$PSIJ_LOCAL_ARRAY_INDEX"
    (tmp_path / "running").mkdir()
    array = manager.submit(text, "--array", "0-5%2")
    behind = manager.submit("true")
    assert manager.ended(behind)["started"] < manager.ended(f"{array}_5")["started"]
    assert {manager.ended(f"{array}_{index}")["state"] for index in range(6)} == {"DONE"}
    assert len(manager.read("seen")) == 6
    assert max(map(int, manager.read("seen"))) <= 1  # others that ran when an element started
    spans = [(job["started"], job["ended"]) for name, job in manager.jobs().items() if name.startswith(array)]
    assert all(sum(begin <= start < end for begin, end in spans) <= 2 for start, _ in spans)


def test_a_job_starts_at_its_time_though_nobody_asks_for_it_and_others_pass_it(local: Manager) -> None:
    begin = time.time() + 1.5
    waiting = local.submit("date +%s.%N >began", "--begin", f"{begin:.2f}", "--cores", "2")
    assert (local.state(waiting), local.jobs()[waiting]["reason"]) == ("QUEUED", "waits for its begin")
    assert local.ended(local.submit("true", "--cores", "2"))["state"] == "DONE"
    began = float(until(lambda: local.read("began"), "it began, by itself")[0])
    assert begin <= began < begin + 20
    assert local.ended(waiting)["started"] >= begin
    assert local.jobs()[waiting]["reason"] == ""


def test_a_job_whose_time_has_passed_unnoticed_is_started_by_the_next_command(local: Manager) -> None:
    job = local.submit("true", "--begin", f"{time.time() + 1:.2f}", "--hold")
    time.sleep(1.5)  # its time passes while it is held
    assert local.state(job) == "HELD"
    local.ok("release", job)
    assert local.ended(job)["state"] == "DONE"


def test_nothing_waits_for_the_time_of_a_job_that_was_cancelled(local: Manager) -> None:
    job = local.submit("true", "--begin", f"{time.time() + 3600:.0f}")

    def sleepers() -> list[str]:
        said = f"--psij-local-waker\0{job}\0".encode()
        folders = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if said in _bytes(path)]
        return [folder.name for folder in folders if _bytes(folder / "environ").find(str(local.home).encode()) >= 0]

    until(sleepers, "a process sleeps until then")
    local.ok("cancel", job)
    until(lambda: not sleepers(), "it is gone")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_job_that_asks_for_more_memory_than_there_is_is_refused(local: Manager) -> None:
    local.environ["PSIJ_LOCAL_MEMORY_TOTAL"] = "1000"
    assert local.ended(local.submit("true", "--memory", "1000"))["state"] == "DONE"
    code, out, errors = local.call("submit", "--memory", "1001", "-", stdin="true")
    assert (code, out) == (1, "")
    assert errors == "the job asks for 1001 MB of memory, and this machine has 1000 MB\n"
    del local.environ["PSIJ_LOCAL_MEMORY_TOTAL"]
    assert local.call("submit", "--memory", "999999999", "-", stdin="true")[0] == 1


@pytest.mark.parametrize("said", ["0-3%", "0-3%0", "0-3%x", "0-3%-1"])
def test_a_limit_that_is_none_is_refused(local: Manager, said: str) -> None:
    code, _, errors = local.call("submit", "--array", said, "-", stdin="true")
    assert (code, errors) == (2, f"--array {said.partition('%')[2]} is not a whole number from 1 on\n")


def test_a_job_that_waits_for_nothing_is_recorded_as_by_those_who_know_no_such_thing(local: Manager) -> None:
    local.ended(local.submit("true"))
    new = next(
        line["new"] for line in map(json.loads, (local.home / "journal").read_text().splitlines()) if "new" in line
    )
    assert not {"begin", "at_once"} & new.keys()


# How jobs end


def test_it_knows_the_kinds_of_dependencies_that_jobs_have() -> None:
    assert (*DEPENDENCY_KINDS, BY_ELEMENT) == AFTER


def test_the_exit_status_is_kept(local: Manager) -> None:
    good, bad = local.submit("exit 0"), local.submit("exit 3")
    assert (local.ended(good)["state"], local.ended(good)["exit"]) == ("DONE", 0)
    record = local.ended(bad)
    assert (record["state"], record["exit"], record["signal"]) == ("FAILED", 3, None)
    assert record["submitted"] <= record["started"] <= record["ended"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_signal_that_ended_a_job_is_kept(local: Manager, number: int) -> None:
    record = local.ended(local.submit(f"kill -{int(number)} $$"))
    assert (record["state"], record["exit"], record["signal"]) == ("FAILED", None, number)


def test_the_wall_time_ends_a_job(local: Manager) -> None:
    begin = time.monotonic()
    record = local.ended(local.submit("sleep 60", "--time", "0.3"))
    assert record["state"] == "TIMEOUT"
    assert 0.3 <= time.monotonic() - begin < 50  # of the 60 that it would run


def test_the_wall_time_can_be_changed_while_the_job_runs(local: Manager) -> None:
    job = local.submit("sleep 60", "--time", "600")
    local.running(job)
    local.ok("extend", job, "0.2")
    assert local.ended(job)["state"] == "TIMEOUT"
    longer = local.submit("sleep 0.5", "--time", "0.3")
    local.running(longer)
    local.ok("extend", longer, "+60")
    assert local.ended(longer)["state"] == "DONE"


def test_a_job_that_cannot_be_started_says_why(local: Manager) -> None:
    record = local.ended(local.submit("true", "--output", "no/such/folder/out"))
    assert record["state"] == "FAILED"
    assert record["reason"].startswith("LaunchFailed: ")
    assert "No such file" in record["reason"]


def test_a_damaged_copy_of_a_script_is_never_run(local: Manager) -> None:
    job = local.submit("exit 0", "--hold")
    (local.home / "jobs" / job / "script").write_bytes(b"\0\0\0\0\0\0")
    local.ok("release", job)
    assert "damaged" in local.ended(job)["reason"]


# Cancelling: every process of the job


def test_a_queued_job_is_cancelled_without_a_process(local: Manager) -> None:
    local.submit("sleep 60", "--cores", "2")
    job = local.submit("touch never")
    local.ok("cancel", job)
    assert local.state(job) == "CANCELLED"
    assert not (local.folder / "never").exists()
    assert local.call("cancel", job) == (0, "", "")


DAEMONS = """
(trap '' TERM; setsid sh -c 'trap "" TERM; echo $$ > daemon; env -i sleep 99; sleep 99' > /dev/null 2>&1 &)
setsid --fork env -i /bin/sh -c 'echo $$ > bare; sleep 98; sleep 97'
sleep 96 & echo $! > child
"""


@pytest.mark.parametrize("how", ["cancel", "end", "time"])
def test_no_descendant_is_left(local: Manager, how: str) -> None:
    last = "until [ -s daemon ] && [ -s bare ]; do sleep 0.01; done" if how == "end" else "wait; sleep 95"
    job = local.submit(DAEMONS + last, "--time", "1" if how == "time" else "0")
    pids = [local.pid(name) for name in ("daemon", "bare", "child")]
    if how == "cancel":
        local.ok("cancel", job)
    assert local.ended(job)["state"] == {"cancel": "CANCELLED", "end": "DONE", "time": "TIMEOUT"}[how]
    assert [pid for pid in pids if runs(pid)] == []


def test_a_job_that_a_job_submits_outlives_it(local: Manager) -> None:
    inner = local.folder / "inner.sh"
    inner.write_text("echo $PSIJ_LOCAL_JOB_ID $PSIJ_LOCAL_ARRAY_INDEX > inner; sleep 0.5; echo over >> inner\n")
    job = local.submit(f"{sys.executable} -I -S {FOLDER} submit inner.sh", "--array", "0-0")
    assert local.ended(f"{job}_0")["state"] == "DONE"
    assert local.ended("2")["state"] == "DONE"
    assert local.read("inner") == ["2", "over"]


def test_a_signal_goes_to_the_script_alone(local: Manager) -> None:
    job = local.submit("trap 'echo got > got; exit 4' USR1; sleep 60 & echo $! > up; while :; do wait; done")
    local.pid("up")
    local.ok("signal", job, "USR1")
    assert local.ended(job)["exit"] == 4
    assert local.read("got") == ["got"]
    assert local.call("signal", job, "USR1")[0] == 1


# The queue


def test_jobs_start_first_in_first_out_as_cores_allow(local: Manager) -> None:
    body = "echo $PSIJ_LOCAL_JOB_ID >> order; sleep 0.1; "
    small = local.submit(body + "while [ ! -e go ]; do sleep 0.01; done")
    large = local.submit(body, "--cores", "2")
    rest = [local.submit(body) for _ in range(4)]
    local.running(small)
    # A core is free, but it is the large job's turn.
    assert {local.state(job) for job in [large, *rest]} == {"QUEUED"}
    reasons = {job: row["reason"] for job, row in local.jobs().items()}
    assert (reasons[small], reasons[large]) == ("", "waits for cores: 1 of 2 are in use")
    assert {reasons[job] for job in rest} == {"waits for the jobs before it"}
    assert f"reason: {reasons[large]}\n" in local.ok("show", large)
    assert "cores_busy=1\n" in local.ok("info")
    (local.folder / "go").touch()
    for job in [small, large, *rest]:
        assert local.ended(job)["state"] == "DONE"
    assert local.read("order")[:2] == [small, large]
    jobs = local.jobs()
    starts = [jobs[job]["started"] for job in [small, large, *rest]]
    assert jobs[large]["ended"] <= min(starts[2:])
    assert max(starts[2:4]) <= min(starts[4:])


def test_a_job_that_can_never_run_is_refused(local: Manager) -> None:
    code, out, errors = local.call("submit", "--cores", "3", "-", stdin="true")
    assert (code, out, errors) == (1, "", "the job asks for 3 cores, and this machine has 2\n")
    assert not local.home.exists()


def test_a_held_job_waits_and_is_stepped_over(local: Manager) -> None:
    held = local.submit("true", "--hold")
    assert local.ended(local.submit("true", "--cores", "2"))["state"] == "DONE"
    assert local.state(held) == "HELD"
    local.ok("release", held)
    assert local.ended(held)["state"] == "DONE"
    local.submit("sleep 60", "--cores", "2")
    waiting = local.submit("true")
    local.ok("hold", waiting)
    assert local.state(waiting) == "HELD"
    assert local.call("hold", held) == (1, "", f"job {held} has ended\n")


def test_what_has_ended_or_runs_of_an_array_is_passed_over(local: Manager) -> None:
    array = local.submit("true", "--array", "0-2", "--hold")
    local.ok("cancel", f"{array}_1")
    local.ok("release", array)
    assert [local.ended(f"{array}_{index}")["state"] for index in range(3)] == ["DONE", "CANCELLED", "DONE"]
    assert local.call("release", array) == (1, "", f"job {array} has ended\n")
    array = local.submit("sleep 60", "--array", "0-1", "--cores", "2")
    until(lambda: local.state(f"{array}_0") == "RUNNING", "it runs")
    assert local.call("hold", array) == (0, "", f"job {array}_0 is running already\n")
    assert local.state(f"{array}_1") == "HELD"
    assert local.call("hold", f"{array}_0") == (1, "", f"job {array}_0 is running already\n")


def test_a_job_waits_for_others_to_end_well(local: Manager) -> None:
    first = local.submit("while [ ! -e go ]; do sleep 0.01; done")
    second = local.submit("true", "--after", first)
    third = local.submit("false", "--after", f"{first},{second}")
    never = local.submit("true", "--after", third)
    beyond = local.submit("true", "--after", never)
    assert (local.state(second), local.jobs()[second]["reason"]) == ("QUEUED", "waits for other jobs to end")
    assert local.ended(local.submit("true"))["state"] == "DONE"
    (local.folder / "go").touch()
    assert local.ended(second)["state"] == "DONE"
    assert local.ended(third)["state"] == "FAILED"
    for job in (never, beyond, local.submit("true", "--after", third)):
        record = local.ended(job)
        assert (record["state"], record["reason"]) == ("CANCELLED", "DependencyNeverSatisfied")
    assert local.call("submit", "--after", "99", "-", stdin="true") == (1, "", "no such job: 99\n")


def test_an_array_of_twenty_with_one_that_fails(local: Manager) -> None:
    script = "echo $PSIJ_LOCAL_ARRAY_INDEX; [ $PSIJ_LOCAL_ARRAY_INDEX != 7 ]"
    job = local.submit(script, "--array", "0-19", "--output", "out.%a")
    after = local.submit("true", "--after", f"{job}_3")
    ids = [f"{job}_{index}" for index in range(20)]
    states = {one: local.ended(one)["state"] for one in ids}
    assert states == {one: "FAILED" if one.endswith("_7") else "DONE" for one in ids}
    assert [local.read(f"out.{index}") for index in range(20)] == [[str(index)] for index in range(20)]
    assert local.ended(after)["state"] == "DONE"
    until(lambda: not (local.home / "jobs" / job).exists(), "its folder is removed, after its end is told")


def test_an_array_is_cancelled_as_one(local: Manager) -> None:
    job = local.submit("sleep 60", "--array", "0-4")
    local.running(f"{job}_1")
    local.ok("cancel", job)
    assert {local.ended(f"{job}_{index}")["state"] for index in range(5)} == {"CANCELLED"}


def test_two_state_directories_are_two_managers(local: Manager, tmp_path: Path) -> None:
    other = Manager(tmp_path / "other")
    other.folder.mkdir()
    local.submit("sleep 60", "--cores", "2")
    assert other.ended(other.submit("true", "--cores", "2"))["state"] == "DONE"
    assert len(local.jobs()) == 1


# What a job finds, and what others see


def test_a_job_has_the_given_environment_and_its_own_variables(local: Manager) -> None:
    local.environ |= {"ODD": "a b\n'\"$x\udcff", "PSIJ_LOCAL_ARRAY_INDEX": "5"}
    script = "#!/bin/bash\n\n# words\n#PSIJ-LOCAL --cores 2 --name one\n#PSIJ-LOCAL --tag t1\npwd; env -0\n"
    script += "echo oops >&2; readlink /proc/self/fd/0\n#PSIJ-LOCAL --tag no\n"
    job = local.submit(script, "--output", "out", "--name", "two|2")
    record = local.ended(job)
    assert (record["tag"], record["name"]) == ("t1", "two|2")
    text = (local.folder / "out").read_bytes()
    assert text.startswith(os.fsencode(local.folder) + b"\n")
    assert text.endswith(b"oops\n/dev/null\n")
    for line in (f"PSIJ_LOCAL_JOB_ID={job}", "PSIJ_LOCAL_CORES=2", "PSIJ_LOCAL_ATTEMPT=0", "ODD=a b\n'\"$x\udcff"):
        assert os.fsencode(line) + b"\0" in text
    assert b"PSIJ_LOCAL_ARRAY_INDEX" not in text
    assert b"HOME=" not in text.replace(b"PSIJ_LOCAL_HOME=", b"")
    assert stat.S_IMODE((local.folder / "out").stat().st_mode) == 0o600
    assert sorted(path.name for path in local.folder.iterdir()) == ["out", "state"]


def test_secrets_stay_private(local: Manager) -> None:
    local.environ["SECRET"] = "hunter2"
    job = local.submit("sleep 60")
    local.running(job)
    pid = local.supervisor(job)
    for name in ("environ", "cmdline"):
        assert b"hunter2" not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert os.getsid(pid) not in (os.getsid(0), 0)
    modes = {stat.S_IMODE(path.lstat().st_mode) for path in [local.home, *local.home.rglob("*")]}
    assert modes == {0o700, 0o600}


def test_the_submitter_keeps_neither_children_nor_zombies(local: Manager) -> None:
    before = set(children())
    for _ in range(3):
        local.submit("true")
    assert set(children()) == before


def children() -> list[str]:
    return [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def test_errors_are_sentences(local: Manager) -> None:
    assert local.call("cancel", "99") == (1, "", "no such job: 99\n")
    job = local.submit("sleep 60")
    assert local.call("cancel", "99", job) == (1, "", "no such job: 99\n")
    assert local.ended(job)["state"] == "CANCELLED"
    for words in (["frob"], ["submit"], ["submit", "--frob", "x"], ["signal", job, "FROB"], ["submit", "--cores"]):
        code, out, errors = local.call(*words)
        assert (code, out, errors.count("\n")) == (2, "", 1)
    assert local.call("submit", "missing.sh")[0] == 1
    shown = json.loads(local.ok("show", "--json", job))
    assert (shown[0]["id"], shown[0]["state"]) == (job, "CANCELLED")
    assert f"id: {job}\nstate: CANCELLED\n" in local.ok("show", job)


# Who is killed when


def test_a_job_outlives_its_submitter(local: Manager) -> None:
    code = (
        "import os, sys; from psij_parsl.providers.local.manager import main\n"
        "main(['submit', '-'], stdin='sleep 0.3; echo over > over'); os.killpg(0, 9)"
    )
    environ = {**local.environ, "PYTHONPATH": str(FOLDER.parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=local.folder, start_new_session=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert local.ended("1")["state"] == "DONE"
    assert local.read("over") == ["over"]


def test_a_dead_supervisor_loses_its_job_and_the_queue_goes_on(local: Manager) -> None:
    job = local.submit(DAEMONS.replace("env -i ", "") + "wait; sleep 95", "--cores", "2")
    after = local.submit("true")
    pids = [local.pid(name) for name in ("daemon", "bare", "child")]
    pid = local.supervisor(job)
    os.kill(pid, signal.SIGKILL)
    record = local.ended(job)
    assert (record["state"], record["reason"]) == ("LOST", f"its supervisor (pid {pid}) is gone")
    assert [pid for pid in pids if runs(pid)] == []
    assert local.ended(after)["state"] == "DONE"
    assert local.ended(job)["state"] == "LOST"


@pytest.mark.slow
def test_a_running_supervisor_finds_the_dead_one(local: Manager) -> None:
    """The queue goes on though nobody looks."""
    local.submit("sleep 60")
    job = local.submit("sleep 60")
    local.submit("touch went")
    local.running(job)
    os.kill(local.supervisor(job), signal.SIGKILL)
    until(lambda: (local.folder / "went").exists(), "the next job starts")


@pytest.mark.slow
def test_after_a_reboot_a_job_is_lost(local: Manager) -> None:
    job = local.submit("sleep 60")
    local.running(job)
    pid = local.supervisor(job)
    with (local.home / "journal").open("a") as file:
        file.write(json.dumps({"id": job, "by": [os.uname().nodename, "another boot", "pid:[1]", 1, "1"]}) + "\n")
    assert local.ended(job)["reason"] == "the machine was restarted"
    assert local.state(job) == "LOST"
    # Should the supervisor live all the same, it sees that the job is no longer its own.
    until(lambda: not runs(pid), "the supervisor leaves")


def test_a_start_that_nobody_took_up_is_repeated(local: Manager) -> None:
    """The submitter was killed between its note that the job starts and the start."""
    job = local.submit("echo $PSIJ_LOCAL_JOB_ID >> ran", "--hold")
    note = {"id": job, "state": "STARTING", "nonce": "x", "since": time.time() - 60, "starts": 1}
    with (local.home / "journal").open("a") as file:
        file.write(json.dumps(note) + "\n")
    assert local.ended(job)["state"] == "DONE"
    assert local.read("ran") == [job]


def test_a_supervisor_that_comes_too_late_leaves(local: Manager) -> None:
    job = local.submit("echo ran >> ran", "--hold")
    words = [sys.executable, "-I", "-S", str(FOLDER / "__main__.py"), "--psij-local-supervisor", job, "x"]
    assert subprocess.run(words, env=local.environ, check=False, timeout=300).returncode == 0
    assert local.state(job) == "HELD"
    assert not local.read("ran")


# The state directory


@pytest.mark.slow
def test_two_hundred_jobs_from_twenty_processes_at_once(tmp_path: Path) -> None:
    local = Manager(tmp_path, cores=8)
    code = (
        "from psij_parsl.providers.local.manager import main\n"
        "for _ in range(10): print(main(['submit', '-'], stdin='echo $PSIJ_LOCAL_JOB_ID >> ran'))"
    )
    environ = {**local.environ, "PYTHONPATH": str(FOLDER.parent.parent)}

    def submit_ten(_: int) -> str:
        words = [sys.executable, "-c", code]
        return subprocess.run(words, env=environ, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    with ThreadPoolExecutor(20) as pool:
        printed = "".join(pool.map(submit_ten, range(20))).splitlines()
    ids = sorted(str(number) for number in range(1, 201))
    assert sorted(printed) == sorted(f"(0, '{one}\\n', '')" for one in ids)
    until(lambda: {job["state"] for job in local.jobs().values()} == {"DONE"}, "all jobs end", 60)
    assert sorted(local.jobs()) == ids
    assert sorted(local.read("ran")) == ids


def test_a_torn_record_harms_nothing(local: Manager) -> None:
    first = local.submit("true")
    local.ended(first)
    journal = local.home / "journal"
    with journal.open("ab") as file:
        file.write(b'{"id": "1", "state": "LOST"\n\0\0\0\n{"id": "1", "sta')
    assert local.state(first) == "DONE"
    assert local.ended(local.submit("true"))["state"] == "DONE"
    assert b'"sta{' not in journal.read_bytes()
    assert sorted(local.jobs()) == ["1", "2"]


_WRONG = {
    "since": "x",
    "limit": None,
    "state": 7,
    "by": 5,
    "starts": 1e400,
    "cancel": [],
    "ended": "now",
    "exit": "0",
    "reason": None,
    "spec": 5,
    "index": 3,
    "nonce": {},
    "started": True,
}
_NEW = {
    "tag": 3,
    "after": [4],
    "array": "0-99999999999",
    "at_once": "2",
    "begin": None,
    "cores": "1",
    "id": "x",
    "affinity": ["0"],
    "umask": 1e400,
    "name": None,
}


def test_damaged_lines_of_the_journal_cost_themselves_only(local: Manager) -> None:
    held, gone = local.submit("true", "--hold"), local.submit("true")
    local.ended(gone)
    journal = local.home / "journal"
    new = next(line["new"] for line in map(json.loads, journal.read_bytes().splitlines()) if "new" in line)
    bad = [json.dumps({"id": held, field: value}) for field, value in _WRONG.items()]
    bad += [
        json.dumps({"id": held, "state": "RUNNING", "by": by}) for by in ([], [1, 2, 3, 4, 5], "abcde", ["h"] * 5)
    ]
    bad += [json.dumps({"new": {**new, "id": "77", field: value}}) for field, value in _NEW.items()]
    bad += ['{"new": 3}', '{"id": ["1"]}', '{"version": 1, "next": 1e400, "history": [0, 0, 0]}', "[" * 200_000]
    with journal.open("a") as file:
        file.write("\n".join(bad) + "\n")
    assert (local.state(held), local.state(gone)) == ("HELD", "DONE")
    local.ok("release", held)
    assert local.ended(held)["state"] == "DONE"
    assert local.ended(local.submit("true"))["state"] == "DONE"
    assert sorted(local.jobs()) == ["1", "2", "3"]


def test_a_damaged_record_of_an_ended_job_is_passed_over(local: Manager) -> None:
    first = local.submit("true")
    local.ended(first)
    rows = f"77|DONE|0|x\n78|DONE|zero||||||||\n79|{local.call('list')[1].partition('|')[2].strip()}\n"
    (local.home / "ended.1").write_text(rows)
    text = (local.home / "journal").read_text().splitlines()
    head = json.dumps({"version": 1, "next": 90, "history": [1, len(rows), 3]})
    (local.home / "journal").write_text("\n".join([head, *text[1:]]) + "\n")
    for words in (["show", "--json"], ["show"]):
        code, out, errors = local.call(*words, "77", "78", "79", first)
        assert code == 0
        assert (out.count("DONE"), errors.count("damaged")) == (2, 2)
    assert local.state(first) == "DONE"


def test_a_full_disk_is_an_error_and_corrupts_nothing(local: Manager) -> None:
    job = local.submit("true", "--hold")
    before = (local.home / "journal").read_bytes()
    code = (
        "import resource, signal; from psij_parsl.providers.local.manager import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 50}, -1))\n"
        "print(main(['submit', '-'], stdin='true'), main(['list'])[0])"
    )
    environ = {**local.environ, "PYTHONPATH": str(FOLDER.parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == f"(1, '', '{local.home}/journal cannot be written: File too large\\n') 0\n"
    assert (local.home / "journal").read_bytes() == before
    local.ok("release", job)
    assert local.ended(job)["state"] == "DONE"


def test_ten_thousand_ended_jobs_are_listed_quickly(local: Manager) -> None:
    now = time.time()
    rows = "".join(f"{n}|DONE|0|||{now:.3f}|{now:.3f}|{now:.3f}|host|tag{n}|job {n}\n" for n in range(1, 10_001))
    local.home.mkdir(mode=0o700)
    (local.home / "ended.1").write_text(rows + "10001|DO")
    # The first line of the journal is missing: no id is given twice all the same.
    job = local.submit("true")
    assert job == "10001"
    local.ended(job)
    best = min(timed(lambda: local.ok("list")) for _ in range(5))
    assert len(local.jobs()) == 10_001
    assert best < 0.05


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def test_old_jobs_leave_the_journal_and_then_the_list(local: Manager) -> None:
    array = local.submit("sleep 60", "--array", "0-299")
    local.ok("cancel", array)
    keep = local.submit("true", "--hold")
    for index in range(300):
        local.ended(f"{array}_{index}")
    for _ in range(4):
        local.ok("cancel", local.submit("sleep 60", "--array", "0-99"))
    until(lambda: (local.home / "ended.0").exists(), "the journal is cleared")
    until(lambda: len([j for j in local.jobs().values() if j["state"] == "CANCELLED"]) == 700, "all ended")
    assert local.state(keep) == "HELD"
    assert len((local.home / "journal").read_text().splitlines()) < 600
    assert local.state(f"{array}_0") == "CANCELLED"
    assert len(local.ok("show", array).split("\n\n")) == 300
    assert local.call("cancel", f"{array}_5") == (0, "", "")
    assert local.call("hold", array) == (1, "", f"job {array} has ended\n")
    local.environ["PSIJ_LOCAL_RETENTION"] = "0"
    assert list(local.jobs()) == [keep]
    assert local.call("show", array)[0] == 0
    del local.environ["PSIJ_LOCAL_RETENTION"]
