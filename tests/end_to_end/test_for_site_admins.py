"""docs/for-site-admins.md, followed in a folder of one's own; and the package in examples/, installed as users do."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.house.environments import ROOT, checkout_in, environment

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "for-site-admins.md").read_text()
PACKAGE = Path("examples", "site-package")
SITE = PACKAGE / "granite_sites" / "granite.toml"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def shell(script: str, cwd: Path, bin_folder: Path) -> subprocess.CompletedProcess[str]:
    """A user's shell, whose home is `cwd`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PSIJ", "PYTHON", "XDG"))}
    environ = {**kept, "PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(cwd), "USER": "ann"}
    return subprocess.run(
        ["bash", "-eu", "-c", script], cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def words(text: str) -> str:
    """The width of columns depends on the values."""
    return " ".join(text.split())


def pattern(line: str) -> str:
    """For a line of a sample: what is left out there, such as the path of a folder, is an ellipsis."""
    return re.escape(words(line)).replace("…", r"\S*")


def granite() -> str:
    """The file that the page puts together: the blocks that come before it is checked."""
    before = PAGE[: PAGE.index("psij-run site check ./granite.toml")]
    return "\n".join(block for block in blocks("toml") if block in before)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a virtual environment with psij-parsl and the package."""
    checkout = checkout_in(tmp_path_factory.mktemp("checkout") / "psij-parsl")
    folder = tmp_path_factory.mktemp("package") / "venv"
    return environment(folder, [checkout, checkout / PACKAGE]).parent


def test_the_page_makes_the_file_of_the_package() -> None:
    assert granite() == (ROOT / SITE).read_text()


def test_the_page_does_what_it_says(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "granite.toml").write_text(granite())
    ran = shell("".join(blocks("bash")), tmp_path, installed)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    promised = [line for block in blocks("text") for line in block.splitlines() if line]
    assert len(promised) > 20
    assert not [line for line in promised if not re.search(pattern(line), words(said))], said


@pytest.mark.parametrize("number", [number for number, text in enumerate(blocks("toml")) if text.startswith("# ")])
def test_a_file_that_builds_on_the_machines_is_in_order(number: int, installed: Path, tmp_path: Path) -> None:
    text = blocks("toml")[number]
    file = tmp_path / "user" / Path(text.splitlines()[0].removeprefix("# ")).name
    (tmp_path / "sites").mkdir()
    file.parent.mkdir()
    (tmp_path / "sites" / "granite.toml").write_text(granite())
    file.write_text(text)
    ran = shell(
        f"export PSIJ_PARSL_SITE_PATH=$PWD/user:$PWD/sites; psij-run site check {file.stem}; psij-run site path {file.stem}",
        tmp_path,
        installed,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(rf"^{file.stem} +ok$", ran.stdout, re.MULTILINE)
    assert str(file) in ran.stdout


# ---- the package -----------------------------------------------------------------------------------------------


def steps() -> list[str]:
    """The commands of the package's workflow."""
    workflow = yaml.safe_load((ROOT / PACKAGE / ".github" / "workflows" / "check.yml").read_text())
    return [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]


def test_the_package_brings_the_site(installed: Path, tmp_path: Path) -> None:
    listed = {row["name"]: row for row in json.loads(shell("psij-run site list --json", tmp_path, installed).stdout)}
    assert listed["granite"]["platform"] == "slurm"
    assert not listed["granite"]["error"]
    (layer,) = json.loads(shell("psij-run site path granite --json", tmp_path, installed).stdout)
    (file,) = layer["files"]
    assert layer["layer"] == "plug-in granite"
    assert Path(file).is_relative_to(installed.parent)
    assert Path(file).read_text() == (ROOT / SITE).read_text()


def test_the_workflow_installs_and_checks_what_was_installed(installed: Path, tmp_path: Path) -> None:
    install, check = steps()
    assert install == "python -m pip install ."
    ran = shell(check, tmp_path, installed)
    assert (ran.returncode, words(ran.stdout)) == (0, "NAME STATE granite ok"), ran.stderr
    (layer,) = json.loads(shell("psij-run site path granite --json", tmp_path, installed).stdout)
    file = Path(layer["files"][0])
    whole = file.read_text()
    try:
        file.write_text(whole.replace('platform = "slurm"', 'platform = "slrum"'))
        ran = shell(check, tmp_path, installed)
    finally:
        file.write_text(whole)
    assert ran.returncode == 3
    assert re.search(r"granite\.toml:\d+: platform: .*slrum", ran.stdout)
