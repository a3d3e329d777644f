"""Check that each parameter of a job template changes the script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import InvalidRequest
from ..platforms.templates.parameters import Parameter
from ..platforms.templates.quoting import Raw
from ..platforms.templates.template import FIXED, GIVEN, JobTemplate

_SAMPLES: Mapping[str, Any] = {
    **dict.fromkeys(GIVEN, "sample"),
    **dict.fromkeys(("ranks_per_node", "cpus_per_rank", "threads_per_core", "num_ranks", "cores_per_node"), 2),
    **dict.fromkeys(("nodes_left", "all_memory", "append", "name_patterns"), False),
    **dict.fromkeys(("ranks", "memory_per_core", "memory_per_gpu", "array_limit")),
    "option_lines": [],
    "gpu_kind": "",
    "gpus_on_node": 2,
    "gpus_per_rank": 1,
    "memory_per_node": 4096,
    "after": ["afterok:1"],
    **dict.fromkeys(("warn_before_s", "warn_after_s"), 120),
    "array": "0-3",
    "indices": [0, 1, 2, 3],
    "inherit_environment": True,
    "hold": False,
    "begin": "2031-02-03T04:05:06",
    "folder": "/tmp/sample",
    "elements": "",
    "setup": Raw("", "setup"),
    "command": Raw("true", "command"),
    "launch": Raw('exec -- "$@"', "launch"),
    "environment_names": ["SAMPLE"],
}


def sentinel_check(
    cls: type[JobTemplate], *, given: Mapping[str, Any] | None = None, values: Mapping[str, Any] | None = None
) -> None:
    """Render the template with a distinct value for each parameter, and check that each changes the script.

    A parameter passes if it has an effect, either alone or together with the others, and where that is nothing, for an
    array of which only some elements may run at a time. `given` replaces sample values
    of the job's fields; `values` gives a value for a parameter that accepts none of our sentinels. Raises
    AssertionError with every parameter that has no effect, or no value to try. Parameters that decide where the
    script is sent (`places`) are left out, because the script does not contain them.
    """
    fields = {name: value for name, value in _SAMPLES.items() if name in cls.uses} | dict(given or {})
    parameters = {**FIXED, **{name: parameter for name, parameter in cls.params.items() if name not in cls.places}}
    numbered = enumerate(parameters.values())
    sentinels = {parameter.name: _sentinel(number, parameter, values or {}) for number, parameter in numbered}
    without_effect = []
    for name in parameters:
        if sentinels[name] is None:
            without_effect.append(f"{name} (no value to try it with; give one in `values`)")
        elif not (
            _has_effect(cls, name, sentinels, fields)
            or ("array_limit" in cls.uses and _has_effect(cls, name, sentinels, {**fields, "array_limit": 2}))
        ):
            without_effect.append(name)
    assert not without_effect, (
        f"{cls.__qualname__}: these parameters do not change the script: {', '.join(without_effect)}"
    )


def _has_effect(cls: type[JobTemplate], name: str, sentinels: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    others = {key: value for key, value in sentinels.items() if key != name and value is not None}
    scripts = []
    for others_given in ({}, others):
        script = _script(cls, {**others_given, name: sentinels[name]}, fields)
        if script is not None and script != _script(cls, others_given, fields):
            return True
        scripts.append(script)
    if scripts == [None, None]:  # then the values are wrong: this raises the refusal
        cls.render(**others, **{name: sentinels[name]}, given=fields)
    return False


def _script(cls: type[JobTemplate], values: Mapping[str, Any], fields: Mapping[str, Any]) -> str | None:
    """The script; None if a parameter is missing that the template needs."""
    try:
        return cls.render(**values, given=fields)
    except InvalidRequest:
        return None


def _sentinel(number: int, parameter: Parameter, values: Mapping[str, Any]) -> Any:
    """A value that the parameter accepts and that is not its default; None if no candidate is one."""
    default = parameter.convert(parameter.default)
    for value in _candidates(number, parameter, values):
        try:
            converted = parameter.convert(value)
        except InvalidRequest:
            continue
        if converted != default and converted is not None:
            return value
    return None


def _candidates(number: int, parameter: Parameter, values: Mapping[str, Any]) -> Iterator[Any]:
    if parameter.name in values:
        yield values[parameter.name]
        return
    for validator in parameter.validators:
        yield from getattr(validator, "choices", ())
    if isinstance(parameter.default, bool):
        yield not parameter.default
    yield from (f"sentinel{number}", [f"sentinel{number}"], 7001 + number, str(7001 + number), True, False)
    yield {f"sentinel{number}": f"{number}"}
