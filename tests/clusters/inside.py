"""Running a command in a root: in mounts and a process tree of its own, with a copy of this clone installed.

The root is read-only there. What is written goes to a folder of the run: /tmp, the home directory, a virtual
environment, and the copy of the clone, which no other Python and no other run shares; it is removed with all
processes of the run when that ends. pip reaches its index as it does on the host: by the host's settings, which are
looked up each time and kept nowhere.

pivot_root and not chroot: in a chroot, `unshare --mount` fails and `nsenter --mount` gets out.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.clusters.packages import PLACE, ManagerUnavailable

REPOSITORY = Path(__file__).parents[2]
CLONE = "/psij-parsl"  # where the copy of this clone lies in a root
#: Runs a command in mounts and a process tree of its own, all of which is killed when who started it ends.
APART = (
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--propagation",
    "private",
)
_VENV = "/venv"
_PATH = f"{_VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = (
    "CI",
    "COLUMNS",
    "LANG",
    "NO_COLOR",
    "PSIJ_TEST_WORKERS",
    "PYTEST_ADDOPTS",
    "TERM",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "ALL_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_LEFT_OUT = (".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis", "build", "dist")
_VENVS_KEPT = 2
_TIMEOUT = 900.0  # seconds
#: The last line is not the last command, so that the shell stays: it reaps what others leave, as init does.
_ENTER = """
root=$1 mode=$2
shift 2
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir -m 1777 run/lock
while [ "$1" != -- ]; do
    mount --bind "$1" "$root$2"
    shift 2
done
shift
mount -o "remount,bind,$mode" "$root"
pivot_root . mnt
cd "$1"
shift
umount -l /mnt
"$@" || exit
exit 0
"""


@dataclass(frozen=True)
class Room:
    """A root as one run sees it."""

    root: Path
    folder: Path  #: what is removed at the end
    mounts: Mapping[str, Path] = field(default_factory=dict)  #: by the place in the root
    writable: bool = False
    directory: str = "/"

    def command(self, argv: Sequence[str]) -> list[str]:
        """The words that run a command there; it is killed, with all that it started, when who runs it ends."""
        words = [word for place, source in self.mounts.items() for word in (str(source), place)]
        mode = "rw" if self.writable else "ro"
        shell = ["sh", "-e", "-c", _ENTER, "sh", str(self.root), mode, *words, "--", self.directory]
        return [*APART, *shell, *argv]

    def environment(self) -> dict[str, str]:
        """What a command gets to know of the caller's environment."""
        names = [name for name in os.environ if name in _KEPT or name in _CERTIFICATES or name.startswith("PIP_")]
        own = {"PATH": _PATH, "HOME": "/root", "PIP_CONFIG_FILE": "/root/pip.conf"}
        return {"LANG": "C.UTF-8", **{name: os.environ[name] for name in names}, **own}

    def run(self, argv: Sequence[str]) -> str:
        """Run a command there that has to work; what it said.

        Raises:
            ManagerUnavailable: it did not.
        """
        told = " ".join(argv)
        try:
            done = subprocess.run(
                self.command(argv),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            tail = "\n".join(error.stdout.splitlines()[-12:])
            raise ManagerUnavailable(f"{self.root}: {told} ended with {error.returncode}:\n{tail}") from error
        except subprocess.TimeoutExpired as error:
            raise ManagerUnavailable(f"{self.root}: {told} did not end within {_TIMEOUT:.0f} s") from error
        return done.stdout


@contextmanager
def bare(root: Path) -> Iterator[Room]:
    """A root that may be changed, with this clone to read, for who makes it."""
    with _folder("making") as folder:
        yield _room(root, folder, {CLONE: REPOSITORY}, writable=True)


@contextmanager
def room(root: Path) -> Iterator[Room]:
    """A root with a copy of this clone, installed in the virtual environment that is first on PATH.

    Raises:
        ManagerUnavailable: that did not work; the message says why.
    """
    with _used(root), _folder(root.name) as folder:
        _copy_clone(folder / "clone")
        # Hard links: pip replaces files, and never writes into one.
        subprocess.run(["cp", "-al", str(_venv(root)), str(folder / "venv")], check=True, timeout=_TIMEOUT)
        here = _room(root, folder, {CLONE: folder / "clone", _VENV: folder / "venv"}, directory=CLONE)
        install = f"{_VENV}/bin/pip install --quiet --no-deps --no-build-isolation --editable {CLONE}"
        here.run(["sh", "-c", f"git init --quiet . && git add --all && {install}"])
        yield here


def run(root: Path, argv: Sequence[str]) -> int:
    """Run a command in a room of its own, with our terminal; its exit code."""
    with room(root) as here:
        return subprocess.run(here.command(argv), env=here.environment(), check=False).returncode


def in_use(root: Path) -> bool:
    """Whether something runs there."""
    with _use_file(root).open("a") as use:
        try:
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def last_use(root: Path) -> float:
    """When something ran there last; 0 when nothing ever did."""
    path = _use_file(root)
    return path.stat().st_mtime if path.exists() else 0.0


def _use_file(root: Path) -> Path:
    return root.with_name(f"{root.name}.use")


@contextmanager
def _used(root: Path) -> Iterator[None]:
    with _use_file(root).open("w") as use:
        fcntl.flock(use, fcntl.LOCK_SH)
        yield


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    """A folder for one run, for as long as that lasts; those of runs that were killed are removed first."""
    runs = PLACE / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with (PLACE / "runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in runs.iterdir():
            if not in_use(left / "run"):
                shutil.rmtree(left)
        folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=runs))
        use = _use_file(folder / "run").open("w")
        fcntl.flock(use, fcntl.LOCK_SH)
    try:
        yield folder
    finally:
        with (PLACE / "runs.lock").open("w") as lock:
            fcntl.flock(
                lock, fcntl.LOCK_EX
            )  # else another run takes it for one that is left, once half of it is gone
            shutil.rmtree(folder)
        use.close()


