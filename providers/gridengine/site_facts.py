"""What Grid Engine says of its hosts and queues. https://gridscheduler.sourceforge.net/htmlman/htmlman1/qconf.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, fromstring

from psij_parsl.platforms.templates.parameters import memory
from psij_parsl.sites.generation.facts import Ask, NodeFacts, QueueFacts, SiteFacts, Suggestion, least

from .records import queues, read_queue

if TYPE_CHECKING:
    from .records import Fields

_GPUS = re.compile(r"(?i)^(n|num_?)?gpus?$|gpu")  # names that sites give to the resource
_COUNTED_BY = {"JOB": "job", "HOST": "node"}  # what a resource is an amount for, where it is not a slot
_ASKED_ONE_BY_ONE = 100  # hosts; of more of them the free GPUs count, as `qhost` shows them
_SHUT = set("dDEsSCu")  # letters of a queue's state on a host in which no job starts there


def site_facts(ask: Ask) -> SiteFacts:
    """Queues with their limits and hosts, and what jobs of several slots and of GPUs must say."""
    hosts = [host for host in fromstring(ask("qhost", "-F", "-q", "-xml")) if host.get("name") != "global"]
    of_queues = queues(ask("qconf", "-sq", "*"))
    config, scheduler = (dict(_pairs(ask("qconf", option, optional=True))) for option in ("-sconf", "-ssconf"))
    gpus = _gpu_resource(hosts)
    numbers = _gpu_numbers(ask, hosts, gpus) if gpus else {}
    rules = {
        name: dict(_pairs(ask("qconf", "-sp", name, optional=True))).get("allocation_rule", "")
        for name in ask("qconf", "-spl", optional=True).split()
    }
    parameters = {"gpu_resource": gpus} if gpus else {}
    complexes = [line.split() for line in ask("qconf", "-sc", optional=True).splitlines()] if gpus else []
    consumable = next((row[5] for row in complexes if len(row) > 5 and row[0] == gpus), "")
    if consumable in _COUNTED_BY:
        parameters["gpus_counted_by"] = _COUNTED_BY[consumable]
    everywhere = set.intersection(*(set(_words(one.get("pe_list", ""))) for one in of_queues)) if of_queues else set()
    if one_node := sorted(name for name, rule in rules.items() if rule == "$pe_slots" and name in everywhere):
        parameters["node_pe"] = one_node[0]
    return SiteFacts(
        nodes=[_node(host, numbers.get(host.get("name", ""), 0)) for host in hosts],
        queues=[_queue(one, hosts, config, scheduler) for one in of_queues],
        parameters=parameters,
        suggestions=tuple(_parallel(rules)),
    )


def _parallel(rules: Mapping[str, str]) -> Iterator[Suggestion]:
    """The parallel environment of jobs on several nodes is a person's choice: its rule gives a job its nodes."""
    several = {name: rule for name, rule in rules.items() if rule != "$pe_slots"}
    for name in sorted(several, key=lambda one: ("$" in several[one], several[one] != "$round_robin", one))[:1]:
        every = ", ".join(f"{one} {rule}" for one, rule in several.items())
        yield Suggestion("parameters.pe", name, f"for jobs on several nodes, by its rule: {every}")


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split(None, 1)
        if len(words) == 2:
            yield words[0], words[1].strip()


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text.partition("[")[0]) if word not in ("", "NONE")]


# ---- hosts ---------------------------------------------------------------------------------------------------


def _value(host: Element, name: str) -> str:
    return next((one.text or "" for one in host.findall("hostvalue") if one.get("name") == name), "")


def _whole(text: str) -> int:
    match = re.match(r"\d+", text.strip())
    return int(match[0]) if match else 0


def _node(host: Element, gpus: int) -> NodeFacts:
    """A host; where its queues give more slots than it has CPUs, a job can have so many."""
    cpus, cores, threads = (_whole(_value(host, name)) for name in ("num_proc", "m_core", "m_thread"))
    slots = max((_whole(one.text or "") for one in host.iter("queuevalue") if one.get("name") == "slots"), default=0)
    size = _value(host, "mem_total")
    several = cores and threads > cores and threads % cores == 0 and cpus == threads >= slots
    return NodeFacts(
        name=host.get("name", ""),
        cpus=max(cpus, slots) or None,
        threads_per_core=threads // cores if several else 1,
        memory=memory(size) if re.match(r"[\d.]*[1-9]", size) else None,
        gpus=gpus,
    )


def _gpu_resource(hosts: Sequence[Element]) -> str:
    """The resource that stands for GPUs: an amount of hosts, which jobs consume."""
    names = {
        one.get("name", "")
        for host in hosts
        for one in host.findall("resourcevalue")
        if one.get("dominance", "").startswith("hc")
    }
    return min((name for name in names if _GPUS.search(name)), key=lambda name: (len(name), name), default="")


def _gpu_numbers(ask: Ask, hosts: Sequence[Element], resource: str) -> dict[str, int]:
    """How many GPUs each host has, where `qhost` shows those that no job has taken."""
    numbers: dict[str, int] = {}
    for host in hosts:
        free = [one.text or "" for one in host.findall("resourcevalue") if one.get("name") == resource]
        if not free:
            continue
        name = host.get("name", "")
        said = ""
        if len(numbers) < _ASKED_ONE_BY_ONE:
            values = dict(_pairs(ask("qconf", "-se", name, optional=True))).get("complex_values", "")
            said = next(iter(re.findall(rf"(?:^|,)\s*{re.escape(resource)}=(\d+)", values)), "")
        numbers[name] = _whole(said or free[0])
    return numbers


# ---- queues --------------------------------------------------------------------------------------------------


def _queue(
    data: Fields, hosts: Sequence[Element], config: Mapping[str, str], scheduler: Mapping[str, str]
) -> QueueFacts:
    limits = read_queue(data)
    soft = read_queue({**data, "h_rt": data.get("s_rt", "")}).minutes
    states = {
        host.get("name", ""): "".join(
            one.text or "" for one in host.iter("queuevalue") if one.get("qname") == limits.name and _is_state(one)
        )
        for host in hosts
        if any(queue.get("name") == limits.name for queue in host.findall("queue"))
    }
    return QueueFacts(
        name=limits.name,
        open=limits.up and (not states or any(not _SHUT & set(state) for state in states.values())),
        nodes=frozenset(states),
        max_nodes=len(states) or None,
        max_time_min=least(limits.minutes, soft),
        array_max=_whole(config.get("max_aj_tasks", "")) or None,
        running=_whole(scheduler.get("maxujobs", "")) or None,
        queued=_whole(config.get("max_u_jobs", "")) or None,
        remarks=tuple(_rules(data)),
    )


def _is_state(value: Element) -> bool:
    return value.get("name") == "state_string"


def _rules(data: Fields) -> Iterator[str]:
    for key, what in (("user_lists", "user lists"), ("projects", "projects"), ("xprojects", "projects but")):
        if names := _words(data.get(key, "")):
            yield f"only for {what} {', '.join(names)}"
    if names := _words(data.get("pe_list", "")):
        yield f"parallel environments: {', '.join(names)}"
    elif "pe_list" in data:
        yield "it has no parallel environment: jobs of one slot alone"
    if "," in data.get("h_rt", ""):
        yield f"its longest wall time differs between hosts: {data['h_rt'].strip()}"
