"""A site: the settings of one machine, and how they apply to a job. Plain data, without pydantic."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import InvalidRequest, SiteError, nearest
from ..job import FLAGS, Job
from .limits import LimitViolation, QueueLimits, violations

if TYPE_CHECKING:
    from ..resources.node import Hardware
    from .launch_options import LaunchOptions

_JOB = frozenset(item.name for item in fields(Job))
_BUILTIN = "built in"
#: Who must not ask for GPUs must not in any form.
_GPUS = frozenset(("gpus_per_rank", "gpus_per_node", "gpus"))
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


class SettingRow(NamedTuple):
    """One value of a site, and its origin."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Site:
    """One machine: which platform and launcher, and what jobs there need. See `docs/how-to/sites.md` for the values.

    `defaults` are the fields of a job that the site fills in where the user says nothing. `hardware` is what it says of
    its nodes, for runs inside a job; None if it says nothing. `poll_min` is in seconds, `query_memory` in MB. `rows`
    are the values that a file sets, in the order of the file, and `origins` where: "path:line". `file` is the path
    of the site file, if it was named by a person and is in none of the layers; else ''.
    """

    name: str
    platform: str
    description: str = ""
    url: str = ""
    launcher: str | None = None
    launch: LaunchOptions | None = None
    poll_min: float | None = None
    query_memory: int | None = None
    spool: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    node_environment: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # values may be secret
    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    queues: Mapping[str, QueueLimits] = field(default_factory=dict)
    hardware: Hardware | None = None
    rows: Sequence[SettingRow] = field(default=(), repr=False, compare=False)
    origins: Mapping[tuple[str | int, ...], str] = field(default_factory=dict, repr=False, compare=False)
    file: str = ""

    @property
    def built_in(self) -> bool:
        """Whether it is the site of a host that no file describes."""
        return self.origin("platform") == _BUILTIN

    def named_by(self, file: str) -> Site:
        """The same site, which knows the path that it was read from."""
        return replace(self, file=file)

    def origin(self, key: str | Sequence[str | int]) -> str:
        """The origin of a value: "path:line" for `defaults.queue`; "default" where no file sets it.

        Pass a key that itself holds a dot as a sequence: `("queues", "gpu.large", "max_nodes")`.
        """
        return self.origins.get(tuple(key.split(".") if isinstance(key, str) else key), "default")

    def spool_path(self) -> Path | None:
        """The directory for jobs' folders, with its variables expanded; None if the site names none.

        Raises `SiteError` where it is unknown on this host.
        """
        if not self.spool:
            return None
        missing = [one or other for one, other in _VARIABLE.findall(self.spool) if (one or other) not in os.environ]
        if missing:
            raise SiteError(
                f"{self.origin('spool')}: spool is {self.spool}, and {' and '.join(missing)} is not set here",
                hint=f"set {missing[0]}, or name another directory in a site file of your own",
            )
        path = os.path.expanduser(_VARIABLE.sub(lambda match: os.environ[match[1] or match[2]], self.spool))
        if not os.path.isabs(path):
            raise SiteError(
                f"{self.origin('spool')}: spool is {path!r}, which is no absolute path",
                hint="jobs run in other directories: begin it with / or ~ or a variable",
            )
        return Path(path)

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a `Job`: `values`, filled up from the site. None stands for "not set".

        A parameter or environment variable in `values` wins over the site's; the site's setup comes before the job's.
        Raises `InvalidRequest` for a required field that is missing, or a forbidden one that is given.
        """
        job_fields = {name: value for name, value in values.items() if value is not None}
        job = {**self.defaults, **job_fields}
        job["parameters"] = {**self.parameters, **job_fields.get("parameters", {})}
        job["environment"] = {**self.environment, **job_fields.get("environment", {})}
        setup = job_fields.get("setup", ())
        job["setup"] = (*self.setup, *((setup,) if isinstance(setup, str) else setup))
        filled = {**job["parameters"], **{name: value for name, value in job.items() if name in _JOB}}
        if lacking := [name for name in self.required if filled.get(name) in (None, "", (), [])]:
            raise InvalidRequest(
                f"a job on {self.name} must say its {_and(lacking)}",
                hint=f"give {_and(map(_flag, lacking))}; {self.origin('required')} asks for it",
            )
        if self.forbidden:
            self._refuse_forbidden({**job_fields.get("parameters", {}), **job_fields})
        return job

    def _refuse_forbidden(self, asked: Mapping[str, Any]) -> None:
        """Raise `InvalidRequest` if what is asked, or an option that is passed on as it is, is forbidden here."""
        from ..platforms.registry import platform

        wrong = {name: _flag(name) for name in self.forbidden if asked.get(name)}
        passed = {name: value for name, value in asked.get("parameters", {}).items() if value}
        if passed and (described := platform(self.platform)).directives:
            options = described.directive_table.passed_on(passed)
            options |= {one: said for word, said in options.items() for one in _GPUS if word in _GPUS}
            wrong |= {name: options[name] for name in self.forbidden if name in options and name not in wrong}
        if wrong:
            raise InvalidRequest(
                f"a job on {self.name} must not ask for {_and(wrong)}",
                hint=f"leave out {_and(wrong.values())}; {self.origin('forbidden')} forbids it",
            )

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
        others = [other for other, limits in self.queues.items() if not any(violations(limits, job))]
        results = []
        for key, text in violations(queue, job):
            hint = f"{_and(others, 'or')} would take it; " if others else ""
            where = self.origin(("queues", name, key))
            results.append(
                LimitViolation("refuse" if queue.strict else "warn", f"queue {name} {text}", f"{hint}see {where}")
            )
        return results


def _flag(name: str) -> str:
    return FLAGS.get(name, name if name in _JOB else f"-X {name}=VALUE")


def _and(names: Iterable[str], last: str = "and") -> str:
    *first, final = names
    return f"{', '.join(first)} {last} {final}" if first else final


_BUILT_IN: dict[str, Any] = {
    "name": "laptop",
    "description": "This host alone: jobs queue for its cores",
    "platform": "local",
}
#: The site of a host that no file describes: the same as `configs/laptop.toml`, without reading it.
LAPTOP = Site(
    **_BUILT_IN,
    rows=[SettingRow(key, value, _BUILTIN) for key, value in _BUILT_IN.items()],
    origins={(key,): _BUILTIN for key in _BUILT_IN},
)
