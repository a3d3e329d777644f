"""Whose files may be site files: what is refused, in which folders, through which links, and what is still read of it."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from psij_parsl import sites
from psij_parsl.errors import SiteError
from psij_parsl.sites import trust
from psij_parsl.sites.host_name import is_quick
from psij_parsl.sites.layers import PACKAGE, user_directory
from psij_parsl.sites.trust import way_to
from psij_parsl.system.files import guard_spool, home
from psij_parsl.system.namespaces import UserNamespace
from tests.cli.helpers import psij_here

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")
_SITE = 'platform = "slurm"\n[queues.a]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good site file in a folder of its own."""
    tmp_path.chmod(0o755)
    (tmp_path / "sites").mkdir(mode=0o755)
    path = tmp_path / "sites" / "mine.toml"
    path.write_text(_SITE)
    path.chmod(0o644)
    assert sites.find(None, path).name == "mine"
    return path


def refused(path: Path, why: str) -> None:
    with pytest.raises(SiteError, match=why):
        sites.find(None, path)


def give_rights(path: Path, *entries: tuple[int, int, int]) -> None:
    """An access control list: of each entry the kind (2: user, 8: group, 16: mask), the rights and the id."""
    base = [(1, 6, -1), (4, 4, -1), (32, 4, -1)]
    packed = [struct.pack("<HHi", *entry) for entry in sorted([*base, *entries])]
    try:
        os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(packed))
    except OSError as error:
        pytest.skip(f"this file system has no access control lists: {error.strerror}")


@pytest.mark.parametrize("kind", [2, 8], ids=["user", "group"])
def test_a_list_that_lets_somebody_else_write_counts_though_the_group_is_private(file: Path, kind: int) -> None:
    give_rights(file, (kind, 4, 12345), (16, 6, -1))  # it may read
    assert sites.find(None, file).name == "mine"
    give_rights(file, (kind, 6, 12345), (16, 4, -1))  # it might write, and the mask forbids it
    assert sites.find(None, file).name == "mine"
    give_rights(file, (kind, 6, 12345), (16, 6, -1))
    refused(file, "its group can write to it")


def test_such_a_list_of_a_folder(file: Path) -> None:
    give_rights(file.parent, (2, 7, 12345), (16, 7, -1))
    file.parent.chmod(file.parent.stat().st_mode | 0o111)
    refused(file, "its group can replace files in")
    from psij_parsl.errors import JournalError

    with pytest.raises(JournalError, match="its group can write"):
        guard_spool(file.parent)


@as_root
def test_a_sticky_folder_of_another_user(file: Path) -> None:
    file.parent.chmod(0o1777)
    assert sites.find(None, file).name == "mine"
    os.chown(file.parent, 12345, 12345)
    refused(file, "can replace files in|who can replace it")
    file.parent.chmod(0o1755)
    refused(file, "belongs to the user 12345, who can replace it")


def test_every_link_on_the_way_is_looked_at(file: Path) -> None:
    loose = file.parents[1] / "loose"
    loose.mkdir()
    (loose / "current.toml").symlink_to(file)
    (loose / "folder").symlink_to(file.parent)
    first = file.with_name("first.toml")
    first.symlink_to(loose / "current.toml")
    second = file.parents[1] / "second"
    second.symlink_to(loose / "folder")
    ways = (first, second / "mine.toml")
    for way in ways:
        assert sites.find(None, way).platform == "slurm"
    loose.chmod(0o777)
    for way in ways:
        refused(way, f"everybody can replace files in {loose}")


