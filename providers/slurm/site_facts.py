"""What Slurm says of its nodes, partitions and QOS. https://slurm.schedmd.com/scontrol.html, sacctmgr.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from psij_parsl.sites.generation.facts import Ask, NodeFacts, QueueFacts, SiteFacts, Suggestion, least

from .qos_limits import QosLimits, UsersQos, all_qos, in_effect, listed, number, users_qos, within
from .records import fields, minutes

_USUAL_QOS = "normal"  # the one that Slurm makes by itself
_NAMED = 12  # accounts, QOS or groups that a remark lists


def site_facts(ask: Ask) -> SiteFacts:
    """Partitions, and QOS that users may choose, as queues; nodes with their features."""
    config = dict(_settings(ask("scontrol", "show", "config")))
    node_lines = [fields(line) for line in ask("scontrol", "-o", "show", "node").splitlines() if "NodeName=" in line]
    partition_text = ask("scontrol", "-o", "show", "partition")
    partitions = [fields(line) for line in partition_text.splitlines() if "PartitionName=" in line]
    accounted = "slurmdbd" in config.get("AccountingStorageType", "")
    qos = all_qos(ask) if accounted else {}
    enforced = config.get("AccountingStorageEnforce", "").lower()
    if not re.search("limits|safe", enforced):
        qos = {name: one.without_limits() for name, one in qos.items()}
    users = users_qos(ask, config.get("ClusterName", "")) if accounted else UsersQos()
    associated = re.search(r"associations|limits|safe|qos", enforced)
    remarks = list(_remarks(config, partitions, users))
    if users.names is None and accounted:
        remarks.append("sacctmgr does not tell the associations of who ran this: some QOS may not be theirs")
    elif not users.associated and not associated:
        users = UsersQos()
    elif not users.associated:
        remarks.append(
            "who ran this has no association with this cluster (sacctmgr show assoc), and cannot try the file"
        )
    read = _Reader(config, partitions, node_lines, qos, users)
    if names := read.left_out():
        remarks.append(f"left out, for no association of who ran this has them: the QOS {_few(names)}")
    of_partitions = [read.queue(one) for one in partitions if one.get("RootOnly") != "YES"]
    of_qos = list(read.qos_queues())
    project = Suggestion(
        "required", ["project"], f"AccountingStorageEnforce={enforced}: unless users' default will do"
    )
    return SiteFacts(
        cluster=config.get("ClusterName", ""),
        version=config.get("SLURM_VERSION", ""),
        nodes=[_node(line) for line in node_lines],
        feature_parameter="constraint",
        queues=[*of_partitions, *of_qos],
        suggestions=(project,) if associated else (),
        remarks=tuple(remarks),
    )


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, mark, value = line.partition("=")
        if mark:
            yield key.strip(), "" if value.strip() in ("(null)", "N/A") else value.strip()


def _remarks(config: Mapping[str, str], partitions: Sequence[Mapping[str, str]], users: UsersQos) -> Iterator[str]:
    if names := [one["PartitionName"] for one in partitions if one.get("RootOnly") == "YES"]:
        yield f"left out, for only root submits there: {', '.join(names)}"
    if config.get("EnforcePartLimits", "NO") == "NO":
        yield "EnforcePartLimits=NO: Slurm takes a job beyond its partition's limits, and lets it wait for ever (reason"
        yield "PartitionTimeLimit or PartitionNodeLimit); so the queues are strict, and such a job is refused"
    for limits in users.limits[:_NAMED]:
        yield f"not in the queues, for these limits are of who ran this, with the account {limits}"


def _few(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"


# ---- nodes ---------------------------------------------------------------------------------------------------


def _node(line: Mapping[str, str]) -> NodeFacts:
    """Where CPUs are cores, as the administrator can choose, a node has more hardware threads than CPUs."""
    sockets, cores, threads = (number(line.get(key)) or 1 for key in ("Sockets", "CoresPerSocket", "ThreadsPerCore"))
    total, product = number(line.get("CPUTot")), sockets * cores * threads
    whole = total is None or (product >= total and product % threads == 0)
    gpus, model = read_gres(line.get("Gres", ""))
    memory = number(line.get("RealMemory"))
    return NodeFacts(
        name=line["NodeName"],
        cpus=product if whole else total,
        threads_per_core=threads if whole else 1,
        memory=left
        if memory is not None and (left := memory - (number(line.get("MemSpecLimit")) or 0)) > 1
        else None,
        gpus=gpus,
        gpu_model=model,
        features=frozenset(filter(None, listed(line.get("AvailableFeatures", "")))),
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
        qos: Mapping[str, QosLimits],
        users: UsersQos,
    ) -> None:
        self._config, self._partitions, self._qos, self._users = config, partitions, qos, users
        self._own = {one.get("QoS", "") for one in partitions} | {_USUAL_QOS}  # not for jobs to name
        self._members: dict[str, set[str]] = {}
        for line in nodes:
            for name in listed(line.get("Partitions", "")):
                self._members.setdefault(name, set()).add(line["NodeName"])
        threads = {max(1, number(line.get("ThreadsPerCore")) or 1) if _counts_threads(line) else 1 for line in nodes}
        self._threads = min(threads, default=1)
        preempts = "" if config.get("PreemptMode", "OFF").startswith("OFF") else config.get("PreemptType", "")
        self._preempted = {name for one in qos.values() for name in one.preempts if preempts.endswith("/qos")}

    def queue(self, data: Mapping[str, str]) -> QueueFacts:
        """A partition's, for jobs that name no QOS."""
        queue, own = self._partition(data), self._own_qos(data)
        default = self._qos.get(self._users.default, QosLimits())
        if not _admits(data, default.name):
            default = QosLimits()
        remarks = list(queue.remarks)
        if default.any:
            remarks.append(f"with the limits of the QOS {default.name}, in which jobs are that name no other")
        if default.name in self._preempted:
            preempting = ", ".join(name for name, one in self._qos.items() if default.name in one.preempts)
            remarks.append(f"its jobs may be preempted by those of the QOS {preempting}")
        if beyond := [
            name for name, one in self._qos.items() if one.lifts and self._chosen(name) and _admits(data, name)
        ]:
            remarks.append(f"not strict, for jobs of the QOS {_few(beyond)} may go beyond its limits")
        strict = not beyond and not (default.any and self._users.names != frozenset((default.name,)))
        queue = replace(queue, strict=strict, remarks=tuple(remarks))
        return within(queue, in_effect(own, default), self._threads)

    def left_out(self) -> list[str]:
        """The QOS that partitions take, and whoever asks cannot choose."""
        return [name for name in self._qos if name not in self._own and not self._chosen(name)]

    def _chosen(self, qos: str) -> bool:
        return self._users.names is None or qos in self._users.names

    def _own_qos(self, data: Mapping[str, str]) -> QosLimits:
        return self._qos.get(data.get("QoS", ""), QosLimits())

    def _partition(self, data: Mapping[str, str]) -> QueueFacts:
        name = data["PartitionName"]
        members = self._members.get(name, set())
        preempted = self._loses(data)
        grace = number(data.get("GraceTime")) or 0
        size = number(self._config.get("MaxArraySize"))  # one more than the greatest index
        tasks = re.search(r"\bmax_array_tasks=(\d+)", self._config.get("SchedulerParameters", ""))
        return QueueFacts(
            name=name,
            default=data.get("Default") == "YES",
            open=data.get("State") == "UP",
            auto=data.get("ReqResv") != "YES",
            strict=True,
            whole_nodes=data.get("OverSubscribe") == "EXCLUSIVE" or self._config.get("SelectType") == "select/linear",
            nodes=frozenset(members),
            min_nodes=number(data.get("MinNodes")),
            max_nodes=least(number(data.get("MaxNodes")), len(members) or None),
            max_time_min=minutes(data.get("MaxTime", "")),
            max_memory=number(data.get("MaxMemPerNode")),
            array_max=number(tasks[1]) if tasks else None,
            array_max_index=size - 1 if size is not None and size > 1 else None,
            preempt_grace_s=grace if preempted else None,
            remarks=tuple(_rules(data)),
            suggestions=tuple(_suggestions(data)),
        )

    def qos_queues(self) -> Iterator[QueueFacts]:
        """A queue for each QOS that is no partition's own and that can be chosen, in each partition that lists it."""
        usable = [one for one in self._partitions if one.get("RootOnly") != "YES"]
        taken = {one["PartitionName"] for one in usable}
        for name, limits in self._qos.items():
            if name in self._own or not self._chosen(name):
                continue
            listing = [one for one in usable if name in listed(one.get("AllowQos", ""))]
            anywhere = [one for one in usable if one.get("AllowQos", "ALL") == "ALL" and _admits(one, name)]
            where = listing or [one for one in anywhere if one.get("Default") == "YES"] or anywhere[:1]
            for data in where:
                queue = within(self._partition(data), in_effect(self._own_qos(data), limits), self._threads)
                partition = data["PartitionName"]
                title = name if len(where) == 1 and name not in taken else f"{partition}-{name}"
                taken.add(title)
                yield replace(
                    queue,
                    name=title,
                    default=False,
                    preempt_grace_s=limits.grace_s if name in self._preempted else queue.preempt_grace_s,
                    parameters={"partition": partition, "qos": name},
                    remarks=(f"the QOS {name} in the partition {partition}", *queue.remarks),
                )

    def _loses(self, data: Mapping[str, str]) -> bool:
        """Whether jobs of another partition with the same nodes preempt this one's."""
        kind = self._config.get("PreemptType", "")
        if not kind.endswith("partition_prio") or data.get("PreemptMode", "OFF").startswith("OFF"):
            return False
        tier = number(data.get("PriorityTier")) or 0
        members = self._members.get(data["PartitionName"], set())
        return any(
            (number(other.get("PriorityTier")) or 0) > tier
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
        names = listed(data.get(key, "ALL"))
        if names and names != ["ALL"] and names != ["NONE"]:
            yield f"only for {what} {_few(names)}"
    if data.get("ReqResv") == "YES":
        yield "only with a reservation"


def _suggestions(data: Mapping[str, str]) -> Iterator[Suggestion]:
    accounts = listed(data.get("AllowAccounts", "ALL"))
    if accounts and accounts != ["ALL"] and len(accounts) <= _NAMED:
        yield Suggestion("choices", {"project": accounts}, "who says another project is then told so")
    if data.get("ReqResv") == "YES":
        yield Suggestion("required", ["reservation"], "its jobs must name one")


def _admits(data: Mapping[str, str], qos: str) -> bool:
    """Whether a partition takes jobs of a QOS."""
    allowed = listed(data.get("AllowQos", "ALL"))
    return (allowed in ([], ["ALL"]) or qos in allowed) and qos not in listed(data.get("DenyQos", ""))


def _counts_threads(line: Mapping[str, str]) -> bool:
    """Whether a node's CPUs are hardware threads, and not cores."""
    sockets, cores, threads = (number(line.get(key)) or 1 for key in ("Sockets", "CoresPerSocket", "ThreadsPerCore"))
    return number(line.get("CPUTot")) == sockets * cores * threads
