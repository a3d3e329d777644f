"""The pydantic models of a site file, from which `schema.json` is made.

Text with a unit becomes a number here, by the validators that the command line uses: memory MB, wall times minutes,
the poll interval seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictStr, model_validator
from pydantic_core import PydanticCustomError

from ..job import JobMode
from ..resources.hostlist import numbers
from ..resources.node import Hardware
from .field_types import (
    Count,
    CpuIds,
    GpuIds,
    Memory,
    Minutes,
    Parameters,
    Seconds,
    SiteName,
    Variables,
    Word,
    absolute_path,
    platform_name,
    regular_expression,
    variable_pattern,
)
from .launch_options import LaunchOptions
from .limits import QueueLimits
from .site import SettingRow, Site
from .toml_positions import Key


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Defaults(_Table):
    """What a job gets where the user says nothing."""

    num_nodes: Count | None = Field(default=None, description="compute nodes")
    ranks_per_node: Count | None = Field(default=None, description="ranks on each node")
    cpus_per_rank: Count | None = Field(default=None, description="cores of each rank")
    threads_per_core: Count | None = Field(default=None, description="hardware threads used of each core")
    gpus_per_rank: Annotated[int, Field(ge=0, strict=True)] | None = Field(
        default=None, description="GPUs of each rank"
    )
    memory_per_node: Memory | None = Field(
        default=None, description="memory on each node: '4 GB'; a bare number is MB"
    )
    wall_time_min: Minutes | None = Field(
        default=None, description="wall time: '1h30m', '1:30:00'; a bare number is minutes"
    )
    queue: Word | None = Field(default=None, description="queue or partition")
    project: Word | None = Field(default=None, description="project or allocation that is charged")
    job_mode: JobMode | None = Field(default=None, description="how the script starts the command")
    setup_may_fail: StrictBool | None = Field(
        default=None, description="start the command even if a text of the setup has failed"
    )


class Rule(_Table):
    """One detection rule of a site, with exactly one of the four keys."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    env: Variables | None = Field(default=None, description="environment variables that all have these values")
    hostname: Annotated[StrictStr, AfterValidator(regular_expression)] | None = Field(
        default=None, description="regular expression that matches the whole host name, as `hostname` prints it"
    )
    file: Annotated[StrictStr, AfterValidator(absolute_path)] | None = Field(
        default=None, description="absolute path of a file or directory that exists there and nowhere else"
    )

    manager: Annotated[StrictStr, AfterValidator(platform_name)] | None = Field(
        default=None, description="platform whose resource manager is at home there: for any machine of its kind"
    )

    @model_validator(mode="after")
    def _one(self) -> Rule:
        if len(self.model_fields_set) != 1:
            raise ValueError("must have exactly one of env, hostname, file, manager")
        return self


class QueueModel(_Table):
    """One queue or partition, and its limits."""

    description: StrictStr = Field(default="", description="what it is for, in one line")
    min_nodes: Count | None = Field(default=None, description="least number of nodes of a job")
    max_nodes: Count | None = Field(default=None, description="greatest number of nodes of a job")
    max_wall_time_min: Minutes | None = Field(
        default=None, description="longest wall time: '24h'; a bare number is minutes"
    )
    default: StrictBool = Field(default=False, description="the manager puts jobs here that name no queue")
    strict: StrictBool = Field(
        default=False, description="a job beyond the limits is refused (true) or warned of (false)"
    )

    @model_validator(mode="after")
    def _order(self) -> QueueModel:
        if self.min_nodes is not None and self.max_nodes is not None and self.min_nodes > self.max_nodes:
            raise ValueError(f"has min_nodes {self.min_nodes} above max_nodes {self.max_nodes}")
        return self


