"""Parsl provider for Cobalt."""

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform


class CobaltProvider(BlockProvider):
    """Blocks from Cobalt; `psij-run platform show cobalt` lists the parameters that it adds to the base class's."""

    platform = _platform
