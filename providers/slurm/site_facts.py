"""What Slurm says of its nodes, partitions and QOS. https://slurm.schedmd.com/scontrol.html, sacctmgr.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psij_parsl.platforms.tools import user_name
from psij_parsl.sites.generation.facts import Ask, NodeFacts, QueueFacts, SiteFacts, Suggestion, least

from .records import fields, minutes

#: Resources of a job, and of all jobs that a user, an account or anybody has running: none of them can be larger.
_MOST = ("maxtres", "maxtrespu", "maxtrespa", "grptres")
_JOBS = ("maxjobspu", "maxsubmitpu", "maxjobspa", "maxsubmitpa")
_QOS_FIELDS = ("name", "maxwall", *_MOST, "mintres", *_JOBS, "gracetime", "preempt", "flags")
_USUAL_QOS = "normal"  # the one that Slurm makes by itself
_NAMED = 12  # accounts, QOS or groups that a remark lists


@dataclass(frozen=True)
class _Limits:
    """Of a QOS, or of none."""

    name: str = ""
    minutes: int | None = None
    nodes: int | None = None
    cores: int | None = None
    gpus: int | None = None
    min_nodes: int | None = None
    running: int | None = None
    queued: int | None = None
    project_running: int | None = None
    project_queued: int | None = None
    grace_s: int = 0
    preempts: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()


def site_facts(ask: Ask) -> SiteFacts:
    """Partitions, and QOS that users may choose, as queues; nodes with their features."""
    config = dict(_settings(ask("scontrol", "show", "config")))
    node_lines = [fields(line) for line in ask("scontrol", "-o", "show", "node").splitlines() if "NodeName=" in line]
    partition_text = ask("scontrol", "-o", "show", "partition")
    partitions = [fields(line) for line in partition_text.splitlines() if "PartitionName=" in line]
    accounted = "slurmdbd" in config.get("AccountingStorageType", "")
    qos = _all_qos(ask) if accounted else {}
    enforced = config.get("AccountingStorageEnforce", "").lower()
    read = _Reader(config, partitions, node_lines, qos)
    of_partitions = [read.partition(one) for one in partitions if one.get("RootOnly") != "YES"]
    of_qos = list(read.qos_queues(_users_qos(ask) if accounted else None)) if "qos" in enforced or qos else []
    suggestions = []
    if re.search(r"associations|limits|safe|qos", enforced):
        suggestions.append(
            Suggestion("required", ["project"], f"AccountingStorageEnforce={enforced}: unless users' default will do")
        )
    return SiteFacts(
        cluster=config.get("ClusterName", ""),
        version=config.get("SLURM_VERSION", ""),
        nodes=[_node(line) for line in node_lines],
        feature_parameter="constraint",
        queues=[*of_partitions, *of_qos],
        suggestions=tuple(suggestions),
        remarks=tuple(_remarks(partitions)),
    )


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, mark, value = line.partition("=")
        if mark:
            yield key.strip(), "" if value.strip() in ("(null)", "N/A") else value.strip()


def _remarks(partitions: Sequence[Mapping[str, str]]) -> Iterator[str]:
    if names := [one["PartitionName"] for one in partitions if one.get("RootOnly") == "YES"]:
        yield f"left out, for only root submits there: {', '.join(names)}"


# ---- nodes ---------------------------------------------------------------------------------------------------


def _node(line: Mapping[str, str]) -> NodeFacts:
    """Where CPUs are cores, as the administrator can choose, a node has more hardware threads than CPUs."""
    sockets, cores, threads = (_number(line.get(key)) or 1 for key in ("Sockets", "CoresPerSocket", "ThreadsPerCore"))
    total, product = _number(line.get("CPUTot")), sockets * cores * threads
    whole = total is None or (product >= total and product % threads == 0)
    gpus, model = read_gres(line.get("Gres", ""))
    memory = _number(line.get("RealMemory"))
    return NodeFacts(
        name=line["NodeName"],
        cpus=product if whole else total,
        threads_per_core=threads if whole else 1,
        memory=left
        if memory is not None and (left := memory - (_number(line.get("MemSpecLimit")) or 0)) > 1
        else None,
        gpus=gpus,
        gpu_model=model,
        features=frozenset(filter(None, _list(line.get("AvailableFeatures", "")))),
    )


def read_gres(text: str) -> tuple[int, str]:
    """How many GPUs, and their model if it is one: `gpu:a100:4(S:0-3),nvme:1`."""
    number, models = 0, set()
    for match in re.finditer(r"(?:^|,)gpu(?::([^:,()]+))??(?::(\d+))?(?:\([^)]*\))?(?=,|$)", text):
        number += int(match[2] or 1)
        models.add(match[1] or "")
    return number, models.pop() if len(models) == 1 else ""


# ---- queues --------------------------------------------------------------------------------------------------


class _Reader:
    """Makes queues of partitions and QOS."""

    def __init__(
        self,
        config: Mapping[str, str],
        partitions: Sequence[Mapping[str, str]],
        nodes: Sequence[Mapping[str, str]],
        qos: Mapping[str, _Limits],
    ) -> None:
        self._config, self._partitions, self._qos = config, partitions, qos
        self._members: dict[str, set[str]] = {}
        for line in nodes:
            for name in _list(line.get("Partitions", "")):
                self._members.setdefault(name, set()).add(line["NodeName"])
        threads = {max(1, _number(line.get("ThreadsPerCore")) or 1) if _counts_threads(line) else 1 for line in nodes}
        self._threads = min(threads, default=1)
        self._strict = config.get("EnforcePartLimits", "NO") != "NO"
        self._preempted = {name for one in qos.values() for name in one.preempts}

    def partition(self, data: Mapping[str, str]) -> QueueFacts:
        name = data["PartitionName"]
        members = self._members.get(name, set())
        limits = self._qos.get(data.get("QoS", ""), _Limits())
        preempted = self._loses(data)
        grace = _number(data.get("GraceTime")) or 0
        remarks = [
            *_rules(data),
            *(["its jobs may be preempted, without a warning"] if preempted and not grace else []),
        ]
        elements = _number(self._config.get("MaxArraySize"))
        queue = QueueFacts(
            name=name,
            default=data.get("Default") == "YES",
            open=data.get("State") == "UP",
            auto=not (preempted or data.get("ReqResv") == "YES"),
            strict=self._strict,
            whole_nodes=data.get("OverSubscribe") == "EXCLUSIVE" or self._config.get("SelectType") == "select/linear",
            nodes=frozenset(members),
            min_nodes=_number(data.get("MinNodes")),
            max_nodes=least(_number(data.get("MaxNodes")), len(members) or None),
            max_time_min=minutes(data.get("MaxTime", "")),
            max_memory=_number(data.get("MaxMemPerNode")),
            array_max=elements if elements is not None and elements > 0 else None,
            preempt_grace_s=grace if preempted and grace else None,
            remarks=tuple(remarks),
            suggestions=tuple(_suggestions(data)),
        )
        return _within(queue, limits, self._threads) if limits.name else queue

    def qos_queues(self, allowed: frozenset[str] | None) -> Iterator[QueueFacts]:
        """A queue for each QOS that is no partition's own and that can be chosen, in each partition that lists it."""
        own = {one.get("QoS", "") for one in self._partitions} | {_USUAL_QOS}
        usable = [one for one in self._partitions if one.get("RootOnly") != "YES"]
        taken = {one["PartitionName"] for one in usable}
        for name, limits in self._qos.items():
            if name in own or (allowed is not None and name not in allowed):
                continue
            listing = [one for one in usable if name in _list(one.get("AllowQos", ""))]
            anywhere = [one for one in usable if one.get("AllowQos", "ALL") == "ALL" and not _denied(one, name)]
            where = listing or [one for one in anywhere if one.get("Default") == "YES"] or anywhere[:1]
            for data in where:
                queue = self.partition(data)
                title = name if len(where) == 1 and name not in taken else f"{queue.name}-{name}"
                taken.add(title)
                preempted = name in self._preempted
                remarks = [f"the QOS {name} in the partition {queue.name}"]
                if preempted and not limits.grace_s:
                    remarks.append("its jobs may be preempted, without a warning")
                queue = replace(
                    _within(queue, limits, self._threads),
                    name=title,
                    default=False,
                    auto=queue.auto and not preempted,
                    preempt_grace_s=limits.grace_s if preempted and limits.grace_s else queue.preempt_grace_s,
                    parameters={"partition": queue.name, "qos": name},
                    remarks=(*remarks, *queue.remarks),
                )
                yield queue

    def _loses(self, data: Mapping[str, str]) -> bool:
        """Whether jobs of another partition with the same nodes preempt this one's."""
        kind = self._config.get("PreemptType", "")
        if not kind.endswith("partition_prio") or data.get("PreemptMode", "OFF").startswith("OFF"):
            return False
        tier = _number(data.get("PriorityTier")) or 0
        members = self._members.get(data["PartitionName"], set())
        return any(
            (_number(other.get("PriorityTier")) or 0) > tier
            and members & self._members.get(other["PartitionName"], set())
            for other in self._partitions
        )


