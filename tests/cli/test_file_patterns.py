"""Names of output files: what stands for something in them, from the flag to the file, on this host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psij_parsl.cli.file_patterns import has_patterns, pattern
from tests.cli.helpers import psij


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("out-{id}.txt", "out-{id}.txt"),
        ("slurm-%j.out", "slurm-{id}.out"),
        ("%x.%A_%4a", "{name}.{array}_{index:4}"),
        ("%u/%N/{host}", "{user}/{host}/{host}"),
        ("100%%-%j", "100%-{id}"),
        ("{a}-%a", "{{a}}-{index}"),
        ("{{id}}-%j", "{{id}}-{id}"),
        ("{{{id}}}", "{{{id}}}"),
        ("100%%", "100%"),
        ("%05j", "{id}"),
    ],
)
def test_both_ways_to_say_it_mean_the_same(said: str, meant: str) -> None:
    assert has_patterns(said)
    assert pattern(said) == meant


@pytest.mark.parametrize("name", ["out.txt", "50%", "%", "a%z", "{x}", "{id", "{}", "{ id }", "{index:}"])
def test_a_name_without_any_is_taken_as_it_is(name: str) -> None:
    assert not has_patterns(name)
    assert pattern(name, literal=True) == name.replace("{", "{{").replace("}", "}}")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PSIJ_RUN_PLATFORM", "local")
    monkeypatch.chdir(tmp_path)


def test_the_files_are_called_so_and_logs_finds_them(tmp_path: Path) -> None:
    made = psij(
        "submit", "-J", "a/b c", "-o", "%x-{id}.out", "-e", "{x} 50%.err", "--", "sh", "-c", "echo o; echo e >&2"
    )
    assert made.returncode == 0, made.stderr
    job = made.stdout.strip()
    assert psij("wait", job).returncode == 0
    native = json.loads(psij("status", job, "--json").stdout)[0]["native_id"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a_b_c-{native}.out", "{x} 50%.err"]
    assert psij("logs", job).stdout == "o\n"
    assert psij("logs", "--stderr", job).stdout == "e\n"


def test_elements_share_no_file_whether_their_index_is_in_its_name_or_not(tmp_path: Path) -> None:
    for name in ("by-{index:3}", "plain", "{name}"):
        done = psij("run", "-J", "scan", "--array", "1,12", "-o", name, "--", "sh", "-c", "echo $PSIJ_ARRAY_INDEX")
        assert done.returncode == 0, done.stderr
        assert sorted(done.stdout.splitlines()) == ["[12] 12", "[1] 1"]
    names = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert names == {
        f"{begin}{end}": f"{index}\n"
        for index, ends in ((1, "001 .1"), (12, "012 .12"))
        for begin, end in zip(("by-", "plain", "scan"), (*ends.split(), ends.split()[1]), strict=True)
    }


def test_a_folder_in_whose_name_something_stands_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "run{id}%j"
    folder.mkdir()
    done = psij("run", "-D", str(folder), "-o", "o-{host}", "--", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    (made,) = folder.iterdir()
    assert made.name.startswith("o-")
    assert "{" not in made.name


def test_output_is_added_where_that_is_said(tmp_path: Path) -> None:
    for words in (["--append"], ["--append"]):
        assert psij("run", *words, "-o", "log", "--", "echo", "x").returncode == 0
    assert (tmp_path / "log").read_text() == "x\nx\n"
