"""The commands of Cobalt: qsub, qstat, qdel, qhold, qrls and qalter, as the source of version 1.0.33 has them.

What it has to be known for:

- A job that has ended is gone from `qstat`, at once and without a trace. How it ended, our exit file says, and what
  Cobalt has written into the job's log (`--debuglog`): that its time was over, that somebody deleted it, its exit code.
- `qstat` with ids prints nothing, and exits with 1, where it finds none of them. So it is asked about all our jobs.
- qdel, qhold and qrls exit with 0 whatever they could not do; what they did is in their output.
- A job may only follow others that end with 0, and that have not ended before it waits for them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from psij_parsl.platforms.queries import UNSTARTED, Query
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.platforms.tools import user_name
from psij_parsl.states import EndReason
from psij_parsl.system.commands import Output

from .errors import ERROR_PATTERNS
from .records import COLUMNS, blocks, queue_blocks, read_end, read_job, read_queue

_LOGGED = r"^\w.* [+-]\d{4} \(.*\) (?:Info|ERROR): (?P<text>"


class CobaltScheduler(Scheduler):
    """The scheduler of Cobalt."""

    commands = ("qsub", "qstat", "qdel")
    gives_whole_nodes = True
    keep_env = ("COBALT_CONFIG_FILES", "COBALT_SOURCE_DIR", "COBALT_RUNTIME_DIR")
    drop_env = (
        "COBALT_*ID",
        "COBALT_PART*",
        "COBALT_BLOCK*",
        "COBALT_JOBSIZE",
        "COBALT_NODEFILE",
        "COBALT_*TIME",
        "COBALT_PROJECT",
        "COBALT_QUEUE",
    )
    poll_s = 15.0
    early_poll_delays_s = (2.0, 12.0, 25.0)  # it looks after its jobs every 10 s
    executable_script = True
    tag_form = "psij.{}"  # a colon ends a variable in --env
    dependencies = ("afterok",)
    forgets = UNSTARTED  # it forgets all others too; of those our exit file or its log tells
    log_signs = (
        (rf"{_LOGGED}maximum execution time exceeded.*)", EndReason.TIMEOUT),
        (rf"{_LOGGED}(?:user delete (?:requested|with signal)|forced delete requested|pending user delete).*)", None),
        (rf"{_LOGGED}task completed normally with an exit code of (?P<code>\d+);.*)", None),
        (
            rf"{_LOGGED}(?:exec\(\) failed|forker's pre-exec|process group creation failed|execution failure"
            r"|resources released; starting).*)",
            EndReason.LAUNCH_FAILED,
        ),
    )
    product = "Cobalt"
    probes = (("qsub", "--version"), ("qstat", "--version"))
    probe_answer = r", Cobalt\b"
    cluster_argv = ("qstat", "-Q")
    shared_names = True
    error_patterns = ERROR_PATTERNS

    def submit_argv(self, script: Path) -> Sequence[str]:
        """As in the base class. qsub drops blanks from a path, and looks in its own directory, which is the script's."""
        return ["qsub", script.name]

    def job_id(self, stdout: str) -> str:
        """A number alone on its line, or one that begins a line: what a site wants to say of the job follows it."""
        return next(iter(self.job_ids(stdout)), "")

    def job_ids(self, stdout: str) -> Sequence[str]:
        """As `job_id`; the likeliest is the last one, for a site's filters print before the id."""
        alone = re.findall(r"^\s*(\d+)\s*$", stdout, re.MULTILINE)
        first = re.findall(r"^(\d+) +\S", stdout, re.MULTILINE)
        return list(dict.fromkeys([*reversed(alone), *reversed(first)]))

    def live(self) -> Query:
        user = user_name()
        return Query(
            ["qstat", "-l", f"--header={':'.join(COLUMNS)}", *(["-u", user] if user else [])], read_job, blocks
        )

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qdel", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        """As in the base class: those that are missing from the table of deleted jobs."""
        if output.rc != 0:
            return set()
        return set(output.argv[1:]) - set(re.findall(r"^ *(\d+) ", output.stdout, re.MULTILINE))

    def failure(self, output: Output) -> str:
        """As in the base class. To hold what is held, or to release what is not, is no failure."""
        failed = re.findall(
            r"^ *(job \d+ (?:not found|has already completed|is already active|encountered).*)$"
            r"|^ *(Failed to match any jobs.*)$",
            output.text,
            re.MULTILINE,
        )
        return "; ".join(dict.fromkeys(map("".join, failed)))

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qhold", *ids]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["qrls", *ids]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["qalter", "-t", str(minutes), job_id]

    def end_query(self, job_id: str) -> Query:
        return Query(["qstat", "-l", f"--header={':'.join(COLUMNS)}", job_id], read_end, blocks)

    def queues_query(self) -> Query:
        return Query(["qstat", "-Q", "-l"], read_queue, queue_blocks)
