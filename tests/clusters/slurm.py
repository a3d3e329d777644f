"""A real Slurm with several nodes on this one host, wholly in a directory of its own, without systemd.

    with SlurmCluster(SlurmSettings(accounting=False)) as cluster:
        cluster.run("srun", "-N", "4", "hostname")      # node01 ... node04

By hand: `python -m tests.clusters.slurm up`; see README.md beside this file.

The controller, the accounting daemon with its database, and munged are on the host "head"; each node is a host of
its own (hosts.py). Clients run where they are, with SLURM_CONF in their environment.
"""

from __future__ import annotations

import argparse
import atexit
import itertools
import os
import secrets
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
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
from tests.clusters.packages import ManagerUnavailable
from tests.clusters.slurm_conf import (
    ACCOUNTS,
    DAEMONS_CONF,
    FILE_MODES,
    HEAD,
    QOS,
    Addresses,
    SlurmSettings,
    config_files,
    gpu_device,
    hosts_file,
    munge_socket,
)

# libpmix-dev: `srun --mpi=pmix` opens "libpmix.so", a name that only this package has; slurmd when it starts.
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "libpmix-dev")
ACCOUNTING_PACKAGES = ("slurmdbd", "slurm-wlm-mysql-plugin", "mariadb-server")

_PREFIX = "psij-slurm-"
_TAKES_JOBS = ("idle", "mixed", "allocated", "completing", "planned")  # node states, in sinfo's words
# What a developer may have set for the clients, or a job that the tests run in.
_CLIENT_VARIABLES = (
    "SLURM",
    "SBATCH_",
    "SALLOC_",
    "SRUN_",
    "SQUEUE_",
    "SINFO_",
    "SACCT",
    "SCANCEL_",
    "SCONTROL_",
)


def install(*, accounting: bool = True) -> None:
    """Install the Debian packages that are missing; quick when none is.

    Raises:
        ManagerUnavailable: they are missing and cannot be installed here.
    """
    packages.ensure(PACKAGES + (ACCOUNTING_PACKAGES if accounting else ()))


