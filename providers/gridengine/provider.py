"""Parsl provider for Grid Engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psij_parsl.parsl.provider import BlockProvider
from psij_parsl.parsl.vocabulary import not_taken, options

from . import platform as _platform

#: Options of qsub other than `-l` and `-pe`, and what to use instead.
_WAYS: Mapping[str, str] = {
    "-P": "say project",
    "-q": "say queue",
    "-V": "the block has the workflow's environment; worker_init sets more",
    "-v": "the block has the workflow's environment; worker_init sets more",
    "-r": "say rerunnable",
    "-R": "say reserve",
    "-p": "say priority",
    "-m": "say mail_events",
    "-M": "say mail_user",
    "-t": "say max_blocks",
    "-h": "a block that is held would never start",
    "-N": "Parsl names the block",
    "-o": "its output is in the block's folder",
    "-e": "its output is in the block's folder",
    "-j": "its output is in the block's folder",
    "-cwd": "the block starts where the workflow did",
}


def _requests(text: Any) -> dict[str, Any]:
    """`scheduler_options`: lines `#$ -l name=value,...` and `#$ -pe NAME SLOTS`. Raises `InvalidRequest` for others."""
    parameters: dict[str, Any] = {}
    for option in options(text):
        name, _, value = option.partition("=")
        if name == "-l":
            parameters.setdefault("resources", []).extend(value.split(","))
        elif name == "-pe":
            parameters["pe"] = value.partition("=")[0]  # how many slots, the shape of the block says
        else:
            raise not_taken("gridengine", name, "-l and -pe are", _WAYS.get(name, ""))
    return parameters


class GridEngineProvider(BlockProvider):
    """Blocks from Grid Engine; `psij-run platform show gridengine` lists what it adds to the base class's."""

    platform = _platform
    node_parameters = {"cores_per_node": "slots_per_node"}
    translations = {"scheduler_options": _requests}
