"""Each file in examples/ is run as it stands, on this host's embedded platform, and does what its header says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Those that are run here.
TESTED = {
    "one_job.py",
    "as_they_end.py",
    "job_array.py",
    "job_array.sh",
    "many_tasks.sh",
    "many_short_tasks.sh",
    "parsl_on_a_site.py",
    "my_cluster.toml",
}
#: Folders: the first has its tests in `test_for_site_admins.py`.
FOLDERS = {"site-package", "drop-in"}


@pytest.fixture(autouse=True)
def a_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The examples, copied; and the command on PATH."""
    folder = tmp_path / "examples"
    shutil.copytree(EXAMPLES, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return folder


def output_of(*command: str) -> str:
    """What a command prints on stdout; it must end well and say nothing on stderr."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refusal_of(*command: str) -> str:
    """What a command that is refused says on stderr."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    return done.stderr


def python(name: str) -> str:
    return output_of(sys.executable, name)


def test_every_example_has_a_test_and_a_line_in_the_readme() -> None:
    names = {path.name for path in EXAMPLES.iterdir()}
    assert names == {"README.md", *TESTED, *FOLDERS}
    linked = set(re.findall(r"\]\((\S+?)\)", (EXAMPLES / "README.md").read_text()))
    assert linked == {*TESTED, *(f"{name}/README.md" for name in FOLDERS)}


def test_one_job_prints_its_result_and_tells_of_the_one_that_failed() -> None:
    lines = python("one_job.py").splitlines()
    assert re.fullmatch(r"submitted as \w{10}", lines[0])
    assert lines[1:3] == ["hello from a job", "it is COMPLETED"]
    assert lines[3].startswith("the other one failed: ")
    assert any("No such file" in line for line in lines[4:])


def test_jobs_are_told_of_in_the_order_of_their_ends_and_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "4")
    lines = python("as_they_end.py").splitlines()
    assert sorted(lines[:3]) == ["sleep-0: slept 0 s", "sleep-2: failed, exit code 1", "sleep-3: slept 3 s"]
    assert lines[0] == "sleep-0: slept 0 s"
    assert lines[3:] == ["awaited: slept 1 s, slept 0 s"]


def test_an_array_from_python_gives_each_elements_output_and_then_the_job_that_follows() -> None:
    lines = python("job_array.py").splitlines()
    assert [line.partition(" says: ")[2] for line in lines[:-1]] == [
        f"{number} squared is {number**2}" for number in range(5)
    ]
    assert lines[-1] == "all of them are done"


def test_an_array_from_the_command_line_has_a_file_for_each_element(a_users_folder: Path) -> None:
    output_of("psij-run", "run", "job_array.sh")
    written = {path.name: path.read_text() for path in a_users_folder.glob("square.out*")}
    assert written == {f"square.out.{number}": f"{number} squared is {number**2}\n" for number in range(5)}


def test_what_is_typed_wins_over_the_examples_own_lines(a_users_folder: Path) -> None:
    output_of("psij-run", "run", "--array", "7", "job_array.sh")
    assert [path.name for path in a_users_folder.glob("square.out*")] == ["square.out.7"]


def test_many_tasks_in_one_job_each_have_a_core(a_users_folder: Path) -> None:
    assert output_of("psij-run", "run", "many_tasks.sh", "4") == "4 tasks, 0 of them failed\n"
    for number in range(1, 5):
        assert re.fullmatch(rf"task {number} has cores \d+\n", (a_users_folder / f"task.{number}").read_text())


def test_many_short_tasks_run_by_one_command_that_goes_on(a_users_folder: Path) -> None:
    for done in ("200 done", "200 done (200 of them before)"):
        ran = subprocess.run(
            ["psij-run", "run", "many_short_tasks.sh"], capture_output=True, text=True, timeout=240, check=True
        )
        assert f"psij-run: 200 tasks: {done}; " in ran.stderr
    assert (a_users_folder / "squares" / "012.txt").read_text() == "144\n"


def test_functions_run_on_a_site_through_parsl() -> None:
    told = python("parsl_on_a_site.py")
    assert told.startswith(f"the sum of the squares is {sum(number**2 for number in range(20))} ")


def test_the_site_file_is_in_order() -> None:
    assert re.search(r"my_cluster\.toml +ok", output_of("psij-run", "site", "check", "./my_cluster.toml"))


def test_a_job_gets_what_the_site_file_says() -> None:
    script = output_of("psij-run", "render", "--config", "./my_cluster.toml", "-A", "chem", "-N", "2", "--", "date")
    for line in ("--partition=short", "--constraint=rome", "--account=chem", "--nodes=2", "--time=00:30:00"):
        assert f"\n#SBATCH {line}\n" in script
    assert "module load python" in script


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ((), "must say its project"),
        (("-A", "chem", "-N", "5"), "queue short takes at most 4 nodes.*long would take it"),
    ],
)
def test_what_the_site_file_forbids_is_refused(flags: tuple[str, ...], reason: str) -> None:
    said = refusal_of("psij-run", "render", "--config", "./my_cluster.toml", *flags, "--", "date")
    assert re.search(reason, said, re.DOTALL)


def test_a_drop_in_is_checked_and_then_there_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSIJ_PARSL_SYSROOT", str(tmp_path / "host"))
    monkeypatch.setenv("DESTDIR", str(tmp_path / "host"))
    broken = tmp_path / "broken.toml"
    broken.write_text('platform = "slurm"\nlaunch = 3\n')
    done = subprocess.run(["drop-in/install.sh", broken], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "broken.toml:2: launch" in done.stdout) == (3, True)
    assert not (tmp_path / "host").exists()
    old_mask = os.umask(0o007)
    try:
        output_of("drop-in/install.sh", "site-package/granite_sites/granite.toml")
    finally:
        os.umask(old_mask)
    installed = tmp_path / "host" / "etc" / "psij_parsl" / "sites" / "granite.toml"
    assert (installed.stat().st_mode & 0o777, installed.parent.stat().st_mode & 0o777) == (0o644, 0o755)
    assert str(installed) in output_of("psij-run", "site", "path", "granite")
