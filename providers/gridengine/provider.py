"""Parsl provider for Grid Engine."""

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform


class GridEngineProvider(BlockProvider):
    """Blocks from Grid Engine; `psij-run platform show gridengine` lists what it adds to the base class's."""

    platform = _platform
    node_parameters = {"cores_per_node": "slots_per_node"}
