"""The commands' words and exit codes; each is as recorded, or as seen on a server of the same version."""

from __future__ import annotations

import getopt
import signal
import sys
import time
from typing import Any

from ..manager import Refused
from ..options import in_seconds
from ..state import JobData, locked, user
from . import shown
from .script import read
from .server import PBS, SERVER, full_id

manager = PBS()


def qsub(words: list[str]) -> int:
    job = read(words)
    if job["asked_queue"] not in manager.queues:
        raise Refused(170, "Unknown queue")
    manager.print_id(manager.submit("qsub", job)["id"])
    return 0


# ---- qstat -----------------------------------------------------------------------------------------------------


def qstat(words: list[str]) -> int:
    try:
        options, ids = getopt.gnu_getopt(words, "fQBtxEF:")
    except getopt.GetoptError as error:
        raise Refused(2, f"{error.msg}\nusage: \nqstat [-f] [-J] [-p] [-t] [-x] [-E] ...") from error
    flags = {flag for flag, _ in options}
    settings = manager.control()
    if "-E" in flags and not settings["groups"]:
        raise Refused(2, "invalid option -- 'E'\nusage: \nqstat [-f] [-J] [-p] [-t] [-x] ...")
    form = "json" if ("-F", "json") in options else "full" if "-f" in flags else "table"
    try:
        manager.reach("qstat")
    except Refused:
        if form == "json":
            print(shown.document({}))
        raise
    if "-B" in flags:
        print(shown.document({"Server": shown.servers()}))
        return 0
    if "-Q" in flags:
        queues = manager.queues
        print(shown.document({"Queue": shown.queues(queues)}) if form == "json" else shown.queue_table(queues))
        return 0
    rc = 0
    with locked() as state:
        found: list[JobData] = []
        if "-x" in flags and not settings["history"]:
            sys.stderr.write("qstat: PBS is not configured to maintain job history \n")
        elif ids:
            for text in ids:
                try:
                    found += named(state, text, flags)
                except Refused as refused:
                    manager.complain("qstat", refused)
                    rc = refused.rc
        else:
            if "-t" in flags and never_ends(state, settings):
                while True:  # seen: an array is linked to itself
                    print(f'\t\t"{state["next"] - 1}[].{SERVER}":\t{{\n\t\t\t"job_state":\t"B"\n\t\t}},')
            for job in state["jobs"].values():
                if job["index"] is None and ("-x" in flags or job["state"] not in manager.over):
                    found += with_elements(state, job, flags)
    if "-E" not in flags and len(ids) > 50:
        time.sleep((len(ids) - 50) * settings["many_ids_s"])
    if form == "json" and "-E" not in flags and len(ids) > 1:
        found = found[:1]  # seen: its JSON of several jobs holds the first alone
    manager.answer(shown.answer(found, form, settings))
    return rc


def with_elements(state: dict[str, Any], job: JobData, flags: set[str]) -> list[JobData]:
    return [job, *(manager.elements(state, job) if job["array"] and "-t" in flags else [])]


def named(state: dict[str, Any], text: str, flags: set[str]) -> list[JobData]:
    """What qstat shows for an id. Raises `Refused`."""
    if full_id(text) is None:
        raise Refused(170, f"Unknown queue destination {text}")
    job = manager.find(state, text)
    if job["state"] in manager.over and job["index"] is None and "-x" not in flags:
        raise Refused(35, f"{job['id']} Job has finished, use -x or -H to obtain historical job information")
    return with_elements(state, job, flags)


def never_ends(state: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether the newest job is an array, whoever's, of which very many elements have ended."""
    newest = max(state["jobs"].values(), key=lambda job: int(job["number"]), default=None)
    if newest is None or (not newest["array"] and newest["index"] is None):
        return False
    of_it = [job for job in state["jobs"].values() if job["number"] == newest["number"]]
    return sum(job["state"] in manager.over for job in of_it) >= int(settings["loops_at"])


# ---- the others ------------------------------------------------------------------------------------------------


def qdel(words: list[str]) -> int:
    options, ids = getopt.getopt(words, "W:x")
    force = ("-W", "force") in options
    by = f"{user()}@{SERVER}"

    def delete(state: dict[str, Any], job: JobData) -> None:
        if force:
            job["cancelled_by"] = by
            manager.end(job, "cancelled", None)
        elif set(job["hosts"]) & set(manager.control()["down_nodes"]) and not manager.waits(job):
            job["cancelled_later"] = by
            raise Refused(222, f"Server could not connect to MOM {job['id']}")
        else:
            manager.cancel(job, by)

    return manager.for_each("qdel", ids, delete)


def qhold(words: list[str]) -> int:
    return manager.for_each("qhold", getopt.getopt(words, "h:")[1], lambda state, job: manager.hold(job))


def qrls(words: list[str]) -> int:
    def release(state: dict[str, Any], job: JobData) -> None:
        manager.release(job)
        if job["index"] is not None:
            array = state["jobs"][manager.job_id(job["number"], array=True)]
            array.update(state=job["state"], hold=job["hold"])

    return manager.for_each("qrls", getopt.getopt(words, "h:")[1], release)


def qsig(words: list[str]) -> int:
    options, ids = getopt.getopt(words, "s:")
    name = dict(options).get("-s", "TERM").removeprefix("SIG")

    def send(state: dict[str, Any], job: JobData) -> None:
        if job["state"] != "R" or not job["session"]:
            raise Refused(168, f"Request invalid for state of job {job['id']}")
        manager.signal(job, getattr(signal, f"SIG{name}"))

    return manager.for_each("qsig", ids, send)


def qalter(words: list[str]) -> int:
    options, ids = getopt.getopt(words, "l:")
    seconds = in_seconds(options[0][1].partition("=")[2])

    def alter(state: dict[str, Any], job: JobData) -> None:
        if seconds > manager.queues[job["queue"]].get("walltime", 10**9):
            raise Refused(188, f"Job violates queue and/or server resource limits {job['id']}")
        if job["state"] == "R" and seconds > job["walltime"]:
            raise Refused(159, f"Unauthorized Request  {job['id']}")
        job["walltime"] = seconds

    return manager.for_each("qalter", ids, alter)


def qrerun(words: list[str]) -> int:
    def rerun(state: dict[str, Any], job: JobData) -> None:
        if job["state"] != "R":
            raise Refused(168, f"Request invalid for state of job {job['id']}")
        job["rerun"] = True

    return manager.for_each("qrerun", words, rerun)


def pbsnodes(words: list[str]) -> int:
    manager.reach("pbsnodes")
    print(shown.document({"nodes": shown.nodes(manager.nodes, manager.control()["down_nodes"])}))
    return 0


manager.commands = {
    command.__name__: command for command in (qsub, qstat, qdel, qhold, qrls, qalter, qsig, qrerun, pbsnodes)
}
