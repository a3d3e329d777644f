"""What may import what, and that importing does nothing else. Each check runs in a fresh interpreter."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.house import imports as house

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("parsl", "jinja2", "pydantic", "filelock", "typer", "importlib.metadata")
PLATFORMS = sorted(path.parent.name for path in (ROOT / "providers").glob("*/scheduler.py"))
LAUNCHERS = sorted(path.stem for path in (ROOT / "launchers").glob("*.py") if path.stem != "__init__")


def fresh(code: str, **environ: str) -> str:
    """What code prints in an interpreter of its own; a warning is an error there."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_after(code: str, **environ: str) -> set[str]:
    """The top modules, and those of ours, that code brings in."""
    text = fresh(f"import sys, json\n{code}\nprint(); print(json.dumps(sorted(sys.modules)))", **environ)
    return set(json.loads(text.splitlines()[-1]))


# ---- what an import brings in --------------------------------------------------------------------------------------


def test_importing_the_package_loads_none_of_its_parts() -> None:
    loaded = loaded_after("import psij_parsl")
    assert {name for name in loaded if name.startswith("psij_parsl")} == {"psij_parsl"}
    assert not loaded & set(HEAVY)


USES: Mapping[str, tuple[str, set[str]]] = {
    "the public names": (
        "import psij_parsl; [getattr(psij_parsl, name) for name in psij_parsl.__all__ if name not in"
        " ('JobTemplate', 'site')]",
        set(),
    ),
    "a job": ("from psij_parsl import Job; Job(command=['true'])", set()),
    "a journal that is read": ("from psij_parsl.jobs.journal import Journal; Journal().entries()", set()),
    "an executor": ("from psij_parsl import BatchSchedulerExecutor; BatchSchedulerExecutor('slurm')", set()),
    "a template": ("import psij_parsl.providers.slurm.template", {"jinja2"}),
    "a launcher": ("from psij_parsl.runs.registry import launcher; launcher('srun')", set()),
    "built-in platforms": (
        "from psij_parsl.platforms.registry import platforms; list(platforms(plugins=False))",
        set(),
    ),
    "psij-run status": ("from psij_parsl.cli.app import run; assert run(['status', '--json']) == 0", set()),
    "a job's status": (
        """
import os
from pathlib import Path
from psij_parsl import BatchSchedulerExecutor
from psij_parsl.jobs.record import JobRecord
executor = BatchSchedulerExecutor("slurm")
entry = JobRecord("abcdefghij", "slurm", os.environ["PSIJ_PARSL_HOME"] + "/jobs/abcdefghij", cluster=executor.cluster)
entry = executor.journal.commit(executor.journal.intend(entry), "7")
assert executor.status(["7"])[0].state.name == "ACTIVE"
""",
        {"filelock"},
    ),
}


@pytest.mark.parametrize("use", USES)
def test_only_what_is_needed_is_loaded_for(use: str, tmp_path: Path) -> None:
    stand_in = tmp_path / "squeue"
    stand_in.write_text("#!/bin/sh\necho '7|RUNNING|0|0|N/A|N/A|N/A|n1|(null)|/dev/null|None '\n")
    stand_in.chmod(0o755)
    code, allowed = USES[use]
    assert loaded_after(code, PATH=f"{tmp_path}:{os.environ['PATH']}") & set(HEAVY) <= allowed


#: What no start of these commands loads by itself, but the first one in a new state directory: each takes milliseconds.
NEVER = (
    *HEAVY,
    *("hashlib", "secrets", "socket", "difflib", "asyncio", "http", "email", "tomllib"),
    "psij_parsl.platforms.templates.generation",
    *("psij_parsl.platforms.directives.table", "psij_parsl.cli.script_options", "psij_parsl.cli.live", "rich"),
    *("psij_parsl.sites.queues", "psij_parsl.sites.models", "psij_parsl.runs.registry", "subprocess"),
)
STARTS: Mapping[str, str] = {  # commands, and the libraries that they cannot do without
    "submit -- true": "filelock, jinja2",
    "list": "filelock",
    "status last": "filelock",
    # A ledger's name is short, whatever it stands for.
    "launch -n 2 -- true": "filelock, hashlib, subprocess, psij_parsl.runs.registry",
}


