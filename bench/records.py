"""The command with 5,000 and 200,000 recorded jobs: time, memory, and how long the journal's lock was held.

    python -m bench.records [--records 5000 200000]

Each journal begins as one log in the form that earlier versions wrote; the first command moves it over, and is shown
as such. Memory is the largest resident size of the command. How long the lock was held is seen from outside: by a
process that tries to have it every millisecond. Then all again with the commands pinned to one CPU.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.tools import report
from psij_parsl.jobs.job_places import ALPHABET, EPOCH

COMMAND = [sys.executable, "-m", "psij_parsl.cli"]
DAYS = 300  # over which the jobs were submitted
ROUNDS = 3
NOW = time.time()


def job_id(number: int, count: int, now: float) -> tuple[str, float]:
    """The id of a job of long ago, and when it was submitted."""
    intended = now - DAYS * 86400.0 * (1 - number / count) - 3600.0
    seconds, text = int(intended) - EPOCH, ""
    for _ in range(6):
        seconds, digit = divmod(seconds, 32)
        text = ALPHABET[digit] + text
    tail = "".join(ALPHABET[(number // 32**place) % 32] for place in range(4))
    return text + tail, intended


def lines(home: Path, count: int, *, native: int = 100_000) -> Iterator[str]:
    """One log of that many jobs that have ended, most in one line as after a rewriting, the last tenth event by event."""
    for number in range(count):
        name, intended = job_id(number, count, NOW)
        record = {
            "e": "job",
            "id": name,
            "platform": "slurm",
            "place": f"{home}/jobs/{name}",
            "site": "cluster",
            "name": f"case-{number % 1000}",
            "command": f"/home/u/bin/solver --steps {number} input.dat",
            "owner": f"login1/6f1a/{number}/1",
            "intended": intended,
        }
        status = {
            "state": "COMPLETED" if number % 20 else "FAILED",
            "native": "CD",
            "exit_code": 0 if number % 20 else 3,
            "nodes": f"node{number % 500}",
            "started": intended + 60,
            "ended": intended + 600,
        }
        told = {"native": str(native + number), "committed": intended + 1}
        if number < count * 9 // 10:
            yield json.dumps({**record, **told, "ended": {"": status}}, separators=(",", ":"))
            continue
        yield json.dumps(record, separators=(",", ":"))
        yield json.dumps({"e": "native", "id": name, "native": told["native"], "t": told["committed"]})
        yield json.dumps({"e": "end", "id": name, "k": "", "s": status})


def fill(home: Path, count: int) -> None:
    """A state directory with so many recorded jobs, as an earlier version left it."""
    home.mkdir(mode=0o700)
    with open(home / "journal.jsonl", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
        log.writelines(line + "\n" for line in lines(home, count))


class Held:
    """Watches a lock from outside: `longest` is the longest time that somebody else had it, in seconds."""

    def __init__(self, path: Path) -> None:
        self.path, self.longest = path, 0.0
        self._stop = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._stop.set()
            watcher.join()

    def _watch(self) -> None:
        since: float | None = None
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        while not self._stop.wait(0.001):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(handle, fcntl.LOCK_UN)
                since = None
            except BlockingIOError:
                now = time.monotonic()
                since = since or now
                self.longest = max(self.longest, now - since)
        os.close(handle)


class Cost(NamedTuple):
    """What one command took: seconds, seconds of CPU, MB, seconds that the lock was held."""

    seconds: float
    cpu: float
    memory: float
    held: float


# A program's largest resident size begins with that of the process that started it: so a small one does.
_STARTER = """
import json, resource, subprocess, sys, time
began = time.monotonic()
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
took, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def cost(home: Path, words: Sequence[str], *, pinned: bool = False) -> Cost:
    """Run a command once. Raises `RuntimeError` if it fails."""
    held = Held(home / "journal.lock")
    cpu = {min(os.sched_getaffinity(0))}
    pin: Callable[[], None] | None = (lambda: os.sched_setaffinity(0, cpu)) if pinned else None
    with held.watched():
        starter = subprocess.run(
            [sys.executable, "-S", "-E", "-c", _STARTER, *COMMAND, *words],
            preexec_fn=pin,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PSIJ_PARSL_HOME": str(home)},
        )
    code, took, cpu_s, memory = json.loads(starter.stdout)
    if code:
        raise RuntimeError(f"psij-run {' '.join(words)}: {code}: {starter.stderr[-2000:]}")
    return Cost(took, cpu_s, memory, held.longest)


def verbs(home: Path, count: int) -> dict[str, list[str]]:
    """What is measured, by its label."""
    first = json.loads(next(lines(home, count)))["id"]
    return {
        "status": ["status"],
        "list": ["list"],
        "list --since 7d": ["list", "--since", "7d"],
        "list --all -n 20": ["list", "--all", "-n", "20"],
        "list --state timeout": ["list", "--state", "timeout"],
        "list --state failed --limit 50": ["list", "--state", "failed", "--limit", "50"],
        "list -a --name case-7": ["list", "-a", "--name", "case-7"],
        "list --until 250d --site cluster --sort -run": [
            "list",
            "--until",
            "250d",
            "--site",
            "cluster",
            "--sort",
            "-run",
        ],
        "info of the first": ["info", first],
        "info by the manager's id": ["info", str(100_000 + count // 3)],
        "info last": ["info", "last"],
        "submit": ["submit", "--platform", "local", "--", "true"],
        "clean --older-than 400d": ["clean", "--older-than", "400d"],
        "list --all": ["list", "--all"],
        "list --until 1h --sort -run": ["list", "--until", "1h", "--sort", "-run"],  # that is all of them
        "list --all --json": ["list", "--all", "--json"],
    }


def measure(place: Path, count: int, *, pinned: bool) -> dict[str, Cost]:
    """All verbs with that many records."""
    home = place / f"{count}-{pinned}"
    fill(home, count)
    found = {"status, the first one, which moves an old log over": cost(home, ["status"], pinned=pinned)}
    for label, words in verbs(home, count).items():
        several = [
            cost(home, words, pinned=pinned) for _ in range(1 if words[1:2] in (["--all"], ["--until"]) else ROUNDS)
        ]
        found[label] = Cost(*(max(each[part] for each in several) for part in range(4)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[5_000, 200_000])
    counts = parser.parse_args().records
    figures: dict[str, float] = {}
    facts: dict[str, object] = {}
    for count in counts:
        for pinned in (False, True):
            with tempfile.TemporaryDirectory() as place:
                for label, found in measure(Path(place), count, pinned=pinned).items():
                    name = f"{count}{', one CPU' if pinned else ''}: {label}"
                    figures[name] = found.seconds
                    facts[name] = (
                        f"{found.cpu:.2f} s of CPU, {found.memory:.0f} MB, lock held {found.held * 1000:.0f} ms at most"
                    )
    report(
        "records",
        figures,
        unit="s",
        facts=facts,
        promise="any verb that does not list all <= 2 s and <= 200 MB, no lock held for more than 0.2 s; else <= 500 MB",
    )


if __name__ == "__main__":
    main()
