"""From what a user asks for to the fields of a job, by a site's node types and queues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidRequest, nearest
from ..job import Job
from ..job_size import FLAGS, without_rivals
from ..platforms.registry import platform
from .findings import Finding
from .job_shape import GPU_PARAMETERS
from .joining import is_unset, joined, not_among
from .node_choice import choose_node_type

if TYPE_CHECKING:
    from ..platforms.templates.parameters import Parameter
    from .queues import NodeType, Queue
    from .settings import Settings
    from .site_data import SiteData
    from .toml_positions import Key

_JOB = frozenset(item.name for item in fields(Job))
#: Who must not ask for GPUs must not in any form.
_GPUS = frozenset(("gpus_per_rank", "gpu_kind", *GPU_PARAMETERS))
#: The same of memory, as options that are passed on say it.
_MEMORY = frozenset(("memory_per_node", "memory", "memory_per_rank", "memory_per_core", "memory_per_gpu"))
#: Fields that come with a queue of which the GPUs do.
GPUS_OF_QUEUE = ("gpus_per_rank", "gpus_per_node")
_NO = ("no", "false", "off", "0")  # of a switch
#: An option by whose name, or as whose resource, it is clear that it asks for GPUs.
_ABOUT_GPUS = re.compile(r"--[^\s=]*gpu|-gpu|-*[^\s=]*[gt]res[^\s=]*[\s=].*gpu", re.IGNORECASE)


class Completion(NamedTuple):
    """The fields of a `Job`, and what the site finds wrong with them. `queues` are those of the job, if known."""

    fields: dict[str, Any]
    findings: tuple[Finding, ...] = ()
    queues: tuple[Queue, ...] = ()
    node_type: NodeType | None = None


class _Layer:
    """Settings, and where in the site's file they are."""

    def __init__(self, key: Key, settings: Settings) -> None:
        self.key, self.settings = key, settings


def completed(site: SiteData, values: Mapping[str, Any]) -> Completion:
    """The job that the values describe, filled up from the site; None stands for "not set"."""
    asked = {name: value for name, value in values.items() if value is not None}
    typed = dict(asked.get("parameters", {}))
    job = {**without_rivals(site.defaults, asked), **asked}
    job["queue"] = job.get("queue") or None
    if not isinstance(job["queue"], str | None):
        raise InvalidRequest(f"queue must be a text, not {job['queue']!r}", hint="give the queue's name")
    queues, findings = find_queues(site, job["queue"], typed)
    node_type = choose_node_type(site, queues, job, typed)
    layers = list(_layers(site, queues, node_type))
    below = [layer.settings for layer in layers[: len(layers) - len(queues)]]
    of_queues, disagreements = _parameters_of(queues)
    job["parameters"] = joined([*(one.parameters for one in below), of_queues, typed], lambda: _declared(site))
    job["environment"] = {
        **{name: value for layer in layers for name, value in layer.settings.environment.items()},
        **asked.get("environment", {}),
    }
    _all_memory(site, job, node_type)
    setup = asked.get("setup", ())
    above = (setup,) if isinstance(setup, str) else tuple(setup)
    setups = [*(one.setup for one in below), *dict.fromkeys(queue.setup for queue in queues)]
    job["setup"] = (*chain.from_iterable(setups), *above)
    filled = {**job["parameters"], **{name: value for name, value in job.items() if name in _JOB}}
    findings += [
        *disagreements,
        *_missing(site, layers, filled),
        *_forbidden(site, layers, asked, typed),
        *_not_to_choose(site, layers, filled),
        *_of_another_queue(site, queues, job.get("project")),
    ]
    _name_queue(site, job, queues, node_type, named=job["queue"] is not None)
    return Completion(job, tuple(findings), tuple(queues), node_type)


def _declared(site: SiteData) -> Mapping[str, Parameter]:
    """The parameters of the site's platform. Loading them takes a while, so they are asked for where they matter."""
    return platform(site.platform).template_class.params


def _all_memory(site: SiteData, job: dict[str, Any], node_type: NodeType | None) -> None:
    """All the memory of a node, where the manager has no word for it: as much as that type has, and no other jobs there."""
    if job.get("memory_per_node") != 0 or node_type is None or not node_type.hardware.memory:
        return
    template = platform(site.platform).template_class
    if "all_memory" not in template.uses:
        job["memory_per_node"] = node_type.hardware.memory
        if "exclusive" in template.params:
            job["parameters"] = {"exclusive": True, **job["parameters"]}


def _layers(site: SiteData, queues: Sequence[Queue], node_type: NodeType | None) -> Iterator[_Layer]:
    yield _Layer((), site)
    if node_type is not None:
        yield _Layer(node_type.key, node_type)
    for queue in queues:
        yield _Layer(("queues", queue.name), queue)