def _rules(data: Mapping[str, str]) -> Iterator[str]:
    """Who may use a partition, and how."""
    for key, what in (
        ("AllowAccounts", "accounts"),
        ("DenyAccounts", "accounts but"),
        ("AllowGroups", "groups"),
        ("AllowQos", "QOS"),
        ("DenyQos", "QOS but"),
    ):
        names = _list(data.get(key, "ALL"))
        if names and names != ["ALL"] and names != ["NONE"]:
            more = ", ..." if len(names) > _NAMED else ""
            yield f"only for {what} {', '.join(names[:_NAMED])}{more}"
    if data.get("ReqResv") == "YES":
        yield "only with a reservation"


def _suggestions(data: Mapping[str, str]) -> Iterator[Suggestion]:
    accounts = _list(data.get("AllowAccounts", "ALL"))
    if accounts and accounts != ["ALL"] and len(accounts) <= _NAMED:
        yield Suggestion("choices", {"project": accounts}, "who says another project is then told so")
    if data.get("ReqResv") == "YES":
        yield Suggestion("required", ["reservation"], "its jobs must name one")


def _denied(data: Mapping[str, str], qos: str) -> bool:
    return qos in _list(data.get("DenyQos", ""))


def _counts_threads(line: Mapping[str, str]) -> bool:
    """Whether a node's CPUs are hardware threads, and not cores."""
    sockets, cores, threads = (_number(line.get(key)) or 1 for key in ("Sockets", "CoresPerSocket", "ThreadsPerCore"))
    return _number(line.get("CPUTot")) == sockets * cores * threads


