"""What becomes of jobs: dependencies, nodes, the process that runs one, its end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .state import NODES, QUEUES, SERVER, JobData, control, elements, finished, locked, root

WALLTIME, MEMORY = -29, -27


def pump(state: dict[str, Any]) -> None:
    """One turn of the scheduler: route, free the dependent, start what fits."""
    settings = control()
    for job_id, job in list(state["jobs"].items()):
        if job["queue"] in settings["vanish"] and not finished(job):
            del state["jobs"][job_id]
    for job in list(state["jobs"].values()):
        if job.get("deleted_later") and not set(job["hosts"]) & set(settings["down_nodes"]):
            job["deleted_by"] = job.pop("deleted_later")
        if job["state"] == "H" and "s" in job["hold"] and job["depend"]:
            depend(state, job)
    for job in list(state["jobs"].values()):
        if job["state"] == "Q" and not job["array"] and QUEUES[job["queue"]].get("started", True):
            start(state, job)
    for job in list(state["jobs"].values()):
        if job["array"]:
            follow(state, job)
    if not settings["history"]:
        for job_id in [job_id for job_id, job in state["jobs"].items() if job["state"] == "F"]:
            del state["jobs"][job_id]


def depend(state: dict[str, Any], job: JobData) -> None:
    """Free a job whose dependencies are met; one that never can be is deleted, and shown without an exit status."""
    met = True
    for kind, other_id in job["depend"]:
        other = state["jobs"].get(other_id)
        over = other is not None and finished(other)
        good = over and other is not None and other["exit"] == 0 and other["substate"] != 91
        if kind == "afterany":
            met = met and over
        elif kind == "after":
            met = met and other is not None and (over or bool(other["stime"]))
        elif other is None or (over and good != (kind == "afterok")):
            job.update(state="F", substate=92, exit=None)
            return
        else:
            met = met and over
    if met:
        job["hold"] = job["hold"].replace("s", "") or "n"
        job.update(state="Q" if job["hold"] == "n" else "H", substate=10 if job["hold"] == "n" else 20)
        for each in elements(state, job):
            each.update(state=job["state"], substate=job["substate"], hold=job["hold"])


def start(state: dict[str, Any], job: JobData) -> None:
    """Start it if its chunks find room."""
    hosts = place(state, job)
    if hosts is None:
        possible = all(job["chunk"].get(name, 0) <= most for name, most in NODES["node01"].items())
        if not possible or job["chunks"] > len(NODES):
            job["comment"] = "Can Never Run: Insufficient amount of resource: ncpus"
        else:
            job["comment"] = "Not Running: Not enough free nodes available"
        return
    cpus = job["chunk"].get("ncpus", 1)
    vnodes = "+".join(f"({host}:ncpus={cpus})" for host in hosts)
    job.update(
        state="R",
        substate=41,
        hosts=hosts,
        run_count=job["run_count"] + 1,
        stime=time.time(),
        exec_host="+".join(f"{host}/0" + (f"*{cpus}" if cpus > 1 else "") for host in hosts),
        exec_vnode=vnodes,
        comment=f"Job run at {time.strftime('%a %b %d at %H:%M')} on {vnodes}",
    )
    package = Path(__file__).parent.parent
    subprocess.Popen(
        [sys.executable, "-S", "-E", str(package / "fake_pbs"), "mom", job["id"]],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def place(state: dict[str, Any], job: JobData) -> list[str] | None:
    """A host for each chunk; with the placement scatter, all different."""
    free = {host: dict(has) for host, has in NODES.items() if host not in control()["down_nodes"]}
    for other in state["jobs"].values():
        for host in other.get("hosts", ()) if other["state"] in "RES" else ():
            for name in free.get(host, ()):
                free[host][name] -= other["chunk"].get(name, 0)
    hosts: list[str] = []
    for _ in range(job["chunks"]):
        fits = (h for h, has in free.items() if all(job["chunk"].get(n, 0) <= most for n, most in has.items()))
        host = next((h for h in fits if h not in hosts or not job["place"].startswith("scatter")), None)
        if host is None:
            return None
        hosts.append(host)
        for name in free[host]:
            free[host][name] -= job["chunk"].get(name, 0)
    return hosts


def follow(state: dict[str, Any], array: JobData) -> None:
    """An array's own state is that of its elements."""
    if finished(array):
        return
    parts = elements(state, array)
    if all(finished(part) for part in parts):
        codes = [part["exit"] or 0 for part in parts]
        array.update(state="F", substate=93 if any(codes) else 92, exit=int(any(codes)))
        for part in parts:
            part["state"] = "F"
            if part["substate"] == 91:  # seen: of an element that was deleted, PBS keeps nothing of its own
                part.update(exec_host="", exit=array["exit"], comment="Subjob finished")
    elif any(part["state"] in "REX" for part in parts):
        array.update(state="B", substate=70, comment=f"Job Array Began at {time.strftime('%a %b %d at %H:%M')}")


def end(job: JobData, code: int | None, *, deleted_by: str = "", word: str = "") -> None:
    """Write an end down."""
    words = f"terminated by {deleted_by}" if deleted_by else word or ("finished" if code == 0 else "failed")
    job.update(
        state="X" if job["index"] is not None else "F",
        substate=91 if deleted_by else 92 if code == 0 else 93,
        exit=code,
        obit=time.time(),
        comment=f"{job['comment']} and {words}".removeprefix(" and "),
    )


