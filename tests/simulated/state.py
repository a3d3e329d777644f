"""The server's memory: one JSON file under a lock. Standard library alone: every command starts with it."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

JobData = dict[str, Any]

#: What a test may set with `Simulated.control`, of any manager; a manager may have further settings.
CONTROL: dict[str, Any] = {
    # down: connections are refused; hung: requests wait, and are served when it is up again; deaf: those of clients that
    # are gone by then are lost
    "server": "up",
    "history": True,  # ended jobs are known for ever; False: not at all; a number: for so many seconds
    "kill_delay": 1.0,  # seconds between TERM and KILL
    "down_nodes": [],
    "truncate": 0,  # bytes of a query's answer; 0: all of it
    "state": {},  # job id -> the word that is shown in place of its state
    "spoil": {},  # job id -> text that spoils its record
    "vanish": [],  # queues whose jobs are gone for good a moment after they were accepted
    "answer": "{id}",  # what the submit command prints; {id} is its usual text
    "broken": "",  # what it prints as an error in place of the id of the job that it has submitted
    "over_memory": [],  # jobs that use more memory than they asked for
}


def root() -> Path:
    return Path(os.environ["SIMULATED_ROOT"])


@contextmanager
def locked(folder: Path | None = None) -> Iterator[dict[str, Any]]:
    """The state, for reading and changing; it is written back if the block ends without an error."""
    folder = folder or root()
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / "state.json"
        state = json.loads(path.read_text())
        yield state
        path.with_suffix(".new").write_text(json.dumps(state))
        path.with_suffix(".new").replace(path)


def user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def request(text: str, name: str) -> JobData:
    """A request for a job with this script, with defaults for all else."""
    home = os.environ["SIMULATED_HOME"]
    return {
        "name": name,
        "text": text,
        "owner": user(),
        "home": home,
        "directory": home,  # where the script starts
        "queue": "",
        "project": "",
        "hold": "",
        "depend": [],  # [kind, id]: after, afterok, afternotok or afterany
        "array": [],  # the indices of its elements
        "slots": 0,  # how many elements may run at a time; 0: all
        "chunks": 1,  # nodes, or parts of nodes
        "chunk": {},  # resource -> amount in each of them
        "scatter": False,  # each chunk on a node of its own
        "walltime": 0,  # seconds; 0: no limit
        "output": "",
        "error": "",
        "join": False,  # errors go to the output
        "shell": "/bin/bash",
        "umask": "",
        "variables": {},
    }
