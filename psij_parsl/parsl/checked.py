"""Validation of the arguments of providers and configurations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InvalidRequest, nearest
from ..validators import Validator, non_negative_int, positive_int

STRATEGIES = ("none", "simple", "htex_auto_scale")
"""Parsl's ways of scaling."""
_GPUS = re.compile(r"[\w.-]+:\d+(,[\w.-]+:\d+)*", re.ASCII)


def checked(name: str, value: Any, validator: Validator) -> Any:
    """The value as the validator returns it; None stays None. Raises `InvalidRequest` with the broken rule."""
    try:
        return None if value is None else validator(value)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"{name}={value!r} is refused: it {error}") from error


def blocks(init_blocks: Any, min_blocks: Any, max_blocks: Any) -> tuple[int, int, int]:
    """The checked numbers of blocks: initial, minimum and maximum (default: the initial number).

    With `max_blocks=0` there are the initial blocks and no others: Parsl's users switch scaling off in this way.
    Raises `InvalidRequest` if the initial number or the minimum is more than the maximum.
    """
    initial = checked("init_blocks", _not_none("init_blocks", init_blocks), non_negative_int)
    minimum = checked("min_blocks", _not_none("min_blocks", min_blocks), non_negative_int)
    maximum = max(1, initial, minimum) if max_blocks is None else checked("max_blocks", max_blocks, non_negative_int)
    for name, number in (("init_blocks", initial), ("min_blocks", minimum)):
        if number > maximum and (maximum or name == "min_blocks"):
            raise InvalidRequest(
                f"{name}={number} is more than max_blocks={maximum}", hint=f"say max_blocks={number}"
            )
    return initial, minimum, maximum


def node(arguments: Mapping[str, Any], *, kinds: bool) -> dict[str, Any]:
    """The arguments with those checked that are a block's share of each node; `kinds`: GPUs may be `a100:4`."""
    rules: dict[str, Validator] = {
        "cores_per_node": positive_int,
        "mem_per_node": above_0,
        "gpus_per_node": _gpus(kinds),
    }
    return {name: checked(name, value, rules[name]) if name in rules else value for name, value in arguments.items()}


def above_0(value: Any) -> float:
    """A number above 0."""
    number = _number(value)
    if number is None or number <= 0:
        raise ValueError("must be a number above 0")
    return number


def not_below_0(value: Any) -> float:
    """A number, 0 or more."""
    number = _number(value)
    if number is None or number < 0:
        raise ValueError("must be a number, 0 or more")
    return number


def text(value: Any) -> str:
    """Text."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def strategy(value: Any) -> Any:
    """One of Parsl's strategies, or None, which it takes for "none". Raises `InvalidRequest`."""
    if value is not None and value not in STRATEGIES:
        raise InvalidRequest(f"strategy={value!r} is none of Parsl's", hint=nearest(str(value), STRATEGIES))
    return value


def _not_none(name: str, value: Any) -> Any:
    if value is None:
        raise InvalidRequest(f"{name}=None is refused: it must be a whole number, 0 or more")
    return value


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


def _gpus(kinds: bool) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if kinds and isinstance(value, str) and _GPUS.fullmatch(value):
            return value
        try:
            non_negative_int(value)
        except ValueError as error:
            raise ValueError(f"{error}{', or a kind and a number such as a100:4' if kinds else ''}") from None
        return value

    return check
