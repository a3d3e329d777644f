"""The commands of HTCondor: condor_submit, condor_q, condor_history, condor_rm, condor_hold and condor_release.

condor_submit takes a description of the job, not a script with options. The description is in the script's lines
`#HTCONDOR key = value`, which become the command's arguments: no second file is needed. So

    sed -n 's/^#HTCONDOR //p' script.sh | condor_submit executable=script.sh -

submits the same job by hand. A script without such lines, which is not ours, is a job too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from psij_parsl.platforms.queries import Query
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.system.commands import Output

from .errors import ERROR_PATTERNS
from .records import ATTRIBUTES, ads, past_ads, read_end, read_job

_MARK = "#HTCONDOR "
_RANGE = re.compile(r"^(\d+)\.(\d+) - \1\.(\d+)[ \t\r]*$", re.MULTILINE)
_JSON = ("-json", "-attributes", ATTRIBUTES)
_CLOCKS_S = 3600  # by which the schedd's clock may differ from ours
#: The variables that choose a schedd and a pool; others are credentials.
_PLACES = ("CONDOR_CONFIG", "_CONDOR_CONDOR_HOST", "_CONDOR_COLLECTOR_HOST", "_CONDOR_SCHEDD_HOST")


class HTCondorScheduler(Scheduler):
    """The scheduler of HTCondor."""

    commands = ("condor_submit", "condor_q", "condor_rm")
    samples_cpu_time = True
    keep_env = (*_PLACES, "_CONDOR_SEC_*", "BEARER_TOKEN", "BEARER_TOKEN_FILE", "X509_USER_PROXY", "XDG_RUNTIME_DIR")
    drop_env = (
        "_CONDOR_*",
        "CONDOR_STARTER_PID",
        "BATCH_SYSTEM",
        "PSIJ_HTCONDOR_*",
        "APPTAINER_CACHEDIR",
        "SINGULARITY_CACHEDIR",
    )
    node_env = ("*",)  # no login shell runs before the script
    stopgaps = (
        "TMPDIR=/tmp",
        "TEMP=/tmp",
        "TMP=/tmp",
        *(
            f"{name}=*"
            for name in ("*_NUM_THREADS", "GOMAXPROCS", "PYTHON_CPU_COUNT", "ROOT_MAX_THREADS", "CUBACORES")
        ),
    )
    executable_script = True
    history_is_dear = True  # it is a file that is read from its end
    chunk = 1000
    array_max = 10000
    product = "HTCondor"
    probes = (("condor_submit", "-help"), ("condor_q", "-version"))
    probe_answer = r"\$CondorVersion: |^Usage: (\S*/)?condor_submit\b"
    cluster_argv = ("condor_q", "-totals")
    error_patterns = ERROR_PATTERNS

    def submit_argv(self, script: Path) -> Sequence[str]:
        """The description as arguments: its lines, and the last one, `queue`, which says how many jobs it makes."""
        argv, queue = ["condor_submit", "-terse"], "1"
        for line in description(script):
            word, _, rest = line.partition(" ")
            if word == "queue":
                queue = rest or queue
            else:
                argv += ["-append", line]
        # The command is started in the script's directory: its name alone has no characters that mean anything.
        return [*argv, "-append", f"executable = {script.name}", "-queue", queue]

    def job_id(self, stdout: str) -> str:
        """`12.0` of `12.0 - 12.0`, and `12` of the array `12.0 - 12.3`."""
        return next(iter(self.job_ids(stdout)), "")

    def job_ids(self, stdout: str) -> Sequence[str]:
        """As `job_id`; a site's notices may stand on other lines."""
        return [f"{cluster}.{first}" if first == last else cluster for cluster, first, last in _RANGE.findall(stdout)]

    def says_only(self, stdout: str, job_id: str) -> bool:
        return _RANGE.fullmatch(stdout.strip()) is not None

    def element_ids(self, stdout: str, count: int) -> Sequence[str]:
        for cluster, first, last in _RANGE.findall(stdout):
            return [f"{cluster}.{proc}" for proc in range(int(first), int(last) + 1)]
        return ()

    def whole(self, element_id: str) -> str:
        """The same: `12.0` may be a job, or an element of the array `12`, as its record says."""
        return element_id

    def live(self) -> Query:
        return Query(["condor_q", *_JSON], read_job, ads)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """History is read from its newest job back to the first that ended before any of these was submitted.

        It is in the order in which jobs left the queue, so a job that stayed there after its end says nothing.
        """
        began = max(0, int(since) - _CLOCKS_S)
        stayed = 'LeaveJobInQueue isnt undefined && unparse(LeaveJobInQueue) != "false"'
        argv = ["condor_history", *_JSON, "-since", f"EnteredCurrentStatus < {began} && !({stayed})", *ids]
        return (Query(argv, partial(read_job, past=True), past_ads),)

    def usage_queries(self, ids: Sequence[str], since: float, *, running: bool) -> Sequence[Query]:
        if running:
            return (self.live()._replace(parse=partial(read_job, used_so_far=True)),)
        return self.history(ids, since)

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["condor_rm", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        """As in the base class. That none was found it says of all together, with their ids among other words."""
        together = " ".join(re.findall(r"Couldn't find/\w+ all jobs (.*)", output.stderr))
        return {*re.findall(r"Job (\d+\.\d+) not found", output.stderr), *re.findall(r"[\w.-]+", together)}

    def ended_ids(self, output: Output) -> set[str]:
        return set(re.findall(r"Job (\d+\.\d+) already (?:marked for removal|completed)", output.stderr))

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["condor_hold", *ids]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["condor_release", *ids]

    def end_query(self, job_id: str) -> Query:
        return Query(["condor_q", *_JSON, job_id], read_end, ads)

    def cluster(self, environ: Any) -> str:
        """As in the base class, by the variables that choose a pool or a schedd, not by credentials."""
        return "|".join(f"{name}={environ[name]}" for name in _PLACES if environ.get(name))


def description(script: Path) -> list[str]:
    """The lines of the job's description in a script; none in one that is not ours, or is not there yet."""
    if not script.is_file():
        return []
    lines = script.read_text(errors="replace").partition("\n\n")[0].splitlines()
    return [line.removeprefix(_MARK).strip() for line in lines if line.startswith(_MARK)]
