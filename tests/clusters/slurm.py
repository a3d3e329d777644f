"""A real Slurm with several nodes on this one host, wholly in a directory of its own, without systemd.

    with SlurmCluster(SlurmSettings(accounting=False)) as cluster:
        cluster.run("srun", "-N", "4", "hostname")      # node01 ... node04

By hand: `python -m tests.clusters.slurm up`; see README.md beside this file.

The controller, the accounting daemon with its database, and munged are on the host "head"; each node is a
host of its own (hosts.py). Clients run where they are, with SLURM_CONF in their environment.
"""

from __future__ import annotations

import argparse
import atexit
import itertools
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.clusters import packages
from tests.clusters.hosts import (
    ClusterError,
    CommandFailed,
    HostGroup,
    comes_true,
    destroy_abandoned,
    new_directory,
    require_namespaces,
)
from tests.clusters.lost_answers import Between, ControllerBetween, MungeBetween, standing
from tests.clusters.packages import ManagerUnavailable
from tests.clusters.slurm_conf import Addresses, SlurmSettings
from tests.clusters.slurm_daemons import SlurmDaemons, client_variables, slurmd

__all__ = ["ClusterError", "CommandFailed", "SlurmCluster", "SlurmSettings", "client_variables", "install", "main"]

# libpmix-dev: `srun --mpi=pmix` opens "libpmix.so", a name that only this package has; slurmd when it starts.
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "libpmix-dev")
ACCOUNTING_PACKAGES = ("slurmdbd", "slurm-wlm-mysql-plugin", "mariadb-server")

_PREFIX = "psij-slurm-"
_TAKES_JOBS = ("idle", "mixed", "allocated", "completing", "planned")  # node states, in sinfo's words


def install(*, accounting: bool = True) -> None:
    """Install the Debian packages that are missing; quick when none is.

    Raises:
        ManagerUnavailable: they are missing and cannot be installed here.
    """
    packages.ensure(PACKAGES + (ACCOUNTING_PACKAGES if accounting else ()))


@cache
def installed_version() -> tuple[int, int]:
    """The Slurm of this machine, such as (22, 5): a test whose expectation depends on it asks here.

    Raises:
        ManagerUnavailable: there is none.
    """
    return version_in(installed_release())


