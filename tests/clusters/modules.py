"""Both real `module` commands of Debian: environment-modules (Tcl) and Lmod (Lua), side by side.

Debian lets only one of them be installed. So Lmod is unpacked into a folder of its own, and the few paths that its
files name are led there; what it needs of Lua is installed as usual.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.clusters import packages
from tests.clusters.packages import ManagerUnavailable

PACKAGES = (
    "environment-modules",
    "lua5.3",
    "lua-filesystem",
    "lua-json",
    "lua-posix",
    "lua-term",
    "tcl",
    "libtcl8.6",
)
_LMOD = packages.PLACE / "lmod"
_LED_ELSEWHERE = ("/usr/share/lmod", "/etc/lmod")  # what Debian's package calls its own


@dataclass(frozen=True)
class ModuleSystem:
    """One `module` command: `bash -c '. INIT; module load x'` with its files, whatever else is installed."""

    name: str  #: "environment-modules" or "lmod"
    home: Path  #: what $MODULESHOME names, and for Lmod $LMOD_PKG
    init: Path  #: the file that bash and sh source


def install() -> None:
    """Install what is missing of both; quick when nothing is.

    Raises:
        ManagerUnavailable: something is missing and cannot be installed here.
    """
    packages.ensure(PACKAGES)
    if not _LMOD.exists():
        _unpack_lmod()


def module_system(name: str) -> ModuleSystem:
    """One of the two, "environment-modules" or "lmod", once it is installed."""
    home = _LMOD / "usr/share/lmod/lmod" if name == "lmod" else Path("/usr/share/modules")
    return ModuleSystem(name, home, home / "init" / "bash")


def _unpack_lmod() -> None:
    packages.PLACE.mkdir(parents=True, exist_ok=True)
    with (packages.PLACE / "lmod.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _LMOD.exists():
            return
        for left in packages.PLACE.glob("lmod.making-*"):
            shutil.rmtree(left)  # of one that was killed: nobody else is here
        with tempfile.TemporaryDirectory(prefix="lmod.making-", dir=packages.PLACE) as folder:
            aside = Path(folder)
            package = packages.download("lmod", aside)
            tree = aside / "tree"
            subprocess.run(["dpkg-deb", "--extract", str(package), str(tree)], check=True, timeout=60)
            _lead_elsewhere(tree)
            tree.chmod(0o755)
            tree.rename(_LMOD)


def _lead_elsewhere(tree: Path) -> None:
    """Make every file and link name the place where Lmod is going to lie."""
    found = 0
    for folder, folders, names in os.walk(tree):
        for name in [*folders, *names]:
            path = Path(folder) / name
            if path.is_symlink():
                target = os.readlink(path)
                if target.startswith(_LED_ELSEWHERE):
                    path.unlink()
                    path.symlink_to(f"{_LMOD}{target}")
            elif path.is_file():
                text = before = path.read_bytes()
                for place in _LED_ELSEWHERE:
                    text = text.replace(place.encode(), f"{_LMOD}{place}".encode())
                if text != before:
                    path.write_bytes(text)
                    found += 1
    if not found:
        raise ManagerUnavailable("Debian's package lmod is not what it was: no file names its own folder")
