"""What is kept from one start to the next: it changes no answer, and whatever is wrong with it fails no command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from psij_parsl import sites
from psij_parsl.errors import SiteError
from psij_parsl.sites import Site, site_cache
from psij_parsl.sites.layers import PACKAGE
from psij_parsl.sites.site_records import from_record, to_record
from psij_parsl.system import cache as cache_module
from psij_parsl.system.cache import Cache
from tests.cli.helpers import COMMAND, psij

SHIPPED = sorted(path.stem for path in PACKAGE.glob("*.toml"))
FULL = """
platform = "slurm"
launcher = "srun"
contact = "help@example.org"
verified = "2026-11-27"
required = ["project"]
forbidden = ["gres"]
choices = { constraint = ["cpu", "gpu"] }
parameters = { licenses = "scratch", directives = ["--x", "--y=1"], exclusive = true }
modules = ["gcc"]
setup = ["ulimit -s unlimited"]
environment = { TOKEN = "s3cret", origins = "x" }
node_environment = ["SCRATCH*"]
poll_min = "30s"
query_memory = "2 GB"
spool = "$HOME/spool"
detect = [{ hostname = 'full\\d+' }]
network = { compute = "hsn0", login = "bond0" }
launch = { options = ["--mpi=pmix"], mpi = ["srun", "-n", "{{ num_ranks }}"] }
[sources]
guide = "the guide, 2026-11-27"
[defaults]
wall_time_min = "1h"
job_mode = "mpi"
setup_may_fail = true
[nodes.gpu]
cpus = 8
threads_per_core = 2
blocked = "0,4"
memory = "64 GB"
gpus = { kind = "amd", ids = 2, cpus = ["1-3", "5-7"] }
source = "guide"
[queues."a.b"]
node = "gpu"
default = true
strict = true
tiers = [{ max_nodes = 2, max_time = "2h", leads_to = "c" }, { max_nodes = 4, max_time = "1h", node_hours = 2.5 }]
jobs = { running = 4, queued = 100 }
account = "{project}-gpu"
gpus = "implied"
charge = 4
preempt_grace = "10m"
setup = ["true"]
"""


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once, so that no test needs to wait for that."""
    monkeypatch.setattr("psij_parsl.sites.folder_index._SETTLED_NS", 0)


@pytest.fixture
def folder() -> Path:
    """The user's folder of site files."""
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "psij_parsl" / "sites"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def kept(home: Path) -> Path:
    """The cache, which is there once something was found."""
    return home / "cache"


@pytest.fixture
def validations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sites that are validated from now on."""
    from psij_parsl.sites import validation

    names: list[str] = []
    real = validation.validated

    def watched(file: Any, content: Any) -> Site:
        names.append(file.name)
        return real(file, content)

    monkeypatch.setattr(validation, "validated", watched)
    return names


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def same(one: Any, other: Any) -> bool:
    """Whether both are equal, and of the same types to the innermost value."""
    if type(one) is not type(other):
        return False
    if is_dataclass(one):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def contents(folder: Path) -> Iterator[Any]:
    for path in folder.iterdir():
        yield json.loads(path.read_text().partition("\n")[2])


# ---- it changes no answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_site_is_the_same_from_the_cache(name: str, validations: list[str]) -> None:
    afresh = sites.find(name, afresh=True)
    sites.find(name)
    validations.clear()
    assert same(sites.find(name), afresh)
    assert not validations


def test_each_value_of_a_site_is_kept(folder: Path, validations: list[str]) -> None:
    write(folder / "full.toml", FULL)
    afresh = sites.find("full", afresh=True)
    assert afresh.queues["a.b"].tiers[0].leads_to == "c"
    assert same(from_record(json.loads(json.dumps(to_record(afresh)))), afresh)
    sites.find("full")
    validations.clear()
    assert same(sites.find("full"), afresh)
    assert not validations


def test_the_command_shows_and_checks_what_is_in_the_file(folder: Path, kept: Path) -> None:
    path = write(folder / "mine.toml", 'platform = "slurm"\ndescription = "one"\n[queues.a]')
    before = psij("site", "show", "mine").stdout
    psij("render", "--site", "mine", "--", "true")
    assert psij("site", "show", "mine").stdout == before
    for file in kept.glob("site-*"):
        head, _, text = file.read_text().partition("\n")
        file.write_text(f"{head}\n{text.replace('one', 'two')}")
    assert psij("site", "show", "mine").stdout == before
    assert psij("site", "check", str(path)).returncode == 0


def test_a_date_in_a_parameter_is_not_kept_and_stays_a_date(folder: Path) -> None:
    write(folder / "mine.toml", 'platform = "slurm"\nparameters = { begin = 2026-11-27 }\n[queues.a]')
    first, second = sites.find("mine"), sites.find("mine")
    assert same(first, second)


def test_a_date_in_a_detection_rule_keeps_no_other_file_from_the_index(folder: Path, kept: Path) -> None:
    write(folder / "odd.toml", 'platform = "slurm"\ndetect = [{ env = { A = 2026-11-27 } }]')
    write(folder / "mine.toml", 'platform = "slurm"')
    sites.find("mine")
    assert any("mine.toml" in one.get("files", {}) and "odd.toml" not in one["files"] for one in contents(kept))


# ---- a change counts at once -------------------------------------------------------------------------------------


def test_a_changed_file_counts_at_once(folder: Path) -> None:
    path = write(folder / "mine.toml", 'platform = "slurm"\ndescription = "one"\n[queues.a]')
    assert [sites.find("mine").description for _ in range(3)] == ["one"] * 3
    write(path, 'platform = "slurm"\ndescription = "another"\n[queues.a]')
    assert sites.find("mine").description == "another"


def test_a_change_that_keeps_size_and_time_counts_at_once(folder: Path) -> None:
    text = 'name = "one"\nplatform = "slurm"\ndescription = "one"\n[queues.a]'
    path = write(folder / "mine.toml", text)
    times = path.stat()
    sites.find("one")
    sites.find("one")
    write(path, text.replace('description = "one"', 'description = "two"'))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert sites.find("one").description == "two"
    write(path, text.replace("one", "six"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert sites.find("six").description == "six"
    with pytest.raises(SiteError, match="there is no site 'one'"):
        sites.find("one")


def test_an_index_that_is_behind_its_file_is_found_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a shared file system whose clock is another one: nothing tells the new file from the old one."""
    monkeypatch.setattr("psij_parsl.sites.layers.identity", lambda status: (1, 0, 0))
    monkeypatch.setattr("psij_parsl.sites.folder_index.identity", lambda status: (1, 0, 0))
    write(folder / "base.toml", 'platform = "pbspro"\n[queues.b]')
    path = write(folder / "mine.toml", 'platform = "slurm"\n[queues.a]')
    assert sites.find("mine").platform == sites.find("mine").platform == "slurm"
    write(path, 'extends = "base"\n[queues.a]')
    assert sites.find("mine").platform == "pbspro"
    assert list(sites.find("mine").queues) == ["b", "a"]


