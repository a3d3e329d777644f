"""Debian releases as folders of this machine, each with another Slurm: made once, found in no time ever after.

    python -m tests.clusters.roots make trixie            # or 24.11; without a name: all of them
    python -m tests.clusters.roots enter trixie pytest -n 0 tests/providers/slurm/test_ends.py

A root is made aside by debootstrap, under a lock, and renamed when it is whole: one that was killed halfway is never
taken for a root. Its name ends with a digest of what it is made from, so that a changed list of packages makes a
new one. What runs in it, and how, is inside.py's matter.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clusters import gridengine, htcondor, inside, modules, oar, packages, slurm
from tests.clusters.hosts import require_namespaces
from tests.clusters.managed import USER
from tests.clusters.packages import PLACE, ManagerUnavailable
from tests.runs import real_mpis

_VERSION = "2"  # of this recipe: another one makes new roots
_BASE = ("ca-certificates", "python3", "python3-venv", "procps", "iproute2", "util-linux", "hostname", "git")
_PACKAGES = (*slurm.PACKAGES, *slurm.ACCOUNTING_PACKAGES, *real_mpis.PACKAGES, *modules.PACKAGES, "strace")
_LIBMARIADB = "libmariadb.so.3"
_TIMEOUT = 1200.0  # seconds, of each step; a slow mirror, not a hang
_OLDER_KEPT = 1  # roots of the same release that another clone may be using


@dataclass(frozen=True)
class Release:
    """A release of Debian, and what is in it."""

    name: str
    slurm: str  #: its Slurm; of a release that moves, the one that it had when this was written
    managers: Sequence[str]  #: packages of the other managers that it has
    moves: bool = False  #: whether it changes under us: then nobody promises that it can be had

    @property
    def root(self) -> Path:
        """Where its root lies, or would."""
        recipe = " ".join((_VERSION, self.name, *_BASE, *_PACKAGES, *self.managers))
        return PLACE / f"{self.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:10]}"


RELEASES = (
    Release("bookworm", "22.05", (*gridengine.PACKAGES, *oar.PACKAGES)),
    Release("trixie", "24.11", htcondor.PACKAGES),
    Release("sid", "26.05", htcondor.PACKAGES, moves=True),
)


def release(name: str) -> Release:
    """The release of this name, or with this Slurm."""
    for known in RELEASES:
        if name in (known.name, known.slurm):
            return known
    choice = ", ".join(f"{known.name} ({known.slurm})" for known in RELEASES)
    raise ManagerUnavailable(f"no root is called {name!r}; there are {choice}")


def make(what: Release) -> Path:
    """The root of a release, made if it is not there; one that is made by another process is waited for.

    Raises:
        ManagerUnavailable: it cannot be made here; the message says why.
    """
    if what.root.is_dir():
        return what.root
    require_namespaces()
    PLACE.mkdir(parents=True, exist_ok=True)
    with _locked(what.name):
        if not what.root.is_dir():
            _remove(PLACE.glob(f"{what.name}-*.making"))  # of one that was killed: nobody else is here
            aside = what.root.with_suffix(".making")
            try:
                _build(what, aside)
            except BaseException:
                _remove([aside])
                raise
            _remove(_not_worth_keeping(what))
            aside.rename(what.root)
    return what.root


def remove(what: Release) -> None:
    """Remove all roots of a release, and what was killed while it made one.

    Raises:
        ManagerUnavailable: something runs in one of them.
    """
    PLACE.mkdir(parents=True, exist_ok=True)
    with _locked(what.name):
        for root in PLACE.glob(f"{what.name}-*"):
            if root.suffix == "" and inside.in_use(root):
                raise ManagerUnavailable(f"{root}: tests run in it; remove it when they have ended")
        _remove(PLACE.glob(f"{what.name}-*"))


def _build(what: Release, root: Path) -> None:
    if shutil.which("debootstrap") is None:
        packages.ensure(["debootstrap"])
    bootstrap = ["debootstrap", "--variant=minbase", f"--include={','.join(_BASE)}", what.name, str(root), _mirror()]
    # In mounts of its own: what it mounts in there is gone when it is killed, and never removed with the folder.
    _step([*inside.APART, "--mount-proc", *bootstrap])
    _forbid_starts(root)
    _apt_settings(root)
    with inside.bare(root) as room:
        room.run(["apt-get", "--quiet=2", "update"])
        room.run(["useradd", "--create-home", "--shell", "/bin/bash", USER])
        room.run(["sh", "-c", 'printf "%s\\n" "$@" | debconf-set-selections', "sh", *gridengine.ANSWERS])
        install = ["apt-get", "--quiet=2", "install", "--yes", "--no-install-recommends", *_PACKAGES, *what.managers]
        room.run(["env", "DEBIAN_FRONTEND=noninteractive", *install])
        unpack = f"import sys; sys.path.insert(0, {inside.CLONE!r})"
        room.run(["python3", "-B", "-c", f"{unpack}; from tests.clusters import modules; modules.install()"])
        room.run(["apt-get", "clean"])
    if what.name != "bookworm":
        _older_libmariadb(root)


def _forbid_starts(root: Path) -> None:
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)


def _apt_settings(root: Path) -> None:
    """The host's way to its mirror; and a mirror that lags is good enough, for sid's lists expire in a week."""
    shown = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True, timeout=60).stdout
    lines = [line for line in shown.splitlines() if line.lower().startswith(("acquire::http::", "acquire::https::"))]
    path = root / "etc/apt/apt.conf.d/99psij-parsl"
    path.touch(mode=0o600)
    path.write_text("\n".join([*lines, 'Acquire::Check-Valid-Until "false";', 'APT::Sandbox::User "root";', ""]))


def _older_libmariadb(root: Path) -> None:
    """With libmariadb3 11.8 slurmdbd ends at its start ("mysql_query failed: 5027"); that of Debian 12 works."""
    (older,) = make(release("bookworm")).glob(f"usr/lib/*/{_LIBMARIADB}")
    (newer,) = root.glob(f"usr/lib/*/{_LIBMARIADB}")
    newer.unlink()
    shutil.copy2(older, newer)


def _mirror() -> str:
    """The mirror of Debian that the host's own sources name."""
    ask = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    answer = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=60)
    for line in answer.stdout.splitlines():
        label, _, uri = line.partition(" ")
        if label == "Debian":
            return uri
    raise ManagerUnavailable("apt's sources name no mirror of Debian, from which a root could be made")


