"""One cluster of a resource manager, with our records of its jobs: the context of every operation on jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..platforms.scheduler import Scheduler
    from .journal import Journal
    from .record import JobRecord
    from .snapshot import QueueSnapshot


class Channel(NamedTuple):
    """The connection to one cluster of a platform's manager: scheduler, journal, snapshot and time limits.

    An executor makes it once. `cluster` is the key of this cluster in records; `cluster_key` gives the key of a
    cluster from its name. The time limits are in seconds. `grace_s`: a job that the manager has not known for so long
    is LOST. `settle_s`: so long a submission is looked for after an ambiguous answer, before it is sent again.
    `patience_s`: the most that a submission may take in all.
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
