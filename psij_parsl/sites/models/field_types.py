"""The types of a site file's values: text with a unit becomes a number, and what a name or a pattern may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, WithJsonSchema

from ...errors import AllocationError
from ...platforms.templates.parameters import duration, memory, wall_time, word
from ...resources.hostlist import numbers

_MEMORY_TEXT = r"^\s*(\d+(\.\d+)?|\.\d+)\s*([KMGTkmgt]([Ii]?[Bb])?)?\s*$"
_TIME_TEXT = (
    r"^\s*(\d+(\.\d+)?|(?=.*\d)(\d+(\.\d+)?[dD])?(\d+(\.\d+)?[hH])?(\d+(\.\d+)?[mM])?(\d+(\.\d+)?[sS])?"
    r"|(\d+-)?\d+(:\d+){0,2})\s*$"
)
_CPU_IDS_TEXT = r"^\d+(-\d+)?(,\d+(-\d+)?)*$"


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


def shell_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _module_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._/+:@=-]*", text):
        raise ValueError("must be what follows `module load`: letters, digits, blanks and ._/+:@=-")
    return text


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _amount(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError("must be a number, 0 or more")
    return float(value)


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from error
    return text


def _absolute_path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("must be an absolute path")
    return text


def _text_or_true(value: Any) -> Any:
    text = value if value is True else _number_as_text(value)
    if text is not True and not isinstance(text, str):
        raise ValueError("must be text, or true for any value")
    return text


def _quantity(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": pattern}, {"type": "integer", "minimum": 1}]})


Count = Annotated[int, Field(ge=1, strict=True)]
Amount = Annotated[float, BeforeValidator(_amount), WithJsonSchema({"type": "number", "minimum": 0})]
Memory = Annotated[int, BeforeValidator(memory), _quantity(_MEMORY_TEXT)]
Minutes = Annotated[int, BeforeValidator(wall_time), _quantity(_TIME_TEXT)]
Seconds = Annotated[
    float,
    BeforeValidator(_poll),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": _TIME_TEXT}, {"type": "number", "exclusiveMinimum": 0}]}),
]
Word = Annotated[StrictStr, AfterValidator(word), Field(pattern=r"^[A-Za-z0-9._+:=@%/,][A-Za-z0-9._+:=@%/,-]*$")]
Names = Annotated[
    tuple[StrictStr, ...],
    BeforeValidator(_names),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
CpuIds = Annotated[StrictStr, AfterValidator(_cpu_ids), WithJsonSchema({"type": "string", "pattern": _CPU_IDS_TEXT})]
GpuIds = Annotated[
    tuple[StrictStr, ...],
    BeforeValidator(_gpu_ids),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "integer", "minimum": 0}]}),
]
SiteName = Annotated[
    StrictStr,
    AfterValidator(_site_name),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$"}),
]
_VariableName = Annotated[str, AfterValidator(_variable)]
_VARIABLE_TEXT = r"^[A-Za-z_][A-Za-z0-9_]*$"
Variables = Annotated[
    Mapping[_VariableName, Annotated[StrictStr, BeforeValidator(_number_as_text)]],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": _VARIABLE_TEXT},
            "additionalProperties": {"type": ["string", "integer"]},
        }
    ),
]
Signs = Annotated[
    Mapping[_VariableName, Annotated[Any, BeforeValidator(_text_or_true)]],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": _VARIABLE_TEXT},
            "additionalProperties": {"anyOf": [{"type": ["string", "integer"]}, {"const": True}]},
        }
    ),
]
VariablePattern = Annotated[
    StrictStr, AfterValidator(variable_pattern), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_*?]+$"})
]
RegularExpression = Annotated[StrictStr, AfterValidator(_regular_expression)]
AbsolutePath = Annotated[
    StrictStr, AfterValidator(_absolute_path), WithJsonSchema({"type": "string", "pattern": "^/"})
]
PlatformName = Annotated[StrictStr, AfterValidator(platform_name)]
ModuleName = Annotated[
    StrictStr,
    AfterValidator(_module_name),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9 ._/+:@=-]*$"}),
]
_ParameterName = Annotated[str, AfterValidator(_identifier)]
Parameters = Annotated[Mapping[_ParameterName, Any], WithJsonSchema({"type": "object"})]
Choices = Annotated[
    Mapping[_ParameterName, tuple[Annotated[StrictStr, BeforeValidator(_number_as_text)], ...]],
    WithJsonSchema(
        {"type": "object", "additionalProperties": {"type": "array", "items": {"type": ["string", "integer"]}}}
    ),
]
