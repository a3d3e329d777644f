"""The commands' words and exit codes; each is as recorded, or as seen on a server of the same version."""

from __future__ import annotations

import getopt
import json
import os
import pwd
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from . import jobs, shown
from .script import Refused, in_seconds, read
from .state import QUEUES, SERVER, VERSION, JobData, control, elements, finished, full_id, job_id, locked, root


def main(command: str, words: list[str]) -> int:
    """Run one command; returns its exit code."""
    if command == "mom":
        jobs.mom(words[0])
        return 0
    if words == ["--version"]:
        print(f"pbs_version = {VERSION}")
        return 0
    with open(root() / "calls", "a") as calls:
        calls.write(json.dumps([command, *words]) + "\n")
    try:
        return COMMANDS[command](words)
    except Refused as refused:
        sys.stderr.write(f"{command}: {refused.text}\n")
        return refused.rc


def reach(command: str, rc: int, *, told: str = "") -> None:
    """Wait for the server, or say that it cannot be reached."""
    while (server := control()["server"]) == "hung":
        time.sleep(0.05)
    if server == "down":
        told = told or f"{command}: cannot connect to server {SERVER} (errno=15010)"
        sys.stderr.write(f"Connection refused\n{told}\n")
        raise SystemExit(rc)
    with locked() as state:
        for request in sorted((root() / "requests").glob("*")):  # what waited while it hung; its client may be gone
            create(state, json.loads(request.read_text()))
            request.unlink()
        jobs.pump(state)


# ---- qsub ------------------------------------------------------------------------------------------------------


def qsub(words: list[str]) -> int:
    job = read(words)
    requests = root() / "requests"
    requests.mkdir(exist_ok=True)
    if control()["server"] == "hung":  # it is in the server's socket already
        ticket = uuid.uuid4().hex
        job["ticket"] = ticket
        (requests / f".{ticket}").write_text(json.dumps(job))
        (requests / f".{ticket}").rename(requests / ticket)
    reach("qsub", 162)
    with locked() as state:
        ticket = job.get("ticket")
        made = next((other for other in state["jobs"].values() if ticket and other.get("ticket") == ticket), None)
        made = made or create(state, job)
        jobs.pump(state)
    settings = control()
    if settings["broken"]:
        raise Refused(167, settings["broken"])
    print(settings["answer"].format(id=made["id"]))
    return 0


def create(state: dict[str, Any], job: JobData) -> JobData:
    """Check a request against queues, and put the job there."""
    asked = job["asked_queue"]
    queue = route(job) if "destinations" in QUEUES.get(asked, {}) else asked
    if queue not in QUEUES:
        raise Refused(170, "Unknown queue") if queue else Refused(191, "Job rejected by all possible destinations")
    limits = QUEUES[queue]
    if not limits.get("enabled", True):
        raise Refused(173, "Queue is not enabled")
    job["walltime"] = job["walltime"] or limits.get("default_walltime", 0)
    if job["walltime"] > limits.get("walltime", 10**9):
        raise Refused(188, "Job violates queue and/or server resource limits")
    seq = state["next"]
    state["next"] += 1
    indices = job["array"]
    held = job["hold"] != "n" or job["depend"]
    job |= {
        "id": job_id(seq, "" if indices else None),
        "seq": seq,
        "index": None,
        "queue": queue,
        "ctime": time.time(),
        "state": "H" if held else "Q",
        "substate": 22 if job["depend"] else 20 if held else 10,
        "exit": None,
        "stime": 0,
        "obit": 0,
        "comment": "",
        "exec_host": "",
        "exec_vnode": "",
        "run_count": 0,
        "hosts": [],
        "session": 0,
        "hold": (job["hold"] + "s" * bool(job["depend"])).replace("ns", "s"),
    }
    script = root() / "scripts" / f"{job['id']}.SC"
    script.parent.mkdir(exist_ok=True)
    script.write_text(job.pop("text"), errors="surrogateescape")
    script.chmod(0o700)
    job["script"] = str(script)
    state["jobs"][job["id"]] = job
    for index in indices:
        element = {**job, "id": job_id(seq, index), "array": [], "index": index}
        state["jobs"][element["id"]] = element
    return job


