"""A site: what one machine's file says, at the service of a job.

`Site` is what everybody else sees. Its values come from a site file (`model.py`, with pydantic), or, where there is
none for this host, from `Laptop`, for which nothing is read or validated.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from ..errors import InvalidRequest, SiteError, nearest
from ..job import Job

if TYPE_CHECKING:
    from parsl.config import Config as ParslConfig

    from ..jobs.batch import BatchSchedulerExecutor
    from ..resources import Hardware
    from .layers import SiteFile
    from .model import LaunchModel, QueueModel

FLAGS: Mapping[str, str] = {
    "num_nodes": "-N/--nodes",
    "ranks_per_node": "--ntasks-per-node",
    "cpus_per_rank": "-c/--cpus-per-task",
    "threads_per_core": "--threads-per-core",
    "gpus_per_rank": "-g/--gpus-per-task",
    "memory_per_node": "--mem",
    "wall_time_min": "-t/--time",
    "queue": "-q/--queue",
    "project": "-A/--account",
    "job_mode": "--mode",
    "name": "-J/--job-name",
    "directory": "-D/--cwd",
    "environment": "--env",
    "array": "--array",
    "after": "-d/--dependency",
    "hold": "--hold",
    "launcher": "--launcher",
    "setup": "--setup",
    "setup_may_fail": "--setup-may-fail",
    "stdin": "-i/--input",
    "stdout": "-o/--output",
    "stderr": "-e/--error",
}
"""How people say a job's field on the command line."""

_JOB = frozenset(item.name for item in fields(Job))
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


@dataclass(frozen=True)
class LimitViolation:
    """What a site has to say about a job before it is submitted: "refuse" or only "warn"."""

    level: Literal["refuse", "warn"]
    text: str
    hint: str = ""


class SettingRow(NamedTuple):
    """One value of a site, and where it was said."""

    key: str
    value: Any
    origin: str


class Site:
    """One machine: which platform and launcher, and what jobs there need. See `docs/how-to/sites.md` for the values."""

    if TYPE_CHECKING:  # for readers and mypy: at run time pydantic would take them for fields of its own
        name: str
        description: str
        url: str
        platform: str
        launcher: str | None
        launch: LaunchModel | None
        poll_min: float | None
        query_memory: int | None
        spool: str | None
        parameters: Mapping[str, Any]
        setup: tuple[str, ...]
        node_environment: tuple[str, ...]
        environment: Mapping[str, str]
        required: tuple[str, ...]
        forbidden: tuple[str, ...]
        queues: Mapping[str, QueueModel]
        _file: str

    @property
    def file(self) -> str:
        """The path of the site file, if it was named by a person and is in none of the layers; else ''."""
        return self._file

    def named_by(self, file: str) -> Self:
        """The same site, which knows the path that it was read from."""
        self._file = file
        return self

    def default_fields(self) -> dict[str, Any]:
        """The fields of a job that the site fills in where the user says nothing."""
        raise NotImplementedError

    def hardware(self) -> Hardware | None:
        """What the site says of its nodes, for runs inside a job; None if it says nothing."""
        raise NotImplementedError

    def origin(self, key: str | Sequence[str | int]) -> str:
        """Where a value was said: "path:line" for `defaults.queue`; "default" where nobody said it.

        A key that itself holds a dot is given as a sequence: `("queues", "gpu.large", "max_nodes")`.
        """
        raise NotImplementedError

    def rows(self) -> list[SettingRow]:
        """Every value that somebody said, with its origin."""
        raise NotImplementedError

    def executor(self, **overrides: Any) -> BatchSchedulerExecutor:
        """An executor for this machine; `overrides` are `BatchSchedulerExecutor`'s own arguments.

        Raises `SiteError` for a spool directory that cannot be told, `PluginError` for a platform that does not load.
        """
        from ..jobs.batch import BatchSchedulerExecutor

        settings: dict[str, Any] = {"platform": self.platform, "launcher": self.launcher or "", "site": self.name}
        settings |= {"poll_s": self.poll_min, "spool": self._spool(), "query_memory_mb": self.query_memory}
        settings |= {"site_file": self.file, "node_environment": self.node_environment}
        if overrides.get("launcher", self.launcher) == self.launcher:
            settings["launch"] = self.launch.launch_options() if self.launch is not None else None
        return BatchSchedulerExecutor(**{**settings, **overrides})

    def parsl_config(self, **wishes: Any) -> ParslConfig:
        """A ready `parsl.Config` for this machine; the arguments are those of `psij_parsl.parsl.config.plan`."""
        from ..parsl.config import parsl_config

        return parsl_config(self, **wishes)

    def _spool(self) -> Path | None:
        if not self.spool:
            return None
        missing = [one or other for one, other in _VARIABLE.findall(self.spool) if (one or other) not in os.environ]
        if missing:
            raise SiteError(
                f"{self.origin('spool')}: spool is {self.spool}, and {' and '.join(missing)} is not set here",
                hint=f"set {missing[0]}, or name another directory in a site file of your own",
            )
        path = os.path.expanduser(_VARIABLE.sub(lambda found: os.environ[found[1] or found[2]], self.spool))
        if not os.path.isabs(path):
            raise SiteError(
                f"{self.origin('spool')}: spool is {path!r}, which is no absolute path",
                hint="jobs run in other directories: begin it with / or ~ or a variable",
            )
        return Path(path)

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a `Job`: those given, filled up from the site. None stands for "not said".

        A given parameter or environment variable wins over the site's; the site's setup comes before the job's.
        Raises `InvalidRequest` for what the site requires and nobody gave, or forbids and somebody gave.
        """
        said = {name: value for name, value in given.items() if value is not None}
        job = {**self.default_fields(), **said}
        job["parameters"] = {**self.parameters, **said.get("parameters", {})}
        job["environment"] = {**self.environment, **said.get("environment", {})}
        own = said.get("setup", ())
        job["setup"] = (*self.setup, *((own,) if isinstance(own, str) else own))
        known = {**job["parameters"], **{name: value for name, value in job.items() if name in _JOB}}
        if lacking := [name for name in self.required if known.get(name) in (None, "", (), [])]:
            raise InvalidRequest(
                f"a job on {self.name} must say its {_and(lacking)}",
                hint=f"give {_and(map(_flag, lacking))}; {self.origin('required')} asks for it",
            )
        asked = {**said.get("parameters", {}), **said}
        if wrong := [name for name in self.forbidden if asked.get(name)]:
            raise InvalidRequest(
                f"a job on {self.name} must not ask for {_and(wrong)}",
                hint=f"leave out {_and(map(_flag, wrong))}; {self.origin('forbidden')} forbids it",
            )
        return job

    def check(self, job: Job) -> list[LimitViolation]:
        """What the limits of the job's queue say to it; nothing where the site knows no queues."""
        name = job.queue or next((name for name, queue in self.queues.items() if queue.default), None)
        if name is None or not self.queues:
            return []
        if name not in self.queues:
            level: Literal["refuse", "warn"] = "refuse" if all(q.strict for q in self.queues.values()) else "warn"
            return [
                LimitViolation(level, f"{self.name} has no queue {name!r} that we know", nearest(name, self.queues))
            ]
        queue = self.queues[name]
        others = [other for other, limits in self.queues.items() if not any(_beyond(limits, job))]
        findings = []
        for key, text in _beyond(queue, job):
            hint = f"{_and(others, 'or')} would take it; " if others else ""
            where = self.origin(("queues", name, key))
            findings.append(
                LimitViolation("refuse" if queue.strict else "warn", f"queue {name} {text}", f"{hint}see {where}")
            )
        return findings


