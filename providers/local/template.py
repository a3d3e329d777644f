"""The local manager's parameters; the script itself is job.sh.j2."""

from __future__ import annotations

from psij_parsl.platforms.templates.template import JobTemplate, Refuse


class LocalTemplate(JobTemplate):
    """The job script's `#PSIJ-LOCAL` lines."""

    template_file = "job.sh.j2"
    refusals = (
        Refuse(
            lambda values: values["queue"],
            "has no queues, so none is called {queue!r}",
            "leave --queue out, or name a platform that has queues with --platform or --site",
        ),
        Refuse(
            lambda values: values["num_nodes"] > 1,
            "is this host alone, not {num_nodes} nodes",
            "say -N 1, and more ranks with -n; or name a cluster's platform with --platform or --site",
            ("num_nodes",),
        ),
    )
