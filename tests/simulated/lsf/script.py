"""What bsub takes: options, and the `#BSUB` lines of the whole script, wherever they stand."""

from __future__ import annotations

import os
import re
import sys

from ..manager import Refused
from ..options import indices, split_words
from ..state import JobData
from ..state import request as fresh

_FLAGS = frozenset(("-x", "-r", "-rn", "-ti", "-H", "-N", "-B"))
_PLAIN = {"-q": "queue", "-P": "project", "-G": "project", "-o": "output", "-e": "error", "-Jd": "description"}
_IGNORED = frozenset(("-app", "-U", "-alloc_flags", "-m", "-L"))
_CONDITIONS = {"done": "afterok", "ended": "afterany", "exit": "afternotok", "started": "after"}
_IN_MB = {"KB": 1 / 1024, "MB": 1, "GB": 1024}


def read(words: list[str]) -> JobData:
    """A job from bsub's command line and its standard input."""
    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    lines = [line.removeprefix("#BSUB") for line in text.split("\n") if line.startswith("#BSUB")]
    if not text.startswith("#!"):
        text = f"#!/bin/sh\n{text}"
    job = fresh(text, "script")
    job.update(join=True, description="", csm=False, requeue_codes=[], ptile=0, slots_asked=1)
    job["directory"] = os.getcwd()
    for line in lines:
        try:
            take(job, split_words(line))
        except ValueError as error:
            raise Refused(255, f"Bad argument: {error}. Job not submitted.") from error
    take(job, words)
    slots = job["ptile"] or job["slots_asked"]
    if not job["csm"]:
        job["chunks"] = -(-job["slots_asked"] // slots)
        job["chunk"]["slots"] = slots
    job["scatter"] = True
    return job


def take(job: JobData, words: list[str]) -> None:
    """The options of one line."""
    rest = iter(words)
    for option in rest:
        if option in _FLAGS:
            job["hold"] += "u" if option == "-H" else ""
            continue
        value = next(rest, "")
        if not option.startswith("-") or not value:
            raise Refused(255, f"Bad argument for option {option}. Job not submitted.")
        _set(job, option, value)


def _set(job: JobData, option: str, value: str) -> None:
    if option in _PLAIN:
        job[_PLAIN[option]] = value
    elif option == "-J":
        match = re.fullmatch(r"([^\[\]%]*)(?:\[([\d,:-]+)\](?:%(\d+))?)?", value)
        if match is None:
            raise Refused(255, "Bad job name. Job not submitted.")
        job.update(name=match[1], array=indices(match[2]) if match[2] else [], slots=int(match[3] or 0))
        if job["array"] and (min(job["array"]) < 1 or max(job["array"]) > 1000):
            raise Refused(255, "Job array index too large. Job not submitted.")
    elif option == "-W":
        hours, _, minutes = value.rpartition(":")
        job["walltime"] = (int(hours or 0) * 60 + int(minutes)) * 60
    elif option == "-n":
        job["slots_asked"] = int(value)
    elif option == "-nnodes":
        job.update(csm=True, chunks=int(value), chunk={"slots": 8})
    elif option == "-R":
        _requirement(job, value)
    elif option == "-gpu":
        job["chunk"]["gpus"] = int(re.findall(r"num=(\d+)", value)[0])
    elif option == "-w":
        for part in value.split("&&"):
            kind, _, job_id = part.strip().removesuffix(")").partition("(")
            whole = job_id.removesuffix("[*]")
            job["depend"].append([_CONDITIONS[kind] if whole == job_id else "aftercorr", whole])
    elif option == "-Q":
        job["requeue_codes"] = [int(code) for code in value.split()]
    elif option == "-M":
        megabytes(value)
    elif option not in _IGNORED:
        raise Refused(255, f"{option}: Illegal option. Job not submitted.")


def _requirement(job: JobData, value: str) -> None:
    section, _, content = value.removesuffix("]").partition("[")
    if section == "span":
        name, _, number = content.partition("=")
        if name == "ptile":
            job["ptile"] = int(number)
    elif section == "rusage":
        for pair in content.split(","):
            name, _, amount = pair.partition("=")
            if name == "mem":
                job["chunk"]["mem"] = megabytes(amount)
    elif section not in ("select", "order", "same", "cu", "affinity"):
        raise Refused(255, f'Error near "{section}" : unknown section. Job not submitted.')


def megabytes(amount: str) -> int:
    """`4096MB`; a bare number is KB."""
    match = re.fullmatch(r"(\d+)(KB|MB|GB)?", amount)
    if match is None:
        raise Refused(255, "Error in rusage section. Job not submitted.")
    return int(int(match[1]) * _IN_MB[match[2] or "KB"])
