"""What this host is, for the platform that runs jobs on it alone."""

from __future__ import annotations

import os

from psij_parsl.resources import gpus, host
from psij_parsl.sites.generation.facts import Ask, NodeFacts, SiteFacts


def site_facts(ask: Ask) -> SiteFacts:
    """This host as the only node."""
    node = NodeFacts(name=host.name(), cpus=host.online(), memory=host.memory(), gpus=len(gpus.host_gpus(os.environ)))
    return SiteFacts(nodes=[node])