def route(job: JobData) -> str:
    """The first queue behind a routing queue that would take the job."""
    for name in QUEUES[job["asked_queue"]]["destinations"]:
        limits = QUEUES[name]
        fits = limits.get("min_nodect", 0) <= job["chunks"] <= limits.get("nodect", 10**9)
        if fits and job["walltime"] <= limits.get("walltime", 10**9):
            return str(name)
    return ""


# ---- qstat -----------------------------------------------------------------------------------------------------


def qstat(words: list[str]) -> int:
    try:
        options, ids = getopt.gnu_getopt(words, "fQBtxEF:")
    except getopt.GetoptError as error:
        raise Refused(2, f"{error.msg}\nusage: \nqstat [-f] [-J] [-p] [-t] [-x] [-E] ...") from error
    flags = {flag for flag, _ in options}
    if "-E" in flags and not control()["groups"]:
        raise Refused(2, "invalid option -- 'E'\nusage: \nqstat [-f] [-J] [-p] [-t] [-x] ...")
    form = "json" if ("-F", "json") in options else "full" if "-f" in flags else "table"
    try:
        reach("qstat", 255)
    except SystemExit:
        if form == "json":
            print(shown.document({}))
        raise
    if "-B" in flags:
        print(shown.document({"Server": shown.servers()}))
        return 0
    if "-Q" in flags:
        print(shown.document({"Queue": shown.queues()}) if form == "json" else shown.queue_table())
        return 0
    settings = control()
    rc = 0
    with locked() as state:
        found: list[JobData] = []
        if "-x" in flags and not settings["history"]:
            sys.stderr.write("qstat: PBS is not configured to maintain job history \n")
        elif ids:
            for text in ids:
                job = state["jobs"].get(full_id(text) or "")
                if full_id(text) is None:
                    sys.stderr.write(f"qstat: Unknown queue destination {text}\n")
                    rc = 170
                elif job is None:
                    sys.stderr.write(f"qstat: Unknown Job Id {full_id(text)}\n")
                    rc = 153
                elif finished(job) and job["index"] is None and "-x" not in flags:
                    sys.stderr.write(
                        f"qstat: {job['id']} Job has finished, use -x or -H to obtain historical job information\n"
                    )
                    rc = 35
                else:
                    found += [job, *(elements(state, job) if job["array"] and "-t" in flags else [])]
        else:
            if "-t" in flags and never_ends(state, settings):
                found = []
                while True:  # seen: an array is linked to itself
                    print(f'\t\t"{state["next"] - 1}[].{SERVER}":\t{{\n\t\t\t"job_state":\t"B"\n\t\t}},')
            for job in state["jobs"].values():
                if job["index"] is None and ("-x" in flags or not finished(job)):
                    found += [job, *(elements(state, job) if job["array"] and "-t" in flags else [])]
    if "-E" not in flags and len(ids) > 50:
        time.sleep((len(ids) - 50) * settings["many_ids_s"])
    if form == "json" and "-E" not in flags and len(ids) > 1:
        found = found[:1]  # seen: its JSON of several jobs holds the first alone
    text = shown.answer(found, form, settings)
    sys.stdout.write(text[: settings["truncate"]] if settings["truncate"] else text)
    return rc


