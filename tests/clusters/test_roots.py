"""How roots are made and entered; a root of this test's own is a folder over the very /usr that it runs on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clusters import inside, roots
from tests.clusters.hosts import comes_true, require_namespaces
from tests.clusters.packages import ManagerUnavailable
from tests.clusters.processes import every_process


@pytest.fixture
def room(tmp_path: Path) -> inside.Room:
    try:
        require_namespaces()
    except ManagerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    if shutil.which("pivot_root") is None:
        pytest.skip("this host has no pivot_root: sid's lies in a package of its own")
    root, folder = tmp_path / "root", tmp_path / "run"
    for name in ("proc", "sys", "dev", "run", "mnt", "usr"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    folder.mkdir()
    return inside._room(root, folder, {"/usr": Path("/usr")}, directory="/tmp")


def said(room: inside.Room, text: str) -> str:
    return room.run(["sh", "-c", text]).strip()


def test_a_command_sees_the_root_and_its_own_processes_alone(room: inside.Room) -> None:
    assert said(room, "pwd; ls /").split() == ["/tmp", *sorted(os.listdir(room.root))]
    names = said(room, "cat /proc/[0-9]*/comm").split()
    assert set(names) <= {"sh", "cat"}
    assert said(room, "cut -d' ' -f5 /proc/self/mountinfo").split()[0] == "/"


def test_what_it_writes_is_the_runs_and_the_root_stays_as_it_was(room: inside.Room) -> None:
    assert said(room, "echo word >/tmp/file; touch /new 2>&1 || cat /tmp/file").splitlines()[-1] == "word"
    assert (room.folder / "tmp" / "file").read_text() == "word\n"
    assert not (room.root / "new").exists()
    assert not Path("/tmp/file").exists()


def test_its_exit_code_and_its_words_arrive(room: inside.Room) -> None:
    done = subprocess.run(room.command(["sh", "-c", "exit 7"]), env=room.environment(), check=False)
    assert done.returncode == 7
    with pytest.raises(ManagerUnavailable, match="ended with 3:\nno such luck"):
        room.run(["sh", "-c", "echo no such luck >&2; exit 3"])


def test_all_that_it_started_ends_with_who_started_it(room: inside.Room) -> None:
    code = "import json, subprocess, sys; subprocess.run(json.load(sys.stdin))"
    inner = f"setsid sleep 600 & echo >/tmp/ready; exec sleep 600 # {room.root}"
    words = json.dumps(room.command(["sh", "-c", inner]))
    environ = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # the tests' own is of links
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True, env=environ) as runner:
        assert runner.stdin is not None
        runner.stdin.write(words)
        runner.stdin.close()
        assert comes_true((room.folder / "tmp" / "ready").exists, 120.0)
        inhabitants = [process for process in every_process() if _is_below(process.pid, room.root)]
        assert len(inhabitants) >= 2
        runner.send_signal(signal.SIGKILL)
    assert comes_true(lambda: not any(process.alive for process in inhabitants), 120.0)


def _is_below(pid: int, root: Path) -> bool:
    """Whether a process runs in that root, by the mount that is its "/"."""
    try:
        first = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return False
    return first[3].endswith(str(root)[-60:]) and first[4] == "/"


def test_a_place_that_leads_out_of_the_root_is_refused(room: inside.Room, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (room.root / "srv").symlink_to(tmp_path / "outside")
    with pytest.raises(ManagerUnavailable, match="leads out of it"):
        inside._make_place(room.root, "/srv/data", is_folder=True)
    assert not (tmp_path / "outside" / "data").exists()


# ---- making -------------------------------------------------------------------------------------------------------


def put_debootstrap(folder: Path, text: str) -> dict[str, str]:
    """An environment with this program for debootstrap; the folder that it is to fill is "$4"."""
    folder.mkdir(exist_ok=True)
    (folder / "debootstrap").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "debootstrap").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PSIJ_TEST_ROOTS": str(folder / "place")}


def make(name: str) -> list[str]:
    return [sys.executable, "-m", "tests.clusters.roots", "make", name]


def test_a_root_that_cannot_be_made_leaves_nothing_and_says_why(room: inside.Room, tmp_path: Path) -> None:
    env = put_debootstrap(tmp_path / "bin", 'mkdir "$4"; echo the mirror is on fire; exit 1')
    done = subprocess.run(make("sid"), env=env, cwd=inside.REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the mirror is on fire" in done.stderr
    assert not [path for path in (tmp_path / "bin" / "place").iterdir() if path.is_dir()]


def test_a_root_whose_maker_was_killed_is_none_and_is_removed_by_the_next(room: inside.Room, tmp_path: Path) -> None:
    env = put_debootstrap(tmp_path / "bin", f'mkdir "$4"; echo x >"$4"/half; touch {tmp_path}/begun; exec sleep 600')
    with subprocess.Popen(make("sid"), env=env, cwd=inside.REPOSITORY) as maker:
        assert comes_true((tmp_path / "begun").exists, 60.0)
        maker.send_signal(signal.SIGKILL)
    (left,) = (tmp_path / "bin" / "place").glob("sid-*")
    assert (left.suffix, list(left.iterdir())) == (".making", [left / "half"])
    listed = [*make("sid")[:-2], "list"]
    done = subprocess.run(listed, env=env, cwd=inside.REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[2].split()[-2:] == ["not", "made"]
    put_debootstrap(tmp_path / "bin", f"[ -e {left} ] && touch {tmp_path}/still-there; exit 1")
    assert subprocess.run(make("sid"), env=env, cwd=inside.REPOSITORY, check=False).returncode == 1
    assert not left.exists()
    assert not (tmp_path / "still-there").exists()


def test_a_root_is_named_by_its_release_or_by_its_slurm() -> None:
    assert roots.release("24.11") is roots.release("trixie")
    assert len({release.root for release in roots.RELEASES}) == len(roots.RELEASES)
    with pytest.raises(ManagerUnavailable, match=r"no root is called 'woody'; there are bookworm \(22.05\)"):
        roots.release("woody")


def test_a_roots_virtual_environment_gets_what_our_extras_stand_for() -> None:
    """pip looks for no package of our own name: there is none."""
    wanted = inside._requirements()
    assert [word for word in wanted if word.startswith("sphinx>=")]
    assert not [word for word in wanted if word.startswith("psij-parsl")]
