"""The commands of Slurm: sbatch, squeue, sacct, scancel and scontrol."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from psij_parsl.dependency import BY_ELEMENT, DEPENDENCY_KINDS, ONE_OF, SINGLETON, WITH_DELAY
from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.queries import UNSTARTED_ELEMENTS, Query, Wish
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.resources.hostlist import compress
from psij_parsl.states import EndReason
from psij_parsl.system.commands import Output, Runner
from psij_parsl.system.job_names import CLUSTER_PREFIX, cluster_in

from .errors import ERROR_PATTERNS
from .records import (
    HISTORY_FIELDS,
    LIVE_FIELDS,
    SUBMIT_LINE,
    read_partition,
    read_sacct,
    read_scontrol,
    read_squeue,
    read_time,
)
from .variables import WISHES, wishes_in


class SlurmScheduler(Scheduler):
    """The scheduler of Slurm."""

    commands = ("sbatch", "squeue", "scancel")
    keep_env = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
    drop_env = ("SLURM_*", "SLURMD_*", "SBATCH_*", "SRUN_*", "SQUEUE_*", "SACCT_*", "SALLOC_*")
    wish_env = tuple(WISHES)
    node_env = ("*",)  # set by a prolog or a task prolog
    stopgaps = ("TMPDIR=/tmp",)  # set by slurmd, where the client gave none, or one that is not on the node
    refusal = r"Batch job submission failed|^sbatch: (unrecognized|(error|fatal): )"
    forgets = UNSTARTED_ELEMENTS  # a plain job that is cancelled while it waits leaves a record
    dependencies = (*DEPENDENCY_KINDS, BY_ELEMENT, SINGLETON, WITH_DELAY, ONE_OF)
    names_clusters = True
    holds_elements = True
    log_signs = (
        (r"(?P<text>Exceeded \w* ?memory limit.*|exceeded memory limit.*)", EndReason.OUT_OF_MEMORY),
        (
            r"(?i)(?P<text>detected \d+ oom.?kill.*|oom.?kill event.*|some of (your|the step) (processes|tasks).*(killed|OOM).*)",
            EndReason.OUT_OF_MEMORY,
        ),
        (r"DUE TO TIME LIMIT", EndReason.TIMEOUT),
        (r"DUE TO NODE FAILURE", EndReason.NODE_FAILURE),
        (r"DUE TO PREEMPTION", EndReason.PREEMPTED),
    )
    poll_s = 15.0
    product = "Slurm"
    probes = (("sbatch", "--version"), ("squeue", "--version"))  # since 22.05 they fail where they find no cluster
    probe_answer = r"^slurm\S* \d+\.\d+"
    error_patterns = ERROR_PATTERNS

    def __init__(self, run: Runner | None = None, home: Path | None = None, cluster: str = "") -> None:
        """A single name in $SLURM_CLUSTERS counts as `cluster`. Raises `InvalidRequest` for a list of names."""
        super().__init__(run, home, cluster or os.environ.get("SLURM_CLUSTERS") or cluster_in(_parents(os.environ)))
        if not re.fullmatch(r"([A-Za-z0-9_][\w.-]*)?", self.cluster_name) or self.cluster_name == "all":
            raise InvalidRequest(
                f"{self.cluster_name!r} is not the name of one cluster of Slurm",
                hint="choose one: where the job went would not be known, nor how it is there",
            )

    def _of_cluster(self) -> list[str]:
        return ["-M", self.cluster_name] if self.cluster_name else []

    def submit_argv(self, script: Path) -> Sequence[str]:
        return ["sbatch", "--parsable", *self._of_cluster(), f"--comment={self.tag(script.parent.name)}", str(script)]

    def waiting_argv(self, tag: str) -> Sequence[str]:
        return ["sbatch", "--parsable", *self._of_cluster(), f"--comment={tag}"]

    def job_id(self, stdout: str) -> str:
        """`123`, or `123;cluster` for a job sent to a named cluster; a site's notices may stand on other lines."""
        return next(iter(self.job_ids(stdout)), "")

    def job_ids(self, stdout: str) -> Sequence[str]:
        """As `job_id`; an id with its cluster is likelier than a number alone."""
        lines = (line.strip() for line in stdout.splitlines())
        candidates = dict.fromkeys(line for line in lines if re.fullmatch(r"\d+(;[\w.-]+)?", line))
        return sorted(candidates, key=lambda job_id: ";" not in job_id)

    def plain_id(self, job_id: str) -> str:
        return job_id.partition(";")[0]

    def spoken(self, job_id: str) -> str:
        return job_id.partition(";")[0]

    def named_cluster(self, job_id: str) -> str:
        return job_id.partition(";")[2]

    def element(self, job_id: str, index: int) -> str:
        number, semicolon, cluster = job_id.partition(";")
        return f"{number}_{index}{semicolon}{cluster}"

    def whole(self, element_id: str) -> str:
        number, semicolon, cluster = element_id.partition(";")
        return f"{re.split('[_+]', number)[0]}{semicolon}{cluster}"  # 12+1 is a part of a heterogeneous job

    def live(self) -> Query:
        """As in the base class. Without `--all`, squeue hides a user's own jobs in hidden or closed partitions."""
        columns = ",".join(("JobArrayID:/", "JobID:|", *(f"{name}:|" for name in LIVE_FIELDS), "Reason:|."))
        argv = ["squeue", *self._of_cluster(), "--all", "-h", "-r", "--me", "-t", "all", "-O", columns]
        return Query(argv, partial(read_squeue, cluster=self.cluster_name), whole=r".*\|\.")

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        """Accounting, with all records of an id that was used again (-D); else what the controller still has."""
        start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(max(0.0, since - 86400)))
        wanted = ",".join(map(self.spoken, ids))
        sacct = [*self._of_cluster(), "-n", "-p", "-X", "-D", "-S", start, "-j", wanted, "-o"]
        name = self.cluster_name
        return (
            Query(
                ["sacct", *sacct, f"{HISTORY_FIELDS},{SUBMIT_LINE}"],
                partial(read_sacct, cluster=name, commanded=True),
                name="submit lines",
                whole=r"(.*\|){10}",
            ),
            Query(
                ["sacct", *sacct, HISTORY_FIELDS],
                partial(read_sacct, cluster=name),
                name="accounting",
                whole=r"(.*\|){9}",
            ),
            Query(
                ["scontrol", *self._of_cluster(), "--all", "-o", "show", "job"], partial(read_scontrol, cluster=name)
            ),
        )

    def usage_queries(self, ids: Sequence[str], since: float, *, running: bool) -> Sequence[Query]:
        """As in the base class: accounting with all steps, for only these know of memory; and what runs is sampled."""
        from . import usage

        start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(max(0.0, since - 86400)))
        wholes = [self.whole(job_id) for job_id in ids]
        alone = dict.fromkeys(
            job_id if wholes.count(whole) == 1 else whole for job_id, whole in zip(ids, wholes, strict=True)
        )
        wanted = ",".join(map(self.spoken, alone))
        given = ["-P", "-n", "--noconvert", "-j", wanted, "-o"]
        seen: dict[str, usage.Seen] = {}
        accounting = Query(
            ["sacct", *self._of_cluster(), "-S", start, *given, ",".join(usage.ACCOUNTED)],
            partial(usage.read_accounted, seen=seen),
            usage.accounted_jobs,
            name="accounting of steps",
        )
        sampled = Query(
            ["sstat", "-a", *given, ",".join(usage.RUNNING)],
            partial(usage.read_running, seen=seen),
            usage.running_jobs,
            unknown=r"^sstat: error: No steps running for job ",  # it waits to be started again
        )
        return (accounting, sampled) if running else (accounting,)

    def threads_query(self, nodes: Sequence[str]) -> Query:
        """As in the base class. Accounting counts CPUs, which are threads where a node's definition has some."""
        from .usage import read_threads

        return Query(["sinfo", *self._of_cluster(), "-h", "-N", "-n", ",".join(nodes), "-o", "%N %Z"], read_threads)

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["scancel", *self._of_cluster(), "-v", *map(self.spoken, ids)]  # silent about unknown ids without -v

    def in_words(self, reason: str) -> str:
        """As in the base class."""
        from .pending_reasons import in_words

        return in_words(reason)

    def unknown_ids(self, output: Output) -> set[str]:
        return set(re.findall(r"job id (\S+): Invalid job id", output.stderr))

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["scontrol", *self._of_cluster(), "hold", ",".join(map(self.spoken, ids))]

    def release_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["scontrol", *self._of_cluster(), "release", ",".join(map(self.spoken, ids))]

    def signal_argv(self, job_id: str, signal: str) -> Sequence[str]:
        return ["scancel", *self._of_cluster(), "--batch", "--signal", signal, self.spoken(job_id)]

    def extend_argv(self, job_id: str, minutes: int) -> Sequence[str]:
        return ["scontrol", *self._of_cluster(), "update", f"JobId={self.spoken(job_id)}", f"TimeLimit={minutes}"]

    def release_nodes_argv(self, job_id: str, keep: Sequence[str]) -> Sequence[str]:
        """As in the base class. https://slurm.schedmd.com/faq.html#job_size"""
        return [
            "scontrol",
            *self._of_cluster(),
            "update",
            f"JobId={self.spoken(job_id)}",
            f"NodeList={compress(keep)}",
        ]

    def wished(self, environ: Mapping[str, str], parameters: Mapping[str, Any]) -> Sequence[Wish]:
        """As in the base class, from SBATCH_ACCOUNT and the like."""
        return wishes_in(environ, parameters)

    def end_query(self, job_id: str) -> Query:
        return Query(["squeue", *self._of_cluster(), "--all", "-h", "-j", self.spoken(job_id), "-o", "%e"], read_time)

    def queues_query(self) -> Query:
        return Query(["scontrol", *self._of_cluster(), "-o", "show", "partition"], read_partition)

    def cluster(self, environ: Any) -> str:
        """As in the base class, by the path of Slurm's configuration file, not by a token (SLURM_JWT).

        `cluster_key` adds the name of the cluster that was chosen.

        On a job's nodes slurmd sets SLURM_CONF to a file of its own. So a job that is submitted inside a job of ours
        belongs to the cluster to which its parent was sent. Inside another program's job it is assumed to belong to
        the cluster that login nodes use without any variable.
        """
        if "SLURMD_NODENAME" in environ and not environ.get("SLURM_CLUSTERS"):
            return _parents(environ).partition(CLUSTER_PREFIX)[0].rstrip("|")
        return f"SLURM_CONF={environ['SLURM_CONF']}" if environ.get("SLURM_CONF") else ""


def _parents(environ: Mapping[str, str]) -> str:
    """The cluster key of the current job; '' outside a job, or in one that is not ours."""
    return environ.get("PSIJ_JOB_CLUSTER", "") if "SLURMD_NODENAME" in environ else ""
