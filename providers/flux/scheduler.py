"""Flux's command line: https://flux-framework.readthedocs.io/projects/flux-core/en/latest/index_man.html

Most of Flux's commands are Python programs, and take 0.15 s to start. So one query is about all jobs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from psij_parsl.platforms.queries import Query
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.states import EndReason
from psij_parsl.system.commands import Output

from .errors import ERROR_PATTERNS
from .ids import ascii_id, number
from .records import QUEUE_COLUMNS, jobs, read_end, read_job, read_queue
from .template import OPTION_LINE

_LISTING = ("flux", "jobs", "--json")
_RECENT = "10m"  # jobs that ended within that time are in the answer about live jobs
_UNKNOWN = r"^JobID \S+ unknown$"
_SYSTEM = re.compile(r"local:///(?:var/)?run/flux/local")  # the usual socket of a system's own instance
_RANK = re.compile(r"(?<=/local)-\d+$")  # the broker's rank in the socket's name


class FluxScheduler(Scheduler):
    """The scheduler of the Flux instance that FLUX_URI names, or of the system's own."""

    commands = ("flux",)
    keep_env = (
        "FLUX_URI",
        "FLUX_CONNECTOR_PATH",
        "FLUX_EXEC_PATH",
        "FLUX_MODULE_PATH",
        "LUA_PATH",
        "LUA_CPATH",
        "PYTHONPATH",
    )
    drop_env = (
        "FLUX_URI",  # the job has the URI of its own instance
        "FLUX_JOB_*",
        "FLUX_TASK_*",
        "FLUX_KVS_NAMESPACE",
        "FLUX_ENCLOSING_ID",
        "FLUX_TERMINUS_SESSION",
        "FLUX_PROXY_REMOTE",
        "FLUX_PMI_LIBRARY_PATH",
        "I_MPI_PMI_LIBRARY",
        "OMPI_MCA_btl_*_backing_directory",
    )
    node_env = ("*",)  # the job has the environment that `flux batch` had, and what Flux and a prolog set
    refusal = r"(?m)^(flux[- ]\w+: (ERROR|error): |\[Errno \d+\] )"
    log_signs = ((r"(?P<text>Memory cgroup out of memory: .*)", EndReason.OUT_OF_MEMORY),)
    product = "Flux"
    probes = (("flux", "--version"),)
    probe_answer = r"^libflux-core:"
    cluster_argv = ("flux", "getattr", "size")
    error_patterns = ERROR_PATTERNS

    def submit_argv(self, script: Path) -> Sequence[str]:
        """As in the base class. For a script without option lines Flux has to be told that it wants one slot."""
        return ["flux", "batch", *([] if _has_options(script) else ["--nslots=1"]), str(script)]

    def job_id(self, stdout: str) -> str:
        """The id on the last line that is one, with an ASCII prefix: it is printed with either prefix."""
        return next(iter(self.job_ids(stdout)), "")

    def job_ids(self, stdout: str) -> Sequence[str]:
        """As `job_id`. Flux prints the id alone on its line; a site's notice may be one word, and look like an id."""
        lines = (line.strip() for line in reversed(stdout.splitlines()))
        printed = [line for line in lines if line[:1] in ("f", "ƒ") and number(line) is not None]
        return list(dict.fromkeys(map(ascii_id, sorted(printed, key=lambda line: not line.startswith("ƒ")))))

    def says_only(self, stdout: str, job_id: str) -> bool:
        return self.same_id(stdout.strip(), job_id)

    def plain_id(self, job_id: str) -> str:
        """The number in decimal form: there are several forms, as `ids` shows."""
        value = number(job_id)
        return job_id if value is None else str(value)

    def live(self) -> Query:
        """All jobs that have not ended, and those that ended in the last minutes; -c 0: however many they are."""
        return Query([*_LISTING, "-c", "0", f"--since=-{_RECENT}"], read_job, jobs)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """Flux keeps ended jobs for as long as its administrator has set; a text that is no id would be an error."""
        known = [ascii_id(job_id) for job_id in ids if number(job_id) is not None]
        return (Query([*_LISTING, *known], read_job, jobs, unknown=_UNKNOWN),) if known else ()

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["flux", "cancel", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        return set(re.findall(r"(\S+): unknown job id", output.stderr))

    def ended_ids(self, output: Output) -> set[str]:
        return set(re.findall(r"(\S+): job is inactive", output.stderr))

    def hold(self, ids: Collection[str]) -> None:
        """As in the base class. Flux's command takes one id."""
        for job_id in sorted(ids):
            super().hold([job_id])

    def release(self, ids: Collection[str]) -> None:
        """As `hold`."""
        for job_id in sorted(ids):
            super().release([job_id])

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["flux", "job", "urgency", *ids, "hold"]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["flux", "job", "urgency", *ids, "default"]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["flux", "update", job_id, f"duration={minutes}m"]

    def end_query(self, job_id: str) -> Query:
        return Query([*_LISTING, job_id], read_end, jobs)

    def queues_query(self) -> Query:
        columns = "|".join(f"{{{name}}}" for name in QUEUE_COLUMNS)
        return Query(["flux", "queue", "list", "-n", "-o", columns], read_queue)

    def cluster(self, environ: Any) -> str:
        """As in the base class: the instance. Its brokers on one host have URIs that differ in the rank alone."""
        uri = _RANK.sub("", environ.get("FLUX_URI", ""))
        return "" if not uri or _SYSTEM.fullmatch(uri) else f"FLUX_URI={uri}"


def _has_options(script: Path) -> bool:
    """Whether a script has option lines, which those on the command line would override."""
    try:
        return OPTION_LINE.search(script.read_text(errors="replace")) is not None
    except OSError:
        return True
