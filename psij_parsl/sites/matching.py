"""Which queues fit a job, and a job's findings against those that it names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from ..job import Job
from ..job_size import Resources
from .completion import completed
from .findings import Finding
from .job_checks import Problem, node_problems, queue_problems, tier_of, too_few_nodes
from .job_shape import Shape, shape_of, usable_cores
from .node_choice import most_nodes
from .settings import AUTO

if TYPE_CHECKING:
    from .queues import NodeType, Queue
    from .site_data import SiteData

_JOB = frozenset(item.name for item in fields(Job))
_ANY_COMMAND = ("true",)
#: What a job asks for, whichever queue it is in.
_ASKED = (*(item.name for item in fields(Resources)), "wall_time_min", "array")


class Match(NamedTuple):
    """A queue, and all that it finds wrong with a job: nothing, if it fits.

    `longest_min` is the longest wall time that it gives a job of that many nodes, in minutes; None for no limit.
    `idle_gpus`: its nodes have GPUs, and the job asks for none. `idle_parts`: it gives whole nodes, and the job uses
    parts of them.
    """

    queue: Queue
    findings: tuple[Finding, ...]
    node_type: NodeType | None = None
    longest_min: float | None = None
    idle_gpus: bool = False
    idle_parts: bool = False

    @property
    def fits(self) -> bool:
        return not self.findings

    @property
    def rank(self) -> tuple[bool, bool, float, bool, float]:
        """Those that may be chosen unasked come first, then those that leave no GPUs idle, the cheapest, and the shortest
        that suffices."""
        longest = float("inf") if self.longest_min is None else self.longest_min
        charge = 1.0 if self.queue.charge is None else self.queue.charge
        return not self.queue.can_be_chosen, self.idle_gpus, charge, self.idle_parts, longest


def matches(site: SiteData, values: Mapping[str, Any]) -> list[Match]:
    """Every queue of the site for a job that these values describe: those that fit, best first, then the others."""
    return _ordered([_match(site, values, queue) for queue in site.queues.values()])


def everywhere(found: Sequence[Match]) -> list[Finding]:
    """What is wrong with a job in any queue, and so chooses none."""
    return [one for one in found[0].findings if all(one in match.findings for match in found)] if found else []


def apart_from(findings: Collection[Finding], found: Iterable[Match]) -> list[Match]:
    """The same matches, as if these findings were none."""
    return _ordered(
        [match._replace(findings=tuple(one for one in match.findings if one not in findings)) for match in found]
    )


def _ordered(found: Sequence[Match]) -> list[Match]:
    fitting = sorted((match for match in found if match.fits), key=lambda match: match.rank)
    return [*fitting, *(match for match in found if not match.fits)]


def _match(site: SiteData, values: Mapping[str, Any], queue: Queue) -> Match:
    completion = completed(site, {**values, "queue": queue.name})
    job = Job(**{"command": _ANY_COMMAND, **completion.fields})
    findings = (*completion.findings, *_limits_of(site, queue, completion.node_type, job))
    if completion.queues and completion.queues != (queue,):
        other = completion.queues[0].name
        findings = (Finding("refuse", "queue", f"the parameters make it a job of queue {other}"), *findings)
    tier = tier_of(queue, job)
    longest = tier.longest(job.nodes_at_least) if tier else None
    idle = _idle(queue, completion.node_type, shape_of(site.platform, job, values.get("parameters") or {}))
    return Match(queue, findings, completion.node_type, longest, *idle)


def _idle(queue: Queue, node_type: NodeType | None, shape: Shape) -> tuple[bool, bool]:
    """Whether a job leaves the GPUs of its nodes idle, and whether other parts of whole nodes: see `Match`."""
    if node_type is None:
        return False, False
    gpus, cores = len(node_type.hardware.gpus), usable_cores(node_type.hardware) or 0
    parts = queue.whole_nodes and (shape.gpus < gpus if gpus else shape.cores < cores)
    return bool(gpus) and not shape.gpus, parts


def with_best_queue(site: SiteData, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Finding]]:
    """The values, with the name of the best queue in place of `auto`; and, if none fits that may be chosen unasked, the
    reason of each queue."""
    if (values.get("queue") or site.defaults.get("queue")) != AUTO:
        return values, []
    found = matches(site, values)
    found = apart_from(everywhere(found), found)
    unasked = [match for match in found if match.queue.can_be_chosen]
    if all(finding.level == "warn" for match in unasked for finding in match.findings):
        best = next(iter(unasked), None)  # limits that only warn are told later on
    else:
        best = next((match for match in unasked if match.fits), None)
    if best is not None and best.idle_gpus and not all(match.idle_gpus for match in unasked):
        best = None  # where there are nodes without GPUs, those with them are for others
    if best is not None or not found:
        return {**values, "queue": best.queue.name if best else ""}, []
    asked = [match.queue.name for match in found if match.fits]
    reasons = "".join(f"\n    {_reason(match)}" for match in found if not match.fits)
    text = f"no queue of {site.name} takes this job unasked{':' if reasons else ''}{reasons}"
    hint = f"{' or '.join(asked)} would take it if named with -q" if asked else "`psij-run site match` says more"
    return {**values, "queue": ""}, [Finding("refuse", "queue", text, hint)]


def _reason(match: Match) -> str:
    """Why a queue does not take a job, with its name once."""
    name, text = match.queue.name, match.findings[0].text
    return f"{name}: {text.removeprefix(f'queue {name}').removeprefix(':').lstrip()}"


def limits(site: SiteData, job: Job) -> Iterator[Finding]:
    """What the limits of the job's queues and nodes say to it; nothing where the site knows none."""
    queues = _queues_of(site, job)
    if not queues:
        node_type = site.node_types.get(job.node_type) or (site.node_type() if not site.queues else None)
        yield from _limits_of(site, None, node_type, job)
    for queue in queues:
        types = [site.node_types[name] for name in queue.node_types]
        node_type = next((one for one in types if one.name == job.node_type), types[0] if len(types) == 1 else None)
        found = _limits_of(site, queue, node_type, job)
        if found and (others := _others(site, queue, job)):
            first, *rest = found
            found = [first._replace(hint=f"{' or '.join(others)} would take it; {first.hint}"), *rest]
        yield from found


