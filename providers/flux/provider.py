"""Parsl provider for Flux."""

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform


class FluxProvider(BlockProvider):
    """Blocks from Flux; `psij-run platform show flux` lists the parameters that it adds to the base class's."""

    platform = _platform
