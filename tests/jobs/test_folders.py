"""Whose a job's folder is: what `clean` may take, and what `logs` says of output that cannot be shown."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.cli.commands import clean
from psij_parsl.jobs.job_places import owner_of
from psij_parsl.jobs.journal import Journal
from tests.cli.helpers import psij, psij_here
from tests.jobs.test_journal import DONE, add, output, python

pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.slow]

LONG_AGO = time.time() - 3 * 86400


def age(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)


def loose(*words: str) -> list[str]:
    done = psij_here("clean", "--json", *words)
    assert done.returncode == 0, done.stderr
    return [Path(path).name for path in json.loads(done.stdout)["loose"]]


def submitted(home: Path, spool: Path, **fields: object) -> Path:
    """The folder of a job of that state directory, in that spool."""
    return BatchSchedulerExecutor("local", home=home, spool=spool).submit(Job(command=["true"], **fields)).folder  # type: ignore[arg-type]  # a job's fields


def test_clean_takes_no_folder_of_another_state_directory_in_the_same_spool(home: Path, tmp_path: Path) -> None:
    spool, other = tmp_path / "spool", tmp_path / "other"
    ours = submitted(home, spool, hold=True)
    theirs = submitted(other, spool, hold=True)  # it waits, for days
    forgotten = submitted(home, spool, hold=True)
    Journal(home).forget([forgotten.name])
    for folder in (ours, theirs, forgotten):
        age(folder)
    assert owner_of(ours) == owner_of(forgotten) == Journal(home).identity != owner_of(theirs)
    assert loose("--older-than", "0") == [forgotten.name]
    assert ours.is_dir()
    assert theirs.is_dir()
    assert not forgotten.exists()
    assert Journal(other).job(Journal(other).get(theirs.name)) is not None


def test_a_folder_that_does_not_say_whose_it_is_stays_unless_it_is_empty(home: Path) -> None:
    journal = Journal(home)
    kept = add(journal)
    journal.forget([kept.id])
    (kept.folder / "owner").unlink()
    empty = home / "jobs" / journal.prepare()[0]
    empty.mkdir()
    for name in ("notes", "0123456789ab"):
        (home / "jobs" / name).mkdir()
        age(home / "jobs" / name)
    age(kept.folder)
    age(empty)
    assert loose("--older-than", "0") == [empty.name]
    assert kept.folder.is_dir()


def test_a_folder_whose_record_was_lost_stays_while_its_job_may_run(home: Path) -> None:
    journal = Journal(home)
    going, ended, young = add(journal), add(journal), add(journal)
    journal.forget([going.id, ended.id, young.id])
    os.symlink("12", going.folder / "claim")
    os.symlink("13", ended.folder / "claim")
    (ended.folder / "exit").write_text("13 0 0 command 1\n")
    for entry in (going, ended):
        age(entry.folder)
    assert loose() == [ended.id]
    assert loose("--older-than", "2d") == [going.id]
    assert young.folder.is_dir()


def test_a_copy_of_a_state_directory_is_another_one(home: Path, tmp_path: Path) -> None:
    entry = add(Journal(home))
    shutil.copytree(home, tmp_path / "copy", symlinks=True)
    copy = Journal(tmp_path / "copy")
    assert copy.identity != Journal(home).identity == owner_of(entry.folder)
    assert Journal(tmp_path / "copy").identity == copy.identity
    os.rename(home, tmp_path / "moved")
    assert Journal(tmp_path / "moved").identity == owner_of(tmp_path / "moved" / "jobs" / entry.id)


def test_processes_that_begin_at_once_agree_whose_the_folders_are(home: Path) -> None:
    code = "print(Journal(Path(sys.argv[1])).identity)"
    told = {output(process) for process in [python(code, home) for _ in range(6)]}
    assert len(told) == 1


def test_what_is_taken_by_another_clean_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "stdout").write_text("four")
    monkeypatch.setattr("os.walk", lambda path: [(str(path), [], ["stdout", "gone"])])
    assert clean._size(folder) == 4
    assert clean._size(tmp_path / "gone") == 0


def test_a_link_in_the_place_of_a_folder_is_not_followed(home: Path, tmp_path: Path) -> None:
    journal = Journal(home)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    entry = add(journal, native="1")
    shutil.rmtree(entry.folder)
    os.symlink(precious, entry.folder)
    journal.end({(entry.id, ""): DONE})
    assert psij("clean", "--older-than", "0").returncode == 0
    assert (precious / "file").exists()
    assert entry.id not in Journal(home).entries()


# ---- logs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "directory"])
def test_output_that_cannot_be_shown_again_is_one_sentence(home: Path, tmp_path: Path, kind: str) -> None:
    path = Path("/dev/null") if kind == "device" else tmp_path / "out"
    job = BatchSchedulerExecutor("local", poll_s=0.2).submit(Job(command=["true"], stdout=path))
    assert job.wait(300).state is JobState.COMPLETED
    if kind != "device":
        path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        os.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("out")
    for words in ((), ("-f",), ("-n", "3"), ("--stderr",)):
        done = psij("logs", job.id, *words)
        assert done.returncode == 1
        assert (
            f"{path}, where job {job.id} writes, is not a file that can be read again: it is a {kind}" in done.stderr
        )
        assert "hint: " in done.stderr
    assert job.result() == ""


def test_logs_of_a_job_whose_folder_is_gone_says_so(home: Path) -> None:
    job = BatchSchedulerExecutor("local", poll_s=0.2).submit(Job(command=["true"]))
    assert job.wait(300).state is JobState.COMPLETED
    (job.folder / "job.json").write_text("{")
    assert f"{job.folder}/job.json cannot be read" in psij("logs", job.id).stderr
    shutil.rmtree(job.folder)
    done = psij("logs", job.id)
    assert done.returncode == 1
    assert f"its folder {job.folder} is gone" in done.stderr