def _name_queue(
    site: SiteData, job: dict[str, Any], queues: Sequence[Queue], node_type: NodeType | None, *, named: bool
) -> None:
    """Put what the manager is told of the queue, and what a run inside the job has to know of it."""
    if node_type is not None and node_type.name:
        job["node_type"] = node_type.name
    if not queues:
        return
    job["queue_name"] = ",".join(queue.name for queue in queues)
    found = queues[0].name != job.get("queue") and len(queues) == 1
    if named or (found and queues[0].own_parameters):
        names = [queue.rendered for queue in queues]
        if job["queue"] not in site.queues:  # also those of a list that we do not know
            names += [part for part in str(job["queue"] or "").split(",") if part not in site.queues]
        job["queue"] = ",".join(dict.fromkeys(filter(None, names))) or None
    if any(queue.gpus_implied for queue in queues):
        job["implied"] = tuple(dict.fromkeys((*job.get("implied", ()), *GPUS_OF_QUEUE)))
    if queues[0].account and job.get("project"):
        rules = [queue.account for queue in site.queues.values() if queue.account]
        job["project_name"] = job["project"]
        job["project"] = account(queues[0].account, job["project"], rules)


def account(rule: str, project: str, rules: Iterable[str]) -> str:
    """What is charged for a project by the rule of a queue; a name that has the form of one of the rules stays."""
    if any(_has_form(other, project) for other in rules):
        return project
    return rule.replace("{project}", project)


def _has_form(rule: str, project: str) -> bool:
    before, _, after = rule.partition("{project}")
    return bool(before or after) and re.fullmatch(f"{re.escape(before)}.+{re.escape(after)}", project) is not None


def _of_another_queue(site: SiteData, queues: Sequence[Queue], project: Any) -> Iterator[Finding]:
    """A project in the form in which another queue's jobs are charged, and not this one's."""
    if not queues or not queues[0].account or not project or _has_form(queues[0].account, str(project)):
        return
    for other in site.queues.values():
        if _has_form(other.account, str(project)):
            text = f"project {project} is of the form for queue {other.name}, and queue {queues[0].name} charges"
            yield Finding("warn", "project", f"{text} {queues[0].account}", "say the project without it")
            return


# ---- the queue -----------------------------------------------------------------------------------------------


def find_queues(site: SiteData, name: str | None, typed: Mapping[str, Any]) -> tuple[list[Queue], list[Finding]]:
    """The queues that a job asks for, by name or by the parameters that are one's own, and what is wrong with that."""
    if not site.queues:
        return [], []
    if name is None:
        base = next((queue for queue in site.queues.values() if queue.default), None)
        found = _by_parameters(site, base, typed)
        return ([found], [*_foreign_parameters(site, found, typed)]) if found is not None else ([], [])
    names = [name] if name in site.queues else [part for part in name.split(",") if part]
    queues, findings = [], []
    if not names:
        findings.append(Finding("refuse", "queue", f"{name!r} names no queue", "name one, or several with commas"))
    for part in names:
        base = site.queues.get(part) or _plain(site, part)
        if base is not None:
            queues.append(_by_parameters(site, base, typed) or base)
            findings += _foreign_parameters(site, queues[-1], typed)
        else:
            strict = all(queue.strict for queue in site.queues.values())
            text = f"{site.name} has no queue {part!r} that we know"
            findings.append(Finding("refuse" if strict else "warn", "queue", text, nearest(part, site.queues)))
    return queues, findings


def _plain(site: SiteData, rendered: str) -> Queue | None:
    """The queue that the manager has by that name, if it is no more than that."""
    found = (one for one in site.queues.values() if one.rendered == rendered and not one.own_parameters)
    return next(found, None)


def _by_parameters(site: SiteData, base: Queue | None, typed: Mapping[str, Any]) -> Queue | None:
    """The queue for a job in `base` that gives these parameters: another one, if they are that one's own."""
    if base is not None and any(name in typed and is_unset(typed[name]) for name in base.own_parameters):
        from .queues import Queue

        base = _plain(site, base.rendered) or Queue(name=base.rendered, node_types=base.node_types)
    told = {name: str(value) for name, value in typed.items() if not is_unset(value)}

    def agreement(queue: Queue) -> int:
        own = {name: str(value) for name, value in queue.own_parameters.items() if name in told}
        return -1 if any(told[name] != value for name, value in own.items()) else len(own)

    if base is not None and agreement(base) == len(base.own_parameters) > 0:
        return base
    others = [
        queue
        for queue in site.queues.values()
        if queue.own_parameters
        and agreement(queue) > 0
        and (base is None or queue.rendered == base.rendered)
        and all(
            name in told or (base is not None and base.own_parameters.get(name) == value)
            for name, value in queue.own_parameters.items()
        )
    ]
    return max(others, key=agreement) if others else base


