"""The pydantic model of a site file, from which `schema.json` is made.

Text with a unit becomes a number here, by the validators that the command line uses: memory MB, wall times minutes,
the poll interval seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    StrictStr,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ...job import JobMode
from ..content import key_text
from ..launch_options import LaunchOptions
from ..site import Site
from ..site_data import Network, SettingRow
from ..toml_positions import Key
from .field_types import (
    SPOOL_TEXT,
    AbsolutePath,
    Count,
    Line,
    Memory,
    Minutes,
    PlatformName,
    QueueName,
    RegularExpression,
    Seconds,
    ShellText,
    Signs,
    SiteName,
    SpoolPath,
    VariablePattern,
    Word,
)
from .node_model import NodeModel
from .queue_model import QueueModel
from .tables import NOT_BESIDE, SettingsTable, Table


class Defaults(Table):
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


class Rule(Table):
    """One detection rule of a site, with exactly one of the five keys."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [name]} for name in ("env", "cluster", "hostname", "file", "manager")]
        }
    )

    env: Signs | None = Field(
        default=None, description="environment variables that all have these values; true: that are set at all"
    )
    cluster: Word | None = Field(
        default=None, description="name of the cluster in the resource manager's configuration file"
    )
    hostname: RegularExpression | None = Field(
        default=None, description="regular expression that matches the whole host name, as `hostname` prints it"
    )
    file: AbsolutePath | None = Field(
        default=None, description="absolute path of a file or directory that exists there and nowhere else"
    )
    manager: PlatformName | None = Field(
        default=None, description="platform whose resource manager is at home there: for any machine of its kind"
    )

    @model_validator(mode="after")
    def _one(self) -> Rule:
        if len(self.model_fields_set - {"source"}) != 1:
            raise ValueError("must have exactly one of env, cluster, hostname, file, manager")
        return self


def _day(value: Any) -> Any:
    text = value.isoformat() if isinstance(value, date) else value
    try:
        date.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ValueError("must be a day such as 2026-11-27") from error
    return text


Day = Annotated[
    StrictStr, BeforeValidator(_day), WithJsonSchema({"type": "string", "pattern": r"^\d{4}-[01]\d-[0-3]\d$"})
]


class LaunchModel(Table):
    """How runs are started inside a job, by the site's launcher."""

    options: tuple[ShellText, ...] = Field(
        default=(), description="further options of the launcher, one word each, e.g. --mpi=pmix"
    )
    mpi: tuple[ShellText, ...] | None = Field(
        default=None,
        description="the launch line of MPI runs, in place of ours: argv elements, each a jinja2 template",
    )
    serial: tuple[ShellText, ...] | None = Field(default=None, description="the same for independent copies")
    per_node: tuple[ShellText, ...] | None = Field(default=None, description="the same for one helper per node")

    def launch_options(self) -> LaunchOptions:
        """The same as plain data."""
        lines = {"mpi": self.mpi, "serial": self.serial, "per_node": self.per_node}
        return LaunchOptions(self.options, {mode: args for mode, args in lines.items() if args})


class NetworkModel(Table):
    """How its nodes are reached."""

    compute: Line | None = Field(
        default=None, description="interface of compute nodes, or a template of their names: {host}.ib.example.org"
    )
    login: Line | None = Field(default=None, description="interface at which workers reach a login node")
    proxy: Line | None = Field(
        default=None, description="proxy by which compute nodes reach the internet, for people: jobs are not given it"
    )


class SpoolModel(Table):
    """Where jobs' folders go."""

    path: SpoolPath = Field(
        description="directory that compute nodes can write; ~, $VARIABLES and {project} are expanded"
    )
    on_nodes: SpoolPath | None = Field(
        default=None, description="what compute nodes call it, if that is another path"
    )


