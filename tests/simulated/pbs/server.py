"""PBS's queues, nodes and ids, and what it notes of starts and ends."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from typing import Any

from ..manager import Manager, Refused
from ..state import JobData, root

SERVER = "head"
VERSION = "23.06.06"
STATUS = {"walltime": -29, "memory": -27}  # exit statuses that are PBS's own


class PBS(Manager):
    """A server with four nodes of eight CPUs and two GPUs."""

    name = "pbs"
    server = SERVER
    nodes = {f"node{number:02}": {"ncpus": 8, "ngpus": 2} for number in (1, 2, 3, 4)}
    queues = {
        "workq": {"walltime": 3600, "default_walltime": 600},
        "short": {"walltime": 60},
        "closed": {"enabled": False},
        "stopped": {"started": False},
        "small": {"nodect": 2, "walltime": 3600},
        "large": {"min_nodect": 3, "walltime": 7200},
        "route": {"destinations": ["small", "large"]},
    }
    settings = {
        "many_ids_s": 0.5,  # what each id above the 50th costs qstat without -E
        "groups": True,  # whether qstat knows -E
        "loops_at": 500,  # with so many ended elements in the newest job, an array, `qstat -t` without ids never ends
        "zero": False,  # every job that ends by itself ended with 0, as after `pbs_mom -p`
    }
    occupying = frozenset("RES")
    over = frozenset("FX")
    broken_rc = 167

    def job_id(self, number: int, index: int | None = None, *, array: bool = False) -> str:
        element = "[]" if array else f"[{index}]" if index is not None else ""
        return f"{number}{element}.{SERVER}"

    def find(self, state: dict[str, Any], text: str) -> JobData:
        name = full_id(text)
        if name is None:
            raise Refused(1, f"illegally formed job identifier: {text}")
        if name not in state["jobs"]:
            raise Refused(153, f"Unknown Job Id {name}")
        job: JobData = state["jobs"][name]
        return job

    def changeable(self, command: str, job: JobData) -> None:
        if job["state"] == "X" or (job["index"] is not None and job["state"] in self.over):
            raise Refused(168, f"Request invalid for state of job {job['id']}")
        if job["state"] in self.over:
            raise Refused(35, f"Job has finished {job['id']}" if command == "qdel" else "Job has finished")

    def unreachable(self, command: str) -> Refused:
        text = {
            "qdel": f"Couldn't connect to cluster: {SERVER}",
            "pbsnodes": f"pbsnodes: cannot connect to server {SERVER}, error=15010",
        }.get(command, f"{command}: cannot connect to server {SERVER} (errno=15010)")
        return Refused({"qstat": 255, "pbsnodes": 1}.get(command, 162), f"Connection refused\n{text}")

    def complain(self, command: str, refused: Refused) -> None:
        if refused.text.startswith("Connection refused"):  # the library says so, without the command's name
            os.write(2, f"{refused.text}\n".encode())
        else:
            super().complain(command, refused)

    def print_version(self, command: str) -> None:
        print(f"pbs_version = {VERSION}")

    def accept(self, job: JobData) -> None:
        asked = job["asked_queue"]
        queue = self._route(job) if "destinations" in self.queues.get(asked, {}) else asked
        if queue not in self.queues:
            raise (
                Refused(170, "Unknown queue") if queue else Refused(191, "Job rejected by all possible destinations")
            )
        limits = self.queues[queue]
        if not limits.get("enabled", True):
            raise Refused(173, "Queue is not enabled")
        job["walltime"] = job["walltime"] or limits.get("default_walltime", 0)
        if job["walltime"] > limits.get("walltime", 10**9):
            raise Refused(188, "Job violates queue and/or server resource limits")
        job.update(queue=queue, comment="", exec_host="", exec_vnode="")

    def _route(self, job: JobData) -> str:
        """The first queue behind a routing queue that would take the job."""
        for name in self.queues[job["asked_queue"]]["destinations"]:
            limits = self.queues[name]
            fits = limits.get("min_nodect", 0) <= job["chunks"] <= limits.get("nodect", 10**9)
            if fits and job["walltime"] <= limits.get("walltime", 10**9):
                return str(name)
        return ""

    def settle(self, job: JobData) -> None:
        super().settle(job)
        job["substate"] = 22 if "s" in job["hold"] and job["depend"] else 20 if job["hold"] else 10

    def blocked(self, job: JobData, *, ever: bool) -> None:
        job["comment"] = (
            "Not Running: Not enough free nodes available"
            if ever
            else "Can Never Run: Insufficient amount of resource: ncpus"
        )

    def started(self, job: JobData) -> None:
        cpus = job["chunk"].get("ncpus", 1)
        vnodes = "+".join(f"({host}:ncpus={cpus})" for host in job["hosts"])
        job.update(
            substate=41,
            exec_host="+".join(f"{host}/0" + (f"*{cpus}" if cpus > 1 else "") for host in job["hosts"]),
            exec_vnode=vnodes,
            comment=f"Job run at {time.strftime('%a %b %d at %H:%M')} on {vnodes}",
        )

    def ended(self, job: JobData, how: str, code: int | None) -> None:
        status = code if code is None or code >= 0 else 256 - code
        status = STATUS.get(how, status)
        if how == "" and self.control()["zero"]:
            status = 0
        words = {"walltime": "exceeded resource walltime", "memory": "exceeded resource mem"}.get(
            how, "finished" if status == 0 else "failed"
        )
        if how == "cancelled":
            words = "terminated" + (f" by {job['cancelled_by']}" if job["started"] else "")
        if how != "dependency":  # one that never can start is deleted, and shown without an exit status
            job["comment"] = f"{job['comment']} and {words}".removeprefix(" and ")
        job.update(
            state="X" if job["index"] is not None else "F",
            substate=91 if how == "cancelled" else 92 if status == 0 or how == "dependency" else 93,
            exit=status,
        )

    def follow(self, state: dict[str, Any], array: JobData, parts: Sequence[JobData]) -> None:
        if all(part["state"] in self.over for part in parts):
            codes = [part["exit"] or 0 for part in parts]
            array.update(state="F", substate=93 if any(codes) else 92, exit=int(any(codes)), ended=time.time())
            for part in parts:
                part["state"] = "F"
                if part["substate"] == 91:  # seen: of an element that was deleted, PBS keeps nothing of its own
                    part.update(exec_host="", exit=array["exit"], comment="Subjob finished")
        elif any(part["state"] in "REX" for part in parts):
            array.update(state="B", substate=70, comment=f"Job Array Began at {time.strftime('%a %b %d at %H:%M')}")

    def limit_line(self, how: str, used: float, limit: int) -> str:
        if how == "memory":
            return "=>> PBS: job killed: mem 425280kb exceeded limit 51200kb\n"
        return f"=>> PBS: job killed: walltime {int(used)} exceeded limit {limit}\n"

    def shell(self, job: JobData) -> tuple[list[str], str, bytes]:
        """A login shell that is given the script's name."""
        script = re.sub(r"([\[\]])", r"\\\1", job["script"])
        return ["-" + os.path.basename(job["shell"])], job["shell"], f"{script}\n".encode()

    def environment(self, job: JobData) -> dict[str, str]:
        """Next to nothing of who submitted it."""
        spool = root() / "spool"
        nodefile, temporary = spool / f"{job['id']}.nodes", spool / f"tmp.{job['id']}"
        nodefile.write_text("".join(f"{host}\n" * job["chunk"].get("mpiprocs", 1) for host in job["hosts"]))
        temporary.mkdir(exist_ok=True)
        threads = str(job["chunk"].get("ompthreads", job["chunk"].get("ncpus", 1)))
        own = {
            **self.base_environment(job),
            "TMPDIR": str(temporary),
            "ENVIRONMENT": "BATCH",
            "NCPUS": threads,
            "OMP_NUM_THREADS": threads,
            "PBS_ENVIRONMENT": "PBS_BATCH",
            "PBS_JOBID": job["id"],
            "PBS_JOBDIR": job["home"],
            "PBS_JOBNAME": job["name"],
            "PBS_NODEFILE": str(nodefile),
            "PBS_NODENUM": "0",
            "PBS_TASKNUM": "1",
            "PBS_QUEUE": job["queue"],
            "PBS_O_QUEUE": job["asked_queue"],
            "PBS_MOMPORT": "15003",
            "PBS_JOBCOOKIE": "C0",
            **job["variables"],
        }
        if job["index"] is not None:
            own |= {"PBS_ARRAY_INDEX": str(job["index"]), "PBS_ARRAY_ID": self.job_id(job["number"], array=True)}
        return own

    def place_of(self, job: JobData, place: str) -> str:
        """Where an output goes."""
        return place.replace("^array_index^", "" if job["index"] is None else str(job["index"]))


def full_id(text: str) -> str | None:
    """`12` and `12.head` are 12.head; None for what is no id."""
    number, dot, rest = text.partition(".")
    digits = number.partition("[")[0]
    rest = rest.rstrip(".")
    if rest.startswith(f"{SERVER}."):  # with its domain
        rest = SERVER
    if not digits.isdigit() or (dot and rest != SERVER):
        return None if not digits.isdigit() else f"{number}.{rest}"
    return f"{number}.{SERVER}"


def date(seconds: float | None = None) -> str:
    return time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(seconds))
