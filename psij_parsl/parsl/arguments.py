"""Whose each argument of `parsl_config` is: ours, the provider's, the platform's, the executor's, or `parsl.Config`'s.

Which arguments Parsl's classes take is asked of the installed Parsl, for they differ between its versions.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, NamedTuple, get_type_hints

from ..errors import InvalidRequest, nearest
from ..validators import str2bool
from .options import ParslOptions
from .provider import BlockProvider
from .vocabulary import NEEDLESS, SAME

EXECUTORS = ("HighThroughputExecutor", "MPIExecutor")
"""Parsl's executors that a configuration may have, by `job_mode` serial and mpi."""

_OTHER_WORDS: Mapping[str, str] = {
    "max_workers_per_node": "workers_per_node",
    "max_workers_per_block": "workers_per_node",
    "available_accelerators": "accelerators",
}
"""Parsl's arguments that an option of ours stands for."""

_EITHER = (("drain_period", "drain_min"), ("address", "interface"))
"""Two ways of saying one thing."""

_MADE: Mapping[str, str] = {
    "provider": "it is made for the site: say its arguments beside the others",
    "enable_mpi_mode": 'say job_mode="mpi"',
}
"""Arguments that cannot be given, and what to do instead."""

_MEMOIZER = "say memoizer=BasicMemoizer({}), from parsl.dataflow.memoization"
_OF_OTHER_VERSIONS: Mapping[str, str] = {
    "app_cache": _MEMOIZER.format("memoize=..."),
    **{
        name: _MEMOIZER.format(f"{name}=...") for name in ("checkpoint_mode", "checkpoint_files", "checkpoint_period")
    },
    "memoizer": "say app_cache, checkpoint_mode, checkpoint_files",
    "max_workers": "say workers_per_node",
    "worker_ports": "say worker_port",
    "worker_port": "say worker_ports=(tasks, results)",
}
"""Arguments that some versions of Parsl have, and what the others take in their place."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of one site's executor, by whom they are for."""

    options: ParslOptions
    block: Mapping[str, Any]
    executor: Mapping[str, Any]
    config: Mapping[str, Any]


def sorted_out(wishes: Mapping[str, Any], provider: type[BlockProvider]) -> Arguments:
    """The arguments by whom they are for. Raises `InvalidRequest` for one that nobody takes, or more than one."""
    executor = executor_name(wishes)
    wishes = _in_our_words(wishes, executor)
    options: dict[str, Any] = {}
    found: dict[str, dict[str, Any]] = {"block": {}, "executor": {}, "config": {}}
    for name, value in wishes.items():
        whose = _whose(name, executor, provider)
        (options if whose == "option" else found[whose])[name] = value
    return Arguments(ParslOptions(**options), **found)


def executor_name(wishes: Mapping[str, Any]) -> str:
    """The class of Parsl's executor for these arguments."""
    return EXECUTORS[wishes.get("job_mode") == "mpi"]


@cache
def taken_by(name: str) -> Mapping[str, inspect.Parameter]:
    """The arguments of a class of the installed Parsl: "Config", or an executor's name."""
    import parsl.config
    import parsl.executors

    made = parsl.config.Config if name == "Config" else getattr(parsl.executors, name)
    return {key: value for key, value in inspect.signature(made.__init__).parameters.items() if key != "self"}


def _in_our_words(wishes: Mapping[str, Any], executor: str) -> dict[str, Any]:
    """The wishes with options of ours for Parsl's arguments. Raises `InvalidRequest` for what is said twice."""
    result = dict(wishes)
    for name, ours in _OTHER_WORDS.items():
        if name in wishes and name in taken_by(executor):
            if ours in wishes:
                raise InvalidRequest(f"{name} and {ours} say the same", hint="leave one out")
            result[ours] = result.pop(name)
    if executor == "MPIExecutor" and "accelerators" in wishes:
        raise InvalidRequest("MPIExecutor has no accelerators", hint="its tasks have all GPUs of their nodes")
    for name, other in _EITHER:
        if wishes.get(name) is not None and wishes.get(other) is not None:
            raise InvalidRequest(f"{name} and {other} say the same", hint="leave one out")
    return result


class _Kind(NamedTuple):
    """Arguments of one kind: whose they are, how people call them, and their names."""

    whose: str
    text: str
    names: Set[str]


