"""The merged content of site files before validation, and the origin of each value."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .toml_positions import Key


def key_text(key: Key) -> str:
    """A key for people: `queues.short.max_nodes`, with quotes around what needs them."""
    return ".".join(
        str(part) if re.fullmatch(r"[\w@%:/+-]+", str(part), re.ASCII) else json.dumps(str(part)) for part in key
    )


class Fault(NamedTuple):
    """A validation error of a site file; not an exception, so not called an error. `origin` is "path:line"."""

    origin: str
    key: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        message = f"{self.origin}: {self.key}: {self.text}" if self.key else f"{self.origin}: {self.text}"
        return f"{message} ({self.hint})" if self.hint else message

    @property
    def place(self) -> tuple[str, int]:
        """The file and the line, to sort by."""
        path, _, line = self.origin.rpartition(":")
        return (path, int(line)) if line.isdigit() else (self.origin, 0)


class Content(NamedTuple):
    """Merged tables and the origin of each of their values; `faults` are the errors met while merging."""

    data: dict[str, Any]
    origins: dict[Key, str]
    faults: tuple[Fault, ...] = ()


#: What a value of a higher file takes the place of besides its own name, for it says the same in another way: of a site,
#: and of a queue.
_OF_SITE = {"nodes": ("node",), "node": ("nodes",)}
_OF_QUEUE = {
    "tiers": ("min_nodes", "max_nodes", "max_time", "max_wall_time_min"),
    "max_time": ("max_wall_time_min",),
    "max_wall_time_min": ("max_time",),
}


def merged(low: Content, high: Content) -> tuple[dict[str, Any], dict[Key, str]]:
    """Tables merge by key; every other value, lists among them, replaces the lower one; false takes a table away.

    Of several ways to say the same, that of the higher file counts.
    """
    replaced: set[Key] = set()
    removed: set[Key] = set()

    def lay(under: dict[str, Any], over: dict[str, Any], table: Key) -> dict[str, Any]:
        same = _OF_QUEUE if table[:1] == ("queues",) and len(table) == 2 else {} if table else _OF_SITE
        others = {other for name, value in over.items() if value for other in same.get(name, ())} - over.keys()
        replaced.update((*table, name) for name in others)
        result = {name: value for name, value in under.items() if name not in others}
        for name, value in over.items():
            key = (*table, name)
            if isinstance(value, dict) and isinstance(under.get(name), dict):
                result[name] = lay(under[name], value, key)
                continue
            if name in under:
                replaced.add(key)
            if value is False and isinstance(under.get(name), dict):
                removed.add(key)
                del result[name]
            else:
                result[name] = value
        return result

    data = lay(low.data, high.data, ())
    kept = {
        key: origin
        for key, origin in low.origins.items()
        if replaced.isdisjoint(key[:length] for length in range(1, len(key) + 1))
    }
    return data, {**kept, **{key: origin for key, origin in high.origins.items() if key not in removed}}


def drop(content: Content, name: str) -> None:
    """Remove a value, and the origins of all that is in it."""
    content.data.pop(name, None)
    for key in [key for key in content.origins if key[0] == name]:
        del content.origins[key]
