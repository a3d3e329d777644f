"""The JSON Schema of a site file, for editors: the models, and for each platform its own parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from ...errors import PluginError
from ...job_size import FLAGS
from ...platforms.registry import platform as find_platform
from ...platforms.registry import platforms
from ...platforms.templates.parameters import (
    Parameter,
    Validator,
    describe,
    duration,
    memory,
    non_negative_int,
    positive_int,
    str2bool,
    wall_time,
    word,
)
from ..queues import RENDERED_NAMES
from ..settings import AUTO
from .field_types import MEMORY_TEXT, TIME_TEXT, WORD_TEXT
from .site_model import SiteModel

_WHOLE = {"type": "string", "pattern": r"^\s*[+]?[0-9]+\s*$"}
_TYPES: Mapping[Any, Any] = {
    str2bool: {"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no", "on", "off", "true", "false", "1", "0", 0, 1]}]},
    positive_int: {"anyOf": [{"type": "integer", "minimum": 1}, _WHOLE]},
    non_negative_int: {"anyOf": [{"type": "integer", "minimum": 0}, _WHOLE]},
    memory: {"type": ["string", "number"], "pattern": MEMORY_TEXT, "exclusiveMinimum": 0},
    duration: {"type": ["string", "number"], "pattern": TIME_TEXT, "exclusiveMinimum": 0},
    wall_time: {"type": ["string", "number"], "pattern": TIME_TEXT, "exclusiveMinimum": 0},
    word: {"type": ["string", "integer"], "pattern": WORD_TEXT},
}
"""The JSON Schema of a parameter, by its first validator; others are not looked at."""
_UNSET = {"enum": ["", []]}  # takes away what a lower layer gives


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a site file. The platform that a file names decides which parameters it may have."""
    schema = _as_toml(SiteModel.model_json_schema())
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "psij-parsl site file"
    schema["properties"]["queues"]["propertyNames"]["not"] = {"const": AUTO}
    for name in ("queues", "nodes"):  # false takes one of the site away that this one extends
        tables = schema["properties"][name]
        tables["additionalProperties"] = {"if": {"const": False}, "else": tables["additionalProperties"]}
    del schema["required"]  # the name is the file's own, and a file that builds on another has its platform
    schema["anyOf"] = [{"required": ["platform"]}, {"required": ["extends"]}]
    of_platforms = dict(_of_platforms())
    schema["$defs"] |= of_platforms
    schema["allOf"] = [_platform_rule(name) for name in of_platforms]
    return cast(dict[str, Any], schema)


def _of_platforms() -> Iterator[tuple[str, dict[str, Any]]]:
    """For each platform of this package: which parameters a table of settings may have, and name."""
    for name, _ in platforms(plugins=False):
        try:
            template = find_platform(name).template_class
        except PluginError:
            continue
        names = sorted({*template.params, *FLAGS})
        settings = {
            "parameters": _parameters(template.params.values()),
            "required": {"items": {"enum": names}},
            "forbidden": {"items": {"enum": names}},
            "choices": {"propertyNames": {"enum": names}},
        }
        yield name, {"properties": settings}


def _platform_rule(name: str) -> dict[str, Any]:
    """Where a file names the platform, what is said of it counts in each table that has settings."""
    table = {"$ref": f"#/$defs/{name}"}
    tables = {"additionalProperties": table}
    return {
        "if": {"required": ["platform"], "properties": {"platform": {"const": name}}},
        "then": {"allOf": [table, {"properties": {"node": table, "nodes": tables, "queues": tables}}]},
    }


def _parameters(parameters: Iterable[Parameter]) -> dict[str, Any]:
    properties = {parameter.name: _parameter(parameter) for parameter in parameters}
    names = {name: {"type": "string", "description": "a queue's name to the manager"} for name in RENDERED_NAMES}
    return {"properties": {**names, **properties}, "additionalProperties": False}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    what = describe(parameter.validators[0]) if parameter.validators else "text"
    shape = _shape(parameter.validators[0]) if parameter.validators else {}
    several = [{"type": "array", "items": {"type": "string"}}] if parameter.joins else []
    return {
        "description": f"{parameter.help} ({what})" if parameter.help else what,
        **({"anyOf": [*shape.get("anyOf", [shape]), *several, _UNSET]} if shape else {}),
    }


def _shape(validator: Validator) -> dict[str, Any]:
    """The JSON Schema of what a validator takes; empty where it does not say."""
    if choices := getattr(validator, "choices", None):
        return {"enum": list(choices)}
    if pattern := getattr(validator, "pattern", None):
        return {"type": ["string", "integer"], "pattern": f"^(?:{pattern})$"}
    if item := getattr(validator, "item", None):
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": _shape(item)}]}
    return dict(_TYPES.get(validator, {}))


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
    for pattern, values in plain.pop("patternProperties", {}).items():  # other names would pass
        plain |= {"propertyNames": {"pattern": pattern}, "additionalProperties": values}
    if len(plain.get("anyOf", ())) == 1:
        plain |= plain.pop("anyOf")[0]
    return plain
