"""The commands of PBS Pro: qsub, qstat, qdel, qhold, qrls, qalter and qsig, as observed on OpenPBS 23.06.06.

Four properties of `qstat` shape this module:

- `-t` shows array elements one by one. Without ids it then prints for ever, and takes 1.5 GB of memory a second, if
  the server's newest job, of any user, is an array of which some 500 elements have ended. So the query of all jobs
  has no `-t`. A second query, with ids, shows the elements of our own open arrays; that was never seen to fail.
- With several ids, its JSON holds only the first job, and many ids stall it for minutes (it opens a connection for
  each). With `-E` it sends all ids in one request, and prints all jobs. A `qstat` without `-E` gets one id at a time.
- Without `-x` it shows no ended jobs. With `-x`, a server that keeps no history (the default) shows no other jobs
  either, and exits with 0. So the query of live jobs has no `-x`. A query with `-x` always has ids, because a
  history may have a hundred thousand jobs.
- It sleeps for 0.2 s if the same user has called it within the last 10 s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import UNSTARTED, Answer, Query, Queue, SchedulerRecord, chunks
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.platforms.templates.formatters import hms
from psij_parsl.platforms.tools import user_name
from psij_parsl.providers._pbs_family.jobs import LIMIT_SIGNS
from psij_parsl.states import EndReason
from psij_parsl.system.commands import Output

from .errors import ERROR_PATTERNS
from .records import jobs, queues, read_default_queue, read_end, read_job, read_queue, servers

_JSON = ("-f", "-F", "json")
_GROUP_SIZE = 100  # submissions in one query
_GROUPED = "ids grouped by -E"
_ANSWERS = (
    0,
    35,
    153,
)  # with 35 (a job has ended) and 153 (a job is unknown) the other jobs are printed nevertheless
#: `123.head`, `123[].head.site.org`; numbers in a site's notices (2, 5.5, 2026.11, a path) do not match.
_ID = re.compile(r"(?<![\w./@-])\d+(?:\[\])?\.[A-Za-z][\w-]*(?:\.[A-Za-z0-9][\w-]*)*(?![\w/@-])")


class PBSProScheduler(Scheduler):
    """The scheduler of PBS Pro."""

    commands = ("qsub", "qstat", "qdel")
    samples_cpu_time = True
    keep_env = ("PBS_CONF_FILE", "PBS_SERVER", "PBS_DEFAULT", "PBS_PRIMARY", "PBS_SECONDARY", "PBS_EXEC", "PBS_HOME")
    drop_env = (
        "PBS_JOB*",
        "PBS_O_*",
        "PBS_ARRAY_*",
        "PBS_NODE*",
        "PBS_ENVIRONMENT",
        "PBS_QUEUE",
        "PBS_TASKNUM",
        "PBS_MOMPORT",
        "ENVIRONMENT",
        "NCPUS",
    )
    node_env = (
        "TMPDIR",
    )  # each job has its own. No other variable: a login shell runs before the script, and its profile may set some
    poll_s = 15.0
    refusal = r"(?m)^qsub: "  # a site's wrapper may print more, which is not the server's answer
    forgets = UNSTARTED  # where the server keeps no history
    log_signs = (*LIMIT_SIGNS, (r"=>> PBS: (?P<text>job killed: node \d+ .*\bEOF\b.*)", EndReason.NODE_FAILURE))
    zero_may_lie = True  # for a job that ran on while its mom was restarted with -p
    counts_attempts = False  # PBS counts failed starts too
    chunk = 1000  # of commands that change something
    array_max = 10000
    product = "PBS Pro"
    probes = (("qsub", "--version"), ("qstat", "--version"))
    probe_answer = r"pbs_version\s*="
    cluster_argv = ("qstat", "-B")
    shared_names = True
    error_patterns = ERROR_PATTERNS

    def submit_argv(self, script: Path) -> Sequence[str]:
        return ["qsub", str(script)]

    def job_id(self, stdout: str) -> str:
        """`123.server`, or `123[].server` for an array; a site's notices may stand around it."""
        return next(iter(self.job_ids(stdout)), "")

    def job_ids(self, stdout: str) -> Sequence[str]:
        """As `job_id`; the likeliest is an id that is alone on its line, then one that begins a line."""
        candidates: dict[str, tuple[int, str]] = {}  # by plain id: rank (0 is the likeliest), id
        for line in stdout.splitlines():
            for match in _ID.finditer(line):
                rank = 0 if match[0] == line.strip() else 1 if not line[: match.start()].strip() else 2
                plain = self.plain_id(match[0])
                candidates[plain] = min(candidates.get(plain, (rank, match[0])), (rank, match[0]))
        return [job_id for _, job_id in sorted(candidates.values(), key=lambda candidate: candidate[0])]

    def plain_id(self, job_id: str) -> str:
        """The number: the server's name may stand with its domain or without."""
        return job_id.partition(".")[0]

    def live(self) -> Query:
        return Query(["qstat", *_JSON], partial(read_job, owner=user_name()), split=jobs)

    def qstat(
        self,
        vanished_from: Callable[[Mapping[str, SchedulerRecord]], Collection[str]],
        since: float = 0.0,
        arrays: Sequence[str] = (),
    ) -> Answer:
        """As in the base class. If this call has shown that `qstat` does not have `-E`, it asks again, id by id."""
        ungrouped, before = _GROUPED in self._never_answered, self.queries
        try:
            answer = super().qstat(vanished_from, since, arrays)
        except Unavailable:
            if ungrouped or _GROUPED not in self._never_answered:
                raise
        else:
            if ungrouped or _GROUPED not in self._never_answered:
                return answer
        answer = super().qstat(vanished_from, since, arrays)
        answer.queries = self.queries - before
        return answer

    def grouped(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        """The ids in groups of whole submissions: one query is about all elements of an array."""
        by_submission: dict[str, list[str]] = {}
        for job_id in ids:
            by_submission.setdefault(self.whole(job_id), []).append(job_id)
        for group in chunks(list(by_submission), 1 if _GROUPED in self._never_answered else _GROUP_SIZE):
            yield [job_id for whole in group for job_id in by_submission[whole]]

    def elements_query(self, ids: Sequence[str]) -> Query:
        return self._submissions_query(ids)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """A server that keeps no history answers as if there were no such jobs."""
        return (self._submissions_query(ids, "-x"),)

    def usage_queries(self, ids: Sequence[str], since: float, *, running: bool) -> Sequence[Query]:
        query = self._submissions_query(ids, *([] if running else ["-x"]))
        return (query._replace(parse=partial(read_job, used_so_far=True)),)

    def _submissions_query(self, ids: Sequence[str], *options: str) -> Query:
        """A query about some submissions, and about all elements of those that are arrays."""
        submissions = list(dict.fromkeys(map(self.whole, ids)))
        grouped = len(submissions) > 1
        argv = ["qstat", *(["-E"] if grouped else []), *options, "-t", *_JSON, *submissions]
        return Query(argv, read_job, jobs, _ANSWERS, name=_GROUPED if grouped else "")

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qdel", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        return set(re.findall(r"Unknown Job Id (\S+)", output.stderr))

    def ended_ids(self, output: Output) -> set[str]:
        """As in the base class. For an array's element that has ended, PBS says that the request is invalid."""
        return set(re.findall(r"(?:Job has finished|Request invalid for state of job) (\S+)", output.stderr))

    def later_ids(self, output: Output) -> set[str]:
        """As in the base class. PBS carries the cancel out when the node is back, as was seen."""
        return set(re.findall(r"could not connect to MOM (\S+)", output.stderr))

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qhold", *ids]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qrls", *ids]

    def signal_argv(self, job_id: str, signal: str) -> Sequence[str]:
        """As in the base class. PBS signals every process of the job, also the shell that started the script."""
        return ["qsig", "-s", signal, job_id]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["qalter", "-l", f"walltime={hms(minutes)}", job_id]

    def end_query(self, job_id: str) -> Query:
        return Query(["qstat", "-f", "-F", "json", job_id], read_end, split=jobs)

    def queues_query(self) -> Query:
        return Query(["qstat", "-Q", "-f", "-F", "json"], read_queue, split=queues)

    def queues(self) -> list[Queue]:
        """As in the base class. A second query asks the server for its default queue; it may have none."""
        queues = super().queues()
        try:
            default = next(self.ask(Query(["qstat", "-B", "-f", "-F", "json"], read_default_queue, servers)), "")
        except Unavailable:
            return queues
        return [queue._replace(default=queue.name == default) for queue in queues]

    def element(self, job_id: str, index: int) -> str:
        """`123[].server` and 4 make 123[4].server."""
        return job_id.replace("[]", f"[{index}]", 1)

    def whole(self, element_id: str) -> str:
        return re.sub(r"\[\d+\]", "[]", element_id, count=1)
