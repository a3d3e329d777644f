"""What LSF says of its hosts and queues. https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=reference-command"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from psij_parsl.platforms.templates.parameters import memory
from psij_parsl.sites.generation.facts import Ask, NodeFacts, QueueFacts, SiteFacts, least

from .records import queues, read_queue

_TASKS = re.compile(r"^(.*)\b(?:TASKLIMIT|PROCLIMIT)\b.*\n(.*)$", re.MULTILINE)


def site_facts(ask: Ask) -> SiteFacts:
    """Queues with their hosts, of groups too; hosts that run jobs, with the GPUs that LSF manages."""
    about = ask("lsid", optional=True)
    servers = {row["HOST_NAME"]: row for row in _table(ask("lshosts", "-w")) if row.get("server") == "Yes"}
    batch = {row["HOST_NAME"] for row in _table(ask("bhosts", "-w"))} & servers.keys()
    gpus = _gpus(ask("bhosts", "-w", "-gpu", optional=True))
    groups = dict(_groups(ask("bmgroup", "-w", "-r", optional=True)))
    hosts = batch or set(servers)
    cluster = re.search(r"^My cluster name is (\S+)", about, re.MULTILINE)
    version = re.search(r"^.*?\bLSF\b.*?(\d+\.\d[\d.]*)", about)
    return SiteFacts(
        cluster=cluster[1] if cluster else "",
        version=version[1] if version else "",
        nodes=[_node(name, row, gpus.get(name, [])) for name, row in servers.items() if name in hosts],
        queues=[_queue(block, hosts, groups) for block in queues(ask("bqueues", "-l"))],
    )


def _table(text: str) -> Iterator[dict[str, str]]:
    """The rows below a line of titles; the last column may have blanks."""
    lines = [line for line in text.splitlines() if line.strip()]
    titles = lines[0].split() if lines else []
    for line in lines[1:]:
        cells = line.split(None, len(titles) - 1)
        if len(cells) >= min(2, len(titles)):
            yield dict(zip(titles, cells, strict=False))


def _gpus(text: str) -> dict[str, list[str]]:
    """The models of each host's GPUs: a host's name stands in the row of its first one."""
    found: dict[str, list[str]] = {}
    host = ""
    for line in text.splitlines()[1:]:
        cells = line.split()
        if not cells or cells[0].startswith("-"):
            continue
        if not line[0].isspace():
            host, cells = cells[0], cells[1:]
        if len(cells) > 1 and cells[0].isdigit():
            found.setdefault(host, []).append(cells[1])
    return found


def _groups(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.splitlines()[1:]:
        name, *hosts = line.split() or [""]
        if name:
            yield name.rstrip("/"), hosts


def _node(name: str, row: Mapping[str, str], gpus: list[str]) -> NodeFacts:
    cpus, size = row.get("ncpus", ""), row.get("maxmem", "")
    resources = row.get("RESOURCES", "").strip("()").split()
    return NodeFacts(
        name=name,
        cpus=int(cpus) if cpus.isdigit() and int(cpus) else None,
        memory=memory(size) if re.match(r"[\d.]*[1-9]", size) else None,
        gpus=len(gpus),
        gpu_model=gpus[0] if gpus and len(set(gpus)) == 1 else "",
        features=frozenset(resources),
    )


def _queue(block: str, hosts: set[str], groups: Mapping[str, list[str]]) -> QueueFacts:
    said = read_queue(block)
    listed = re.search(r"^HOSTS:\s*(.*(?:\n {2,}\S.*)*)", block, re.MULTILINE)
    own = _members(listed[1].split() if listed else [], hosts, groups)
    users = re.search(r"^USERS:\s*(.*)$", block, re.MULTILINE)
    remarks = [] if users is None or users[1].split() == ["all"] else [f"only for users {users[1].strip()}"]
    return QueueFacts(
        name=said.name,
        default=said.default,
        open=said.up or "Open:Inact" in block,  # a queue that waits for its hours takes jobs
        strict=True,
        nodes=frozenset(own),
        max_nodes=len(own) or None,
        max_time_min=said.minutes,
        max_cores=least(_tasks(block), *_slots_at_a_time(block)),
        remarks=tuple(remarks),
    )


def _members(words: list[str], hosts: set[str], groups: Mapping[str, list[str]]) -> set[str]:
    """The hosts of a queue: `all`, names and groups, with `+2` for a preference; `~` takes one away."""
    found: set[str] = set()
    without: set[str] = set()
    for word in words or ["all"]:
        name = re.sub(r"\+\d*$", "", word.lstrip("~")).rstrip("/")
        members = hosts if name in ("all", "others") else set(groups.get(name, [name]))
        if "all" in members:
            members = hosts
        (without if word.startswith("~") else found).update(members)
    return (found or (hosts if without else set())) & hosts - without


def _slots_at_a_time(block: str) -> Iterator[int]:
    """The slots that all jobs of the queue, and those of a user, may have: MAX and JL/U; none where there is a dash."""
    table = re.search(r"^PRIO NICE STATUS +MAX JL/U .*\n *\S+ +\S+ +\S+ +(\S+) +(\S+)", block, re.MULTILINE)
    yield from (int(number) for number in (table.groups() if table else ()) if number.isdigit() and int(number))


def _tasks(block: str) -> int | None:
    """The greatest number of slots of a job, the last of one to three numbers below the limit's name."""
    limit = None
    for before, values in _TASKS.findall(block):  # default limits come first, then the maximum
        if numbers := re.match(r" *(\d+(?: +\d+){0,2})", values[max(0, len(before) - 1) :]):
            limit = int(numbers[1].split()[-1])
    return limit