def never_ends(state: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether the newest job is an array, whoever's, of which very many elements have ended."""
    newest = max(state["jobs"].values(), key=lambda job: int(job["seq"]), default=None)
    if newest is None or (not newest["array"] and newest["index"] is None):
        return False
    return sum(finished(job) for job in state["jobs"].values() if job["seq"] == newest["seq"]) >= settings["loops_at"]


# ---- the others ------------------------------------------------------------------------------------------------


def each(command: str, ids: list[str], act: Callable[[dict[str, Any], JobData], None], *, whole: bool = False) -> int:
    """Do something to each job, telling of each that is unknown or over; the last fault's code is the answer."""
    told = f"Couldn't connect to cluster: {SERVER}" if command == "qdel" else ""
    reach(command, 162, told=told)
    rc = 0
    with locked() as state:
        for text in ids:
            name = full_id(text)
            try:
                if name is None:
                    raise Refused(1, f"illegally formed job identifier: {text}")
                job = state["jobs"].get(name)
                if job is None:
                    raise Refused(153, f"Unknown Job Id {name}")
                if job["state"] == "X" or (job["index"] is not None and finished(job)):
                    raise Refused(168, f"Request invalid for state of job {name}")
                if finished(job):
                    raise Refused(35, f"Job has finished {name}" if command == "qdel" else "Job has finished")
                for part in [job] if whole else elements(state, job):
                    if not finished(part):
                        act(state, part)
            except Refused as refused:
                sys.stderr.write(f"{command}: {refused.text}\n")
                rc = refused.rc
        jobs.pump(state)
    return rc


def qdel(words: list[str]) -> int:
    options, ids = getopt.getopt(words, "W:x")
    force = ("-W", "force") in options
    user = f"{pwd.getpwuid(os.geteuid()).pw_name}@{SERVER}"

    def delete(state: dict[str, Any], job: JobData) -> None:
        if job["state"] in "QHW" or force:
            jobs.end(job, None, deleted_by=user)
            job["comment"] = job["comment"].removesuffix(f" by {user}")
        elif set(job["hosts"]) & set(control()["down_nodes"]):
            job["deleted_later"] = user
            raise Refused(222, f"Server could not connect to MOM {job['id']}")
        else:
            job["deleted_by"] = user

    return each("qdel", ids, delete)


def qhold(words: list[str]) -> int:
    def hold(state: dict[str, Any], job: JobData) -> None:
        job["hold"] = "u" + job["hold"].replace("n", "").replace("u", "")
        if job["state"] == "Q":
            job.update(state="H", substate=20)

    return each("qhold", getopt.getopt(words, "h:")[1], hold)


def qrls(words: list[str]) -> int:
    def release(state: dict[str, Any], job: JobData) -> None:
        job["hold"] = job["hold"].replace("u", "") or "n"
        if job["state"] == "H" and job["hold"] == "n":
            job.update(state="Q", substate=10)
        if job["index"] is not None:
            state["jobs"][job_id(job["seq"], "")].update(state=job["state"], hold=job["hold"])

    return each("qrls", getopt.getopt(words, "h:")[1], release)


def qsig(words: list[str]) -> int:
    options, ids = getopt.getopt(words, "s:")
    name = dict(options).get("-s", "TERM").removeprefix("SIG")

    def signal(state: dict[str, Any], job: JobData) -> None:
        import signal as signals

        if job["state"] != "R" or not job["session"]:
            raise Refused(168, f"Request invalid for state of job {job['id']}")
        jobs.to_session(job["session"], getattr(signals, f"SIG{name}"))

    return each("qsig", ids, signal)


def qalter(words: list[str]) -> int:
    options, ids = getopt.getopt(words, "l:")
    seconds = in_seconds(options[0][1].partition("=")[2])

    def alter(state: dict[str, Any], job: JobData) -> None:
        if seconds > QUEUES[job["queue"]].get("walltime", 10**9):
            raise Refused(188, f"Job violates queue and/or server resource limits {job['id']}")
        if job["state"] == "R" and seconds > job["walltime"]:
            raise Refused(159, f"Unauthorized Request  {job['id']}")
        job["walltime"] = seconds

    return each("qalter", ids, alter)


def qrerun(words: list[str]) -> int:
    def rerun(state: dict[str, Any], job: JobData) -> None:
        if job["state"] != "R":
            raise Refused(168, f"Request invalid for state of job {job['id']}")
        job["rerun"] = True

    return each("qrerun", words, rerun)


def pbsnodes(words: list[str]) -> int:
    reach("pbsnodes", 1, told=f"pbsnodes: cannot connect to server {SERVER}, error=15010")
    print(shown.document({"nodes": shown.nodes()}))
    return 0


COMMANDS = {
    "qsub": qsub,
    "qstat": qstat,
    "qdel": qdel,
    "qhold": qhold,
    "qrls": qrls,
    "qalter": qalter,
    "qsig": qsig,
    "qrerun": qrerun,
    "pbsnodes": pbsnodes,
}
