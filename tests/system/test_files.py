"""New files that are the same as the ones before them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from psij_parsl.errors import JournalError
from psij_parsl.system.files import LastWritten


def inodes(*paths: Path) -> int:
    return len({path.stat().st_ino for path in paths})


def test_the_same_text_is_the_same_file_and_another_text_is_not(tmp_path: Path) -> None:
    files = [tmp_path / str(number) / "text" for number in range(4)]
    written = LastWritten()
    for file, text in zip(files, ("ä\udc80", "ä\udc80", "b", "b"), strict=True):
        file.parent.mkdir()
        written.write(file, text)
        assert os.fsencode(text) == file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert inodes(*files[:2]) == inodes(*files[2:]) == 1
    assert inodes(*files) == 2


def test_a_file_that_is_gone_or_on_another_file_system_is_written_anew(tmp_path: Path) -> None:
    written = LastWritten()
    written.write(tmp_path / "text", "a")
    (tmp_path / "text").unlink()
    written.write(tmp_path / "text", "a")
    elsewhere = Path("/dev/shm")
    if elsewhere.is_dir() and elsewhere.stat().st_dev != tmp_path.stat().st_dev:
        name = elsewhere / f"psij-test-{os.getpid()}"
        name.mkdir()
        try:
            written.write(name / "text", "a")
            assert (name / "text").read_text() == "a"
        finally:
            (name / "text").unlink()
            name.rmdir()
    assert (tmp_path / "text").read_text() == "a"


def test_what_is_there_already_is_never_replaced(tmp_path: Path) -> None:
    written = LastWritten()
    written.write(tmp_path / "text", "a")
    with pytest.raises(JournalError, match="File exists"):
        written.write(tmp_path / "text", "a")
