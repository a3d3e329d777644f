"""The commands' words and exit codes, as documented."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from ..manager import Refused
from ..state import JobData, locked
from ..supervisor import to_session
from . import shown
from .script import read
from .server import LSF, VERSION

manager = LSF()


def bsub(words: list[str]) -> int:
    job = manager.submit("bsub", read(words))
    default = "default " if job["default"] else ""
    manager.print_id(f"Job <{job['number']}> is submitted to {default}queue <{job['queue']}>.")
    return 0


def _asked(words: list[str], state: dict[str, Any], ids: list[str]) -> tuple[list[JobData], list[str]]:
    """The jobs and elements that are asked for, and the ids that are unknown; arrays are never shown as a whole."""
    settings = manager.control()
    before = time.time() - settings["clean_period_s"]
    known = [
        job
        for job in state["jobs"].values()
        if not job["array"]
        and (
            words[0] == "bhist"
            or job["state"] not in manager.over
            or (("-a" in words or ids) and job["ended"] > before)
        )
    ]
    if not ids:
        return known, []
    found = [job for job in known if job["id"] in ids or str(job["number"]) in ids]
    names = {name for job in found for name in (job["id"], str(job["number"]))}
    return found, [name for name in ids if name not in names]


def bjobs(words: list[str]) -> int:
    given = words[words.index("-o") + 1]
    names = re.sub(r"delimiter='.'", "", given).split()
    delimiter = re.findall(r"delimiter='(.)'", given)[0]
    ids = [word for word in words if word[:1].isdigit()]
    manager.reach("bjobs")
    with locked() as state:
        found, unknown = _asked(["bjobs", *words], state, ids)
    if found:
        manager.answer(shown.table(found, names, delimiter, manager.control()))
    elif not ids:
        sys.stderr.write("No job found\n")
    for name in unknown:
        sys.stderr.write(f"Job <{name}> is not found\n")
    return 255 if unknown or not found else 0


def bhist(words: list[str]) -> int:
    ids = words[3:]  # -l -n N
    manager.reach("bhist")
    with locked() as state:
        found, _ = _asked(["bhist"], state, ids)
    if not found:
        raise Refused(255, "No matching job found")
    manager.answer("-----\n".join(shown.history(job, manager.control()) for job in found))
    return 0


def _each(command: str, ids: list[str], act: Callable[[JobData], str]) -> int:
    """Do something to each job, and print what it says."""

    def acted(state: dict[str, Any], job: JobData) -> None:
        print(f"Job <{job['id']}> is being {act(job)}")

    return manager.for_each(command, ids, acted)


def bkill(words: list[str]) -> int:
    if words[0] == "-s":
        number = getattr(signal, f"SIG{words[1].removeprefix('SIG')}")

        def send(job: JobData) -> str:
            if not job["session"]:
                raise Refused(255, f"Job <{job['id']}>: Job has not started yet")
            manager.signal(job, number)
            return "signaled"

        return _each("bkill", words[2:], send)

    def kill(job: JobData) -> str:
        if not set(job["hosts"]) & set(manager.control()["down_nodes"]):
            manager.cancel(job)
        else:
            job["state"] = "ZOMBI"
        return "terminated"

    return _each("bkill", words, kill)


def bstop(words: list[str]) -> int:
    def stop(job: JobData) -> str:
        if manager.waits(job):
            manager.hold(job)
        else:
            to_session(job["session"], signal.SIGSTOP)
            job["state"] = "USUSP"
        return "stopped"

    return _each("bstop", words, stop)


def bresume(words: list[str]) -> int:
    def resume(job: JobData) -> str:
        if manager.waits(job):
            manager.release(job)
        else:
            to_session(job["session"], signal.SIGCONT)
            job["state"] = "RUN"
        return "resumed"

    return _each("bresume", words, resume)


def bmod(words: list[str]) -> int:
    minutes = int(words[1])

    def modify(state: dict[str, Any], job: JobData) -> None:
        if minutes * 60 > manager.queues[job["queue"]].get("walltime", 10**9):
            raise Refused(255, "RUNLIMIT: Cannot exceed queue's hard limit(s). Job not modified.")
        job["walltime"] = minutes * 60
        print(f"Parameters of job <{job['id']}> are being changed")

    return manager.for_each("bmod", words[2:], modify)


def brequeue(words: list[str]) -> int:
    def again(job: JobData) -> str:
        if job["state"] != "RUN":
            raise Refused(255, f"Job <{job['id']}>: Job has not started yet")
        job["rerun"] = True
        return "requeued"

    return _each("brequeue", words, again)


def bqueues(words: list[str]) -> int:
    manager.reach("bqueues")
    print(shown.queues(manager.queues))
    return 0


def lsid(words: list[str]) -> int:
    manager.reach("lsid")
    print(f"{VERSION}\n\nMy cluster name is simulated\nMy master name is head")
    return 0


manager.commands = {
    command.__name__: command
    for command in (bsub, bjobs, bhist, bkill, bstop, bresume, bmod, brequeue, bqueues, lsid)
}
