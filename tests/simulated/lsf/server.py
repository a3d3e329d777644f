"""LSF's queues, hosts and ids, and what it notes of starts and ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..manager import Manager, Refused
from ..state import JobData, root

VERSION = (
    "IBM Spectrum LSF Standard 10.1.0.12, Jun 10 2021\nCopyright International Business Machines Corp. 1992, 2016."
)
REASONS: Mapping[str, str] = {
    "walltime": "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
    "memory": "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
    "cancelled": "TERM_OWNER: job killed by owner",
    "dependency": "TERM_ORPHAN_SYSTEM: The orphan job was automatically terminated by LSF",
}


class LSF(Manager):
    """A cluster of four hosts with eight slots and two GPUs, and a launch node for jobs that ask for nodes."""

    name = "lsf"
    first_number = 101
    nodes = {f"node{number:02}": {"slots": 8, "gpus": 2, "mem": 16000} for number in (1, 2, 3, 4)}
    queues = {
        "normal": {"walltime": 3600, "default": True},
        "short": {"walltime": 60},
        "closed": {"closed": True},
        "night": {"started": False},
    }
    settings = {
        "clean_period_s": 3600.0,  # for so long bjobs shows ended jobs; bhist shows them for as long as `history` says
        "year": True,  # whether LSB_DISPLAY_YEAR is known
        "requeue_codes": [],  # exit codes with which a job is run again, as REQUEUE_EXIT_VALUES of its queue
    }
    QUEUED, HELD, RUNNING = "PEND", "PSUSP", "RUN"
    occupying = frozenset(("RUN", "USUSP", "SSUSP"))
    over = frozenset(("DONE", "EXIT"))
    version_option = "-V"
    broken_rc = 255

    def job_id(self, number: int, index: int | None = None, *, array: bool = False) -> str:
        return f"{number}" if index is None else f"{number}[{index}]"

    def find(self, state: dict[str, Any], text: str) -> JobData:
        if text not in state["jobs"]:
            raise Refused(255, f"Job <{text}>: No matching job found")
        job: JobData = state["jobs"][text]
        return job

    def changeable(self, command: str, job: JobData) -> None:
        if job["state"] in self.over:
            raise Refused(255, f"Job <{job['id']}>: Job has already finished")

    def reach(self, command: str) -> None:
        """As in the base class. Without LSB_NTRIES a command waits for a server that is down, for ever."""
        tries = int(os.environ.get("LSB_NTRIES", "0"))
        while self.control()["server"] == "down":
            sys.stderr.write("LSF is down. Please wait ...\n")
            sys.stderr.flush()
            if (tries := tries - 1) == 0:
                raise Refused(255, "")
            time.sleep(0.1)
        super().reach(command)

    def unreachable(self, command: str) -> Refused:
        return Refused(255, "LSF is down. Please wait ...")

    def complain(self, command: str, refused: Refused) -> None:
        sys.stderr.write(f"{refused.text}\n" if refused.text else "")

    def print_version(self, command: str) -> None:
        sys.stderr.write(f"{VERSION}\n")

    def accept(self, job: JobData) -> None:
        queue = job["queue"] or next(name for name, limits in self.queues.items() if limits.get("default"))
        if queue not in self.queues:
            raise Refused(255, f"{queue}: No such queue. Job not submitted.")
        limits = self.queues[queue]
        if limits.get("closed"):
            raise Refused(255, f"{queue}: Queue has been closed. Job not submitted.")
        if job["walltime"] > limits.get("walltime", 10**9):
            raise Refused(255, "RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.")
        if job["project"] == "none":
            raise Refused(255, "Project none is not valid. Request aborted by esub. Job not submitted.")
        job.update(queue=queue, default=not job["queue"])

    def settle(self, job: JobData) -> None:
        """A job that waits for others is pending, not held."""
        job["state"] = self.HELD if "u" in job["hold"] else self.QUEUED

    def ended(self, job: JobData, how: str, code: int | None) -> None:
        if code is not None and not how and code in {*self.control()["requeue_codes"], *job["requeue_codes"]}:
            job.update(hosts=[], session=0, started=0, ended=0)
            self.settle(job)
            return
        job["state"] = "DONE" if code == 0 and not how else "EXIT"
        job["exit"] = code if code is None or code >= 0 else 128 - code

    def follow(self, state: dict[str, Any], array: JobData, parts: Sequence[JobData]) -> None:
        super().follow(state, array, parts)
        if array["state"] in self.over:  # `done(ID)` asks for all of them
            codes = [part["exit"] for part in parts if part["state"] != "DONE"]
            array.update(state="EXIT" if codes else "DONE", exit=1 if codes else 0)

    def signals_to_end(self, how: str) -> Sequence[int]:
        gently = (signal.SIGUSR2,) if how == "walltime" else ()
        return (*gently, signal.SIGINT, signal.SIGTERM)

    def place_of(self, job: JobData, place: str) -> str:
        return place.replace("%J", str(job["number"])).replace("%I", str(job["index"] or 0))

    def limit_line(self, how: str, used: float, limit: int) -> str:
        return f"{REASONS[how]}.\n"

    def environment(self, job: JobData) -> dict[str, str]:
        """That of the shell which submitted it, and LSF's own."""
        hosts = [(host, job["chunk"]["slots"]) for host in job["hosts"]]
        launch = [("batch1", 1)] if job["csm"] else []
        hostfile = root() / "spool" / f"{job['id']}.hosts"
        hostfile.write_text("".join(f"{host}\n" * slots for host, slots in [*launch, *hosts]))
        own = {
            **job["variables"],
            **{name: text for name, text in self.base_environment(job).items() if name != "PATH"},
            "LSB_JOBID": str(job["number"]),
            "LSB_JOBINDEX": str(job["index"] or 0),
            "LSB_JOBNAME": job["name"],
            "LSB_QUEUE": job["queue"],
            "LSB_MCPU_HOSTS": " ".join(f"{host} {slots}" for host, slots in [*launch, *hosts]),
            "LSB_DJOB_HOSTFILE": str(hostfile),
            "LS_SUBCWD": job["directory"],
        }
        if job["csm"]:
            own["CSM_ALLOCATION_ID"] = "7"
        if job["starts"] > 1:
            own["LSB_RESTART"] = "Y"
        if gpus := job["chunk"].get("gpus"):
            own["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(gpus)))
        return own
