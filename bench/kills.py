"""Submitters, cancellers, cleaners and attachers killed at random instants and at each syscall; then: is all in order?

    python -m bench.kills [--platform local] [--kills 1000] [--supervisors 100] [--minutes 60] [--seed N]

With `--platform slurm` real Slurm: the one that $SLURM_CONF names, else one of the test suite's own. A victim is a
forked process that carries out one verb: half of them are killed at a random instant, half by strace as they enter
their Nth system call, N spread over all that the verb makes. When all are dead, each accepted job must have exactly
one record and as many executions as its state says, no id that was given out may be lost, and no folder may be left
without a record that `clean` does not take. Then supervisors of `local` are killed under running jobs: each must be
told to have ended as its exit file says.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.tools import report, slurm
from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState
from psij_parsl.cli import main as psij_run
from psij_parsl.errors import Error
from psij_parsl.jobs.job_folder import ExitFile
from psij_parsl.jobs.record import JobRecord

VERBS = ("submit", "cancel", "clean", "attach")
LONGEST_S = 60.0  # for one victim
ROUND = 20  # kills between two looks at how it is; what has ended is cleaned up at some of them
LONG_AGO_S = 3 * 86400.0


@dataclass
class Found:
    """What a campaign has shown: how many were killed, by verb and way, and each fault in a sentence."""

    killed: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)  # had done their work before their moment came
    syscalls: dict[str, int] = field(default_factory=dict)
    jobs: int = 0
    faults: list[str] = field(default_factory=list)


class Campaign:
    """One state directory, and the victims that work on it. `place` must be seen by the jobs."""

    def __init__(self, place: Path, platform: str, seed: int) -> None:
        self.home, self.runs, self.platform = place / "state", place / "runs", platform
        self.runs.mkdir(parents=True)
        self.random = random.Random(seed)
        self.found = Found()
        self.told: set[str] = set()  # ids that a submitter gave out before it died
        self.cancelled: set[str] = set()
        self.attached: dict[str, str] = {}  # ids of jobs that are not ours, and how they are to end
        self.executor = self.new_executor()
        self.length: dict[str, float] = {}

    def new_executor(self) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor(self.platform, home=self.home, poll_s=0.3, settle_s=0.5, grace_s=20)

    def job(self, *, hold: bool = False) -> Job:
        """A job that leaves one byte for each execution, in a file of its own name."""
        return Job(
            command=["bash", "-c", f'printf x >>{self.runs}/"$PSIJ_JOB_ID"'], hold=hold, inherit_environment=False
        )

    # ---- victims -------------------------------------------------------------------------------------------

    def prepare(self, verb: str) -> Callable[[], str]:
        """What a victim of that kind is to do; what it needs is made here. It returns what it would tell a user."""
        if verb == "submit":
            return lambda: self.new_executor().submit(self.job()).id
        if verb == "cancel":
            held = self.executor.submit(self.job(hold=True)).id
            self.cancelled.add(held)
            return lambda: str(self.new_executor().cancel([held]))
        if verb == "attach":
            native = self.foreign()
            return lambda: self.new_executor().attach(native).id
        return lambda: str(self.clean("--older-than", "0"))

    def foreign(self) -> str:
        """A job that was submitted without us; its id."""
        script = self.runs.parent / "foreign.sh"
        script.write_text("#!/bin/bash\nsleep 0.2\n")
        script.chmod(0o700)
        native = self.executor.scheduler.qsub(script)
        self.attached[native] = "COMPLETED"
        return native

    def clean(self, *words: str) -> int:
        """`psij-run clean`; returns its exit code."""
        os.environ["PSIJ_PARSL_HOME"] = str(self.home)
        sys.argv = ["psij-run", "clean", *words]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return psij_run()

    def victim(self, verb: str, *, at_syscall: int = 0, after_s: float = 0.0) -> bool:
        """Carry out a verb in a process that is killed there; returns whether it was."""
        act = self.prepare(verb)
        go_reader, go = os.pipe()
        said, sayer = os.pipe()
        child = os.fork()
        if not child:
            code = 1
            try:
                os.close(go)
                os.dup2(os.open(os.devnull, os.O_RDWR), 2)
                os.read(go_reader, 1)
                os.write(sayer, act().encode())
                code = 0
            except BaseException as error:  # noqa: BLE001 - told by the parent
                os.write(sayer, f"!{type(error).__name__}: {error}".encode()[:4000])
            finally:
                os._exit(code)
        os.close(go_reader)
        os.close(sayer)
        tracer = self._traced(child, at_syscall) if at_syscall else None
        with contextlib.suppress(BrokenPipeError):  # it is dead
            os.write(go, b"x")
        if not at_syscall:
            time.sleep(after_s)
            os.kill(child, signal.SIGKILL)
        status = self._ended(child)
        os.close(go)
        with open(said, "rb") as pipe:
            text = pipe.read().decode()
        if tracer is not None:
            tracer.wait(LONGEST_S)
        if text.startswith("!"):
            self.fault(f"{verb} failed: {text[1:]}")
        elif verb == "submit" and text:
            self.told.add(text)
        return os.WIFSIGNALED(status)

    def _traced(self, child: int, at_syscall: int) -> subprocess.Popen[bytes]:
        inject = f"inject=all:signal=SIGKILL:when={at_syscall}"
        tracer = subprocess.Popen(
            ["strace", "-qq", "-o", os.devnull, "-e", inject, "-p", str(child)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + LONGEST_S
        while "TracerPid:\t0\n" in (status := Path(f"/proc/{child}/status").read_text()):
            if "State:\tZ" in status:  # killed at once, in the call in which it waited for us
                break
            if tracer.poll() is not None or time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                raise RuntimeError("strace cannot be attached: see /proc/sys/kernel/yama/ptrace_scope")
            time.sleep(0.002)
        return tracer

    def _ended(self, child: int) -> int:
        deadline = time.monotonic() + LONGEST_S
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            if time.monotonic() > deadline:
                self.fault(f"a process did not end within {LONGEST_S:.0f} s")
                os.kill(child, signal.SIGKILL)
                return os.waitpid(child, 0)[1]
            time.sleep(0.002)

    def fault(self, text: str) -> None:
        self.found.faults.append(text)

    def run(self, kills: int, deadline: float, verbs: Sequence[str] = VERBS, *, trace: bool = True) -> None:
        """Kill so many, or as many as there is time for (a moment of `time.monotonic`)."""
        for verb in verbs:
            for _ in range(2):  # the first one imports, for all that are forked later
                self.length[verb] = self.seconds(verb)
            if trace:
                self.found.syscalls[verb] = self.calls(verb)
        for number in range(kills):
            if time.monotonic() > deadline:
                break
            verb = verbs[number % len(verbs)]
            traced = trace and number // len(verbs) % 2 == 1
            if traced:
                killed = self.victim(verb, at_syscall=self.random.randint(1, self.found.syscalls[verb]))
            else:
                killed = self.victim(verb, after_s=self.random.uniform(0, self.length[verb]))
            way = f"{verb}, {'at a syscall' if traced else 'at an instant'}"
            (self.found.killed if killed else self.found.missed)[way] += 1
            if number % ROUND == ROUND - 1:
                self.executor.status([entry.id for entry in self.executor.journal.open_entries().values()])

    def calls(self, verb: str) -> int:
        """About how many system calls a verb makes."""
        low, high = 1, 8
        while high < 1 << 14 and self.victim(verb, at_syscall=high):
            low, high = high, high * 2
        while high - low > high // 10:
            middle = (low + high) // 2
            low, high = (middle, high) if self.victim(verb, at_syscall=middle) else (low, middle)
        return high

    def seconds(self, verb: str) -> float:
        """About how long a verb takes."""
        act, began = self.prepare(verb), time.monotonic()
        with contextlib.suppress(Error):
            text = act()
            if verb == "submit":
                self.told.add(text)
        return time.monotonic() - began

    # ---- how it is -----------------------------------------------------------------------------------------

    def settle(self, seconds: float) -> dict[str, JobRecord]:
        """Ask until every job has ended; returns the records."""
        executor, deadline = self.new_executor(), time.monotonic() + seconds
        for job_id in self.cancelled:  # the canceller is dead: its user tries again
            if (entry := executor.journal.some([job_id]).get(job_id)) is not None and entry.open:
                executor.cancel([job_id])
        while going := list(executor.journal.open_entries()):
            executor.status(going, urgent=True)
            if time.monotonic() > deadline:
                self.fault(f"{len(going)} jobs have not ended after {seconds:.0f} s: {', '.join(going[:5])}")
                break
            time.sleep(0.3)
        return dict(executor.journal.entries())

    def check(self, seconds: float = 120.0) -> Found:
        """Look whether all is in order. Every fault is told once."""
        entries = self.settle(seconds)
        executions = {path.name: path.stat().st_size for path in self.runs.iterdir()}
        for job_id in self.told - entries.keys():  # a cleaner may have taken one that had ended
            if job_id not in executions or (self.home / "jobs" / job_id).exists():
                self.fault(f"job {job_id}, whose id was given out, has no record")
        for job_id, count in executions.items():
            if count != 1:
                self.fault(f"job {job_id} ran {count} times")
            if job_id not in entries and (self.home / "jobs" / job_id).exists():
                self.fault(f"job {job_id} ran and has no record")
        natives = Counter(entry.native for entry in entries.values() if entry.native)
        for native, count in natives.items():
            if count > 1:
                self.fault(f"{count} records have the manager's id {native}")
        for entry in entries.values():
            self._check(entry, executions.get(entry.id, 0))
        for tag in self._tags():
            job_id = tag.removeprefix("psij:")
            if job_id not in entries and (self.home / "jobs" / job_id).exists():
                self.fault(f"the manager has job {job_id}, of which there is no record")
        self._check_folders()
        self.found.jobs = len(entries)
        return self.found

    def end(self) -> None:
        """Cancel what still goes on."""
        if going := list(self.executor.journal.open_entries()):
            self.executor.cancel(going)
            self.executor.wait(going, LONGEST_S)

    def _check(self, entry: JobRecord, executions: int) -> None:
        status = entry.ended.get("")
        if status is None:
            return  # told already
        if status.state is JobState.COMPLETED and executions != 1 and entry.native not in self.attached:
            self.fault(f"job {entry.id} is told COMPLETED and ran {executions} times")
        if status.state is not JobState.COMPLETED and executions:
            self.fault(f"job {entry.id} ran, and is told {status.describe()}")
        if entry.id in self.cancelled and status.state is not JobState.CANCELED:
            self.fault(f"job {entry.id} was cancelled, and is told {status.describe()}")
        if entry.native in self.attached and status.state.name != self.attached[entry.native]:
            self.fault(f"job {entry.native} of somebody else ended well, and is told {status.describe()}")
        if status.reason is EndReason.LOST:
            self.fault(f"job {entry.id} is told LOST")

    def _tags(self) -> set[str]:
        scheduler = self.executor.scheduler
        return {record.tag for record in scheduler.ask(scheduler.live()) if record.tag.startswith("psij:")}

    def _check_folders(self) -> None:
        """Nothing is left that `clean` does not take, once it is old enough."""
        for folder in (self.home / "jobs").iterdir():
            for path in (*folder.rglob("*"), folder):
                then = time.time() - LONG_AGO_S
                os.utime(path, (then, then), follow_symlinks=False)
        code = self.clean("--older-than", "0")
        left = {path.name for path in (self.home / "jobs").iterdir()}
        left -= set(self.new_executor().journal.open_entries())
        if code or left:
            self.fault(f"`clean` (exit code {code}) leaves {len(left)} folders: {', '.join(sorted(left)[:5])}")


# ---- supervisors -----------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """Of jobs whose supervisor was killed: how many, how many ended as told, and each one that did not."""

    jobs: int = 0
    right: int = 0
    wrong: list[str] = field(default_factory=list)


def supervisors(place: Path, count: int, seed: int, patience_s: float = 120.0) -> Told:
    """Kill the supervisors of that many local jobs at random instants, then compare what is told with exit files."""
    rng, told = random.Random(seed), Told()
    executor = BatchSchedulerExecutor("local", home=place / "state", poll_s=0.3, grace_s=5)
    for _ in range(count):
        code, length = rng.choice((0, 0, 3)), rng.uniform(0.2, 1.0)
        job = executor.submit(
            Job(command=["bash", "-c", f"sleep {length:.2f}; exit {code}"], inherit_environment=False)
        )
        time.sleep(rng.uniform(0.1, length))
        for pid in _supervisor(executor, job.native_id):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + length + 10
        while (exit_file := ExitFile.read(job.folder, job.native_id)) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if exit_file is None:  # the whole of it died with its supervisor, or never began
            continue
        told.jobs += 1
        status = job.wait(patience_s)
        right = JobState.FAILED if exit_file.code else JobState.COMPLETED
        if status.state is right and (status.exit_code or 0) == exit_file.code:
            told.right += 1
        else:
            told.wrong.append(f"job {job.id} ended with {exit_file.code}, and is told {status.describe()}")
    return told


def _supervisor(executor: BatchSchedulerExecutor, native: str) -> Iterator[int]:
    from psij_parsl.providers.local.settings import Settings

    environ = {**os.environ, "PSIJ_PARSL_HOME": str(executor.journal.home)}
    for line in reversed((Path(Settings(environ).home) / "journal").read_text().splitlines()):
        record = json.loads(line)
        if record.get("id") == native and record.get("by"):
            yield int(record["by"][3])
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", default="local")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--supervisors", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0, help="no kill begins later than that")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--place", help="an empty directory that the jobs see (default: a temporary one)")
    options = parser.parse_args()
    trace = shutil.which("strace") is not None
    if not trace:
        print("strace is not installed: all are killed at random instants")
    with tempfile.TemporaryDirectory(dir=options.place) as folder:
        place = Path(folder)
        os.environ.setdefault("PSIJ_LOCAL_CORES_TOTAL", "16")  # so that few jobs wait for one another
        with slurm() if options.platform == "slurm" else contextlib.nullcontext():
            campaign = Campaign(place / "kills", options.platform, options.seed)
            campaign.run(options.kills, time.monotonic() + options.minutes * 60, trace=trace)
            found = campaign.check(max(120.0, options.kills * 0.5))
            campaign.end()
        told = supervisors(place / "supervisors", options.supervisors, options.seed)
    figures = {f"killed: {way}": float(count) for way, count in sorted(found.killed.items())}
    figures |= {f"done before: {way}": float(count) for way, count in sorted(found.missed.items())}
    figures |= {f"system calls of {verb}, about": float(count) for verb, count in found.syscalls.items()}
    figures |= {
        "jobs on record": float(found.jobs),
        "faults": float(len(found.faults)),
        "jobs that ended without their supervisor": float(told.jobs),
        "of them told as they ended": float(told.right),
    }
    report(
        f"kills-{options.platform}",
        figures,
        unit="",
        promise="no faults: nothing lost, doubled or mis-stated; all told as they ended",
        facts={"seed": options.seed, "faults": [_short(fault) for fault in (*found.faults, *told.wrong)][:50]},
    )
    return 1 if found.faults or told.wrong else 0


def _short(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:300]


if __name__ == "__main__":
    sys.exit(main())
