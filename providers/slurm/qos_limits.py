"""The limits of Slurm's QOS, and which of them bind a job. https://slurm.schedmd.com/resource_limits.html"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.tools import user_name
from psij_parsl.sites.generation.facts import Ask, QueueFacts, least

from .records import minutes

#: Resources of a job, and of all jobs that a user, an account or anybody has running: none of them can be larger.
_MOST = ("maxtres", "maxtrespu", "maxtrespa", "grptres")
_GPUS = "gres/gpu"
_LIFTS = ("PartitionTimeLimit", "PartitionMaxNodes", "PartitionMinNodes")  # flags
_JOBS = ("maxjobspu", "maxsubmitpu", "maxjobspa", "maxsubmitpa")
_OF_USER = (*("account", "qos", "defaultqos"), *("maxwall", "maxtres", "maxjobs", "maxsubmit", "grptres", "grpjobs"))
_FIELDS = ("name", "maxwall", *_MOST, "mintres", *_JOBS, "gracetime", "preempt", "flags")


@dataclass(frozen=True)
class QosLimits:
    """Of a QOS, or of none. `most` has the greatest amount by the kind of limit and the resource."""

    name: str = ""
    minutes: int | None = None
    most: Mapping[tuple[str, str], int] = field(default_factory=dict)
    min_nodes: int | None = None
    jobs: Mapping[str, int] = field(default_factory=dict)
    grace_s: int = 0
    preempts: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()

    @property
    def any(self) -> bool:
        return bool(self.minutes or self.most or self.min_nodes or self.jobs)

    def largest(self, resource: str) -> int | None:
        """The most that a job can have of a resource; it counts as a job of one, as well as by itself."""
        return least(*(self.most.get((kind, resource)) for kind in _MOST))

    def before(self, other: QosLimits) -> QosLimits:
        """These limits, and the other QOS's where these say nothing."""
        return replace(
            self,
            minutes=other.minutes if self.minutes is None else self.minutes,
            most={**other.most, **self.most},
            min_nodes=other.min_nodes if self.min_nodes is None else self.min_nodes,
            jobs={**other.jobs, **self.jobs},
            flags=self.flags | other.flags,
        )

    def without_limits(self) -> QosLimits:
        return QosLimits(self.name, grace_s=self.grace_s, preempts=self.preempts, flags=self.flags)

    @property
    def lifts(self) -> bool:
        """Whether its jobs may go beyond a limit of their partition."""
        return not self.flags.isdisjoint(_LIFTS)

    def of_gpu_types(self) -> dict[str, int]:
        """The most GPUs of each type."""
        start = f"{_GPUS}:"
        types = {resource.removeprefix(start) for _, resource in self.most if resource.startswith(start)}
        return {name: most for name in sorted(types) if (most := self.largest(start + name)) is not None}


class UsersQos(NamedTuple):
    """The QOS that a user may choose, None where that is unknown, and the one of jobs that name none.

    `limits` are those of the associations, as text.
    """

    names: frozenset[str] | None = None
    default: str = ""
    limits: tuple[str, ...] = ()
    associated: bool = False


def in_effect(of_partition: QosLimits, of_job: QosLimits) -> QosLimits:
    """A partition's own QOS goes before the job's, unless that says otherwise."""
    if "OverPartQOS" in of_job.flags:
        return of_job.before(of_partition)
    return of_partition.before(of_job)


