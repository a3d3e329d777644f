"""The commands' options, texts and exit codes."""

from __future__ import annotations

import getopt
import os
import pwd
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from ..manager import Refused
from ..options import clock, directive_lines, in_seconds, indices, split_words
from ..state import JobData, locked, request, user
from .server import SERVER, Torque, full_id

manager = Torque()

_OPTIONS = "a:A:b:c:C:d:D:e:fhIj:k:K:l:m:M:nN:o:p:P:q:r:S:t:T:u:v:VwW:xXz"
_USAGE = "[exiting]\n\nusage: qsub [-a date_time] [-A account_string] [-b secs]\n    ...\n"
_KINDS = {"afterokarray": "afterok", "afternotokarray": "afternotok", "afteranyarray": "afterany"}
_KINDS |= {"afterstartarray": "after"}


# ---- qsub ------------------------------------------------------------------------------------------------------


def qsub(words: list[str]) -> int:
    options, rest = parsed(words)
    if rest:
        if not os.path.exists(rest[0]):
            raise Refused(1, f"script file '{rest[0]}' cannot be loaded - No such file or directory")
        text, name = Path(rest[0]).read_bytes().decode("utf-8", "surrogateescape"), os.path.basename(rest[0])
    else:
        text, name = sys.stdin.buffer.read().decode("utf-8", "surrogateescape"), "STDIN"
    said = [option for line in directive_lines(text, "#PBS") for option in parsed(split_words(line))[0]]
    job = request(text, name)
    person = pwd.getpwuid(os.geteuid())
    job.update(chunk={"cores": 1}, nodes="1:ppn=1", arguments=" ".join(words))
    job["variables"] = {
        "PBS_O_QUEUE": "batch",
        "PBS_O_HOME": person.pw_dir,
        "PBS_O_LOGNAME": person.pw_name,
        "PBS_O_PATH": os.environ.get("PATH", ""),
        "PBS_O_WORKDIR": os.getcwd(),
        "PBS_O_HOST": SERVER,
        "PBS_O_SERVER": SERVER,
    }
    for option, value in [*said, *options]:
        take(job, option, value)
    repeated = manager.control()["repeated"]
    if repeated:
        manager.submit("qsub", dict(job))
        sys.stdout.write("Connection to server timed out. Trying again")
    manager.print_id(manager.submit("qsub", job)["id"])
    return 0


