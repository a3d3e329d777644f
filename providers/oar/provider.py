"""Parsl provider for OAR."""

from __future__ import annotations

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform


class OARProvider(BlockProvider):
    """Blocks from OAR; `psij-run platform show oar` lists the parameters that it adds to the base class's."""

    platform = _platform
    node_parameters = {"gpus_per_node": "gpus_per_node"}
