"""The commands' options, formats, texts and exit codes, as the source has them."""

from __future__ import annotations

import optparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from ..manager import Refused
from ..options import clock
from ..state import JobData, locked, request, user
from .server import Cobalt, date, location

manager = Cobalt()

_FLAGS = ("-h --held", "--preemptable", "--run_project", "--disable_preboot", "-v --verbose")
_VALUES = (
    *("-n --nodecount", "--proccount", "-A --project", "--cwd", "-q --queue", "-M --notify", "--env", "-t --time"),
    *("-u --umask", "-O --outputprefix", "-e --error", "-o --output", "-i --inputfile", "--debuglog"),
    *("--dependencies", "--attrs", "--user_list", "--jobname", "--mode"),
)
_TAG = "#COBALT "


def parsed(command: str, words: list[str], flags: tuple[str, ...], values: tuple[str, ...]) -> tuple[Any, list[str]]:
    """The options and the other words; a wrong option ends the program with 2."""
    parser = optparse.OptionParser(
        prog=f"{command}.py", usage="%prog [options] <executable> [<excutable options>]", conflict_handler="resolve"
    )
    parser.disable_interspersed_args()
    for names in flags:
        parser.add_option(*names.split(), action="store_true")
    for names in values:
        parser.add_option(*names.split())
    return parser.parse_args(words)


def qsub(words: list[str]) -> int:
    options, rest = parsed("qsub", words, _FLAGS, _VALUES)
    if not rest:
        print("Usage: qsub.py [options] <executable> [<excutable options>]")
        raise Refused(1, "No executable or script specified\n")
    command = rest[0].replace(" ", "")
    if not command.startswith("/"):
        command = f"{os.getcwd()}/{command}"
    if not os.path.isfile(command):
        raise Refused(1, f"command {command} not found, or is not a file")
    if not os.access(command, os.X_OK | os.R_OK):
        raise Refused(1, f"command {command} is not executable")
    text = Path(command).read_bytes().decode("utf-8", "surrogateescape")
    said = directives(text)
    if said:
        words = [*said, *words]
        options, _ = parsed("qsub", words, _FLAGS, _VALUES)
    job = asked(options, command, text)
    job = manager.submit("qsub", job)
    os.umask(0o022)
    with open(job["log"], "a") as log:
        log.write(f"Jobid: {job['id']}\nqsub {' '.join(words)}\n")
        log.write(f"{date(time.time())} submitted with cwd set to: {job['directory']}\n")
    manager.print_id(job["id"])
    return 0


def directives(text: str) -> list[str]:
    """The words of the lines right below `#!`; there are no quotes."""
    lines = text.split("\n")
    words: list[str] = []
    if not lines[0].startswith("#!"):
        return words
    for line in lines[1:]:
        if not line.startswith(_TAG):
            break
        words += line.removeprefix(_TAG).split()
    return ["--mode", "script", *words] if words else words


def asked(options: Any, command: str, text: str) -> JobData:
    """The request, checked as qsub does it."""
    if options.time is None:
        raise Refused(1, "'time' not provided")
    if options.nodecount is None:
        raise Refused(1, "'nodecount' not provided")
    if not 0 < int(options.nodecount) <= len(manager.nodes):
        raise Refused(1, "node count out of realistic range")
    directory = os.getcwd()
    paths = {name: getattr(options, name) or "" for name in ("output", "error", "debuglog")}
    for path in filter(None, paths.values()):
        if not os.path.isdir(os.path.dirname(os.path.join(directory, path))):
            raise Refused(1, f"directory {path} does not exist")
    job = request(text, options.jobname or "N/A")
    job.update(
        command=command,
        directory=directory,
        queue=options.queue or "default",
        project=options.project or "",
        hold="u" if options.held else "",
        depend=[["afterok", other] for other in (options.dependencies or "").split(":") if other],
        chunks=int(options.nodecount),
        procs=int(options.proccount or options.nodecount),
        chunk={"whole": 1},
        scatter=True,
        walltime=60 * minutes(options.time),
        output=paths["output"],
        error=paths["error"],
        log=paths["debuglog"] or f"{directory}/cobaltlog",
        umask="022",
        variables=dict(pair.split("=", 1) for pair in (options.env or "").split(":") if pair),
    )
    if job["depend"]:
        manager.reach("qsub")
        with locked() as state:
            missing = [other for _, other in job["depend"] if other not in state["jobs"]]
        if missing:
            text = f"WARNING: dependencies {':'.join(missing)} do not match jobs currently in the queue"
            sys.stderr.write(f"{text}\n")
    return job


def minutes(text: str) -> int:
    """`90`, `1:30` (hours and minutes), `1:30:00`, `1:00:00:00`."""
    parts = [int(part) for part in text.split(":")]
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 4:
        return 1440 * parts[0] + 60 * parts[1] + parts[2]
    return 60 * parts[0] + parts[1]


# ---- qstat -----------------------------------------------------------------------------------------------------

_QUEUE_COLUMNS = "Name Users Groups MinTime MaxTime MaxRunning MaxQueued MaxUserNodes MaxNodeHours TotalNodes State"


