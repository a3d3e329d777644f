"""The text of a site file, with comments on what a person should fill in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...resources.hostlist import compress
from ..settings import AUTO
from .facts import QueueFacts, SiteFacts, Suggestion, TierFacts
from .node_grouping import TypeFacts

_SHOWN = 60  # characters of a list of nodes
_NAME = re.compile(r"[A-Za-z0-9._+:=@%/][A-Za-z0-9._+:=@%/-]*")  # a queue that a job can name
_NAMED_FOR = (  # what queues are commonly for that have such words in their names, and what is then to be said of them
    (
        "for tests",
        "auto = false",
        "debug(ging)?|dbg|q?dev|devel|develop|development|test|tests|testing|testq|trial|sandbox|interactive|inter|express|quick",
    ),
    (
        "for jobs that may be preempted",
        "preemptable = true",
        "preempt|preempted|preemptable|preemptible|scaven(ge|ger)|standby|spot|opportunistic|backfill|idle|besteffort|requeue|killable",
    ),
    (
        "by request",
        "auto = false",
        "reserved|reservation|request|special|bench|benchmark|maintenance|maint|admin|priority|urgent|training|course|workshop",
    ),
    (
        "not for computing",
        "auto = false",
        "transfer|xfer|dtn|datamover|copy|archive|vis|viz|visu|visualization|jupyter|desktop|login",
    ),
)
_SOURCE = "manager"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What stands above the nodes and queues. `name` is '' where it is the file's; `rule` is the detection rule."""

    name: str
    platform: str
    product: str
    launcher: str
    rule: Mapping[str, str]
    day: str


def site_text(heading: Heading, facts: SiteFacts, types: Sequence[TypeFacts]) -> str:
    """The whole file."""
    parts = [_head(heading, facts)]
    if types:
        parts.append(list(_of_nodes(types)))
    parts += [_node_type(one, facts.feature_parameter, alone=len(types) == 1) for one in types]
    queues, unnamed = _named(facts.queues)
    if queues:
        parts.append(_OF_QUEUES)
    parts += [_queue(_possible(queue), types) for queue in queues]
    if unnamed:
        parts.append([f"# Not written, for no job can name it: the queue {name!r}" for name in unnamed])
    return "\n".join("".join(f"{line}\n" for line in part) for part in parts)


def _of_nodes(types: Sequence[TypeFacts]) -> Iterator[str]:
    yield "# What the manager does not tell of its nodes; add it where it holds:"
    yield '#   description = "what they are, in one line"'
    yield '#   blocked = "0"  # CPU ids that no job may use'
    if any(one.gpus and not one.gpu_cpus for one in types):
        yield '#   gpus = { kind = "nvidia", ids = 2, cpus = ["0-7", "8-15"] }  # for each GPU the CPU ids next to it, which'
        yield "#                              # `psij-run site generate` finds on a node that has such"


#: By this editors find the schema: https://taplo.tamasfe.dev/configuration/directives.html
SCHEMA_LINE = "#:schema https://raw.githubusercontent.com/psij-parsl/psij-parsl/main/psij_parsl/sites/schema.json"
_OF_QUEUES = [
    "# Decide on `auto` and `charge` of each queue before others use this file. Of the queues that fit a job, `-q auto` takes",
    "# the one with the least charge, and then the one with the shortest time that suffices: without these two it may well be",
    "# the queue for tests. It never takes one that is preemptable or has `auto = false`.",
    "#   auto = false               # for tests, by request, for other purposes",
    "#   charge = 1.0               # of a node-hour, in the machine's units; only the ratios count",
    "# Add also, where it holds, what the manager does not tell:",
    '#   description = "what it is for, in one line"',
    '#   preemptable = true         # jobs may be preempted without a warning, or preempt_grace = "5m": they have so long',
    '#   account = "{project}-gpu"  # what is charged for a project, if it is not the project itself',
]


def _head(heading: Heading, facts: SiteFacts) -> list[str]:
    version = f" {_comment(facts.version)}" if facts.version else ""
    lines = [
        SCHEMA_LINE,
        f"# From what {heading.product}{version} said of itself on {heading.day} (psij-run site generate). Lines such as",
        '# "# KEY = VALUE" are for a person to fill in, or to leave out. `psij-run site check FILE` checks it.',
    ]
    if heading.name:
        lines.append(_line("name", heading.name))
    lines += [
        '# description = "the machine in one line"',
        '# url = "https://where.its.documentation.is"',
        '# contact = "whom its users ask"',
        f'# verified = "{heading.day}"  # the day on which you held it against the documentation',
        _line("platform", heading.platform),
        f"# {_line('launcher', heading.launcher)}  # how parallel jobs are started; this is the default",
        *(f"# {_comment(text)}" for text in facts.remarks),
    ]
    if facts.required:
        lines.append(_line("required", list(facts.required)))
    elif not any(suggestion.key == "required" for suggestion in facts.suggestions):
        lines.append('# required = ["project", "wall_time_min"]  # what users must say')
    lines += [f"parameters.{_line(name, value)}" for name, value in facts.parameters.items()]
    if facts.environment:
        lines.append(_line("environment", facts.environment))
    lines += map(_suggested, facts.suggestions)
    lines.append('# spool = "$SCRATCH/.psij"  # where jobs\' folders go, if the nodes do not have $HOME')
    rule = f"detect = [{_value(heading.rule)}]"
    lines.append(
        f"{rule}  # this host: widen it to the other login nodes, and to nothing else"
        if "hostname" in heading.rule
        else rule
    )
    told = f"what {heading.product}{version} says of itself, {heading.day}"
    return [*lines, "", "[sources]", _line(_SOURCE, told)]