def parsed(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        return getopt.gnu_getopt(words, _OPTIONS)
    except getopt.GetoptError as error:
        raise Refused(2, f"invalid option -- '{error.opt}'\n{_USAGE}") from error


def take(job: JobData, option: str, value: str) -> None:
    """What one option asks for."""
    plain = {"-A": "project", "-q": "queue", "-S": "shell", "-N": "name", "-o": "output", "-e": "error"}
    if option in plain:
        job[plain[option]] = value
    elif option == "-h":
        job["hold"] = "u"
    elif option == "-j":
        job["join"] = value in ("oe", "eo")
    elif option == "-t":
        text, _, slots = value.partition("%")
        if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
            raise Refused(243, "submit error (Bad Job Array Request)")
        job.update(array=indices(text), asked_array=value, slots=int(slots or 0))
    elif option == "-v":
        job["variables"] |= {pair.partition("=")[0]: pair.partition("=")[2] for pair in value.split(",")}
    elif option == "-W" and value.startswith("depend="):
        for part in value.removeprefix("depend=").split(","):
            kind, *ids = part.split(":")
            job["depend"] += [[_KINDS.get(kind, kind), full_id(other)] for other in ids]
            job["asked_depend"] = value.removeprefix("depend=")
        manager.reach("qsub")
        with locked() as state:
            if any(other not in state["jobs"] for _, other in job["depend"]):
                raise Refused(208, "submit error (Invalid Job Dependency)")
    elif option == "-l":
        for pair in value.split(","):
            resource(job, *pair.partition("=")[::2])


def resource(job: JobData, name: str, text: str) -> None:
    if name == "walltime":
        if not re.fullmatch(r"\d+(:\d+){0,2}", text):
            raise Refused(168, "submit error (Illegal attribute or resource value for Resource_List.walltime)")
        job["walltime"] = in_seconds(text)
    elif name == "nodes":
        count, *properties = text.split(":")
        amounts = {key: int(amount) for key, _, amount in (each.partition("=") for each in properties) if amount}
        chunk = {"cores": amounts.get("ppn", 1), "gpus": amounts.get("gpus", 0)}
        job.update(chunks=int(count), chunk=chunk, nodes=text, scatter=True)
    elif name not in ("mem", "pmem", "vmem", "pvmem", "cput", "software", "naccesspolicy"):
        raise Refused(189, f"submit error (Unknown resource type  Resource_List.{name})")
    else:
        job[name] = text


# ---- qstat -----------------------------------------------------------------------------------------------------


def qstat(words: list[str]) -> int:
    try:
        options, ids = getopt.gnu_getopt(words, "acCeE:fgiln1pqrstu:xGMQRBW:")
    except getopt.GetoptError as error:
        raise Refused(2, f"{error.msg}\nusage: \n  qstat [-f [-1]] [-W site_specific] [-x] ...") from error
    flags = {flag for flag, _ in options}
    manager.reach("qstat")
    if "-B" in flags:
        print(f"Server: {SERVER}\n    server_state = Idle\n    default_queue = batch\n    pbs_version = master\n")
        return 0
    if "-Q" in flags:
        print("".join(queue(name, limits) for name, limits in manager.queues.items()))
        return 0
    rc, answers, errors = 0, [], []
    with locked() as state:
        if not ids:
            whole = "-t" not in flags
            jobs = state["jobs"].values()
            shown = [job for job in jobs if (job["index"] is None if whole else not job["array"])]
            answers.append(document(shown))
        for text in ids:
            try:
                name = full_id(text)
                if name not in state["jobs"]:
                    raise Refused(153, f"Unknown Job Id Error {name}")
                answers.append(document([state["jobs"][name]]))
            except Refused as refused:
                errors.append(f"qstat: {refused.text}\n")
                rc = rc or refused.rc
    manager.answer("".join(answers))
    sys.stderr.write("".join(errors))
    return rc


def document(jobs: list[JobData]) -> str:
    """Jobs in XML."""
    return '<?xml version="1.0"?>\n<Data>' + "".join(map(in_xml, jobs)) + "</Data>\n"


def in_xml(job: JobData) -> str:
    settings = manager.control()
    limits = {"nodes": job["nodes"], "walltime": clock(job["walltime"]), "nodect": job["chunks"]}
    limits |= {name: job[name] for name in ("mem", "pmem") if name in job}
    used = clock(int((job["ended"] or time.time()) - job["started"])) if job["started"] else ""
    path = manager.place_of(job, job["output"]) or f"{job['home']}/{job['name']}.o{job['number']}"
    waited = job["started"] or 0
    attributes: dict[str, Any] = {
        "Job_Id": job["id"],
        "Job_Name": job["name"] if job["index"] is None else f"{job['name']}-{job['index']}",
        "Job_Owner": f"{job['owner']}@{SERVER}",
        "resources_used": {"cput": "00:00:00", "walltime": used} if job["ended"] and job["started"] else None,
        "job_state": settings["state"].get(job["id"], job["state"]),
        "queue": job["queue"],
        "server": SERVER,
        "ctime": int(job["submitted"]),
        "depend": job.get("asked_depend"),
        "exec_host": job["exec_host"] or None,
        "Hold_Types": job["hold"] or "n",
        "Output_Path": f"{SERVER}:{path}",
        "Resource_List": limits,
        "Variable_List": ",".join(f"{name}={text}" for name, text in job["variables"].items()),
        "comment": job["comment"] or None,
        "exit_status": job["exit"],
        "submit_args": job["arguments"],
        "job_array_request": job.get("asked_array") if job["array"] else None,
        "start_time": int(waited) or None,
        "start_count": job["starts"] or None,
        "comp_time": int(job["ended"]) if job["ended"] and job["started"] else None,
    }
    text = "".join(element(name, value) for name, value in attributes.items() if value is not None)
    if junk := settings["spoil"].get(job["id"]):
        text = text.replace("<job_state>", f"{junk}<job_state>", 1)
    return f"<Job>{text}</Job>"


def element(name: str, value: Any) -> str:
    inside = "".join(element(*pair) for pair in value.items()) if isinstance(value, dict) else escape(str(value))
    return f"<{name}>{inside}</{name}>"


def queue(name: str, limits: Any) -> str:
    """A queue in the long form."""
    said = {"queue_type": "Execution", "total_jobs": 0}
    said |= {f"resources_max.{key}": value for key, value in limits.items() if key == "nodect"}
    if "walltime" in limits:
        said["resources_max.walltime"] = clock(limits["walltime"])
    said |= {key: str(limits.get(key, True)) for key in ("enabled", "started")}
    return f"Queue: {name}\n" + "".join(f"    {key} = {value}\n" for key, value in said.items()) + "\n"


# ---- the others ------------------------------------------------------------------------------------------------


def qdel(words: list[str]) -> int:
    by = user()
    return manager.for_each("qdel", words, lambda state, job: manager.cancel(job, by))


def qhold(words: list[str]) -> int:
    return manager.for_each("qhold", getopt.getopt(words, "h:")[1], hold)


def hold(state: dict[str, Any], job: JobData) -> None:
    manager.hold(job)
    same_as_element(state, job)


def qrls(words: list[str]) -> int:
    return manager.for_each("qrls", getopt.getopt(words, "h:")[1], release)


def release(state: dict[str, Any], job: JobData) -> None:
    manager.release(job)
    same_as_element(state, job)


def same_as_element(state: dict[str, Any], job: JobData) -> None:
    if job["index"] is not None:
        state["jobs"][manager.job_id(job["number"], array=True)].update(state=job["state"], hold=job["hold"])


def qsig(words: list[str]) -> int:
    options, ids = getopt.getopt(words, "s:")
    number = getattr(signal, f"SIG{dict(options).get('-s', 'TERM').removeprefix('SIG')}")

    def send(state: dict[str, Any], job: JobData) -> None:
        if job["state"] != "R" or not job["session"]:
            raise Refused(170, f"Request invalid for state of job MSG=invalid state {job['id']}")
        manager.signal(job, number)

    return manager.for_each("qsig", ids, send)


def qalter(words: list[str]) -> int:
    options, ids = getopt.getopt(words, "l:")
    seconds = in_seconds(options[0][1].partition("=")[2])

    def alter(state: dict[str, Any], job: JobData) -> None:
        if job["state"] == "R" and seconds > job["walltime"]:
            raise Refused(159, f"Unauthorized Request  {job['id']}")
        job["walltime"] = seconds

    return manager.for_each("qalter", ids, alter)


manager.commands = {command.__name__: command for command in (qsub, qstat, qdel, qhold, qrls, qsig, qalter)}
