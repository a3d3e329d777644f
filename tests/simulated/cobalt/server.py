"""Cobalt's nodes, queues and states, and what it writes into a job's log."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ..manager import Manager, Refused
from ..state import JobData, root

VERSION = "1.0.33"
WAITING = frozenset(("queued", "user_hold", "dep_hold", "dep_fail"))


class Cobalt(Manager):
    """A Cray of eight nodes, which are given whole; with the setting `nodefile`, a cluster."""

    name = "cobalt"
    nodes = {f"nid{number:05}": {"whole": 1} for number in range(1, 9)}
    queues = {
        "default": {"maxtime": 360},
        "short": {"maxtime": 60},
        "closed": {"state": "draining"},
        "stopped": {"started": False, "state": "stopped"},
    }
    settings = {
        "history": False,  # it has none
        "nodefile": False,  # whether the nodes' names are in a file, as on a cluster
    }
    QUEUED, HELD, RUNNING = "queued", "user_hold", "running"
    occupying = frozenset(("running", "killing"))
    over = frozenset(("done",))
    spools = False

    def job_id(self, number: int, index: int | None = None, *, array: bool = False) -> str:
        return str(number)

    def find(self, state: dict[str, Any], text: str) -> JobData:
        if text not in state["jobs"]:
            raise Refused(1, f"job {text} not found")
        job: JobData = state["jobs"][text]
        return job

    def unreachable(self, command: str) -> Refused:
        return Refused(
            1, "component error: Failed to connect to queue-manager: client_utils.py:L#213:cn:queue-manager\n"
        )

    def complain(self, command: str, refused: Refused) -> None:
        os.write(2, f"{refused.text}\n".encode())

    def print_version(self, command: str) -> None:
        print(f'version: "{command}.py " + $Revision: 559 $ + , Cobalt  + {VERSION}')

    def accept(self, job: JobData) -> None:
        queue = self.queues.get(job["queue"])
        if queue is None:
            raise fault(f"trying to add job to non-existent queue '{job['queue']}'")
        if queue.get("state") == "draining":
            raise fault(f"The '{job['queue']}' queue is draining")
        if job["walltime"] > 60 * queue.get("maxtime", 10**6):
            longest = "{:02}:{:02}:00".format(*divmod(queue["maxtime"], 60))
            raise fault(f"Walltime greater than the '{job['queue']}' queue max walltime of {longest}\n")

    def settle(self, job: JobData) -> None:
        waiting = "dep_fail" if job.get("dep_failed") else "dep_hold"
        job["state"] = "user_hold" if "u" in job["hold"] else waiting if "s" in job["hold"] else "queued"

    def waits(self, job: JobData) -> bool:
        return job["state"] in WAITING

    def depend(self, state: dict[str, Any], job: JobData) -> None:
        """A job that ends with 0 satisfies those that are in dep_hold just then; one that is gone never will."""
        satisfied = job.setdefault("satisfied", [])
        for _, other_id in job["depend"]:
            other = state["jobs"].get(other_id)
            if (
                other is not None
                and other["state"] in self.over
                and other["exit"] == 0
                and job["state"] == "dep_hold"
            ):
                satisfied.append(other_id)
        pending = [other_id for _, other_id in job["depend"] if other_id not in satisfied]
        job["dep_failed"] = any(other_id not in state["jobs"] for other_id in pending)
        if pending:
            self.settle(job)
        else:
            self.release(job, "s")

    def cancel(self, job: JobData, by: str = "user") -> None:
        if self.waits(job):
            note(job, "user delete requested; removing job from the queue")
        elif job["state"] == "running":
            note(job, f"user delete requested with signal SIGTERM by user {by}")
            job["state"] = "killing"
        super().cancel(job, by)

    def ended(self, job: JobData, how: str, code: int | None) -> None:
        job.update(state="done", exit=code if code is None or code >= 0 else 128 - code)
        if how == "" and code is not None:
            text = f"task completed normally with an exit code of {job['exit']}; initiating job cleanup and removal"
            note(job, text)

    def limit_line(self, how: str, used: float, limit: int) -> str:
        return line("maximum execution time exceeded; initiating job termination")

    def shell(self, job: JobData) -> tuple[list[str], str, bytes]:
        """A login shell that becomes the script, which lies where it was when it was submitted."""
        return ["-", "-c", f"exec '{job['command']}'"], "/bin/bash", b""

    def environment(self, job: JobData) -> dict[str, str]:
        own = self.base_environment(job)
        del own["PATH"]
        own |= job["variables"]
        own |= {
            "COBALT_JOBID": job["id"],
            "COBALT_PARTNAME": location(job["hosts"]),
            "COBALT_PARTSIZE": str(job["chunks"]),
            "COBALT_JOBSIZE": str(job["procs"]),
            "COBALT_QUEUE": job["queue"],
            "COBALT_PROJECT": str(job["project"] or None),
            "COBALT_STARTTIME": str(int(job["started"])),
            "COBALT_ENDTIME": str(int(job["started"]) + job["walltime"]),
        }
        if self.control()["nodefile"]:
            nodefile = root() / "spool" / f"cobalt.{job['id']}"
            nodefile.write_text("".join(f"{host}\n" for host in job["hosts"]))
            own["COBALT_NODEFILE"] = str(nodefile)
        return own


def fault(text: str) -> Refused:
    """What qsub prints of a refusal by the queue manager."""
    return Refused(1, f"<Fault 1001: {text!r}>")


def location(hosts: list[str]) -> str:
    """The numbers of Cray's nodes, as Cobalt writes them: 1-3,7."""
    runs: list[list[int]] = []
    for number in sorted(int(host.removeprefix("nid")) for host in hosts):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if first != last else str(first) for first, last in runs)


def date(seconds: float) -> str:
    """A time as all of Cobalt's commands write it."""
    return time.strftime("%a %b %d %H:%M:%S %Y +0000 (UTC)", time.gmtime(seconds))


def line(text: str) -> str:
    return f"{date(time.time())} Info: {text}\n"


def note(job: JobData, text: str) -> None:
    """Write into the job's log, which qsub has made: Cobalt makes none."""
    path = Path(job["log"])
    if path.exists():
        with path.open("a") as log:
            log.write(line(text))
