"""The commands' words and exit codes; each is as recorded, or as seen on an instance of the same version."""

from __future__ import annotations

import getopt
import json
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from ..manager import Refused
from ..state import JobData, locked, user
from .instance import Flux, decoded, encoded, shown
from .script import read

manager = Flux()
Command = Callable[[list[str]], int]


def flux(words: list[str]) -> int:
    """`flux COMMAND WORDS...`."""
    name = words[0] if words else ""
    if name not in COMMANDS:
        sys.stderr.write(f"flux: `{name}' is not a flux command.  See 'flux --help'\n")
        return 1
    manager.label = "flux-job: " if name == "job" else f"flux-{name}: ERROR: "
    return COMMANDS[name](words[1:])


def batch(words: list[str]) -> int:
    job = read(words)
    for kind, job_id in job["depend"]:
        check_dependency(kind, job_id)
    job["depend"] = [[kind, f"f{encoded(decoded(job_id) or 0)}"] for kind, job_id in job["depend"]]
    manager.print_id(shown(manager.submit("batch", job)["id"]))
    return 0


def check_dependency(kind: str, job_id: str) -> None:
    """Raise `Refused` for a predecessor that is unknown, or has ended otherwise than it should."""
    if decoded(job_id) is None:
        raise Refused(1, f'dependency: {kind}: "{job_id}" is not a valid jobid')
    with locked() as state:
        try:
            other = manager.find(state, job_id)
        except Refused:
            raise Refused(1, f"dependency: {kind}: id {job_id}: job not found") from None
        good = other["state"] == "COMPLETED"
        if other["state"] in manager.over and kind in ("afterok", "afternotok") and good != (kind == "afterok"):
            how = "failed or was canceled" if kind == "afterok" else "succeeded"
            raise Refused(1, f"dependency: {kind}: job {shown(other['id'])} {how}")


# ---- flux jobs -------------------------------------------------------------------------------------------------


def jobs(words: list[str]) -> int:
    options, ids = getopt.gnu_getopt(words, "ac:", ["json", "since=", "count="])
    for text in ids:
        if decoded(text) is None:
            sys.stderr.write(
                f"usage: flux-jobs [-h] ...\nflux-jobs: error: argument JOBID: invalid JobID value: '{text}'\n"
            )
            return 2
    manager.reach("jobs")
    listed = dict(options)
    with locked() as state:
        if ids:
            found = [job for text in ids if (job := known(state, text)) is not None]
        else:
            since = moment(listed["--since"]) if "--since" in listed else 0.0
            every = "-a" in listed or "--since" in listed
            found = [
                job
                for job in state["jobs"].values()
                if job["state"] not in manager.over or (every and job["ended"] > since)
            ]
    if ids and not found:
        return 1
    if "--json" not in listed:
        for job in found:
            print(f"{shown(job['id']):>12} {job['queue']:<8} {user():<8} {job['name']:<10.10} {job['state']}")
        return 0
    settings = manager.control()
    records: list[Any] = [record(job, settings) for job in found]
    for place, job in enumerate(found):
        if job["id"] in settings["spoil"]:
            records[place] = settings["spoil"][job["id"]]
    manager.answer(json.dumps(records[0] if len(ids) == 1 else {"jobs": records}) + "\n")
    return 0


def known(state: dict[str, Any], text: str) -> JobData | None:
    """A job by its id; None for an unknown one, of which it tells."""
    try:
        return manager.find(state, text)
    except Refused:
        sys.stderr.write(f"JobID {text} unknown\n")
        return None


def moment(text: str) -> float:
    """`-10m`: so long ago."""
    match = re.fullmatch(r"-(\d+)([smhd])", text)
    if match is None:
        raise Refused(1, f'Invalid datetime: "{text}"')
    if seconds := manager.control()["since_s"]:
        return time.time() - float(seconds)
    return time.time() - int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def record(job: JobData, settings: dict[str, Any]) -> dict[str, Any]:
    """A job as `flux jobs --json` has it: without what is empty."""
    over = job["state"] in manager.over
    status = settings["state"].get(job["id"], job["state"])
    began = job["started"]
    code = job["exit"] if job["exit"] is not None else -128 if job["state"] == "CANCELED" else 1
    fields = {
        "t_depend": job["submitted"],
        "t_run": began,
        "t_cleanup": job["ended"],
        "t_inactive": job["ended"],
        "duration": float(job["walltime"]),
        "expiration": began + job["walltime"] if began else 0,
        "name": job["name"],
        "cwd": job["directory"],
        "queue": job["queue"],
        "bank": job["project"],
        "ntasks": job["chunks"],
        "nnodes": len(job["hosts"]) or "",
        "nodelist": hostlist(job["hosts"]),
        "success": job["state"] == "COMPLETED" if over else "",
        "result": job["state"] if over else "",
        "waitstatus": job["exit"] << 8 if over and job["exit"] is not None else "",
    }
    return {
        **{name: value for name, value in fields.items() if value != "" and value != 0},
        "id": decoded(job["id"]),
        "t_submit": job["submitted"],
        "state": "INACTIVE" if over else job["state"],
        "username": user(),
        "userid": os.geteuid(),
        "urgency": 0 if "u" in job["hold"] else 16,
        "priority": 0 if "u" in job["hold"] else 16,
        "status": status,
        **({"returncode": code} if over else {}),
        "dependencies": [f"{kind}={shown(other)}" for kind, other in job["depend"]],
        "jobid": f"ƒ{job['id'][1:]}",
        "annotations": {},
        "exception": job["exception"] or {"occurred": False},
    }


