"""The settings of one machine as plain data, and where each of them comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ..errors import SiteError
from .settings import Settings
from .spool import expanded

if TYPE_CHECKING:
    from ..resources.allocation import Allocation
    from ..resources.node import Hardware
    from .launch_options import LaunchOptions
    from .queues import NodeType, Queue

BUILT_IN = "built in"


class SettingRow(NamedTuple):
    """One value of a site, and its origin."""

    key: str
    value: Any
    origin: str


class Network(NamedTuple):
    """How nodes are reached: interfaces or a template of names, and the proxy to the internet; '' where unknown."""

    compute: str = ""
    login: str = ""
    proxy: str = ""


_NO_NETWORK = Network()


@dataclass(frozen=True, kw_only=True)
class SiteData(Settings):
    """One machine: which platform and launcher, and what jobs there need. See `docs/how-to/sites.md` for the values.

    `defaults` are the fields of a job that the site fills in where the user says nothing. `node_types` are what it
    says of its nodes; one that has no types of them has one with the name ''. `poll_min` is in seconds, `query_memory`
    in MB. `spool_on_nodes` is what compute nodes call the spool directory, '' for the same. `rows` are the values that a file sets, in the order of the file, and `origins` where: "path:line";
    `sources` are where they come from, by the dotted key of a table. `file` is the path of the site file, if it was named by a
    person and is in none of the layers; else ''.
    """

    name: str
    platform: str
    description: str = ""
    url: str = ""
    contact: str = ""
    verified: str = ""
    launcher: str | None = None
    launch: LaunchOptions | None = None
    poll_min: float | None = None
    query_memory: int | None = None
    spool: str | None = None
    spool_on_nodes: str = ""
    network: Network = _NO_NETWORK
    defaults: Mapping[str, Any] = field(default_factory=dict)
    node_environment: tuple[str, ...] = ()
    node_types: Mapping[str, NodeType] = field(default_factory=dict)
    queues: Mapping[str, Queue] = field(default_factory=dict)
    rows: Sequence[SettingRow] = field(default=(), repr=False, compare=False)
    origins: Mapping[tuple[str | int, ...], str] = field(default_factory=dict, repr=False, compare=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    file: str = ""

    @property
    def built_in(self) -> bool:
        """Whether it is the site of a host that no file describes."""
        return self.origin("platform") == BUILT_IN

    def named_by(self, file: str) -> Self:
        """The same site, which knows the path that it was read from."""
        return replace(self, file=file)

    def origin(self, key: str | Sequence[str | int]) -> str:
        """The origin of a value: "path:line" for `defaults.queue`; "default" where no file sets it.

        Pass a key that itself holds a dot as a sequence: `("queues", "gpu.large", "max_nodes")`.
        """
        return self.origins.get(tuple(key.split(".") if isinstance(key, str) else key), "default")

    def line_of(self, *keys: Sequence[str | int]) -> str:
        """The origin of the first of these values that a file sets, or else of the innermost table around the last."""
        for key in keys:
            if (origin := self.origin(key)) != "default":
                return origin
        key = tuple(keys[-1])
        return next((self.origins[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.origins), "default")

    def source(self, key: str) -> str:
        """Where the fact under a dotted key comes from, by the innermost table around it that says so; '' for unknown.

        What one file says of its facts does not hold for the values of another that builds on it.
        """
        parts = key.split(".")
        tables = (tuple(parts[:n]) for n in range(len(parts), -1, -1))
        table = next((one for one in tables if ".".join(one) in self.sources), None)
        if table is None or _file(self.origin((*table, "source"))) != _file(self.origin(key)):
            return ""
        return self.sources[".".join(table)]

    def spool_path(self, *, here: bool = True) -> Path | None:
        """The directory for jobs' folders, with its variables expanded; None if the site names none.

        In it `{project}` stands for a job's project. Raises `SiteError` where it is unknown on this host, unless it is not
        wanted `here`: a path with a variable that is not set is then given as it is in the file.
        """
        origin = self.line_of(("spool", "path"), ("spool",))
        return Path(expanded(self.spool, origin, here=here)) if self.spool else None

    def spool_path_on_nodes(self, *, here: bool = True) -> Path | None:
        """The same directory as compute nodes know it; None if that is the same path."""
        text = self.spool_on_nodes
        return Path(expanded(text, self.origin(("spool", "on_nodes")), here=here)) if text else None

    def spool_fault(self) -> SiteError | None:
        """Why one of the two is unknown on this host; None if both are known."""
        try:
            _ = self.spool_path(), self.spool_path_on_nodes()
        except SiteError as error:
            return error
        return None

    def queues_named(self, name: str) -> list[Queue]:
        """The queues of a name that a job says: one, or several with commas; those that the site knows."""
        names = [name] if name in self.queues else name.split(",")
        return [self.queues[part] for part in names if part in self.queues]

    def node_type(self, queue: str = "", name: str = "") -> NodeType | None:
        """The node type of that name, else that of the queue (default: of the default queue) if all its nodes are alike.

        None where the site does not say.
        """
        if name in self.node_types:
            return self.node_types[name]
        default = next((one for one in self.queues.values() if one.default), None)
        known = self.queues.get(queue) if queue else default
        names = known.node_types if known is not None else tuple(self.node_types)
        return self.node_types[names[0]] if len(names) == 1 else None

    def hardware(self, queue: str = "", node_type: str = "") -> Hardware | None:
        """The hardware of a node of that type, or of that queue's; None where the site does not say."""
        found = self.node_type(queue, node_type)
        return None if found is None else found.hardware

    def hardware_of(self, allocation: Allocation, environ: Mapping[str, str] = os.environ) -> Hardware | None:
        """The hardware of the nodes of an allocation: a job of ours says its node type, every manager its queue."""
        queue, node_type = environ.get("PSIJ_QUEUE", ""), environ.get("PSIJ_NODE_TYPE", "")
        if queue not in self.queues:  # of several the manager has chosen one
            queue = self._queue_rendering(allocation.queue, self.queues_named(queue)) or queue
        return self.hardware(queue, node_type)

    def _queue_rendering(self, rendered: str, asked: Sequence[Queue]) -> str:
        """The name that people say for a queue of the manager's, of those asked for if there are any.

        '' if it stands for none, or for several.
        """
        names = [queue.name for queue in asked or self.queues.values() if queue.rendered == rendered]
        if rendered in names or not names:
            return rendered
        return names[0] if len(names) == 1 else ""


def _file(origin: str) -> str:
    """The file of "path:line"."""
    return origin.rpartition(":")[0]
