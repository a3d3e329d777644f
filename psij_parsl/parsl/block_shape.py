"""The resources of a provider's blocks, validated and completed from the site when the provider is created."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidRequest, nearest
from ..job import JOB_MODES, Job
from ..platforms.platform import Platform
from ..platforms.templates.template import FIXED
from ..sites.findings import settle
from ..sites.job_shape import gpu_count
from . import checked
from .vocabulary import Translation, minutes, scheduler_options, translated

if TYPE_CHECKING:
    from ..sites import Site

log = logging.getLogger("parsl.psij")  # below Parsl's logger, so that it is written to parsl.log

_SITES_OWN = ("environment", "setup", "setup_may_fail", "queue_name", "node_type", "project_name", "implied")
_FIXED = ("num_nodes", "wall_time_min", "queue", "project")


@dataclass(frozen=True)
class BlockShape:
    """Resources of a block. `mem_per_node` is GB; `parameters` are the platform's own.

    `node_parameters` maps `cores_per_node` and `gpus_per_node` to the platform's parameters for them. `of_site` are
    fields of a job that only its site gives.
    """

    platform: Platform
    job_mode: str = "serial"
    num_nodes: int = 1
    wall_time_min: int = FIXED["wall_time_min"].default
    queue: str | None = None
    project: str | None = None
    cores_per_node: int | None = None
    mem_per_node: float | None = None
    gpus_per_node: int | str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    site: Site | None = None
    node_parameters: Mapping[str, str] = field(default_factory=dict)
    of_site: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        platform: Platform,
        site: Site | None,
        job_mode: str,
        arguments: Mapping[str, Any],
        node_parameters: Mapping[str, str],
    ) -> BlockShape:
        """The shape that the arguments describe, completed from the site, and checked.

        Raises `InvalidRequest` for unknown arguments, and for what the platform or the site refuses.
        """
        if job_mode not in JOB_MODES:
            raise InvalidRequest(f"unknown job mode {job_mode!r}", hint=nearest(job_mode, JOB_MODES))
        job = {} if site is None else _from_site(site, arguments, platform.template_class.params)
        of_site = {name: job[name] for name in _SITES_OWN if name in job}
        values = _completed(arguments, platform, job, node_parameters)
        fields = {name: values.pop(name) for name in list(values) if name in cls.__dataclass_fields__}
        fields = checked.node(fields, kinds="gpus_per_node" in platform.template_class.params)
        shape = cls(
            platform,
            job_mode,
            parameters=values,
            site=site,
            node_parameters=node_parameters,
            of_site=of_site,
            **fields,
        )
        shape._check()
        return shape

    def job(self, command: str, name: str) -> Job:
        """The job of a block that runs this shell text.

        It has one rank on each node; for MPI tasks one for each core, because the runs inside need these slots.
        """
        parameters, cores = dict(self.parameters), self.cores_per_node or 1
        ranks: dict[str, Any] = {"ranks_per_node": 1, "cpus_per_rank": cores}
        if self.job_mode == "mpi":
            ranks = {"ranks_per_node": cores, "cpus_per_rank": 1}
        implied = self.of_site.get("implied", ())
        if self.gpus_per_node is not None:
            parameter = self.node_parameters.get("gpus_per_node", "gpus_per_node")
            if parameter in self.platform.template_class.params and "gpus_per_rank" not in implied:
                parameters[parameter] = self.gpus_per_node
            else:
                ranks["gpus_per_node"] = gpu_count(self.gpus_per_node)
        if self.mem_per_node is not None:
            ranks["memory_per_node"] = math.ceil(self.mem_per_node * 1024)
        return Job(
            command=["bash", "-c", command],
            num_nodes=self.num_nodes,
            wall_time_min=self.wall_time_min,
            queue=self.queue,
            project=self.project,
            job_mode="script",
            name=name,
            parameters=parameters,
            **self.of_site,
            **ranks,
        )

    @property
    def method(self) -> str:
        """The launch method that reaches all nodes."""
        return (self.site.launcher if self.site is not None else "") or self.platform.launcher

    @property
    def exports(self) -> dict[str, str]:
        """Variables for Parsl's worker pools: their share of a node, as far as it is known."""
        shares = {"PARSL_CORES": self.cores_per_node, "PARSL_MEMORY_GB": self.mem_per_node}
        return {name: str(value) for name, value in shares.items() if value is not None}

    def _check(self) -> None:
        """Render a block's script as a test, and check the job against the site's limits."""
        from ..jobs.file_settings import FileSettings, JobPlace
        from ..jobs.job_files import render

        job = self.job("true", "parsl")
        settings = FileSettings(template=self.platform.template_class, platform=self.platform.name)
        render(settings, job, JobPlace("JOB", "psij:JOB", Path("/JOB")))
        for finding in settle(self.site.check(job)) if self.site is not None else ():
            log.warning("%s", finding)


