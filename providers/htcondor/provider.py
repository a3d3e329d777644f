"""Parsl provider for HTCondor."""

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform


class HTCondorProvider(BlockProvider):
    """Blocks from HTCondor; `psij-run platform show htcondor` lists the parameters that it adds to the base class's."""

    platform = _platform
