"""What the embedded manager can be asked for; the script itself is job.sh.j2."""

from __future__ import annotations

from psij_parsl.platforms.templates.template import JobTemplate, Refuse


class LocalTemplate(JobTemplate):
    """`#PSIJ-LOCAL` lines from a job."""

    template_file = "job.sh.j2"
    refusals = (
        Refuse(
            lambda asked: asked["queue"],
            "has no queues, so none is called {queue!r}",
            "leave --queue out, or name a platform that has queues with --platform or --site",
        ),
        Refuse(
            lambda asked: asked["num_nodes"] > 1,
            "is this host alone, not {num_nodes} nodes",
            "ask for more ranks with -n, or name a cluster's platform with --platform or --site",
        ),
    )
