"""Site files, and folders of such, that a user may not read: what is said of them, and where jobs then do not go."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.helpers import COMMAND, one_sentence_and_a_hint

_GRANITE = 'platform = "local"\ndetect = [{ env = { MACHINE = "granite" } }]\n'


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The host's own folder of site files; /etc is another one here."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "etc" / "psij_parsl" / "sites"
    folder.mkdir(parents=True)
    (folder / "granite.toml").write_text(_GRANITE)
    monkeypatch.setenv("PSIJ_PARSL_SYSROOT", str(tmp_path))
    yield folder
    for path in (folder.parent, folder):
        path.chmod(0o755)


def psij(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command of somebody who is not almighty."""
    argv = [*COMMAND, *words]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root reads everything, and setpriv is not here to keep it from that")
        argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *argv]
    return subprocess.run(
        argv, env={**os.environ, **environ}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def closed(system: Path, what: str) -> str:
    """Make it unreadable; gives the path that is told of."""
    path = {"file": system / "granite.toml", "folder": system, "folder above": system.parent}[what]
    path.chmod(0)
    return str(system if what == "folder above" else path)


@pytest.mark.parametrize("what", ["file", "folder", "folder above"])
@pytest.mark.parametrize("words", [("submit", "--", "true"), ("site", "detect"), ("render", "--", "true")])
def test_no_job_goes_elsewhere_on_a_host_whose_own_files_cannot_be_read(
    system: Path, home: Path, what: str, words: tuple[str, ...]
) -> None:
    path = closed(system, what)
    done = psij(*words)
    said, hint = one_sentence_and_a_hint(done)
    assert (done.returncode, done.stdout) == (3, "")
    assert path in said
    assert "Permission denied" in said
    assert "permissions" in hint
    assert "--site" in hint
    assert not list(home.glob("jobs/*"))


@pytest.mark.parametrize("what", ["file", "folder", "folder above"])
def test_a_named_site_goes_on_without_them(system: Path, what: str) -> None:
    closed(system, what)
    done = psij("run", "--site", "laptop", "--", "echo", "here")
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")


def test_other_hosts_go_on_with_a_warning(system: Path, tmp_path: Path) -> None:
    """Of several machines that share these files."""
    (system / "basalt.toml").write_text(_GRANITE.replace("granite", "basalt"))
    path = closed(system, "file")
    done = psij("site", "detect", MACHINE="basalt")
    assert done.stdout == "basalt\n"
    assert f"the site granite cannot be detected: the site file {path} cannot be read" in done.stderr


def test_a_folder_that_is_not_the_hosts_own_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0)
    environ = {"PSIJ_PARSL_SITE_PATH": str(tmp_path / "shared"), "PSIJ_PARSL_SYSROOT": str(tmp_path)}
    done = psij("run", "--", "echo", "here", **environ)
    assert (done.returncode, done.stdout) == (0, "here\n")
    assert f"the site files in {tmp_path / 'shared'} cannot be listed: Permission denied" in done.stderr


@pytest.mark.parametrize("what", ["folder", "folder above"])
def test_the_search_path_tells_of_it(system: Path, what: str) -> None:
    path = closed(system, what)
    done = psij("site", "path")
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("system"))
    assert "cannot be listed: Permission denied" in row
    assert f"the site files in {path} cannot be listed" in psij("site", "show", "granite").stderr
    assert psij("site", "list").returncode == 0
    assert psij("site", "check").returncode == 3


@pytest.mark.parametrize("fault", ["unreadable", "broken"])
def test_a_file_of_a_persons_own_that_builds_on_it_does_not_hide_it(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    own = tmp_path / "config" / "psij_parsl" / "sites"
    own.mkdir(parents=True)
    (own / "granite.toml").write_text('extends = "granite"\n[defaults]\nproject = "chem"\n')
    if fault == "unreadable":
        closed(system, "file")
    else:
        (system / "granite.toml").write_text(_GRANITE.replace("}]", "}"))
    assert psij("render", "--", "true").returncode == 3
    assert psij("render", "--site", "laptop", "--", "true").returncode == 0


def test_a_folder_that_is_not_mounted(system: Path, tmp_path: Path) -> None:
    (system / "granite.toml").unlink()
    system.rmdir()
    system.symlink_to(tmp_path / "not mounted")
    said, _ = one_sentence_and_a_hint(psij("render", "--", "true"))
    assert "it is a link to what is not there" in said
    system.unlink()
    system.mkdir()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('platform = "slurm"\n[queues\n', 0),
        ('platform = "slurm"\ndetect = [{ hostname = "x" }\n', 3),
        ('platform = "slurm"\ndetect = "x"\n', 3),
        ('platform = "slurm"\n[detect]\nhostname = "x"\n', 3),
    ],
    ids=["no-rules", "broken", "text", "table"],
)
def test_a_broken_file_without_rules_is_for_no_host(system: Path, text: str, code: int) -> None:
    (system / "granite.toml").write_text(text)
    done = psij("render", "--", "true")
    assert (done.returncode, "the site granite cannot be detected" in done.stderr) == (code, True), done.stderr


def test_a_refused_file_without_rules_is_for_no_host(system: Path) -> None:
    (system / "granite.toml").write_text('platform = "slurm"\n')
    (system / "granite.toml").chmod(0o666)
    (system / "folder.toml").mkdir()
    assert psij("render", "--", "true").returncode == 0


def test_generate_names_its_own_way_on(system: Path) -> None:
    closed(system, "folder")
    _, hint = one_sentence_and_a_hint(psij("site", "generate"))
    assert "--platform" in hint
    assert "--site" not in hint
