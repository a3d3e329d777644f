"""OAR 2.5.9 of Debian 12, for the tests: a server with its PostgreSQL, and two nodes with eight cores each.

Each node is a host of its own name (hosts.py) with OAR's sshd, by which OAR starts jobs there, and by which `oarsh`
gets from one to the other. All users' jobs share the cores: there are no cpusets, for which OAR would need cgroups.
"""

from __future__ import annotations

import pwd
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tests.clusters.hosts import CommandFailed, HostGroup
from tests.clusters.managed import Manager
from tests.clusters.processes import Process

PACKAGES = (
    "oar-server",
    "oar-server-pgsql",
    "oar-node",
    "oar-user",
    "oar-user-pgsql",
    "openssh-server",
    "postgresql",
)

HEAD = "head"
NODES: Mapping[str, str] = {"node01": "127.0.0.11", "node02": "127.0.0.12"}
CORES = 8
_PASSWORD = "tests"  # of a database that only this run's network can reach
#: Run on each node around a job, to make its cpuset. Without one, `oarsh` would take nobody for the job's owner.
_NO_CPUSETS = "/etc/oar/no_cpusets.pl"
#: Tells on stderr which of the nodes that it is given do not answer. Debian's own logs in on each, for each job.
_ALIVE = "/etc/oar/alive.sh"
_ALIVE_TEXT = """#!/bin/bash
for node; do (: </dev/tcp/$node/6667) 2>/dev/null || echo "$node" >&2; done
"""
#: What differs from Debian's oar.conf; None: not set. Times in seconds.
_SETTINGS: Mapping[str, str | None] = {
    "DB_BASE_PASSWD": _PASSWORD,
    "DB_BASE_PASSWD_RO": _PASSWORD,
    "SERVER_HOSTNAME": "127.0.0.1",
    "CPUSET_PATH": None,
    "JOB_RESOURCE_MANAGER_FILE": _NO_CPUSETS,
    "PINGCHECKER_SENTINELLE_SCRIPT_COMMAND": None,
    "PINGCHECKER_GENERIC_COMMAND": _ALIVE,
    "SCHEDULER_TIMEOUT": "600",  # on a busy machine: a queue whose scheduler is late is stopped for ever
    "SCHEDULER_JOB_SECURITY_TIME": "1",
    "SCHEDULER_MIN_TIME_BETWEEN_2_CALLS": "0",
    "SCHEDULER_GANTT_HOLE_MINIMUM_TIME": "5",
    "SCHEDULER_FAIRSHARING_MAX_JOB_PER_USER": "1000",
    "MAX_CONCURRENT_JOBS_STARTING_OR_TERMINATING": "50",
    "FINAUD_FREQUENCY": "0",  # nodes are not looked at: they are all there
}
_SQL = "/usr/lib/oar/database"
_DATABASE_FILES = ("pg_structure.sql", "pg_default_admission_rules.sql", "default_data.sql")