def _node_type(one: TypeFacts, feature_parameter: str, *, alone: bool) -> list[str]:
    lines = [
        f"[nodes.{_key(one.name)}]",
        _line("source", _SOURCE),
        _line("count", len(one.nodes)) + f"  # {_few(one.nodes)}",
    ]
    if one.cpus is not None:
        lines.append(_line("cpus", one.cpus) + "  # hardware threads")
    if one.threads_per_core > 1:
        lines.append(_line("threads_per_core", one.threads_per_core))
    if one.memory is not None:
        lines.append(_line("memory", one.memory) + f"  # MB: {_gb(one.memory)} GB")
    lines += _gpus(one)
    if one.own_features and not alone:
        own = sorted(one.own_features)
        lines.append(f"# features that these nodes alone have: {_comment(', '.join(own))}")
        if feature_parameter:
            reason = "a job that asks for this type then comes to no other"
            lines.append(_suggested(Suggestion(f"parameters.{feature_parameter}", own[0], reason)))
    elif one.features:
        lines.append(f"# features: {_comment(', '.join(sorted(one.features)))}")
    return lines


def _gb(memory: int) -> str:
    """MB in GB, never more than there are: 16000 are 15.6, and 32768 are 32."""
    return f"{memory * 10 // 1024 / 10:g}"


def _gpus(one: TypeFacts) -> Iterator[str]:
    if not one.gpus:
        return
    model = f"  # {_comment(one.gpu_model)}" if one.gpu_model else ""
    table: dict[str, Any] = {"kind": one.gpu_kind} if one.gpu_kind else {}
    table["ids"] = list(one.gpu_ids) or one.gpus
    if one.gpu_cpus:
        table["cpus"] = list(one.gpu_cpus)
        model = f"{model or '  #'} (cpus: next to each GPU, as the topology of this host has it)"
    yield _line("gpus", table if len(table) > 1 else table["ids"]) + model


def _possible(queue: QueueFacts) -> QueueFacts:
    """A queue without a least that is above the most: no job can be in it, which is said of it."""
    for least, most in (("min_nodes", "max_nodes"), ("min_time_min", "max_time_min")):
        low, high = getattr(queue, least), getattr(queue, most)
        if low is not None and high is not None and low > high:
            text = f"no job fits: {least} is {low}, and {most} {high}"
            changes: dict[str, Any] = {least: None, "open": False, "remarks": (*queue.remarks, text)}
            queue = replace(queue, **changes)
    return queue


def _queue(queue: QueueFacts, types: Sequence[TypeFacts]) -> list[str]:
    lines = [f"[queues.{_key(queue.name)}]", _line("source", _SOURCE)]
    lines += [f"# {_comment(text)}" for text in queue.remarks]
    nodes = queue.nodes
    own = [(sum(name in nodes for name in one.nodes) if nodes is not None else len(one.nodes), one) for one in types]
    own = sorted((pair for pair in own if pair[0]), key=lambda pair: -pair[0])
    if own and len(types) > 1:
        names = [one.name for _, one in own]
        several = f"  # {', '.join(f'{number} {one.name}' for number, one in own)}" if len(names) > 1 else ""
        lines.append(_line("node", names if len(names) > 1 else names[0]) + several)
        lines += _not_told_apart([one for _, one in own])
    if nodes is not None and types and not own:
        lines.append("# it has none of the nodes")
    if not queue.open:
        lines.append("# closed, or stopped, when this was written")
    switches = {"default": queue.default, "strict": queue.strict, "whole_nodes": queue.whole_nodes}
    lines += [_line(key, True) for key, holds in switches.items() if holds]
    if not queue.auto or not queue.open or (nodes is not None and types and not own):
        lines.append(_line("auto", False))
    elif queue.preempt_grace_s is None:
        lines += _by_name(queue)
    lines += _limits(queue)
    if queue.required:
        lines.append(_line("required", list(queue.required)))
    if queue.max_gpus == 0:
        lines.append(_line("forbidden", ["gpus_per_rank"]) + "  # jobs have no GPUs here")
    if queue.parameters:
        lines.append(_line("parameters", queue.parameters))
    return [*lines, *map(_suggested, queue.suggestions)]


