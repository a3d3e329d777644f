"""What somebody asked for is found in the job that a site has made of it: the site makes the same job of it again."""

from __future__ import annotations

import pytest

from psij_parsl.api import Machine
from psij_parsl.cli.commands.submit import SUBMIT
from psij_parsl.job import Job
from psij_parsl.sites.asked_again import asked_of
from tests.sites.test_requests import CASES, REQUESTS
from tests.sites.typical_jobs import asked, completed_job, machine

__all__ = ["machine"]

GOOD = [(name, case) for name, case in CASES if "refused" not in REQUESTS[name]["cases"][case]]


@pytest.mark.parametrize(("machine", "case"), GOOD, indirect=["machine"], ids=[f"{n}-{c}" for n, c in GOOD])
def test_a_site_makes_the_same_job_again(machine: Machine, case: str) -> None:
    job, findings = completed_job(machine, REQUESTS[machine.name]["cases"][case]["ask"])
    again = machine.completion(asked_of(machine, job))
    assert Job(**again.fields).to_dict() == job.to_dict()
    assert {*again.findings} <= {*findings}


@pytest.mark.parametrize(("machine", "case"), GOOD, indirect=["machine"], ids=[f"{n}-{c}" for n, c in GOOD])
def test_in_another_queue_it_is_the_job_that_was_asked_for_there(machine: Machine, case: str) -> None:
    invocation, values = asked(SUBMIT, machine, REQUESTS[machine.name]["cases"][case]["ask"])
    job, _ = completed_job(machine, REQUESTS[machine.name]["cases"][case]["ask"])
    for queue in machine.queues:
        expected = Job(**machine.completion({**values, "command": invocation.arguments, "queue": queue}).fields)
        found = Job(**machine.completion({**asked_of(machine, job), "queue": queue}).fields)
        assert found.to_dict() == expected.to_dict(), queue
