"""Parsl provider for PBS Professional."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psij_parsl.parsl.provider import BlockProvider
from psij_parsl.parsl.vocabulary import not_taken, options

from . import platform as _platform

_INHERITED = "the block has the workflow's environment; worker_init sets more"
#: Options of qsub other than `-l`, and what to use instead. Some change what qsub does, where it sends the job, or
#: what it prints.
_WAYS: Mapping[str, str] = {
    "-A": "say account",
    "-P": "say account, with charge_to='project'",
    "-q": "say queue; for another server, PBS_SERVER",
    "-V": _INHERITED,
    "-v": _INHERITED,
    "-r": "say rerunnable",
    "-p": "say priority",
    "-m": "say mail_events",
    "-M": "say mail_user",
    "-W": "say group_list for that attribute; a block waits for no other job, and qsub for none",
    "-h": "a block that is held would never start",
    "-I": "a block has no terminal",
    "-X": "a block has no terminal",
    "-J": "say max_blocks",
    "-z": "the provider reads the id that qsub prints",
    "-N": "Parsl names the block",
    "-o": "its output is in the block's folder",
    "-e": "its output is in the block's folder",
    "-j": "its output is in the block's folder",
    "-k": "its output is in the block's folder",
}


def _resources(text: Any) -> dict[str, Any]:
    """`scheduler_options`: lines `#PBS -l name=value,...`. Raises `InvalidRequest` for other options."""
    parameters: dict[str, Any] = {}
    for option in options(text):
        if not option.startswith("-l"):
            raise not_taken("pbspro", option.partition("=")[0], "-l is", _WAYS.get(option[:2], ""))
        for pair in option[2:].removeprefix("=").split(","):
            name, _, value = pair.partition("=")
            if name == "filesystems":
                parameters[name] = value
            else:
                parameters.setdefault("resources", []).append(pair)
    return parameters


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
    translations = {"scheduler_options": _resources, "select_options": _chunk}