def within(queue: QueueFacts, limits: QosLimits, threads: int) -> QueueFacts:
    """A partition's queue with the limits of QOS besides; some flags lift the partition's.

    `threads` are the CPUs of a core: a QOS counts CPUs.
    """
    nodes, cpus, gpus = (limits.largest(resource) for resource in ("node", "cpu", _GPUS))
    lifted = limits.flags
    nothing = 0 in (nodes, cpus, *limits.jobs.values())
    remarks = [*queue.remarks, *(["its QOS lets no job run"] if nothing else [])]
    remarks += [  # Slurm does not hold a job to it that asks for GPUs of any type, as it does without the parameter
        f"at most {most} GPUs {name} for a job that names the type (gpus_per_node = {name}:NUMBER)"
        for name, most in limits.of_gpu_types().items()
    ]
    return replace(
        queue,
        open=queue.open and not nothing,
        remarks=tuple(remarks),
        max_time_min=least(None if "PartitionTimeLimit" in lifted else queue.max_time_min, limits.minutes),
        max_nodes=least(len(queue.nodes or ()) or None if "PartitionMaxNodes" in lifted else queue.max_nodes, nodes),
        min_nodes=max(1 if "PartitionMinNodes" in lifted else queue.min_nodes or 1, limits.min_nodes or 1),
        max_cores=least(queue.max_cores, max(1, cpus // threads) if cpus else None),
        max_gpus=least(queue.max_gpus, gpus),
        running=least(queue.running, limits.jobs.get("maxjobspu")),
        queued=least(queue.queued, limits.jobs.get("maxsubmitpu")),
        project_running=least(queue.project_running, limits.jobs.get("maxjobspa")),
        project_queued=least(queue.project_queued, limits.jobs.get("maxsubmitpa")),
    )


# ---- sacctmgr ------------------------------------------------------------------------------------------------


def all_qos(ask: Ask) -> dict[str, QosLimits]:
    """The QOS by name; none where accounting does not answer."""
    text = ask("sacctmgr", "-n", "-P", "show", "qos", f"format={','.join(_FIELDS)}", optional=True)
    rows = [line.split("|") for line in text.splitlines()]
    return {row[0]: _qos(dict(zip(_FIELDS, row, strict=False))) for row in rows if len(row) >= len(_FIELDS)}


def users_qos(ask: Ask, cluster: str) -> UsersQos:
    """By the associations of whoever asks. Jobs that name no QOS are in the default one; else in the only one, or "normal"."""
    whose = (f"user={user_name()}", f"cluster={cluster.lower()}")
    try:
        text = ask("sacctmgr", "-n", "-P", "show", "assoc", *whose, f"format={','.join(_OF_USER)}")
    except Unavailable:
        return UsersQos()
    rows = [dict(zip(_OF_USER, line.strip().split("|"), strict=False)) for line in text.splitlines()]
    rows = [row for row in rows if row.keys() == {*_OF_USER}]
    names: set[str] = set()
    defaults = set()
    for row in rows:
        own = listed(row["qos"])
        names.update(own)
        defaults.add(row["defaultqos"] or (own[0] if len(own) == 1 else "normal" if "normal" in own else ""))
    limits = [(row["account"], [f"{key}={row[key]}" for key in _OF_USER[3:] if row[key]]) for row in rows]
    return UsersQos(
        frozenset(names),
        defaults.pop() if len(defaults) == 1 else "",
        tuple(f"{account}: {' '.join(own)}" for account, own in limits if own),
        bool(rows),
    )


def _qos(row: Mapping[str, str]) -> QosLimits:
    grace = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", row["gracetime"])
    days, hours, mins, seconds = (int(part or 0) for part in grace.groups()) if grace else (0, 0, 0, 0)
    return QosLimits(
        name=row["name"],
        minutes=minutes(row["maxwall"]),
        most={(kind, resource): most for kind in _MOST for resource, most in _tres(row[kind]).items()},
        min_nodes=_tres(row["mintres"]).get("node"),
        jobs={name: most for name in _JOBS if (most := number(row[name])) is not None},
        grace_s=((days * 24 + hours) * 60 + mins) * 60 + seconds,
        preempts=tuple(listed(row["preempt"])),
        flags=frozenset(listed(row["flags"])),
    )


def _tres(text: str) -> dict[str, int]:
    """`cpu=4,gres/gpu=2,mem=10G`, without what is no plain number."""
    return {key: int(amount) for key, amount in re.findall(r"(?:^|,)([^=,]+)=(\d+)(?=,|$)", text)}


def listed(text: str) -> list[str]:
    """The names of a list such as `a,b`; none for "(null)"."""
    return [part for part in text.strip().split(",") if part not in ("", "(null)", "N/A")]


def number(text: str | None) -> int | None:
    """A number such as `4` or `4000 MB`; None for UNLIMITED and the like."""
    match = re.match(r"\d+\b", text or "")
    return int(match[0]) if match else None
