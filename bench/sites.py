"""Start-up with one site file on the path and with sixty, and of a site with queues beside one of a few keys.

    python -m bench.sites [ROUNDS]

The files are those of machines that we ship, under other names. `none kept` is the same where the state directory has
no room for a cache: each start reads all files, and validates its site. All is timed in turns beside `python -c pass`,
and then again with the commands pinned to one CPU. The promise is held against the least CPU time, in which there is
least of what else runs here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from bench.tools import interleaved, report
from psij_parsl.sites.layers import PACKAGE

MANY = 60
NOISE_MS = 5.0
SETTLED_S = 2.5  # a file that was changed less than two seconds ago is read again
COMMAND = [sys.executable, "-m", "psij_parsl.cli"]
VERBS: Mapping[str, list[str]] = {
    "status": ["status"],
    "launch": ["launch", "--", "true"],
    "render": ["render", "--", "true"],
    "submit": ["submit", "--", "true"],
}
SITES: Mapping[str, list[str]] = {
    "render --site slurm": ["render", "--site", "slurm", "-A", "abc123", "-t", "10", "--", "true"],
    "render --site frontier": ["render", "--site", "frontier", "-A", "abc123", "-t", "10", "--", "true"],
}


class Place:
    """A user's home with so many site files, and what starts commands there."""

    def __init__(self, folder: Path, files: int, *, kept: bool = True) -> None:
        self._environ = {
            **os.environ,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PSIJ_PARSL_HOME": str(folder / "state"),
        }
        sites = folder / "config" / "psij_parsl" / "sites"
        for path in (sites, folder / "state"):
            path.mkdir(parents=True, mode=0o700)
        if not kept:
            (folder / "state" / "cache").write_text("")
        shipped = [text for path in sorted(PACKAGE.glob("*.toml")) if "manager =" not in (text := path.read_text())]
        for number in range(files):
            text = re.sub("(hostname = .)", rf"\g<1>site{number}-", shipped[number % len(shipped)])
            (sites / f"site{number}.toml").write_text(text)

    def call(self, words: list[str], cpus: set[int] | None) -> float:
        """Run a command, and tell the seconds of CPU time that it took."""
        process = subprocess.Popen(
            words,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=None if cpus is None else lambda: os.sched_setaffinity(0, cpus),
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(words)}: {process.returncode}")
        return used.ru_utime + used.ru_stime


class Cost(NamedTuple):
    """The milliseconds of a command: the median from its start to its end, and the least of CPU time."""

    wall: float
    cpu: float


def measure(places: Mapping[str, Place], rounds: int, cpus: set[int] | None) -> dict[str, Cost]:
    """What each command costs in each place."""
    calls: dict[str, Callable[[], object]] = {}
    used: dict[str, list[float]] = {}

    def add(label: str, place: Place, words: list[str]) -> None:
        taken = used[label] = []
        calls[label] = lambda: taken.append(place.call(words, cpus))

    add("python -c pass", places["1 file"], [sys.executable, "-c", "pass"])
    for verb, words in {**VERBS, **SITES}.items():
        for name, place in places.items():
            add(f"{verb}, {name}", place, [*COMMAND, *words])
    medians = interleaved(calls, rounds)
    return {name: Cost(medians[name] * 1000, min(used[name]) * 1000) for name in calls}


def main(rounds: int) -> int:
    figures: dict[str, float] = {}
    facts: dict[str, object] = {}
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        places = {
            "1 file": Place(Path(folder) / "one", 1),
            f"{MANY} files": Place(Path(folder) / "many", MANY),
            f"{MANY} files, none kept": Place(Path(folder) / "unkept", MANY, kept=False),
        }
        time.sleep(SETTLED_S)
        for pinned in (False, True):
            found = measure(places, rounds, {min(os.sched_getaffinity(0))} if pinned else None)
            tail = ", one CPU" if pinned else ""
            for name, cost in found.items():
                figures |= {f"{name}{tail}": cost.wall, f"{name}{tail}, CPU": cost.cpu}
            for verb in (*VERBS, *SITES):
                more = found[f"{verb}, {MANY} files"].cpu - found[f"{verb}, 1 file"].cpu
                facts[f"{verb}{tail}: {MANY} files over 1"] = f"{more:+.1f} ms"
                worst = max(worst, more)
            full, generic = (found[f"{verb}, {MANY} files"].cpu for verb in reversed(SITES))
            facts[f"frontier over slurm{tail}"] = f"{full - generic:+.1f} ms"
            worst = max(worst, full - generic)
    promise = f"{MANY} files, and a site with queues, cost at most {NOISE_MS:.0f} ms of CPU time"
    report("sites", figures, unit="ms", facts=facts, promise=promise)
    return 0 if worst <= NOISE_MS else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
