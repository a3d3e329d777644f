"""The types of a site file's values: text with a unit becomes a number, and what a name or a pattern may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, WithJsonSchema

from ..errors import AllocationError
from ..platforms.templates.parameters import duration, memory, wall_time, word
from ..resources.hostlist import numbers

_TEXT_OR_NUMBER = {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}]}


def _poll(value: Any) -> float:
    if isinstance(value, str) and re.fullmatch(r"\s*[\d.]+\s*", value):
        raise ValueError("must say its unit, e.g. 30s or 1m")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value <= 0:
            raise ValueError("must be above 0 seconds")
        return float(value)
    return float(duration(value))


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("cannot be the name of an environment variable: letters, digits and _ only")
    return name


def variable_pattern(pattern: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_*?]+", pattern):
        raise ValueError("must be the name of an environment variable, or a pattern such as SCRATCH*")
    return pattern


def _identifier(name: str) -> str:
    if not name.isidentifier():
        raise ValueError("cannot be a parameter's name: letters, digits and _ only")
    return name


def platform_name(name: str) -> str:
    if not name.isidentifier():
        raise ValueError("must be a platform's name, such as slurm")
    return name


def _site_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError("must be a site's name: letters, digits, . _ and - only")
    return name


def regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from error
    return text


def absolute_path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("must be an absolute path")
    return text


def _cpu_ids(text: str) -> str:
    try:
        numbers(text)
    except AllocationError as error:
        raise ValueError("must be CPU ids such as 0-7,64-71") from error
    return text


def _gpu_ids(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return tuple(map(str, range(value)))
    return value


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Count = Annotated[int, Field(ge=1, strict=True)]
Memory = Annotated[int, BeforeValidator(memory), WithJsonSchema(_TEXT_OR_NUMBER)]
Minutes = Annotated[int, BeforeValidator(wall_time), WithJsonSchema(_TEXT_OR_NUMBER)]
Seconds = Annotated[
    float,
    BeforeValidator(_poll),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number", "exclusiveMinimum": 0}]}),
]
Word = Annotated[StrictStr, AfterValidator(word)]
CpuIds = Annotated[StrictStr, AfterValidator(_cpu_ids)]
GpuIds = Annotated[
    tuple[StrictStr, ...],
    BeforeValidator(_gpu_ids),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "integer", "minimum": 0}]}),
]
SiteName = Annotated[StrictStr, AfterValidator(_site_name)]
Variables = Annotated[
    Mapping[Annotated[str, AfterValidator(_variable)], Annotated[StrictStr, BeforeValidator(_number_as_text)]],
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "integer"]}}),
]
Parameters = Annotated[Mapping[Annotated[str, AfterValidator(_identifier)], Any], WithJsonSchema({"type": "object"})]
