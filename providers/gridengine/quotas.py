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

    def concerns(self, queue: str) -> bool:
        """Whether it can count for a job in a queue: not if it is for another queue, or for some users alone."""
        return _listed(queue, self._names("queues")) and not self.of_some_users

    @property
    def of_some_users(self) -> bool:
        """Whether it is for some users alone, who are named."""
        users = self._names("users")
        return "*" not in users and not all(one.startswith("!") for one in users)

    @property
    def for_any_job(self) -> bool:
        """Whether no job can do without: even `*` stands for those with a project, or an environment, alone."""
        return not {"projects", "pes"} & self.filters.keys()

    @property
    def of_hosts(self) -> bool:
        """Whether it limits each host, or some hosts, which does not bound a job of several."""
        return "{" in self.filters.get("hosts", "") or "*" not in self._names("hosts")

    def _names(self, kind: str) -> list[str]:
        return [name for name in re.split(r"[\s,{}]+", self.filters.get(kind, "*")) if name]


def quota_sets(text: str) -> list[list[Rule]]:
    """The rules of each set that is in force."""
    blocks = re.findall(r"\{\n(.*?)^\}", text.replace("\\\n", " "), re.DOTALL | re.MULTILINE)
    return [list(_rules(block)) for block in blocks if re.search(r"(?im)^\s*enabled\s+true\s*$", block)]


def most(sets: Sequence[Sequence[Rule]], queue: str, resource: str) -> int | None:
    """The most that a job in a queue can have of a resource, by all sets."""
    return least(*(_of_anybody(rules, queue, resource) for rules in sets))


def _of_anybody(rules: Sequence[Rule], queue: str, resource: str) -> int | None:
    """By one set; nothing for all others where some users have something is no limit of the queue."""
    amount = _largest([rule for rule in rules if rule.concerns(queue)], resource)
    return amount or (None if any(rule.of_some_users for rule in rules) else amount)


def _largest(rules: Sequence[Rule], resource: str) -> int | None:
    """Of one set the first rule that is for a job counts: which one that is depends on what the job asks for."""
    amounts: list[int] = []
    for rule in rules:
        if rule.of_hosts or resource not in rule.limits:
            return None
        amounts.append(rule.limits[resource])
        if rule.for_any_job:
            return max(amounts)
    return None


def _listed(name: str, patterns: Sequence[str]) -> bool:
    """Whether a list such as `*,!short.q` has a name; one with exceptions alone has all others."""
    out = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    only = [pattern for pattern in patterns if not pattern.startswith("!")] or ["*"]
    return any(fnmatchcase(name, one) for one in only) and not any(fnmatchcase(name, one) for one in out)


def _rules(block: str) -> Iterator[Rule]:
    for line in re.findall(r"(?m)^\s*limit\s+(.*)$", block):
        before, _, to = f" {line}".rpartition(" to ")
        words = re.split(rf"\s+({'|'.join(_FILTERS)})\s+", re.sub(r"^\s*name\s+\S+", "", before))
        pairs = (one.split("=", 1) for one in to.split(",") if "=" in one)
        yield Rule(
            filters=dict(zip(words[1::2], words[2::2], strict=False)),
            limits={name.strip(): int(value) for name, value in pairs if value.strip().isdigit()},
        )