def _by_name(queue: QueueFacts) -> Iterator[str]:
    """What a person should decide on, for a queue that has the name of a special one."""
    for what, setting, words in _NAMED_FOR:
        if re.search(rf"(?i)(^|[^a-z])({words})([^a-z]|$)", queue.name):
            yield f"# {setting}  # its name is that of a queue {what}: decide whether it is one"


def _not_told_apart(types: Sequence[TypeFacts]) -> Iterator[str]:
    """Remarks on the node types of a queue that only a feature tells apart, if there are any."""
    plain, others = ([one.name for one in types if bool(one.gpus) == with_gpus] for with_gpus in (False, True))
    if plain and others:
        yield f"# A job without GPUs may also come to {' and '.join(others)} nodes, and goes by what {' and '.join(plain)} nodes have,"
        yield f"# unless the `parameters` of {' and '.join(plain)} select a feature of their nodes."
    for alike in ([one for one in types if bool(one.gpus) == with_gpus] for with_gpus in (True, False)):
        if len(alike) < 2:
            continue
        names = " and ".join(one.name for one in alike)
        yield f"# Nothing in a job's request tells {names} apart: a job that asks for one may come"
        if all(one.own_features for one in alike):
            yield "# to another. Let the `parameters` of each select a feature that its nodes alone have: see above."
        else:
            yield "# to another. Have the nodes of each given a feature, which the `parameters` of its type then select, or a queue;"
            yield "# until then write one type for all of them, with the least of what they have."


def _limits(queue: QueueFacts) -> Iterator[str]:
    plain = {
        "min_nodes": queue.min_nodes if (queue.min_nodes or 0) > 1 else None,
        "max_nodes": queue.max_nodes,
        "max_time": _time(queue.max_time_min),
    }
    limits: Mapping[str, Any] = {
        "min_time": _time(queue.min_time_min),
        **({} if queue.tiers else plain),
        "tiers": [_tier(tier) for tier in queue.tiers],
        "max_cores": queue.max_cores,
        "max_gpus": queue.max_gpus,
        "max_memory": queue.max_memory,
        "array_max": queue.array_max,
        "array_max_index": queue.array_max_index,
        "jobs": _cap(queue.running, queue.queued),
        "project_jobs": _cap(queue.project_running, queue.project_queued),
        "preemptable": queue.preempt_grace_s == 0,
        "preempt_grace": f"{queue.preempt_grace_s}s" if queue.preempt_grace_s else None,
    }
    for key, value in limits.items():
        if value:
            yield _line(key, value)


def _cap(running: int | None, queued: int | None) -> dict[str, int]:
    return {key: value for key, value in (("running", running), ("queued", queued)) if value}


def _tier(tier: TierFacts) -> dict[str, Any]:
    values = {
        "min_nodes": tier.min_nodes,
        "max_nodes": tier.max_nodes,
        "max_time": _time(tier.max_time_min),
        "leads_to": tier.leads_to,
    }
    return {key: value for key, value in values.items() if value}


def _time(minutes: int | None) -> str | None:
    """A wall time as it is typed: 30m, 24h, 1h30m."""
    if minutes is None:
        return None
    hours, rest = divmod(max(1, minutes), 60)
    return "".join(f"{number}{unit}" for number, unit in ((hours, "h"), (rest, "m")) if number)


def _named(queues: Sequence[QueueFacts]) -> tuple[list[QueueFacts], list[str]]:
    """The queues that a job can name, and the names of the others."""
    good = [queue for queue in queues if _NAME.fullmatch(queue.name) and queue.name != AUTO]
    return good, [queue.name for queue in queues if queue not in good]


def _few(names: Sequence[str]) -> str:
    text = compress(sorted(names))
    return _comment(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _suggested(suggestion: Suggestion) -> str:
    """As a comment; a key with dots is one of an inner table."""
    key = ".".join(map(_key, suggestion.key.split(".")))
    return f"# {key} = {_value(suggestion.value)}  # {_comment(suggestion.reason)}"


def _line(key: str, value: Any) -> str:
    return f"{_key(key)} = {_value(value)}"


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _text(text)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(_line(key, inner) for key, inner in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value) if isinstance(value, str) else str(value)


def _text(text: str) -> str:
    """A string of TOML: with a backslash in plain quotes, if it can be."""
    text = _readable(text)
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """A text on one line, without characters that TOML does not allow in comments."""
    return "".join(char if char.isprintable() else " " for char in _readable(text))


def _readable(text: str) -> str:
    """A command's output may hold bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
