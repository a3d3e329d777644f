"""What site files say, before it is validated: tables laid over each other, and where each value was said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .toml_positions import Key


class Fault(NamedTuple):
    """One thing that is wrong with a site file."""

    origin: str
    key: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        message = f"{self.origin}: {self.key}: {self.text}" if self.key else f"{self.origin}: {self.text}"
        return f"{message} ({self.hint})" if self.hint else message


@dataclass(frozen=True)
class Content:
    """Tables and where each of their values was said; `faults` are those of the way there."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def merged(low: Content, high: Content) -> tuple[dict[str, Any], dict[Key, str]]:
    """Tables merge by key; every other value, lists among them, replaces the lower one."""
    whole = Content(low.data, dict(low.origins))

    def lay(under: dict[str, Any], over: dict[str, Any], table: Key) -> dict[str, Any]:
        result = dict(under)
        for name, value in over.items():
            key = (*table, name)
            if isinstance(value, dict) and isinstance(under.get(name), dict):
                result[name] = lay(under[name], value, key)
            else:
                drop(whole, key)
                result[name] = value
        return result

    data = lay(low.data, high.data, ())
    whole.origins.update(high.origins)
    return data, whole.origins


def drop(content: Content, key: Key) -> None:
    """Forget where the values of a table were said."""
    for other in [other for other in content.origins if other[: len(key)] == key]:
        del content.origins[other]
