"""Parsl provider for LSF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psij_parsl.parsl.provider import BlockProvider
from psij_parsl.parsl.vocabulary import not_taken, options

from . import platform as _platform

#: Options of bsub that a block may have, and the parameters that they set; -R may be repeated.
_PARAMETERS: Mapping[str, str] = {
    "-q": "queue",
    "-P": "project",
    "-U": "reservation",
    "-app": "application",
    "-R": "requirements",
    "-alloc_flags": "alloc_flags",
}


def _bsub_options(text: Any) -> dict[str, Any]:
    """`scheduler_options`: lines `#BSUB -option value`. Raises `InvalidRequest` for one that no parameter sets."""
    parameters: dict[str, Any] = {}
    for option in options(text):
        name, _, value = option.partition("=")
        if name == "-R":
            parameters.setdefault("requirements", []).append(value)
        elif name == "-alloc_flags":
            parameters["alloc_flags"] = value.split()
        elif name in _PARAMETERS:
            parameters[_PARAMETERS[name]] = value
        else:
            raise not_taken("lsf", name, f"{', '.join(_PARAMETERS)} are")
    return parameters


class LSFProvider(BlockProvider):
    """Blocks from LSF; `psij-run platform show lsf` lists the parameters that it adds to the base class's."""

    platform = _platform
    node_parameters = {"cores_per_node": "slots_per_node", "gpus_per_node": "gpus_per_node"}
    translations = {"scheduler_options": _bsub_options}
