"""What a submission is called where the manager sees it: our id, the file of its log, the cluster that was chosen."""

from __future__ import annotations

import re

OUR_ID = re.compile(r"[0-9a-z]{10}|JOB")  # the journal's; JOB is what `render` shows
MANAGER_LOG = "manager.log"  # the file in a job's folder to which the manager writes its own log
CLUSTER_PREFIX = "cluster="  # before the name of a cluster, where one was chosen, at the end of a cluster's key


def cluster_in(key: str) -> str:
    """The name of the cluster that was chosen, in `JobRecord.cluster`; '' if none was."""
    before, prefix, name = key.rpartition(CLUSTER_PREFIX)
    return name if prefix and (not before or before.endswith("|")) else ""
