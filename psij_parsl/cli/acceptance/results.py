"""What the checks of an acceptance say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

PASSED, FAILED, SKIPPED = "PASSED", "FAILED", "SKIPPED"

#: Each check by its name, and what it shows: in the order of the report.
CHECKS = {
    "file": "the site's file has no faults",
    "hold": "each queue takes a smallest job, which is submitted on hold and cancelled",
    "node": "a job on a node runs hostname, and its output comes back",
    "spool": "nodes see the folders of jobs, and what they write there is seen here",
    "environment": "modules, setup and environment of the site work in a job",
    "mpi": "the site's launcher starts the ranks of two nodes, each with its own number",
    "binding": "each rank has its own cores, and none that is blocked",
    "gpu": "each rank has its own GPU",
    "cancel": "a running job is cancelled",
    "walltime": "a job that runs too long is ended by its wall time",
}
#: Those that take a minute or more, and so are done only if they are named.
SLOW = frozenset({"walltime"})


class Verdict(NamedTuple):
    """What one check found. `text` is one sentence, `details` are lines of output that explain a failure."""

    check: str
    state: str
    text: str
    details: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Result:
    """A verdict, with where the check was made, how long it took, and its job: our id and the manager's."""

    verdict: Verdict
    where: str = ""
    seconds: float = 0.0
    job: str = ""
    native_id: str = ""

    @property
    def state(self) -> str:
        return self.verdict.state


def in_order(results: Iterable[Result]) -> list[Result]:
    """In the order of the checks; those of one check as they came."""
    names = list(CHECKS)
    return sorted(results, key=lambda result: names.index(result.verdict.check))


def without_echoes(results: Sequence[Result]) -> list[Result]:
    """The results, in which a setup that fails, and what refuses several jobs, is told once: the rest is skipped."""
    setups = {
        result.verdict.text for result in results if (result.verdict.check, result.state) == ("environment", FAILED)
    }
    found, refused = [], set[str]()
    for result in results:
        check, state, text = result.verdict[:3]
        if state == FAILED and check != "environment" and text in setups:
            result = replace(result, verdict=Verdict(check, SKIPPED, "its job could not start: see environment"))
        elif state == FAILED and check != "file" and not result.job:
            if text in refused:
                result = replace(result, verdict=Verdict(check, SKIPPED, "no job: for the same reason as above"))
            refused.add(text)
        found.append(result)
    return found
