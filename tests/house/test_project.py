"""What the project says of itself is true, said once or said alike; and the house keeps its limits."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import psij_parsl
from tests.house import measure

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/psij-parsl/psij-parsl"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def metadata() -> Mapping[str, Any]:
    """What the build made of it, as installed; a field that may be there more than once is a list."""
    return importlib.metadata.metadata("psij-parsl").json


def test_the_installed_metadata_says_who_we_are_and_what_it_is(metadata: Mapping[str, Any]) -> None:
    assert metadata["author"] == "psij-parsl developers"
    assert {"HPC", "Parsl", "Slurm"} <= set(" ".join(metadata["keywords"]).split(","))
    assert "Typing :: Typed" in metadata["classifier"]
    urls = dict(text.split(", ", 1) for text in metadata["project_url"])
    assert urls.keys() == {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert all(url.startswith(ADDRESS) for url in urls.values())


def test_the_version_is_one(metadata: Mapping[str, Any], project: dict[str, Any]) -> None:
    assert metadata["version"] == psij_parsl.__version__
    assert "version" not in project["project"]
    assert citation()["version"] == psij_parsl.__version__


def citation() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    return found


def test_the_citation_is_of_this_project() -> None:
    said = citation()
    assert said["cff-version"] == "1.2.0"
    assert said["message"]
    assert said["title"].startswith("psij-parsl")
    assert [author["name"] for author in said["authors"]] == ["psij-parsl developers"]
    assert said["license"] == "MIT"
    assert said["repository-code"] == ADDRESS


def test_an_address_of_ours_is_one_address() -> None:
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "README.md", "pyproject.toml"):
        for url in re.findall(r"https://github\.com/[\w.-]*/psij-parsl\b", (ROOT / name).read_text()):
            assert url == ADDRESS, name


def test_what_contributors_are_sent_to_is_there() -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    names = set(re.findall(r"(?<=[`(])[\w.-]+/[\w./-]*(?=[`)])", text))
    assert {"launchers/", "psij_parsl/testing/contract.py", "tests/recorded/record_slurm.py"} <= names
    missing = {name for name in names if "NAME" not in name and not (ROOT / name).exists()}
    assert not missing


def test_our_own_platforms_and_launchers_are_found_without_entry_points(project: dict[str, Any]) -> None:
    assert "entry-points" not in project["project"]
    assert {point.group for point in importlib.metadata.distribution("psij-parsl").entry_points} == {
        "console_scripts"
    }


@pytest.mark.parametrize("relative", [False, True])
def test_the_suite_runs_in_the_virtual_environment_that_is_asked_for(tmp_path: Path, *, relative: bool) -> None:
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "pip", "ruff", "mypy"):
        (programs / name).write_text('#!/bin/sh\necho "$0" "$@"\n')
        (programs / name).chmod(0o755)
    venv = os.path.relpath(tmp_path / "venv", ROOT) if relative else str(tmp_path / "venv")
    environ = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "PSIJ_TEST_VENV": venv}
    done = subprocess.run([ROOT / "tests" / "run", "-x"], env=environ, capture_output=True, text=True, check=True)
    folder, _, last = done.stdout.splitlines()[-1].partition("/bin/")
    assert (Path(folder).resolve(), last) == (tmp_path / "venv", "python -m tests.everywhere -x")


def test_what_is_checked_before_a_commit_is_what_the_tests_check(project: dict[str, Any]) -> None:
    hooks = [
        hook
        for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
        for hook in repository["hooks"]
    ]
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format", "mypy"}
    (pinned,) = [name for name in project["project"]["optional-dependencies"]["test"] if name.startswith("ruff")]
    assert pinned.startswith("ruff==")
    assert {name for hook in hooks for name in hook.get("additional_dependencies", ())} == {pinned}
    run = (ROOT / "tests" / "run").read_text().splitlines()
    assert {"ruff check .", "ruff format --check .", "mypy"} <= set(run)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "equal lines")) for name in measure.LIMITS]
)
def test_the_house_keeps_its_limits(name: str) -> None:
    assert measure.beyond(name) == []


def test_a_broken_limit_is_told_by_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {"files": [measure.Measured(7, "long.py"), measure.Measured(3, "short.py")]}
    monkeypatch.setattr(measure, "MEASURES", {name: lambda name=name: iter(few[name]) for name in few})
    monkeypatch.setattr(measure, "LIMITS", {"files": measure.Limit("lines of a file", 5)})
    assert measure.main(["--check"]) == 1
    assert "lines of a file: 5 at most, 1 beyond\n      7  long.py\n" in capsys.readouterr().out
    assert measure.main([]) == 0
    monkeypatch.setattr(measure, "LIMITS", {"files": measure.Limit("lines of a file", 7)})
    assert measure.main(["--check"]) == 0


def test_what_users_write_out_may_have_many_parameters_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = ", ".join(f"p{number}" for number in range(11))
    (tmp_path / "psij_parsl").mkdir()
    (tmp_path / "psij_parsl" / "some.py").write_text(
        f"class Public:\n    def __init__(self, one, *, {many}): ...\n    def method(self, *, {many}): ...\n"
        f"class _Private:\n    def __init__(self, *, {many}): ...\n"
        f"class Positional:\n    def __init__(self, {many}): ...\n"
        f"def function({many}): ...\n"
    )
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    found = {each.what.rpartition(" ")[2]: each.size for each in measure.functions()}
    assert found == {"Public.method": 11, "_Private.__init__": 11, "Positional.__init__": 11, "function": 11}
