"""The table of what each platform can do, made from the contract suite's own results.

    python -m tests.capabilities REPORT.xml... >docs/reference/capabilities.md

The reports are pytest's (`--junitxml`); `tests/run` leaves one of each of its runs in build/reports.
"""

from __future__ import annotations

import re
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: What people ask for: the words, and a pattern of the tests that show it.
CAPABILITIES: Mapping[str, str] = {
    "output, exit codes, signals": "a_job_gives_back|jobs_are_futures|an_exit_code|a_signal_is|does_not_exist|manager_sees",
    "directory, environment, files": "starts_where|environment|input_file|output_files|stderr_joins|setup|umask",
    "any argument, any name": "arguments_arrive|looks_like_directives|name_of_300",
    "cancel": "cancelling_a_running|queued_job_can_be|somebody_else_kills",
    "hold and release": "held_job_starts",
    "dependencies": "dependent_job_waits|never_be_met|cancelled_while_it_waits",
    "arrays": "an_array|large_array|alike_jobs",
    "several nodes": "two_nodes",
    "memory": "memory_can_be",
    "GPUs": "gpus_can_be",
    "jobs of other programs": "attached|strangers_job|unknown_id",
}
NOT_OFFERED, FAILED = "not offered", "FAILED"


@dataclass(frozen=True)
class Case:
    """One test of the contract suite, and how it went on one manager."""

    manager: str  #: platform and version
    test: str
    outcome: str  #: "real" or "simulated" if it passed, else `NOT_OFFERED` or `FAILED`


def cases(report: Path) -> Iterator[Case]:
    """The contract suite's tests in a report."""
    for case in ET.parse(report).getroot().iter("testcase"):
        facts = {entry.get("name"): entry.get("value", "") for entry in case.iter("property")}
        if "platform" not in facts:
            continue
        outcome = facts["tried"]
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = FAILED
        elif case.find("skipped") is not None:
            outcome = NOT_OFFERED
        yield Case(f"{facts['platform']} {facts['version']}".strip(), case.get("name", ""), outcome)


def cell(found: Sequence[Case]) -> str:
    """How a capability of a manager went, by its tests."""
    outcomes = {case.outcome for case in found}
    if FAILED in outcomes:
        return FAILED
    return next(iter(sorted(outcomes - {NOT_OFFERED}, reverse=True)), NOT_OFFERED) if outcomes else "not tried"


def table(found: Sequence[Case]) -> list[str]:
    """A table of MyST, cell by cell: a row for each manager."""
    lines = ["```{list-table}", ":header-rows: 1", ":stub-columns: 1", ""]
    lines += _row("", list(CAPABILITIES))
    for manager in sorted({case.manager for case in found}):
        own = [case for case in found if case.manager == manager]
        lines += _row(
            manager, [cell([case for case in own if re.search(tests, case.test)]) for tests in CAPABILITIES.values()]
        )
    return [*lines, "```"]


def _row(head: str, cells: Sequence[str]) -> list[str]:
    return [f"* - {head}".rstrip(), *(f"  - {text}" for text in cells)]


def main(reports: Sequence[str]) -> int:
    found = [case for report in reports for case in cases(Path(report))]
    if not found:
        print("no test of the contract suite is in these reports", file=sys.stderr)
        return 1
    print("# What each platform can do\n")
    print("<!-- made by `python -m tests.capabilities`; not edited by hand -->\n")
    print(
        f"Tried on {time.strftime('%Y-%m-%d')} by the suite that every platform passes. *real*: on the manager itself,\n"
        "which ran the jobs. *simulated*: on a program of the tests that answers as the manager was recorded to (PBS Pro,\n"
        "Torque, Flux) or is documented to (LSF, Cobalt), and really runs the jobs. *not offered*: it cannot be asked for\n"
        "there, and is refused with a sentence that says so.\n"
    )
    print("\n".join(table(found)))
    return int(any(case.outcome == FAILED for case in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