class LaunchModel(_Table):
    """How runs are started inside a job, by the site's launcher."""

    options: tuple[StrictStr, ...] = Field(
        default=(), description="further options of the launcher, one word each, e.g. --mpi=pmix"
    )
    mpi: tuple[StrictStr, ...] | None = Field(
        default=None,
        description="the launch line of MPI runs, in place of ours: argv elements, each a jinja2 template",
    )
    serial: tuple[StrictStr, ...] | None = Field(default=None, description="the same for independent copies")
    per_node: tuple[StrictStr, ...] | None = Field(default=None, description="the same for one helper per node")

    def lines(self) -> dict[str, Sequence[str]]:
        """The launch lines that the file sets, by mode."""
        lines = {"mpi": self.mpi, "serial": self.serial, "per_node": self.per_node}
        return {mode: args for mode, args in lines.items() if args}

    def launch_options(self) -> LaunchOptions:
        """The same as plain data."""
        return LaunchOptions(self.options, self.lines())


class NodeModel(_Table):
    """The hardware of its nodes, if all are alike: for runs inside a job, where the manager does not tell."""

    cpus: Count | None = Field(default=None, description="CPUs (hardware threads) of a node")
    threads_per_core: Count = Field(
        default=1, description="hardware threads of a core: those of core 3 of 64 are the CPUs 3, 67, 131, ..."
    )
    gpus: GpuIds = Field(default=(), description="GPU ids as the vendor's variable takes them, or how many there are")
    memory: Memory | None = Field(default=None, description="memory of a node: '512 GB'; a bare number is MB")
    blocked: CpuIds | None = Field(default=None, description="CPU ids that no run gets: '0,52'")
    gpu_cpus: Mapping[str, CpuIds] = Field(
        default_factory=dict, description="for each GPU id the CPU ids nearest to it: '24-31,56-63'"
    )

    @model_validator(mode="after")
    def _agrees(self) -> NodeModel:
        if self.cpus is not None and self.cpus % self.threads_per_core:
            raise ValueError(f"has {self.cpus} CPUs, which are no whole cores of {self.threads_per_core} threads")
        if self.threads_per_core > 1 and self.cpus is None:
            raise ValueError("has threads_per_core and no cpus")
        if strange := [gpu for gpu in self.gpu_cpus if gpu not in self.gpus]:
            raise ValueError(f"has CPUs near to GPU {strange[0]}, which is not among its gpus")
        return self

    def hardware(self) -> Hardware:
        cores = (self.cpus or 0) // self.threads_per_core
        siblings = tuple(tuple(range(core, self.cpus or 0, cores)) for core in range(cores))
        return Hardware(
            cpus=self.cpus,
            gpus=self.gpus,
            memory=self.memory,
            blocked=frozenset(numbers(self.blocked or "")),
            siblings=siblings if self.threads_per_core > 1 else (),
            gpu_cpus={gpu: numbers(cpus) for gpu, cpus in self.gpu_cpus.items()},
        )