def merged_arguments(
    own: Mapping[str, Any], further: Mapping[str, Any], platform: Platform, translations: Mapping[str, Translation]
) -> dict[str, Any]:
    """All arguments that describe a block's shape, by our names: a provider's `own`, and the `further` ones.

    Raises `InvalidRequest` for an argument that is given twice.
    """
    arguments = {name: value for name, value in own.items() if value is not None}
    if platform.directives:
        translations = {"scheduler_options": partial(scheduler_options, platform), **translations}
    for name, value in translated(further, platform.template_class.params, translations).items():
        if name in arguments:
            raise InvalidRequest(f"{name} is said twice, in different words", hint="leave one out")
        if value is not None:
            arguments[name] = value
    if "wall_time_min" in arguments:
        arguments["wall_time_min"] = minutes("wall_time_min", arguments["wall_time_min"])
    ordered = (name for name in (*own, *arguments) if name in arguments)  # one order, whichever names were used
    return {name: arguments[name] for name in ordered}


def find_site(site: str | Site | None, platform: Platform) -> Site | None:
    """The site, also by its name. Raises `SiteError`, or `InvalidRequest` if it is of another platform."""
    if site is None:
        return None
    if isinstance(site, str):
        from ..sites import find

        site = find(site)
    if site.platform != platform.name:
        raise InvalidRequest(
            f"the site {site.name} runs {site.platform}, not {platform.name}",
            hint=f"psij_parsl.site({site.name!r}).parsl_config() takes the right provider",
        )
    return site


def _completed(
    arguments: Mapping[str, Any], platform: Platform, job: Mapping[str, Any], node_parameters: Mapping[str, str]
) -> dict[str, Any]:
    """The arguments, completed from the site's `job`, if there is one; without a number of cores, nodes are exclusive."""
    declared = platform.template_class.params
    site_values = {**{name: job.get(name) for name in _FIXED}, **node(job), **job["parameters"]} if job else {}
    of_job = {*declared, "queue", "project"} - {"gpus_per_node"}
    own = {name: value for name, value in arguments.items() if not job or name not in of_job}
    values = {**{name: value for name, value in site_values.items() if value is not None}, **own}
    for name, parameter in node_parameters.items():
        if values.get(parameter) is not None:
            values.setdefault(name, declared[parameter].convert(values[parameter]))
    if "cores_per_node" not in values and "exclusive" in declared:
        values.setdefault("exclusive", True)
    if "requeue" in declared:  # a requeued block waits and does not run: Parsl asks for another one
        values.setdefault("requeue", False)
    return values


def _from_site(site: Site, arguments: Mapping[str, Any], declared: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a job that a site makes of a block's arguments. Raises `InvalidRequest` for what it refuses."""
    gpus, memory = gpu_count(arguments.get("gpus_per_node")), arguments.get("mem_per_node")
    ranks = site.defaults.get("ranks_per_node", 1)
    values = {
        **{name: arguments[name] for name in _FIXED if name in arguments},
        **({"gpus_per_rank": math.ceil(gpus / ranks)} if gpus else {}),
        **({"memory_per_node": math.ceil(memory * 1024)} if isinstance(memory, int | float) else {}),
        "parameters": {
            name: value for name, value in arguments.items() if name in declared and name != "gpus_per_node"
        },
    }
    if memory is None:  # a block has all of a node: all of its memory where it must say how much
        completion = site.completion(values)
        tables = (site, *completion.queues)
        node_type = completion.node_type
        if node_type is not None and any("memory_per_node" in table.required for table in tables):
            values["memory_per_node"] = node_type.hardware.memory
    return site.complete(values)


def node(job: Mapping[str, Any]) -> dict[str, Any]:
    """A site's rank shape as totals of a node: a worker pool gets all of it, however many ranks a job would have."""
    ranks, cores, gpus = (job.get(name) for name in ("ranks_per_node", "cpus_per_rank", "gpus_per_rank"))
    memory = job.get("memory_per_node")
    return {
        "cores_per_node": (ranks or 1) * (cores or 1) if ranks or cores else None,
        "gpus_per_node": (ranks or 1) * gpus if gpus else None,
        "mem_per_node": memory / 1024 if memory else None,
    }
