"""Several hosts on one: namespaces that look like hosts to a resource manager, and all that runs in them.

A host is an idle process that holds a UTS namespace (so `hostname` says its name) and a mount namespace (with
a temporary directory, a /dev/shm and an /etc/hosts of its own: Open MPI's files in /dev/shm are named after the host
and the job's id, and jobs of two clusters side by side have the same). What is started on a host stays in these namespaces, with
all its descendants, wherever they move in the process tree: so all of it can be found, and killed.

A group of hosts owns one directory, and takes it along when it ends:

    etc/         configuration, and the `hosts` file that stands for /etc/hosts on each host
    log/         one file per daemon
    run/         sockets; run/pids/ has the record of every process that was started
    owner.json   whose it is: how the next run knows what a killed one has left behind
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.clusters.packages import ManagerUnavailable
from tests.clusters.processes import Ledger, Process, sharing_mounts, spawn

_TEMPORARY = Path("/tmp")  # not $TMPDIR: socket paths must be short, and every user must be able to get there
_DIRECTORY_MAX = 60  # characters; the sockets below it may have 107 in all
_POLL = 0.02  # seconds between two looks at a condition
_DAEMON_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_IDLE = "sleep"  # the program that a host is, once it has its namespaces
_BECOME_A_HOST = f"""
hostname "$1"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$2/tmpfs"
mount --bind "$2/etc/hosts" /etc/hosts
mount -t tmpfs -o mode=1777,size=256m tmpfs /dev/shm
exec {_IDLE} infinity
"""


class ClusterError(RuntimeError):
    """A cluster did not do what it was told to; the message ends with the tails of its daemons' logs."""


class CommandFailed(ClusterError):
    """A command of the manager failed, or did not end in time; the message has its words."""