def hostlist(hosts: list[str]) -> str:
    """`node[01-02]`, or `node01`."""
    numbers = [host.removeprefix("node") for host in hosts]
    if len(numbers) < 2:
        return "".join(hosts)
    return (
        f"node[{numbers[0]}-{numbers[-1]}]"
        if len(set(numbers)) == int(numbers[-1]) - int(numbers[0]) + 1
        else (f"node[{','.join(numbers)}]")
    )


# ---- changes ---------------------------------------------------------------------------------------------------


def cancel(words: list[str]) -> int:
    return manager.for_each("cancel", words, lambda state, job: manager.cancel(job))


def of_job(words: list[str]) -> int:
    """`flux job urgency ID LEVEL`."""
    if words[:1] != ["urgency"] or len(words) != 3:
        raise Refused(1, "unknown command")

    def change(state: dict[str, Any], job: JobData) -> None:
        if job["state"] == manager.RUNNING:
            raise Refused(1, f"{shown(job['id'])}: urgency cannot be changed once resources are allocated")
        if words[2] == "hold":
            manager.hold(job)
        else:
            manager.release(job)

    return manager.for_each("job", [words[1]], change)


def update(words: list[str]) -> int:
    job_id, change = words
    seconds = int(change.removeprefix("duration=").removesuffix("m")) * 60

    def alter(state: dict[str, Any], job: JobData) -> None:
        if seconds > manager.queues[job["queue"]]["duration"]:
            raise Refused(1, "requested duration exceeds policy limit")
        job["walltime"] = seconds

    return manager.for_each("update", [job_id], alter)


# ---- questions -------------------------------------------------------------------------------------------------


def queue(words: list[str]) -> int:
    """`flux queue list -n -o COLUMNS`."""
    options, _ = getopt.gnu_getopt(words[1:], "no:")
    columns = re.findall(r"\{([\w.]+)\}", dict(options)["-o"])
    manager.reach("queue")
    for name, limits in manager.queues.items():
        shown_as = {
            "queue": name,
            "queuem": f"{name}*" if name == "batch" else name,
            "enabled": "✔" if limits.get("enabled", True) else "✗",
            "started": "✔" if limits.get("started", True) else "✗",
            "limits.min.nnodes": 0,
            "limits.max.nnodes": limits.get("nnodes", "inf"),
            "limits.timelimit": float(limits["duration"]),
        }
        print("|".join(str(shown_as[column]) for column in columns))
    return 0


def own_job() -> JobData:
    """The job whose instance FLUX_URI names. Raises `Refused`."""
    match = re.fullmatch(r"local:///simulated/(\w+)/local-0", os.environ.get("FLUX_URI", ""))
    with locked() as state:
        return manager.find(state, match[1] if match else "f1")


def resource(words: list[str]) -> int:
    """`flux resource list`, inside a job: its nodes."""
    print(hostlist(own_job()["hosts"]))
    return 0


def expand(words: list[str]) -> int:
    """`flux hostlist --expand -`."""
    names = sys.stdin.read().strip()
    match = re.fullmatch(r"node\[(.*)\]", names)
    numbers = []
    for part in match[1].split(",") if match else []:
        first, _, last = part.partition("-")
        numbers += [f"node{number:02}" for number in range(int(first), int(last or first) + 1)]
    print(" ".join(numbers or [names]))
    return 0


def attribute(words: list[str]) -> int:
    if words == ["jobid"]:
        print(f"ƒ{own_job()['id'][1:]}")
        return 0
    manager.reach("getattr")
    print(len(manager.nodes))
    return 0


COMMANDS: dict[str, Command] = {
    "batch": batch,
    "jobs": jobs,
    "cancel": cancel,
    "job": of_job,
    "update": update,
    "queue": queue,
    "resource": resource,
    "hostlist": expand,
    "getattr": attribute,
}
manager.commands = {"flux": flux}
