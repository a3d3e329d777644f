"""Parsl provider for LSF."""

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform


class LSFProvider(BlockProvider):
    """Blocks from LSF; `psij-run platform show lsf` lists the parameters that it adds to the base class's."""

    platform = _platform
    node_parameters = {"cores_per_node": "slots_per_node", "gpus_per_node": "gpus_per_node"}