def _whose(name: str, executor: str, provider: type[BlockProvider]) -> str:
    """Whose argument it is: "option", "block", "executor" or "config". Raises `InvalidRequest`."""
    if name in _MADE:
        raise InvalidRequest(f"{name} cannot be given", hint=_MADE[name])
    kinds = _kinds(executor, provider)
    takers = [kind for kind in kinds if name in kind.names]
    if not takers:
        raise _unknown(name, executor, kinds)
    if len(takers) > 1:
        raise InvalidRequest(
            f"{name} is {' and '.join(kind.text for kind in takers)}",
            hint=f"make the executor by hand, with provider={provider.__name__}(...)",
        )
    return takers[0].whose


def _kinds(executor: str, provider: type[BlockProvider]) -> tuple[_Kind, ...]:
    """All arguments. Only a platform's parameter can have the name of another kind's."""
    platform = provider.platform
    options = {item.name for item in fields(ParslOptions)} - ({*taken_by(_other(executor))} - {*taken_by(executor)})
    own = {*inspect.signature(BlockProvider.__init__).parameters} - {"self", "parameters"}
    declared = {*platform.template_class.params} - own
    other_words = {*SAME, *NEEDLESS, *provider.translations, *(["scheduler_options"] if platform.directives else [])}
    return (
        _Kind("option", "an option of parsl_config", options),
        _Kind("config", "an argument of parsl.Config", {*taken_by("Config")} - options),
        _Kind("executor", f"an argument of {executor}", {*taken_by(executor)} - options - {*_MADE}),
        _Kind("block", f"an argument of {provider.__name__}", (own - options) | (other_words - declared)),
        _Kind("block", f"a parameter of {platform.name}", declared),
    )


def _other(executor: str) -> str:
    return EXECUTORS[executor == EXECUTORS[0]]


def _unknown(name: str, executor: str, kinds: Sequence[_Kind]) -> InvalidRequest:
    """The error for a name that nobody takes."""
    import parsl

    other = _other(executor)
    if name in taken_by(other):
        mode = 'say job_mode="mpi"' if other == "MPIExecutor" else 'leave job_mode="mpi" out'
        return InvalidRequest(f"{name} is an argument of {other}, and this is {executor}", hint=mode)
    if name in _OF_OTHER_VERSIONS:
        return InvalidRequest(f"Parsl {parsl.__version__} has no {name}", hint=_OF_OTHER_VERSIONS[name])
    hint = nearest(name, set().union(*(kind.names for kind in kinds)))
    near = next(((each, kind) for kind in kinds for each in kind.names if hint == f"did you mean {each!r}?"), None)
    known = ", ".join(kind.text.partition(" of ")[2] for kind in kinds[1:-1])
    return InvalidRequest(
        f"{name!r} is no argument of {known}, and {kinds[-1].text.partition(' of ')[2]} has no parameter {name!r}",
        hint=f"did you mean {near[0]!r}, {near[1].text}?" if near else "the page 'Parsl on a machine' lists them",
    )


def is_of_parsl(name: str, executor: str) -> bool:
    """Whether it is an option, or an argument of Parsl's."""
    return name in _annotations(executor)


def from_text(name: str, text: str, executor: str) -> Any:
    """The value of an option or of an argument of Parsl's that was given as text: a literal of Python's, yes or no, or
    the text itself, whichever is of the right type. Raises `InvalidRequest`."""
    annotation = _annotations(executor)[name]
    for read in (ast.literal_eval, str2bool, str):
        with suppress(ValueError, SyntaxError):
            value = read(text)
            if _is_a(value, annotation):
                return value
    raise InvalidRequest(
        f"{name}={text} is refused: it must be {inspect.formatannotation(annotation)}",
        hint="what is no plain value can be said in the file that `psij-run parsl write` makes",
    )


@cache
def _annotations(executor: str) -> Mapping[str, Any]:
    """The types of all options and of Parsl's arguments."""
    of_parsl = {**taken_by(executor), **taken_by("Config")}
    return {**{name: one.annotation for name, one in of_parsl.items()}, **get_type_hints(ParslOptions)}


def _is_a(value: Any, annotation: Any) -> bool:
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(annotation, config={"arbitrary_types_allowed": True}).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True
