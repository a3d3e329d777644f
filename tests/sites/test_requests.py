"""What users ask of the machines that we ship, with the right answer by the machine's own documentation.

Each file in `requests/` has cases: `ask` is what is typed after `psij-run submit --site NAME`; `refused` and `warned` are the
keys of all findings; `lines` are lines that the script has. A `match` names the queues that fit best, in order.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.api import Machine
from psij_parsl.cli.commands.site_queues import MATCH
from psij_parsl.errors import InvalidRequest
from psij_parsl.sites.findings import Finding
from psij_parsl.sites.matching import matches
from tests.sites.typical_jobs import asked, completed_job, machine

__all__ = ["machine"]

FOLDER = Path(__file__).parent / "requests"
REQUESTS: dict[str, dict[str, Any]] = {
    path.stem: tomllib.loads(path.read_text()) for path in sorted(FOLDER.glob("*.toml"))
}
CASES = [(name, case) for name, file in REQUESTS.items() for case in file.get("cases", {})]
MATCHES = [
    (name, match["ask"], match["queues"]) for name, file in REQUESTS.items() for match in file.get("match", ())
]


@pytest.mark.parametrize(("machine", "case"), CASES, indirect=["machine"], ids=[f"{n}-{c}" for n, c in CASES])
def test_a_request_has_the_right_answer_before_it_is_submitted(machine: Machine, case: str) -> None:
    expected = REQUESTS[machine.name]["cases"][case]
    findings: list[Finding] = []
    script = ""
    try:
        job, findings = completed_job(machine, expected["ask"])
        if not any(finding.level == "refuse" for finding in findings):
            script = machine.executor().render(job)
    except InvalidRequest as error:
        findings.append(Finding("refuse", "other", error.message, error.hint))
    refused = {finding.key for finding in findings if finding.level == "refuse"}
    warned = {finding.key for finding in findings if finding.level == "warn"}
    shown = "\n".join(map(str, findings))
    assert sorted(refused) == sorted(expected.get("refused", [])), shown
    if "refused" not in expected:
        assert sorted(warned) == sorted(expected.get("warned", [])), shown
        lines = script.splitlines()
        missing = [line for line in expected.get("lines", ()) if line not in lines]
        assert not missing, script.split("# psij-parsl's own")[0]


@pytest.mark.parametrize(
    ("machine", "ask", "queues"), MATCHES, indirect=["machine"], ids=[f"{n}-{ask}" for n, ask, _ in MATCHES]
)
def test_the_queues_that_fit_are_those_of_the_machines_guide(machine: Machine, ask: str, queues: list[str]) -> None:
    _, values = asked(MATCH, machine, ask)
    values.setdefault("project", "abc123")
    found = [match.queue.name for match in matches(machine, values) if match.fits]
    assert found[: len(queues)] == queues
