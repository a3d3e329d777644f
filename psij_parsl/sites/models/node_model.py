"""The model of a node type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ...resources.hostlist import numbers
from ...resources.node import Hardware
from ..queues import NodeType
from .field_types import GPU_NUMBERS, GPU_TEXTS, Count, CpuIds, Cpus, GpuIds, Line, Memory
from .tables import SettingsTable, Table


class GpuModel(Table):
    """The GPUs of a node."""

    kind: Literal["nvidia", "amd", "intel"] | None = Field(default=None, description="whose they are")
    ids: GpuIds = Field(description="GPU ids as the vendor's variable takes them, or how many there are")
    cpus: tuple[CpuIds, ...] = Field(
        default=(), description="for each of them, in that order, the CPU ids nearest to it: '24-31,56-63'"
    )


class _ShortForms:
    """Adds the short forms of a table of GPUs to the JSON Schema."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(core_schema), GPU_TEXTS, GPU_NUMBERS]}


def _gpu_table(value: Any) -> Any:
    """The table that a number or a list of ids stands for."""
    if isinstance(value, dict | GpuModel):
        return value
    if not isinstance(value, bool) and isinstance(value, int | list | tuple):
        return {"ids": value}
    raise ValueError("must be a number of GPUs, a list of their ids, or a table")


Gpus = Annotated[GpuModel, BeforeValidator(_gpu_table), _ShortForms()]


class NodeModel(SettingsTable):
    """Nodes that are alike: their hardware, and what jobs on them need."""

    model_config = ConfigDict(
        json_schema_extra={
            "dependentRequired": {"threads_per_core": ["cpus"]},
            "dependentSchemas": {
                "gpu_cpus": {"properties": {"gpus": {"not": {"type": "object", "required": ["cpus"]}}}}
            },
        }
    )

    description: Line = Field(default="", description="what they are, in one line")
    count: Count | None = Field(
        default=None, description="how many nodes there are: no job that needs such gets more"
    )
    cpus: Cpus | None = Field(default=None, description="CPUs (hardware threads) of a node, as lscpu counts them")
    threads_per_core: Count = Field(
        default=1, description="hardware threads of a core: those of core 3 of 64 are the CPUs 3, 67, 131, ..."
    )
    gpus: Gpus = Field(
        default=GpuModel(ids=()),
        description="GPU ids as the vendor's variable takes them, how many there are, or a table",
    )
    memory: Memory | None = Field(
        default=None, description="memory that a job may have on a node: '512 GB'; a bare number is MB"
    )
    blocked: CpuIds | None = Field(default=None, description="CPU ids that no run gets: '0,52'")
    gpu_cpus: Mapping[str, CpuIds] = Field(
        default_factory=dict, description="for each GPU id the CPU ids nearest to it: '24-31,56-63'"
    )

    @property
    def gpu_ids(self) -> tuple[str, ...]:
        return self.gpus.ids

    @property
    def near_gpus(self) -> Mapping[str, str]:
        """For each GPU id the CPU ids nearest to it."""
        if self.gpus.cpus:
            return dict(zip(self.gpus.ids, self.gpus.cpus, strict=False))
        return self.gpu_cpus

    def hardware(self) -> Hardware:
        cores = (self.cpus or 0) // self.threads_per_core
        siblings = tuple(tuple(range(core, self.cpus or 0, cores)) for core in range(cores))
        return Hardware(
            cpus=self.cpus,
            gpus=self.gpu_ids,
            memory=self.memory,
            blocked=frozenset(numbers(self.blocked or "")),
            siblings=siblings if self.threads_per_core > 1 else (),
            gpu_cpus={gpu: numbers(cpus) for gpu, cpus in self.near_gpus.items()},
        )

    def to_node_type(self, name: str) -> NodeType:
        """The same as plain data."""
        return NodeType(
            name=name,
            description=self.description,
            count=self.count,
            gpu_kind=self.gpus.kind or "",
            hardware=self.hardware(),
            **self.settings(),
        )
