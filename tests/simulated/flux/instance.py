"""Flux's queues, nodes and ids, and what it notes of starts and ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from ..manager import Manager, Refused
from ..state import JobData

DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
VERSION = "0.88.0"
FAR = 2**24  # between two ids: they count milliseconds, among other things
BEFORE_RUN = -128
NEVER_PASSED = (
    "FLUX_JOB_ID",
    "FLUX_ENCLOSING_ID",
    "FLUX_JOB_SIZE",
    "FLUX_JOB_NNODES",
    "FLUX_JOB_TMPDIR",
    "FLUX_TASK_RANK",
    "FLUX_TASK_LOCAL_ID",
    "FLUX_KVS_NAMESPACE",
    "FLUX_PROXY_REMOTE",
    "FLUX_PMI_LIBRARY_PATH",
)
URI = "local:///simulated/{}/local-0"  # of the instance that a job is


def encoded(number: int) -> str:
    """The id in F58, without its prefix."""
    text = ""
    while True:
        number, digit = divmod(number, 58)
        text = DIGITS[digit] + text
        if not number:
            return text


def decoded(text: str) -> int | None:
    """The number of an id in F58 or decimal form; None for no id."""
    if text.isdecimal():
        return int(text)
    if text[:1] not in ("f", "ƒ") or len(text) == 1 or set(text[1:]) - set(DIGITS):
        return None
    number = 0
    for letter in text[1:]:
        number = number * 58 + DIGITS.index(letter)
    return number


def shown(job_id: str) -> str:
    """An id as Flux prints it."""
    ascii_only = "utf" not in (sys.stdout.encoding or "").lower() or os.environ.get("FLUX_F58_FORCE_ASCII")
    return job_id if ascii_only else f"ƒ{job_id[1:]}"


class Flux(Manager):
    """An instance of four nodes, each with eight cores and two GPUs."""

    name = "flux"
    first_number = 60_000
    nodes = {f"node{number:02}": {"cores": 8, "gpus": 2} for number in (1, 2, 3, 4)}
    queues = {
        "batch": {"duration": 3600},
        "debug": {"duration": 60, "nnodes": 2},
        "closed": {"duration": 3600, "enabled": False, "started": False},
        "stopped": {"duration": 3600, "started": False},
    }
    settings = {"since_s": 0}  # 0: as asked; else only jobs that ended so recently are listed without ids
    QUEUED, HELD, RUNNING = "SCHED", "DEPEND", "RUN"
    occupying = frozenset(("RUN",))
    over = frozenset(("COMPLETED", "FAILED", "CANCELED", "TIMEOUT"))
    spools = False
    label = "flux: "  # what stands before an error

    def job_id(self, number: int, index: int | None = None, *, array: bool = False) -> str:
        return f"f{encoded(number * FAR)}"

    def find(self, state: dict[str, Any], text: str) -> JobData:
        number = decoded(text)
        job: JobData | None = state["jobs"].get(f"f{encoded(number)}") if number is not None else None
        if job is None:
            raise Refused(1, self._of(text, "unknown job id", "unknown job"))
        return job

    def changeable(self, command: str, job: JobData) -> None:
        if job["state"] in self.over:
            raise Refused(1, self._of(job["id"], "job is inactive", "job is inactive"))

    def _of(self, text: str, cancelling: str, otherwise: str) -> str:
        return f"{shown(text)}: {cancelling if 'cancel' in self.label else otherwise}"

    def unreachable(self, command: str) -> Refused:
        if self.label == "flux-job: ":
            return Refused(1, "flux_open: No such file or directory")
        return Refused(1, "Unable to connect to Flux: broker socket /run/flux/local was not found")

    def complain(self, command: str, refused: Refused) -> None:
        sys.stderr.write(f"{self.label}{refused.text}\n")

    def print_version(self, command: str) -> None:
        print(f"commands:    \t\t{VERSION}\nlibflux-core:\t\t{VERSION}\nbuild-options:\t\t+hwloc.api==2.8.0")

    def accept(self, job: JobData) -> None:
        queue = job["queue"] = job["queue"] or "batch"
        if queue not in self.queues:
            raise Refused(1, f"Invalid queue '{queue}' specified")
        limits = self.queues[queue]
        if not limits.get("enabled", True):
            raise Refused(1, f"job submission to {queue} is disabled: closed for the night")
        job["walltime"] = job["walltime"] or 600
        if job["walltime"] > limits["duration"]:
            raise Refused(
                1,
                f"requested duration ({job['walltime'] // 60}m) exceeds policy limit of"
                f" {limits['duration'] // 60}m for queue {queue}",
            )
        if job["chunks"] > limits.get("nnodes", 10**9):
            raise Refused(
                1, f"requested nnodes ({job['chunks']}) exceeds policy limit of {limits['nnodes']} for queue {queue}"
            )
        job.update(exception=None)

    def signals_to_end(self, how: str) -> Sequence[int]:
        """The job's broker was told to end, and hangs up its script."""
        return (signal.SIGHUP,)

    def settle(self, job: JobData) -> None:
        job["state"] = "DEPEND" if "s" in job["hold"] else "SCHED"

    def blocked(self, job: JobData, *, ever: bool) -> None:
        if not ever:
            self.end(job, "alloc", None)

    def ended(self, job: JobData, how: str, code: int | None) -> None:
        if code is not None and code < 0:
            code = 128 - code  # the broker saw its script die, and exits as a shell would
        state, code, kind, note = {
            "": ("FAILED" if code else "COMPLETED", code, "", ""),
            "alloc": ("FAILED", None, "alloc", "unsatisfiable request: need more than there is"),
            "walltime": ("TIMEOUT", 128 + signal.SIGALRM, "timeout", "resource allocation expired"),
            "memory": ("FAILED", 128 + signal.SIGKILL, "", ""),
            "cancelled": ("CANCELED", 128 + signal.SIGTERM if job["started"] else None, "cancel", ""),
            "dependency": ("FAILED", None, "dependency", "dependency after-success can never be satisfied"),
        }[how]
        job.update(state=state, exit=code)
        if kind:
            job["exception"] = {"occurred": True, "severity": 0, "type": kind, "note": note}

    def limit_line(self, how: str, used: float, limit: int) -> str:
        if how == "memory":
            return "flux-shell[0]: ERROR: oom: Memory cgroup out of memory: killed 1 task on node01.\n"
        return "broker.err[0]: rc2.0: script Hangup (rc=129)\n"

    def environment(self, job: JobData) -> dict[str, str]:
        """That of the submit command, and the job's own instance."""
        own = {name: text for name, text in job["variables"].items() if name not in NEVER_PASSED}
        gpus = ",".join(map(str, range(job["chunk"].get("gpus", 0))))
        return {
            **own,
            "FLUX_URI": URI.format(job["id"]),
            "FLUX_ENCLOSING_ID": f"ƒ{job['id'][1:]}",
            "FLUX_TERMINUS_SESSION": "0",
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": gpus or "-1",
        }

    def place_of(self, job: JobData, place: str) -> str:
        """Where the output goes."""
        return place.replace("{{id}}", job["id"])
