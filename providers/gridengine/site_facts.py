"""What Grid Engine says of its hosts and queues. https://gridscheduler.sourceforge.net/htmlman/htmlman1/qconf.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, fromstring

from psij_parsl.platforms.templates.parameters import memory
from psij_parsl.sites.generation.facts import Ask, NodeFacts, QueueFacts, SiteFacts, Suggestion, least

from .environments import Environment, choices, environment, named, of_one_node, of_several_nodes
from .quotas import Rule, most, quota_sets
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
    environments = {
        name: environment(name, dict(_pairs(ask("qconf", "-sp", name, optional=True))))
        for name in ask("qconf", "-spl", optional=True).split()
    }
    parameters: dict[str, Any] = {"gpu_resource": gpus} if gpus else {}
    complexes = [line.split() for line in ask("qconf", "-sc", optional=True).splitlines()] if gpus else []
    consumable = next((row[5] for row in complexes if len(row) > 5 and row[0] == gpus), "")
    if consumable in _COUNTED_BY:
        parameters["gpus_counted_by"] = _COUNTED_BY[consumable]
    if one_node := of_one_node(environments, [one.get("pe_list", "") for one in of_queues]):
        parameters["node_pe"] = one_node
    quotas = quota_sets(ask("qconf", "-srqs", optional=True))
    found = [
        _parallel(_bounded(_queue(one, hosts, config, scheduler), quotas, gpus), one, hosts, environments)
        for one in of_queues
    ]
    if found and all(queue.parameters == found[0].parameters for queue in found):  # also for jobs that name no queue
        parameters |= found[0].parameters
        found = [replace(queue, parameters={}) for queue in found]
    return SiteFacts(
        nodes=[_node(host, numbers.get(host.get("name", ""), 0)) for host in hosts],
        queues=found,
        parameters=parameters,
    )


def _bounded(queue: QueueFacts, quotas: Sequence[Sequence[Rule]], gpus: str) -> QueueFacts:
    """A queue within what a user or all of them may have at a time: no job can be larger."""
    cores = most(quotas, queue.name, "slots")
    remarks = (*queue.remarks, "a resource quota set gives its jobs no slots") if cores == 0 else queue.remarks
    return replace(
        queue,
        open=queue.open and cores != 0,
        max_cores=least(queue.max_cores, cores or None),
        max_gpus=least(queue.max_gpus, most(quotas, queue.name, gpus) if gpus else None),
        remarks=remarks,
    )


def _parallel(
    queue: QueueFacts, data: Fields, hosts: Sequence[Element], environments: Mapping[str, Environment]
) -> QueueFacts:
    """A queue with its parallel environment for jobs on several nodes, where there is no choice; else with the choices."""
    several = of_several_nodes(environments, data.get("pe_list", ""))
    if not several or (queue.max_nodes or 0) < 2:
        return queue
    slots = [
        _whole(one.text or "")
        for host in hosts
        for one in host.iter("queuevalue")
        if (one.get("qname"), one.get("name")) == (queue.name, "slots")
    ]
    only = several[0]
    each = only.slots_per_node(slots)
    if len(several) > 1 or not only.fits or each is None or "[" in data.get("pe_list", ""):
        every = f"for jobs on several nodes, by its rule: {', '.join(choices(several))}"
        return replace(queue, suggestions=(*queue.suggestions, Suggestion("parameters.pe", only.name, every)))
    at_most = [total // each for total in (only.slots, queue.max_cores) if total is not None]
    remarks = [f"the one for several nodes: {only.name}, by its rule {only.rule} with {each} slots on each"]
    if only.fills:
        remarks.append(
            "where other jobs have a part of a node, it gives more nodes than were asked for, and the job ends at once"
        )
    return replace(
        queue,
        max_nodes=max(1, min(sum(number >= each for number in slots), *at_most)),
        parameters={"pe": only.name, "pe_slots_per_node": each},
        remarks=(*queue.remarks, *remarks),
    )


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split(None, 1)
        if len(words) == 2:
            yield words[0], words[1].strip()


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
        if names := named(data.get(key, "")):
            yield f"only for {what} {', '.join(names)}"
    if names := named(data.get("pe_list", "")):
        yield f"parallel environments: {', '.join(names)}"
    elif "pe_list" in data:
        yield "it has no parallel environment: jobs of one slot alone"
    if "," in data.get("h_rt", ""):
        yield f"its longest wall time differs between hosts: {data['h_rt'].strip()}"
