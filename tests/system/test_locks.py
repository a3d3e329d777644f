"""Locks among processes and threads: one holder at a time, whoever dies or forks, together with filelock's own."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from psij_parsl.errors import JournalError
from psij_parsl.system.locks import Lock, hold_lock, holder, lock, try_lock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "some.lock"


def test_one_has_it_and_the_other_does_not(path: Path) -> None:
    for _ in range(2):  # the file is made, and then it is there
        with hold_lock(lock(path)), try_lock(lock(path)) as ours:
            assert not ours
        with try_lock(lock(path)) as ours:
            assert ours
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("made", [False, True])
def test_filelocks_own_lock_of_that_file_is_the_same_lock(path: Path, made: bool) -> None:
    path.parent.mkdir()
    if made:
        path.touch(0o600)
    theirs = FileLock(path, mode=0o600)
    with hold_lock(lock(path)), pytest.raises(Timeout):
        theirs.acquire(timeout=0)
    with theirs, try_lock(lock(path)) as ours:
        assert not ours


def test_a_thread_may_take_it_again_and_another_may_not(path: Path) -> None:
    mine, seen = lock(path), []
    with hold_lock(mine), hold_lock(mine):
        pass
    with hold_lock(mine):
        with hold_lock(mine):
            pass
        other = threading.Thread(target=lambda: seen.append(mine.take()))
        other.start()
        other.join()
    assert seen == [False]
    with try_lock(lock(path)) as ours:
        assert ours


def test_a_child_that_lives_on_does_not_keep_the_lock_of_a_parent_that_was_killed(path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from psij_parsl.system.locks import hold_lock, lock
mine = lock(Path({str(path)!r}))
with hold_lock(mine):
    pass
with hold_lock(mine):
    if os.fork() == 0:
        sys.stdin.read()  # until the test closes it
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"held\n"
        with try_lock(lock(path)) as ours:
            assert not ours
        parent.send_signal(signal.SIGKILL)
        with hold_lock(lock(path), timeout_s=5):
            pass


def test_what_a_child_inherits_is_its_parents(path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from psij_parsl.system.locks import hold_lock, lock, try_lock
mine = lock(Path({str(path)!r}))
with hold_lock(mine):
    pass
with hold_lock(mine):
    if os.fork() == 0:
        os._exit(1 if mine.take() else 0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    if os.fork() == 0:
        mine.release()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    with try_lock(lock(Path({str(path)!r}))) as ours:
        assert not ours
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_file_that_is_another_name_of_something_else_is_left_to_filelock(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    os.link(path, path.with_name("twin"))
    mine = Lock(path)
    with hold_lock(mine), pytest.raises(Timeout):
        FileLock(path).acquire(timeout=0)
    path.unlink()
    path.symlink_to(path.with_name("twin"))
    with pytest.raises(JournalError, match=r"some\.lock"), hold_lock(lock(path), timeout_s=0):
        pass


def test_a_named_lock_tells_who_has_it_also_after_one_with_a_longer_name(path: Path) -> None:
    mine = lock(path)
    name = Path(f"{path}.holder")
    with hold_lock(mine, named=True):
        assert f"process {os.getpid()} of this host holds it" in holder(mine)
        first = name.read_text()
    name.write_text(f"{first}0123456789")
    with hold_lock(mine, named=True):
        assert name.read_text() == first
