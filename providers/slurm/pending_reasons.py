"""Slurm's reasons why a job waits, in words.

The reasons: https://slurm.schedmd.com/job_reason_codes.html and job_state_reason.c
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_WORDS: Mapping[str, str] = {
    "None": "",
    "Priority": "others have a higher priority",
    "Resources": "waits for nodes, cores or memory to become free",
    "Dependency": "waits for another job",
    "DependencyNeverSatisfied": "never starts: a job that it was to follow did not end as required",
    "BeginTime": "waits for its begin",
    "Licenses": "waits for licenses",
    "Reservation": "waits for its reservation",
    "ReservationDeleted": "never starts: its reservation was deleted",
    "ReservationInvalid": "never starts: there is no such reservation",
    "ReqNodeNotAvail": "nodes that it needs are not available",
    "NodeDown": "a node that it needs is down",
    "Constraints": "waits for nodes with the features that it asks for",
    "BadConstraints": "never starts: no node has what it asks for",
    "MaxPoweredUpNodes": "as many nodes are powered up as may be",
    "MpiPortsBusy": "waits for ports of MPI",
    "NvidiaImexChannels": "waits for an IMEX channel of NVIDIA",
    "PartitionConfig": "asks for what the partition does not allow",
    "PartitionNodeLimit": "asks for more or fewer nodes than the partition allows or has in operation",
    "PartitionTimeLimit": "asks for more time than the partition allows",
    "PartitionDown": "the partition starts no jobs now (it is down)",
    "PartitionInactive": "the partition starts no jobs now (it is inactive)",
    "JobHeldAdmin": "held by an administrator",
    "JobHeldUser": "held by its user",
    "JobHoldMaxRequeue": "held, for it was requeued too often",
    "JobArrayTaskLimit": "as many elements run as its own limit allows",
    "AccountNotAllowed": "never starts: the partition is not for its account",
    "QOSNotAllowed": "never starts: its QOS is not for its account or partition",
    "InvalidAccount": "never starts: its account is not valid",
    "InvalidQOS": "never starts: its QOS is not valid",
    "QOSUsageThreshold": "its account has used more than the QOS allows",
    "AccountingPolicy": "a limit of its account or QOS",
    "MaxMemPerLimit": "asks for more memory on a node or for a core than is allowed",
    "BurstBufferResources": "waits for room in the burst buffer",
    "BurstBufferStageIn": "its files are copied into the burst buffer",
    "BurstBufferOperation": "the burst buffer is set up, or that failed",
    "Prolog": "its nodes are prepared",
    "Cleaning": "what is left of its last run is cleaned up",
    "SchedDefer": "the scheduler is to look at it later",
    "FedJobLock": "the federation's clusters agree on where it runs",
    "SystemFailure": "Slurm itself failed",
    "JobLaunchFailure": "it could not be launched",
    "DeadLine": "it cannot end before its deadline",
}
_WHAT: Mapping[str, tuple[str, str]] = {  # what a limit is of: by itself, and before "minutes"
    "BB": ("burst buffer space", "burst buffer"),
    "Billing": ("billing units", "billing"),
    "Cpu": ("cores", "core"),
    "Energy": ("energy", "energy"),
    "GRES": ("GPUs or other devices", "GPU (or other device)"),
    "Job": ("running jobs", "job"),
    "License": ("licenses", "license"),
    "Mem": ("memory", "memory"),
    "Node": ("nodes", "node"),
    "Resource": ("resources", "resource"),
    "SubmitJob": ("submitted jobs", "job"),
    "Time": ("wall time", "time"),
    "Unknown": ("some resource", "resource"),
    "Wall": ("wall time", "time"),
}
_ALIASES = {"CPU": "Cpu", "Memory": "Mem", "Jobs": "Job", "SubmitJobs": "SubmitJob", "WallDuration": "Wall"}
_LIMIT = re.compile(
    rf"(?=QOS|Assoc|Max)(QOS|Assoc(?:iation)?|)(Grp|Max|Min|)({'|'.join(sorted((*_WHAT, *_ALIASES), key=len, reverse=True))})"
    r"(Run)?(Minutes|Mins)?(?:Per(Job|User|Account|Node))?(?:Limit|NotSatisfied)?"
)


def in_words(reason: str) -> str:
    """What the reason means; one that is not known, and what follows it, stay as they are."""
    word, comma, detail = reason.partition(",")
    if word in _WORDS:
        return f"{_WORDS[word]}: {detail.strip(' _')}" if comma else _WORDS[word]
    match = _LIMIT.fullmatch(reason)
    if match is None:
        return reason.replace("_", " ")
    whose, kind, what, running, minutes, scope = match.groups()
    thing, unit = _WHAT[_ALIASES.get(what, what)]
    if minutes:
        thing = f"{unit} minutes"
    owner = "its account" if whose.startswith("Assoc") else "its QOS"
    if kind == "Min":
        return f"{owner} asks for more {thing}"
    scope = " in all" if kind == "Grp" else f" per {scope.lower()}" if scope else ""
    return f"{owner} limits {thing}{' of running jobs' if running else ''}{scope}"
