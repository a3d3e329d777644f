"""Parsl provider for Torque."""

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform


class TorqueProvider(BlockProvider):
    """Blocks from Torque; `psij-run platform show torque` lists the parameters that it adds to the base class's."""

    platform = _platform
    node_parameters = {"cores_per_node": "ppn", "gpus_per_node": "gpus"}