def _queues_of(site: SiteData, job: Job) -> list[Queue]:
    """The queues of a job: of one that was completed by the site, or of one that names them itself."""
    name = job.queue_name or job.queue or ""
    if not name:
        return [queue for queue in site.queues.values() if queue.default]
    return site.queues_named(name)


def _others(site: SiteData, queue: Queue, job: Job) -> list[str]:
    """The other queues that would take the job, of those that may be chosen unasked; the best three."""
    values = {name: value for name in _ASKED if (value := getattr(job, name))}
    given = {**site.parameters, **queue.parameters}
    if job.node_type in site.node_types:
        given |= site.node_types[job.node_type].parameters
    values["parameters"] = {name: value for name, value in job.parameters.items() if given.get(name) != value}
    values["project"] = job.project_name or job.project
    here = {*_match(site, values, queue).findings}  # what another queue finds as well does not speak against it
    others = (one for one in site.queues.values() if one is not queue and one.can_be_chosen)
    matches = [_match(site, values, other) for other in others]
    fitting = sorted((match for match in matches if here.issuperset(match.findings)), key=lambda one: one.rank)
    best = [match for match in fitting if not match.idle_gpus] or fitting
    return [match.queue.name for match in best[:3]]


def _limits_of(site: SiteData, queue: Queue | None, node_type: NodeType | None, job: Job) -> list[Finding]:
    """The findings of one queue, None for the manager's own choice, and of the nodes of that type."""
    found = []
    shape = shape_of(site.platform, job, job.parameters)
    where = f"queue {queue.name}" if queue is not None else site.name
    if queue is not None:
        for problem in queue_problems(queue, node_type, job, shape):
            found.append(_finding(site, queue, f"queue {queue.name} {problem.text}", problem, ("queues", queue.name)))
    if node_type is not None:
        for problem in node_problems(node_type, shape):
            found.append(_finding(site, queue, f"{where}: {problem.text}", problem, node_type.key))
    types = [site.node_types[name] for name in (site.node_types if queue is None else queue.node_types)]
    most, able = most_nodes(site, types, node_type, shape, job.parameters)
    if most is not None and job.nodes_at_least > most and not any(one.key == "nodes" for one in found):
        problem = too_few_nodes(able, most, job.nodes_at_least)
        found.append(_finding(site, queue, f"{where}: {problem.text}", problem, able[0].key))
    return found


def _finding(site: SiteData, queue: Queue | None, text: str, problem: Problem, key: tuple[str, ...]) -> Finding:
    origin = site.line_of(*((*key, name) for name in problem.settings), key)
    hint = "; ".join(filter(None, (problem.hint, f"see {origin}")))
    strict = queue is not None and queue.strict and not problem.soft
    return Finding("refuse" if strict else "warn", problem.key, text, hint)
