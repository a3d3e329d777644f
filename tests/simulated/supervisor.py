"""The process that runs one job from its start to its end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .state import JobData, locked, root
from .turn import turn

if TYPE_CHECKING:
    from .manager import Manager


def supervise(manager: Manager, job_id: str) -> None:
    """Run a job, note its end, and let the next one start."""
    with locked() as state:
        job = state["jobs"][job_id]
    spool = root() / "spool"
    spool.mkdir(exist_ok=True)
    os.umask(int(job["umask"], 8) if job["umask"] else 0o077)
    places = [manager.place_of(job, place) for place in (job["output"], "" if job["join"] else job["error"])]
    files = [spool / f"{job_id}.{kind}" for kind in ("out", "err")]
    if not manager.spools:
        files = [Path(place) if place else file for place, file in zip(places, files, strict=True)]
    code, how = run(manager, job, files)
    if manager.spools:
        for source, place in zip(files, places, strict=True):
            if place and place != "/dev/null":
                deliver(source, Path(place))
            source.unlink(missing_ok=True)
    shutil.rmtree(spool / f"tmp.{job_id}", ignore_errors=True)
    with locked() as state:
        now = state["jobs"].get(job_id)
        if now is not None and now["state"] not in manager.over:  # else it was removed by force
            if now.pop("rerun", False):
                now.update(hosts=[], session=0)
                manager.settle(now)
            else:
                manager.end(now, how or ("cancelled" if now.get("cancelled_by") else ""), code)
        turn(manager, state)


def run(manager: Manager, job: JobData, files: list[Path]) -> tuple[int, str]:
    """Run the script. Returns its exit code, negative for a signal, and why it was ended by us."""
    argv, program, given = manager.shell(job)
    environment = manager.environment(job)
    mode = "wb" if manager.spools else "ab"
    with open(files[0], mode) as stdout, open(os.devnull if job["join"] else files[1], mode) as stderr:
        process = subprocess.Popen(
            argv,
            executable=program,
            stdin=subprocess.PIPE,
            cwd=job["directory"],
            stdout=stdout,
            stderr=stdout if job["join"] else stderr,
            env=environment,
            start_new_session=True,
        )
        with locked() as state:
            if job["id"] in state["jobs"]:
                state["jobs"][job["id"]]["session"] = process.pid
        assert process.stdin is not None
        try:
            process.stdin.write(given)
            process.stdin.close()
        except BrokenPipeError:  # it has ended already
            pass
        how = watch(manager, process, job["id"], stdout if job["join"] else stderr)
        return process.wait(), how


def watch(manager: Manager, process: subprocess.Popen[bytes], job_id: str, log: IO[bytes]) -> str:
    """Wait for its end, and end it when a limit is exceeded or somebody cancels it. Returns why, for a limit."""
    began, killing, how = time.monotonic(), 0.0, ""
    signals: list[int] = []
    while process.poll() is None:
        with locked() as state:
            job = state["jobs"].get(job_id)
            limit = job["walltime"] if job else 0
            asked = job is None or job.get("cancelled_by") or job.get("rerun")
        used = time.monotonic() - began
        if not how and not asked:
            if limit and used > limit:
                how = "walltime"
            elif job_id in manager.control()["over_memory"]:
                how = "memory"
            log.write(manager.limit_line(how, used, limit).encode() if how else b"")
            log.flush()
        if (how or asked) and not killing:
            killing, signals = time.monotonic(), [*manager.signals_to_end(how)]
            to_session(process.pid, signals.pop(0))
        elif killing and time.monotonic() - killing > manager.control()["kill_delay"]:
            killing = time.monotonic()
            to_session(process.pid, signals.pop(0) if signals else signal.SIGKILL)
        time.sleep(0.05)
    to_session(process.pid, signal.SIGKILL)
    return how


def to_session(session: int, number: int) -> None:
    """A signal to every process of a job."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(entry.name), number)
        except (OSError, ValueError):
            continue


def deliver(source: Path, target: Path) -> None:
    """Output to where it was asked for; a place that is not there is passed over, as managers do."""
    try:
        shutil.copyfile(source, target)
        target.chmod(0o600)
    except OSError:
        return
