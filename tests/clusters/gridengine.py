"""Son of Grid Engine 8.1.9 of Debian 12, for the tests: a master on "head", where the tests run, and four nodes.

Each daemon of an execution host listens on the same port, so every node has a network of its own, and a bridge on the
head joins them. The nodes share /home, and have temporary directories of their own.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.clusters.hosts import CommandFailed, HostGroup
from tests.clusters.managed import Manager

PACKAGES = ("gridengine-master", "gridengine-exec", "gridengine-client")
#: Answers to the packages' questions: make the cell "default", whose master is the host "head".
ANSWERS = tuple(
    f"gridengine-{part} shared/gridengine{question}"
    for part in ("common", "client", "master", "exec")
    for question in ("config boolean true", "cell string default", "master string head")
)
HEAD = "head"
NODES = ("node01", "node02", "node03", "node04")
SLOTS, GPUS = 8, 2  # of each node
#: The parallel environments, each with the rule that gives a job its nodes.
ENVIRONMENTS = {"smp": "$pe_slots", "mpi": "$fill_up", "rr": "$round_robin", "one": "1", "two": "2", "eight": "8"}
QUEUES = {"all.q": "INFINITY", "short.q": "00:01:00"}  # with the longest wall time
PROJECTS = ("proj1", "proj2")

_ROOT, _CELL, _ADMIN = Path("/var/lib/gridengine"), "default", "sgeadmin"
_SPOOL = Path("/var/spool/gridengine")
_NET = "10.77.0"
_TIMEOUT = 30.0


class GridEngine(Manager):
    """The master, the nodes, and their faults."""

    packages = PACKAGES
    requests = (
        "heal",
        "stop_master",
        "start_master",
        "pause_master",
        "resume_master",
        "kill_node",
        "start_node",
        "forget",
        "admin",
        "defaults",
    )

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.hosts = HostGroup(directory / "ge")

    @property
    def environment(self) -> Mapping[str, str]:
        return {"SGE_ROOT": str(_ROOT), "SGE_CELL": _CELL}

    def start(self) -> None:
        self._make_hosts()
        self._start_qmaster()
        self._configure()
        self._keep_spool()
        for node in NODES:
            self._start_execd(node)
        self._wait_for_nodes()

    def stop(self) -> None:
        if self.hosts.directory.exists():
            self.hosts.destroy()

    # ---- faults ----------------------------------------------------------------------------------------------

    def heal(self) -> None:
        for name in self.hosts.paused_daemons():
            self.hosts.resume(name)
        self.defaults("")
        self.start_master()
        for node in NODES:
            self.start_node(node)
        self.hosts.wait(self._emptied, 60.0, "an empty queue")
        self._wait_for_nodes()

    def _emptied(self) -> bool:
        """Delete all jobs; say whether there are none. The master may die of it, if a node has died just then."""
        self.start_master()
        self.admin(["qdel", "-f", "-u", "*"], check=False)
        return not self.admin(["qstat", "-u", "*"])

    def stop_master(self) -> None:
        self.hosts.end_daemon("qmaster", signal.SIGTERM)

    def start_master(self) -> None:
        if self.hosts.daemon("qmaster") is None:
            self._start_qmaster()

    def pause_master(self) -> None:
        self.hosts.pause("qmaster")

    def resume_master(self) -> None:
        self.hosts.resume("qmaster")

    def kill_node(self, name: str) -> None:
        """Everything that runs on a node is gone."""
        self.hosts.kill_all_on(name)

    def start_node(self, name: str) -> None:
        if self.hosts.daemon(f"execd-{name}") is None:
            self._start_execd(name)

    def forget(self) -> None:
        """The master has lost its jobs and its records of ended ones, and counts from 1 again."""
        self.stop_master()
        for name in ("spooldb", "qmaster"):
            shutil.rmtree(_SPOOL / name)
        self._copy(self.hosts.directory / "spool", _SPOOL)
        (_ROOT / _CELL / "common" / "accounting").unlink(missing_ok=True)
        self.start_master()

    def admin(self, argv: Sequence[str], check: bool = True) -> str:
        """Run one of the manager's commands as its administrator; its output."""
        command = ["runuser", "-u", _ADMIN, "--", "env", *(f"{k}={v}" for k, v in self.environment.items()), *argv]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=False, cwd="/", stdin=subprocess.DEVNULL
        )
        if check and done.returncode != 0:
            raise CommandFailed(f"{' '.join(argv)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def defaults(self, text: str) -> None:
        """Set the site's default options of every submission."""
        path = _ROOT / _CELL / "common" / "sge_request"
        path.write_text(f"{text}\n")
        path.chmod(0o644)

    # ---- hosts and daemons -----------------------------------------------------------------------------------

    def _make_hosts(self) -> None:
        for folder in ("etc", "log", "run", "tmpfs", "spool", "conf"):
            (self.hosts.directory / folder).mkdir(parents=True)
        known = [f"{_NET}.{number} {name}\n" for number, name in enumerate((HEAD, *NODES), start=1)]
        hosts_file = self.hosts.directory / "etc" / "hosts"
        hosts_file.write_text("127.0.0.1 localhost\n" + "".join(known))
        shutil.copy(hosts_file, "/etc/hosts")
        _ip("link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        _ip("addr", "add", f"{_NET}.1/24", "dev", "br0")
        _ip("link", "set", "br0", "up")
        subprocess.run(["hostname", HEAD], check=True)
        self.hosts.start_hosts([HEAD])
        self.hosts.start_hosts(NODES, network=True)
        for number, node in enumerate(NODES, start=2):
            holder = str(self.hosts.required(f"host-{node}").pid)
            _ip("link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", holder)
            _ip("link", "set", f"v{number}", "master", "br0", "up")
            inside = ["nsenter", f"--target={holder}", "--net", "ip"]
            for words in ("link set lo up", f"addr add {_NET}.{number}/24 dev eth0", "link set eth0 up"):
                subprocess.run([*inside, *words.split()], check=True)

    def _start_qmaster(self) -> None:
        self.hosts.start_daemon("qmaster", HEAD, ["sge_qmaster"], {**self.environment, "SGE_ND": "1"})
        self.hosts.wait(lambda: bool(self.admin(["qconf", "-sss"])), 30.0, "the master to answer")

    def _start_execd(self, node: str) -> None:
        self.hosts.start_daemon(f"execd-{node}", node, ["sge_execd"], {**self.environment, "SGE_ND": "1"})

    def _wait_for_nodes(self) -> None:
        def all_are_up() -> bool:
            return len(
                re.findall(r"^node\d+ +lx-\S+ +\d+ .* [\d.]+ +\S+ +\S+ +\S+ +\S+$", self.admin(["qhost"]), re.M)
            ) == len(NODES)

        self.hosts.wait(all_are_up, 60.0, "the nodes to report")

    # ---- configuration ---------------------------------------------------------------------------------------

    def _configure(self) -> None:
        for host in (HEAD, *NODES):
            self.admin(["qconf", "-ah", host], check=False)
            self.admin(["qconf", "-as", host], check=False)
        self.admin(["qconf", "-am", "root"], check=False)
        changes = {
            "mailer": "/bin/true",
            "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false sharelog=00:00:00",
            "load_report_time": "00:00:02",
            "max_unheard": "00:00:10",
            "finished_jobs": "0",
        }
        self._change("-Mconf", "global", self.admin(["qconf", "-sconf"]), changes)
        quick = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
        self._change("-Msconf", "sched", self.admin(["qconf", "-ssconf"]), quick)
        gpus = "ngpus ngpus INT <= YES YES 0 0\n"
        self._file("-Mc", "complex", self.admin(["qconf", "-sc"]).replace("\nhostname ", f"\n{gpus}hostname ", 1))
        self._file("-Ahgrp", "hosts", f"group_name @allhosts\nhostlist {' '.join(NODES)}\n")
        for name, rule in ENVIRONMENTS.items():
            self._file("-Ap", f"pe-{name}", _PE.format(name=name, rule=rule))
        for name in PROJECTS:
            self._file("-Aprj", f"prj-{name}", f"name {name}\noticket 0\nfshare 0\nacl NONE\nxacl NONE\n")
        for name, longest in QUEUES.items():
            settings = {
                "qname": name,
                "hostlist": "@allhosts",
                "slots": str(SLOTS),
                "pe_list": " ".join(ENVIRONMENTS),
                "h_rt": longest,
                "load_thresholds": "NONE",
                "shell": "/bin/sh",
                "tmpdir": str(self.hosts.directory / "tmpfs"),
            }
            self._change("-Aq", name, self.admin(["qconf", "-sq"]), settings)
        for number, node in enumerate(NODES):
            # The end of a job is that of all processes with its group id: on one machine no two may be equal.
            low = 20000 + 1000 * number
            self._file("-Aconf", node, f"gid_range {low}-{low + 999}\nmailer /bin/true\n")
            host = f"hostname {node}\nload_scaling NONE\ncomplex_values slots={SLOTS},ngpus={GPUS}\n"
            host += "user_lists NONE\nxuser_lists NONE\nprojects NONE\nxprojects NONE\nusage_scaling NONE\n"
            self._file("-Me", f"host-{node}", f"{host}report_variables NONE\n")

    def _change(self, option: str, name: str, text: str, changes: Mapping[str, str]) -> None:
        lines = dict(line.split(None, 1) for line in text.replace("\\\n", " ").splitlines() if len(line.split()) > 1)
        self._file(option, name, "".join(f"{key} {value}\n" for key, value in {**lines, **changes}.items()))

    def _file(self, option: str, name: str, text: str) -> None:
        path = self.hosts.directory / "conf" / name
        path.write_text(text)
        path.chmod(0o644)
        self.admin(["qconf", option, str(path)])

    def _keep_spool(self) -> None:
        """Keep the master's books as they are without any job."""
        self.stop_master()
        self._copy(_SPOOL, self.hosts.directory / "spool")
        self.start_master()

    def _copy(self, source: Path, target: Path) -> None:
        for name in ("spooldb", "qmaster"):
            subprocess.run(["cp", "-a", str(source / name), str(target / name)], check=True)


_PE = """pe_name {name}
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule {rule}
control_slaves TRUE
job_is_first_task FALSE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
"""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
