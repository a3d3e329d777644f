"""The JSON Schema of a site file, for editors: the models, and for each platform its own parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from ...errors import PluginError
from ...platforms.registry import platform as find_platform
from ...platforms.registry import platforms
from ...platforms.templates.parameters import Parameter, describe
from ..queues import RENDERED_NAMES
from .site_model import SiteModel

_TYPES: Mapping[str, Any] = {
    "yes or no": {"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no", "on", "off", "true", "false"]}]},
    "a whole number above 0": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]},
    "a whole number, 0 or more": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]},
    "a plain word": {"type": ["string", "integer"]},
}
"""The JSON Schema of a parameter, by the description of its first validator; others are not looked at."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a site file. The platform that a file names decides which parameters it may have."""
    schema = _as_toml(SiteModel.model_json_schema())
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "psij-parsl site file"
    del schema["required"]  # the name is the file's own, and a file that builds on another has its platform
    schema["anyOf"] = [{"required": ["platform"]}, {"required": ["extends"]}]
    schema["allOf"] = list(_platform_rules())
    return cast(dict[str, Any], schema)


def _platform_rules() -> Iterator[dict[str, Any]]:
    """For each platform of this package: what `parameters` may hold where a file names it."""
    for name, _ in platforms(plugins=False):
        try:
            template = find_platform(name).template_class
        except PluginError:
            continue
        parameters = _parameters(template.params.values())
        table = {"properties": {"parameters": parameters}}
        tables = {"additionalProperties": table}
        yield {
            "if": {"required": ["platform"], "properties": {"platform": {"const": name}}},
            "then": {"properties": {"parameters": parameters, "node": table, "nodes": tables, "queues": tables}},
        }


def _parameters(parameters: Iterable[Parameter]) -> dict[str, Any]:
    properties = {parameter.name: _parameter(parameter) for parameter in parameters}
    names = {name: {"type": "string", "description": "a queue's name to the manager"} for name in RENDERED_NAMES}
    return {"properties": {**names, **properties}, "additionalProperties": False}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    what = describe(parameter.validators[0]) if parameter.validators else "text"
    choices = getattr(parameter.validators[0], "choices", None) if parameter.validators else None
    shape = {"enum": list(choices)} if choices else _TYPES.get(what, {})
    return {"description": f"{parameter.help} ({what})" if parameter.help else what, **shape}


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
    if len(plain.get("anyOf", ())) == 1:
        plain |= plain.pop("anyOf")[0]
    return plain
