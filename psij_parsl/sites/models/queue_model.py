"""The model of a queue."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictStr, WithJsonSchema

from ..queues import JobCap, Queue, Tier
from .field_types import Amount, Count, Line, Memory, Minutes, Names, Seconds, Some
from .tables import NOT_BESIDE, SettingsTable, Table


class TierModel(Table):
    """How long jobs of that many nodes may run."""

    min_nodes: Count | None = Field(
        default=None, description="least number of nodes (default: one more than the tier before it has)"
    )
    max_nodes: Count | None = Field(default=None, description="greatest number of nodes")
    max_time: Minutes | None = Field(default=None, description="longest wall time: '24h'; a bare number is minutes")
    node_hours: Some | None = Field(default=None, description="greatest product of nodes and hours")
    leads_to: Line = Field(default="", description="the queue to which the manager hands such jobs on")


class JobCapModel(Table):
    """How many jobs may be there at once."""

    running: Count | None = Field(default=None, description="jobs that run")
    queued: Count | None = Field(default=None, description="jobs that wait or run")

    def to_cap(self) -> JobCap:
        return JobCap(self.running, self.queued)


def account_rule(text: str) -> str:
    if re.search(r"[^\x21-\x7e]", text):
        raise ValueError("must be one word")
    if "{project}" not in text:
        raise ValueError("must have {project} in it, e.g. {project}-gpu")
    if re.search(r"[{}]", text.replace("{project}", "", 1)):
        raise ValueError("must have {project} once in it, and no other braces")
    return text


AccountRule = Annotated[
    StrictStr,
    AfterValidator(account_rule),
    WithJsonSchema({"type": "string", "pattern": r"^[!-z|~]*\{project\}[!-z|~]*$"}),
]
_OF_TIERS = ("min_nodes", "max_nodes", "max_time", "max_wall_time_min")


class QueueModel(SettingsTable):
    """A queue as people name it: what it renders, and its limits."""

    model_config = ConfigDict(
        json_schema_extra={
            "dependentSchemas": {
                "tiers": {"properties": dict.fromkeys(_OF_TIERS, NOT_BESIDE)},
                "max_wall_time_min": {"properties": {"max_time": NOT_BESIDE}},
            }
        }
    )

    description: Line = Field(default="", description="what it is for, in one line")
    node: Names = Field(default=(), description="the type of its nodes, of [nodes]; a list if there are several")
    default: StrictBool = Field(default=False, description="the manager puts jobs here that name no queue")
    strict: StrictBool = Field(
        default=False, description="a job beyond the limits is refused (true) or warned of (false)"
    )
    auto: StrictBool = Field(
        default=True,
        description="-q auto may choose it: false for tests, for what must be requested, for other purposes",
    )
    whole_nodes: StrictBool = Field(default=False, description="jobs get whole nodes, whatever they ask for")
    min_nodes: Count | None = Field(default=None, description="least number of nodes of a job")
    max_nodes: Count | None = Field(default=None, description="greatest number of nodes of a job")
    min_time: Minutes | None = Field(default=None, description="least wall time: '5m'; a bare number is minutes")
    max_time: Minutes | None = Field(default=None, description="longest wall time: '24h'; a bare number is minutes")
    max_wall_time_min: Minutes | None = Field(default=None, description="the same as max_time")
    tiers: tuple[TierModel, ...] = Field(default=(), description="the wall time by the number of nodes")
    max_cores: Count | None = Field(default=None, description="greatest number of cores of a job")
    max_gpus: Count | None = Field(default=None, description="greatest number of GPUs of a job")
    min_memory: Memory | None = Field(
        default=None, description="least memory on a node that a job must ask for: '256 GB'; a bare number is MB"
    )
    max_memory: Memory | None = Field(
        default=None, description="greatest memory on a node: '235 GB'; a bare number is MB"
    )
    array_max: Count | None = Field(default=None, description="greatest number of elements of a job array")
    array_max_index: Count | None = Field(default=None, description="greatest index of an element of a job array")
    jobs: JobCapModel | None = Field(default=None, description="how many jobs a user may have there")
    project_jobs: JobCapModel | None = Field(default=None, description="how many jobs a project may have there")
    account: AccountRule | None = Field(default=None, description="what is charged for a project: '{project}-gpu'")
    gpus: Literal["implied"] | None = Field(
        default=None, description="GPUs come with the queue: -g is checked and bound, and the manager is not asked"
    )
    charge: Amount | None = Field(default=None, description="charge of a node-hour, in the machine's units")
    preemptable: StrictBool = Field(default=False, description="jobs may be preempted, without a warning")
    preempt_grace: Seconds | None = Field(
        default=None, description="jobs may be preempted, and then have this time: '10m'"
    )

    def to_tiers(self) -> Iterator[Tier]:
        """The tiers, each with the least number of nodes that it is for."""
        tiers: Sequence[TierModel] = self.tiers or (
            TierModel(
                min_nodes=self.min_nodes or 1,
                max_nodes=self.max_nodes,
                max_time=self.max_time or self.max_wall_time_min,
            ),
        )
        ends = [tier.max_nodes for tier in tiers if tier.max_nodes is not None]
        for tier in tiers:
            smaller = [end for end in ends if tier.max_nodes is None or end < tier.max_nodes]
            least = tier.min_nodes or max(smaller, default=0) + 1
            yield Tier(least, tier.max_nodes, tier.max_time, tier.node_hours, tier.leads_to)

    def to_queue(self, name: str, site_node_types: Sequence[str]) -> Queue:
        """The same as plain data. It has all types of the site's nodes if it names none."""
        return Queue(
            name=name,
            description=self.description,
            node_types=self.node or tuple(site_node_types),
            default=self.default,
            strict=self.strict,
            auto=self.auto,
            whole_nodes=self.whole_nodes,
            tiers=tuple(self.to_tiers()),
            min_time_min=self.min_time,
            max_cores=self.max_cores,
            max_gpus=self.max_gpus,
            min_memory=self.min_memory,
            max_memory=self.max_memory,
            array_max=self.array_max,
            array_max_index=self.array_max_index,
            jobs=self.jobs.to_cap() if self.jobs else JobCap(),
            project_jobs=self.project_jobs.to_cap() if self.project_jobs else JobCap(),
            account=self.account or "",
            gpus_implied=self.gpus == "implied",
            charge=self.charge,
            preempt_grace_s=0.0 if self.preempt_grace is None and self.preemptable else self.preempt_grace,
            **self.settings(),
        )
