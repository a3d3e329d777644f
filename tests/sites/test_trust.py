"""Which site files are trusted: those that nobody but the user, root and this package's owner could have put there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from psij_parsl import sites
from psij_parsl.errors import SiteError
from psij_parsl.sites import trust
from tests.cli.helpers import psij_here

STRANGER = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """A host whose search path has one folder, three levels deep, with one site in it."""
    folder = tmp_path / "share" / "hpc" / "sites"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('platform = "slurm"\n')
    for path in (folder, *list(folder.parents)[:2]):
        path.chmod(0o755)
    made = {
        "PATH": os.environ["PATH"],
        "PSIJ_PARSL_SYSROOT": str(tmp_path / "root"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PSIJ_PARSL_SITE_PATH": str(folder),
    }
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def folder(environ: Mapping[str, str]) -> Path:
    return Path(environ["PSIJ_PARSL_SITE_PATH"])


def refusal(environ: Mapping[str, str], name: str = "mine") -> str:
    with pytest.raises(SiteError) as caught:
        sites.find(name, environ=environ)
    return str(caught.value)


def test_what_only_the_user_can_write_is_trusted(environ: Mapping[str, str]) -> None:
    assert sites.find("mine", environ=environ).platform == "slurm"


@pytest.mark.parametrize("above", [0, 1, 2])
def test_each_folder_up_to_the_root_counts(environ: Mapping[str, str], folder: Path, above: int) -> None:
    place = [folder, *folder.parents][above]
    place.chmod(0o777)
    assert refusal(environ) == (
        f"the site file {folder}/mine.toml is refused: everybody can replace files in {place} (chmod go-w {place})"
    )
    place.chmod(0o1777)  # as /tmp is: what is in it can be replaced by its owner alone
    assert sites.find("mine", environ=environ).name == "mine"


@pytest.mark.parametrize("above", [0, 1, 2])
def test_a_group_is_trusted_if_it_is_the_owners_alone(
    environ: Mapping[str, str], folder: Path, above: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = [folder, *folder.parents][above]
    place.chmod(0o775)
    monkeypatch.setattr(trust, "private_group", lambda gid, uid: False)
    assert f"its group can replace files in {place}" in refusal(environ)
    monkeypatch.setattr(trust, "private_group", lambda gid, uid: (gid, uid) == (os.getegid(), os.geteuid()))
    assert sites.find("mine", environ=environ).name == "mine"


def test_a_file_that_a_group_can_write_is_trusted_if_the_group_is_the_owners_alone(
    environ: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "mine.toml"
    path.chmod(0o664)
    monkeypatch.setattr(trust.os, "stat", _stat_of_code_without_group(trust.os.stat))
    monkeypatch.setattr(trust, "private_group", lambda gid, uid: False)
    assert refusal(environ) == (f"the site file {path} is refused: its group can write to it (chmod g-w {path})")
    monkeypatch.setattr(trust, "private_group", lambda gid, uid: True)
    assert sites.find("mine", environ=environ).name == "mine"


def _stat_of_code_without_group(real):  # type: ignore[no-untyped-def]  # as os.stat
    """`os.stat`, but our own code is not writable by its group: what can write to it is trusted as it is."""

    def stat(path, *args, **kwargs):  # type: ignore[no-untyped-def]  # as os.stat
        found = real(path, *args, **kwargs)
        return os.stat_result((0o100644, *found[1:])) if path == trust.__file__ else found

    return stat


@needs_root
@pytest.mark.parametrize("above", [0, 1, 2])
def test_a_folder_of_another_user_is_refused(environ: Mapping[str, str], folder: Path, above: int) -> None:
    place = [folder, *folder.parents][above]
    os.chown(place, STRANGER, -1)
    assert refusal(environ) == (
        f"the site file {folder}/mine.toml is refused: {place} belongs to the user {STRANGER}, who can replace it"
        " (its shell lines would run as you: read it, and make a copy of your own)"
    )


@needs_root
def test_a_file_of_another_user_is_refused_in_a_sticky_folder_too(environ: Mapping[str, str], folder: Path) -> None:
    folder.chmod(0o1777)
    os.chown(folder / "mine.toml", STRANGER, -1)
    assert f"it belongs to the user {STRANGER}, neither to you nor to root" in refusal(environ)


def test_a_link_is_refused_for_the_folder_that_it_leads_to(
    environ: Mapping[str, str], folder: Path, tmp_path: Path
) -> None:
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    (open_folder / "x.toml").write_text('platform = "slurm"\n')
    open_folder.chmod(0o777)
    (folder / "linked.toml").symlink_to(open_folder / "x.toml")
    assert f"{folder}/linked.toml is refused: everybody can replace files in {open_folder}" in refusal(
        environ, "linked"
    )


def test_a_link_is_refused_for_the_folder_that_it_is_in(environ: Mapping[str, str], tmp_path: Path) -> None:
    good, open_folder = tmp_path / "good.toml", tmp_path / "open"
    good.write_text('platform = "slurm"\n')
    open_folder.mkdir()
    (open_folder / "linked.toml").symlink_to(good)
    open_folder.chmod(0o777)
    again = {**environ, "PSIJ_PARSL_SITE_PATH": str(open_folder)}
    assert f"everybody can replace files in {open_folder}" in refusal(again, "linked")


def test_a_folder_reached_by_a_link_is_looked_at_on_both_ways(
    environ: Mapping[str, str], folder: Path, tmp_path: Path
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "sites").symlink_to(folder)
    again = {**environ, "PSIJ_PARSL_SITE_PATH": str(links / "sites")}
    assert sites.find("mine", environ=again).name == "mine"
    folder.parent.chmod(0o777)
    assert f"everybody can replace files in {folder.parent}" in refusal(again)
    folder.parent.chmod(0o755)
    links.chmod(0o777)
    assert f"everybody can replace files in {links}" in refusal(again)


def test_a_refused_folder_takes_no_other_site_with_it(folder: Path) -> None:
    folder.chmod(0o777)
    done = psij_here("site", "check", "mine", "--json")
    assert done.returncode == 3
    (row,) = json.loads(done.stdout)
    assert row["faults"] == [
        f"the site file {folder}/mine.toml is refused: everybody can replace files in {folder} (chmod go-w {folder})"
    ]
    done = psij_here("site", "list", "--json")
    assert done.returncode == 0
    assert {"mine", "slurm", "frontier"} <= {row["name"] for row in json.loads(done.stdout)}
    done = psij_here("render", "--site", "slurm", "--", "true")
    assert (done.returncode, "#SBATCH" in done.stdout) == (0, True)
    done = psij_here("render", "--site", "mine", "--", "true")
    assert (done.returncode, "is refused" in done.stderr, "Traceback" in done.stderr) == (3, True, False)


def test_a_file_that_is_named_is_looked_at_as_well(environ: Mapping[str, str], folder: Path) -> None:
    folder.chmod(0o777)
    for name in (str(folder / "mine.toml"), os.path.relpath(folder / "mine.toml")):
        done = psij_here("site", "check", name)
        assert (done.returncode, f"everybody can replace files in {folder}" in done.stdout) == (3, True)