def test_a_changed_base_counts_at_once(folder: Path, validations: list[str]) -> None:
    base = write(folder / "base.toml", 'platform = "slurm"\nlauncher = "srun"\n[queues.a]')
    write(folder / "mine.toml", 'extends = "base"\n[queues.b]')
    assert sites.find("mine").launcher == "srun"
    validations.clear()
    assert sites.find("mine").launcher == "srun"
    assert not validations
    write(base, 'platform = "slurm"\nlauncher = "mpich"\n[queues.a]')
    assert sites.find("mine").launcher == "mpich"
    base.unlink()
    with pytest.raises(SiteError, match="there is no site 'base'"):
        sites.find("mine")


def test_an_added_and_a_removed_file_count_at_once(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    sites.find("slurm")
    own = write(folder / "slurm.toml", 'platform = "slurm"\ndescription = "mine"\n[queues.a]')
    assert [sites.find("slurm").description for _ in range(2)] == ["mine", "mine"]
    twin = write(folder / "twin.toml", 'name = "slurm"\nplatform = "slurm"')
    with pytest.raises(SiteError, match="described twice"):
        sites.find("slurm")
    twin.unlink()
    assert sites.find("slurm").description == "mine"
    own.unlink()
    assert sites.find("slurm").description != "mine"


def test_a_new_detection_rule_counts_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="head7"))
    path = write(folder / "mine.toml", "platform = 'slurm'\ndetect = [{ hostname = 'head\\d' }]")
    assert [sites.find().name for _ in range(2)] == ["mine", "mine"]
    write(path, "platform = 'slurm'\ndetect = [{ hostname = 'tail\\d' }]")
    assert [sites.find().name for _ in range(2)] == ["laptop", "laptop"]
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="tail7"))
    assert [sites.find().name for _ in range(2)] == ["mine", "mine"]


