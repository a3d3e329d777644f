"""A site as plain JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from ..resources.node import Hardware
from .launch_options import LaunchOptions
from .queues import JobCap, NodeType, Queue, Tier
from .site import Site
from .site_data import Network, SettingRow

Record = Mapping[str, Any]


def to_record(site: Site) -> dict[str, Any]:
    """The site as tables and lists. Raises `TypeError` for a value that JSON cannot hold, such as a date."""
    values = vars(site)
    return {
        **{name: _plain(value) for name, value in values.items() if name != "origins"},
        "origins": [[list(key), origin] for key, origin in site.origins.items()],
    }


def from_record(record: Record) -> Site:
    """The site of a record that `to_record` made."""
    launch = record["launch"]
    return Site(
        **{
            **record,
            **_settings(record),
            "launch": launch and LaunchOptions(tuple(launch["options"]), _tuples(launch["lines"])),
            "network": Network(*record["network"]),
            "node_environment": tuple(record["node_environment"]),
            "node_types": {name: _node_type(one) for name, one in record["node_types"].items()},
            "queues": {name: _queue(one) for name, one in record["queues"].items()},
            "rows": [SettingRow(*row) for row in record["rows"]],
            "origins": {tuple(key): origin for key, origin in record["origins"]},
        }
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) or is_dataclass(value):
        table = value if isinstance(value, Mapping) else vars(value)
        return {name: _plain(item) for name, item in table.items()}
    raise TypeError(f"JSON has no {type(value).__name__}")


def _settings(record: Record) -> dict[str, Any]:
    """Of a site, a node type or a queue what JSON has as lists."""
    return {
        "setup": tuple(record["setup"]),
        "required": tuple(record["required"]),
        "forbidden": tuple(record["forbidden"]),
        "choices": _tuples(record["choices"]),
    }


def _tuples(table: Record) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(values) for name, values in table.items()}


def _node_type(record: Record) -> NodeType:
    hardware = record["hardware"]
    changed = {
        "gpus": tuple(hardware["gpus"]),
        "blocked": frozenset(hardware["blocked"]),
        "gpu_cpus": _tuples(hardware["gpu_cpus"]),
        "siblings": tuple(map(tuple, hardware["siblings"])),
    }
    return NodeType(**{**record, **_settings(record), "hardware": Hardware(**{**hardware, **changed})})


def _queue(record: Record) -> Queue:
    changed = {
        "node_types": tuple(record["node_types"]),
        "tiers": tuple(Tier(**tier) for tier in record["tiers"]),
        "jobs": JobCap(**record["jobs"]),
        "project_jobs": JobCap(**record["project_jobs"]),
    }
    return Queue(**{**record, **_settings(record), **changed})
