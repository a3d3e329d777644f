"""One cluster of a resource manager and our records of its jobs: what everything that is done about jobs needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..platforms.scheduler import Scheduler
    from .journal import Journal
    from .record import JobRecord
    from .snapshot import QueueSnapshot


@dataclass(frozen=True)
class Channel:
    """The way to one cluster of a platform's manager. An executor makes it once.

    `cluster` is the cluster's key in records, `cluster_key` gives the key of one that is named. `grace_s` is how long
    the manager may not know a job before that is LOST, `settle_s` how long an ambiguous submission is looked for
    before it is sent again, `patience_s` how long a submit may take in all: seconds.
    """

    platform: str
    cluster: str
    journal: Journal
    scheduler: Scheduler
    snapshot: QueueSnapshot
    grace_s: float
    settle_s: float
    patience_s: float
    cluster_key: Callable[[str], str]

    def has(self, entry: JobRecord) -> bool:
        """Whether that job is on this cluster of this platform."""
        return entry.platform == self.platform and entry.cluster == self.cluster