class SiteModel(_Table):
    """One machine, as its file describes it."""

    name: SiteName = Field(description="the site's name (default: the file's, without .toml)")
    extends: SiteName | None = Field(
        default=None, description="another site to build on, or its own name: the lower layer's"
    )
    description: StrictStr = Field(default="", description="the machine in one line")
    url: StrictStr = Field(default="", description="where its documentation is")
    platform: StrictStr = Field(description="its resource manager, e.g. slurm")
    launcher: StrictStr | None = Field(
        default=None, description="launch method of parallel jobs (default: the platform's)"
    )
    launch: LaunchModel | None = Field(default=None, description="how runs are started inside a job")
    poll_min: Seconds | None = Field(
        default=None, description="least time between two status queries: '30s', '1m'; a bare number is seconds"
    )
    query_memory: Memory | None = Field(
        default=None, description="memory that one query of the manager may take: '2 GB'; a bare number is MB"
    )
    spool: StrictStr | None = Field(
        default=None,
        description="directory for jobs' folders that compute nodes can write; ~ and $VARIABLES are expanded",
    )
    defaults: Defaults = Field(default_factory=Defaults, description="what a job gets where the user says nothing")
    parameters: Parameters = Field(
        default_factory=dict, description="values for the platform's own parameters, as -X gives them"
    )
    setup: tuple[StrictStr, ...] = Field(
        default=(), description="shell texts run in each job before its command, which is not started if one fails"
    )
    node_environment: tuple[Annotated[StrictStr, AfterValidator(variable_pattern)], ...] = Field(
        default=(),
        description="variables that its nodes set for a job and that win over those of the submitting shell: SCRATCH*",
    )
    environment: Variables = Field(
        default_factory=dict, repr=False, description="environment variables of each job, taken as they stand"
    )
    detect: tuple[Rule, ...] = Field(
        default=(), description="detection rules of the machine; one that matches is enough"
    )
    required: tuple[StrictStr, ...] = Field(
        default=(), description="job fields and parameters that the user must give"
    )
    forbidden: tuple[StrictStr, ...] = Field(
        default=(), description="job fields and parameters that the user must not give"
    )
    queues: Mapping[str, QueueModel] = Field(default_factory=dict, description="its queues by name")
    node: NodeModel | None = Field(default=None, description="the hardware of its nodes")

    @model_validator(mode="after")
    def _agrees(self) -> SiteModel:
        default_queues = [name for name, queue in self.queues.items() if queue.default]
        if len(default_queues) > 1:
            text = f"there can be one default queue, and {default_queues[0]} is one already"
            raise _disagreement(("queues", default_queues[1], "default"), text)
        provided = {*self._defaults(), *self.parameters, *self.required}
        if both := [name for name in self.forbidden if name in provided]:
            text = f"{', '.join(both)} cannot be forbidden and given or required at once"
            raise _disagreement(("forbidden",), text)
        return self

    def to_site(self, origins: Mapping[Key, str]) -> Site:
        """The same as plain data; `origins` say where each value comes from."""
        return Site(
            name=self.name,
            platform=self.platform,
            description=self.description,
            url=self.url,
            launcher=self.launcher,
            launch=None if self.launch is None else self.launch.launch_options(),
            poll_min=self.poll_min,
            query_memory=self.query_memory,
            spool=self.spool,
            defaults=self._defaults(),
            parameters=self.parameters,
            setup=self.setup,
            node_environment=self.node_environment,
            environment=self.environment,
            required=self.required,
            forbidden=self.forbidden,
            queues={name: QueueLimits(**queue.model_dump()) for name, queue in self.queues.items()},
            hardware=None if self.node is None else self.node.hardware(),
            rows=list(_rows(self.model_dump(mode="json", exclude_none=True), (), origins)),
            origins=origins,
        )

    def _defaults(self) -> dict[str, Any]:
        return {name: value for name, value in self.defaults if value is not None}


def _rows(value: Any, key: Key, origins: Mapping[Key, str]) -> Iterator[SettingRow]:
    """Every value that a file sets, with its origin."""
    if isinstance(value, dict):
        for part, inner in value.items():
            yield from _rows(inner, (*key, part), origins)
    elif key in origins:
        yield SettingRow(".".join(map(_key_text, key)), value, origins[key])


def _disagreement(key: Key, text: str) -> PydanticCustomError:
    """A validation error between values, reported at the line of `key`."""
    return PydanticCustomError("disagreement", "{text}", {"key": key, "text": text})


def _key_text(part: str | int) -> str:
    return str(part) if re.fullmatch(r"[\w-]+", str(part), re.ASCII) else f'"{part}"'


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a site file, for editors."""
    schema = _as_toml(SiteModel.model_json_schema())
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "psij-parsl site file"
    del schema["required"]  # the name is the file's own, and a file that builds on another has its platform
    schema["anyOf"] = [{"required": ["platform"]}, {"required": ["extends"]}]
    return cast(dict[str, Any], schema)


def _as_toml(schema: Any) -> Any:
    """Without null, which TOML does not have, and without titles that only repeat the names."""
    if isinstance(schema, list):
        return [_as_toml(part) for part in schema if part != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    plain = {
        key: _as_toml(part)
        for key, part in schema.items()
        if not (key == "title" and isinstance(part, str)) and not (key == "default" and part is None)
    }
    if len(plain.get("anyOf", ())) == 1:
        plain |= plain.pop("anyOf")[0]
    return plain