class OAR(Manager):
    """A server, its database, and the nodes `NODES`."""

    packages = PACKAGES
    requests: ClassVar[Sequence[str]] = (
        "heal",
        "stop_master",
        "start_master",
        "pause_master",
        "resume_master",
        "kill_node",
        "start_node",
    )

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.hosts = HostGroup(directory)

    @property
    def environment(self) -> Mapping[str, str]:
        return {}

    def start(self) -> None:
        for name in ("etc", "log", "run", "tmpfs"):
            (self.directory / name).mkdir()
        (self.directory / "log").chmod(0o755)
        self._write_files()
        self.hosts.start_hosts([HEAD, *NODES])
        self._start_database()
        for node in NODES:
            self.start_node(node)
        self._add_cores()
        self.start_master()

    def stop(self) -> None:
        for process in [
            *self.hosts.processes_on(HEAD),
            *(p for node in NODES for p in self.hosts.processes_on(node)),
        ]:
            process.signal(signal.SIGKILL)

    def heal(self) -> None:
        for node in NODES:
            if self.hosts.daemon(_sshd(node)) is None:
                self.start_node(node)
        self.resume_master()
        # What OAR found dead it suspects until an administrator says otherwise.
        self._sql("oar", "-c", "update resources set state = 'Alive', next_state = 'UnChanged'")
        if not self._server():
            self.start_master()

    # ---- requests ----------------------------------------------------------------------------------------------

    def start_master(self) -> None:
        """Almighty, in the foreground; it starts all else that the server is."""
        self.hosts.start_daemon("almighty", HEAD, ["/usr/sbin/Almighty"], {})
        self.hosts.wait(lambda: _listens(6666), 30.0, "OAR's server")

    def stop_master(self) -> None:
        """In good order: what it knows is in the database, and jobs run on."""
        self.hosts.end_daemon("almighty", signal.SIGTERM)
        self.hosts.wait(lambda: not self._server(), 30.0, "OAR's server to end")

    def pause_master(self) -> None:
        """It takes connections and does nothing; the database answers."""
        for process in self._server():
            process.signal(signal.SIGSTOP)

    def resume_master(self) -> None:
        for process in self._server():
            process.signal(signal.SIGCONT)

    def kill_node(self, node: str) -> None:
        """All that runs there is gone at once."""
        self.hosts.kill_all_on(node)

    def start_node(self, node: str) -> None:
        argv = ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/oar/sshd_config", "-o", f"ListenAddress={NODES[node]}"]
        self.hosts.start_daemon(_sshd(node), node, argv, {})
        self.hosts.wait(lambda: _listens(6667, NODES[node]), 10.0, f"the sshd of {node}")

    # ---- how it is set up --------------------------------------------------------------------------------------

    def _write_files(self) -> None:
        hosts = [f"127.0.0.1 localhost {HEAD}", *(f"{address} {node}" for node, address in NODES.items()), ""]
        for path in (self.directory / "etc" / "hosts", Path("/etc/hosts")):
            path.write_text("\n".join(hosts))
        path = Path("/etc/oar/oar.conf")
        lines = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in _SETTINGS]
        lines += [f'{name}="{value}"' for name, value in _SETTINGS.items() if value is not None]
        path.write_text("\n".join([*lines, ""]))
        Path(_NO_CPUSETS).write_text("exit(0);\n")
        Path(_ALIVE).write_text(_ALIVE_TEXT)
        Path(_ALIVE).chmod(0o755)
        path = Path("/etc/oar/sshd_config")
        text = re.sub(r"(?m)^(UsePrivilegeSeparation|KeepAlive|Protocol) .*$", "", path.read_text())
        path.write_text(f"{text}\nMaxSessions 1000\n")
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    def _start_database(self) -> None:
        (binaries,) = Path("/usr/lib/postgresql").glob("*/bin")
        place = self.directory / "database"
        place.mkdir(mode=0o700)
        shutil.chown(place, "postgres")
        sockets = Path("/run/postgresql")
        sockets.mkdir(mode=0o755, exist_ok=True)
        shutil.chown(sockets, "postgres")
        self._as("postgres", str(binaries / "initdb"), "-D", str(place), "--no-sync", "--auth=trust", "-E", "UTF8")
        careless = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=300")
        argv = [str(binaries / "postgres"), "-D", str(place), "-h", "127.0.0.1"]
        argv += [word for setting in careless for word in ("-c", setting)]
        self.hosts.start_daemon("postgres", HEAD, [*_user("postgres"), *argv], {})
        self.hosts.wait(lambda: _listens(5432), 30.0, "PostgreSQL")
        roles = "".join(f"create role {name} login password '{_PASSWORD}';" for name in ("oar", "oar_ro"))
        self.hosts.wait(lambda: bool(self._sql("postgres", "-c", roles) or True), 30.0, "PostgreSQL to answer")
        self._sql("postgres", "-c", "create database oar owner oar")
        self._sql("oar", *(word for name in _DATABASE_FILES for word in ("-f", f"{_SQL}/{name}")), user="oar")
        self._sql("oar", "-c", "grant select on all tables in schema public to oar_ro", user="oar")

    def _sql(self, database: str, *words: str, user: str = "postgres") -> str:
        settings = ("-h", "127.0.0.1", "-U", user, "-q", "-v", "ON_ERROR_STOP=1", "-d", database)
        return self._as("postgres", "psql", *settings, *words)

    def _add_cores(self) -> None:
        """By SQL, as `oarnodesetting` takes half a second for each."""
        rows = [(node, number) for node in NODES for number in range(CORES)]
        values = ",".join(
            f"('default','{node}','Alive','UnChanged','{core % CORES}')" for core, (node, _) in enumerate(rows)
        )
        self._sql(
            "oar", "-c", f"insert into resources (type, network_address, state, next_state, cpuset) values {values}"
        )

    def _as(self, user: str, *argv: str) -> str:
        done = subprocess.run([*_user(user), *argv], cwd="/", capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise CommandFailed(f"{argv[0]} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def _server(self) -> list[Process]:
        """Almighty and its children, by their names."""
        return [process for process in self.hosts.processes_on(HEAD) if _is_server(process)]


def _sshd(node: str) -> str:
    return f"sshd-{node}"


def _user(name: str) -> list[str]:
    user = pwd.getpwnam(name)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]


def _is_server(process: Process) -> bool:
    try:
        return b"Almighty" in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return False


def _listens(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0
