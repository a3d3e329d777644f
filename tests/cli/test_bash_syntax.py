"""Shell texts are read by one bash, none is run, and each fault has its line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from psij_parsl.cli.bash_syntax import bash_errors
from tests.cli.helpers import psij

GOOD = (
    "echo 'it''s'\n",
    "set +n\ntouch {file}\n",
    "touch {file}; exit 3\n",
    "$(touch {file})\n",
    "cat <<'END'\nfi }} \"\nEND\n",
    "",
    "echo ü\n",
)
BAD = {
    "echo ok\nif true; then\n  touch {file}\n": (4, "unexpected end of file"),
    "echo\necho 'open\n": (2, "matching `''"),
    "touch {file}\n}} ; {{\n": (2, "unexpected token `}}'"),
    "cat <<END\nit goes on\n": (2, "delimited by end-of-file"),
}


def test_each_text_is_read_by_itself_and_none_is_run(tmp_path: Path) -> None:
    file = tmp_path / "ran"
    good, bad = ([text.format(file=file) for text in texts] for texts in (GOOD, BAD))
    mixed = [text for pair in zip(good, bad, strict=False) for text in pair] + good[len(bad) :]
    found = bash_errors(mixed)
    assert list(found) == bad
    for (line, said), (expected_line, part) in zip(found.values(), BAD.values(), strict=True):
        assert (line, part.format() in said) == (expected_line, True), said
    assert not file.exists()


def test_where_there_is_no_bash_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("psij_parsl.cli.bash_syntax._PLAIN", {"PATH": str(tmp_path)})
    assert bash_errors(["if"]) == {}


_QUEUES = """platform = "slurm"
{top}
[queues.one]
max_nodes = 1
[queues.two]
max_nodes = 2
{two}
[queues.three]
max_nodes = 3
{three}
"""


def starts(here: Path, **texts: str) -> tuple[str, int]:
    """What `site check` prints of three queues, and how often it starts a bash."""
    (here / "my.toml").write_text(_QUEUES.format(**{"top": "", "two": "", "three": "", **texts}))
    log, folder = here / "log", here / "bin"
    folder.mkdir()
    (folder / "bash").write_text(f'#!/bin/sh\necho >>"{log}"\nexec {shutil.which("bash")} "$@"\n')
    (folder / "bash").chmod(0o755)
    done = psij("site", "check", "./my.toml", PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
    return done.stdout, log.read_text().count("\n") if log.exists() else 0


def test_the_scripts_of_all_queues_are_read_by_one_bash(here: Path) -> None:
    printed, number = starts(here)
    assert ("broken" in printed, number) == (False, 1)


def test_each_fault_names_its_queue(here: Path) -> None:
    printed, number = starts(here, two='setup = ["if true"]', three='setup = ["echo it is fine", "echo (a)"]')
    assert "my.toml:7: queues.two.setup.0: bash cannot read it: syntax error: unexpected end of file" in printed
    assert "my.toml:10: queues.three.setup.1: bash cannot read it: syntax error near" in printed
    assert number == 3  # one for all, and one for each fault
