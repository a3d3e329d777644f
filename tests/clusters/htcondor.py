"""HTCondor of Debian 13 and later, for the tests."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.clusters.hosts import ClusterError, comes_true
from tests.clusters.managed import Manager
from tests.clusters.processes import Process, every_process, spawn

PACKAGES = ("minicondor",)
_HOST = "head"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOG = Path("/var/log/condor")
#: One host that claims eight CPUs and two GPUs, and starts a job within two seconds. What it listens on is loopback.
_CONFIG = """
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
CONDOR_HOST = 127.0.0.1
TRUST_UID_DOMAIN = True
NUM_CPUS = 8
MEMORY = 16000
MACHINE_RESOURCE_GPUs = gpu0 gpu1
NUM_SLOTS = 1
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
# Without this the claim on what a large job had goes to a small one, which holds it all while others wait.
START = PartitionableSlot =?= True || (RequestCpus == Cpus && RequestMemory + 128 >= Memory && (RequestGPUs ?: 0) == (GPUs ?: 0))
SUSPEND = False
PREEMPT = False
KILL = False
NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
SCHEDD_INTERVAL_TIMESLICE = 1
JOB_START_DELAY = 0
PERIODIC_EXPR_INTERVAL = 5
UPDATE_INTERVAL = 5
# Else each job has a /tmp of its own, and the tests' folders lie there.
MOUNT_UNDER_SCRATCH =
# A machine whose disk is full, as seen from here, would take no job.
DISK = 100000000
MASTER_BACKOFF_CONSTANT = 1
MAX_JOBS_PER_OWNER = 5000
"""


class HTCondor(Manager):
    """One HTCondor whose only node is this host."""

    packages = PACKAGES
    requests = ("heal", "stop_master", "start_master", "pause_master", "resume_master", "kill_master")

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._master: Process | None = None
        self._off = False

    def start(self) -> None:
        # A name that is in no file is asked of a server that is not there, for minutes.
        Path("/etc/hosts").write_text(f"127.0.0.1 {_HOST} localhost\n")
        Path("/etc/resolv.conf").write_text("")
        subprocess.run(["hostname", _HOST], check=True)
        Path("/etc/condor/config.d/99-tests").write_text(_CONFIG)
        for place in ("/run/condor", "/run/lock/condor"):
            subprocess.run(["install", "-d", "-o", "condor", "-g", "condor", place], check=True)
        environment = {"PATH": _PATH, "LANG": "C.UTF-8"}
        self._master = spawn(["condor_master", "-f"], env=environment, output=self.directory / "condor_master.out")
        self._wait(_takes_jobs, 60.0, "HTCondor to take jobs")

    def stop(self) -> None:
        self.resume_master()
        if self._master is not None:
            self._master.signal(signal.SIGQUIT)
            comes_true(lambda: self._master is None or not self._master.alive, 10.0)

    def heal(self) -> None:
        """As in the base class. No job is left."""
        self.resume_master()
        if self._off:
            self.start_master()
        self._wait(_takes_jobs, 60.0, "HTCondor to take jobs again")
        _command("condor_rm", "-all")
        _command("condor_rm", "-all", "-forcex")  # one whose processes have not ended
        self._wait(lambda: not _command("condor_q", "-allusers", "-af", "ClusterId").split(), 30.0, "an empty queue")

    def stop_master(self) -> None:
        """The schedd ends in good order; what runs goes on under its shadows for as long as their leases last."""
        self._off = True
        _command("condor_off", "-fast", "-schedd")
        self._wait(lambda: not _processes("condor_schedd"), 30.0, "the schedd to end")

    def start_master(self) -> None:
        _command("condor_on", "-schedd")
        self._wait(_takes_jobs, 60.0, "the schedd to come back")
        self._off = False

    def kill_master(self) -> None:
        """The schedd dies, and condor_master starts another."""
        for process in _processes("condor_schedd"):
            process.signal(signal.SIGKILL)

    def pause_master(self) -> None:
        """It takes connections, and never answers."""
        for process in _processes("condor_schedd"):
            process.signal(signal.SIGSTOP)

    def resume_master(self) -> None:
        for process in _processes("condor_schedd"):
            process.signal(signal.SIGCONT)

    def _wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        if not comes_true(condition, seconds):
            raise ClusterError(f"waited {seconds:g} s in vain for {what}\n{_logs()}")


def _takes_jobs() -> bool:
    """Whether the schedd answers, and the negotiator has a host to give."""
    return (
        _run("condor_q", "-allusers").returncode == 0
        and _run("condor_status", "-af", "State").stdout.strip() != ""
        and _run("condor_status", "-negotiator", "-af", "Name").stdout.strip() != ""
    )


def _command(*argv: str) -> str:
    """Run a command of HTCondor's as root; what it printed, if it worked."""
    return _run(*argv).stdout


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def _processes(program: str) -> list[Process]:
    """The processes of this HTCondor that run that program: there are no others in this process tree."""
    return [process for process in every_process() if process.program == program]


def _logs(lines: int = 8) -> str:
    """The ends of the daemons' logs, for an error message."""
    tails = []
    for path in sorted(_LOG.glob("*Log")):
        tails += [f"--- {path}", *path.read_text(errors="replace").splitlines()[-lines:]]
    return "\n".join(tails)