def test_the_way_to_a_path(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/../a/b")
    (tmp_path / "loop").symlink_to("loop")
    ways = [place for place in way_to(f"{tmp_path}/link/x.toml") if place.startswith(f"{tmp_path}")]
    assert ways == [str(tmp_path)] * 3 + [f"{tmp_path}/a", f"{tmp_path}/a/b"]
    assert list(way_to("/")) == ["/"]
    assert len([*way_to(f"{tmp_path}/loop")]) < 100


# ---- users that a namespace does not know ------------------------------------------------------------------------

_IN_NAMESPACE = """
import sys
from pathlib import Path
from psij_parsl import sites
from psij_parsl.errors import SiteError
try:
    print(sites.find(None, Path(sys.argv[1]), environ={"HOME": "/nowhere"}).name, len(sites.installed(environ={"HOME": "/nowhere"})) > 10)
except SiteError as error:
    print(error.message)
"""


def in_namespace(path: Path, *mapping: str, package: Path = PACKAGE.parents[1]) -> str:
    """What becomes of the file, and whether the shipped sites are there, for root in a new user namespace."""
    if not shutil.which("unshare"):
        pytest.skip("unshare of util-linux is not here")
    done = subprocess.run(
        ["unshare", "--user", *mapping, sys.executable, "-c", _IN_NAMESPACE, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if done.returncode:
        pytest.skip(f"no user namespace can be made here: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


@as_root
@pytest.mark.parametrize("mapping", ["--map-root-user", "--map-user=1000"])
def test_a_strangers_file_is_nobodys_in_a_user_namespace(file: Path, mapping: str) -> None:
    assert in_namespace(file, mapping) == "mine True"
    os.chown(file, 12345, 12345)
    assert "it belongs to" in in_namespace(file, mapping)


@as_root
def test_where_a_namespace_does_not_know_its_own_user_no_file_is_known_as_theirs(file: Path) -> None:
    os.chown(file, 12345, 12345)
    assert "it belongs to" in in_namespace(file)


@as_root
@pytest.mark.parametrize("mapping", ["--map-root-user", "--map-user=1000"])
def test_a_strangers_file_is_not_the_package_owners_in_a_user_namespace(
    file: Path, tmp_path: Path, mapping: str
) -> None:
    package = tmp_path / "installed"
    shutil.copytree(PACKAGE.parent, package / "psij_parsl", ignore=shutil.ignore_patterns("__pycache__"))
    for place in (package, *package.rglob("*")):
        os.chown(place, 12345, 12345)
    assert in_namespace(file, mapping, package=package) == "mine True"
    os.chown(file, 12346, 12346)
    assert "it belongs to" in in_namespace(file, mapping, package=package)


@as_root
def test_a_folder_of_somebody_unknown_may_be_roots_where_a_namespace_does_not_know_root(file: Path) -> None:
    os.chown(file.parent, 12345, 12345)
    assert in_namespace(file, "--map-user=1000") == "mine True"
    assert "who can replace it" in in_namespace(file, "--map-root-user")
    file.parent.chmod(0o775)
    assert "its group can replace files in" in in_namespace(file, "--map-user=1000")


@as_root
def test_a_package_that_a_file_server_shows_as_nobodys_makes_nobodys_files_not_trusted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = UserNamespace.here().stranger
    if nobody is None:
        pytest.skip("this system has no id for unknown users")
    own = os.stat(trust.__file__)
    shown = os.stat_result((*own[:4], nobody, *own[5:]))
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **k: shown if path == trust.__file__ else real(path, **k))
    os.chown(file, nobody, nobody)
    refused(file, "it belongs to")


@pytest.mark.parametrize(
    ("ranges", "stranger", "may_be_root"),
    [
        ("0 0 4294967295\n", False, False),
        ("0 1000 1\n", True, False),
        ("1000 1000 1\n", True, True),
        ("0 1000 1\n1 100000 65536\n", True, False),
    ],
    ids=["the first one", "root alone", "the user alone", "a container's"],
)
def test_what_a_namespace_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges: str, stranger: bool, may_be_root: bool
) -> None:
    import builtins
    import io

    real = builtins.open
    texts = {"/proc/self/uid_map": ranges, "/proc/sys/kernel/overflowuid": "65534\n"}
    monkeypatch.setattr(
        builtins, "open", lambda path, *a, **k: io.StringIO(texts[path]) if path in texts else real(path, *a, **k)
    )
    here = UserNamespace.here()
    assert (here.is_strange(65534), here.may_be_root(65534)) == (stranger, may_be_root)
    assert not here.is_strange(1000)


# ---- what is still read of a refused file ------------------------------------------------------------------------


def detected(folder: Path, rule: str, monkeypatch: pytest.MonkeyPatch, mode: int = 0o666) -> str:
    """The name of the site here, or what is wrong with its file."""
    path = folder / "mine.toml"
    path.write_text(f"platform = 'slurm'\ndetect = [{{ {rule} }}]\n")
    path.chmod(mode)
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="a" * 34))
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(folder))
    monkeypatch.setenv("ON_MINE", "1")
    try:
        return sites.find().name
    except SiteError as error:
        return error.message


