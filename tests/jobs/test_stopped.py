"""A process that was stopped while it holds a lock of ours, a disk that is full, a directory that others can write."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.errors import JournalError
from psij_parsl.jobs.journal import Journal
from psij_parsl.signals import fresh
from psij_parsl.system.locks import hold_lock, holder, lock
from psij_parsl.testing.tools import PATIENCE_S
from tests.cli.helpers import COMMAND, psij
from tests.clusters.slurm import SlurmCluster
from tests.jobs.test_journal import add, in_small_disk, output, python
from tests.providers.slurm.helpers import Shims

pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.slow]

HOLD = """
from psij_parsl.system.locks import hold_lock, lock
with hold_lock(lock(Path(sys.argv[1])), named=True):
    print("held", flush=True)
    time.sleep(600)
"""


HOLD_LOCAL = """
import fcntl
file = open(sys.argv[1], "r+")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def stopped_holder(path: Path, how: str = HOLD) -> Iterator[subprocess.Popen[str]]:
    """A process that holds that lock and is stopped."""
    process = python(how, path)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# ---- a stopped holder of the journal's lock ------------------------------------------------------------------------


def test_who_only_looks_is_answered_while_the_journals_lock_is_held_by_a_stopped_process(home: Path) -> None:
    executor = BatchSchedulerExecutor("local", poll_s=0.2)
    job = executor.submit(Job(command=["echo", "here"]))
    deadline = time.monotonic() + 60
    while not (job.folder / "exit").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with stopped_holder(home / "journal.lock") as process:
        for words in (["status", job.id], ["info", job.id], ["list"], ["wait", job.id], ["logs", job.id]):
            done = psij(*words, "--json") if words[0] in ("status", "list") else psij(*words)
            assert done.returncode == 0, done.stderr
            if words[0] == "status":
                assert json.loads(done.stdout)[0]["state"] == "COMPLETED"
                assert "what the manager answered could not be recorded" in done.stderr
                assert f"kill -CONT {process.pid}" in done.stderr
        assert Journal(home).get(job.id).open  # nothing was written
    assert json.loads(psij("status", job.id, "--json").stdout)[0]["state"] == "COMPLETED"
    assert not Journal(home).get(job.id).open


