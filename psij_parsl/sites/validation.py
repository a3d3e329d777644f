"""Validation of a site: all validation errors at once, in words, each with its line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from ..errors import SiteError, nearest
from ..job import JOB_MODES
from .content import Content, Fault, key_text
from .layers import SiteFile
from .models.agreement import disagreements
from .models.node_model import GpuModel, NodeModel
from .models.queue_model import JobCapModel, QueueModel, TierModel
from .models.site_model import Defaults, LaunchModel, NetworkModel, Rule, SiteModel, SpoolModel
from .plugin_names import unknown_plugins
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
_MOST = 100  # faults of one site that are told
_ROUNDS = 5  # in which wrong values are taken out
_LONG = 60  # characters of a value that are shown


class Examined(NamedTuple):
    """What a site's files say: the site as far as its values are right, None if it has no platform, and all faults."""

    site: Site | None
    faults: tuple[Fault, ...] = ()


def validated(file: SiteFile, content: Content) -> Site:
    """The site that the content says. Raises `SiteError` with all validation errors."""
    site, faults = examined(file, content)
    if site is None or faults:
        raise as_error(file.name, faults)
    return site


def examined(file: SiteFile, content: Content) -> Examined:
    """The site that the content says, and everything that is wrong with it, in the order of the file."""
    faults = list(content.faults)
    model, errors, has_platform = _model_of(content.data)
    if content.faults:  # the base that is lacking may have it
        errors = [details for details in errors if details["type"] != "missing"]
    if len(errors) > _MOST:
        faults.append(
            Fault(str(file.path), "", f"has {len(errors)} wrong keys and values, of which {_MOST} are told")
        )
    faults += [_fault(details, content, file) for details in errors[:_MOST]]
    for key, text in disagreements(model, content.data) if model is not None else ():
        faults.append(Fault(_origin(key, content, file), key_text(key), text))
    for name, lacking in unknown_plugins(content.data.get("platform"), content.data.get("launcher")):
        faults.append(Fault(content.origins[name,], name, lacking.message, lacking.hint))
    faults.sort(key=lambda fault: fault.place)
    return Examined(model.to_site(content.origins) if model is not None and has_platform else None, tuple(faults))


def _model_of(data: Mapping[str, Any]) -> tuple[SiteModel | None, list[Any], bool]:
    """The model of what is right in the data, what is wrong with the rest, and whether it has a platform."""
    errors: list[Any] = []
    has_platform = True
    for _ in range(_ROUNDS):
        try:
            return SiteModel.model_validate(data), errors, has_platform
        except ValidationError as error:
            found = error.errors(include_url=False)
            errors = errors or found
            has_platform = has_platform and not any(details["loc"][:1] == ("platform",) for details in found)
            data = {"platform": "unknown", "name": "unknown", **_without([details["loc"] for details in found], data)}
    return None, errors, False


def _without(keys: Iterable[Key], data: Mapping[str, Any]) -> dict[str, Any]:
    """The data without those values; one in a list takes the whole list with it."""

    def copy(value: Any) -> Any:
        return {name: copy(inner) for name, inner in value.items()} if isinstance(value, dict) else value

    rest: dict[str, Any] = copy(data)
    for key in keys:
        table, name = rest, key[0]
        for part in key[1:]:
            inner = table.get(str(name))
            if not isinstance(inner, dict) or part not in inner:
                break
            table, name = inner, part
        table.pop(str(name), None)
    return rest


def as_error(name: str, faults: Sequence[Fault]) -> SiteError:
    """All faults of a site in one error."""
    if len(faults) == 1:
        return SiteError(str(faults[0]._replace(hint="")), hint=faults[0].hint)
    listed = "\n".join(f"  {fault}" for fault in faults)
    return SiteError(f"the site {name!r} has {len(faults)} faults:\n{listed}")


def _fault(details: Any, content: Content, file: SiteFile) -> Fault:
    kind, key, context = details["type"], details["loc"], details.get("ctx", {})
    of_key = key[-1:] == ("[key]",)
    if of_key:
        key = key[:-1]
    key = _as_written(key, content.data)
    secret = "environment" in key
    shown = "" if of_key or secret else f", not {_shown(details['input'])}"
    text, hint = _MUST.get(kind, details["msg"]) + ("" if kind == "missing" else shown), ""
    if kind == "extra_forbidden":
        text, hint = "there is no such key", _nearest_key(key, isinstance(details["input"], dict))
    elif kind == "greater_than_equal":
        text = f"must be {context['ge']} or more{shown}"
    elif kind == "less_than_equal":
        text = f"must be {context['le']} or less{shown}"
    elif kind == "literal_error":
        near = nearest(str(details["input"]), JOB_MODES)
        text, hint = f"must be {context['expected']}{shown}", near if near.startswith("did you") else ""
    elif kind == "value_error":
        text = str(context["error"])
        if text.startswith("must") and not isinstance(details["input"], BaseModel | dict):
            text += shown
    return Fault(_origin(key, content, file), key_text(key), text, hint)


def _as_written(key: Key, data: Any) -> Key:
    """The key without the parts that a short form does not have: `gpus = "all"` has no `ids`."""
    written: Key = ()
    for part in key:
        if isinstance(part, int) or isinstance(data, dict):
            data = data[part] if isinstance(part, int) or part in data else None
            written = (*written, part)
    return written


def _origin(where: Key, content: Content, file: SiteFile) -> str:
    """The line of the value, or of the innermost table around it that somebody wrote."""
    for length in range(len(where), 0, -1):
        if where[:length] in content.origins:
            return content.origins[where[:length]]
    return str(file.path)


def _nearest_key(where: Key, is_table: bool) -> str:
    *table, last = where
    model = _model(tuple(table))
    if not table and last in Defaults.model_fields and not is_table:
        return "it belongs in the table [defaults]"
    return nearest(str(last), model.model_fields)


def _model(table: Key) -> type[BaseModel]:
    names = tuple(part for part in table if isinstance(part, str))
    named = names[:1] in (("queues",), ("nodes",)) and len(names) == 2  # where people give the names
    for end in (names[:1],) if named else (names[-1:], names[:1]):
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
    text = repr(value) if isinstance(value, str | int | float) else str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
