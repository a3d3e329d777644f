"""`info`: what it shows of a job that was made from a script, and of an array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import psij_here


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a script, in which jobs are submitted that stay held."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.sh").write_text('#!/bin/bash\n#SBATCH --time=5\necho "$@"\n')
    yield tmp_path
    psij_here("cancel", "all")


def told(*args: str) -> tuple[dict[str, str], dict[str, Any]]:
    """What `info` tells of a job, for people by the title of each line, and for programs."""
    done = psij_here("submit", "--platform", "local", "--hold", *args)
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    pairs = (line.split("  ", 1) for line in psij_here("info", job).stdout.splitlines())
    return {title: text.strip() for title, text in pairs}, json.loads(psij_here("info", "--json", job).stdout)


def test_a_script_has_the_name_that_its_user_gave_and_its_copy_is_named_beside_it(here: Path) -> None:
    people, programs = told("-J", "other", "job.sh", "a b", "c")
    assert people["command"] == f"/bin/bash {here}/job.sh 'a b' c"
    assert people["script's copy"] == programs["script_copy"] == programs["command"][1]
    assert Path(programs["script_copy"]).read_text() == (here / "job.sh").read_text()
    assert programs["job"]["script"] == f"{here}/job.sh"
    assert programs["command_line"] == people["command"]


def test_a_text_that_is_no_file_has_no_such_name(here: Path) -> None:
    people, programs = told("--wrap", "echo x")
    assert people["command"] == " ".join(programs["command"])
    assert programs["script_copy"] is None
    assert programs["job"]["script"] == ""


@pytest.mark.parametrize(
    ("flags", "stdout", "stderr"),
    [
        ((), "{folder}/{{index}}/stdout", "{folder}/{{index}}/stderr"),
        (("-o", "out"), "{here}/out.{{index}}", "{here}/out.{{index}}"),
        (("-o", "out", "-e", "/dev/null"), "{here}/out.{{index}}", "/dev/null"),
        (("-e", "err-%a"), "{folder}/{{index}}/stdout", "{here}/err-{{index}}"),
        (("-o", "{{name}}-{{index}}.txt"), "{here}/{{name}}-{{index}}.txt", "{here}/{{name}}-{{index}}.txt"),
    ],
)
def test_an_array_tells_the_files_of_its_elements(
    flags: tuple[str, ...], stdout: str, stderr: str, here: Path
) -> None:
    people, programs = told("--array", "3,4", *(flag.format() for flag in flags), "--", "true")
    places = {"folder": programs["folder"], "here": here}
    assert people["stdout of each"] == programs["stdout_of_each"] == stdout.format(**places)
    assert people["stderr of each"] == programs["stderr_of_each"] == stderr.format(**places)
    assert programs["stdout"] is None
    element = json.loads(psij_here("info", "--json", f"{programs['id']}_4").stdout)
    assert element["stdout_of_each"] is None
    assert element["stdout"]