@pytest.mark.parametrize(
    "rule", ["hostname = 'a+'", r"hostname = 'a\w*(\..*)?'", "hostname = '[a-z]*'", "env = { ON_MINE = '1' }"]
)
def test_on_its_host_a_refused_file_is_an_error(file: Path, monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    assert "everybody can write to it" in detected(file.parent, rule, monkeypatch)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|aa)+b",
        "([a-z0-9-]+)+b",
        "a*a*a*a*a*b",
        "(?:a+)+b",
        "(a+){9}b",
        "a{1,9999}{1,9999}b",
        "((a+)?)?b",
        f"{'a?' * 34}{'a' * 34}",
        f"{'(a|aa)' * 17}b",
    ],
)
def test_nobodys_pattern_makes_everybody_wait(file: Path, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    assert detected(file.parent, f"hostname = '{pattern}'", monkeypatch) == "laptop"


def test_patterns_as_shipped_are_known_as_quick() -> None:
    patterns = [
        rule["hostname"]
        for path in PACKAGE.glob("*.toml")
        for rule in tomllib.loads(path.read_text()).get("detect", ())
        if "hostname" in rule
    ]
    assert sum(map(is_quick, patterns)) > 0.9 * len(patterns) > 10


@pytest.mark.parametrize("pattern", ["a?a?a?a?a*a*a*b", "(a|aa)(a|aa)(a|aa)(a|aa)[a-z]*.*a*b", "(.*)(a*)?a*(a|.)a?b"])
def test_the_worst_that_counts_as_quick_is(pattern: str) -> None:
    import re

    assert is_quick(pattern)
    began = time.process_time()
    assert not re.fullmatch(pattern, "a" * 64)  # no host name is longer
    assert time.process_time() - began < 0.1


def test_for_a_refused_file_nothing_is_run_and_little_is_tried(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert detected(file.parent, "manager = 'slurm'", monkeypatch) == "laptop"
    many = ", ".join(f"{{ hostname = '{number}.*' }}" for number in range(500))
    rules = f"hostname = 'b' }}, {many}, {{ hostname = 'a+'"
    assert detected(file.parent, rules, monkeypatch) == "laptop"
    assert detected(file.parent, rules, monkeypatch, 0o644) == "mine"


def test_a_file_of_ours_that_is_broken_keeps_all_its_rules(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mine.toml" in detected(file.parent, "hostname = '(a+){9}' }]\n[[[ # ", monkeypatch, 0o644)


def test_a_relative_folder_for_settings_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "here" / "psij_parsl" / "sites"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(_SITE)
    with pytest.raises(SiteError, match="there is no site 'mine'"):
        sites.find("mine", environ={"XDG_CONFIG_HOME": "here", "HOME": str(tmp_path)})


def test_a_variable_of_the_spool_that_is_empty_is_missing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('platform = "local"\nspool = "$SCRATCH/.psij"\n')
    for value in ("", None):
        monkeypatch.delenv("SCRATCH", raising=False) if value is None else monkeypatch.setenv("SCRATCH", value)
        with pytest.raises(SiteError, match="SCRATCH is not set here, or empty"):
            sites.find(None, file).spool_path()
    done = psij_here("submit", "--config", str(file), "--dry-run", "--", "true")
    assert (done.returncode, done.stdout) == (3, "")
    assert "hint: set SCRATCH" in done.stderr


@pytest.mark.parametrize("spool", ["~/.psij", "/x/$USER"])
def test_an_empty_variable_of_the_user_does_not_count(
    file: Path, monkeypatch: pytest.MonkeyPatch, spool: str
) -> None:
    import pwd

    user = pwd.getpwuid(os.getuid())
    file.write_text(f'platform = "local"\nspool = "{spool}"\n')
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("USER", "")
    expected = {"~/.psij": f"{user.pw_dir}/.psij", "/x/$USER": f"/x/{user.pw_name}"}[spool]
    assert str(sites.find(None, file).spool_path()) == expected
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert str(user_directory(os.environ)) == f"{user.pw_dir}/.config/psij_parsl/sites"
    for name in ("PSIJ_PARSL_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert str(home()) == f"{user.pw_dir}/.local/state/psij_parsl"


@pytest.mark.parametrize("table", ["", "[queues.q]\n", "[nodes.n]\n"])
@pytest.mark.parametrize(
    "line",
    [
        'environment = "TOKEN=hunter2"',
        'environment = ["hunter2"]',
        'environment = { TOKEN = ["hunter2"] }',
        'environment = { TOKEN = { a = "hunter2" } }',
        'environment = { "A B" = "hunter2" }',
        'environment = { TOKEN = "hunter2\\u0000" }',
    ],
)
def test_an_environment_of_a_wrong_type_is_not_shown(file: Path, table: str, line: str) -> None:
    file.write_text(f'platform = "slurm"\n{table}{line}\n')
    done = psij_here("site", "check", str(file))
    assert done.returncode == 3
    assert "environment" in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr
