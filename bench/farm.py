"""Many short tasks in one allocation of 2 nodes of a real Slurm: ours beside others, what ours holds, and after kills.

    python -m bench.farm [--tasks 1000] [--rounds 1] [--kills 5] [--seed N] [--pinned]

Tasks of `true` and of `sleep 0.1` by `psij-run launch --each-line`, by steps of raw `srun --exact` of which as many are
under way as there are cores, by GNU parallel on one node (xargs where that is not installed: the figures say which), and
by Parsl's HighThroughputExecutor as its users have it, in turns. Each is timed from the start of its command to its end.

Then a farm is killed at a random moment, some times, and resumed: each task appends its number to a file, and must
be there once, or be named. With --pinned all of it, Slurm's daemons too, has one CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.tools import report, slurm

CORES = 8  # of each node
COMMANDS = {"true": ["true"], "sleep 0.1": ["sleep", "0.1"]}
LAUNCH = [sys.executable, "-m", "psij_parsl.cli", "launch"]
#: Words in the command lines of processes of ours, and of Parsl's that we start.
OURS = {
    "psij_parsl.cli": "psij-run",
    "psij_parsl.parsl.interchange": "interchange",
    "HTEX interchange": "interchange",
    "psij_parsl.parsl.worker_pool": "pools",
    "multiprocessing": "workers",
    "psij-guard": "guard",
}
PARSL = """
import sys
from pathlib import Path

import parsl
from parsl.launchers import SrunLauncher
from parsl.providers import LocalProvider


@parsl.bash_app
def task(command):
    return command


if __name__ == "__main__":
    folder, cores, number, *words = sys.argv[1:]
    provider = LocalProvider(init_blocks=1, max_blocks=1, nodes_per_block=2, launcher=SrunLauncher(overrides="--overlap"))
    htex = parsl.HighThroughputExecutor(
        address=Path(folder, "address").read_text(), max_workers_per_node=int(cores), provider=provider
    )
    config = parsl.Config(executors=[htex], run_dir=folder, initialize_logging=False, strategy_period=1)
    with parsl.load(config):
        for future in [task(" ".join(words)) for _ in range(int(number))]:
            future.result()
"""


@dataclass
class Held:
    """What is there of us while a farm runs: the most of it that was seen at a time, in MB (PSS) and processes."""

    most: dict[str, float] = field(default_factory=dict)
    processes: Counter[str] = field(default_factory=Counter)
    whole: float = 0.0

    def look(self) -> None:
        """Take one look."""
        sizes: dict[str, float] = {}
        counts: Counter[str] = Counter()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                kind = next((kind for text, kind in OURS.items() if text in words), "")
                if not kind or (words.startswith(("srun", "/bin/sh -c trap")) and kind != "guard"):
                    continue
                rollup = (folder / "smaps_rollup").read_text()
            except OSError:
                continue
            pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            sizes[kind] = sizes.get(kind, 0.0) + pss / 1024
            counts[kind] += 1
        if sum(sizes.values()) > self.whole:
            self.most, self.processes, self.whole = sizes, counts, sum(sizes.values())


def lines_of(folder: Path, words: Sequence[str], tasks: int) -> Path:
    """The tasks as a file of lines."""
    path = folder / f"{'-'.join(words)}.lines"
    path.write_text(f"{shlex.join(words)}\n" * tasks)
    return path


def ours(folder: Path, words: Sequence[str], tasks: int) -> None:
    path = lines_of(folder, words, tasks)
    subprocess.run([*LAUNCH, "--each-line", path, "--fresh"], check=True, stdout=subprocess.DEVNULL, cwd=folder)


def raw_srun(folder: Path, words: Sequence[str], tasks: int) -> None:
    step = ["srun", "--mpi=none", "-N1", "-n1", "-c1", "--exact", *words]
    each = ["xargs", "-P", str(2 * CORES), "-I{}", *step]
    numbers = "\n".join(map(str, range(tasks)))
    subprocess.run(each, input=numbers, text=True, check=True, stdout=subprocess.DEVNULL, cwd=folder)


def on_one_node(folder: Path, words: Sequence[str], tasks: int) -> None:
    numbers = "\n".join(map(str, range(tasks)))
    if shutil.which("parallel"):
        argv = ["parallel", "--will-cite", "-j", str(CORES), f"{shlex.join(words)} # {{}}"]
    else:
        argv = ["xargs", "-P", str(CORES), "-I{}", *words]
    subprocess.run(argv, input=numbers, text=True, check=True, stdout=subprocess.DEVNULL, cwd=folder)


def parsl_htex(folder: Path, words: Sequence[str], tasks: int) -> None:
    program = folder / "parsl_htex.py"
    program.write_text(PARSL)
    (folder / "address").write_text(_address())
    argv = [sys.executable, program, folder, str(CORES), str(tasks), *words]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)


def _address() -> str:
    from psij_parsl.parsl.addresses import addresses_of_node
    from psij_parsl.sites import LAPTOP

    return addresses_of_node(LAPTOP)[0]


def on_one_node_name() -> str:
    return "GNU parallel, one node" if shutil.which("parallel") else "xargs, one node (no GNU parallel here)"


def contestants() -> dict[str, Callable[[Path, Sequence[str], int], None]]:
    return {
        "psij-run launch --each-line": ours,
        "srun --exact, raw": raw_srun,
        on_one_node_name(): on_one_node,
        "Parsl's HTEX": parsl_htex,
    }


def compared(folder: Path, tasks: int, rounds: int) -> tuple[dict[str, dict[str, float]], Held]:
    """Median seconds by command and contestant."""
    held = Held()
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in COMMANDS}
    for _ in range(rounds):
        for name, words in COMMANDS.items():
            for contestant, run in contestants().items():
                done = threading.Event()
                looking = threading.Thread(target=_look, args=(held, done))
                if run is ours:
                    looking.start()
                began = time.perf_counter()
                try:
                    run(folder, words, tasks)
                    seconds[name].setdefault(contestant, []).append(time.perf_counter() - began)
                finally:
                    done.set()
                    if run is ours:
                        looking.join()
    medians = {name: {who: statistics.median(times) for who, times in of.items()} for name, of in seconds.items()}
    return medians, held


def _look(held: Held, done: threading.Event) -> None:
    while not done.wait(1.0):
        held.look()


def killed(folder: Path, tasks: int, seconds: float, chance: random.Random) -> dict[str, object]:
    """One farm killed at a random moment of those seconds, and resumed: what of its tasks is not as it must be."""
    folder.mkdir()
    ran = folder / "ran"
    ran.touch()
    lines = folder / "tasks"
    lines.write_text("".join(f"echo {number} >>{ran}; sleep 0.1\n" for number in range(1, tasks + 1)))
    argv = [*LAUNCH, "--each-line", lines, "--json"]
    when = chance.uniform(0.2, seconds)
    farm = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(when)
    in_time = farm.poll() is None
    farm.send_signal(signal.SIGKILL)
    farm.wait()
    first = len(ran.read_text().split())
    before, now = -1, first
    while now != before:  # what was started may still say so
        time.sleep(1.0)
        before, now = now, len(ran.read_text().split())
    done = subprocess.run([*argv, "--resume"], cwd=folder, capture_output=True, text=True)
    summary = json.loads(done.stdout)
    times = Counter(map(int, ran.read_text().split()))
    named = {*summary["unknown"]}
    return {
        "killed after s": round(when, 2),
        "in time": in_time,
        "had run": first,
        "ran after the kill": now - first,
        "named": len(named),
        "ran twice": sorted(number for number, count in times.items() if count > 1),
        "never, and not named": sorted({*range(1, tasks + 1)} - times.keys() - named),
    }


def inside(arguments: argparse.Namespace) -> None:
    """In the job: everything that is measured, as JSON."""
    folder = Path(arguments.inside).parent / "work"
    folder.mkdir()
    medians, held = compared(folder, arguments.tasks, arguments.rounds)
    chance = random.Random(arguments.seed)
    length = medians["sleep 0.1"]["psij-run launch --each-line"]
    kills = [killed(folder / f"kill{at}", arguments.tasks, length, chance) for at in range(arguments.kills)]
    Path(arguments.inside).write_text(json.dumps([medians, vars(held), kills]))


def main(arguments: argparse.Namespace) -> int:
    if arguments.pinned:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name, slurm(accounting=False):
        folder = Path(name)
        answer, script, log = folder / "answer", folder / "job.sh", folder / "log"
        words = [sys.executable, "-m", "bench.farm", *sys.argv[1:], "--seed", str(arguments.seed)]
        script.write_text(
            f"#!/bin/bash\nexport PSIJ_PARSL_HOME={folder}/home\nexec {shlex.join(words)} --inside {answer}\n"
        )
        job = ["sbatch", "--wait", "-N2", f"--ntasks-per-node={CORES}", "--time=30", "-o", log, script]
        if subprocess.run(job).returncode:
            print(log.read_text(), file=sys.stderr)
            return 1
        medians, held, kills = json.loads(answer.read_text())
    suffix = "_pinned" if arguments.pinned else ""
    for command, seconds in medians.items():
        print(f"\n{arguments.tasks} tasks of {command}")
        ratio = seconds["psij-run launch --each-line"] / seconds["srun --exact, raw"]
        report(
            f"farm_{command.replace(' ', '_')}{suffix}",
            seconds,
            unit="s",
            promise="psij-run launch --each-line <= 1.3 x raw srun --exact",
            facts={
                "tasks": arguments.tasks,
                "of raw srun": f"{ratio:.2f}",
                **{f"{who}, tasks/s": f"{arguments.tasks / each:.0f}" for who, each in seconds.items()},
            },
        )
    print("\nheld at the fullest moment")
    report(
        f"farm_held{suffix}",
        {"all": held["whole"], **held["most"]},
        unit="MB (PSS)",
        facts={"processes": held["processes"]},
    )
    if not kills:
        return 0
    print("\nkilled and resumed")
    faults = sum(len(kill["ran twice"]) + len(kill["never, and not named"]) for kill in kills)
    report(
        f"farm_kills{suffix}",
        {"faults": faults},
        unit="tasks",
        promise="0: each ran once or is named",
        facts={"seed": arguments.seed, **{f"kill {at}": kill for at, kill in enumerate(kills, 1)}},
    )
    return 1 if faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--pinned", action="store_true")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.inside:
        inside(parsed)
    else:
        sys.exit(main(parsed))
