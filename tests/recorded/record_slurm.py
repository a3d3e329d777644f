"""Records what a real Slurm answers to our own questions, for `tests/providers/slurm/test_records.py`.

    python -m tests.recorded.record_slurm

One file per case and question in `slurm/live/`, with the headers that all recorded files have; the answers to the
questions about all jobs are cut down to the lines of the case's own job. Takes about two minutes, for it waits for
wall times to run out. The files in `slurm/` itself were recorded earlier, with wider questions than ours.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psij_parsl.providers.slurm.scheduler import SlurmScheduler
from psij_parsl.system.commands import client_environment
from tests.clusters.slurm import SlurmCluster, SlurmSettings

FOLDER = Path(__file__).parent / "slurm" / "live"
PATIENCE_S = 200.0


@dataclass(frozen=True)
class Case:
    """A job: options of sbatch and its script, what is then done to it, and the states in which it is recorded.

    In the commands of `done`, which run one after the other, JOB stands for the id; `done_in` is waited for first.
    """

    name: str
    options: Sequence[str]
    script: str
    recorded_in: str
    done: Sequence[str] = ()
    done_in: str = ""


CASES = (
    Case("completed", (), "true", "COMPLETED"),
    Case("failed-exit3", (), "exit 3", "FAILED"),
    Case("failed-127", (), "no-such-command", "FAILED"),
    Case("failed-exit137", (), "exit 137", "FAILED"),
    Case("killed-by-signal9", (), "kill -9 $$", "FAILED"),
    Case("killed-by-signal11", (), "kill -11 $$", "FAILED"),
    Case("bad-output", ("--output=/nosuch/out",), "true", "FAILED"),
    Case("running", ("--nodes=3", "--exclusive"), "sleep 60", "RUNNING"),
    Case("running-with-odd-comment", ("--comment=a|b #c  d|PENDING|0|0|N/A",), "sleep 60", "RUNNING"),
    Case("running-with-long-comment", (f"--comment={'x' * 300}",), "sleep 60", "RUNNING"),
    Case("pending-resources", ("--nodes=4", "--exclusive"), "true", "PENDING", done=("sleep 4",)),
    Case("pending-begin-time", ("--begin=now+1hour",), "true", "PENDING"),
    Case("held", ("--hold",), "true", "PENDING"),
    Case("cancelled", (), "sleep 60", "CANCELLED", done=("scancel JOB",), done_in="RUNNING"),
    Case("cancelled-while-pending", ("--hold",), "true", "CANCELLED", done=("scancel JOB",), done_in="PENDING"),
    Case("suspended", (), "sleep 60", "SUSPENDED", done=("scontrol suspend JOB",), done_in="RUNNING"),
    Case("requeued", ("--requeue",), "sleep 60", "PENDING", done=("scontrol requeue JOB",), done_in="RUNNING"),
    Case(
        "requeued-and-held",
        ("--requeue",),
        "sleep 60",
        "PENDING",
        done=("scontrol requeuehold JOB",),
        done_in="RUNNING",
    ),
    Case(
        "special-exit",
        ("--requeue",),
        "sleep 60",
        "SPECIAL_EXIT",
        done=("scontrol requeuehold State=SpecialExit JOB",),
        done_in="RUNNING",
    ),
    Case("dependency-never-satisfied", ("--dependency=afterok:FAILED",), "true", "PENDING", done=("sleep 3",)),
    Case("dependency-cancelled", ("--dependency=afterok:FAILED", "--kill-on-invalid-dep=yes"), "true", "CANCELLED"),
    Case("array-running", ("--array=3,7",), "sleep 60", "RUNNING"),
    Case("array-pending", ("--array=0-2,8", "--hold"), "true", "PENDING"),
    Case("array-ended", ("--array=0-1",), "exit $SLURM_ARRAY_TASK_ID", "COMPLETED", done=("sleep 3",)),
    Case(
        "node-failed",
        ("--no-requeue", "--nodelist=node04"),
        "sleep 60",
        "NODE_FAIL",
        done=("kill node04",),
        done_in="RUNNING",
    ),
    Case("timeout", ("--time=1",), "sleep 600", "TIMEOUT"),
    Case(
        "timeout-after-its-own-end",
        ("--time=2", "--signal=B:USR1@60"),
        "trap 'exit 7' USR1; sleep 600 & wait",
        "FAILED",
    ),
)
REFUSED = {
    "partition": ["--partition=nosuch"],
    "account": ["--account=nosuch"],
    "qos": ["--qos=nosuch"],
    "time": ["--partition=short", "--time=10:00"],
    "nodes": ["--nodes=40"],
    "nodes-of-partition": ["--partition=small", "--nodes=2"],
    "cpus": ["--ntasks=1", "--cpus-per-task=4000"],
    "cpus-of-a-node": ["--ntasks=1", "--cpus-per-task=9"],
    "memory": ["--mem=999G"],
    "gres": ["--gres=nosuch:1"],
    "gpus": ["--gpus-per-node=99"],
    "constraint": ["--constraint=nosuch"],
    "reservation": ["--reservation=nosuch"],
    "nodelist": ["--nodelist=nosuch"],
    "licenses": ["--licenses=nosuch:1"],
    "array": ["--array=0-99999"],
    "dependency": ["--dependency=nosuch:1"],
}


class Recorder:
    """A cluster, and the files that are made from it."""

    def __init__(self, cluster: SlurmCluster) -> None:
        self.cluster = cluster
        self.ours = SlurmScheduler()
        self.ids: dict[str, str] = {}

    def submit(self, case: Case) -> None:
        options = [option.replace("FAILED", self.ids.get("failed-exit3", "")) for option in case.options]
        script = f"#!/bin/bash\n{case.script}\n"
        self.ids[case.name] = self.cluster.run(
            "sh", "-c", 'printf %s "$0" | sbatch --parsable --output=/dev/null "$@"', script, *options
        ).strip()

    def wait_for(self, case: Case, states: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = self.cluster.run("squeue", "-h", "-r", "-t", "all", "-j", self.ids[case.name], "-o", "%T").split()
            if states in found:
                return
            assert time.monotonic() < deadline, f"{case.name} is {found}, not {states}"
            time.sleep(0.1)

    def play(self, case: Case) -> None:
        """Submit a job, do to it what its case says, and record it once it is as it should be."""
        self.submit(case)
        self.finish(case)

    def finish(self, case: Case) -> None:
        if case.done_in:
            self.wait_for(case, case.done_in)
        for line in case.done:
            if line == "kill node04":
                self.cluster.kill_node("node04")
            else:
                self.cluster.run(*line.replace("JOB", self.ids[case.name]).split())
        self.wait_for(case, case.recorded_in)
        time.sleep(1.5)  # until accounting has it too
        job_id = self.ids[case.name]
        accounting, *_, controller = self.ours.history([job_id], time.time())
        self.record(f"{case.name}.squeue", self.ours.live().argv, only=job_id)
        self.record(f"{case.name}.sacct", accounting.argv, only=job_id)
        self.record(f"{case.name}.scontrol", controller.argv, only=job_id)
        self.cluster.run("scancel", job_id)

    def record(self, name: str, argv: Sequence[str], *, only: str = "") -> None:
        environment = {**client_environment(self.ours.keep_env), **self.cluster.env}
        began = time.monotonic()
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - began
        out = done.stdout
        if only:
            mine = re.compile(rf"(JobId=|ArrayJobId=|^){only}(?!\d)")
            out = "".join(line for line in out.splitlines(keepends=True) if mine.search(line))
        out, errors = (self.anonymous(text) for text in (out, done.stderr))
        text = (
            f"# case: {name}\n# command: {self.anonymous(shlex.join(argv))}\n# rc: {done.returncode}\n"
            f"# seconds: {seconds:.3f}\n#--stdout--\n{out}#--stderr--\n{errors}"
        )
        (FOLDER / f"{name}.txt").write_text(text)

    def anonymous(self, text: str) -> str:
        """Without the names of folders that differ from run to run."""
        return text.replace(str(self.cluster.directory), "/cluster").replace(os.getcwd(), "/work")

    def refuse(self) -> None:
        for name, options in REFUSED.items():
            self.record(f"refused-{name}", ["sbatch", "--output=/dev/null", *options, "--wrap=true"])

    def cancel(self) -> None:
        ended = self.ids["completed"]
        array = self.ids["array-pending"]
        self.record("cancel-unknown", self.ours.cancel_argv(["999999"]))
        self.record("cancel-unknown-and-ended", self.ours.cancel_argv(["999999", ended, f"{array}_77"]))


def main() -> int:
    """Make all files anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    long = [case for case in CASES if case.recorded_in == "TIMEOUT" or "--signal" in str(case.options)]
    with SlurmCluster(SlurmSettings(kill_wait=2)) as cluster:
        recorder = Recorder(cluster)
        for case in long:
            recorder.submit(case)
        for case in CASES:
            if case not in long:
                recorder.play(case)
                print(case.name, flush=True)
        recorder.refuse()
        recorder.cancel()
        for case in long:
            recorder.finish(case)
            print(case.name, flush=True)
        recorder.record("partitions", recorder.ours.queues_query().argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
