"""What the tasks of a farm are."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from psij_parsl.errors import InvalidRequest
from psij_parsl.farm.output import filled, others
from psij_parsl.farm.source import Indices, Lines


def of(text: str, tmp_path: Path, *command: str) -> list[tuple[int, int, tuple[str, ...]]]:
    path = tmp_path / "tasks"
    path.write_bytes(os.fsencode(text))
    lines = Lines(str(path), command)
    found = [(item.number, item.index, item.argv) for item in lines]
    assert lines.total() == len(found)
    assert [item.index for item in lines] == [index for _, index, _ in found]  # once more
    return found


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n  \n"])
def test_a_line_is_shell_code_and_blank_lines_and_comments_are_none(end: str, tmp_path: Path) -> None:
    assert of(f"# first\n\n  echo 'a  b' # x\n\t\nlast{end}", tmp_path) == [
        (0, 3, ("/bin/sh", "-c", "  echo 'a  b' # x")),
        (1, 5, ("/bin/sh", "-c", "last")),
    ]


def test_with_a_command_a_line_is_an_argument(tmp_path: Path) -> None:
    text = "a b\n\n#c\r\nd{}\udcff\n \n\r\n blanks stay \t\r\n"
    assert [argv for _, _, argv in of(text, tmp_path, "run", "-x")] == [
        ("run", "-x", "a b"),
        ("run", "-x", "#c"),
        ("run", "-x", "d{}\udcff"),
        ("run", "-x", " blanks stay \t"),
    ]
    assert of(text, tmp_path, "run", "{}.in", "{}-{}", "{index:3}")[0] == (0, 1, ("run", "a b.in", "a b-a b", "001"))


def test_lines_of_a_pipe_are_taken_as_they_come(tmp_path: Path) -> None:
    """From a pipe: what is taken is what has come."""
    read, write = os.pipe()
    stdin = os.dup(0)
    os.dup2(read, 0)
    try:
        lines = Lines("-")
    finally:
        os.dup2(stdin, 0)
        os.close(stdin)
        os.close(read)
    items = iter(lines)
    for number in range(3):
        os.write(write, b"x%d\n" % number)
        assert next(items).argv[-1] == f"x{number}"

    def rest() -> None:
        with os.fdopen(write, "wb") as file:
            file.write(b"y" * 70000 + b"\nz")

    writer = threading.Thread(target=rest)
    writer.start()
    assert [len(item.argv[-1]) for item in items] == [70000, 1]
    writer.join()
    assert lines.total() is None
    assert not lines.again


@pytest.mark.parametrize("text", ["a\0b", "x" * (1 << 17), "#" * (1 << 18), " " * (1 << 18) + "x"])
def test_what_no_command_can_have_is_refused_by_its_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "tasks").write_text(f"fine\n{text}\nfine\n")
    for look in (list, Lines.total):
        with pytest.raises(InvalidRequest, match="line 2 of .*tasks"):
            look(Lines(str(tmp_path / "tasks")))


def test_an_index_stands_in_the_words_of_a_command() -> None:
    items = list(Indices((3, 12), ("run", "a{index}b{index:4}", "{}", "{indexes}")))
    assert [(item.number, item.index) for item in items] == [(0, 3), (1, 12)]
    assert items[1].argv == ("run", "a12b0012", "{}", "{indexes}")
    assert items[0].sum != items[1].sum


@pytest.mark.parametrize(
    ("pattern", "name", "other"),
    [
        ("out.{index}", "out.7", ""),
        ("{index:3}/x", "007/x", ""),
        ("{{index}}", "{index}", ""),
        ("{id}-{index}", "{id}-7", "{id}"),
        ("plain", "plain", ""),
    ],
)
def test_names_of_files_have_the_index(pattern: str, name: str, other: str) -> None:
    assert (filled(pattern, 7), others(pattern)) == (name, other)
