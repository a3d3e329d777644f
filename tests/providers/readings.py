"""Recorded answers, each with the query of ours that it answers, for tests and benches over all platforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from psij_parsl.platforms.queries import Query
from psij_parsl.platforms.registry import platform
from psij_parsl.platforms.scheduler import Scheduler

RECORDED = Path(__file__).parents[1] / "recorded"
#: Of each platform that has recordings of its own queries, or texts made from its documentation: the folder, and for
#: "live" or the number of a query of `history` the patterns of files that such a query might have printed.
FILES: Mapping[str, tuple[str, Mapping[str, Sequence[str]]]] = {
    "flux": ("flux", {"live": ["*.jobs-json.txt", "many.json.txt"]}),
    "gridengine": (
        "gridengine",
        {
            "live": ["*.qstat-xml.txt", "*.qstat-r-xml.txt", "*.qstat-g-d-xml.txt"],
            "0": ["[!p]*.qacct-j.txt", "history*.txt"],  # pe-tasks is no answer to our query, and many is very long
        },
    ),
    "htcondor": (
        "htcondor",
        {
            "live": ["queue-json*.txt", "queue-[abhrw]*.txt", "later-queue-[fj]*.txt", "held-by-user.txt"],
            "0": ["history-[!a]*.txt", "history-array*.txt"],
        },
    ),
    "lsf": ("../documented/lsf", {"live": ["bjobs/*.txt"], "0": ["bhist/*.txt"]}),
    "oar": (
        "oar",
        {
            "live": ["end-*-json.txt", "held-json.txt", "running*-json.txt", "sql.txt", "stat-*-json*.txt"],
            "0": ["endfull-*.txt"],
        },
    ),
    "pbspro": ("openpbs", {"0": ["*.qstat-f-json-x.txt", "*.json-t.txt", "*.json.txt"]}),
    "slurm": ("slurm/live", {"live": ["*.squeue.txt"], "0": ["*.sacct.txt"], "2": ["*.scontrol.txt"]}),
    "torque": ("torque", {"live": ["*-xml.txt"]}),
}


@dataclass(frozen=True)
class Reading:
    """`text` is what the manager printed to `query`, which is of `scheduler`."""

    name: str
    scheduler: type[Scheduler]
    query: Query
    text: str


def readings(name: str) -> list[Reading]:
    """The recorded answers of a platform."""
    folder, patterns = FILES[name]
    kind = platform(name).scheduler_class
    scheduler = kind()
    found = []
    for which, globs in patterns.items():
        query = _of_anybody(scheduler.live() if which == "live" else scheduler.history(["1"], 0.0)[int(which)])
        for path in sorted({path for glob in globs for path in (RECORDED / folder).glob(glob)}):
            _, _, rest = path.read_text().partition("#--stdout--\n")
            text, _, _ = rest.rpartition("#--stderr--\n")
            text = _as_now(query, text)
            found.append(Reading(f"{name}-{path.stem}", kind, query, text))
    return found


def _of_anybody(query: Query) -> Query:
    """The query with the jobs of all owners: the recorded ones are not ours."""
    if isinstance(query.parse, partial) and "owner" in query.parse.keywords:
        return query._replace(parse=partial(query.parse.func, owner=""))
    return query


def _as_now(query: Query, text: str) -> str:
    """The answer with the marks at the ends of lines that Slurm's queries did not ask for when it was recorded."""
    if query.argv[0] == "squeue":
        return text.replace(" \n", "|.\n")
    return text.replace("\n", "|\n") if query.argv[0] == "sacct" else text
