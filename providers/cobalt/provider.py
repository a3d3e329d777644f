"""Parsl provider for Cobalt."""

from __future__ import annotations

from typing import Any

from psij_parsl.parsl.provider import BlockProvider
from psij_parsl.parsl.vocabulary import not_taken, options

from . import platform as _platform


def _attributes(text: Any) -> dict[str, Any]:
    """`scheduler_options`: lines `#COBALT --attrs name=value:...`. Raises `InvalidRequest` for other options."""
    attributes: list[str] = []
    for option in options(text):
        name, _, value = option.partition("=")
        if name != "--attrs":
            raise not_taken("cobalt", name, "--attrs is")
        attributes.append(value)
    return {"attrs": ":".join(attributes)} if attributes else {}


class CobaltProvider(BlockProvider):
    """Blocks from Cobalt; `psij-run platform show cobalt` lists the parameters that it adds to the base class's."""

    platform = _platform
    translations = {"scheduler_options": _attributes}