@pytest.mark.parametrize("command", STARTS)
def test_a_start_loads_nothing_that_takes_long(command: str) -> None:
    program = "from psij_parsl.cli.app import run"
    fresh(f"{program}; assert run(['submit', '--hold', '--', 'true']) == 0", PSIJ_SITE="laptop")  # one waits
    fresh(f"{program}; assert run(['launch', '-n', '1', '--', 'true']) == 0")
    loaded = loaded_after(f"{program}; assert run({command.split()!r}) == 0", PSIJ_SITE="laptop")
    assert (loaded - loaded_after(f"import {STARTS[command]}")) & {*NEVER} == set()


def test_parsl_is_loaded_by_its_adapter_alone() -> None:
    for module, path in house.modules().items():
        if house.wing(module) not in ("psij_parsl.parsl", "psij_parsl.providers"):
            for name in imported(path, at_top=True):
                assert name.split(".")[0] != "parsl", path
    for name in PLATFORMS:
        assert "parsl" not in loaded_after(f"import psij_parsl.providers.{name}.scheduler")


def test_an_unused_public_name_is_an_attribute_error() -> None:
    fresh(
        "import psij_parsl\n"
        "try:\n    psij_parsl.Jobb\nexcept AttributeError as error:\n    assert 'Jobb' in str(error)"
    )


def test_every_public_name_can_be_had() -> None:
    fresh(
        "import psij_parsl\nfor name in psij_parsl.__all__: assert getattr(psij_parsl, name), name\n"
        "assert sorted(psij_parsl.__all__) == dir(psij_parsl) == sorted(['__version__', *psij_parsl._WHERE])"
    )


# ---- the wings -----------------------------------------------------------------------------------------------------


def imported(path: Path, *, at_top: bool = False) -> Iterator[str]:
    """The modules that a file imports by name; `at_top`: when it is imported itself."""
    tree = ast.parse(path.read_text())
    for node in ast.iter_child_nodes(tree) if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            yield from ("." * node.level + (node.module or "") + "." + alias.name for alias in node.names)


def test_each_wing_imports_only_what_stands_below_it() -> None:
    assert not [str(each) for each in house.upward(house.all_imports())]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert house.circles(house.all_imports()) == []