def _foreign_parameters(site: SiteData, queue: Queue, typed: Mapping[str, Any]) -> Iterator[Finding]:
    """Parameters that are another queue's own, and so may bring limits that are not held against the job."""
    for other in site.queues.values():
        foreign = {
            name: value for name, value in other.own_parameters.items() if queue.own_parameters.get(name) != value
        }
        if foreign and all(str(typed.get(name)) == str(value) for name, value in other.own_parameters.items()):
            said = " and ".join(f"{name}={value}" for name, value in foreign.items())
            text = f"{said} is what queue {other.name} gives: its limits are not looked at in queue {queue.name}"
            yield Finding("warn", "queue", text, f"-q {other.name}")
            return


def _parameters_of(queues: Sequence[Queue]) -> tuple[dict[str, Any], list[Finding]]:
    """The own parameters of the queues, which must be the same for all of them, as all else that a job is told by them."""
    if not queues:
        return {}, []
    first = queues[0]
    for other in queues[1:]:
        differ = {
            "parameters": other.own_parameters != first.own_parameters,
            "accounts": other.account != first.account,
            "requests for GPUs": other.gpus_implied != first.gpus_implied,
        }
        if what := next((what for what, holds in differ.items() if holds), ""):
            text = f"the queues {first.name} and {other.name} need different {what}"
            return first.own_parameters, [Finding("refuse", "queue", text, "name one of them")]
    return first.own_parameters, []


# ---- what must, must not and may be said ---------------------------------------------------------------------


def _missing(site: SiteData, layers: Iterable[_Layer], filled: Mapping[str, Any]) -> Iterator[Finding]:
    for layer in layers:
        for name in layer.settings.required:
            in_any_way = next((kind for kind in (_GPUS, _MEMORY) if name in kind), (name,))
            if all(is_unset(filled.get(one)) for one in in_any_way):
                key = "project" if name == "project" else "required"
                where = site.origin((*layer.key, "required"))
                hint = f"give {flag(name)}; {where} asks for it"
                yield Finding("refuse", key, f"a job on {site.name} must say its {name}", hint)


def _forbidden(
    site: SiteData, layers: Sequence[_Layer], asked: Mapping[str, Any], typed: Mapping[str, Any]
) -> Iterator[Finding]:
    """What is asked for, or said by an option that is passed on as it is, and is forbidden here."""
    if not any(layer.settings.forbidden for layer in layers):
        return
    told = {**typed, **asked}
    passed = {name: value for name, value in typed.items() if value}
    options: dict[str, str] = {}
    if passed and (described := platform(site.platform)).directives:
        from ..platforms.directives.passed_on import options_passed_on

        options = options_passed_on(described.directive_table, passed)
        for kind in (_GPUS, _MEMORY):
            options |= {one: said for word, said in options.items() for one in kind if word in kind}
        options = {**dict.fromkeys(_GPUS, next(_of_gpus(passed), "")), **options}
    for layer in layers:
        for name in layer.settings.forbidden:
            if said := _asked(name, told) or options.get(name, ""):
                where = site.origin((*layer.key, "forbidden"))
                hint = f"leave out {said}; {where} forbids it"
                yield Finding("refuse", "forbidden", f"a job on {site.name} must not ask for {name}", hint)


def _asked(name: str, told: Mapping[str, Any]) -> str:
    """How that field or parameter is asked for, or memory in another way; '' if it is not."""
    for one in (name, *(_MEMORY if name in _MEMORY else ())):
        value = told.get(one)
        if str(value or "no").lower() not in _NO or (value == 0 and one in _MEMORY and value is not False):
            return flag(one)
    return ""


def _of_gpus(passed: Mapping[str, Any]) -> Iterator[str]:
    """The whole options that ask for GPUs by their names or as a resource, also in a way that no other manager has."""
    said = passed.get("directives", ())
    for option in (said,) if isinstance(said, str) else said:
        if _ABOUT_GPUS.match(str(option)):
            yield str(option)


def _not_to_choose(site: SiteData, layers: Iterable[_Layer], filled: Mapping[str, Any]) -> Iterator[Finding]:
    """Values that are none of those that may be chosen; a queue's choices count before the site's."""
    choices = {name: (layer, allowed) for layer in layers for name, allowed in layer.settings.choices.items()}
    declared = _declared(site) if choices else {}
    for name, (layer, allowed) in choices.items():
        if wrong := not_among(declared.get(name), filled.get(name), allowed):
            where = site.origin((*layer.key, "choices", name))
            text = f"{wrong!r} is no {name} on {site.name}"
            yield Finding("refuse", "choices", text, f"{nearest(wrong, map(str, allowed))}; see {where}")


def flag(name: str) -> str:
    """How a person says that field or parameter on the command line."""
    return FLAGS.get(name, name if name in _JOB else f"-X {name}=VALUE")
