"""Parallel environments, and which of them is for jobs on several hosts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

Settings = Mapping[str, str]
_ONE_HOST = "$pe_slots"
_FILLS = "$fill_up"  # one node after the other; $round_robin gives a slot on each in turn, on as many as there are


class Environment(NamedTuple):
    """One parallel environment: its rule, how many slots its jobs may have in all, and whether anybody may use it."""

    name: str
    rule: str
    slots: int | None
    for_all: bool
    controls_slaves: bool

    @property
    def several_hosts(self) -> bool:
        return self.rule != _ONE_HOST and self.slots != 0

    @property
    def fits(self) -> bool:
        """Whether it does without a person's choice: a job gets its nodes, anybody may use it, and ranks start by it."""
        return self.for_all and self.controls_slaves and (self.fills or self.rule.isdigit())

    @property
    def fills(self) -> bool:
        return self.rule == _FILLS

    def slots_per_node(self, of_nodes: Collection[int]) -> int | None:
        """What a job must ask for on each of several nodes, which have so many slots, to get as many nodes; None if unknown.

        So it is where no two of them have the slots for it.
        """
        each = int(self.rule) if self.rule.isdigit() else next(iter(of_nodes), 0) if len(set(of_nodes)) == 1 else 0
        enough = sum(slots >= each for slots in of_nodes) > 1 and (self.slots is None or self.slots >= 2 * each)
        return each if each and enough else None


def environment(name: str, said: Settings) -> Environment:
    """From what `qconf -sp` prints."""
    slots = said.get("slots", "")
    everybody = all(said.get(key, "NONE").upper() == "NONE" for key in ("user_lists", "xuser_lists"))
    return Environment(
        name=name,
        rule=said.get("allocation_rule", ""),
        slots=int(slots) if slots.isdigit() else None,
        for_all=everybody,
        controls_slaves=said.get("control_slaves", "").upper() == "TRUE",
    )


def named(pe_list: str) -> list[str]:
    """The names in a queue's `pe_list`, as far as they hold on all of its hosts."""
    return [word for word in re.split(r"[\s,]+", pe_list.partition("[")[0]) if word not in ("", "NONE")]


def of_one_node(every: Mapping[str, Environment], lists: Sequence[str]) -> str:
    """The environment for jobs on one node that all queues have; '' if there is none."""
    shared = set.intersection(*(set(named(one)) for one in lists)) if lists else set()
    return next((name for name in sorted(shared & every.keys()) if every[name].rule == _ONE_HOST), "")


def of_several_nodes(every: Mapping[str, Environment], pe_list: str) -> list[Environment]:
    """Those of a queue for jobs on several nodes."""
    return [every[name] for name in named(pe_list) if name in every and every[name].several_hosts]


def choices(environments: Sequence[Environment]) -> Iterator[str]:
    """Each with its rule, and with what stands against it."""
    for one in environments:
        faults = ("" if one.for_all else "for some users"), ("" if one.controls_slaves else "control_slaves FALSE")
        against = ", ".join(filter(None, faults))
        yield f"{one.name} {one.rule}{f' ({against})' if against else ''}"
