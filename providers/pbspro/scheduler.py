"""qsub, qstat, qdel, qhold, qrls, qalter and qsig. How they answer was seen on OpenPBS 23.06.06.

The ways of `qstat` that shape this module:

- Asked for several ids, its JSON holds the first job alone, and many ids stall it for minutes (a connection for
  each). So everything is asked for at once; after a few jobs that are gone, with `-E`, which asks for all in one.
- Without `-x` it knows no ended job. With it, a server that keeps no history (the default) says nothing about the
  others either, and calls that success. So `-x` is never part of the question about jobs that are there.
- It sleeps for 0.2 s if the same user asked within the last 10.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from psij_parsl.command import Output
from psij_parsl.formatters import hms
from psij_parsl.platform_tools import UNREACHABLE
from psij_parsl.scheduler import Complaint, Query, Scheduler

from .records import jobs, queues, read_end, read_job, read_queue

_ALL = ("-t", "-f", "-F", "json")  # -t: array elements one by one
_FEW = 20  # ids in one question; beyond, all jobs are asked about
_KNOWN_IN_PART = (0, 35, 153)  # with 35 (one has ended) and 153 (one is unknown) the others are told all the same
_ID = re.compile(r"\d+(\[\d*\])?(\.[\w.-]+)?")


class PBSProScheduler(Scheduler):
    """PBS Pro's command line."""

    commands = ("qsub", "qstat", "qdel")
    keep_env = ("PBS_CONF_FILE", "PBS_SERVER", "PBS_DEFAULT", "PBS_PRIMARY", "PBS_SECONDARY", "PBS_EXEC", "PBS_HOME")
    drop_env = (
        "PBS_JOB*", "PBS_O_*", "PBS_ARRAY_*", "PBS_NODE*", "PBS_ENVIRONMENT", "PBS_QUEUE", "PBS_TASKNUM",
        "PBS_MOMPORT", "ENVIRONMENT", "NCPUS",
    )  # fmt: skip
    node_env = (
        "TMPDIR",
    )  # each job's own. A login shell runs before the script: what else is there may be a profile's
    poll_s = 15.0
    zero_may_lie = True  # of a job that ran on while its mom was restarted with -p
    counts_attempts = False  # PBS counts failed starts too
    chunk = 1000
    array_max = 10000
    product = "PBS Pro"
    probes = (("qsub", "--version"), ("qstat", "--version"))
    probe_answer = r"pbs_version\s*="
    cluster_argv = ("qstat", "-B")
    shared_names = True
    complaints = (
        Complaint(r"invalid option -- 'E'", permanent=True),  # an old qstat: history is asked about everything
        Complaint(  # qsub's usage follows, which has every word
            r"illegal -\w value|directive error|invalid option|script contains|script file|[Cc]annot be used with", hint="`psij-run render` shows what it refused"
        ),
        Complaint(
            r"[Pp]remature end|End of [Ff]ile|Connection reset|Broken pipe|Communication failure",
            transient=True, accepted=True, hint="PBS may have taken it; it is looked for before it is sent again",
        ),
        Complaint(
            rf"{UNREACHABLE}|[Ii]nvalid credential|cannot allocate|[Tt]ry again|timed out",
            transient=True, hint="PBS's server does not answer; `qstat -B` shows when it does again",
        ),
        Complaint(
            r"could not connect to MOM|No route to host", transient=True,
            hint="its node does not answer: wait for it, or remove the job from PBS's books with `qdel -W force ID`",
        ),
        Complaint(r"Unknown queue|Queue is not enabled|[Qq]ueue.*(disabled|not exist)", limit="queue",
                  hint="choose another --queue; `qstat -Q` lists them"),
        Complaint(r"rejected by all possible destinations", limit="queue",
                  hint="no queue behind this one takes so many nodes, or so long: `qstat -Qf` shows the limits"),
        Complaint(r"would exceed|[Mm]aximum number of jobs|per-user limit|too many jobs", limit="account limits",
                  hint="a limit on your jobs: wait for some to end"),
        Complaint(r"violates queue and/or server resource limits", limit="queue limits",
                  hint="ask for less with -t or -N, or choose another --queue; `qstat -Qf` shows the limits"),
        Complaint(r"Array job exceeds", limit="array", hint="`qstat -Bf | grep max_array_size` tells the limit"),
        Complaint(
            r"([Ii]nvalid|[Uu]nknown|[Nn]o|[Ee]xpired|[Bb]ad|not).{0,40}\b(account|project|allocation)\b"
            r"|\b([Aa]ccount|[Pp]roject|[Aa]llocation)\b.{0,60}\b(invalid|unknown|not|expired|exhausted|negative)",
            limit="project", hint="choose another --account",
        ),
        Complaint(r"Unknown resource", limit="resources",
                  hint="this PBS has no such resource: see -X resources, chunk and filesystems"),
        Complaint(r"Illegal attribute or resource value", limit="resources", hint="see -X resources and -X chunk"),
        Complaint(r"Bad GID|group_list", limit="group_list", hint="`id -Gn` lists your groups"),
        Complaint(r"[Dd]epend", limit="after", hint="see that the job which it is to follow exists"),
        Complaint(
            r"Unauthorized Request|not authorized", limit="permission",
            hint="you may not use that queue or project, or only an administrator may: a wall time, for one, you can lower",
        ),
    )  # fmt: skip

    def submit_argv(self, script: Path) -> Sequence[str]:
        return ["qsub", str(script)]

    def job_id(self, stdout: str) -> str:
        """`123.server`, or `123[].server` for an array; a site's own words may stand on lines before it."""
        return next((line for line in reversed(stdout.split()) if _ID.fullmatch(line)), "")

    def plain_id(self, job_id: str) -> str:
        """The server's name may have its domain or not."""
        return job_id.partition(".")[0]

    def live(self) -> Query:
        return Query(["qstat", *_ALL], partial(read_job, owner=_user()), split=jobs)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """With no history kept, the answer is as that about no jobs."""
        submissions = sorted({self.whole(job_id) for job_id in ids})
        everything = Query(["qstat", "-x", *_ALL], read_job, split=jobs)
        if len(submissions) > _FEW:
            return (everything,)
        return Query(["qstat", "-E", "-x", *_ALL, *submissions], read_job, jobs, _KNOWN_IN_PART), everything

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qdel", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        return set(re.findall(r"Unknown Job Id (\S+)", output.stderr))

    def ended_ids(self, output: Output) -> set[str]:
        """Of an array's element that has ended, PBS says that the request is invalid for its state."""
        return set(re.findall(r"(?:Job has finished|Request invalid for state of job) (\S+)", output.stderr))

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qhold", *ids]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qrls", *ids]

    def signal_argv(self, job_id: str, signal: str) -> Sequence[str]:
        """It goes to every process of the job, the shell that PBS started the script from included."""
        return ["qsig", "-s", signal, job_id]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["qalter", "-l", f"walltime={hms(minutes)}", job_id]

    def end_query(self, job_id: str) -> Query:
        return Query(["qstat", "-f", "-F", "json", job_id], read_end, split=jobs)

    def queues_query(self) -> Query:
        return Query(["qstat", "-Q", "-f", "-F", "json"], read_queue, split=queues)

    def element(self, job_id: str, index: int) -> str:
        """`123[].server` and 4 make 123[4].server."""
        return job_id.replace("[]", f"[{index}]", 1)

    def whole(self, element_id: str) -> str:
        return re.sub(r"\[\d+\]", "[]", element_id, count=1)


def _user() -> str:
    """Who we are to PBS; '' where the system does not say."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""