def _room(
    root: Path, folder: Path, mounts: Mapping[str, Path], *, writable: bool = False, directory: str = "/"
) -> Room:
    for name, mode in (("tmp", 0o1777), ("home", 0o700)):
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    of_host = {
        place: path for place in ("/etc/hosts", "/etc/resolv.conf") if (path := Path(place).resolve()).exists()
    }
    settings = _pip_settings(folder / "home" / "pip.conf")
    every = {"/tmp": folder / "tmp", "/var/tmp": folder / "tmp", "/root": folder / "home"}
    every = {**of_host, **settings, **every, **mounts}
    for place, source in every.items():
        _make_place(root, place, is_folder=source.is_dir())
    return Room(root, folder, every, writable, directory)


def _make_place(root: Path, place: str, *, is_folder: bool) -> None:
    """See to it that something can be mounted there."""
    target = root / place.lstrip("/")
    if not target.parent.resolve().is_relative_to(root.resolve()) or target.is_symlink():
        raise ManagerUnavailable(f"{root}: {place} leads out of it")
    if is_folder:
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()


def _pip_settings(path: Path) -> dict[str, Path]:
    """Write the settings of the host's pip to one file; return the files and folders that they name."""
    sections: dict[str, list[str]] = {}
    values = [os.environ[name] for name in os.environ if name in _CERTIFICATES or name.startswith("PIP_")]
    for line in _pip_config().splitlines():
        key, _, quoted = line.partition("=")
        section, _, name = key.partition(".")
        if quoted and not key.startswith(":env:"):
            value = str(ast.literal_eval(quoted))
            sections.setdefault(section, []).append(f"{name} =" + "".join(f"\n    {word}" for word in value.split()))
            values.append(value)
    path.touch(mode=0o600)
    path.write_text("".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items()))
    named = [_local(word) for value in values for word in value.split()]
    return {str(path): path for path in named if path.is_absolute() and path.exists()}


@cache
def _pip_config() -> str:
    ask = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(ask, capture_output=True, text=True, check=False, timeout=60).stdout


def _local(word: str) -> Path:
    """The file or folder that a setting names; of an index, with the folder beside it that its links lead to."""
    path = Path(word.removeprefix("file://"))
    return path.parent if word.startswith("file://") and len(path.parts) > 3 else path


def _copy_clone(target: Path) -> None:
    """Copy what git has of this clone, or would have; all that is no build product where there is no git."""
    ask = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(ask, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        shutil.copytree(REPOSITORY, target, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT, "*.egg-info"))
        return
    target.mkdir()
    for name in filter(None, answer.stdout.split("\0")):
        if os.path.lexists(REPOSITORY / name):  # one that was deleted is still in git
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name, follow_symlinks=False)


def _requirements() -> list[str]:
    """All that the clone needs to be built and tested; an extra of ours stands for what is in it."""
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    project, extras = declared["project"], declared["project"]["optional-dependencies"]

    def of_extra(name: str) -> Iterator[str]:
        for each in extras[name]:
            if each.startswith(f"{project['name']}["):
                for other in each.partition("[")[2].rstrip("]").split(","):
                    yield from of_extra(other.strip())
            else:
                yield each

    return [*declared["build-system"]["requires"], *project["dependencies"], *of_extra("test")]


def _venv(root: Path) -> Path:
    """The root's virtual environment with all that the clone needs, but not the clone itself."""
    wanted = _requirements()
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:10]
    kept = root.with_name(f"{root.name}.venv-{digest}")
    with root.with_name(f"{root.name}.venvs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with _folder("venv") as folder:
                (folder / "venv").mkdir()
                here = _room(root, folder, {_VENV: folder / "venv"})
                here.run(["python3", "-m", "venv", _VENV])
                here.run([f"{_VENV}/bin/pip", "install", "--quiet", "--disable-pip-version-check", *wanted])
                (folder / "venv").rename(kept)
        os.utime(kept)
        others = sorted(root.parent.glob(f"{root.name}.venv-*"), key=lambda path: path.stat().st_mtime)
        for old in others[:-_VENVS_KEPT]:
            shutil.rmtree(old)
    return kept