def test_a_file_that_was_changed_just_now_is_not_indexed(
    folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psij_parsl.sites.folder_index._SETTLED_NS", 3600 * 10**9)
    write(folder / "mine.toml", 'platform = "slurm"')
    sites.find("mine")
    assert not any("mine.toml" in one.get("files", {}) for one in contents(kept))


def test_a_broken_file_is_told_of_at_each_start(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder / "mine.toml", "platform = 'slurm'\n[queues")
    for _ in range(3):
        caplog.clear()
        assert sites.find().name == "laptop"
        assert "the site mine cannot be detected" in caplog.text
        with pytest.raises(SiteError, match="mine.toml:2"):
            sites.find("mine")


def test_permissions_are_looked_at_each_time(folder: Path) -> None:
    path = write(folder / "mine.toml", 'platform = "slurm"\n[queues.a]')
    assert [sites.find("mine").name for _ in range(2)] == ["mine", "mine"]
    path.chmod(0o666)
    with pytest.raises(SiteError, match="everybody can write to it"):
        sites.find("mine")
    path.chmod(0o600)
    assert sites.find("mine").name == "mine"
    folder.chmod(0o777)
    with pytest.raises(SiteError, match="everybody can replace files in"):
        sites.find("mine")


def test_a_file_that_others_can_replace_by_now_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(nodename="head7"))
    write(folder / "mine.toml", "platform = 'slurm'\ndetect = [{ hostname = 'head\\d' }]")
    assert [sites.find().name for _ in range(2)] == ["mine", "mine"]
    folder.chmod(0o777)
    with pytest.raises(SiteError, match="everybody can replace files in"):
        sites.find()


def test_a_platform_that_is_no_longer_installed_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "mine.toml", 'platform = "slurm"\n[queues.a]')
    sites.find("mine")
    monkeypatch.setattr("psij_parsl.sites.plugin_names.find_spec", lambda name: None)
    monkeypatch.setattr("psij_parsl.system.plugins.PluginGroup.has_builtin", lambda self, name: False)
    with pytest.raises(SiteError, match="there is no platform 'slurm'"):
        sites.find("mine")