def _within(queue: QueueFacts, limits: _Limits, threads: int) -> QueueFacts:
    """A partition's queue with the limits of a QOS besides; some flags put these in the place of the partition's.

    `threads` are the CPUs of a core: a QOS counts CPUs.
    """
    replaces_time = "PartitionTimeLimit" in limits.flags and limits.minutes is not None
    replaces_nodes = "PartitionMaxNodes" in limits.flags and limits.nodes is not None
    return replace(
        queue,
        max_time_min=limits.minutes if replaces_time else least(queue.max_time_min, limits.minutes),
        max_nodes=limits.nodes if replaces_nodes else least(queue.max_nodes, limits.nodes),
        min_nodes=max(queue.min_nodes or 1, limits.min_nodes or 1),
        max_cores=least(queue.max_cores, None if limits.cores is None else max(1, limits.cores // threads)),
        max_gpus=least(queue.max_gpus, limits.gpus),
        running=least(queue.running, limits.running),
        queued=least(queue.queued, limits.queued),
        project_running=least(queue.project_running, limits.project_running),
        project_queued=least(queue.project_queued, limits.project_queued),
    )


# ---- accounting ----------------------------------------------------------------------------------------------


def _all_qos(ask: Ask) -> dict[str, _Limits]:
    """The QOS by name; none where accounting does not answer."""
    text = ask("sacctmgr", "-n", "-P", "show", "qos", f"format={','.join(_QOS_FIELDS)}", optional=True)
    rows = [line.split("|") for line in text.splitlines()]
    return {row[0]: _qos(dict(zip(_QOS_FIELDS, row, strict=False))) for row in rows if len(row) >= len(_QOS_FIELDS)}


def _qos(row: Mapping[str, Any]) -> _Limits:
    most, fewest = [_tres(row[name]) for name in _MOST], _tres(row["mintres"])
    nodes, cores, gpus = (least(*(limits.get(name) for limits in most)) for name in ("node", "cpu", "gres/gpu"))
    running, queued, project_running, project_queued = (_number(row[name]) for name in _JOBS)
    grace = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", row["gracetime"])
    days, hours, mins, seconds = (int(part or 0) for part in grace.groups()) if grace else (0, 0, 0, 0)
    return _Limits(
        name=row["name"],
        minutes=minutes(row["maxwall"]),
        nodes=nodes,
        cores=cores,
        gpus=gpus,
        min_nodes=fewest.get("node"),
        running=running,
        queued=queued,
        project_running=project_running,
        project_queued=project_queued,
        grace_s=((days * 24 + hours) * 60 + mins) * 60 + seconds,
        preempts=tuple(_list(row["preempt"])),
        flags=frozenset(_list(row["flags"])),
    )


def _tres(text: str) -> dict[str, int]:
    """`cpu=4,gres/gpu=2,mem=10G`, without what is no plain number."""
    return {key: int(number) for key, number in re.findall(r"(?:^|,)([^=,]+)=(\d+)(?=,|$)", text)}


def _users_qos(ask: Ask) -> frozenset[str] | None:
    """The QOS that this user may choose; None where accounting does not say."""
    text = ask("sacctmgr", "-n", "-P", "show", "assoc", f"user={user_name()}", "format=qos", optional=True)
    names = frozenset(name for line in text.splitlines() for name in _list(line.strip()))
    return names or None


def _list(text: str) -> list[str]:
    return [part for part in text.strip().split(",") if part not in ("", "(null)", "N/A")]


def _number(text: str | None) -> int | None:
    """A number such as `4` or `4000 MB`; None for UNLIMITED and the like."""
    match = re.match(r"\d+\b", text or "")
    return int(match[0]) if match else None