@pytest.fixture
def small_house(tmp_path: Path) -> Path:
    """A tree whose lowest wing imports the highest, in a function, and of which two modules import each other."""
    files = {
        "psij_parsl/__init__.py": "",
        "psij_parsl/errors.py": "def f():\n    from .cli.app import run\n",
        "psij_parsl/cli/__init__.py": "",
        "psij_parsl/cli/app.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import output\n",
        "psij_parsl/cli/output.py": "from psij_parsl.cli.app import run\n",
        "providers/__init__.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "psij_parsl" / "providers").symlink_to("../providers")
    return tmp_path


def test_imports_in_functions_and_for_type_checkers_count(small_house: Path) -> None:
    found = house.all_imports(small_house)
    assert [str(each) for each in house.upward(found)] == ["psij_parsl.errors:2 imports psij_parsl.cli.app"]
    assert house.circles(found) == [["psij_parsl.cli.app", "psij_parsl.cli.output"]]
    assert "psij_parsl.providers" in house.modules(small_house)


CORE = {
    name: path
    for name, path in house.modules().items()
    if not house.wing(name).startswith(("psij_parsl.providers", "psij_parsl.launchers"))
}
MANAGERS = sorted(path.parent.name for path in (ROOT / "providers").glob("[a-z]*/__init__.py"))


@pytest.mark.parametrize("name", CORE)
def test_the_core_says_no_managers_name(name: str) -> None:
    """Texts for people may name one as an example; a value that equals one is a branch on a name.

    "local" is also an ordinary word, so that one is looked for in comparisons only.
    """
    tree = ast.parse(CORE[name].read_text())
    compared = {
        id(node) for compare in ast.walk(tree) if isinstance(compare, ast.Compare) for node in ast.walk(compare)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and (node.value != "local" or id(node) in compared):
            assert node.value not in MANAGERS, f"{name}:{node.lineno} says {node.value!r}"


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platform_imports_the_core_and_itself_but_no_other(name: str) -> None:
    for path in (ROOT / "providers" / name).rglob("*.py"):
        for module in imported(path):
            if module.startswith("psij_parsl.providers"):
                owner = module.split(".")[2:3]  # what several share is in a folder whose name begins with _
                assert owner in ([], [name]) or owner[0].startswith("_"), f"{path}: {module}"


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_built_in_platform_is_found_without_reading_any_metadata(name: str) -> None:
    code = f"""
import importlib.metadata
def fail(*args, **kwargs): raise AssertionError("entry_points() was called")
importlib.metadata.entry_points = fail
from psij_parsl.platforms.registry import platform
assert platform({name!r}).name == {name!r}
"""
    fresh(code)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_built_in_launcher_is_found_under_its_files_name(name: str) -> None:
    fresh(f"from psij_parsl.runs.registry import launcher; assert launcher({name!r}).name == {name!r}")


def test_a_name_that_nobody_has_is_refused_with_the_nearest() -> None:
    code = """
from psij_parsl.errors import PluginError
from psij_parsl.platforms.registry import platform
from psij_parsl.runs.registry import launcher
for get, name, near in ((platform, "slurn", "slurm"), (launcher, "srum", "srun")):
    for odd in (name, "../" + name, "", "os.path"):
        try:
            get(odd)
        except PluginError as error:
            assert repr(odd) in str(error) and (odd != name or near in error.hint), error
        else:
            raise AssertionError(odd)
"""
    fresh(code)


# ---- one module, one name ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["providers", "launchers"])
def test_the_folders_of_the_checkout_cannot_be_imported_a_second_time(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"ImportError: this package is called psij_parsl.{name}: import it by that name" in done.stderr
    part = {"providers": "providers.slurm.scheduler", "launchers": "launchers.srun"}[name]
    done = subprocess.run(
        [sys.executable, "-c", f"import {part}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"psij_parsl.{name}" in done.stderr


def test_each_module_of_the_folders_is_loaded_once() -> None:
    code = """
import importlib, sys
import psij_parsl.providers.slurm.scheduler as by_name
from psij_parsl.platforms.registry import platform
assert platform("slurm").scheduler_class is by_name.SlurmScheduler
assert importlib.import_module("psij_parsl.providers").slurm.scheduler is by_name
import os
files = [os.path.realpath(m.__file__) for m in sys.modules.values() if getattr(m, "__file__", None)]
ours = [file for file in files if "/providers/" in file or "/launchers/" in file]
assert ours and len(ours) == len(set(ours)), ours
"""
    fresh(code)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_links_point_to_the_folders() -> None:
    for name in ("providers", "launchers", "configs"):
        assert os.readlink(ROOT / "psij_parsl" / name) == f"../{name}"


# ---- no side effects -----------------------------------------------------------------------------------------------


def test_importing_has_no_side_effects(tmp_path: Path) -> None:
    """Every module of ours is imported: no thread, no handler, no file, no process, no change of the environment.

    Those that stand on Parsl are left out, for its own import does more.
    """
    code = """
import os, pkgutil, signal, sys, threading, importlib, json
def state():
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return (handlers, threading.active_count(), dict(os.environ), os.getcwd(), os.umask(os.umask(0)),
            sorted(os.listdir("/proc/self/fd")), os.listdir("."), sys.excepthook is sys.__excepthook__)
before = state()
import psij_parsl
names = [m.name for m in pkgutil.walk_packages(psij_parsl.__path__, "psij_parsl.")
         if not m.name.endswith("__main__") and ".parsl" not in m.name and not m.name.endswith((".provider", ".htex"))]
for name in names: importlib.import_module(name)
after = state()
assert before == after, [pair for pair in zip(before, after) if pair[0] != pair[1]]
children = open(f"/proc/self/task/{os.getpid()}/children").read()
assert children == "", children
print(len(names))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30
    assert not list(tmp_path.iterdir())
