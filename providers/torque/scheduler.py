"""The commands of Torque: qsub, qstat, qdel, qhold, qrls, qalter and qsig, as recorded of its last public source.

Three habits shape this module. Torque has no history: an ended job is shown for `keep_completed` seconds, which are 0
unless the administrator sets more, and then is as unknown as one that never was; so the exit file in the job's folder
tells most ends. `qstat -x` is XML, and not history as in PBS Pro; with `-t` it shows the elements of arrays one by one
and not the array. And qsub submits again by itself when the server does not answer it, so that there may be two jobs
of one submission: the script lets one of them run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import UNSTARTED, Query, Queue
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.platforms.templates.formatters import hms
from psij_parsl.platforms.tools import user_name
from psij_parsl.providers._pbs_family.jobs import LIMIT_SIGNS
from psij_parsl.states import EndReason
from psij_parsl.system.commands import Output

from .errors import ERROR_PATTERNS
from .records import jobs, long_form, read_default_queue, read_end, read_job, read_queue

_REPEATED = "Connection to server timed out. Trying again"  # qsub prints it without a line's end, and submits again
#: `12.server`, `12[].server.site.org`; without the server's name (display_job_server_suffix) alone on its line only.
_ID = re.compile(r"(?<![\w./@-])\d+(?:\[\])?\.[A-Za-z][\w-]*(?:\.[A-Za-z0-9][\w-]*)*(?![\w/@-])|^\d+(?:\[\])?$")


class TorqueScheduler(Scheduler):
    """The scheduler of Torque."""

    commands = ("qsub", "qstat", "qdel")
    samples_cpu_time = True
    keep_env = ("PBS_DEFAULT", "PBS_SERVER", "PBSAPITIMEOUT")
    drop_env = (
        *("PBS_JOB*", "PBS_O_*", "PBS_ARRAYID", "PBS_ENVIRONMENT", "PBS_QUEUE", "PBS_TASKNUM", "PBS_MOMPORT"),
        *("PBS_NODE*", "PBS_NP", "PBS_NUM_*", "PBS_VNODENUM", "PBS_WALLTIME", "PBS_GPUFILE", "PBS_MICFILE"),
        "PBS_VERSION",
    )
    node_env = ("TMPDIR",)  # where the administrator gives each job one; a login shell runs before the script
    poll_s = 15.0
    refusal = r"(?m)^qsub(: | can not be run as root)"  # a site's submit filter may print more
    grace_s = 90.0  # nothing comes of asking longer; a shared file system may hide an exit file for a minute
    forgets = UNSTARTED
    log_signs = (*LIMIT_SIGNS, (r"=>> PBS: (?P<text>job killed: node \d+ .*)", EndReason.NODE_FAILURE))
    zero_may_lie = (
        True  # of a job that ran on while the daemon of its node was started anew, as in PBS: not tried here
    )
    counts_attempts = False  # starts that failed are counted too
    array_max = 10000
    product = "Torque"
    probes = (("qsub", "--version"), ("qstat", "--version"))
    probe_answer = r"\A[Vv]ersion: [2-6]\.\d+\.\d+\s*$|^Version: \S+\s+Commit: "
    cluster_argv = ("qstat", "-B")
    shared_names = True
    error_patterns = ERROR_PATTERNS

    def submit_argv(self, script: Path) -> Sequence[str]:
        return ["qsub", str(script)]

    def job_id(self, stdout: str) -> str:
        return next(iter(self.job_ids(stdout)), "")

    def job_ids(self, stdout: str) -> Sequence[str]:
        """The likeliest is an id that is alone on its line, then one that begins a line."""
        ranks: dict[str, int] = {}
        for line in stdout.replace(_REPEATED, "\n").splitlines():
            for match in _ID.finditer(line.strip()):
                alone = match[0] == line.strip()
                ranks[match[0]] = min(ranks.get(match[0], 2), 0 if alone else 1 if match.start() == 0 else 2)
        return sorted(ranks, key=lambda job_id: ranks[job_id])

    def plain_id(self, job_id: str) -> str:
        """The number: the server's name may stand with its domain, an alias, or not at all."""
        return job_id.partition(".")[0]

    def live(self) -> Query:
        return Query(["qstat", "-x", "-t"], partial(read_job, owner=user_name()), split=jobs)

    def usage_queries(self, ids: Sequence[str], since: float, *, running: bool) -> Sequence[Query]:
        """As in the base class; of ended jobs while qstat shows them."""
        query = self.live()
        return (query._replace(parse=partial(read_job, used_so_far=True)),)

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qdel", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        return set(re.findall(r"(?:nonexistent job id:|Unknown Job Id(?: Error)?) (\S+)", output.stderr))

    def ended_ids(self, output: Output) -> set[str]:
        """As in the base class. A job that is being ended is refused alike."""
        return set(re.findall(r"Request invalid for state of job .*\b(?:COMPLETE|EXITING) (\S+)", output.stderr))

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qhold", *ids]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qrls", *ids]

    def signal_argv(self, job_id: str, signal: str) -> Sequence[str]:
        """As in the base class. It reaches every process of the job, also the shell that started the script."""
        return ["qsig", "-s", signal, job_id]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["qalter", "-l", f"walltime={hms(minutes)}", job_id]

    def end_query(self, job_id: str) -> Query:
        return Query(["qstat", "-x", job_id], read_end, split=jobs)

    def queues_query(self) -> Query:
        return Query(["qstat", "-Q", "-f"], read_queue, split=long_form)

    def queues(self) -> list[Queue]:
        """As in the base class. A second query asks the server for its default queue; it may have none."""
        queues = super().queues()
        try:
            default = next(self.ask(Query(["qstat", "-B", "-f"], read_default_queue, split=long_form)), "")
        except Unavailable:
            return queues
        return [queue._replace(default=queue.name == default) for queue in queues]

    def element(self, job_id: str, index: int) -> str:
        """`12[].server` and 4 make 12[4].server."""
        return job_id.replace("[]", f"[{index}]", 1)

    def whole(self, element_id: str) -> str:
        return re.sub(r"\[\d+\]", "[]", element_id, count=1)
