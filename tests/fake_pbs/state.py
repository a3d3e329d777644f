"""The server's memory: one JSON file under a lock. Standard library alone: every command starts with it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVER = "head"
VERSION = "23.06.06"
JobData = dict[str, Any]

#: What a test may set; see `FakePBS.control`.
CONTROL: dict[str, Any] = {
    "server": "up",  # down: connections are refused; hung: requests wait, and are served when it is up again
    "history": True,
    "kill_delay": 1.0,  # between TERM and KILL
    "down_nodes": [],
    "truncate": 0,  # bytes of qstat's answer; 0: all of it
    "state": {},  # job id -> the letter that is told instead of its state
    "spoil": {},  # job id -> text in its JSON that is none
    "vanish": [],  # queues whose jobs are gone for good a moment after they were taken
    "many_ids_s": 0.5,  # what each id above the 50th costs qstat without -E
    "groups": True,  # whether qstat knows -E
    "loops_at": 500,  # with so many ended elements in the newest job, an array, `qstat -t` without ids never ends
    "answer": "{id}",  # what qsub prints
    "broken": "",  # what qsub says, with rc 167, in place of the id of the job that it has submitted
    "zero": False,  # every job that ends by itself ended with 0, as after `pbs_mom -p`
    "over_memory": [],  # jobs that are found to have more memory than they asked for
}
QUEUES: dict[str, dict[str, Any]] = {
    "workq": {"walltime": 3600, "default_walltime": 600},
    "short": {"walltime": 60},
    "closed": {"enabled": False},
    "stopped": {"started": False},
    "small": {"nodect": 2, "walltime": 3600},
    "large": {"min_nodect": 3, "walltime": 7200},
    "route": {"destinations": ["small", "large"]},
}
NODES = {f"node{number:02}": {"ncpus": 8, "ngpus": 2} for number in (1, 2, 3, 4)}
RESOURCES = frozenset(
    (
        "ncpus",
        "mpiprocs",
        "ompthreads",
        "ngpus",
        "mem",
        "walltime",
        "select",
        "place",
        "nodes",
        "filesystems",
        "host",
        "system",
        "software",
        "cput",
        "vmem",
        "arch",
    )
)


def root() -> Path:
    return Path(os.environ["FAKE_PBS"])


def control() -> dict[str, Any]:
    try:
        return {**CONTROL, **json.loads((root() / "control.json").read_text())}
    except FileNotFoundError:
        return dict(CONTROL)


@contextmanager
def locked(folder: Path | None = None) -> Iterator[dict[str, Any]]:
    """The state, for reading and changing; it is written back if the block ends well."""
    folder = folder or root()
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / "state.json"
        state = json.loads(path.read_text()) if path.exists() else {"next": 1, "jobs": {}}
        yield state
        path.with_suffix(".new").write_text(json.dumps(state))
        path.with_suffix(".new").replace(path)


def job_id(seq: int, index: int | str | None = None) -> str:
    return f"{seq}.{SERVER}" if index is None else f"{seq}[{index}].{SERVER}"


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


def elements(state: dict[str, Any], job: JobData) -> list[JobData]:
    """The jobs that stand for it: an array's elements, else itself."""
    if not job["array"]:
        return [job]
    return [state["jobs"][f"{job['seq']}[{index}].{SERVER}"] for index in job["array"]]


def finished(job: JobData) -> bool:
    return job["state"] in "FX"
