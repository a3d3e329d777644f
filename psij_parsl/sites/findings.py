"""What is wrong with a request, by a site's rules: all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from ..errors import InvalidRequest


class Finding(NamedTuple):
    """One thing that a site finds wrong with a job.

    `level`: the job is refused, or only warned of. `key` names the rule: queue, nodes, time, min_time, project, required,
    forbidden, choices, cpus, gpus, memory, array, max_cores, max_gpus, jobs.
    """

    level: Literal["refuse", "warn"]
    key: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.hint})" if self.hint else self.text


def settle(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that are only warnings. Raises `InvalidRequest`, which says all the others at once."""
    found = list(dict.fromkeys(findings))
    refusals = [finding for finding in found if finding.level == "refuse"]
    if len(refusals) == 1:
        raise InvalidRequest(refusals[0].text, hint=refusals[0].hint)
    if refusals:
        listed = "\n".join(f"  {finding}" for finding in refusals)
        raise InvalidRequest(f"the job is refused for {len(refusals)} reasons:\n{listed}")
    return found