def test_a_submit_says_for_whom_it_waits_and_heeds_the_first_interrupt(home: Path) -> None:
    Journal(home)
    with stopped_holder(home / "journal.lock") as process:
        submit = subprocess.Popen(
            [*COMMAND, "submit", "--platform", "local", "--", "true"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert submit.stderr
        said = submit.stderr.readline()
        assert "waiting for the lock" in said
        assert f"process {process.pid} of this host holds it and is stopped: `kill -CONT {process.pid}`" in said
        submit.send_signal(signal.SIGINT)
        out, _ = submit.communicate(timeout=300)
        assert submit.returncode == 130
        assert out == ""
    assert not Journal(home).entries()
    assert not list((home / "jobs").iterdir())


def test_who_only_looks_is_answered_while_the_local_managers_lock_is_held_by_a_stopped_process(home: Path) -> None:
    job = psij("submit", "--", "sleep", "600").stdout.strip()
    after = psij("submit", "-d", f"afterany:{job}", "--", "true").stdout.strip()
    journal = home / "local" / "journal"
    deadline = time.monotonic() + 60
    while not (found := re.search(rb'"by": \[.*?, (\d+), "\d+"\]', journal.read_bytes())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with stopped_holder(home / "local" / "lock", HOLD_LOCAL) as process:
        os.kill(int(found[1]), signal.SIGKILL)  # its supervisor: who looks would bury it and start the other one
        before = journal.read_bytes()
        began = time.monotonic()
        row = json.loads(psij("status", after, "--json").stdout)[0]
        assert (row["state"], time.monotonic() - began < 60) == ("QUEUED", True)
        for words in (["cancel", after], ["submit", "--", "true"]):
            asked = subprocess.Popen(
                [*COMMAND, *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=fresh()
            )
            assert asked.stderr
            assert f"kill -CONT {process.pid}" in asked.stderr.readline()
            asked.send_signal(signal.SIGINT)
            assert asked.wait(300) == 130
            asked.communicate()
        assert journal.read_bytes() == before
        process.send_signal(signal.SIGKILL)
    assert psij("wait", job, after).returncode == 5
    assert json.loads(psij("status", after, "--json").stdout)[0]["state"] == "COMPLETED"  # it was not cancelled


def test_a_submit_goes_on_when_the_holder_does(home: Path) -> None:
    with stopped_holder(home / "journal.lock") as process:
        submit = subprocess.Popen(
            [*COMMAND, "submit", "--platform", "local", "--", "true"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert submit.stderr
        assert "waiting for the lock" in submit.stderr.readline()
        process.kill()
        out, _ = submit.communicate(timeout=300)
        assert submit.returncode == 0
        assert out.strip() in Journal(home).entries()


def test_a_signal_that_came_before_does_not_keep_one_from_the_lock(home: Path) -> None:
    """After Ctrl-C, `run` cancels its job, and must wait for its turn like everybody."""
    code = """
from psij_parsl.signals import registered, should_exit
with registered():
    os.kill(os.getpid(), signal.SIGINT)
    assert should_exit(5)
    print("asked", flush=True)
    with hold_lock(lock(Path(sys.argv[1])), timeout_s=60):
        print("had", flush=True)
"""
    with hold_lock(lock(home / "some.lock")):
        process = python(code, home / "some.lock")
        assert process.stdout
        assert process.stdout.readline() == "asked\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
    out, errors = process.communicate(timeout=300)
    assert out == "had\n", errors


def test_who_holds_a_lock_is_told_as_far_as_it_is_known(home: Path) -> None:
    made = lock(home / "some.lock")
    assert holder(made) == ""
    with hold_lock(made, named=True):
        assert holder(made) == f"process {os.getpid()} of this host holds it"
    signed = Path(f"{made.lock_file}.holder")
    host, boot, pid, start = signed.read_text().split("/")
    signed.write_text(f"elsewhere/{boot}/{pid}/{start}")
    assert holder(made) == f"process {pid} on elsewhere held it last: is it stopped?"
    for text in (f"{host}/{boot}/{pid}/1", "", "nonsense", "a/b/c/d", "\xff"):
        signed.write_text(text, encoding="latin-1")
        assert holder(made) == "" or text == "a/b/c/d"


# ---- a stopped holder of the snapshot's lock -------------------------------------------------------------------------


@pytest.mark.parametrize("asked_before", [True, False])
def test_the_next_in_row_asks_while_the_process_that_was_to_ask_is_stopped(home: Path, asked_before: bool) -> None:
    executor = BatchSchedulerExecutor("local", poll_s=0.2)
    job = executor.submit(Job(command=["true"]))
    if asked_before:
        executor.status([job.id])
    path = executor.snapshot.path
    with stopped_holder(path.with_suffix(".lock")) as process:
        assert job.wait(PATIENCE_S).state is JobState.COMPLETED
        second = psij("submit", "--platform", "local", "--", "true").stdout.strip()
        done = psij("wait", second)
        assert done.returncode == 0
        assert f"kill -CONT {process.pid}" in done.stderr
    assert psij("status", second).stderr == ""


# ---- a disk that is full ---------------------------------------------------------------------------------------------

FILLED = """
import shutil
journal = Journal(disk / "state")
executor = BatchSchedulerExecutor("local", home=disk / "state", poll_s=0.1)
job = executor.submit(Job(command=["true"]))
deadline = time.monotonic() + 60
while not (job.folder / "exit").exists():
    assert time.monotonic() < deadline
    time.sleep(0.05)
log = disk / "state" / "journal.jsonl"
with open(log, "a") as file:
    file.write("{}" + " " * (4093 - log.stat().st_size % 4096) + chr(10))
full = fill(disk)
while (first := executor.status([job.id], urgent=True)[0].state.name) == "ACTIVE":  # its supervisor is about to end
    assert time.monotonic() < deadline
print(first, executor.status([job.id])[0].state.name)
assert Journal(disk / "state").get(job.id).open
full.unlink()
time.sleep(0.3)
print(BatchSchedulerExecutor("local", home=disk / "state", poll_s=0.1).status([job.id], urgent=True)[0].state.name)
assert not Journal(disk / "state").get(job.id).open
"""


def test_a_status_is_told_though_the_end_cannot_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSIJ_LOCAL_HOME", str(tmp_path / "manager"))
    code = "from psij_parsl import BatchSchedulerExecutor\n" + FILLED
    assert in_small_disk(code, tmp_path / "disk", "1m").splitlines() == ["COMPLETED COMPLETED", "COMPLETED"]


FILLS = """
script=$(cat)
"$real" "$@" <<<"$script" >DISK/answer || exit
log=DISK/state/journal.jsonl
printf "{}%$((4093 - $(stat -c %s $log) % 4096))s\\n" "" >>$log
cat DISK/answer
head -c 8388608 /dev/zero >DISK/fill 2>/dev/null
exit 0
"""
AT_COMMIT = """
from psij_parsl import BatchSchedulerExecutor
executor = BatchSchedulerExecutor("slurm", home=disk / "state", poll_s=0.3)
try:
    executor.submit(Job(command=["true"], hold=True))
except JournalError as error:
    print(json.dumps([error.message, error.hint]))
(disk / "fill").unlink()
print(json.dumps(list(executor.journal.entries())))
deadline = time.monotonic() + 60
[entry] = executor.journal.entries().values()
while not executor.journal.get(entry.id).native:
    assert time.monotonic() < deadline
    executor.status([entry.id], urgent=True)
    time.sleep(0.3)
print(json.dumps(executor.journal.get(entry.id).native))
executor.cancel([entry.id])
"""


@pytest.mark.parametrize("slurm", ["plain"], indirect=True)
def test_a_disk_that_is_full_at_the_commit_says_that_the_manager_has_the_job_and_it_is_found(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, shims = tmp_path / "disk", Shims(tmp_path / "shims")
    monkeypatch.setenv("PATH", shims.path)
    shims.put("sbatch", FILLS.replace("DISK", str(disk)))
    told, ids, native = map(json.loads, in_small_disk(AT_COMMIT, disk, "2m").splitlines())
    message, hint = told
    [job_id] = ids
    assert re.match(rf"slurm has taken job {job_id} as {native}, but that could not be written down", message)
    assert "No space left on device" in message
    assert "do not submit it again" in hint
    assert job_id in hint


# ---- others who can write --------------------------------------------------------------------------------------------


def test_a_state_directory_that_others_can_write_is_refused(home: Path) -> None:
    entry = add(Journal(home), native="1")
    for mode, who in ((0o777, "others"), (0o1777, "others"), (0o702, "others")):
        home.chmod(mode)
        for words in (["status"], ["list", "--all"], ["submit", "--platform", "local", "--", "true"]):
            done = psij(*words)
            assert done.returncode == 3
            assert f"{who} can write to the state directory {home}" in done.stderr
            assert f"hint: chmod go-w {home}" in done.stderr
            assert len(done.stderr.splitlines()) == 2
        home.chmod(0o755)
        assert Journal(home).get(entry.id) == entry


def test_a_group_may_write_only_if_it_is_the_owners_private_one(home: Path) -> None:
    add(Journal(home), native="1")
    home.chmod(0o770)
    os.chown(home, -1, os.getgid())
    assert len(Journal(home).entries()) == 1  # pytest's user has a group of its own
    if os.geteuid():
        pytest.skip("only root can give a directory to another group")
    os.chown(home, -1, 100)
    with pytest.raises(JournalError, match="your group can write"):
        Journal(home).entries()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_state_directory_or_a_spool_of_another_user_is_refused(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    os.chown(home, 65534, -1)
    with pytest.raises(JournalError, match=r"belongs to another user \(uid 65534\)"):
        Journal(home).entries()
    os.chown(home, 0, -1)
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    os.chown(spool, 65534, -1)
    executor = BatchSchedulerExecutor("local", spool=spool)
    with pytest.raises(JournalError, match=r"where job folders are to lie, belongs to another user"):
        executor.submit(Job(command=["true"]))
    spool.chmod(0o1777)  # as /tmp: nobody can take away what is another's
    assert executor.submit(Job(command=["true"])).wait(PATIENCE_S).state is JobState.COMPLETED
    os.chown(spool, 0, -1)
    spool.chmod(0o777)
    with pytest.raises(JournalError, match="others can write to"):
        BatchSchedulerExecutor("local", spool=spool).submit(Job(command=["true"]))
    assert sorted(path.name for path in spool.iterdir() if path.name not in Journal(home).entries()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="as root, all directories above are root's own")
def test_a_directory_above_that_others_can_write_is_refused_up_to_one_that_is_roots_or_sticky() -> None:
    with tempfile.TemporaryDirectory() as place:  # not pytest's, which other users may not enter
        os.chmod(place, 0o755)
        above = Path(place, "above")
        home = above / "between" / "state"
        home.mkdir(parents=True)
        for path in (above, above / "between", home):
            os.chown(path, 65534, 65534)
        above.chmod(0o777)
        code = (
            "os.setegid(65534); os.seteuid(65534)\n"
            "try:\n    print(len(Journal(Path(sys.argv[1])).entries()))\n"
            "except JournalError as error:\n    print(error.message)\n"
        )
        assert f"others can write to {above}" in output(python(code, home))
        above.chmod(0o1777)
        assert output(python(code, home)) == "0\n"
