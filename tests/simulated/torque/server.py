"""Torque's queues, nodes and ids, and what it notes of starts and ends."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from typing import Any

from ..manager import Manager, Refused
from ..state import JobData, root

SERVER = "tq1"
VERSION = "Version: master\nCommit: 34ff845417cc0348dfe0a61a491e5e0f4adf6ef4"
STATUS = {"walltime": -11, "memory": -10}  # exit statuses that are Torque's own
_TERM = 271


class Torque(Manager):
    """A server with four nodes of eight cores and two GPUs. Unless a test says so, it keeps ended jobs."""

    name = "torque"
    server = SERVER
    first_number = 0
    nodes = {f"node{number:02}": {"cores": 8, "gpus": 2} for number in (1, 2, 3, 4)}
    queues = {
        "batch": {"walltime": 7200, "default_walltime": 3600, "nodect": 4},
        "short": {"walltime": 60},
        "closed": {"enabled": False},
        "stopped": {"started": False},
    }
    settings = {
        "repeated": False,  # qsub submits a second time, as it does by itself when the server does not answer in time
        "old_status": False,  # an end for the wall time is 271, as in older versions
    }
    occupying = frozenset("RE")
    broken_rc = 199

    def job_id(self, number: int, index: int | None = None, *, array: bool = False) -> str:
        element = "[]" if array else f"[{index}]" if index is not None else ""
        return f"{number}{element}.{SERVER}"

    def find(self, state: dict[str, Any], text: str) -> JobData:
        name = full_id(text)
        if name not in state["jobs"]:
            raise Refused(153, f"nonexistent job id: {text}")
        job: JobData = state["jobs"][name]
        return job

    def changeable(self, command: str, job: JobData) -> None:
        if job["state"] in self.over:
            raise Refused(170, f"Request invalid for state of job MSG=invalid state for job - COMPLETE {job['id']}")

    def unreachable(self, command: str) -> Refused:
        return Refused(111, f"cannot connect to server {SERVER} (errno=111) Connection refused")

    def print_version(self, command: str) -> None:
        os.write(2, f"{VERSION}\n".encode())

    def accept(self, job: JobData) -> None:
        job["queue"] = job["queue"] or "batch"
        if job["queue"] not in self.queues:
            raise Refused(172, "submit error (Unknown queue MSG=requested queue not found)")
        limits = self.queues[job["queue"]]
        if not limits.get("enabled", True):
            raise Refused(175, "submit error (Queue is not enabled)")
        job["walltime"] = job["walltime"] or limits.get("default_walltime", 0)
        if job["walltime"] > limits.get("walltime", 10**9):
            why = "cannot satisfy queue max walltime requirement"
            raise Refused(190, f"submit error (Job exceeds queue resource limits MSG={why})")
        most = self.nodes["node01"]
        if job["chunks"] > len(self.nodes) or any(job["chunk"].get(name, 0) > most[name] for name in most):
            why = "cannot locate feasible nodes (nodes file is empty, all systems are busy, or no nodes have the feature)"
            raise Refused(190, f"submit error (Job exceeds queue resource limits MSG={why})")
        job.update(comment="", exec_host="")

    def started(self, job: JobData) -> None:
        last = job["chunk"]["cores"] - 1
        job["exec_host"] = "+".join(f"{host}/0" + (f"-{last}" if last else "") for host in job["hosts"])

    def ended(self, job: JobData, how: str, code: int | None) -> None:
        status = code if code is None or code >= 0 else 256 - code
        status = STATUS.get(how, status)
        if how == "walltime" and self.control()["old_status"]:
            status = _TERM
        if how == "dependency":
            status = _TERM
            job["comment"] = f"Job deleted as result of dependency on job {job['depend'][0][1]}"
        job.update(state="C", exit=status)

    def follow(self, state: dict[str, Any], array: JobData, parts: Sequence[JobData]) -> None:
        """An array as a whole goes on being Q, as was seen, until all its elements have ended."""
        if all(part["state"] in self.over for part in parts):
            array.update(state="C", ended=time.time())

    def limit_line(self, how: str, used: float, limit: int) -> str:
        if how == "memory":
            return "=>> PBS: job killed: mem 425280kb exceeded limit 51200kb\n"
        return f"=>> PBS: job killed: walltime {int(used)} exceeded limit {limit}\n"

    def place_of(self, job: JobData, place: str) -> str:
        return place if job["index"] is None or place in ("", "/dev/null") else f"{place}-{job['index']}"

    def shell(self, job: JobData) -> tuple[list[str], str, bytes]:
        """A login shell that is given the script's name: so a script that was killed ends with 128 + n."""
        script = re.sub(r"([\[\]])", r"\\\1", job["script"])
        return ["-" + os.path.basename(job["shell"])], job["shell"], f"{script}\n".encode()

    def environment(self, job: JobData) -> dict[str, str]:
        """Next to nothing of who submitted it."""
        spool, cores, gpus = root() / "spool", job["chunk"]["cores"], job["chunk"].get("gpus", 0)
        nodefile, gpufile = spool / f"{job['id']}.nodes", spool / f"{job['id']}.gpus"
        nodefile.write_text("".join(f"{host}\n" * cores for host in job["hosts"]))
        gpufile.write_text("".join(f"{host}-gpu{gpu}\n" for host in job["hosts"] for gpu in range(gpus)))
        own = {
            **self.base_environment(job),
            "PBS_ENVIRONMENT": "PBS_BATCH",
            "PBS_JOBID": job["id"],
            "PBS_JOBNAME": job["name"],
            "PBS_JOBCOOKIE": "C0",
            "PBS_NODEFILE": str(nodefile),
            "PBS_GPUFILE": str(gpufile),
            "PBS_NODENUM": "0",
            "PBS_VNODENUM": "0",
            "PBS_TASKNUM": "1",
            "PBS_MOMPORT": "15003",
            "PBS_NP": str(cores * len(job["hosts"])),
            "PBS_NUM_NODES": str(len(job["hosts"])),
            "PBS_NUM_PPN": str(cores),
            "PBS_QUEUE": job["queue"],
            "PBS_VERSION": "TORQUE-master",
            "PBS_WALLTIME": str(job["walltime"]),
            **job["variables"],
        }
        if job["index"] is not None:
            own |= {"PBS_ARRAYID": str(job["index"]), "PBS_JOBNAME": f"{job['name']}-{job['index']}"}
        return own


def full_id(text: str) -> str:
    """`12`, `12.tq1` and `12.tq1.site.org` are 12.tq1. Raises `Refused` for what is no id."""
    number = text.partition(".")[0]
    if not re.fullmatch(r"\d+(\[\d*\])?", number):
        raise Refused(1, f"illegally formed job identifier: {text}")
    return f"{number}.{SERVER}"
