"""The commands of Grid Engine: qsub, qstat, qdel, qacct, qhold, qrls and qconf, as observed on 8.1.9.

Three properties shape this module:

- `qstat` shows no ended job, and `qacct` reads the whole accounting file of the cluster each time, up to 15 s late. So
  it is asked last, and about all jobs at once.
- A running job's time of submission is not shown with its state, and of its own texts only the name is: the tag
  is the end of the name.
- `qsub` has nothing to show whose it is: on other managers' `qsub`, `-help` submits a job. It refuses `--version`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from psij_parsl.platforms.queries import UNSTARTED, Query
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.platforms.tools import user_name
from psij_parsl.system.commands import Output

from .errors import ERROR_PATTERNS
from .records import jobs, past_jobs, queues, read_end, read_ended, read_job, read_queue

_MASTERS = "qacct -m"
#: `123` and `123.1-10:1`, alone on a line, and the sentence that a wrapper which drops -terse leaves.
_ANSWER = re.compile(
    r"^(?:(\d+)(?:\.\d+-\d+:\d+)?|Your job(?:-array)? (\d+)(?:\.\d+-\d+:\d+)? \(.*\) has been submitted\.?)\s*$",
    re.MULTILINE,
)
_NOTHING = r"^no jobs running since startup$|accounting: No such file or directory$|^error: job id \S+ not found$"
_ONE_BY_ONE = 3  # submissions, at most, that are asked for by their ids
_ZONE_S = 7200.0  # local times are an hour wrong at the change of the clocks


class GridEngineScheduler(Scheduler):
    """The scheduler of Grid Engine."""

    commands = ("qsub", "qstat", "qdel", "qacct")
    keep_env = ("SGE_ROOT", "SGE_CELL", "SGE_CLUSTER_NAME", "SGE_QMASTER_PORT", "SGE_EXECD_PORT", "SGE_ARCH")
    set_env: ClassVar[Mapping[str, str]] = {"SGE_SINGLE_LINE": "1"}
    drop_env = (
        "JOB_ID",
        "JOB_NAME",
        "JOB_SCRIPT",
        "SGE_TASK_*",
        "SGE_O_*",
        "SGE_STD*_PATH",
        "SGE_CWD_PATH",
        "SGE_JOB_SPOOL_DIR",
        "SGE_HGR_*",
        "SGE_ACCOUNT",
        "SGE_BINDING",
        "SGE_CKPT_*",
        "SGE_RSH_COMMAND",
        "SGE_NOTIFY_*",
        "SGE_BINARY_PATH",
        "TASK_ID",
        "QRSH_*",
        "PE",
        "PE_HOSTFILE",
        "NSLOTS",
        "NHOSTS",
        "NQUEUES",
        "QUEUE",
        "REQUEST",
        "REQNAME",
        "RESTARTED",
        "ARC",
        "ENVIRONMENT",
    )
    node_env = ("TMPDIR", "TMP")  # each job has its own. No other variable: a login shell runs before the script
    poll_s = 15.0
    refusal = r"(?m)^(qsub|error): |^Unable to |^denied: "
    tag_form = "psij.{}"
    dependencies = ("afterany", "afteranycorr")
    same_elements = True
    forgets = UNSTARTED
    counts_attempts = False  # RESTARTED is 1, however often it was
    own_codes = (99, 100)  # to run again, and the error state
    history_is_dear = True
    array_max = 75000
    product = "Grid Engine"
    probes = (("qsub", "--version"), ("qstat", "-help"))
    probe_answer = r"^(SGE|SoGE|OGS/GE|UGE|AGE|OCS|GCS|N1GE|GE) \S*\d"
    cluster_argv = ("qconf", "-sss")
    shared_names = True
    error_patterns = ERROR_PATTERNS

    def submit_argv(self, script: Path) -> Sequence[str]:
        """Where the defaults of a site or user say `-sync y`, qsub waits for the job's end; no option undoes that."""
        return ["qsub", "-terse", str(script)]

    def job_id(self, stdout: str) -> str:
        """The number; the range of an array's tasks follows it."""
        return next(iter(self.job_ids(stdout)), "")

    def job_ids(self, stdout: str) -> Sequence[str]:
        return list(dict.fromkeys(match[1] or match[2] for match in _ANSWER.finditer(stdout)))

    def says_only(self, stdout: str, job_id: str) -> bool:
        return _ANSWER.fullmatch(stdout.strip()) is not None

    def live(self) -> Query:
        """`-r`: a job that waits for another one has the same letters as one that is held, but names the other."""
        return Query(["qstat", "-u", _user(), "-s", "prs", "-r", "-xml"], read_job, split=jobs)

    def grouped(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        """A few submissions one by one, for jobs that never started are found by their ids alone; more of them in one.

        Each query of history reads the whole file.
        """
        submissions: dict[str, list[str]] = {}
        for job_id in ids:
            submissions.setdefault(self.whole(job_id), []).append(job_id)
        return iter(submissions.values() if len(submissions) <= _ONE_BY_ONE else [ids])

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """All jobs of the user: without -m (old ones do not have it), with those of their processes on other nodes.

        -b leaves out jobs that never started, so a single job is asked for by its id.
        """
        begin = ["-b", time.strftime("%Y%m%d%H%M.%S", time.localtime(since - _ZONE_S))] if since > _ZONE_S else []
        submissions = list(dict.fromkeys(map(self.whole, ids)))
        everything = ["-j", *submissions] if len(submissions) == 1 else ["-o", _user(), *begin, "-j"]
        return (
            Query(["qacct", "-m", *everything], read_ended, past_jobs, name=_MASTERS, unknown=_NOTHING),
            Query(["qacct", *everything], read_ended, past_jobs, unknown=_NOTHING),
        )

    def usage_queries(self, ids: Sequence[str], since: float, *, running: bool) -> Sequence[Query]:
        """As in the base class, with the tables of processes on other nodes. Of running jobs qacct knows nothing."""
        from .usage import read_usage, tables_by_job

        return () if running else (self.history(ids, since)[-1]._replace(parse=read_usage, split=tables_by_job),)

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qdel", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        """It says the same of jobs that have ended."""
        tasks = re.findall(r'job "(\d+)" task "(\d+)" does not exist', output.text)
        plain = re.findall(r'denied: job "?(\d+(?:\.\d+)?)"? does not exist', output.text)
        return {*plain, *(f"{number}.{task}" for number, task in tasks)}

    def ended_ids(self, output: Output) -> set[str]:
        """As in the base class. They are those that are being deleted."""
        return set(re.findall(r"job (?:task )?(\d+(?:\.\d+)?) is already in deletion", output.text))

    def later_ids(self, output: Output) -> set[str]:
        """As in the base class. Grid Engine sends the signal again until the node is back."""
        return set(re.findall(r'unable to sync state with remote execd for .* "?(\d+(?:\.\d+)?)"?', output.text))

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qhold", *ids]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qrls", *ids]

    def end_query(self, job_id: str) -> Query:
        number, _, task = job_id.partition(".")
        return Query(["qstat", "-j", number, "-xml"], partial(read_end, task=task or "1"), split=lambda text: [text])

    def queues_query(self) -> Query:
        return Query(["qconf", "-sq", "*"], read_queue, queues)

    def element(self, job_id: str, index: int) -> str:
        """Tasks are counted from 1."""
        return f"{job_id}.{index + 1}"

    def whole(self, element_id: str) -> str:
        return element_id.partition(".")[0]

    def cluster(self, environ: Mapping[str, str]) -> str:
        """The cell; a job has fewer of the variables than the shell that it was submitted from."""
        root, cell = environ.get("SGE_ROOT", ""), environ.get("SGE_CELL") or "default"
        return f"SGE_ROOT={root}|SGE_CELL={cell}" if root else ""


def _user() -> str:
    """Our user name; its number where the system does not have one."""
    return user_name() or str(os.geteuid())