class Bare(Site):
    """A site that says nothing of its jobs. Made without pydantic, which takes longer than all the rest."""

    url = ""
    launcher: str | None = None
    launch = None
    poll_min = None
    query_memory = None
    spool = None
    parameters: Mapping[str, Any] = {}
    setup = ()
    node_environment = ()
    environment: Mapping[str, str] = {}
    required = ()
    forbidden = ()
    queues: Mapping[str, QueueModel] = {}
    _file = ""

    def default_fields(self) -> dict[str, Any]:
        return {}

    def hardware(self) -> Hardware | None:
        return None


class Laptop(Bare):
    """The site of a host that no file describes: the same as `configs/laptop.toml`, without reading it."""

    name = "laptop"
    description = "This host alone: jobs queue for its cores"
    platform = "local"

    def origin(self, key: str | Sequence[str | int]) -> str:
        return "built in" if key in ("name", "description", "platform") else "default"

    def rows(self) -> list[SettingRow]:
        return [SettingRow(key, getattr(self, key), "built in") for key in ("name", "description", "platform")]


class Generic(Bare):
    """Any machine of one manager, from a file of this package that says no more than these keys."""

    KEYS = ("name", "description", "url", "platform", "launcher", "detect")

    def __init__(self, file: SiteFile) -> None:
        self._source, self._said = file, {"name": file.name, **file.data}
        for key in self.KEYS[:-1]:
            if key in self._said:
                setattr(self, key, self._said[key])

    def __repr__(self) -> str:
        return f"Generic({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Generic) and self._said == other._said

    def __hash__(self) -> int:
        return hash(self.name)

    def origin(self, key: str | Sequence[str | int]) -> str:
        whole = tuple(key.split(".")) if isinstance(key, str) else tuple(key)
        if line := self._source.lines.get(whole):
            return f"{self._source.path}:{line}"
        return str(self._source.path) if whole == ("name",) else "default"

    def rows(self) -> list[SettingRow]:
        return [SettingRow(key, self._said[key], self.origin(key)) for key in self.KEYS if key in self._said]


def _beyond(queue: QueueModel, job: Job) -> Iterable[tuple[str, str]]:
    """Each limit that the job is beyond: its key, and a sentence to follow the queue's name."""
    asked, minutes = job.num_nodes, job.wall_time_min
    if queue.max_nodes is not None and asked > queue.max_nodes:
        yield "max_nodes", f"takes at most {queue.max_nodes} nodes, and the job asks for {asked}"
    if queue.min_nodes is not None and asked < queue.min_nodes:
        yield "min_nodes", f"takes jobs from {queue.min_nodes} nodes on, and the job asks for {asked}"
    if queue.max_wall_time_min is not None and minutes > queue.max_wall_time_min:
        yield (
            "max_wall_time_min",
            f"lets jobs run {queue.max_wall_time_min} minutes at most, and the job asks for {minutes}",
        )


def _flag(name: str) -> str:
    return FLAGS.get(name, name if name in _JOB else f"-X {name}=VALUE")


def _and(words: Iterable[str], last: str = "and") -> str:
    *first, final = words
    return f"{', '.join(first)} {last} {final}" if first else final
