"""Debian packages that the real managers come in: install what is missing, and start nothing.

Debian's maintainer scripts start the daemons that they install, with the system's configuration and on the
system's ports. The clusters here bring their own, so while apt runs, a policy-rc.d forbids every start; the
host's own policy file, if it has one, is back in its place afterwards.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import unseen

#: Where what is made for the tests, and is worth keeping, lies on this machine.
PLACE = Path(os.environ.get("PSIJ_TEST_ROOTS") or "/var/cache/psij-parsl-tests")
_LISTS = Path("/var/lib/apt/lists")
_LISTS_MAX_AGE = 24 * 3600.0  # seconds
_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_ASIDE = Path("/usr/sbin/policy-rc.d.psij-parsl-aside")
_POLICY_TEXT = "#!/bin/sh\nexit 101  # psij-parsl is installing packages: nothing may start\n"
_LOCK = Path("/run/lock/psij-parsl-packages.lock")
_APT_TIMEOUT = 900.0  # seconds; a slow mirror, not a hang


class ManagerUnavailable(RuntimeError):
    """This host cannot run the manager, and nobody's code is at fault; the message says what is missing."""


def missing(packages: Sequence[str]) -> list[str]:
    """Those of `packages` that are not fully installed. Asks dpkg once and takes some 20 ms."""
    if shutil.which("dpkg-query") is None:
        return list(packages)
    answer = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *packages],
        capture_output=True,
        text=True,
        check=False,  # 1 when it has never heard of one of them
    )
    installed = {line.split()[0] for line in answer.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def ensure(packages: Sequence[str]) -> None:
    """Install those of `packages` that are missing; no apt call at all when none is.

    Raises:
        ManagerUnavailable: no Debian, no root, or apt said no (its last lines are in the message).
    """
    absent = missing(packages)
    if not absent:
        unseen.refresh()  # another process may have installed them
        return
    what = f"missing Debian packages: {' '.join(absent)}"
    if shutil.which("apt-get") is None:
        raise ManagerUnavailable(f"{what}; this host has no apt-get to install them with")
    if os.geteuid() != 0:
        raise ManagerUnavailable(f"{what}; only root can install them (apt-get install {' '.join(absent)})")
    with _one_at_a_time():
        absent = missing(packages)  # another process may have installed them while we waited
        if not absent:
            return
        with _no_daemon_starts():
            if _lists_are_old():
                _apt("update")
            _apt("install", "--yes", "--no-install-recommends", *absent)
    unseen.refresh()


def download(package: str, folder: Path) -> Path:
    """Fetch a package's file into a folder, without installing it.

    Raises:
        ManagerUnavailable: apt has none.
    """
    with _one_at_a_time():
        if _lists_are_old():
            _apt("update")
        _apt("-o", "APT::Sandbox::User=root", "download", package, folder=folder)
    return next(folder.glob(f"{package}_*.deb"))


def _lists_are_old() -> bool:
    # The files' own times are the mirror's, so only the directory tells when apt last looked.
    if not any(_LISTS.glob("*Packages*")):
        return True
    return time.time() - _LISTS.stat().st_mtime > _LISTS_MAX_AGE


def _apt(*arguments: str, folder: Path | None = None) -> None:
    command = ["apt-get", "--quiet=2", "-o", "DPkg::Lock::Timeout=300", *arguments]
    try:
        subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_APT_TIMEOUT,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        tail = "\n".join(error.stdout.splitlines()[-12:])
        raise ManagerUnavailable(f"{' '.join(command)} ended with {error.returncode}:\n{tail}") from error
    except subprocess.TimeoutExpired as error:
        raise ManagerUnavailable(f"{' '.join(command)} did not end within {_APT_TIMEOUT:.0f} s") from error


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two installs at once would each take the other's policy file for the host's."""
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_daemon_starts() -> Iterator[None]:
    """Forbid service starts, then put the host's policy back as it was (or take ours away)."""
    if not _is_ours(_POLICY) and os.path.lexists(_POLICY):
        _POLICY.rename(_POLICY_ASIDE)
    _POLICY.write_text(_POLICY_TEXT)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
        if os.path.lexists(_POLICY_ASIDE):
            _POLICY_ASIDE.rename(_POLICY)


def _is_ours(policy: Path) -> bool:
    """Whether an install that was killed has left it; then the host's, if any, still lies aside."""
    return policy.is_file() and policy.read_text(errors="replace") == _POLICY_TEXT
