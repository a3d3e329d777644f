"""Parsl provider for PBS Professional."""

from __future__ import annotations

from typing import Any

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform


def _chunk(text: Any) -> dict[str, Any]:
    """`select_options`: resources of each node, `ngpus=4:system=polaris`."""
    parameters: dict[str, Any] = {}
    for pair in filter(None, str(text or "").split(":")):
        name, _, value = pair.partition("=")
        if name in ("ncpus", "ngpus"):
            parameters[name] = value
        else:
            parameters.setdefault("chunk", []).append(pair)
    return parameters


class PBSProProvider(BlockProvider):
    """Blocks from PBS Pro; `psij-run platform show pbspro` lists the parameters that it adds to the base class's."""

    platform = _platform
    node_parameters = {"cores_per_node": "ncpus", "gpus_per_node": "ngpus"}
    translations = {"select_options": _chunk}