def test_another_version_does_not_take_it(folder: Path, monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    write(folder / "mine.toml", FULL)
    sites.find("mine")
    for file in kept.iterdir():
        file.rename(file.with_name(file.name.replace(file.stem.rpartition("-")[2], "0000")))
    names: list[str] = []
    monkeypatch.setattr(Cache, "write", lambda self, name, value: names.append(name))
    sites.find("mine")
    assert {name.partition("-")[0] for name in names} == {"folder", "site"}


def test_each_change_of_what_makes_a_site_makes_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "psij_parsl"
    shutil.copytree(PACKAGE.parent, clone, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(site_cache, "_PACKAGE", clone)
    stamp = site_cache._stamp.__wrapped__
    seen = {stamp()}
    assert stamp() in seen
    code = (
        "sites/catalogue sites/toml_positions sites/spool sites/models/node_model resources/hostlist resources/node"
    )
    for name in (*code.split(), "platforms/templates/parameters"):
        path = clone / f"{name}.py"
        path.write_text(f"{path.read_text()}# edited\n")
        assert stamp() not in seen, name
        seen.add(stamp())


# ---- whatever is wrong with it, no command fails ------------------------------------------------------------------


@pytest.fixture
def filled(folder: Path, kept: Path) -> Path:
    """A cache of one site of the user's."""
    write(folder / "mine.toml", FULL)
    sites.find("mine")
    assert {path.name.partition("-")[0] for path in kept.iterdir()} == {"folder", "site"}
    return kept


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _turn(file: Path) -> None:
    text = file.read_bytes()
    file.write_bytes(text.replace(b"module load gcc", b"module load bad"))


def _other(file: Path) -> None:
    Cache("stamp").write("other", {"folder": 1, "files": [], "name": "mine", "site": []})
    (file.parent / "other-stamp.json").rename(file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def _link(file: Path) -> None:
    file.rename(file.parent.parent / file.name)
    file.symlink_to(file.parent.parent / file.name)


@pytest.mark.parametrize(
    "damage",
    [_cut, _turn, _other, _folder, _pipe, _link, lambda file: file.write_bytes(b"\xff\xfe\n\0"), Path.touch],
    ids=["cut", "turned", "other", "folder", "pipe", "link", "bytes", "none"],
)
def test_a_damaged_cache_is_ignored(filled: Path, damage: Callable[[Path], None], validations: list[str]) -> None:
    afresh = sites.find("mine", afresh=True)
    validations.clear()
    for file in list(filled.iterdir()):
        damage(file)
    assert same(sites.find("mine"), afresh)
    assert validations == ([] if damage is Path.touch else ["mine"])


def test_what_others_can_read_or_write_is_ignored_and_made_anew(filled: Path, validations: list[str]) -> None:
    for file in filled.iterdir():
        file.chmod(0o644)
    sites.find("mine")
    assert validations == ["mine"]
    assert {file.stat().st_mode & 0o777 for file in filled.iterdir()} == {0o600}
    filled.chmod(0o755)
    sites.find("mine")
    assert validations == ["mine", "mine"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_cache_is_ignored(filled: Path, validations: list[str]) -> None:
    for file in filled.iterdir():
        os.chown(file, 12345, 12345)
    sites.find("mine")
    assert validations == ["mine"]
    assert {file.stat().st_uid for file in filled.iterdir()} == {0}
    os.chown(filled, 12345, 12345)
    sites.find("mine")
    os.chown(filled, 0, 0)
    os.chown(filled.parent, 12345, 12345)
    sites.find("mine")
    assert validations == ["mine"] * 3


def test_secrets_are_readable_by_their_owner_alone(filled: Path) -> None:
    before = os.umask(0)
    try:
        shutil.rmtree(filled)
        sites.find("mine")
    finally:
        os.umask(before)
    assert filled.stat().st_mode & 0o777 == 0o700
    assert any("s3cret" in file.read_text() for file in filled.iterdir())
    assert {file.stat().st_mode & 0o777 for file in filled.iterdir()} == {0o600}


@pytest.mark.parametrize("where", ["file", "relative", "proc"])
def test_without_a_place_for_it_all_is_as_ever(
    folder: Path, home: Path, where: str, monkeypatch: pytest.MonkeyPatch, validations: list[str]
) -> None:
    write(folder / "mine.toml", FULL)
    if where == "file":
        home.mkdir()
        (home / "cache").write_text("in the way")
    monkeypatch.setenv("PSIJ_PARSL_HOME", {"file": str(home), "relative": "state", "proc": "/proc/self"}[where])
    assert [sites.find("mine").name for _ in range(2)] == ["mine", "mine"]
    assert validations == ["mine", "mine"]


def test_a_name_that_is_no_text_is_a_name(folder: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(folder.parent) + b"/\xff"))
    odd.mkdir()
    path = write(odd / "mine.toml", 'platform = "slurm"\n[queues.a]')
    environ = {**os.environ, "PSIJ_PARSL_SITE_PATH": str(odd)}
    assert [sites.find("mine", environ=environ).name for _ in range(2)] == ["mine", "mine"]
    assert [sites.find(file=path).name for _ in range(2)] == ["mine", "mine"]


def test_a_folder_that_cannot_be_written_still_serves(
    filled: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, validations: list[str]
) -> None:
    """As on a full or read-only file system, which root meets, too."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    assert sites.find("mine").name == "mine"
    assert validations == []
    write(folder / "mine.toml", FULL.replace("gcc", "llvm"))
    assert [sites.find("mine").setup[0] for _ in range(2)] == ["module load llvm"] * 2


def test_a_read_only_state_directory_fails_no_command(folder: Path, home: Path) -> None:
    write(folder / "mine.toml", FULL)
    home.mkdir(mode=0o500)
    words = [*COMMAND, "render", "--site", "mine", "-A", "x", "-q", "a.b", "--", "true"]
    argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *words] if os.geteuid() == 0 else words
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root writes everywhere, and setpriv is not here to keep it from that")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(home.iterdir())


def test_it_is_bounded(folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_MOST_FILES", 5)
    for number in range(12):
        write(folder / f"site{number}.toml", 'platform = "slurm"\n[queues.a]')
        assert sites.find(f"site{number}").name == f"site{number}"
        assert len(list(kept.iterdir())) <= 5


def test_processes_at_once_do_not_disturb_each_other(folder: Path, kept: Path) -> None:
    for number in range(4):
        write(folder / f"site{number}.toml", FULL.replace("s3cret", f"s3cret{number}"))
    code = (
        "import glob, os; from psij_parsl import sites\n"
        "for turn in range(6):\n"
        "    for number in range(4):\n"
        "        site = sites.find(f'site{number}')\n"
        "        assert site.environment['TOKEN'] == f's3cret{number}', site\n"
        "        for path in glob.glob(os.environ['PSIJ_PARSL_HOME'] + '/cache/site-*')[:turn % 3]:\n"
        "            try: os.unlink(path)\n"
        "            except FileNotFoundError: pass\n"
    )
    with ThreadPoolExecutor() as pool:
        done = list(
            pool.map(lambda _: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True), range(3))
        )
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 3
    assert not [path for path in kept.iterdir() if path.name.startswith(".")]


# ---- what it saves ---------------------------------------------------------------------------------------------------


def test_a_second_start_reads_no_toml_and_imports_no_models(folder: Path) -> None:
    changed = write(folder / "mine.toml", FULL).stat().st_ctime
    while time.time() < changed + 2.1:  # by then it has settled in another process, too
        time.sleep(0.1)
    heavy = ("pydantic", "tomllib", "jinja2", "filelock", "tempfile", "importlib.metadata")
    code = "import sys; from psij_parsl.sites import find; find(*sys.argv[1:])"
    code += f"; print([name for name in {heavy} if name in sys.modules])"
    for words in (["frontier"], ["mine"], []):
        run = [sys.executable, "-c", code, *words]
        subprocess.run(run, check=True, capture_output=True)
        assert subprocess.run(run, check=True, capture_output=True, text=True).stdout == "[]\n"