class SlurmCluster:
    """One cluster: `start()` it, use `env` or `run()`, break it on purpose, `heal()` it, `stop()` it.

    Args:
        settings: what the cluster is like.
        directory: where everything of it lies. Default: a fresh one under /tmp. `stop()` removes it.
    """

    def __init__(self, settings: SlurmSettings | None = None, directory: Path | None = None) -> None:
        self.settings = settings or SlurmSettings()
        self._chosen_directory = directory
        self._running: HostGroup | None = None
        self._addresses: Addresses | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes' names; each is also what `hostname` says there."""
        return self.settings.node_names

    @property
    def directory(self) -> Path:
        """Where everything of the cluster lies; the daemons' logs are in `log/`."""
        return self._hosts.directory

    @property
    def env(self) -> dict[str, str]:
        """What makes Slurm's commands talk to this cluster."""
        return {"SLURM_CONF": str(self.directory / "etc" / "slurm.conf")}

    def run(self, *argv: str, timeout: float = 60.0, stdin: str = "") -> str:
        """Run a command with the cluster's environment; return its stdout.

        Raises:
            CommandFailed: it failed, or did not end within `timeout` seconds.
        """
        ours = set(client_variables(os.environ))
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        try:
            answer = subprocess.run(
                argv,
                env={**environment, **self.env},
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"{shlex.join(argv)}: no answer within {timeout:g} s") from error
        if answer.returncode != 0:
            said = (answer.stderr or answer.stdout).strip()
            raise CommandFailed(f"{shlex.join(argv)} ended with {answer.returncode}: {said}")
        return answer.stdout

    def node_states(self) -> dict[str, str]:
        """Each node's state in sinfo's words: "idle", "mixed", "down*" (the star: it does not answer)."""
        lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
        pairs = (line.split() for line in lines)
        return {node: state for node, state in pairs}

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
        self._running = HostGroup(new_directory(_PREFIX, self._chosen_directory))
        atexit.register(self._stop_at_exit, os.getpid())
        try:
            self._bring_up()
        except BaseException:
            self.stop()
            raise
        if keep:
            atexit.unregister(self._stop_at_exit)
            self._hosts.set_owner(None)

    def stop(self) -> None:
        """End every process of the cluster and remove its directory. Stopping twice is no error."""
        atexit.unregister(self._stop_at_exit)
        if self._running is not None:
            self._running.destroy()
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

    def _bring_up(self) -> None:
        self._addresses = _free_addresses()
        self._write_files()
        self._hosts.start_hosts([HEAD, *self.nodes])
        self._start_munge()
        if self.settings.accounting:
            self._start_database()
            self.start_accounting()
            self._add_associations()
        self.start_controller()
        for name in self.nodes:
            self._start_slurmd(name)
        self._hosts.wait(self._all_nodes_are_idle, 30.0, "all nodes to be idle")

    # --- faults, and what undoes them -----------------------------------------------------------------------

    def kill_node(self, name: str) -> None:
        """The node loses power: everything on it is gone at once, and the controller is told so."""
        self._hosts.kill_all_on(name)
        self.run("scontrol", "update", f"nodename={name}", "state=down", "reason=killed")

    def kill_slurmd_only(self, name: str) -> None:
        """The node's slurmd dies and its jobs run on; the controller sees it after `slurmd_timeout` seconds."""
        self._hosts.end_daemon(_slurmd(name), signal.SIGKILL)

    def start_node(self, name: str) -> None:
        """Start the node's slurmd, if it does not run, and wait until the controller uses the node again."""
        if self._hosts.daemon(_slurmd(name)) is None:
            self._start_slurmd(name)
            number = self.nodes.index(name) + 1
            self._wait_for_listener(_slurmd(name), self.addresses.node(number), self.addresses.node_port)
        self._hosts.wait(lambda: self._is_in_use_again(name), 30.0, f"{name} to be back")

    def stop_controller(self) -> None:
        """The controller ends in good order and keeps its state."""
        self._hosts.end_daemon("slurmctld", signal.SIGTERM)

    def start_controller(self) -> None:
        """Start the controller, with the state that it left; return when it answers."""
        self._start("slurmctld", HEAD, ["slurmctld", "-D", "-R"])
        self._wait_for_listener("slurmctld", self.addresses.head, self.addresses.controller_port)
        self._wait_for_controller()

    def pause_controller(self) -> None:
        """The controller hangs: it takes connections and never answers."""
        self._hosts.pause("slurmctld")

    def resume_controller(self) -> None:
        """The controller goes on; return when it answers."""
        self._hosts.resume("slurmctld")
        self._wait_for_controller()

    def stop_accounting(self) -> None:
        """The accounting daemon ends: sacct fails, everything else works on."""
        self._require_accounting()
        self._hosts.end_daemon("slurmdbd", signal.SIGTERM)

    def start_accounting(self) -> None:
        """Start the accounting daemon; return when it answers."""
        self._require_accounting()
        database = {
            "MYSQL_UNIX_PORT": f"{self.directory}/db/mariadb.sock"
        }  # libmariadb's name for the socket's path
        self._start("slurmdbd", HEAD, ["slurmdbd", "-D"], database)
        self._wait_for_listener("slurmdbd", self.addresses.head, self.addresses.accounting_port)
        answers = ("sacctmgr", "--noheader", "show", "cluster")
        self._hosts.wait(lambda: self._works(*answers), 30.0, "slurmdbd to answer")

    def wait_idle(self, timeout: float = 60.0) -> None:
        """Wait until there is no job and every node is idle."""
        self._hosts.wait(lambda: not self.jobs(), timeout, "the last job to end")
        self._hosts.wait(self._all_nodes_are_idle, timeout, "all nodes to be idle")

    def cancel_all(self, timeout: float = 60.0) -> None:
        """Cancel every job and return when there is none, by all means that an administrator has.

        Jobs that ignore SIGTERM are killed where they run. A job whose end the controller has missed, because it
        was paused or away, would stay "completing" for minutes: setting its nodes down makes the controller let go.
        """
        deadline = time.monotonic() + timeout
        means = itertools.chain([self._scancel, self._kill_tasks], itertools.repeat(self._reset_busy_nodes))
        while self.jobs():
            if time.monotonic() > deadline:
                raise ClusterError(f"waited {timeout:g} s in vain for the jobs to end\n{self._hosts.logs()}")
            next(means)()
            comes_true(lambda: not self.jobs(), 0.5)

    def heal(self) -> None:
        """Undo every fault: resume and restart the daemons, bring the nodes back. Quick when there is none.

        After an outage of the accounting in which jobs ran, it takes up to 20 s.
        """
        for name in self._hosts.paused_daemons():
            self._hosts.resume(name)
        # In this order: each needs those before it.
        restart = {"munged": self._start_munge}
        if self.settings.accounting:
            restart |= {"mariadbd": self._start_database, "slurmdbd": self.start_accounting}
        restart |= {"slurmctld": self.start_controller}
        for name, start in restart.items():
            if self._hosts.daemon(name) is None:
                start()
        self._wait_for_controller()
        for node in self.nodes:
            self.start_node(node)
        if self.settings.accounting:
            # After an outage the controller tries again only every 10 s, and sacct knows nothing until it does.
            told = "DBD Agent queue size: 0"
            self._hosts.wait(lambda: told in self.run("sdiag"), 60.0, "slurmdbd to hear what it missed")

    # --- the parts ------------------------------------------------------------------------------------------

    @property
    def addresses(self) -> Addresses:
        """Where the daemons listen."""
        if self._addresses is None:
            raise ClusterError("the cluster has no addresses before it is started")
        return self._addresses

    @property
    def _hosts(self) -> HostGroup:
        if self._running is None:
            raise ClusterError("the cluster does not run; start() it first")
        return self._running

    def _write_files(self) -> None:
        for name in ("etc", "log", "run", "state", "dev", "db", "tmpfs"):
            (self.directory / name).mkdir()
        for node in self.nodes:
            (self.directory / "spool" / node).mkdir(parents=True)
        etc = self.directory / "etc"
        for name, text in config_files(self.directory, self.settings, self.addresses).items():
            (etc / name).write_text(text)
            (etc / name).chmod(FILE_MODES.get(name, 0o644))
        (etc / "hosts").write_text(hosts_file(self.settings, self.addresses, Path("/etc/hosts").read_text()))
        key = etc / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        null = os.stat("/dev/null").st_rdev
        for number in range(self.settings.gpus):
            os.mknod(gpu_device(self.directory, number), 0o666 | stat.S_IFCHR, null)

    def _start(
        self, daemon: str, host: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> None:
        conf = {"SLURM_CONF": f"{self.directory}/etc/{DAEMONS_CONF}"}
        self._hosts.start_daemon(daemon, host, argv, {**conf, **(env or {})})

    def _start_munge(self) -> None:
        run, key = self.directory / "run", self.directory / "etc" / "munge.key"
        socket_path = munge_socket(self.directory)
        argv = ["munged", "--foreground", "--num-threads=4", f"--key-file={key}", f"--socket={socket_path}"]
        argv += [f"--pid-file={run}/munged.pid", f"--seed-file={run}/munged.seed"]
        # Force: it would refuse to live below /tmp, where everybody may write.
        self._start("munged", HEAD, [*argv, "--force"])
        self._hosts.wait(lambda: self._works("munge", "-n", "-S", str(socket_path)), 10.0, "munged to answer")

    def _start_database(self) -> None:
        """MariaDB, as the user mysql, on a socket alone: no port, and no configuration but what stands here."""
        folder, data = self.directory / "db", self.directory / "db" / "data"
        if not data.exists():
            shutil.chown(folder, "mysql")
            install_db = ["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}"]
            self.run(*install_db, "--skip-test-db", "--auth-root-authentication-method=socket")
        argv = ["mariadbd", "--no-defaults", "--user=mysql", f"--datadir={data}", f"--tmpdir={folder}"]
        argv += [f"--socket={folder}/mariadb.sock", f"--pid-file={folder}/mariadb.pid", "--skip-networking"]
        # What slurmdbd asks for, and no care for a power cut.
        argv += ["--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"]
        argv += ["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--skip-innodb-doublewrite"]
        argv += ["--innodb-log-file-size=16M", "--innodb-stats-persistent=0"]
        self._start("mariadbd", HEAD, argv)
        ping = ("mariadb-admin", "--no-defaults", f"--socket={folder}/mariadb.sock", "ping")
        self._hosts.wait(lambda: self._works(*ping), 30.0, "MariaDB to answer")

    def _add_associations(self) -> None:
        """root may charge every account and use every QOS."""
        accounts, qos = ",".join(ACCOUNTS), ",".join(QOS)
        commands = [f"add cluster {self.settings.cluster_name}"]
        commands += [
            f"add account {account} organization=tests description={account}" for account in ACCOUNTS
        ]
        commands += [f"add qos {name}" for name in QOS if name != "normal"]  # which is there from the start
        commands += [f"add user root account={accounts} defaultaccount={ACCOUNTS[0]} qos={qos}"]
        self.run("sacctmgr", "--immediate", "--quiet", stdin="\n".join([*commands, "quit", ""]))

    def _start_slurmd(self, node: str) -> None:
        self._start(_slurmd(node), node, ["slurmd", "-D"])

    def _wait_for_listener(self, daemon: str, address: str, port: int) -> None:
        """Wait for the port before the first command: one that comes too early waits for seconds to try again."""

        def listens() -> bool:
            return self._hosts.required(daemon).alive and _is_listening(address, port)

        self._hosts.wait(listens, 30.0, f"{daemon} to listen")

    def _wait_for_controller(self) -> None:
        self._hosts.wait(lambda: " UP" in self.run("scontrol", "ping"), 30.0, "the controller to answer")

    def _all_nodes_are_idle(self) -> bool:
        return set(self.node_states().values()) == {"idle"}

    def _is_in_use_again(self, node: str) -> bool:
        """Whether the node takes jobs; one that is down or drained is told to."""
        state = self.node_states()[node]
        if state.startswith(("down", "drain", "fail")):
            self._works("scontrol", "update", f"nodename={node}", "state=resume")
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
                self._works("scontrol", "update", f"nodename={node}", "state=resume")

    def _works(self, *argv: str) -> bool:
        try:
            self.run(*argv)
        except CommandFailed:
            return False
        return True

    def _require_accounting(self) -> None:
        if not self.settings.accounting:
            raise ClusterError("this cluster was made without accounting")


def client_variables(environ: Iterable[str]) -> list[str]:
    """Those names in an environment that Slurm's commands would take settings from."""
    return [name for name in environ if name.startswith(_CLIENT_VARIABLES)]


def _slurmd(node: str) -> str:
    """The name of a node's daemon in the ledger."""
    return f"slurmd-{node}"


def _free_addresses() -> Addresses:
    """A loopback network and ports that nobody has; at random, so that two clusters that start at once differ."""
    for _ in range(100):
        port = 20000 + 4 * secrets.randbelow(2500)  # below the range that Linux gives to clients
        if all(_is_free(port + offset) for offset in range(3)):
            return Addresses(f"127.0.{2 + secrets.randbelow(250)}", port, port + 1, port + 2)
    raise ClusterError("no three free ports between 20000 and 30000")


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        try:
            attempt.bind(("0.0.0.0", port))  # fails if any address of this machine has it
        except OSError:
            return False
    return True


def _is_listening(address: str, port: int) -> bool:
    """Whether somebody listens, without a connection: the daemons complain about one that says nothing."""
    wanted = f"{socket.inet_aton(address)[::-1].hex()}:{port:04x}".upper()  # proc(5): little-endian
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(local == wanted and state == "0A" for _, local, _, state, *_ in map(str.split, lines))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.clusters.slurm", description="a real Slurm to try things on"
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start a cluster; prints what a shell is to evaluate")
    up.add_argument(
        "--dir", type=Path, help="where everything of it lies (default: a fresh directory under /tmp)"
    )
    for setting in fields(SlurmSettings):
        option, text = (
            f"--{setting.name.replace('_', '-')}",
            f"{setting.metadata['help']} (default: %(default)s)",
        )
        if setting.name == "accounting":
            up.add_argument(option, action=argparse.BooleanOptionalAction, default=setting.default, help=text)
        else:
            up.add_argument(option, type=int, default=setting.default, help=text)
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
