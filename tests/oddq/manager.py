"""oddq-sub, oddq-stat, oddq-hist, oddq-del, oddq-hold, oddq-release and oddq-clear; no daemon, one file of state.

A command that changes something starts what can be started; each job has a process that waits for its end. What kind
of manager it is stands in $ODDQ_HOME/switches.json, see `SWITCHES`. Files there make it misbehave: with `broken` no job
can be started and goes into the error state, with `undeletable` nothing is deleted. `calls` has every command.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SWITCHES: dict[str, Any] = {
    "stdin": True,  # the script comes on standard input, and no file is taken; else an executable file is
    "own_ids": True,  # each element of an array is a job with an id of its own; else 17.1, 17.2, ...
    "shows": ["name"],  # what of name and output is shown in answers
    "keeps_unstarted": False,  # whether history has jobs that were deleted before they started
    "slots": 8,
}
UNKNOWN: list[str] = []  # ids of which a command said that they are not known
RERUN, ERROR = 99, 100  # exit codes that are orders
Jobs = dict[str, dict[str, Any]]
HOME = Path(os.environ["ODDQ_HOME"])


def fail(text: str) -> None:
    sys.exit(f"oddq: {text}")


@contextmanager
def changing() -> Iterator[dict[str, Any]]:
    """The state, to be read and changed by one at a time; then what can start is started."""
    with open(HOME / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = HOME / "state.json"
        state = json.loads(path.read_text()) if path.exists() else {"next": 100, "jobs": {}, "past": []}
        yield state
        ready = runnable(state["jobs"])
        path.with_suffix(".new").write_text(json.dumps(state))
        os.replace(path.with_suffix(".new"), path)
        fcntl.flock(lock, fcntl.LOCK_UN)
    for job in ready:
        supervise(job)


def switches() -> dict[str, Any]:
    return SWITCHES | json.loads((HOME / "switches.json").read_text())


def runnable(jobs: Jobs) -> list[dict[str, Any]]:
    """Those that start now, marked so."""
    free = switches()["slots"] - sum(job["state"] == "R" for job in jobs.values())
    ready = []
    for job in jobs.values():
        live = {name for each in jobs.values() for name in (each["id"], each["array"])}
        if job["state"] != "W" or live & set(job["after"]):
            continue
        if (HOME / "broken").exists():
            job.update(state="E", why="can't chdir to its directory: no such file or directory")
        elif len(ready) < free:
            job.update(state="R", started=time.time(), starts=job["starts"] + 1)
            ready.append(job)
    return ready


def supervise(job: dict[str, Any]) -> None:
    """Run a job in a process of its own, which waits for its end and then starts others."""
    if os.fork():
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "ODDQ_HOME": str(HOME),
        "ODDQ_JOB_ID": job["id"],
        "ODDQ_ARRAY_ID": job["array"],
        "ODDQ_TASK": job["task"],
        "ODDQ_STARTS": str(job["starts"]),
    }
    with open(job["output"], "ab") as output:
        process = subprocess.Popen(
            [str(HOME / f"{job['id']}.script")],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    with changing() as state:
        state["jobs"][job["id"]]["pid"] = process.pid
    deadline, killed = time.monotonic() + job["time"], ""
    while process.poll() is None:
        time.sleep(0.02)
        late = time.monotonic() > deadline
        if late or (HOME / f"{job['id']}.delete").exists():
            killed = "wall time" if late else "deleted"
            for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 60.0)):
                with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    os.killpg(process.pid, number)
                    process.wait(patience)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    with changing() as state:
        job = state["jobs"][job["id"]]
        if code == RERUN and not killed:
            job.update(state="W")
        elif code == ERROR and not killed:
            job.update(state="E", why="the job asked for it")
        else:
            over(state, job, killed, code)
    os._exit(0)


def over(state: dict[str, Any], job: dict[str, Any], killed: str, code: int | None = None) -> None:
    del state["jobs"][job["id"]]
    if job["started"] or switches()["keeps_unstarted"]:
        state["past"].append({**job, "state": "D", "code": code, "killed": killed, "ended": time.time()})


def submit(words: list[str]) -> None:
    if switches()["stdin"]:
        if words:
            fail("a job comes on standard input")
        text = sys.stdin.read()
    else:
        if not os.access(words[0], os.X_OK):
            fail(f"{words[0]}: not executable")
        text = Path(words[0]).read_text()
    told: dict[str, str] = {"time": "600", "name": "job", "after": "", "output": os.devnull}
    for line in text.splitlines():
        if line.startswith("#ODD "):
            _, key, value = line.split(" ", 2)
            told[key] = f"{told['after']},{value}".strip(",") if key == "after" else value
    if told.get("queue", "day") not in ("day", "night"):
        fail(f"unknown queue {told['queue']}")
    tasks: list[str] = [""]
    if "array" in told:
        span, _, step = told["array"].partition(":")
        first, last = map(int, span.split("-"))
        tasks = [str(number) for number in range(first, last + 1, int(step or 1))]
    with changing() as state:
        ids: list[str] = []
        array = ""
        for task in tasks:
            if not ids or switches()["own_ids"]:
                state["next"] += random.randint(1, 4)
            number = str(state["next"])
            array = array or (number if task else "")
            ids.append(f"{number}.{task}" if task and not switches()["own_ids"] else number)
            script = HOME / f"{ids[-1]}.script"
            script.write_text(text)
            script.chmod(0o700)
            state["jobs"][ids[-1]] = {
                "id": ids[-1],
                "array": array,
                "task": task,
                "name": told["name"],
                "output": told["output"],
                "state": "H" if "hold" in told else "W",
                "after": told["after"].split(",") if told["after"] else [],
                "time": int(told["time"]),
                "submitted": time.time(),
                "started": None,
                "starts": 0,
                "why": "",
            }
    print(f'Your job {array or ids[0]} ("{told["name"]}") has been submitted')
    if array and switches()["own_ids"]:
        print("\n".join(f"element {job_id}" for job_id in ids))


def show(jobs: list[dict[str, Any]]) -> None:
    """Blocks of `key: value`; times are local, without a zone, to the second."""
    for job in jobs:
        for key in ("id", "array", "task", "state", "why", "code", "killed", "starts", *switches()["shows"]):
            if job.get(key) not in (None, ""):
                print(f"{key}: {job[key]}")
        for key in ("submitted", "started", "ended"):
            if job.get(key):
                print(f"{key}: {time.strftime('%m/%d/%Y %H:%M:%S', time.localtime(job[key]))}")
        print()


def each(state: dict[str, Any], ids: list[str]) -> Iterator[dict[str, Any]]:
    """The jobs of those ids; of an array whose elements have its id, all."""
    for name in ids:
        found = [
            job
            for job in state["jobs"].values()
            if name == job["id"] or (name == job["array"] and not switches()["own_ids"])
        ]
        if not found:
            print(f"oddq: no job {name}", file=sys.stderr)
            UNKNOWN.append(name)
        yield from found


def delete(ids: list[str]) -> None:
    if (HOME / "undeletable").exists():
        fail("denied: the queue master is read-only")
    with changing() as state:
        for job in list(each(state, ids)):
            if job["state"] == "R":
                (HOME / f"{job['id']}.delete").touch()
            else:
                over(state, job, "deleted")


def change(ids: list[str], before: str, after: str) -> None:
    with changing() as state:
        for job in each(state, ids):
            if job["state"] == before:
                job["state"] = after


def main(command: str, words: list[str]) -> None:
    with open(HOME / "calls", "a") as calls:
        calls.write(" ".join((command, *words)) + "\n")
    match command:
        case "oddq-sub":
            submit(words)
        case "oddq-stat":
            with changing() as state:
                show(list(state["jobs"].values()))
        case "oddq-hist":
            with changing() as state:
                show(state["past"])
        case "oddq-del":
            delete(words)
        case "oddq-hold":
            change(words, "W", "H")
        case "oddq-release":
            change(words, "H", "W")
        case "oddq-clear":  # an administrator's: let jobs in the error state try again
            change(words, "E", "W")


if __name__ == "__main__":
    main(Path(sys.argv[0]).name, sys.argv[1:])
    sys.exit(1 if UNKNOWN else 0)
