"""The types of a site file's values: text with a unit becomes a number, and what a name or a pattern may be."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, WithJsonSchema

from ...errors import AllocationError
from ...platforms.templates.parameters import duration, memory, wall_time, word
from ...resources.hostlist import numbers
from ..settings import AUTO

MEMORY_TEXT = r"^\s*(\d+(\.\d+)?|\.\d+)\s*([KMGTkmgt]([Ii]?[Bb])?)?\s*$"
TIME_TEXT = (
    r"^\s*(\d+(\.\d+)?|(?=.*\d)(\d+(\.\d+)?[dD])?(\d+(\.\d+)?[hH])?(\d+(\.\d+)?[mM])?(\d+(\.\d+)?[sS])?"
    r"|(\d+-)?\d+(:\d+){0,2})\s*$"
)
WORD_TEXT = r"^[A-Za-z0-9._+:=@%/,][A-Za-z0-9._+:=@%/,-]*$"
_CPU_IDS_TEXT = r"^\s*\d+(-\d+)?(,\d+(-\d+)?)*\s*$"
_GPU_ID_TEXT = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$"
_LINE_TEXT = r"^[^\x00-\x1f\x7f-\x9f]*$"
_NAME_TEXT = r"^[A-Za-z_][A-Za-z0-9_]*$"
SPOOL_TEXT = r"^[/~$][^\x00-\x1f\x7f-\x9f]*$"
_SITE_TEXT = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_QUEUE_TEXT = r"^[A-Za-z0-9_][A-Za-z0-9._+:=@%/-]*$"
#: More than any node has: a slip would fill our memory.
_MOST_CPUS = 65536
_MOST_GPUS = 1024


def _poll(value: Any) -> float:
    if isinstance(value, str) and re.fullmatch(r"\s*[\d.]+\s*", value):
        raise ValueError("must say its unit, e.g. 30s or 1m")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value < math.inf:
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


def is_site_name(name: str) -> bool:
    return re.fullmatch(_SITE_TEXT, name) is not None


def _site_name(name: str) -> str:
    if not is_site_name(name):
        raise ValueError("must be a site's name: letters, digits, . _ and - only")
    return name


def _queue_name(name: str) -> str:
    if name == AUTO:
        raise ValueError("the name stands for the best queue for a job, and can be no queue's")
    if not re.fullmatch(_QUEUE_TEXT, name):
        raise ValueError("cannot be the name of a queue: letters, digits and ._+:=@%/- only")
    return name


def _cpu_ids(text: str) -> str:
    if not re.fullmatch(_CPU_IDS_TEXT, text):
        raise ValueError("must be CPU ids such as 0-7,64-71")
    if any(len(number) > 9 or int(number) >= _MOST_CPUS for number in re.findall(r"\d+", text)):
        raise ValueError(f"must be CPU ids below {_MOST_CPUS}")
    try:
        ids = numbers(text)
    except AllocationError as error:
        raise ValueError("must be CPU ids such as 0-7,64-71, the lower one first") from error
    if len(set(ids)) < len(ids):
        raise ValueError("must have each CPU id once")
    return text


def _gpu_ids(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= _MOST_GPUS:
            raise ValueError(f"must be a number of GPUs from 0 to {_MOST_GPUS}, a list of their ids, or a table")
        return tuple(map(str, range(value)))
    return value


def _gpu_id(text: str) -> str:
    if not re.fullmatch(_GPU_ID_TEXT, text):
        raise ValueError("must be the id of a GPU, such as 0")
    return text


def _line(text: str) -> str:
    if not re.fullmatch(_LINE_TEXT, text):
        raise ValueError("must be one line, without control characters")
    return text


def _spool(text: str) -> str:
    if not re.fullmatch(SPOOL_TEXT, text):
        raise ValueError("must be one line that begins with /, ~ or a variable")
    rest = re.sub(r"\$\{\w+\}|\{project\}", "", text, flags=re.ASCII)
    if re.search(r"[{}]|\$(?!\w)", rest, re.ASCII):
        raise ValueError("must have no braces and $ but those of {project}, $NAME and ${NAME}")
    return text


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
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError("must be a number, 0 or more")
    return float(value)


def _some(value: Any) -> Any:
    amount = _amount(value)
    if not amount:
        raise ValueError("must be above 0")
    return amount


def _regular_expression(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"must be a regular expression: {error}") from error
    return text


def _absolute_path(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise ValueError("must be an absolute path")
    return text


def _text_or_true(value: Any) -> Any:
    text = value if value is True else _number_as_text(value)
    if text is not True and not isinstance(text, str):
        raise ValueError("must be text, or true for any value")
    return text


def _not_empty(value: Any) -> Any:
    if value == {}:
        raise ValueError("must name a variable")
    return value


def _not_none(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("must have a value that is allowed")
    return values


def _quantity(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": pattern}, {"type": "integer", "minimum": 1}]})


Count = Annotated[int, Field(ge=1, strict=True)]
Cpus = Annotated[int, Field(ge=1, le=_MOST_CPUS, strict=True)]
Amount = Annotated[float, BeforeValidator(_amount), WithJsonSchema({"type": "number", "minimum": 0})]
Some = Annotated[float, BeforeValidator(_some), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
Line = Annotated[StrictStr, AfterValidator(_line), WithJsonSchema({"type": "string", "pattern": _LINE_TEXT})]
ShellText = Annotated[
    StrictStr, AfterValidator(shell_text), WithJsonSchema({"type": "string", "pattern": r"^[^\x00]*$"})
]
SpoolPath = Annotated[StrictStr, AfterValidator(_spool), WithJsonSchema({"type": "string", "pattern": SPOOL_TEXT})]
Memory = Annotated[int, BeforeValidator(memory), _quantity(MEMORY_TEXT)]
Minutes = Annotated[int, BeforeValidator(wall_time), _quantity(TIME_TEXT)]
Seconds = Annotated[
    float,
    BeforeValidator(_poll),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": TIME_TEXT}, {"type": "number", "exclusiveMinimum": 0}]}),
]
Word = Annotated[StrictStr, AfterValidator(word), WithJsonSchema({"type": "string", "pattern": WORD_TEXT})]
Names = Annotated[
    tuple[StrictStr, ...],
    BeforeValidator(_names),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
CpuIds = Annotated[StrictStr, AfterValidator(_cpu_ids), WithJsonSchema({"type": "string", "pattern": _CPU_IDS_TEXT})]
GPU_NUMBERS: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": _MOST_GPUS}
GPU_TEXTS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "pattern": _GPU_ID_TEXT},
    "uniqueItems": True,
    "maxItems": _MOST_GPUS,
}
GpuIds = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_gpu_id)], ...],
    BeforeValidator(_gpu_ids),
    WithJsonSchema({"anyOf": [GPU_TEXTS, GPU_NUMBERS]}),
]
SiteName = Annotated[StrictStr, AfterValidator(_site_name), WithJsonSchema({"type": "string", "pattern": _SITE_TEXT})]
QueueName = Annotated[str, AfterValidator(_queue_name), WithJsonSchema({"type": "string", "pattern": _QUEUE_TEXT})]
_VariableName = Annotated[str, AfterValidator(_variable)]
Variables = Annotated[
    Mapping[_VariableName, Annotated[StrictStr, BeforeValidator(_number_as_text), AfterValidator(shell_text)]],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": _NAME_TEXT},
            "additionalProperties": {"type": ["string", "integer"], "pattern": r"^[^\x00]*$"},
        }
    ),
]
Signs = Annotated[
    Mapping[_VariableName, Annotated[Any, BeforeValidator(_text_or_true)]],
    BeforeValidator(_not_empty),
    WithJsonSchema(
        {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": _NAME_TEXT},
            "additionalProperties": {"anyOf": [{"type": ["string", "integer"]}, {"const": True}]},
        }
    ),
]
VariablePattern = Annotated[
    StrictStr, AfterValidator(variable_pattern), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_*?]+$"})
]
RegularExpression = Annotated[
    StrictStr,
    AfterValidator(_regular_expression),
    WithJsonSchema({"type": "string", "format": "regex", "minLength": 1}),
]
AbsolutePath = Annotated[
    StrictStr, AfterValidator(_absolute_path), WithJsonSchema({"type": "string", "pattern": "^/"})
]
PlatformName = Annotated[
    StrictStr, AfterValidator(platform_name), WithJsonSchema({"type": "string", "pattern": _NAME_TEXT})
]
ModuleName = Annotated[
    StrictStr,
    AfterValidator(_module_name),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9 ._/+:@=-]*$"}),
]
ParameterName = Annotated[str, AfterValidator(_identifier), WithJsonSchema({"type": "string", "pattern": _NAME_TEXT})]
Parameters = Annotated[
    Mapping[ParameterName, Any], WithJsonSchema({"type": "object", "propertyNames": {"pattern": _NAME_TEXT}})
]
Choices = Annotated[
    Mapping[
        ParameterName,
        Annotated[
            tuple[Annotated[StrictStr, BeforeValidator(_number_as_text), AfterValidator(_line)], ...],
            AfterValidator(_not_none),
        ],
    ],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": _NAME_TEXT},
            "additionalProperties": {
                "type": "array",
                "minItems": 1,
                "items": {"type": ["string", "integer"], "pattern": _LINE_TEXT},
            },
        }
    ),
]
