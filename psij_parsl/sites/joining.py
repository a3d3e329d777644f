"""Joining a parameter's value with one of a lower layer: site, node type, queue, user."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..platforms.templates.parameters import Parameter

_GROUPED = re.compile(r"[|\[\]()*]")  # of a text that cannot be joined without changing what it says


def is_unset(value: Any) -> bool:
    """Whether a value says that nothing is to be given: `-X name=`, or an empty text or list in a site file."""
    return value is None or value == "" or (isinstance(value, list | tuple) and not value)


def joined(layers: Iterable[Mapping[str, Any]], declared: Callable[[], Mapping[str, Parameter]]) -> dict[str, Any]:
    """The parameters of all layers, low to high. `declared` gives those of the platform, and is asked where it matters.

    Lists join, and so do texts that the parameter says how to join; else the higher layer's value replaces the lower
    one's, and one that `is_unset` removes it.
    """
    result: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if is_unset(value):
                result.pop(name, None)
            elif (isinstance(value, list | tuple) or name in result) and (
                parameter := declared().get(name)
            ) is not None:
                value = plain(parameter, value)
                result[name] = _join(parameter, result[name], value) if name in result else value
            else:
                result[name] = value
    return result


def plain(parameter: Parameter, value: Any) -> Any:
    """A value as the parameter takes it: a list is one text where texts join."""
    return parameter.joins.join(map(str, value)) if parameter.joins and isinstance(value, list | tuple) else value


def parts(parameter: Parameter | None, value: Any) -> list[str]:
    """A parameter's value in the parts that can be joined; the whole text where it cannot."""
    if parameter is not None and isinstance(parameter.default, tuple):
        return _items(value)
    text = str(value if parameter is None else plain(parameter, value))
    if parameter is not None and parameter.joins and not _GROUPED.search(text):
        return text.split(parameter.joins)
    return [text]


def not_among(parameter: Parameter | None, value: Any, allowed: Iterable[Any]) -> str:
    """The part of a value that none of the allowed ones has; '' if it may be given."""
    texts = [str(one) for one in allowed]
    if is_unset(value) or str(value) in texts:
        return ""
    known = {part for text in texts for part in parts(parameter, text)}
    return next((str(part) for part in parts(parameter, value) if part not in known), "")


def _join(parameter: Parameter, low: Any, high: Any) -> Any:
    if isinstance(parameter.default, tuple):
        return _join_lists(_items(low), _items(high))
    if not parameter.joins or any(_GROUPED.search(str(text)) for text in (low, high)):
        return high
    return parameter.joins.join(dict.fromkeys((*parts(parameter, low), *parts(parameter, high))))


def _items(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return list(value) if isinstance(value, list | tuple) else [value]


def _join_lists(low: Sequence[Any], high: Sequence[Any]) -> list[Any]:
    """Both lists; an item `name=value` replaces that of the same name in the lower one."""
    names = {name for item in high if (name := _name(item))}
    return [*(item for item in low if item not in high and _name(item) not in names), *high]


def _name(item: Any) -> str:
    name, equals, _ = str(item).partition("=")
    return name if equals else ""