def _step(argv: Sequence[str]) -> None:
    try:
        subprocess.run(
            argv,
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
        raise ManagerUnavailable(f"{' '.join(argv)} ended with {error.returncode}:\n{tail}") from error
    except subprocess.TimeoutExpired as error:
        raise ManagerUnavailable(f"{' '.join(argv)} did not end within {_TIMEOUT:.0f} s") from error


@contextmanager
def _locked(name: str) -> Iterator[None]:
    with (PLACE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _not_worth_keeping(what: Release) -> list[Path]:
    """Older roots of the release and their virtual environments, but for those that were used last."""
    found = [path for path in PLACE.glob(f"{what.name}-*") if path.suffix == "" and path.is_dir()]
    found.sort(key=inside.last_use, reverse=True)
    return [path for root in found[_OLDER_KEPT:] for path in PLACE.glob(f"{root.name}*") if not inside.in_use(root)]


def _remove(paths: Iterator[Path] | Sequence[Path]) -> None:
    for path in list(paths):
        subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True, timeout=_TIMEOUT)


def _list() -> None:
    for known in RELEASES:
        print(f"{known.name:9} Slurm {known.slurm}  {known.root if known.root.is_dir() else 'not made'}")
        for path in sorted(PLACE.glob(f"{known.name}-*")):
            if path.is_dir() and path.name.partition(".")[0] != known.root.name:
                print(f"          older        {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.clusters.roots", description="other Slurms to test with")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="which roots there are")
    for verb, text in (("make", "make roots that are not there"), ("remove", "remove roots")):
        several = verbs.add_parser(verb, help=text)
        several.add_argument("names", nargs="*", metavar="RELEASE", help="bookworm or 22.05, ... (default: all)")
    enter = verbs.add_parser("enter", help="run a command there, with a copy of this clone; default: a shell")
    enter.add_argument("name", metavar="RELEASE")
    enter.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: `list`, `make`, `remove`, `enter`."""
    options = _parser().parse_args(arguments)
    try:
        if options.verb == "list":
            _list()
        elif options.verb == "enter":
            return inside.run(make(release(options.name)), options.argv or ["bash"])
        else:
            for known in [release(name) for name in options.names] or RELEASES:
                began = time.monotonic()
                if options.verb == "make":
                    print(f"{make(known)}  {time.monotonic() - began:.0f} s")
                else:
                    remove(known)
    except ManagerUnavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o022)  # users other than root must get through what is made
    sys.exit(main())
