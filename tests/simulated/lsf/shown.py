"""Answers in the forms of tests/documented/lsf."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..state import JobData
from .server import REASONS

Settings = Mapping[str, Any]


def date(seconds: float, settings: Settings, *, in_full: bool = False) -> str:
    """A time; without LSB_DISPLAY_YEAR it has no year, and in `bjobs` no seconds."""
    if not seconds:
        return "-"
    year = os.environ.get("LSB_DISPLAY_YEAR", "").upper() == "Y" and settings["year"]
    form = "%b %e %H:%M:%S %Y" if year else "%b %e %H:%M:%S" if in_full else "%b %e %H:%M"
    return time.strftime(form, time.localtime(seconds))


def columns(job: JobData, settings: Settings) -> dict[str, str]:
    """What `bjobs -o` can show of a job; `-` is nothing."""
    stat = settings["state"].get(job["id"], job["state"])
    finish = date(job["ended"], settings)
    if not job["ended"] and job["started"] and job["walltime"]:
        finish = f"{date(job['started'] + job['walltime'], settings)} L"
    slots = job["chunk"].get("slots", 1)
    return {
        "jobid": str(job["number"]),
        "jobindex": str(job["index"] or 0),
        "stat": stat,
        "exit_code": str(job["exit"]) if job["state"] == "EXIT" and job["exit"] is not None else "-",
        "exit_reason": REASONS.get(job["how"], "-"),
        "submit_time": date(job["submitted"], settings),
        "start_time": date(job["started"], settings),
        "finish_time": finish,
        "exec_host": ":".join(f"{slots}*{host}" if slots > 1 else host for host in job["hosts"]) or "-",
        "output_file": job["output"] or "-",
        "job_description": job["description"] or "-",
        "queue": job["queue"],
        "user": job["owner"],
    }


def table(jobs: Sequence[JobData], names: Sequence[str], delimiter: str, settings: Settings) -> str:
    lines = [delimiter.join(name.upper() for name in names)]
    for job in jobs:
        shown = columns(job, settings)
        row = delimiter.join(shown[name] for name in names)
        lines.append(f"{row[:12]}{settings['spoil'][job['id']]}" if job["id"] in settings["spoil"] else row)
    return "".join(f"{line}\n" for line in lines)


def history(job: JobData, settings: Settings) -> str:
    """One job of `bhist -l`."""
    described = f", Job Description <{job['description']}>" if job["description"] else ""
    head = (
        f"Job <{job['id']}>, Job Name <{job['name']}>{described}, User <{job['owner']}>, Project <default>,"
        f" Command <#!/bin/bash;#BSUB -J {job['name']}>"
    )
    events = [
        (
            job["submitted"],
            f"Submitted from host <login1>, to Queue <{job['queue']}>, CWD <{job['directory']}>,"
            f" Output File <{job['output']}>;",
        )
    ]
    if job["started"]:
        slots = job["chunk"].get("slots", 1)
        hosts = " ".join(f"<{slots}*{host}>" if slots > 1 else f"<{host}>" for host in job["hosts"])
        count = slots * len(job["hosts"])
        events += [
            (
                job["started"],
                f"Dispatched {count} Task(s) on Host(s) {hosts}, Allocated {count} Slot(s) on Host(s) {hosts},"
                " Effective RES_REQ <select[type == local] order[r15s:pg] >;",
            ),
            (job["started"], f"Starting (Pid {job['session']});"),
        ]
    if job["state"] == "DONE":
        events.append((job["ended"], "Done successfully. The CPU time used is 0.1 seconds;"))
    elif job["state"] == "EXIT":
        code = f" with exit code {job['exit']}. The CPU time used is 0.1 seconds" if job["exit"] is not None else ""
        reason = f" {REASONS[job['how']]};" if job["how"] in REASONS else ""
        events += [(job["ended"], f"Exited{code};"), (job["ended"], f"Completed <exit>;{reason}")]
    lines = [
        head,
        *(f"{time.strftime('%a', time.localtime(at))} {_when(at, settings)}: {what}" for at, what in events),
    ]
    folded = ["\n".join(textwrap.wrap(line, 80, subsequent_indent=" " * 21, drop_whitespace=False)) for line in lines]
    ending = (
        "Summary of time in seconds spent in various states by  now\n  PEND     PSUSP    RUN\n  0        0        1\n"
    )
    return "\n" + "\n".join(folded) + f"\n\n{ending}"


def _when(at: float, settings: Settings) -> str:
    return date(at, settings, in_full=True)


def queues(known: Mapping[str, Mapping[str, Any]]) -> str:
    """`bqueues -l`."""
    shown = []
    for name, limits in known.items():
        status = (
            "Closed:Active"
            if limits.get("closed")
            else "Open:Active"
            if limits.get("started", True)
            else "Open:Inact"
        )
        limit = f"\nMAXIMUM LIMITS:\n RUNLIMIT\n {limits['walltime'] / 60:.1f} min\n" if "walltime" in limits else ""
        default = "  This is the default queue." if limits.get("default") else ""
        shown.append(
            f"\nQUEUE: {name}\n  -- A queue.{default}\n\nPARAMETERS/STATISTICS\nPRIO NICE STATUS          MAX JL/U\n"
            f" 30    0  {status:<15}   -    -\n{limit}\nUSERS: all\nHOSTS:  all\n"
        )
    return f"\n{'-' * 79}\n".join(shown)
