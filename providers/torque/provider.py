"""Parsl provider for Torque."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psij_parsl.parsl.provider import BlockProvider
from psij_parsl.parsl.vocabulary import not_taken, options

from . import platform as _platform

#: Options of qsub other than `-l`, and what to use instead.
_WAYS: Mapping[str, str] = {
    "-A": "say account",
    "-q": "say queue; for another server, PBS_DEFAULT",
    "-V": "the block has the workflow's environment; worker_init sets more",
    "-v": "the block has the workflow's environment; worker_init sets more",
    "-r": "say rerunnable",
    "-p": "say priority",
    "-m": "say mail_events",
    "-M": "say mail_user",
    "-W": "say group_list for that attribute; a block waits for no other job",
    "-h": "a block that is held would never start",
    "-I": "a block has no terminal",
    "-t": "say max_blocks",
    "-z": "the provider reads the id that qsub prints",
    "-N": "Parsl names the block",
    **dict.fromkeys(("-o", "-e", "-j", "-k"), "its output is in the block's folder"),
}


def _resources(text: Any) -> dict[str, Any]:
    """`scheduler_options`: lines `#PBS -l name=value,...`. Raises `InvalidRequest` for other options."""
    resources: list[str] = []
    for option in options(text):
        if not option.startswith("-l"):
            raise not_taken("torque", option.partition("=")[0], "-l is", _WAYS.get(option[:2], ""))
        resources += option[2:].removeprefix("=").split(",")
    return {"resources": resources} if resources else {}


class TorqueProvider(BlockProvider):
    """Blocks from Torque; `psij-run platform show torque` lists the parameters that it adds to the base class's."""

    platform = _platform
    node_parameters = {"cores_per_node": "ppn", "gpus_per_node": "gpus"}
    translations = {"scheduler_options": _resources}
