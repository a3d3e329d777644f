"""Validation of a site: all validation errors at once, in words, each with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import PluginError, SiteError, nearest
from ..job import JOB_MODES
from ..platforms.registry import LAUNCHERS, PLATFORMS
from .content import Content, Fault
from .layers import SiteFile
from .models.node_model import GpuModel, NodeModel
from .models.queue_model import JobCapModel, QueueModel, TierModel
from .models.site_model import Defaults, LaunchModel, NetworkModel, Rule, SiteModel, SpoolModel
from .site import Site
from .toml_positions import Key

_TABLES: Mapping[str, type[BaseModel]] = {
    "defaults": Defaults,
    "detect": Rule,
    "launch": LaunchModel,
    "network": NetworkModel,
    "node": NodeModel,
    "nodes": NodeModel,
    "gpus": GpuModel,
    "queues": QueueModel,
    "spool": SpoolModel,
    "tiers": TierModel,
    "jobs": JobCapModel,
    "project_jobs": JobCapModel,
}
"""The model of a table, by its name or that of the table that it is in."""
_MUST: Mapping[str, str] = {
    "missing": "is missing",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "model_type": "must be a table",
    "mapping_type": "must be a table",
    "dict_type": "must be a table",
}
"""pydantic's types of errors, as sentences to follow the key."""


def validated(file: SiteFile, content: Content) -> Site:
    """The site that the content says. Raises `SiteError` with all validation errors."""
    faults = list(content.faults)
    site = None
    try:
        site = SiteModel.model_validate(content.data)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            if not (content.faults and details["type"] == "missing"):  # the base that is lacking may have it
                faults.append(_fault(details, content, file))
    for kind in ("platform", "launcher"):
        if fault := _unknown(kind, content):
            faults.append(fault)
    if site is None or faults:
        raise _error(file, sorted(faults, key=_place))
    return site.to_site(content.origins)


def _error(file: SiteFile, faults: Sequence[Fault]) -> SiteError:
    if len(faults) == 1:
        return SiteError(str(faults[0]._replace(hint="")), hint=faults[0].hint)
    listed = "\n".join(f"  {fault}" for fault in faults)
    return SiteError(f"the site {file.name!r} has {len(faults)} faults:\n{listed}")


def _place(fault: Fault) -> tuple[str, int]:
    path, _, line = fault.origin.rpartition(":")
    return (path, int(line)) if line.isdigit() else (fault.origin, 0)


def _fault(details: Any, content: Content, file: SiteFile) -> Fault:
    kind, key, context = details["type"], details["loc"], details.get("ctx", {})
    if key[-1:] == ("[key]",):
        key = key[:-1]
    shown = f", not {_shown(details['input'])}" if key[:1] != ("environment",) else ""  # values may be secret
    text, hint = _MUST.get(kind, details["msg"]) + ("" if kind == "missing" else shown), ""
    if kind == "extra_forbidden":
        text, hint = "there is no such key", _nearest_key(key)
    elif kind == "greater_than_equal":
        text = f"must be {context['ge']} or more{shown}"
    elif kind == "literal_error":
        near = nearest(str(details["input"]), JOB_MODES)
        text, hint = f"must be {context['expected']}{shown}", near if near.startswith("did you") else ""
    elif kind == "disagreement":
        key, text = context["key"], context["text"]
    elif kind == "value_error":
        text = str(context["error"])
        if text.startswith("must") and not isinstance(details["input"], BaseModel | dict):
            text += shown
    return Fault(_origin(key, content, file), ".".join(map(str, key)), text, hint)


def _origin(where: Key, content: Content, file: SiteFile) -> str:
    """The line of the value, or of the innermost table around it that somebody wrote."""
    for length in range(len(where), 0, -1):
        if where[:length] in content.origins:
            return content.origins[where[:length]]
    return str(file.path)


def _nearest_key(where: Key) -> str:
    *table, last = where
    model = _model(tuple(table))
    if not table and last in Defaults.model_fields:
        return "it belongs in the table [defaults]"
    return nearest(str(last), model.model_fields)


def _model(table: Key) -> type[BaseModel]:
    names = tuple(part for part in table if isinstance(part, str))
    for end in (names[-1:], names[:1]):
        if end and (model := _TABLES.get(end[0])) is not None:
            return model
    return SiteModel


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, str | int | float) else str(value)


def _unknown(kind: str, content: Content) -> Fault | None:
    """A platform or launcher that is not installed. One of our own is not imported to know that it is there."""
    name = content.data.get(kind)
    if not isinstance(name, str):
        return None
    package = {"platform": "psij_parsl.providers", "launcher": "psij_parsl.launchers"}[kind]
    if name.isidentifier() and not name.startswith("_") and find_spec(f"{package}.{name}"):
        return None
    try:
        (PLATFORMS if kind == "platform" else LAUNCHERS).load(name)
    except PluginError as error:
        return Fault(content.origins[kind,], kind, error.message, error.hint)
    return None
