"""What the Slurm tests share: programs that stand in Slurm's way, submitters that die, and crowds of processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from psij_parsl import BatchSchedulerExecutor
from tests.clusters.slurm import installed_version


class Shims:
    """Programs of our own, first on PATH: each stands before one of Slurm's and may call it as "$real"."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = os.environ["PATH"]
        folder.mkdir(parents=True)

    @property
    def path(self) -> str:
        """PATH with the shims first."""
        return f"{self.folder}:{self._path}"

    def put(self, name: str, text: str) -> None:
        """Stand before a program with this bash text, from its next start on."""
        real = shutil.which(name, path=self._path)
        fresh = self.folder / f".{name}"
        fresh.write_text(f"#!/bin/bash\nreal={real}\n{text}\n")
        fresh.chmod(0o755)
        fresh.rename(self.folder / name)

    def take_away(self, *names: str) -> None:
        """Let these programs be themselves again."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def count(self, *names: str) -> None:
        """Write down each call of these programs, which otherwise do what they do."""
        for name in names:
            self.put(name, f'echo "$EPOCHREALTIME" >>{self.folder}/{name}.calls\nexec "$real" "$@"')

    def calls(self, name: str) -> list[float]:
        """When a counted program was called."""
        path = self.folder / f"{name}.calls"
        return [float(line) for line in path.read_text().split()] if path.exists() else []

    def forget(self, *ids: str) -> None:
        """Slurm has never heard of these jobs: their lines are in nobody's answer."""
        for name in ("squeue", "sacct", "scontrol"):
            words = "|".join(ids)
            # `exec` keeps the exit code out of it: Slurm is in good order, it only does not know them.
            self.put(name, f'"$real" "$@" | grep -Ev "(^|JobId=)({words})[^0-9]"; exit "${{PIPESTATUS[0]}}"')


def srun_says() -> str:
    """What each srun says on stderr where Slurm has no task plugin, as the test clusters have none."""
    return "srun: cluster configuration lacks support for cpu binding\n" if installed_version() < (23, 11) else ""


def impatient(conf: Path, folder: Path, seconds: int = 3) -> str:
    """A client's own slurm.conf with which commands give a silent controller up after so many seconds."""
    hasty = folder / "hasty.conf"
    hasty.write_text(re.sub(r"(?m)^MessageTimeout=.*$", f"MessageTimeout={seconds}", conf.read_text()))
    return str(hasty)


def jobs_in_slurm(home: Path) -> dict[str, str]:
    """The state of every job of this state directory, of any age, by id, as Slurm itself tells it."""
    answer = subprocess.run(
        ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%k"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("|", 2) for line in answer.stdout.splitlines()]
    ours = {f"psij:{folder.name}" for folder in (home / "jobs").glob("*")}
    return {job: state for job, state, tag in lines if tag in ours}


def settled(executor: BatchSchedulerExecutor) -> bool:
    """Whether every job in the journal has been seen to end, after one more look."""
    entries = list(executor.journal.entries())
    return all(status.final for status in executor.status(entries)) if entries else True


def ran(log: Path) -> int:
    """How often a job that adds a line to this file has been executed."""
    return len(log.read_text().splitlines()) if log.exists() else 0


_PRELUDE = """
import json, os, sys, time
from pathlib import Path
import filelock, jinja2, subprocess
import psij_parsl.jobs.job_files
from psij_parsl import BatchSchedulerExecutor, Job
"""
_CROWD = """
import traceback
BatchSchedulerExecutor("slurm").render(Job(command=["true"]))  # imports what a submit does, and reads the template
children = []
for number in range(count):
    child = os.fork()
    if not child:
        code = 1
        try:
            exec(compile(text, "crowd", "exec"))
            code = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(sum(code != 0 for code in codes))
"""


def program(text: str, *, hostname: str = "", env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a Python process that knows psij_parsl, on another "host" if one is named."""
    argv: Sequence[str] = [sys.executable, "-c", _PRELUDE + text]
    if hostname:
        argv = ["unshare", "--uts", "--mount", "sh", "-c", 'hostname "$0" && exec "$@"', hostname, *argv]
    return subprocess.Popen(
        argv, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def crowd(
    count: int, text: str, *, hostname: str = "", env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start so many processes that each run `text`, at once; the exit code says how many of them failed.

    They are forked from one that has imported everything, for 200 starts of Python would be most of the time: so
    they are at it all at once. Each must write its words in one go.
    """
    return program(f"count = {count}\ntext = {text!r}\n{_CROWD}", hostname=hostname, env=env)


def finish(process: subprocess.Popen[str], seconds: float = 120.0) -> tuple[int, str, str]:
    """Wait for a process: its exit code and what it said."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"not done within {seconds} s:\n{out}\n{err}") from None
    return process.returncode, out, err
