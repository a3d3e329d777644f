"""One turn of a simulated scheduler: frees what waits for others, starts what fits, forgets what is over."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .state import JobData

if TYPE_CHECKING:
    from .manager import Manager


def turn(manager: Manager, state: dict[str, Any]) -> None:
    settings = manager.control()
    for job_id, job in list(state["jobs"].items()):
        if job["queue"] in settings["vanish"] and job["state"] not in manager.over:
            del state["jobs"][job_id]
    for job in list(state["jobs"].values()):
        if job.get("cancelled_later") and not set(job["hosts"]) & set(settings["down_nodes"]):
            job["cancelled_by"] = job.pop("cancelled_later")
        if "s" in job["hold"] and job["depend"] and job["index"] is None and job["state"] not in manager.over:
            manager.depend(state, job)  # of an array, one element may run while others wait
    for job in list(state["jobs"].values()):
        if job["state"] == manager.QUEUED and not job["hold"] and not job["array"]:
            start(manager, state, job, settings)
    for job in list(state["jobs"].values()):
        if job["array"] and job["state"] not in manager.over:
            manager.follow(state, job, manager.elements(state, job))
    forget(manager, state, settings["history"])


def forget(manager: Manager, state: dict[str, Any], history: bool | float) -> None:
    """Drop ended jobs; an array's elements with the array."""
    if history is True:
        return
    before = time.time() - float(history)
    for job_id, job in list(state["jobs"].items()):
        array = job if job["index"] is None else state["jobs"].get(manager.job_id(job["number"], array=True), job)
        if array["state"] in manager.over and array["ended"] <= before:
            del state["jobs"][job_id]


def depend(manager: Manager, state: dict[str, Any], job: JobData) -> None:
    """Free a job whose dependencies are met; end one that never can start."""
    if job["depend"][0][0] == "aftercorr":
        depend_by_element(manager, state, job, job["depend"][0][1])
        return
    met = True
    for kind, other_id in job["depend"]:
        other = state["jobs"].get(other_id)
        over = other is not None and other["state"] in manager.over
        parts = manager.elements(state, other) if other is not None else []
        good = over and all(part["how"] == "" and part["exit"] == 0 for part in parts)
        if kind == "afterany":
            met = met and over
        elif kind == "after":
            met = met and other is not None and (over or all(part["started"] for part in parts))
        elif other is None or (over and good != (kind == "afterok")):
            for part in manager.elements(state, job):
                manager.end(part, "dependency", None)
            if job["array"]:
                manager.end(job, "dependency", None)
            return
        else:
            met = met and over
    if met:
        for part in dict.fromkeys((job["id"], *(part["id"] for part in manager.elements(state, job)))):
            manager.release(state["jobs"][part], "s")


def depend_by_element(manager: Manager, state: dict[str, Any], job: JobData, other_id: str) -> None:
    """The same, of each element of an array after that with the same index of another one."""
    before = {part["index"]: part for part in manager.elements(state, state["jobs"][other_id])}
    waiting = [part for part in manager.elements(state, job) if "s" in part["hold"]]
    for part in waiting:
        first = before[part["index"]]
        if first["state"] not in manager.over:
            continue
        if first["how"] == "" and first["exit"] == 0:
            manager.release(part, "s")
        else:
            manager.end(part, "dependency", None)
    if not any("s" in part["hold"] and part["state"] not in manager.over for part in waiting):
        manager.release(job, "s")


def start(manager: Manager, state: dict[str, Any], job: JobData, settings: dict[str, Any]) -> None:
    """Start it if there is room for it."""
    if not manager.queues.get(job["queue"], {}).get("started", True):
        return
    jobs = state["jobs"].values()
    busy = [other for other in jobs if other["state"] in manager.occupying and not other["array"]]
    if job["slots"] and sum(other["number"] == job["number"] for other in busy) >= job["slots"]:
        return
    free = {host: dict(has) for host, has in manager.nodes.items() if host not in settings["down_nodes"]}
    for other in busy:
        for host in other["hosts"]:
            for name in free.get(host, ()):
                free[host][name] -= other["chunk"].get(name, 0)
    hosts = place(job, free)
    if hosts is None:
        manager.blocked(job, ever=place(job, {host: dict(has) for host, has in manager.nodes.items()}) is not None)
        return
    job.update(state=manager.RUNNING, hosts=hosts, starts=job["starts"] + 1, started=time.time())
    manager.started(job)
    subprocess.Popen(
        [sys.executable, "-S", "-E", str(Path(__file__).parent), manager.name, "supervise", job["id"]],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def place(job: JobData, free: dict[str, dict[str, int]]) -> list[str] | None:
    """A host for each chunk; with `scatter`, all different. None if there is no room."""
    hosts: list[str] = []
    for _ in range(job["chunks"]):
        fits = (h for h, has in free.items() if all(job["chunk"].get(n, 0) <= most for n, most in has.items()))
        host = next((h for h in fits if h not in hosts or not job["scatter"]), None)
        if host is None:
            return None
        hosts.append(host)
        for name in free[host]:
            free[host][name] -= job["chunk"].get(name, 0)
    return hosts
