"""The daemons of a test cluster: how each is started without systemd, and how one knows that it is up."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests import unseen
from tests.clusters.hosts import ClusterError, CommandFailed, HostGroup
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

_CONTROLLER_STARTS = 3
# What a developer may have set for Slurm's commands, or a job that the tests run in.
_CLIENT_VARIABLES = ("SLURM", "SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SINFO_", "SACCT", "SCANCEL_", "SCONTROL_")


class SlurmDaemons:
    """Starts the daemons of one cluster, each by name; all but slurmd are on the host `HEAD`.

    Args:
        hosts: where they run; they are ended, paused and found there, by the same names.
        settings: what the cluster is like.
        beside: the daemons of the cluster whose munged, MariaDB and slurmdbd this one uses; default: its own.
    """

    def __init__(self, hosts: HostGroup, settings: SlurmSettings, beside: SlurmDaemons | None = None) -> None:
        self.hosts = hosts
        self.settings = settings
        self.beside = beside
        self.addresses = _free_addresses() if beside is None else _free_addresses_beside(beside.addresses)

    @property
    def client_env(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.hosts.directory / "etc" / "slurm.conf"), **unseen.environment_with("slurm")}

    @property
    def munge_socket(self) -> Path:
        return munge_socket(self._services_directory)

    def start_all(self) -> None:
        """Write the configuration and start everything, for the first time."""
        self._write_files()
        self.hosts.start_hosts([HEAD, *self.settings.node_names])
        for start in self.services.values():
            start()
        if self.settings.accounting:
            if self.beside is None:
                self._make_controllers_reachable()
            self._add_associations()
        self.start_slurmctld()
        for node in self.settings.node_names:
            self._start_slurmd(node)

    @property
    def services(self) -> dict[str, Callable[[], None]]:
        """What starts the daemons below the controller that are this cluster's own; each needs those before it."""
        if self.beside is not None:
            return {}
        accounting = {"mariadbd": self.start_mariadbd, "slurmdbd": self.start_slurmdbd}
        return {"munged": self.start_munged} | (accounting if self.settings.accounting else {})

    def start_munged(self) -> None:
        run, key = self.hosts.directory / "run", self.hosts.directory / "etc" / "munge.key"
        socket_path = self.munge_socket
        argv = ["munged", "--foreground", "--num-threads=4", f"--key-file={key}", f"--socket={socket_path}"]
        argv += [f"--pid-file={run}/munged.pid", f"--seed-file={run}/munged.seed"]
        # Force: it would refuse to live below /tmp, where everybody may write.
        self._start("munged", HEAD, [*argv, "--force"])
        self.hosts.wait(lambda: self.works("munge", "-n", "-S", str(socket_path)), 10.0, "munged to answer")

    def start_mariadbd(self) -> None:
        """MariaDB as the user mysql, on a socket alone: no port, no configuration but what stands here."""
        folder, data = self.hosts.directory / "db", self.hosts.directory / "db" / "data"
        # A directory of its own for temporary tables: each server removes those that it finds as it starts.
        settings = ["--no-defaults", "--user=mysql", f"--datadir={data}", f"--tmpdir={folder}"]
        if not data.exists():
            shutil.chown(folder, "mysql")
            self._start("mariadb-install-db", HEAD, ["mariadb-install-db", *settings, "--skip-test-db"])
            self.hosts.wait(lambda: self.hosts.daemon("mariadb-install-db") is None, 60.0, "an empty database")
        argv = ["mariadbd", *settings]
        argv += [f"--socket={folder}/mariadb.sock", f"--pid-file={folder}/mariadb.pid", "--skip-networking"]
        # What slurmdbd asks for; small files; and no care for a power cut.
        argv += ["--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900", "--innodb-log-file-size=16M"]
        argv += ["--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite"]
        self._start("mariadbd", HEAD, argv)
        ping = ("mariadb-admin", "--no-defaults", f"--socket={folder}/mariadb.sock", "ping")
        self.hosts.wait(lambda: self.works(*ping), 30.0, "MariaDB to answer")

    def start_slurmdbd(self) -> None:
        database = {"MYSQL_UNIX_PORT": f"{self.hosts.directory}/db/mariadb.sock"}  # libmariadb's name for the path
        self._start("slurmdbd", HEAD, ["slurmdbd", "-D"], database)
        self._wait_for_listener("slurmdbd", self.addresses.head, self.addresses.accounting_port)
        answers = ("sacctmgr", "--noheader", "show", "cluster")
        self.hosts.wait(lambda: self.works(*answers), 30.0, "slurmdbd to answer")

    def start_slurmctld(self) -> None:
        """With all the state that it left (-R): else it would know nothing of its nodes for some seconds.

        Where it left none, Slurm 24.11 with -R has nodes without features.

        Slurm 24.11.5 divides by zero now and then as it starts, if slurmdbd was started again before: tried again.
        """
        for _ in range(_CONTROLLER_STARTS):
            recover = ["-R"] if (self.hosts.directory / "state" / "node_state").exists() else []
            self._start("slurmctld", HEAD, ["slurmctld", "-D", *recover])
            self.hosts.wait(lambda: self._slurmctld_has_ended() or self._slurmctld_answers(), 30.0, "the controller")
            if not self._slurmctld_has_ended():
                return
        raise ClusterError(f"slurmctld ends as it starts, {_CONTROLLER_STARTS} times\n{self.hosts.logs()}")

    def wait_for_slurmctld(self) -> None:
        self.hosts.wait(self._slurmctld_answers, 30.0, "the controller to answer")

    def _slurmctld_has_ended(self) -> bool:
        return self.hosts.daemon("slurmctld") is None

    def _slurmctld_answers(self) -> bool:
        """Not before it listens: a command that comes too early tries again in seconds."""
        there = _is_listening(self.addresses.head, self.addresses.controller_port)
        return there and self.works("scontrol", "ping")

    def start_slurmd(self, node: str) -> None:
        self._start_slurmd(node)
        address = self.addresses.node(self.settings.node_names.index(node) + 1)
        self._wait_for_listener(slurmd(node), address, self.addresses.node_port)

    def run(self, *argv: str, timeout: float = 60.0, stdin: str = "") -> str:
        """Run a command as a client of this cluster; return its stdout.

        Raises:
            CommandFailed: it failed, or did not end within `timeout` seconds.
        """
        others = set(client_variables(os.environ))
        environment = {name: value for name, value in os.environ.items() if name not in others}
        try:
            answer = subprocess.run(
                argv,
                env={**environment, **self.client_env},
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

    def works(self, *argv: str) -> bool:
        """Whether a command ends with 0."""
        try:
            self.run(*argv)
        except CommandFailed:
            return False
        return True

    @property
    def _services_directory(self) -> Path:
        return self.hosts.directory if self.beside is None else self.beside.hosts.directory

    def _write_files(self) -> None:
        directory = self.hosts.directory
        for name in ("etc", "log", "run", "state", "dev", "db", "tmpfs"):
            (directory / name).mkdir()
        for node in self.settings.node_names:
            (directory / "spool" / node).mkdir(parents=True)
        etc = directory / "etc"
        for name, text in config_files(directory, self.settings, self.addresses, self._services_directory).items():
            (etc / name).write_text(text)
            (etc / name).chmod(FILE_MODES.get(name, 0o644))
        (etc / "hosts").write_text(hosts_file(self.settings, self.addresses, Path("/etc/hosts").read_text()))
        key = etc / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        null = os.stat("/dev/null").st_rdev
        for number in range(self.settings.gpus):
            os.mknod(gpu_device(directory, number), 0o666 | stat.S_IFCHR, null)

    def _make_controllers_reachable(self) -> None:
        """Let `-M` find the controllers: slurmdbd notes where their connections come from, which is 127.0.0.1.

        A trigger, because it does so again at each start of a controller.
        """
        head = self.addresses.head
        name = "new.control_host"
        trigger = f"set {name} = if({name} = '127.0.0.1', '{head}', {name})"
        self.run(
            "mariadb",
            "--no-defaults",
            f"--socket={self.hosts.directory}/db/mariadb.sock",
            "slurm_acct_db",
            stdin=f"create trigger reachable before update on cluster_table for each row {trigger};",
        )

    def _add_associations(self) -> None:
        """root may charge every account and use every QOS."""
        accounts, qos = ",".join(ACCOUNTS), ",".join(QOS)
        commands = [f"add cluster {self.settings.cluster_name}"]
        commands += [f"add account {accounts} organization=tests description=tests"]
        if self.beside is None:  # QOS are the accounting's, and normal is there from the start
            commands += [f"add qos {name}" for name in QOS if name != "normal"]
        commands += [f"add user root account={accounts} defaultaccount={ACCOUNTS[0]} qos={qos}"]
        self.run("sacctmgr", "--immediate", "--quiet", stdin="\n".join([*commands, "quit", ""]))

    def _start_slurmd(self, node: str) -> None:
        self._start(slurmd(node), node, ["slurmd", "-D"])

    def _start(self, daemon: str, host: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        conf = {"SLURM_CONF": f"{self.hosts.directory}/etc/{DAEMONS_CONF}"}
        self.hosts.start_daemon(daemon, host, argv, {**conf, **(env or {})})

    def _wait_for_listener(self, daemon: str, address: str, port: int) -> None:
        """Wait for the port before the first command: one that comes too early tries again in seconds."""

        def listens() -> bool:
            return self.hosts.required(daemon).alive and _is_listening(address, port)

        self.hosts.wait(listens, 30.0, f"{daemon} to listen")


def client_variables(environ: Iterable[str]) -> list[str]:
    """Those names in an environment that Slurm's commands would take settings from."""
    return [name for name in environ if name.startswith(_CLIENT_VARIABLES)]


def slurmd(node: str) -> str:
    """The name of a node's slurmd among the daemons."""
    return f"slurmd-{node}"


def _free_addresses() -> Addresses:
    """A loopback network and ports that nobody has; at random, so that clusters that start at once differ."""
    for _ in range(100):
        port = 20000 + 4 * secrets.randbelow(2500)  # below the range that Linux gives to clients
        if all(_is_free(port + offset) for offset in range(3)):
            return Addresses(f"127.0.{2 + secrets.randbelow(250)}", port, port + 1, port + 2)
    raise ClusterError("no three free ports between 20000 and 30000")


def _free_addresses_beside(others: Addresses) -> Addresses:
    """The same network and accounting, with a controller and nodes on ports of their own."""
    own = _free_addresses()
    return replace(others, controller_port=own.controller_port, node_port=own.node_port)


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
