"""A real resource manager for as long as one command runs: started by root, used by an ordinary user.

    python -m tests.clusters.managed gridengine -- pytest -n 4 --dist loadscope -m gridengine

Some managers take no jobs from root, or listen on every address. So the whole command, tests included, runs in
namespaces of its own: a network with nothing but loopback, mounts in which /etc, /var and /home can be written without a
trace, a process tree that ends with it. root starts the manager there; the command runs as the user `alice`, with the
manager's variables. It asks root for faults over a socket: see `Remote`.

A manager is a subclass of `Manager` in a module of its own, named in `MANAGERS`.
"""

from __future__ import annotations

import importlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from tests.clusters import packages
from tests.clusters.hosts import ClusterError, require_namespaces
from tests.clusters.packages import ManagerUnavailable

USER = "alice"
#: Set for the command: the manager's name, and the directory with its socket, lock and logs.
NAME, PLACE = "PSIJ_TEST_MANAGER", "PSIJ_TEST_MANAGER_PLACE"
#: The managers, each with the class of its module.
MANAGERS: Mapping[str, str] = {
    "gridengine": "tests.clusters.gridengine:GridEngine",
    "htcondor": "tests.clusters.htcondor:HTCondor",
    "oar": "tests.clusters.oar:OAR",
}
_APART = ("unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")
_WRITABLE = ("/etc", "/var", "/home")
_PATIENCE = 180.0  # seconds, for one request to root
#: Variables of the caller that its own manager, or none, is meant by.
_FOREIGN = ("SLURM", "SBATCH_", "PBS_", "SGE_", "CONDOR_", "_CONDOR_", "OAR_")


class Manager(ABC):
    """One manager, in namespaces of its own. `directory` is where its files may lie; any user may enter it."""

    packages: ClassVar[Sequence[str]] = ()
    #: Methods that `Remote.do` may call, each with arguments of JSON.
    requests: ClassVar[Sequence[str]] = ("heal",)

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which its commands find it."""
        return {}

    @abstractmethod
    def start(self) -> None:
        """Start it and return when it takes jobs. Raises `ClusterError` with the ends of its logs."""

    @abstractmethod
    def stop(self) -> None:
        """End it. What it leaves behind ends with the process tree."""

    @abstractmethod
    def heal(self) -> None:
        """Undo every fault that a request has made, and wait until it takes jobs again."""


class Remote:
    """The manager as the command's processes see it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def do(self, request: str, *arguments: Any) -> Any:
        """Have root call a method of the manager. Raises `ClusterError` with its message if that fails."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_PATIENCE)
            link.connect(str(self.place / "socket"))
            link.sendall(json.dumps([request, *arguments]).encode() + b"\n")
            answer = json.loads(link.makefile().readline())
        if "error" in answer:
            raise ClusterError(answer["error"])
        return answer["result"]


def manager_class(name: str) -> type[Manager]:
    """The class of a manager by its name."""
    module, _, attribute = MANAGERS[name].partition(":")
    found: type[Manager] = getattr(importlib.import_module(module), attribute)
    return found


def run(name: str, argv: Sequence[str]) -> int:
    """Run a command as an ordinary user of that manager; its exit code.

    Raises:
        ManagerUnavailable: the manager cannot be had here.
    """
    require_namespaces()
    packages.ensure(manager_class(name).packages)
    inner = [sys.executable, "-m", "tests.clusters.managed", "--inside", name, "--", *argv]
    return subprocess.run([*_APART, *inner], check=False).returncode


def _inside(name: str, argv: Sequence[str]) -> int:
    """The same, in the namespaces."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    directory = Path(tempfile.mkdtemp(prefix=f"psij-{name}-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        for place in _WRITABLE:
            _make_writable(directory, place)
        _make_user()
        manager = manager_class(name)(directory)
        try:
            manager.start()
            (directory / "lock").touch()
            (directory / "lock").chmod(0o666)
            with _served(manager):
                return subprocess.run(_as_user(argv), env=_environment(name, manager), check=False).returncode
        finally:
            manager.stop()
    finally:
        for place in _WRITABLE:
            subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(directory, ignore_errors=True)


def _make_writable(directory: Path, place: str) -> None:
    upper, work = directory / "upper" / place[1:], directory / "work" / place[1:]
    for path in (upper, work):
        path.mkdir(parents=True)
    options = f"lowerdir={place},upperdir={upper},workdir={work}"
    # What is mounted below (resolv.conf, say) is hidden by it, and not needed.
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, place], check=True)


def _make_user() -> None:
    try:
        home = Path(pwd.getpwnam(USER).pw_dir)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", USER], check=True)
        return
    if not home.exists():
        subprocess.run(["mkhomedir_helper", USER], check=True)


def _as_user(argv: Sequence[str]) -> list[str]:
    user = pwd.getpwnam(USER)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", *argv]


def _environment(name: str, manager: Manager) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    home = pwd.getpwnam(USER).pw_dir
    # The clone is root's, and hypothesis would keep its examples there.
    own = {"HOME": home, "USER": USER, "LOGNAME": USER, "HYPOTHESIS_STORAGE_DIRECTORY": f"{home}/.hypothesis"}
    return {**kept, **own, **manager.environment, NAME: name, PLACE: str(manager.directory)}


@contextmanager
def _served(manager: Manager) -> Iterator[None]:
    """Answer the command's requests, one after the other."""
    path = manager.directory / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()

        def answer_all() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:  # closed: the command has ended
                    return
                with link:
                    link.sendall(_answer(manager, link.makefile().readline()).encode() + b"\n")

        threading.Thread(target=answer_all, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def _answer(manager: Manager, line: str) -> str:
    request, *arguments = json.loads(line)
    if request not in manager.requests:
        return json.dumps({"error": f"no request {request!r}; there are {', '.join(manager.requests)}"})
    try:
        return json.dumps({"result": getattr(manager, request)(*arguments)})
    except (ClusterError, OSError, subprocess.SubprocessError) as error:
        return json.dumps({"error": f"{request}: {error}"})


def main(words: Sequence[str]) -> int:
    inside, words = words[:1] == ["--inside"], [word for word in words if word != "--inside"]
    if len(words) < 3 or words[0] not in MANAGERS or words[1] != "--":
        print(f"usage: python -m tests.clusters.managed {'|'.join(MANAGERS)} -- COMMAND...", file=sys.stderr)
        return 2
    name, _, *argv = words
    if inside:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command gets it, too, and then ends
        return _inside(name, argv)
    try:
        return run(name, argv)
    except ManagerUnavailable as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
