"""qsub, qstat, qdel, qhold, qrls, qalter and qsig. How they answer was seen on OpenPBS 23.06.06.

The ways of `qstat` that shape this module:

- With `-t` (array elements one by one) and without ids it prints for ever, and takes 1.5 GB a second, where the
  server's newest job is an array, whoever's, of which some 500 elements have ended. So everything is asked for
  without `-t`, and then about the elements of our own open arrays by id, which was never seen to fail.
- Asked for several ids, its JSON holds the first job alone, and many ids stall it for minutes (a connection for
  each). With `-E` it asks for all in one, and tells them all. Where that is unknown, ids are asked about one by one.
- Without `-x` it knows no ended job. With it, a server that keeps no history (the default) says nothing about the
  others either, and calls that success. So `-x` is never part of the question about jobs that are there, and never
  without ids: a history may have a hundred thousand jobs.
- It sleeps for 0.2 s if the same user asked within the last 10.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from psij_parsl.errors import Unavailable
from psij_parsl.platforms.queries import UNSTARTED, Answer, Query, Queue, SchedulerRecord, chunks
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.platforms.templates.formatters import hms
from psij_parsl.states import EndReason
from psij_parsl.system.commands import Output

from .errors import ERROR_PATTERNS
from .records import jobs, queues, read_default_queue, read_end, read_job, read_queue, servers

_JSON = ("-f", "-F", "json")
_MANY = 100  # submissions in one question
_GROUPED = "ids grouped by -E"
_KNOWN_IN_PART = (0, 35, 153)  # with 35 (one has ended) and 153 (one is unknown) the others are told all the same
#: `123.head`, `123[].head.site.org`; what a site's notices have of numbers (2, 5.5, 2026.11, a path) is none.
_ID = re.compile(r"(?<![\w./@-])\d+(?:\[\])?\.[A-Za-z][\w-]*(?:\.[A-Za-z0-9][\w-]*)*(?![\w/@-])")


class PBSProScheduler(Scheduler):
    """PBS Pro's command line."""

    commands = ("qsub", "qstat", "qdel")
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
    )  # each job's own. A login shell runs before the script: what else is there may be a profile's
    poll_s = 15.0
    refusal = r"(?m)^qsub: "  # what a site's wrapper says is not the server's word
    forgets = UNSTARTED  # where the server keeps no history
    log_signs = (
        (r"=>> PBS: (?P<text>job killed: (walltime|cput) \S+ exceeded limit .*)", EndReason.TIMEOUT),
        (r"=>> PBS: (?P<text>job killed: (p?v?mem) \S+ exceeded limit .*)", EndReason.OUT_OF_MEMORY),
        (r"=>> PBS: (?P<text>job killed: node \d+ .*\bEOF\b.*)", EndReason.NODE_FAILURE),
    )
    zero_may_lie = True  # of a job that ran on while its mom was restarted with -p
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
        """As `job_id`; likeliest is what stands on a line alone, then what begins one."""
        found: dict[str, tuple[int, str]] = {}
        for line in stdout.splitlines():
            for match in _ID.finditer(line):
                place = 0 if match[0] == line.strip() else 1 if not line[: match.start()].strip() else 2
                plain = self.plain_id(match[0])
                found[plain] = min(found.get(plain, (place, match[0])), (place, match[0]))
        return [job_id for _, job_id in sorted(found.values(), key=lambda each: each[0])]

    def plain_id(self, job_id: str) -> str:
        """The server's name may have its domain or not."""
        return job_id.partition(".")[0]

    def live(self) -> Query:
        return Query(["qstat", *_JSON], partial(read_job, owner=_user()), split=jobs)

    def qstat(
        self,
        vanished_from: Callable[[Mapping[str, SchedulerRecord]], Collection[str]],
        since: float = 0.0,
        arrays: Sequence[str] = (),
    ) -> Answer:
        """As the base says. It is asked once more, id by id, when it has just turned out that `-E` is unknown."""
        known, before = _GROUPED in self._never, self.queries
        try:
            answer = super().qstat(vanished_from, since, arrays)
        except Unavailable:
            if known or _GROUPED not in self._never:
                raise
        else:
            if known or _GROUPED not in self._never:
                return answer
        answer = super().qstat(vanished_from, since, arrays)
        answer.queries = self.queries - before
        return answer

    def grouped(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        """By submission, for an array is asked about as a whole."""
        parts: dict[str, list[str]] = {}
        for job_id in ids:
            parts.setdefault(self.whole(job_id), []).append(job_id)
        for group in chunks(list(parts), 1 if _GROUPED in self._never else _MANY):
            yield [job_id for whole in group for job_id in parts[whole]]

    def elements_query(self, ids: Sequence[str]) -> Query:
        return self._about(ids)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """With no history kept, the answer is as that about no jobs."""
        return (self._about(ids, "-x"),)

    def _about(self, ids: Sequence[str], *options: str) -> Query:
        """A question about some submissions, and all elements of those that are arrays."""
        wholes = list(dict.fromkeys(map(self.whole, ids)))
        grouped = len(wholes) > 1
        argv = ["qstat", *(["-E"] if grouped else []), *options, "-t", *_JSON, *wholes]
        return Query(argv, read_job, jobs, _KNOWN_IN_PART, name=_GROUPED if grouped else "")

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qdel", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        return set(re.findall(r"Unknown Job Id (\S+)", output.stderr))

    def ended_ids(self, output: Output) -> set[str]:
        """Of an array's element that has ended, PBS says that the request is invalid for its state."""
        return set(re.findall(r"(?:Job has finished|Request invalid for state of job) (\S+)", output.stderr))

    def later_ids(self, output: Output) -> set[str]:
        """PBS carries it out when the node is back, as was seen."""
        return set(re.findall(r"could not connect to MOM (\S+)", output.stderr))

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

    def queues(self) -> list[Queue]:
        """As the base says. Which one is the default, the server is asked; it may not say."""
        found = super().queues()
        try:
            default = next(self.ask(Query(["qstat", "-B", "-f", "-F", "json"], read_default_queue, servers)), "")
        except Unavailable:
            return found
        return [queue._replace(default=queue.name == default) for queue in found]

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
