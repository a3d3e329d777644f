"""The commands of LSF: bsub, bjobs, bhist, bkill, bstop, bresume, bmod and bqueues.

Three properties of them shape this module:

- `bjobs -a` shows ended jobs for an hour (CLEAN_PERIOD). Later `bhist` knows them, which reads the event files.
- The commands wait for a server that is down, for ever, and print "LSF is down. Please wait ...". LSB_NTRIES limits
  that, and our own time limit does.
- The exit code of `bjobs` says little: it may be 255 because one id is unknown, or because no job is unfinished
  (LSB_BJOBS_CONSISTENT_EXIT_CODE), and the jobs are printed all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psij_parsl.dependency import BY_ELEMENT, DEPENDENCY_KINDS
from psij_parsl.platforms.queries import Query, Wish
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.states import EndReason
from psij_parsl.system.commands import Output

from .errors import ERROR_PATTERNS
from .records import (
    COLUMNS,
    DELIMITER,
    USAGE_COLUMNS,
    histories,
    queues,
    read_end,
    read_history,
    read_job,
    read_queue,
    read_usage,
    rows,
)

_SUBMITTED = r"Job <(\d+)> is submitted to (?:default )?queue <[^>]*>\."
_NONE = r"^No (unfinished |matching )?job found|^Job <[^>]*> is not found|^Job <[^>]*>: No matching job found"
_NAMED = r"Job <(\d+(?:\[\d+\])?)>:? "


class LSFScheduler(Scheduler):
    """The scheduler of LSF."""

    commands = ("bsub", "bjobs", "bkill")
    keep_env = ("LSF_ENVDIR", "LSF_SERVERDIR", "LSF_LIBDIR", "LSF_BINDIR")
    set_env = {"LSB_DISPLAY_YEAR": "Y", "LSB_NTRIES": "3"}
    drop_env = ("LSB_*", "LS_*", "LSF_JOB*", "BSUB_*", "CSM_*", "JSM_*")
    wish_env = ("LSB_DEFAULTQUEUE", "LSB_DEFAULTPROJECT")
    node_env = ("*",)  # no login shell runs before the script
    error_patterns = ERROR_PATTERNS
    poll_s = 15.0
    dependencies = (*DEPENDENCY_KINDS, BY_ELEMENT)
    same_elements = True
    refusal = r"[Jj]ob not submitted|^\*\* "  # the second is how a site's own check (OLCF) lists what is missing
    script_on_stdin = True
    holds_elements = True  # `bstop` of an array would suspend its elements that run
    counts_attempts = False  # nothing shows how often a job was started
    history_is_dear = True
    log_signs = (
        (r"^(?P<text>TERM_(RUN|CPU)LIMIT: .*)", EndReason.TIMEOUT),
        (r"^(?P<text>TERM_(MEMLIMIT|SWAP): .*)", EndReason.OUT_OF_MEMORY),
        (r"^(?P<text>TERM_(PREEMPT|LOAD): .*)", EndReason.PREEMPTED),
        (r"^(?P<text>TERM_CWD_NOTEXIST: .*)", EndReason.LAUNCH_FAILED),
        (r"^(?P<text>TERM_(FORCE_)?(OWNER|ADMIN): .*)", None),
    )
    product = "LSF"
    probes = (("bsub", "-V"), ("bjobs", "-V"))
    probe_answer = r"\b(Spectrum|Platform) LSF\b"
    cluster_argv = ("lsid",)
    shared_names = True  # Slurm comes with wrappers of these names

    def submit_argv(self, script: Path) -> Sequence[str]:
        return ["bsub"]

    def job_id(self, stdout: str) -> str:
        return next(iter(self.job_ids(stdout)), "")

    def job_ids(self, stdout: str) -> Sequence[str]:
        """The ids in LSF's own sentence; a site's notices may stand around it."""
        return list(dict.fromkeys(re.findall(rf"^{_SUBMITTED}", stdout, re.MULTILINE)))

    def says_only(self, stdout: str, job_id: str) -> bool:
        return re.fullmatch(_SUBMITTED, stdout.strip()) is not None

    def live(self) -> Query:
        """As in the base class, with the elements of arrays one by one."""
        columns = f"{' '.join(COLUMNS)} delimiter='{DELIMITER}'"
        return Query(["bjobs", "-a", "-o", columns], read_job, rows, (0, 255), unknown=_NONE)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """The newest event files: `-n 0` would read all of them."""
        submissions = dict.fromkeys(map(self.whole, ids))
        return (Query(["bhist", "-l", "-n", "4", *submissions], read_history, histories, (0, 255), unknown=_NONE),)

    def usage_queries(self, ids: Sequence[str], since: float, *, running: bool) -> Sequence[Query]:
        columns = f"{' '.join(USAGE_COLUMNS)} delimiter='{DELIMITER}'"
        submissions = dict.fromkeys(map(self.whole, ids))
        return (Query(["bjobs", "-a", "-o", columns, *submissions], read_usage, rows, (0, 255), unknown=_NONE),)

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["bkill", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        return set(re.findall(rf"{_NAMED}(?:No matching job found|is not found)", output.text))

    def ended_ids(self, output: Output) -> set[str]:
        return set(re.findall(rf"{_NAMED}Job has already finished", output.text))

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["bstop", *ids]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["bresume", *ids]

    def signal_argv(self, job_id: str, signal: str) -> Sequence[str]:
        """As in the base class. LSF signals all processes of the job."""
        return ["bkill", "-s", signal, job_id]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["bmod", "-W", str(minutes), job_id]

    def end_query(self, job_id: str) -> Query:
        return Query(["bjobs", "-o", f"jobid stat finish_time delimiter='{DELIMITER}'", job_id], read_end, rows)

    def queues_query(self) -> Query:
        return Query(["bqueues", "-l"], read_queue, queues)

    def element(self, job_id: str, index: int) -> str:
        """LSF's indices begin at 1: 123 and 0 make 123[1]."""
        return f"{job_id}[{index + 1}]"

    def whole(self, element_id: str) -> str:
        return element_id.partition("[")[0]

    def cluster(self, environ: Any) -> str:
        """As in the base class. The other variables are paths of one installation, and differ between hosts."""
        return f"LSF_ENVDIR={environ['LSF_ENVDIR']}" if environ.get("LSF_ENVDIR") else ""

    def wished(self, environ: Mapping[str, str], parameters: Mapping[str, Any]) -> Sequence[Wish]:
        """As in the base class, from LSB_DEFAULTQUEUE, of which the first name counts, and LSB_DEFAULTPROJECT."""
        names = zip(self.wish_env, ("queue", "project"), strict=True)
        return [
            Wish(variable, name, words[0]) for variable, name in names if (words := environ.get(variable, "").split())
        ]
