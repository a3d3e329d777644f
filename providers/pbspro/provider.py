"""Parsl blocks from PBS Professional."""

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform


class PBSProProvider(BlockProvider):
    """Blocks from PBS Pro; `psij-run platform show pbspro` lists the parameters that it takes beside the base's."""

    platform = _platform
