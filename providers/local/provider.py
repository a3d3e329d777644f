"""Parsl blocks on this host."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform

if TYPE_CHECKING:
    from psij_parsl.jobs.record import JobRecord

_START_S = 0.5


class LocalProvider(BlockProvider):
    """Blocks on this host, which queue for its cores: one for each block, or `cores_per_node`."""

    platform = _platform
    is_here = True

    @classmethod
    def whole_node(cls) -> dict[str, Any]:
        """All the cores that the embedded manager gives out."""
        from .settings import Settings

        return {"cores_per_node": Settings(os.environ).total}

    def _submitted(self, record: JobRecord) -> None:
        """Wait briefly for the block to start, and poll it. It starts at once unless all cores are busy."""
        deadline = time.monotonic() + _START_S
        while not os.path.lexists(record.folder / "claim") and time.monotonic() < deadline:
            time.sleep(0.01)
        self.blocks.poll([record], urgent=True)