# ---- the mom ---------------------------------------------------------------------------------------------------


def mom(job_id: str) -> None:
    """Run one job from its start to its end, in a process of its own."""
    with locked() as state:
        job = state["jobs"][job_id]
    spool = root() / "spool"
    spool.mkdir(exist_ok=True)
    nodefile, out, err = (spool / f"{job_id}.{kind}" for kind in ("nodes", "OU", "ER"))
    nodefile.write_text("".join(f"{host}\n" * job["chunk"].get("mpiprocs", 1) for host in job["hosts"]))
    temporary = spool / f"tmp.{job_id}"
    temporary.mkdir(exist_ok=True)
    os.umask(int(job["umask"], 8) if job["umask"] else 0o077)
    with open(out, "wb") as stdout, open(err, "wb") as stderr:
        process = subprocess.Popen(
            ["-" + os.path.basename(job["shell"])],
            executable=job["shell"],
            stdin=subprocess.PIPE,
            cwd=job["home"],
            stdout=stdout,
            stderr=stdout if job["join"] else stderr,
            env=environment(job, nodefile, temporary),
            start_new_session=True,
        )
        with locked() as state:
            state["jobs"][job_id]["session"] = process.pid
        assert process.stdin is not None
        script = re.sub(r"([\[\]])", r"\\\1", job["script"])
        process.stdin.write(f"{script}\n".encode())
        process.stdin.close()
        word = watch(process, job_id, stderr if not job["join"] else stdout)
        code = process.wait()
    deliver(job, out, err)
    shutil.rmtree(temporary, ignore_errors=True)
    with locked() as state:
        now = state["jobs"].get(job_id)
        if now is None or finished(now):  # removed by force
            return
        status = code if code >= 0 else 256 - code
        if word:
            status = MEMORY if "mem" in word else WALLTIME
        elif control()["zero"]:
            status = 0
        if now.pop("rerun", False):
            now.update(state="Q", substate=10, hosts=[], session=0)
        else:
            end(now, status, deleted_by=now.get("deleted_by", ""), word=word)
        pump(state)


def environment(job: JobData, nodefile: Path, temporary: Path) -> dict[str, str]:
    """What a mom gives to a job: next to nothing of who submitted it."""
    threads = str(job["chunk"].get("ompthreads", job["chunk"].get("ncpus", 1)))
    own = {
        "HOME": job["home"],
        "LOGNAME": job["owner"],
        "USER": job["owner"],
        "SHELL": "/bin/bash",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TMPDIR": str(temporary),
        "ENVIRONMENT": "BATCH",
        "NCPUS": threads,
        "OMP_NUM_THREADS": threads,
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": job["id"],
        "PBS_JOBDIR": job["home"],
        "PBS_JOBNAME": job["name"],
        "PBS_NODEFILE": str(nodefile),
        "PBS_NODENUM": "0",
        "PBS_TASKNUM": "1",
        "PBS_QUEUE": job["queue"],
        "PBS_O_QUEUE": job["asked_queue"],
        "PBS_MOMPORT": "15003",
        "PBS_JOBCOOKIE": "C0",
        **job["variables"],
    }
    if job["index"] is not None:
        own |= {"PBS_ARRAY_INDEX": str(job["index"]), "PBS_ARRAY_ID": f"{job['seq']}[].{SERVER}"}
    return own


def watch(process: subprocess.Popen[bytes], job_id: str, log: Any) -> str:
    """Wait for its end, and end it when its wall time is over or somebody deletes it. Returns why, if we did."""
    began, killing, word = time.monotonic(), 0.0, ""
    while process.poll() is None:
        with locked() as state:
            job = state["jobs"].get(job_id)
            limit = job["walltime"] if job else 0
            asked = job is None or job.get("deleted_by") or job.get("rerun")
        now = time.monotonic()
        if not word and not asked and limit and now - began > limit:
            word = "exceeded resource walltime"
            log.write(f"=>> PBS: job killed: walltime {int(now - began)} exceeded limit {limit}\n".encode())
            log.flush()
        if not word and not asked and job_id in control()["over_memory"]:
            word = "exceeded resource mem"
            log.write(b"=>> PBS: job killed: mem 425280kb exceeded limit 51200kb\n")
            log.flush()
        if (word or asked) and not killing:
            killing = now
            to_session(process.pid, signal.SIGTERM)
            with locked() as state:
                if job_id in state["jobs"]:
                    state["jobs"][job_id]["substate"] = 42
        elif killing and now - killing > control()["kill_delay"]:
            to_session(process.pid, signal.SIGKILL)
        time.sleep(0.05)
    to_session(process.pid, signal.SIGKILL)
    return word


def to_session(session: int, number: int) -> None:
    """A signal to every process of a job."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(entry.name), number)
        except (OSError, ValueError):
            continue


def deliver(job: JobData, out: Path, err: Path) -> None:
    """The job's output to where it was asked for."""
    index = "" if job["index"] is None else str(job["index"])
    for source, wanted in ((out, job["output"]), (err, "" if job["join"] else job["error"])):
        if wanted and wanted != "/dev/null":
            target = Path(wanted.replace("^array_index^", index))
            try:
                shutil.copyfile(source, target)
                target.chmod(0o600)
            except OSError:  # as PBS: it mails the user and goes on
                pass
        source.unlink(missing_ok=True)
