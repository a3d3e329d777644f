"""What the tests of MPI runs share: real MPIs from Debian's packages, programs built with them, and several hosts.

The hosts are namespaces of this machine (tests/clusters/hosts.py): each says its own name, and a small script stands
for ssh, by which the launchers start their daemons there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clusters import packages
from tests.clusters.hosts import HostGroup, destroy_abandoned, new_directory, require_namespaces

PROGRAMS = Path(__file__).parents[1] / "programs"
PACKAGES = ("gcc", "libc6-dev", "openmpi-bin", "libopenmpi-dev", "mpich", "libmpich-dev")
#: Open MPI as root, and over loopback alone, as the hosts are on one machine; Hydra over loopback.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_btl_tcp_if_include": "lo",
    "OMPI_MCA_oob_tcp_if_include": "lo",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    "PRTE_ALLOW_RUN_AS_ROOT": "1",
    "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_pml": "ob1",  # without UCX: Debian 13's was seen to end in a segmentation fault
    "PMIX_MCA_ptl_tcp_if_include": "lo",
    "HYDRA_IFACE": "lo",
    "FI_PROVIDER": "tcp",
    "FI_TCP_IFACE": "lo",
}
_PREFIX = "psij-mpi-"


def install() -> None:
    """Install both MPIs if they are missing. Raises `packages.ManagerUnavailable` where that is impossible."""
    packages.ensure(PACKAGES)


def build(folder: Path) -> dict[str, Path]:
    """The C program, built with each MPI: the method's name -> the program."""
    built = {}
    for mpi in ("openmpi", "mpich"):
        built[mpi] = folder / f"ranks.{mpi}"
        compiler = [f"mpicc.{mpi}", "-O1", "-Wall", "-Werror", "-o", str(built[mpi]), str(PROGRAMS / "ranks.c")]
        subprocess.run(compiler, check=True, timeout=120)
    return built


def wheel(folder: Path, *names: str) -> Path:
    """A virtual environment with these packages; returns its bin. They are real MPIs, newer than Debian's."""
    place = folder / names[0]
    venv.create(place, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--disable-pip-version-check", *names], check=True, timeout=300)
    return place / "bin"


def said(text: str) -> list[dict[str, Any]]:
    """What the ranks said, in the order of their numbers."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return sorted(lines, key=lambda line: int(line["rank"]))


@dataclass(frozen=True)
class Hosts:
    """Hosts by name, and what makes the launchers reach them."""

    group: HostGroup
    names: tuple[str, ...]
    agent: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **ENVIRONMENT,
            "OMPI_MCA_plm_rsh_agent": str(self.agent),
            "PRTE_MCA_plm_ssh_agent": str(self.agent),
            "HYDRA_LAUNCHER": "rsh",
            "HYDRA_LAUNCHER_EXEC": str(self.agent),
        }

    def on(self, name: str) -> list[str]:
        """The words before a command that is to run on that host."""
        holder = self.group.required(f"host-{name}")
        return ["nsenter", f"--target={holder.pid}", "--mount", "--uts", f"--wd={os.getcwd()}", "--"]


@contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    """So many hosts, node01 and on. Raises `packages.ManagerUnavailable` where there can be none."""
    require_namespaces()
    destroy_abandoned(_PREFIX)
    group = HostGroup(new_directory(_PREFIX))
    names = tuple(f"node{number:02d}" for number in range(1, count + 1))
    try:
        for folder in ("etc", "log", "run", "tmpfs"):
            (group.directory / folder).mkdir()
        known = "".join(f"127.0.92.{number} {name}\n" for number, name in enumerate(names, start=1))
        (group.directory / "etc" / "hosts").write_text(known + Path("/etc/hosts").read_text())
        group.start_hosts(names)
        agent = group.directory / "agent"
        lines = [f"{name}) pid={group.required(f'host-{name}').pid} ;;" for name in names]
        agent.write_text(
            "#!/bin/sh\n"
            "while :; do case $1 in -*) shift ;; *) break ;; esac; done\ncase $1 in\n"
            + "\n".join(lines)
            + '\n*) echo "no host $1" >&2; exit 255 ;;\nesac\nshift\n'
            'exec nsenter --target="$pid" --mount --uts -- sh -c "$*"\n'
        )
        agent.chmod(0o755)
        yield Hosts(group, names, agent)
    finally:
        group.destroy()
