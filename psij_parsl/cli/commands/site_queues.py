"""`site queues` and `match`: a machine's queues with their limits, and those that fit a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...errors import InvalidRequest
from ...sites import find
from ...sites.job_checks import time_text
from ...sites.matching import Match, apart_from, everywhere, matches
from ..command import Command, Invocation
from ..flags import JSON
from ..job_flags import job_flags
from ..job_from_flags import FlagLayer, check_parameters, fields, from_environment, merge
from ..output import Column, Renderer
from .sites import CHOICE, ONE_SITE, chosen

if TYPE_CHECKING:
    from ...sites import Queue, Site

_QUEUES = (
    Column("name", "QUEUE"),
    Column("nodes", "NODES"),
    Column("time", "TIME", wraps=True),
    Column("node_types", "OF TYPE", wraps=True),
    Column("jobs", "JOBS", wraps=True),
    Column("charge", "CHARGE", wraps=True),
    Column("notes", "NOTES", wraps=True),
)
_TYPES = (
    Column("name", "NODES"),
    Column("count", "COUNT"),
    Column("cores", "CORES"),
    Column("cpus", "CPUS"),
    Column("gpus", "GPUS"),
    Column("memory", "MB"),
    Column("description", "DESCRIPTION", wraps=True),
)
_MATCHES = (
    Column("queue", "QUEUE"),
    Column("fits", "FITS"),
    Column("time", "UP TO", wraps=True),
    Column("charge", "CHARGE", wraps=True),
    Column("why", "NOTES", wraps=True),
)


def _queues(out: Renderer, invocation: Invocation) -> int:
    site = find(chosen(invocation), placing=False)
    if not site.queues:
        out.note(f"the file of {site.name} names no queues: the manager knows them")
    rows = [row for queue in site.queues.values() for row in _rows(queue)]
    types = [_type_row(site, name) for name in site.node_types]
    if out.json:
        out.record(
            {"site": site.name, "queues": [_data(queue) for queue in site.queues.values()], "nodes": types}, ()
        )
        return 0
    out.table(_QUEUES, rows)
    if types:
        out.out.write("\n" if rows else "")
        out.table(_TYPES, types)
    return 0


def _rows(queue: Queue) -> Iterator[dict[str, Any]]:
    """A row for each tier of a queue; the first one says what holds of all of them."""
    for at, tier in enumerate(queue.tiers):
        row: dict[str, Any] = {
            "name": queue.name,
            "nodes": _range(tier.min_nodes, tier.max_nodes),
            "time": _times(queue.min_time_min, tier.max_time_min),
            "notes": f"runs in {tier.leads_to}" if tier.leads_to else "",
        }
        if not at:
            notes = (_notes(queue), str(row["notes"]))
            row |= {
                "node_types": ", ".join(name for name in queue.node_types if name),
                "jobs": _cap(queue),
                "charge": queue.charge,
                "notes": "; ".join(filter(None, notes)),
            }
        yield row


def _notes(queue: Queue) -> str:
    marks = [
        (queue.default, "default"),
        (not queue.strict, "limits only warn"),
        (queue.preempt_grace_s is not None, "preemptable"),
        (not queue.auto, "by name only"),
        (queue.gpus_implied, "GPUs come with it"),
    ]
    return "; ".join([*(text for holds, text in marks if holds), *([queue.description] if queue.description else [])])


def _cap(queue: Queue) -> str:
    caps = ((queue.jobs, ""), (queue.project_jobs, " of a project"))
    texts = []
    for cap, whose in caps:
        parts = ((cap.running, "running"), (cap.queued, "queued"))
        if said := ", ".join(f"{number} {what}" for number, what in parts if number is not None):
            texts.append(said + whose)
    return "; ".join(texts)


def _range(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def _times(least_min: int | None, most_min: int | None) -> str:
    parts = ((least_min, "from"), (most_min, "to"))
    return " ".join(f"{word} {time_text(minutes)}" for minutes, word in parts if minutes is not None)


def _type_row(site: Site, name: str) -> dict[str, Any]:
    from ...sites.job_shape import usable_cores

    node_type = site.node_types[name]
    hardware = node_type.hardware
    gpus = f"{len(hardware.gpus)} {node_type.gpu_kind}".strip() if hardware.gpus else ""
    return {
        "name": name or "all",
        "count": node_type.count,
        "cores": usable_cores(hardware),
        "cpus": hardware.cpus,
        "gpus": gpus,
        "memory": hardware.memory,
        "description": node_type.description,
    }


def _data(queue: Queue) -> dict[str, Any]:
    from dataclasses import asdict

    data = asdict(queue)
    del data["environment"]  # its values may be secret
    return data


def _match(out: Renderer, invocation: Invocation) -> int:
    values = merge([FlagLayer(invocation.texts), from_environment()])
    site = find(chosen(invocation), placing=False)
    if not site.queues:
        raise InvalidRequest(
            f"the file of {site.name} names no queues", hint="`psij-run platform show` asks the manager for them"
        )
    job_fields = fields(values, site_ranks_per_node=site.defaults.get("ranks_per_node"))
    if job_fields.get("parameters"):
        from ...platforms.registry import platform

        check_parameters(job_fields["parameters"], site.platform, platform(site.platform).template_class)
    job_fields.setdefault(
        "project", site.defaults.get("project") or "PROJECT"
    )  # whichever it is, the queues are these
    found = matches(site, job_fields)
    unsaid = [finding for finding in everywhere(found) if finding.key == "required"]
    for finding in unsaid:  # whatever it is, the queues are these
        out.note(str(finding))
    found = apart_from(unsaid, found)
    out.table(_MATCHES, [_match_row(match, full=out.json) for match in found])
    return 0 if any(match.fits for match in found) else 2


def _match_row(match: Match, *, full: bool) -> dict[str, Any]:
    queue = match.queue
    unasked = "" if queue.can_be_chosen else "by name only: -q auto does not take it"
    return {
        "queue": queue.name,
        "fits": match.fits if full else "yes" if match.fits else "no",
        "time": time_text(match.longest_min) if match.longest_min is not None and match.fits else "",
        "charge": queue.charge,
        "why": "; ".join(finding.text for finding in match.findings)
        or "; ".join(filter(None, (unasked, queue.description))),
    }


QUEUES = Command(
    "queues",
    "Show the queues of a machine, with their limits, and its node types.",
    _queues,
    (*CHOICE, JSON),
    ONE_SITE,
    examples=("psij-run site queues", "psij-run site queues frontier"),
)
MATCH = Command(
    "match",
    "Show which queues of a machine fit a job, the best one first, and for the others why not.",
    _match,
    job_flags(
        "nodes",
        "ntasks",
        "ntasks_per_node",
        "cpus_per_task",
        "threads_per_core",
        "gpus_per_task",
        "mem",
        "time",
        "account",
        "array",
        "parameters",
        "site",
        "config",
        "json",
    ),
    ONE_SITE,
    details=(
        "By charge, and then by the shortest wall time that suffices; queues for tests, preemptable ones and those by"
        " request come last, and so do those whose GPUs the job does not use. `submit -q auto` takes the first one"
        " that may be taken unasked. What the site requires of any job, and is not said, is told first. Exits with 2 if"
        " none fits."
    ),
    examples=("psij-run site match -N 4 -g 4 -t 2h", "psij-run site match lumi -N 64 -t 1d"),
)