def qstat(words: list[str]) -> int:
    flags = ("-f --full", "-l --long", "-Q", "--reverse")
    options, ids = parsed("qstat", words, flags, ("--header", "--sort", "-u --user"))
    manager.reach("qstat")
    columns = (options.header or "JobID:User:WallTime:Nodes:State:Location").split(":")
    if options.Q:
        columns = _QUEUE_COLUMNS.split()
        rows = [queue_fields(name) for name in manager.queues]
    else:
        with locked() as state:
            jobs = [job for job in state["jobs"].values() if options.user in (None, job["owner"])]
        rows = [job_fields(job) for job in jobs if not ids or job["id"] in ids]
        if ids and not rows:
            return 1
    spoilt = manager.control()["spoil"]
    if options.long:
        manager.answer("".join(block(columns, row, spoilt.get(row.get("JobID"), "")) for row in rows))
    else:
        manager.answer("".join(f"{'  '.join(row.get(name, '-') for name in columns)}\n" for row in rows))
    return 0


def block(columns: list[str], row: dict[str, str], junk: str) -> str:
    """A job or queue in vertical format; `junk` stands in place of all but its first line."""
    width = max(map(len, columns)) + 1
    first, *others = [(name, row.get(name, "-")) for name in columns]
    lines = [f"    {name:<{width}}: {value}" for name, value in others]
    return "\n".join([f"{first[0]}: {first[1]}", *([junk] if junk else lines)]) + "\n\n"


def job_fields(job: JobData) -> dict[str, str]:
    started = date(job["started"]) if job["started"] else "N/A"
    return {
        "JobID": job["id"],
        "JobName": job["name"],
        "User": job["owner"],
        "WallTime": clock(job["walltime"] // 60 * 60),
        "Nodes": str(job["chunks"]),
        "State": manager.control()["state"].get(job["id"], job["state"]),
        "Location": location(job["hosts"]) if job["hosts"] else "None",
        "Queue": job["queue"],
        "StartTime": started,
        "SubmitTime": date(job["submitted"]),
        "OutputPath": job["output"] or "None",
        "ErrorPath": job["error"] or "None",
        "Envs": " ".join(f"{name}={value}" for name, value in job["variables"].items()),
        "Project": job["project"] or "None",
        "Index": "None",
    }


def queue_fields(name: str) -> dict[str, str]:
    limits = manager.queues[name]
    unlimited = dict.fromkeys(_QUEUE_COLUMNS.split(), "None")
    longest = clock(60 * limits["maxtime"]) if "maxtime" in limits else "None"
    return {**unlimited, "Name": name, "MaxTime": longest, "State": limits.get("state", "running")}


# ---- changes ---------------------------------------------------------------------------------------------------


def numbers(words: list[str]) -> list[str]:
    for word in words:
        if not word.isdigit():
            raise Refused(1, f"jobid must be an integer: {word}")
    return words


def known(state: dict[str, Any], ids: list[str]) -> list[JobData]:
    return [state["jobs"][job_id] for job_id in ids if job_id in state["jobs"]]


def qdel(words: list[str]) -> int:
    """What it does not know is left out of its table, and no error."""
    ids = numbers(words)
    manager.reach("qdel")
    with locked() as state:
        deleted = [job["id"] for job in known(state, ids)]
        for job in known(state, ids):
            manager.cancel(job, user())
    manager.reach("qdel")
    if deleted:
        rows = [("JobID", "User"), *((job_id, user()) for job_id in deleted)]
        print("      Deleted Jobs")
        print("\n".join(f"{job_id:<5}  {name:<4}  " for job_id, name in [rows[0]]))
        print("=" * 13)
        print("\n".join(f"{job_id:<5}  {name:<4}  " for job_id, name in rows[1:]))
    return 0


def qhold(words: list[str]) -> int:
    return hold_or_release(words, "place user hold on", "Placed user hold on jobs: ", hold=True)


def qrls(words: list[str]) -> int:
    return hold_or_release(words, "remove user hold on", "   Removed user hold on jobs: ", hold=False)


def hold_or_release(words: list[str], verb: str, done: str, *, hold: bool) -> int:
    """Whatever it could not do, it exits with 0."""
    ids = numbers(words)
    manager.reach("qhold")
    failed, changed = [], []
    with locked() as state:
        for job_id in ids:
            job = state["jobs"].get(job_id)
            if job is None:
                failed.append(f"job {job_id} not found")
            elif not manager.waits(job):
                failed.append(f"job {job_id} is already active")
            elif ("u" in job["hold"]) == hold:
                failed.append(
                    f"job {job_id} already in state 'user hold'"
                    if hold
                    else f"job {job_id} does not have a 'user hold'"
                )
            else:
                (manager.hold if hold else manager.release)(job)
                changed.append(job_id)
    manager.reach("qhold")
    if len(failed) == len(ids) and all("not found" in text for text in failed):
        sys.stderr.write("   No jobs found.\nFailed to match any jobs\n")
    for head, lines in ((f"   Failed to {verb} jobs: ", failed), (done, changed)):
        if lines:
            print("\n".join([head, *(f"      {line}" for line in lines)]))
    return 0


def qalter(words: list[str]) -> int:
    options, ids = parsed("qalter", words, (), ("-t --time",))
    manager.reach("qalter")
    with locked() as state:
        jobs = known(state, numbers(ids))
        if any(not manager.waits(job) for job in jobs):
            raise Refused(1, "cannot change wall time of a running job")
        for job in jobs:
            before, job["walltime"] = job["walltime"], 60 * minutes(options.time)
            print(f"walltime changed from {before // 60} to {job['walltime'] // 60}")
    if not jobs:
        sys.stderr.write("Failed to match any jobs or queues\n")
    return 0


manager.commands = {command.__name__: command for command in (qsub, qstat, qdel, qhold, qrls, qalter)}