class HostGroup:
    """Hosts, and the daemons on them, that live and die with one directory.

    Args:
        directory: an existing one, such as `new_directory()` gives.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ledger = Ledger(directory / "run" / "pids")

    # --- hosts and daemons ----------------------------------------------------------------------------------

    def start_hosts(self, names: Sequence[str], *, network: bool = False) -> None:
        """Start the hosts; needs `etc/hosts`. `network`: each with an empty network namespace of its own."""
        own = ["--net"] if network else []
        for name in names:
            shell = ["sh", "-e", "-c", _BECOME_A_HOST, "sh", name, str(self.directory)]
            # Slave: what is mounted on this machine later is seen on the hosts, never the other way round.
            self._spawn(_host(name), ["unshare", "--uts", "--mount", *own, "--propagation", "slave", *shell], {})
        self.wait(lambda: all(self.required(_host(name)).program == _IDLE for name in names), 10.0, "the hosts")

    def start_daemon(self, name: str, host: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a program that stays in the foreground on a host; its output goes to `log/<name>.out`."""
        if self.daemon(name) is not None:
            raise ClusterError(f"{name} runs already")
        holder = self.required(_host(host))
        self._spawn(name, ["nsenter", f"--target={holder.pid}", "--mount", "--uts", "--net", "--", *argv], env)

    def daemon(self, name: str) -> Process | None:
        """The live process of a daemon, or None."""
        return self._ledger.find(name)

    def required(self, name: str) -> Process:
        """The live process of a daemon.

        Raises:
            ClusterError: it does not run.
        """
        process = self.daemon(name)
        if process is None:
            raise ClusterError(f"{name} does not run\n{self.logs()}")
        return process

    def end_daemon(self, name: str, number: signal.Signals) -> None:
        """Signal a daemon, paused or not, and wait until it has ended; nothing to do when it does not run."""
        process = self.daemon(name)
        if process is None:
            return
        process.signal(number)
        process.signal(signal.SIGCONT)
        self.wait(lambda: not process.alive, 30.0, f"{name} to end")

    def pause(self, name: str) -> None:
        """Stop a daemon in its tracks (SIGSTOP)."""
        process = self.required(name)
        process.signal(signal.SIGSTOP)
        self.wait(lambda: process.paused, 5.0, f"{name} to pause")

    def resume(self, name: str) -> None:
        """Let a paused daemon go on."""
        process = self.required(name)
        process.signal(signal.SIGCONT)
        self.wait(lambda: not process.paused, 5.0, f"{name} to go on")

    def paused_daemons(self) -> list[str]:
        return [name for name, process in self._ledger.live().items() if process.paused]

    def processes_on(self, host: str) -> list[Process]:
        """Everything that runs on a host; the host itself, the idle process, is not counted."""
        holder = self.required(_host(host))
        return [process for process in sharing_mounts([holder]) if process != holder]

    def stop_all_on(self, host: str) -> None:
        """Everything on a host says nothing more, and its connections stay, as those of a host without power do."""
        stopped: set[Process] = set()
        while new := set(self.processes_on(host)) - stopped:  # also what was started while we looked
            for process in new:
                process.signal(signal.SIGSTOP)
            stopped |= new

    def kill_all_on(self, host: str) -> None:
        """Everything on a host is gone at once, so that nothing there tells of another's end; the host stays."""
        self.stop_all_on(host)
        self.wait(lambda: not _killed(self.processes_on(host)), 10.0, f"the processes on {host} to end")

    def _spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        base = {"PATH": _DAEMON_PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        process = spawn(argv, env={**base, **env}, output=self.directory / "log" / f"{name}.out")
        self._ledger.record(name, process)

    # --- waiting and telling --------------------------------------------------------------------------------

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until a condition is true; a command that fails in it is a "not yet".

        Raises:
            ClusterError: it was not within `seconds`.
        """
        last_words = ""

        def true_now() -> bool:
            nonlocal last_words
            try:
                return condition()
            except CommandFailed as error:
                last_words = f"{error}\n"
                return False

        if not comes_true(true_now, seconds):
            raise ClusterError(f"waited {seconds:g} s in vain for {what}\n{last_words}{self.logs()}")

    def logs(self, lines: int = 8) -> str:
        """The last lines of each log, for an error message."""
        texts = []
        for path in sorted((self.directory / "log").glob("*")):
            if path.with_suffix(".log") != path and path.with_suffix(".log").exists():
                continue  # what a daemon prints is in its own log, too
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            texts += [f"--- {path}", *tail] if tail else []
        return "\n".join(texts)

    # --- whose it is, and its end ---------------------------------------------------------------------------

    def set_owner(self, owner: Process | None) -> None:
        """Say whose death makes the group abandoned; None: nobody's, it runs until it is destroyed."""
        text = {"machine": _machine(), "owner": None if owner is None else [owner.pid, owner.started]}
        fresh = self.directory / "owner.new"
        fresh.write_text(json.dumps(text))
        fresh.rename(self.directory / "owner.json")

    @property
    def exists(self) -> bool:
        """Whether there is, or was, a group of hosts in the directory."""
        return (self.directory / "owner.json").is_file()

    @property
    def abandoned(self) -> bool:
        """Whether its owner has ended without a word; or, if it has no owner, whether nothing of it runs."""
        try:
            entry = json.loads((self.directory / "owner.json").read_text())
            if entry["machine"] != _machine():
                return False  # /tmp is shared with another container: its processes cannot be seen from here
            if entry["owner"] is None:
                return not self._ledger.live()
            return not Process(*entry["owner"]).alive
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def destroy(self) -> None:
        """Kill everything that runs on the hosts, then the hosts, and remove the directory."""

        def all_but_hosts() -> list[Process]:
            live = self._ledger.live()
            hosts = {process for name, process in live.items() if name.startswith(_host(""))}
            # One that was interrupted while it became a host is still in everybody's namespace.
            ready = {process for process in hosts if process.program == _IDLE}
            return [process for process in {*live.values(), *sharing_mounts(ready)} if process not in hosts]

        # The hosts last, for through them the others are found.
        self.wait(lambda: not _killed(all_but_hosts()), 10.0, "the cluster's processes to end")
        self.wait(lambda: not _killed(list(self._ledger.live().values())), 10.0, "the cluster's hosts to end")
        # Its owner's file last: if this is interrupted, the next run still knows whose the rest is.
        for path in self.directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def new_directory(prefix: str, chosen: Path | None = None) -> Path:
    """Make the directory for a group of hosts: the chosen one, or a fresh one under /tmp.

    What a killed run has left in the chosen one is ended and removed.

    Raises:
        ClusterError: the chosen one is in use, has other files, or has a path that daemons cannot live with.
    """
    if chosen is None:
        directory = Path(tempfile.mkdtemp(prefix=prefix, dir=_TEMPORARY))
    else:
        directory = chosen.resolve()
        if len(str(directory)) > _DIRECTORY_MAX or not re.fullmatch(r"[\w/.+-]+", str(directory), re.ASCII):
            raise ClusterError(
                f"{directory}: choose a directory of at most {_DIRECTORY_MAX} plain characters:"
                " sockets lie in it, and its name goes into configuration files"
            )
        group = HostGroup(directory)
        if group.abandoned:
            group.destroy()
        elif group.exists:
            raise ClusterError(f"{directory}: a cluster runs there; stop it first")
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ClusterError(f"{directory}: not empty, and no cluster's; choose another directory")
    directory.chmod(0o755)  # the unprivileged daemons and users must get through
    HostGroup(directory).set_owner(Process.of(os.getpid()))
    return directory


def destroy_abandoned(prefix: str) -> None:
    """End what runs that were killed have left behind under /tmp, and remove its directories."""
    for directory in _TEMPORARY.glob(f"{prefix}*"):
        group = HostGroup(directory)
        # Whose directory it is matters: a stranger's records could name any process as one to be killed.
        if directory.stat().st_uid == os.geteuid() and group.abandoned:
            group.destroy()


def require_namespaces() -> None:
    """Raise ManagerUnavailable where hosts cannot be made: without root, or in a container that may not."""
    if os.geteuid() != 0:
        raise ManagerUnavailable("only root can start a cluster of several nodes on one host (unshare, mknod)")
    if shutil.which("unshare") is None:
        raise ManagerUnavailable("a cluster of several nodes on one host needs unshare(1), from util-linux")
    trial = subprocess.run(["unshare", "--uts", "--mount", "true"], capture_output=True, text=True, check=False)
    if trial.returncode != 0:
        raise ManagerUnavailable(
            "this container may not make namespaces, which several nodes on one host need"
            f" (it needs CAP_SYS_ADMIN): {trial.stderr.strip()}"
        )


def comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Look at a condition until it is true, at most for `seconds`; say whether it was."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def _killed(processes: Sequence[Process]) -> Sequence[Process]:
    """Send SIGKILL to each; return them, for they have ended only when one looks again and sees none.

    The youngest first: the end of a parent may leave a process group an orphan, and the kernel has the stopped ones of
    such a group go on.
    """
    for process in sorted(processes, key=lambda each: (each.started, each.pid), reverse=True):
        process.signal(signal.SIGKILL)
    return processes


def _host(name: str) -> str:
    """A host's name in the ledger."""
    return f"host-{name}"


def _machine() -> str:
    """This boot and this process-id namespace: where a process id means the same process."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"
