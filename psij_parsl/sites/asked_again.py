"""What somebody asked for, from a job that a site has completed: for another attempt at it, with other wishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..job import Job
from ..platforms.registry import platform
from .completion import GPUS_OF_QUEUE
from .joining import is_unset, joined

if TYPE_CHECKING:
    from .site_data import SiteData

#: Fields that only a site gives.
_GIVEN = frozenset({"queue_name", "node_type", "project_name"})


def asked_of(site: SiteData, job: Job) -> dict[str, Any]:
    """The values of which `Site.completion` makes that job. What the site does not give any more counts as asked for."""
    values = {item.name: getattr(job, item.name) for item in fields(Job) if item.name not in _GIVEN}
    values["project"] = job.project_name or job.project
    if job.queue is not None or job.queue_name not in {queue.name for queue in site.queues.values() if queue.default}:
        values["queue"] = job.queue_name or job.queue
    queues = site.queues_named(job.queue_name) if job.queue_name else []
    if any(queue.gpus_implied for queue in queues):
        values["implied"] = tuple(name for name in job.implied if name not in GPUS_OF_QUEUE)
    node_type = site.node_types.get(job.node_type)
    below = [site, *([node_type] if node_type is not None else [])]
    environment = {name: value for one in (*below, *queues) for name, value in one.environment.items()}
    values["environment"] = {name: text for name, text in job.environment.items() if environment.get(name) != text}
    setup = tuple(chain.from_iterable([*(one.setup for one in below), *dict.fromkeys(one.setup for one in queues)]))
    if setup and tuple(job.setup[: len(setup)]) == setup:
        values["setup"] = tuple(job.setup[len(setup) :])
    of_queue = queues[0].own_parameters if queues else {}
    layers = [*(one.parameters for one in below), of_queue]
    values["parameters"] = _asked_parameters(site, layers, job.parameters)
    return values


def _asked_parameters(
    site: SiteData, layers: list[Mapping[str, Any]], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters that have to be asked for, over those of the layers, to get these."""

    def declared() -> Any:
        return platform(site.platform).template_class.params

    given = joined(layers, declared)
    asked: dict[str, Any] = {name: "" for name in given if name not in parameters}
    for name, value in parameters.items():
        if name not in given or is_unset(value):
            asked[name] = value
        elif value != given[name]:
            rest = _without(value, given[name])
            again = joined([*layers, {name: rest}], declared).get(name) if rest else None
            asked[name] = rest if again == value else value
    return asked


def _without(value: Any, given: Any) -> Any:
    """A list without the items that are given anyhow; other values as they are."""
    if isinstance(value, list | tuple) and isinstance(given, list | tuple):
        return [item for item in value if item not in given]
    return value
