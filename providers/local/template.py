"""What the embedded manager can be asked for; the script itself is job.sh.j2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.template import JobTemplate


class LocalTemplate(JobTemplate):
    """`#PSIJ-LOCAL` lines from a job."""

    template_file = "job.sh.j2"

    @classmethod
    def refuse_unexpressed(cls, request: Mapping[str, Any]) -> None:
        """As the base says; and this host is one node, and has no queues."""
        if request.get("queue"):
            raise InvalidRequest(
                f"the local platform has no queues, so none is called {request['queue']!r}",
                hint="leave --queue out, or name a platform that has queues with --platform or --site",
            )
        if request.get("num_nodes", 1) > 1:
            raise InvalidRequest(
                f"the local platform is this host alone, not {request['num_nodes']} nodes",
                hint="ask for more ranks with -n, or name a cluster's platform with --platform or --site",
            )
        super().refuse_unexpressed(request)
