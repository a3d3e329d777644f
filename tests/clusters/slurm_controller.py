"""A slurmctld alone, with nodes that are nowhere: what it says to `sbatch --test-only`, in tenths of a second.

Nodes in the cloud are not asked whether they are there, so that any machine's shape can be had: 9,472 nodes take
0.1 s. Partitions, times, nodes, features, GPUs and memory are checked; accounts and QOS, without slurmdbd, are not.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.clusters.hosts import CommandFailed, HostGroup, destroy_abandoned, new_directory
from tests.clusters.slurm_conf import DAEMONS_CONF, HEAD, SlurmSettings, hosts_file, munge_socket
from tests.clusters.slurm_daemons import SlurmDaemons

_PREFIX = "psij-slurmctld-"


class LoneController(SlurmDaemons):
    """A slurmctld and its munged, on a host of their own. `lines` are those of slurm.conf with nodes and partitions."""

    def __init__(self, hosts: HostGroup, name: str, lines: Sequence[str]) -> None:
        super().__init__(hosts, SlurmSettings(accounting=False, nodes=0, name=name))
        self._lines = lines

    def test_only(self, script: str) -> str:
        """What is wrong with a job script, in sbatch's words; '' if it would run."""
        try:
            self.run("sbatch", "--test-only", stdin=script)
        except CommandFailed as error:
            return str(error).partition(": ")[2]
        return ""

    def _write_files(self) -> None:
        directory = self.hosts.directory
        for name in ("etc", "log", "run", "state", "tmpfs"):
            (directory / name).mkdir()
        etc = directory / "etc"
        texts = {
            "slurm.conf": "\n".join([*self._general(), *self._lines, ""]),
            DAEMONS_CONF: f"Include {etc}/slurm.conf\nCommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n",
            "cgroup.conf": "CgroupPlugin=cgroup/v1\n",
            "hosts": hosts_file(self.settings, self.addresses, Path("/etc/hosts").read_text()),
        }
        for name, text in texts.items():
            (etc / name).write_text(text)
        key = etc / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))

    def _general(self) -> Iterator[str]:
        directory, addresses = self.hosts.directory, self.addresses
        yield from (f"ClusterName={self.settings.cluster_name}", f"SlurmctldHost={HEAD}({addresses.head})")
        yield from (f"SlurmctldPort={addresses.controller_port}", f"SlurmdPort={addresses.node_port}")
        yield from ("SlurmUser=root", "AuthType=auth/munge", f"AuthInfo=socket={munge_socket(directory)}")
        yield from (f"StateSaveLocation={directory}/state", f"SlurmctldPidFile={directory}/run/slurmctld.pid")
        yield from (f"SlurmctldLogFile={directory}/log/slurmctld.log", "ProctrackType=proctrack/linuxproc")
        yield from ("TaskPlugin=task/none", "SelectType=select/cons_tres", "SelectTypeParameters=CR_Core_Memory")
        yield from ("GresTypes=gpu", "EnforcePartLimits=ALL", "MessageTimeout=60", "TCPTimeout=10")
        yield from ("AccountingStorageType=accounting_storage/none", "JobAcctGatherType=jobacct_gather/none")
        yield from ("SuspendProgram=/bin/true", "ResumeProgram=/bin/true", "SuspendTime=INFINITE")
        yield from ("ResumeTimeout=600", "TreeWidth=65533", "MailProg=/usr/bin/true")


@contextmanager
def lone_controller(name: str, lines: Sequence[str]) -> Iterator[LoneController]:
    """One that answers, and is gone at the end.

    Raises:
        ClusterError: it did not come up.
    """
    destroy_abandoned(_PREFIX)
    hosts = HostGroup(new_directory(_PREFIX))
    try:
        controller = LoneController(hosts, name, lines)
        controller.start_all()
        yield controller
    finally:
        hosts.destroy()
