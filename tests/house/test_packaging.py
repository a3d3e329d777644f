"""A wheel, built from the sdist, has everything that the checkout has; and one module has one name in each of them.

One build and two virtual environments for all tests, without a download of the dependencies: those come from the
interpreter that runs the tests.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.house.environments import checkout_in, environment, run

pytestmark = pytest.mark.slow

VERSION = importlib.metadata.version("psij-parsl")  # which the test of the project compares with the others

CHECK = """
import importlib, importlib.metadata, importlib.resources, json, os, sys, tempfile
import psij_parsl
from psij_parsl.platforms.registry import platform, platforms
from psij_parsl.runs.registry import launcher, launchers
import psij_parsl.providers.slurm as first
second = importlib.import_module("psij_parsl.providers.slurm")
third = sys.modules[platform("slurm").package]
import psij_parsl.providers.slurm.scheduler as scheduler
from psij_parsl.platforms.platform import Platform
from psij_parsl.runs.mpirun import MPIRun
files = [m.__file__ for m in list(sys.modules.values()) if (getattr(m, "__file__", "") or "").endswith("scheduler.py")
         and "slurm" in m.__file__]
from psij_parsl import BatchSchedulerExecutor, Job
with tempfile.TemporaryDirectory() as home:
    from pathlib import Path
    said = BatchSchedulerExecutor("local", home=Path(home)).submit(Job(command=["echo", "it", "works"])).result(300)
json.dump({
    "where": os.path.dirname(psij_parsl.__file__),
    "one": first is second is third,
    "one class": platform("slurm").scheduler_class is scheduler.SlurmScheduler,
    "files": files,
    "platforms": {name: isinstance(found, Platform) for name, found in platforms()},
    "rendered": [name for name, _ in platforms() if BatchSchedulerExecutor(name).render(Job(command=["true"]))],
    "launchers": {name: isinstance(found, type) and issubclass(found, MPIRun) for name, found in launchers()},
    "said": said,
    "version": importlib.metadata.version("psij-parsl"),
    "resources": importlib.resources.files("psij_parsl.providers.slurm").joinpath("job.sh.j2").is_file(),
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, as git has it or would have it, so that a build writes nothing into ours."""
    return checkout_in(tmp_path_factory.mktemp("checkout") / "psij-parsl")


@pytest.fixture(scope="module")
def built(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--outdir", out, checkout])
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def from_wheel(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("wheel") / "venv", [built[1]])


@pytest.fixture(scope="module")
def editable(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("editable") / "venv", ["--editable", checkout])


def checked(python: Path | str, cwd: Path, **environ: str) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    found: dict[str, Any] = json.loads(run([python, "-c", CHECK], cwd=cwd, env={**kept, **environ}))
    return found


def files_of(checkout: Path) -> set[str]:
    """What belongs to the package, under the names that it has when it is installed."""
    return {
        os.path.relpath(os.path.join(folder, name), checkout)
        for folder, _, names in os.walk(checkout / "psij_parsl", followlinks=True)
        for name in names
        if not name.endswith(".pyc")
    }


def test_the_wheel_has_every_file_of_the_package(checkout: Path, built: tuple[Path, Path]) -> None:
    inside = {name for name in zipfile.ZipFile(built[1]).namelist() if ".dist-info/" not in name}
    expected = files_of(checkout)
    assert inside == expected
    for kind in ("job.sh.j2", ".toml", "schema.json", "py.typed", "providers/local/__main__.py"):
        assert [name for name in inside if name.endswith(kind)], kind


def test_the_sdist_has_real_folders_where_the_checkout_has_links(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        members = archive.getmembers()
    assert not [member.name for member in members if member.issym() or member.islnk()]
    names = {member.name.partition("/")[2] for member in members}
    assert {"psij_parsl/providers/slurm/job.sh.j2", "psij_parsl/launchers/srun.py", "LICENSE", "README.md"} <= names


def test_the_wheels_metadata_says_what_it_is(built: tuple[Path, Path]) -> None:
    wheel = zipfile.ZipFile(built[1])
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert "\nName: psij-parsl\n" in metadata
    assert f"\nVersion: {VERSION}\n" in metadata
    assert "\nLicense-Expression: MIT\n" in metadata
    assert "\n# " in metadata  # the README
    points = wheel.read(f"{info}/entry_points.txt").decode()
    assert points.strip() == "[console_scripts]\npsij-run = psij_parsl.cli:program"
    assert [name for name in wheel.namelist() if name.endswith("/licenses/LICENSE")]
    assert {name.split("/")[0] for name in wheel.namelist()} == {"psij_parsl", info}


def all_is_well(found: dict[str, Any], checkout: Path) -> None:
    assert found["one"]
    assert found["one class"]
    assert len(found["files"]) == 1
    names = {path.parent.name for path in (checkout / "providers").glob("*/scheduler.py")}
    assert {name for name, fine in found["platforms"].items() if fine} >= names
    assert set(found["rendered"]) >= names
    names = {path.stem for path in (checkout / "launchers").glob("*.py")} - {"__init__"}
    assert {name for name, fine in found["launchers"].items() if fine} >= names
    assert found["said"] == "it works\n"
    assert found["resources"]


def test_an_installed_wheel_works(from_wheel: Path, checkout: Path, tmp_path: Path) -> None:
    found = checked(from_wheel, tmp_path)
    assert Path(found["where"]).is_relative_to(from_wheel.parent.parent)
    all_is_well(found, checkout)


def test_an_installed_wheel_brings_its_command(from_wheel: Path, tmp_path: Path) -> None:
    said = run([from_wheel.parent / "psij-run", "--version"], cwd=tmp_path)
    assert said == f"psij-run {VERSION}\n"


def test_an_editable_install_works(editable: Path, checkout: Path, tmp_path: Path) -> None:
    found = checked(editable, tmp_path)
    assert found["where"] == str(checkout / "psij_parsl")
    all_is_well(found, checkout)


def test_a_checkout_works_by_its_path_alone(checkout: Path, tmp_path: Path) -> None:
    found = checked(sys.executable, tmp_path, PYTHONPATH=str(checkout))
    assert found["where"] == str(checkout / "psij_parsl")
    all_is_well(found, checkout)


def test_a_checkout_works_where_one_stands_in_it(checkout: Path) -> None:
    found = checked(sys.executable, checkout)
    assert found["where"] == str(checkout / "psij_parsl")
    all_is_well(found, checkout)
