"""Asks a platform's manager, looks at this host if it is one of the nodes, and gives the file's text."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from ...errors import Error, Rejected, Unavailable, Unsupported
from ...platforms.command_owners import ask as owners
from ...platforms.command_owners import foreign
from ...platforms.platform import Platform
from ...platforms.queries import Query
from ...platforms.scheduler import Scheduler
from ...resources import gpu_topology, host
from ..detect import clusters_here
from .facts import Ask, ReadFacts, SiteFacts
from .node_grouping import TypeFacts, node_types
from .site_text import Heading, site_text


class Generated(NamedTuple):
    """A site's name, the text of its file, and how many node types and queues it has."""

    name: str
    text: str
    node_types: int
    queues: int


def generated(
    platform: Platform, name: str = "", *, file: str = "", environ: Mapping[str, str] = os.environ
) -> Generated:
    """The file of a site of that name, by default its cluster's or this host's; `file` is the name that it will have.

    Raises `Unsupported` where the platform does not ask its manager, and `SchedulerError` where that does not answer.
    """
    scheduler = platform.scheduler_class()
    facts = asked_facts(platform, scheduler)
    if not facts.nodes and not facts.queues:
        raise Unavailable(f"{_product(scheduler, platform)} told of no nodes and no queues", hint="try again later")
    types = [_seen_here(one) for one in node_types(facts.nodes)]
    name = name or file or site_name(facts.cluster) or site_name(_without_digits(host.name())) or platform.name
    heading = Heading(
        name=name if name != file else "",
        platform=platform.name,
        product=_product(scheduler, platform),
        launcher=platform.launcher,
        rule=_rule(facts.cluster, environ),
        day=date.today().isoformat(),
    )
    return Generated(name, site_text(heading, facts, types), len(types), len(facts.queues))


def asked_facts(platform: Platform, scheduler: Scheduler) -> SiteFacts:
    """What the manager says of its nodes and queues. Raises as `generated` does."""
    if not platform.site_facts:
        raise Unsupported(
            f"the platform {platform.name} does not ask its manager for what a site file says",
            hint="write the file by hand; `psij-run site schema` and the shipped files help",
        )
    _refuse_foreign(scheduler)
    return _facts(platform.part("site_facts"), scheduler)


def site_name(text: str) -> str:
    """A text as a site's name; '' if nothing of it can be one."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._").lower()


def _product(scheduler: Scheduler, platform: Platform) -> str:
    return scheduler.product or platform.name


def _refuse_foreign(scheduler: Scheduler) -> None:
    if not scheduler.shared_names:
        return
    if other := foreign(owners(scheduler), scheduler.product):
        raise Rejected(
            other.not_of(scheduler.product),
            hint="choose another --platform; `psij-run platform list` tells which are here",
        )


def _facts(read: ReadFacts, scheduler: Scheduler) -> SiteFacts:
    try:
        return read(_asking(scheduler))
    except Error:
        raise
    except Exception as error:  # unforeseen text may raise anything
        raise Unavailable(
            f"what the manager printed cannot be read ({type(error).__name__}: {error})",
            hint="nothing was written; please report it, with the version of the manager",
        ) from error


def _asking(scheduler: Scheduler) -> Ask:
    def ask(*argv: str, optional: bool = False) -> str:
        try:
            return next(iter(scheduler.ask(Query(argv, str, split=lambda text: [text]))), "")
        except Unavailable as error:
            if optional:
                return ""
            hint = error.hint if error.permanent or "is not on PATH" in error.message else "nothing was written"
            raise Unavailable(error.message, hint=hint, output=error.output) from error

    return ask


def _rule(cluster: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The detection rule: the cluster's name where it can be seen without a command, else this host's name."""
    if cluster and cluster.lower() in (name.lower() for name in clusters_here(environ)):
        return {"cluster": cluster}
    pattern = re.sub(r"\d+", lambda _: r"\d+", re.sub(r"[^\w-]", lambda char: re.escape(char[0]), host.name()))
    return {"hostname": pattern if "." in host.name() else rf"{pattern}(\..*)?"}


def _without_digits(name: str) -> str:
    return re.sub(r"\d+", "", name.partition(".")[0])


def _seen_here(one: TypeFacts) -> TypeFacts:
    """What this host knows of itself, if it is one of these nodes: its threads, and which CPUs are next to its GPUs."""
    if not any(map(host.is_here, one.nodes)):
        return one
    siblings = host.siblings()
    threads = max(map(len, siblings), default=1)
    online = host.online()
    if one.threads_per_core == 1 < threads and _numbered_by_rounds(siblings) and one.cpus in (online, len(siblings)):
        one = replace(one, cpus=online, threads_per_core=threads)
    near = gpu_topology.near_cpus() if one.gpus else None
    if near is None or len(near.cpus) != one.gpus:
        return one
    return replace(one, gpu_kind=near.vendor, gpu_cpus=near.cpus if all(near.cpus) else ())


def _numbered_by_rounds(siblings: Sequence[Sequence[int]]) -> bool:
    """Whether the threads of core 3 of 64 are the CPUs 3, 67, ..., as a site file takes them to be."""
    cores = len(siblings)
    return all(list(ids) == list(range(ids[0], ids[0] + cores * len(ids), cores)) for ids in siblings)
