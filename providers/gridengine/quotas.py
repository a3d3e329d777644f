"""Resource quota sets, as `qconf -srqs` shows them. https://gridscheduler.sourceforge.net/htmlman/htmlman5/sge_resource_quota.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from psij_parsl.sites.generation.facts import least

_FILTERS = ("users", "projects", "pes", "queues", "hosts")


@dataclass(frozen=True)
class Rule:
    """One line `limit`: for whom it is, and how much of each resource they may have at a time.

    A filter in braces, `{*}`, is a limit for each of what it lists; no job can have more than either kind allows.
    """

    filters: Mapping[str, str]
    limits: Mapping[str, int]

    def names(self, kind: str) -> list[str]:
        return [name for name in re.split(r"[\s,{}]+", self.filters.get(kind, "*")) if name]

    def matches(self, queue: str) -> bool:
        """Whether it is for any user's jobs in a queue: not if it is for some users, projects or environments alone."""
        own = self.names("queues")
        left_out = any(fnmatchcase(queue, name[1:]) for name in own if name.startswith("!"))
        plain = [name for name in own if not name.startswith("!")]
        in_queue = not left_out and (not plain or any(fnmatchcase(queue, name) for name in plain))
        return in_queue and all("*" in self.names(kind) for kind in ("users", "projects", "pes"))

    @property
    def of_hosts(self) -> bool:
        """Whether it limits each host, or some hosts, which does not bound a job of several."""
        return "{" in self.filters.get("hosts", "") or "*" not in self.names("hosts")


def quota_sets(text: str) -> list[list[Rule]]:
    """The rules of each set that is in force."""
    blocks = re.findall(r"\{\n(.*?)^\}", text.replace("\\\n", " "), re.DOTALL | re.MULTILINE)
    return [list(_rules(block)) for block in blocks if re.search(r"(?im)^\s*enabled\s+true\s*$", block)]


def most(sets: Sequence[Sequence[Rule]], queue: str, resource: str) -> int | None:
    """The most that a job in a queue can have of a resource: in each set the first rule that matches counts."""
    found = (next((rule for rule in rules if rule.matches(queue)), None) for rules in sets)
    return least(*(rule.limits.get(resource) for rule in found if rule is not None and not rule.of_hosts))


def _rules(block: str) -> Iterator[Rule]:
    for line in re.findall(r"(?m)^\s*limit\s+(.*)$", block):
        before, _, to = f" {line}".rpartition(" to ")
        words = re.split(rf"\s+({'|'.join(_FILTERS)})\s+", re.sub(r"^\s*name\s+\S+", "", before))
        pairs = (one.split("=", 1) for one in to.split(",") if "=" in one)
        yield Rule(
            filters=dict(zip(words[1::2], words[2::2], strict=False)),
            limits={name.strip(): int(value) for name, value in pairs if value.strip().isdigit()},
        )
