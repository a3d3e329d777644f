"""docs/how-to/adding-a-platform.md, followed from its first line on a clean machine: every command of it is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from psij_parsl.cli.commands.scaffold import skeleton
from tests.cli.helpers import psij_here

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "adding-a-platform.md"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of ours, for pip builds where the sources are."""
    copy = tmp_path / "checkout"
    names = ("psij_parsl", "providers", "launchers", "configs", "pyproject.toml", "README.md", "LICENSE")
    copy.mkdir()
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.mark.slow
def test_the_page_is_true_from_its_first_line_to_its_last(tmp_path: Path, checkout: Path) -> None:
    """In a new virtual environment; only what pip would download is taken from here."""
    blocks = re.findall(r"^```(bash|text)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    script = "set -eu\n" + "".join(text for kind, text in blocks if kind == "bash")
    here = tmp_path / "here"
    home = tmp_path / "home"
    here.mkdir()
    home.mkdir()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PSIJ_PARSL": str(checkout),
        "LANG": "C.UTF-8",
        "PYTHONPATH": sysconfig.get_path("purelib"),
    }
    ran = subprocess.run(
        ["bash", "-c", script], cwd=here, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    for kind, text in blocks:
        for line in text.splitlines() if kind == "text" else ():
            assert line in said, f"{line!r} is not in what was said:\n{said}"
    assert re.search(r"^[5-7]\d passed", ran.stdout, re.MULTILINE), said
    assert re.search(r"^ok +platform toyq +answers in", ran.stdout, re.MULTILINE)
    assert re.search(r"^broken +platform toyq .*no_such_module", ran.stdout, re.MULTILINE)
    assert re.search(r"^ok +platform local +answers in", ran.stdout, re.MULTILINE)


def test_the_skeleton_is_what_the_page_says_it_is() -> None:
    files = dict(skeleton("toyq"))
    assert set(files) == {
        "pyproject.toml",
        "README.md",
        "psij_toyq/__init__.py",
        "psij_toyq/scheduler.py",
        "psij_toyq/template.py",
        "psij_toyq/job.sh.j2",
        "tests/test_toyq.py",
    }
    assert "<<" not in "".join(files.values())


def test_a_new_platforms_name_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, said in (
        ("Toy", "lower-case"),
        ("a-b", "lower-case"),
        ("slurm", "comes with psij-parsl"),
        ("parsl", "psij-parsl itself"),
    ):
        done = psij_here("platform", "new", name)
        assert done.returncode == 2
        assert said in done.stderr
    assert psij_here("platform", "new", "toyq").returncode == 0
    done = psij_here("platform", "new", "toyq")
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
