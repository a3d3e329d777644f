"""Does each parameter of a job template change the script?"""

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
    "gpus_per_rank": 1,
    "memory_per_node": 4096,
    "after": ["afterok:1"],
    "array": "0-3",
    "indices": [0, 1, 2, 3],
    "inherit_environment": True,
    "hold": False,
    "folder": "/tmp/sample",
    "elements": "",
    "setup": Raw("", "setup"),
    "command": Raw("true", "command"),
    "launch": Raw("exec --", "launch"),
}


def sentinel_check(
    cls: type[JobTemplate], *, given: Mapping[str, Any] | None = None, values: Mapping[str, Any] | None = None
) -> None:
    """Render the template with a distinct value per parameter and see each one change the script.

    A parameter passes if it has an effect alone or beside the others. `given` replaces samples of the core's
    words, `values` gives a value for a parameter whose rule no sentinel meets. Raises AssertionError, naming
    every parameter without effect, or without a value to try it with. Those that say where the script is sent
    (`places`) do not stand in it.
    """
    words = {name: value for name, value in _SAMPLES.items() if name in cls.uses} | dict(given or {})
    parameters = {**FIXED, **{name: each for name, each in cls.params.items() if name not in cls.places}}
    numbered = enumerate(parameters.values())
    tried = {parameter.name: _sentinel(number, parameter, values or {}) for number, parameter in numbered}
    silent = []
    for name in parameters:
        if tried[name] is None:
            silent.append(f"{name} (no value to try it with; give one in `values`)")
        elif not _matters(cls, name, tried, words):
            silent.append(name)
    assert not silent, f"{cls.__qualname__}: these parameters do not change the script: {', '.join(silent)}"


def _matters(cls: type[JobTemplate], name: str, tried: Mapping[str, Any], words: Mapping[str, Any]) -> bool:
    others = {key: value for key, value in tried.items() if key != name and value is not None}
    scripts = []
    for beside in ({}, others):
        with_it = _script(cls, {**beside, name: tried[name]}, words)
        if with_it is not None and with_it != _script(cls, beside, words):
            return True
        scripts.append(with_it)
    if scripts == [None, None]:  # then it is the values that are at fault: let the refusal be seen
        cls.render(**others, **{name: tried[name]}, given=words)
    return False


def _script(cls: type[JobTemplate], values: Mapping[str, Any], words: Mapping[str, Any]) -> str | None:
    """The script, or None if the template cannot do without a parameter that is missing."""
    try:
        return cls.render(**values, given=words)
    except InvalidRequest:
        return None


def _sentinel(number: int, parameter: Parameter, values: Mapping[str, Any]) -> Any:
    """A value that the parameter's rule takes and that is not its default; None if there is none to be found."""
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