class _SpoolShortForm:
    """Adds the plain text to the JSON Schema."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(core_schema), {"type": "string", "pattern": SPOOL_TEXT}]}


def _spool_table(value: Any) -> Any:
    """The table that a plain text stands for."""
    return {"path": value} if isinstance(value, str) else value


class SiteModel(SettingsTable):
    """One machine, as its file describes it."""

    model_config = ConfigDict(json_schema_extra={"dependentSchemas": {"nodes": {"properties": {"node": NOT_BESIDE}}}})

    name: SiteName = Field(description="the site's name (default: the file's, without .toml)")
    extends: SiteName | None = Field(
        default=None, description="another site to build on, or its own name: the lower layer's"
    )
    description: Line = Field(default="", description="the machine in one line")
    url: Line = Field(default="", description="where its documentation is")
    contact: Line = Field(default="", description="whom its users ask")
    verified: Day | None = Field(
        default=None, description="the day on which somebody held this file against its sources: 2026-11-27"
    )
    sources: Mapping[Line, Line] = Field(
        default_factory=dict, description="where facts come from, each with its date; tables name them by `source`"
    )
    platform: PlatformName = Field(description="its resource manager, e.g. slurm")
    launcher: Line | None = Field(
        default=None, description="launch method of parallel jobs (default: the platform's)"
    )
    launch: LaunchModel | None = Field(default=None, description="how runs are started inside a job")
    poll_min: Seconds | None = Field(
        default=None, description="least time between two status queries: '30s', '1m'; a bare number is seconds"
    )
    query_memory: Memory | None = Field(
        default=None, description="memory that one query of the manager may take: '2 GB'; a bare number is MB"
    )
    spool: Annotated[SpoolModel, BeforeValidator(_spool_table), _SpoolShortForm()] | None = Field(
        default=None,
        description=(
            "directory for jobs' folders that compute nodes can write; ~, $VARIABLES and {project} are expanded; a table"
            " if they know it by another path"
        ),
    )
    network: NetworkModel | None = Field(default=None, description="how its nodes are reached")
    defaults: Defaults = Field(default_factory=Defaults, description="what a job gets where the user says nothing")
    node_environment: tuple[VariablePattern, ...] = Field(
        default=(),
        description="variables that its nodes set for a job and that win over those of the submitting shell: SCRATCH*",
    )
    detect: tuple[Rule, ...] = Field(
        default=(), description="detection rules of the machine; one that matches is enough"
    )
    node: NodeModel | None = Field(default=None, description="its nodes, if all are alike")
    nodes: Mapping[Word, NodeModel] = Field(default_factory=dict, description="its node types by name")
    queues: Mapping[QueueName, QueueModel] = Field(default_factory=dict, description="its queues by name")

    def named_sources(self) -> Iterator[tuple[Key, str]]:
        """Each `source` of a table, with the table's key."""

        def named(table: Any, key: Key) -> Iterator[tuple[Key, str]]:
            if isinstance(table, Table):
                if table.source is not None:
                    yield key, table.source
                for name, value in table:
                    yield from named(value, (*key, name))
            elif isinstance(table, Mapping):
                for name, value in table.items():
                    yield from named(value, (*key, name))
            elif isinstance(table, tuple):
                for at, value in enumerate(table):
                    yield from named(value, (*key, at))

        yield from named(self, ())

    def to_site(self, origins: Mapping[Key, str]) -> Site:
        """The same as plain data; `origins` say where each value comes from."""
        nodes = {"": self.node} if self.node is not None else self.nodes
        network = self.network or NetworkModel()
        return Site(
            name=self.name,
            platform=self.platform,
            description=self.description,
            url=self.url,
            contact=self.contact,
            verified=self.verified or "",
            launcher=self.launcher,
            launch=None if self.launch is None else self.launch.launch_options(),
            poll_min=self.poll_min,
            query_memory=self.query_memory,
            spool=self.spool.path if self.spool else None,
            spool_on_nodes=(self.spool.on_nodes or "") if self.spool else "",
            network=Network(network.compute or "", network.login or "", network.proxy or ""),
            defaults=self.given(),
            node_environment=self.node_environment,
            queues={name: queue.to_queue(name, tuple(nodes)) for name, queue in self.queues.items()},
            node_types={name: node.to_node_type(name) for name, node in nodes.items()},
            rows=self._rows(origins),
            origins=origins,
            sources={".".join(map(str, key)): self.sources.get(name, "") for key, name in self.named_sources()},
            **self.settings(),
        )

    def _rows(self, origins: Mapping[Key, str]) -> list[SettingRow]:
        """Every value that a file sets, in the order of the files."""
        tables = {key[:-1] for key in origins}
        rows = list(_rows(self.model_dump(mode="json", exclude_none=True), (), origins, tables))
        paths = list(dict.fromkeys(_place(row.origin)[0] for row in rows))
        return sorted(rows, key=lambda row: (paths.index(_place(row.origin)[0]), _place(row.origin)[1]))

    def given(self) -> dict[str, Any]:
        """The defaults that it has."""
        return {name: value for name, value in self.defaults if value is not None and name != "source"}


def _rows(value: Any, key: Key, origins: Mapping[Key, str], tables: Collection[Key]) -> Iterator[SettingRow]:
    """Every value that a file sets, with its origin. `tables` are the keys that have others below them."""
    if isinstance(value, dict) and (key in tables or key not in origins):
        for part, inner in value.items():
            yield from _rows(inner, (*key, part), origins, tables)
    elif key in origins:
        if isinstance(value, dict):  # the short form of a table: what it has set
            value = next((part for part in value.values() if part), "")
        yield SettingRow(key_text(key), value, origins[key])


def _place(origin: str) -> tuple[str, int]:
    """The path and the line of an origin; 0 where it names no line."""
    path, _, line = origin.rpartition(":")
    return (path, int(line)) if line.isdigit() else (origin, 0)
