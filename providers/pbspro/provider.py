"""Parsl blocks from PBS Professional."""

from __future__ import annotations

from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.parsl.provider import BlockProvider
from psij_parsl.parsl.spellings import options

from . import platform as _platform


def _resources(text: Any) -> dict[str, Any]:
    """`scheduler_options`: lines `#PBS -l name=value,...`. Raises `InvalidRequest` for other options."""
    said: dict[str, Any] = {}
    for option in options(text):
        if not option.startswith("-l"):
            raise InvalidRequest(
                f"scheduler_options says {option.partition('=')[0]}, and only -l is taken here",
                hint="`psij-run platform show pbspro` lists the parameters that say other things",
            )
        for pair in option[2:].removeprefix("=").split(","):
            name, _, value = pair.partition("=")
            if name == "filesystems":
                said[name] = value
            else:
                said.setdefault("resources", []).append(pair)
    return said


def _chunk(text: Any) -> dict[str, Any]:
    """`select_options`: resources of each node, `ngpus=4:system=polaris`."""
    said: dict[str, Any] = {}
    for pair in filter(None, str(text or "").split(":")):
        name, _, value = pair.partition("=")
        if name in ("ncpus", "ngpus"):
            said[name] = value
        else:
            said.setdefault("chunk", []).append(pair)
    return said


class PBSProProvider(BlockProvider):
    """Blocks from PBS Pro; `psij-run platform show pbspro` lists the parameters that it takes beside the base's."""

    platform = _platform
    words = {"cores_per_node": "ncpus", "gpus_per_node": "ngpus"}
    spelled = {"scheduler_options": _resources, "select_options": _chunk}