@cache
def installed_release() -> str:
    """The same in Slurm's words, such as "22.05.8"; not of a client, which since 24.05 wants a slurm.conf first."""
    try:
        said = subprocess.run(["slurmctld", "-V"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ManagerUnavailable(f"slurmctld does not tell its version: {error}") from error
    return said.split()[-1]


def version_in(release: str) -> tuple[int, int]:
    """(22, 5) for "22.05.8"."""
    year, month = release.split(".")[:2]
    return int(year), int(month)


class SlurmCluster:
    """One cluster: `start()` it, use `env` or `run()`, break it on purpose, `heal()` it, `stop()` it.

    Args:
        settings: what the cluster is like.
        directory: where everything of it lies. Default: a fresh one under /tmp. `stop()` removes it.
        beside: a running cluster with accounting, whose munged and slurmdbd this one is to use: then each of the
            two can be reached from the other's environment, by `-M NAME`. Stop this one first.
    """

    def __init__(
        self,
        settings: SlurmSettings | None = None,
        directory: Path | None = None,
        *,
        beside: SlurmCluster | None = None,
    ) -> None:
        self.settings = settings or SlurmSettings()
        self._chosen_directory = directory
        self._beside = beside
        self._running: SlurmDaemons | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes' names; each is also what `hostname` says there."""
        return self.settings.node_names

    @property
    def name(self) -> str:
        """Its ClusterName, such as `-M` takes."""
        return self.settings.cluster_name

    @property
    def directory(self) -> Path:
        """Where everything of the cluster lies; the daemons' logs are in `log/`."""
        return self._hosts.directory

    @property
    def env(self) -> dict[str, str]:
        """What makes Slurm's commands talk to this cluster."""
        return self._daemons.client_env

    @property
    def addresses(self) -> Addresses:
        """Where the daemons listen."""
        return self._daemons.addresses

    def run(self, *argv: str, timeout: float = 60.0) -> str:
        """Run a command as a client of this cluster; return its stdout.

        Raises:
            CommandFailed: it failed, or did not end within `timeout` seconds.
        """
        return self._daemons.run(*argv, timeout=timeout)

    def node_states(self) -> dict[str, str]:
        """Each node's state in sinfo's words: "idle", "mixed", "down*" (the star: it does not answer)."""
        lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
        return {node: state for node, state in (line.split() for line in lines)}  # noqa: C416 -- mypy sees two

    def jobs(self) -> list[str]:
        """The ids of all jobs, of all users, that are pending, running or completing."""
        return self.run("squeue", "--noheader", "--all", "--format=%i").split()

    # --- start and stop -------------------------------------------------------------------------------------

    def start(self, *, keep: bool = False) -> None:
        """Bring everything up and return when all nodes are idle.

        Installs missing packages, and first takes away what earlier runs that were killed have left behind.

        Args:
            keep: let it outlive this process, until somebody stops it. Default: it is stopped at exit.

        Raises:
            ManagerUnavailable: this host cannot run it.
            ClusterError: it did not come up.
        """
        if self._running is not None:
            raise ClusterError(f"{self.directory}: the cluster runs already")
        require_namespaces()
        install(accounting=self.settings.accounting)
        destroy_abandoned(_PREFIX)
        hosts = HostGroup(new_directory(_PREFIX, self._chosen_directory))
        self._running = SlurmDaemons(hosts, self.settings, None if self._beside is None else self._beside._daemons)
        atexit.register(self._stop_at_exit, os.getpid())
        try:
            self._running.start_all()
            hosts.wait(self._all_nodes_are_idle, 30.0, "all nodes to be idle")
        except BaseException:
            self.stop()
            raise
        if keep:
            atexit.unregister(self._stop_at_exit)
            hosts.set_owner(None)

    def stop(self) -> None:
        """End every process of the cluster and remove its directory. Stopping twice is no error."""
        atexit.unregister(self._stop_at_exit)
        if self._running is not None:
            self._running.hosts.destroy()
            self._running = None

    def _stop_at_exit(self, starter: int) -> None:
        if os.getpid() == starter:  # and not a child that was forked while the cluster ran
            self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- faults, and what undoes them -----------------------------------------------------------------------

    def kill_node(self, name: str) -> None:
        """The node loses power: it says nothing more, the controller is told so, and everything on it is gone.

        In this order: an srun on another node, whose connection to this one closes, may end its job before it is told.
        """
        self._hosts.stop_all_on(name)
        self.run("scontrol", "update", f"nodename={name}", "state=down", "reason=killed")
        self._hosts.kill_all_on(name)

    def kill_slurmd_only(self, name: str) -> None:
        """The node's slurmd dies, its jobs run on; the controller sees it after `slurmd_timeout` seconds."""
        self._hosts.end_daemon(slurmd(name), signal.SIGKILL)

    def wait_for_messages(self) -> None:
        """Wait until the controller has given up what it had to say to dead nodes, which takes it 11 s.

        A node that is back before hears that its job has failed with it, and ends the job's next attempt.
        """
        words = ("Agent queue size:", "Agent count:")

        def has_none() -> bool:
            lines = [line for line in self.run("sdiag").splitlines() if line.startswith(words)]
            return [line.split()[-1] for line in lines] == ["0"] * len(words)

        self._hosts.wait(has_none, 60.0, "the controller to give its messages up")

    def start_node(self, name: str) -> None:
        """Start the node's slurmd, if it does not run, and wait until the controller uses the node again."""
        if self._hosts.daemon(slurmd(name)) is None:
            self._daemons.start_slurmd(name)
        self._hosts.wait(lambda: self._is_in_use_again(name), 30.0, f"{name} to be back")

    def stop_controller(self) -> None:
        """The controller ends in good order and keeps its state."""
        self._hosts.end_daemon("slurmctld", signal.SIGTERM)

    def start_controller(self) -> None:
        """Start the controller, with the state that it left; return when it answers."""
        self._daemons.start_slurmctld()

    def forget_everything(self) -> None:
        """The controller loses its state: it knows no job, ends what runs, and gives out ids from 1 on again.

        Return when all nodes are idle. What accounting has recorded stays there.
        """
        self._hosts.end_daemon("slurmctld", signal.SIGKILL)
        shutil.rmtree(self.directory / "state")
        (self.directory / "state").mkdir()
        self.start_controller()
        self.wait_idle()

    @contextmanager
    def munge_lost_before_answers(self, processes: int = 1) -> Iterator[Between]:
        """sbatch's munge socket goes away between question and answer: a job is accepted, and called refused.

        With the `env` of what the block gets, the first so many processes of sbatch cannot read the answer; all
        other programs, and later processes of sbatch, work as ever. Where Slurm does not check answers (since
        23.11), it is the connection that goes away.
        """
        etc = self.directory / "etc"
        text, env = (etc / "slurm.conf").read_text(), {"SLURM_CONF": str(etc / "slurm-cut-off.conf")}
        between: Between
        if installed_version() < (23, 11):
            usual, path = self._daemons.munge_socket, self.directory / "run" / "munge-between.sock"
            path.unlink(missing_ok=True)
            between = MungeBetween(usual, path, "sbatch", processes, env)
            text = text.replace(f"AuthInfo=socket={usual}", f"AuthInfo=socket={path}")
        else:
            host, usual_port = self.addresses.head, self.addresses.controller_port
            listener = socket.create_server((host, 0))
            text = text.replace(f"SlurmctldPort={usual_port}", f"SlurmctldPort={listener.getsockname()[1]}")
            between = ControllerBetween((host, usual_port), listener, processes, env)
        Path(env["SLURM_CONF"]).write_text(text)
        with standing(between):
            yield between

    def pause_controller(self) -> None:
        """The controller hangs: it takes connections and never answers."""
        self._hosts.pause("slurmctld")

    def resume_controller(self) -> None:
        """The controller goes on; return when it answers."""
        self._hosts.resume("slurmctld")
        self._daemons.wait_for_slurmctld()

    def stop_accounting(self) -> None:
        """The accounting daemon ends: sacct fails, everything else works on."""
        self._require_accounting()
        self._hosts.end_daemon("slurmdbd", signal.SIGTERM)

    def start_accounting(self) -> None:
        """Start the accounting daemon; return when it answers. Of what it missed it may hear 15 s later."""
        self._require_accounting()
        self._daemons.start_slurmdbd()

    def wait_idle(self, timeout: float = 60.0) -> None:
        """Wait until there is no job and every node is idle."""
        self._hosts.wait(lambda: not self.jobs(), timeout, "the last job to end")
        self._hosts.wait(self._all_nodes_are_idle, timeout, "all nodes to be idle")

    def cancel_all(self, timeout: float = 60.0) -> None:
        """Cancel every job and return when there is none, by all means that an administrator has.

        Jobs that ignore SIGTERM are killed where they run. A job whose end the controller has missed, because
        it was paused or away, would stay "completing" for minutes: setting its nodes down ends that.
        """
        deadline = time.monotonic() + timeout
        means = itertools.chain([self._scancel, self._kill_tasks], itertools.repeat(self._reset_busy_nodes))
        while self.jobs():
            if time.monotonic() > deadline:
                raise ClusterError(f"waited {timeout:g} s in vain for the jobs to end\n{self._hosts.logs()}")
            next(means)()
            comes_true(lambda: not self.jobs(), 0.5)

    def heal(self) -> None:
        """Undo every fault: resume and restart the daemons, bring the nodes back. Quick if there is none."""
        for name in self._hosts.paused_daemons():
            self._hosts.resume(name)
        daemons = self._daemons
        for name, start in (daemons.services | {"slurmctld": daemons.start_slurmctld}).items():
            if self._hosts.daemon(name) is None:
                start()
        self._daemons.wait_for_slurmctld()
        for node in self.nodes:
            self.start_node(node)
        if self.settings.accounting:
            # A controller that lost touch tries again only every 10 s; a new one, with its state, at once.
            if not comes_true(lambda: self._daemons.works("sdiag") and self._accounting_knows_all(), 1.0):
                self.stop_controller()
                self.start_controller()
            self._hosts.wait(self._accounting_knows_all, 60.0, "slurmdbd to hear what it missed")

    # --- the parts ------------------------------------------------------------------------------------------

    @property
    def _daemons(self) -> SlurmDaemons:
        if self._running is None:
            raise ClusterError("the cluster does not run; start() it first")
        return self._running

    @property
    def _hosts(self) -> HostGroup:
        return self._daemons.hosts

    def _all_nodes_are_idle(self) -> bool:
        return set(self.node_states().values()) == {"idle"}

    def _accounting_knows_all(self) -> bool:
        return "DBD Agent queue size: 0" in self.run("sdiag")

    def _is_in_use_again(self, node: str) -> bool:
        """Whether the node takes jobs; one that is down or drained is told to."""
        state = self.node_states()[node]
        if state.startswith(("down", "drain", "fail")):
            self._daemons.works("scontrol", "update", f"nodename={node}", "state=resume")
        return state in _TAKES_JOBS

    def _scancel(self) -> None:
        for user in set(self.run("squeue", "--noheader", "--all", "--format=%u").split()):
            self.run("scancel", f"--user={user}")

    def _kill_tasks(self) -> None:
        for node in self.nodes:
            for process in self._hosts.processes_on(node):
                if not process.program.startswith(("slurmd", "slurmstepd")):  # Debian adds "-wlm"
                    process.signal(signal.SIGKILL)

    def _reset_busy_nodes(self) -> None:
        self._scancel()  # for one that came in late, or was requeued
        for node, state in self.node_states().items():
            if state != "idle":
                self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=reset")
                self._daemons.works("scontrol", "update", f"nodename={node}", "state=resume")

    def _require_accounting(self) -> None:
        if not self.settings.accounting:
            raise ClusterError("this cluster was made without accounting")
        if self._beside is not None:
            raise ClusterError(f"the accounting is the cluster {self._beside.name}'s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.clusters.slurm", description="a real Slurm to try things on"
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start a cluster; prints what a shell is to evaluate")
    up.add_argument("--dir", type=Path, help="where everything of it lies (default: a fresh directory under /tmp)")
    for setting in fields(SlurmSettings):
        option, text = (f"--{setting.name.replace('_', '-')}", f"{setting.metadata['help']} (default: %(default)s)")
        if setting.name == "accounting":
            up.add_argument(option, action=argparse.BooleanOptionalAction, default=setting.default, help=text)
        else:
            up.add_argument(option, type=type(setting.default), default=setting.default, help=text)
    down = verbs.add_parser("down", help="end a cluster and remove its directory")
    down.add_argument("--dir", type=Path, required=True, help="the directory that `up` said")
    verbs.add_parser("install", help="install the Debian packages")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: `up`, `down`, `install`."""
    options = _parser().parse_args(arguments)
    try:
        if options.verb == "install":
            install()
        elif options.verb == "down":
            _down(options.dir)
        else:
            settings = {setting.name: getattr(options, setting.name) for setting in fields(SlurmSettings)}
            cluster = SlurmCluster(SlurmSettings(**settings), options.dir)
            cluster.start(keep=True)
            for name, value in cluster.env.items():
                print(f"export {name}={shlex.quote(value)}")
            print(f"# to end it: python -m tests.clusters.slurm down --dir {cluster.directory}")
    except (ClusterError, ManagerUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _down(directory: Path) -> None:
    group = HostGroup(directory.resolve())
    if not group.exists:
        raise ClusterError(f"{directory}: there is no cluster")
    group.destroy()


if __name__ == "__main__":
    sys.exit(main())
