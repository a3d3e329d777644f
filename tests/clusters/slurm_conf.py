"""What a test cluster is like, and the text of its configuration files: plain data in, plain text out.

Formats: https://slurm.schedmd.com/archive/slurm-22.05.8/slurm.conf.html, and gres.conf.html,
cgroup.conf.html, slurmdbd.conf.html beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

HEAD = "head"  # the host that the controller and the accounting daemon believe to be on
DAEMONS_CONF = "slurm-daemons.conf"
_TASK_PROLOG = "task-prolog.sh"
FILE_MODES = {_TASK_PROLOG: 0o755, "slurmdbd.conf": 0o600}  # the last one at slurmdbd's own wish
ACCOUNTS = ("proj1", "proj2")
QOS = ("normal", "high")


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """What can be chosen about a cluster; `python -m tests.clusters.slurm` makes its options from it."""

    accounting: bool = field(default=True, metadata={"help": "slurmdbd with MariaDB; without it sacct is disabled"})
    nodes: int = field(default=4, metadata={"help": "number of nodes"})
    cpus: int = field(default=8, metadata={"help": "CPUs that each node claims to have"})
    memory: int = field(default=16000, metadata={"help": "MB that each node claims to have"})
    gpus: int = field(default=2, metadata={"help": "GPUs that each node claims to have"})
    cpu_nodes: int = field(
        default=0, metadata={"help": "how many nodes, the last, have no GPUs but twice CPUs and memory"}
    )
    min_job_age: int = field(default=300, metadata={"help": "seconds that squeue remembers a finished job"})
    message_timeout: int = field(default=15, metadata={"help": "seconds a client waits for a silent controller"})
    slurmd_timeout: int = field(default=60, metadata={"help": "seconds until a silent node is set down"})
    kill_wait: int = field(default=5, metadata={"help": "seconds from SIGTERM to SIGKILL"})
    name: str = field(default="", metadata={"help": "ClusterName, in place of accounted or plain"})

    @property
    def cluster_name(self) -> str:
        return self.name or ("accounted" if self.accounting else "plain")

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(f"node{number:02d}" for number in range(1, self.nodes + 1))

    @property
    def gpu_node_names(self) -> tuple[str, ...]:
        """The nodes that have GPUs, if any has."""
        return self.node_names[: self.nodes - self.cpu_nodes]


@dataclass(frozen=True)
class Addresses:
    """Where the daemons listen: a loopback network, and ports that were free when the cluster started."""

    network: str  # the first three numbers, such as "127.0.17"
    controller_port: int
    node_port: int  # the same on every node: each has an address of its own
    accounting_port: int  # one for all clusters that share an accounting; they share the network, too

    @property
    def head(self) -> str:
        return f"{self.network}.254"

    def node(self, number: int) -> str:
        return f"{self.network}.{number}"


def config_files(directory: Path, settings: SlurmSettings, addresses: Addresses, services: Path) -> dict[str, str]:
    """All files of `etc/`, by name. Slurm looks for the others beside the one that SLURM_CONF names.

    `services` is the directory of the cluster whose munged, and slurmdbd if any, this one uses; or its own.
    """
    files = {
        "slurm.conf": _slurm_conf(directory, settings, addresses, services),
        DAEMONS_CONF: _daemons_conf(directory),
        _TASK_PROLOG: _task_prolog(directory),
        "gres.conf": _gres_conf(directory, settings),
        # The daemons want to know a cgroup version even where, as here, nothing uses cgroups.
        "cgroup.conf": "CgroupPlugin=cgroup/v1\n",
        # The tree, PMIx's fence at the end of MPI_Init, waits for no other node where a step has fewer than TreeWidth:
        # 15 of 757 runs of Open MPI on two nodes of a busy machine died of a message in MPI_Init (0 of 907 with the ring).
        "mpi.conf": "PMIxCollFence=ring\n",
    }
    if settings.accounting and services == directory:
        files["slurmdbd.conf"] = _slurmdbd_conf(directory, addresses)
    return files


def gpu_device(directory: Path, number: int) -> Path:
    """Slurm sets CUDA_VISIBLE_DEVICES only for device files, and reads the number from the name."""
    return directory / "dev" / f"nvidia{number}"


def munge_socket(directory: Path) -> Path:
    return directory / "run" / "munge.sock"


def _slurm_conf(directory: Path, settings: SlurmSettings, addresses: Addresses, services: Path) -> str:
    every_node = ",".join(settings.node_names)
    lines = [
        f"ClusterName={settings.cluster_name}",
        f"SlurmctldHost={HEAD}({addresses.head})",
        f"SlurmctldPort={addresses.controller_port}",
        f"SlurmdPort={addresses.node_port}",
        "SlurmUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={munge_socket(services)}",
        f"StateSaveLocation={directory}/state",
        f"SlurmdSpoolDir={directory}/spool/%n",
        f"TmpFS={directory}/tmpfs",
        f"SlurmctldPidFile={directory}/run/slurmctld.pid",
        f"SlurmdPidFile={directory}/run/slurmd.%n.pid",
        f"SlurmctldLogFile={directory}/log/slurmctld.log",
        f"SlurmdLogFile={directory}/log/slurmd-%n.log",
        # No cgroups, for the host's are not ours; no binding, for the claimed CPUs are not there.
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SlurmdParameters=config_overrides",
        "MailProg=/usr/bin/true",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        f"DefMemPerCPU={settings.memory // settings.cpus // 4}",
        "GresTypes=gpu",
        # Quick: Slurm looks at batch jobs once a second at best (intervals in s, s, s, us).
        "SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0",
        "PriorityType=priority/basic",
        "ReturnToService=2",
        f"MessageTimeout={settings.message_timeout}",
        "TCPTimeout=5",
        f"SlurmdTimeout={settings.slurmd_timeout}",
        f"KillWait={settings.kill_wait}",
        f"MinJobAge={settings.min_job_age}",
        "MaxArraySize=2001",
        "MaxJobCount=20000",
        "EnforcePartLimits=ALL",
        "JobRequeue=1",
    ]
    if settings.accounting:
        lines += [
            "AccountingStorageType=accounting_storage/slurmdbd",
            f"AccountingStorageHost={addresses.head}",
            f"AccountingStoragePort={addresses.accounting_port}",
            f"AccountingStoragePass={munge_socket(services)}",
            "AccountingStorageTRES=gres/gpu",
            "AccountingStorageEnforce=associations,limits,qos",
            "AccountingStoreFlags=job_comment,job_script",
            "JobAcctGatherType=jobacct_gather/linux",
            "JobAcctGatherFrequency=5",
        ]
    else:
        lines += ["AccountingStorageType=accounting_storage/none", "JobAcctGatherType=jobacct_gather/none"]
    for number, name in enumerate(settings.node_names, start=1):
        parity = "odd" if number % 2 else "even"
        times = 1 if name in settings.gpu_node_names else 2
        gres = f" Gres=gpu:a100:{settings.gpus}" if settings.gpus and times == 1 else ""
        lines.append(
            f"NodeName={name} NodeAddr={addresses.node(number)} CPUs={settings.cpus * times}"
            f" RealMemory={settings.memory * times}{gres} Feature=cpu,{parity} State=UNKNOWN"
        )
    lines += [
        f"PartitionName=debug Nodes={every_node} Default=YES MaxTime=00:30:00 DefaultTime=00:10:00 State=UP",
        f"PartitionName=batch Nodes={every_node} MaxTime=1-00:00:00 DefaultTime=01:00:00 State=UP",
        f"PartitionName=short Nodes={every_node} MaxTime=00:01:00 DefaultTime=00:01:00 State=UP",
        f"PartitionName=small Nodes={every_node} MaxTime=02:00:00 MaxNodes=1 State=UP",
        f"PartitionName=closed Nodes={every_node} MaxTime=02:00:00 State=DOWN",
    ]
    if settings.cpu_nodes:
        of_cpus = ",".join(settings.node_names[-settings.cpu_nodes :])
        lines.append(f"PartitionName=large Nodes={of_cpus} MaxTime=08:00:00 OverSubscribe=EXCLUSIVE State=UP")
    return _text(lines)


def _daemons_conf(directory: Path) -> str:
    """slurm.conf for the daemons: they listen on the address of their host's name, and not on all interfaces.

    Not for the clients: srun would do the same, while its connections come from 127.0.0.1, which is where the
    nodes then call back in vain (and the launch hangs for ten minutes). slurmd gives its own SLURM_CONF to
    the jobs; so a task prolog, whose output lands in the job's environment, gives them the clients' again.
    """
    return _text(
        [
            f"Include {directory}/etc/slurm.conf",
            "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",
            f"TaskProlog={directory}/etc/{_TASK_PROLOG}",
        ]
    )


def _task_prolog(directory: Path) -> str:
    # The variable to unset is one that Slurm sets for the prolog and then leaves in the task's environment.
    return _text(
        ["#!/bin/sh", f"echo export SLURM_CONF={directory}/etc/slurm.conf", "echo unset SLURM_SCRIPT_CONTEXT"]
    )


def _gres_conf(directory: Path, settings: SlurmSettings) -> str:
    return _text(
        f"NodeName={name} Name=gpu Type=a100 Flags=nvidia_gpu_env File={gpu_device(directory, number)}"
        for name in settings.gpu_node_names
        for number in range(settings.gpus)
    )


def _slurmdbd_conf(directory: Path, addresses: Addresses) -> str:
    return _text(
        [
            "AuthType=auth/munge",
            f"AuthInfo=socket={munge_socket(directory)}",
            f"DbdHost={HEAD}",
            f"DbdAddr={addresses.head}",
            f"DbdPort={addresses.accounting_port}",
            "CommunicationParameters=NoInAddrAny",
            "SlurmUser=root",
            f"LogFile={directory}/log/slurmdbd.log",
            f"PidFile={directory}/run/slurmdbd.pid",
            "StorageType=accounting_storage/mysql",
            # "localhost" is MariaDB's word for its socket; whoever is root here is root in the database.
            "StorageHost=localhost",
            "StorageUser=root",
            "StorageLoc=slurm_acct_db",
        ]
    )


def hosts_file(settings: SlurmSettings, addresses: Addresses, inherited: str) -> str:
    """The /etc/hosts that only the cluster's hosts see: their own names, then what this host knows."""
    names = [f"{addresses.head} {HEAD}"]
    names += [f"{addresses.node(number)} {name}" for number, name in enumerate(settings.node_names, start=1)]
    return _text(names) + inherited


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
