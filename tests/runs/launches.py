"""What the tests of `psij-run launch` share: many launches at once, and what their ranks say they had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from psij_parsl import Job
from psij_parsl.jobs.launch_lines import launch_lines
from psij_parsl.platforms.templates.loader import functions_text

#: A rank that writes down what it has, and when: RECORD_IN is a folder, its argument the seconds that it stays.
RECORD = [
    "bash",
    "-c",
    'h=${SLURMD_NODENAME:-$(uname -n)}; b=$EPOCHREALTIME; sleep "$0"'
    '; echo "$h ${PSIJ_CPUS:-none} ${PSIJ_GPUS:-none} $b $EPOCHREALTIME" >"$RECORD_IN/$PSIJ_RUN.$PSIJ_RANK"',
]
#: Each launch is a process of its own, forked from one that has imported everything: 200 starts of Python would be
#: most of the time.
_CROWD = """
import json, os, sys
import filelock, jinja2, psij_parsl.cli.commands.launch, psij_parsl.cli.app, psij_parsl.runs.selection, psij_parsl.runs.planning
import psij_parsl.resources.ledger_books, psij_parsl.sites.models.site_model, psij_parsl.launchers.srun, psij_parsl.launchers.mpich
children = []
for words, out in json.load(sys.stdin):
    child = os.fork()
    if not child:
        code = 1
        try:
            file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.argv = ["psij-run", "launch", *words]
            code = psij_parsl.cli.app.run(sys.argv[1:])
        finally:
            sys.stdout.flush()
            os._exit(code)
    children.append(child)
json.dump([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], sys.stdout)
"""


def crowd_command() -> list[str]:
    """The program that starts many launches; it reads [[words, output file], ...] and prints their exit codes."""
    return [sys.executable, "-c", _CROWD]


def crowd(
    launches: Sequence[Sequence[str]], folder: Path, environ: Mapping[str, str], seconds: float = 300
) -> list[int]:
    """Start all these `psij-run launch` at once and wait for them; their exit codes. Output goes to folder/NUMBER."""
    asked = [[list(words), str(folder / str(number))] for number, words in enumerate(launches)]
    done = subprocess.run(
        crowd_command(),
        input=json.dumps(asked),
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes: list[int] = json.loads(done.stdout)
    return codes


class Had(NamedTuple):
    """What one rank had, and from when to when."""

    host: str
    cpus: frozenset[str]
    gpus: frozenset[str]
    began: float
    ended: float


def recorded(folder: Path) -> list[Had]:
    """What the ranks wrote down."""
    found = []
    for path in folder.iterdir():
        host, cpus, gpus, began, ended = path.read_text().split()
        found.append(Had(host, _ids(cpus), _ids(gpus), float(began), float(ended)))
    return found


def _ids(text: str) -> frozenset[str]:
    ids: set[str] = set()
    for part in text.split(",") if text != "none" else ():
        first, _, last = part.partition("-")
        ids |= set(map(str, range(int(first), int(last or first) + 1)))
    return frozenset(ids)


def held_twice(ranks: Sequence[Had]) -> list[Any]:
    """Cores and GPUs that two ranks had at the same time, with both."""
    spans: dict[tuple[str, str, str], list[Had]] = defaultdict(list)
    for rank in ranks:
        for what, ids in (("core", rank.cpus), ("GPU", rank.gpus)):
            for number in ids:
                spans[rank.host, what, number].append(rank)
    wrong = []
    for place, holders in spans.items():
        holders.sort(key=lambda rank: rank.began)
        wrong += [(place, one, other) for one, other in pairwise(holders) if other.began < one.ended]
    return wrong


def starting_lines(job: Job, default: str, folder: Path) -> str:
    """What the script of that job does to start its command, "$@", as shell text that runs by itself."""
    return "\n".join((functions_text(), *launch_lines(job, default, folder)))
