"""The options of `bsub`, as `#BSUB` lines have them. https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=bsub-options

Where the documentation leaves open how a line is split, the source of OpenLava, a free LSF 4, was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from psij_parsl.platforms.directives.option import (
    NO_TERMINAL,
    WAITS,
    Option,
    dropped,
    means,
    needless,
    only_here,
    refused,
    switch,
)
from psij_parsl.platforms.directives.reading import Lines, joined_lines
from psij_parsl.platforms.directives.table import DirectiveTable
from psij_parsl.platforms.directives.values import count, file_name, next_time
from psij_parsl.platforms.directives.words import NoEquivalent

from .habits import HABITS
from .requirements import (
    affinity,
    asks,
    gpu_number,
    gpu_options,
    gpu_parts,
    limit,
    requirement,
    sections,
    shape,
    span,
    usage,
)
from .template import CONDITIONS

_ASK = "ask bsub itself"
_ONE_SCRIPT = "a job's options stand in its script"
_KINDS: Mapping[str, str] = {theirs: ours for ours, theirs in CONDITIONS.items()}
_ID = r"\d+(?:\[\d+\])?"
_CONDITION = re.compile(rf"(?:({'|'.join(_KINDS)})\s*\(\s*({_ID})\s*\)|({_ID}))")
_INDICES = re.compile(r"\d+(-\d+(:\d+)?)?(,\d+(-\d+(:\d+)?)?)*")
_FILE = file_name({"%J": "{id}", "%I": "{index}"})


# ---- the lines -----------------------------------------------------------------------------------------------------


def _whole_script(lines: Lines) -> Iterator[tuple[int, str]]:
    """All lines; one with options that ends with a backslash goes on in the next one."""
    return joined_lines(lines, r"(\s*#BSUB\b.*)\\")


def _split(line: str) -> list[str]:
    """The words of a line: quotes hold blanks together, nothing else is special; from a word with `#` on, a comment."""
    words, rest = [], line.strip()
    while rest and not rest.startswith("#"):
        match = re.match(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+(?=\s|$)""", rest)
        if match is None:
            raise ValueError("no closing quotation")
        words.append(re.sub(r"""(["'])(.*?)\1""", r"\2", match[0]))
        rest = rest[match.end() :].lstrip()
    return words


# ---- values --------------------------------------------------------------------------------------------------------


def _slots(text: str) -> Mapping[str, Any]:
    """`16`; `4,16` is a range, which `_settle` refuses."""
    return {"_slots_range": True} if re.fullmatch(r"\d+,\d+", text) else {"_slots": count(text)}


def _minutes(text: str) -> int:
    match = re.fullmatch(r"(?:(\d+):)?(\d+)", text)
    if match is None:
        raise ValueError(f"must be [hour:]minute, not {text!r}")
    return int(match[1] or 0) * 60 + int(match[2])


def _wall_time(text: str) -> int | None:
    if "/" in text:
        raise NoEquivalent("is a time on a certain host, or model of hosts")
    return None if text.upper() == "UNLIMITED" else _minutes(text) or None


def _begin(text: str) -> str:
    """`20:00`, `24:20:00` on the 24th, with the month and the year before it."""
    wrong = ValueError(f"must be [[year:][month:]day:]hour:minute, not {text!r}")
    match = re.fullmatch(r"(?:(?:(?:(\d{4}):)?(\d\d?):)?(\d\d?):)?(\d\d?):(\d\d?)", text)
    if match is None:
        raise wrong
    year, month, day, hour, minute = (int(part) if part else None for part in match.groups())
    try:
        return next_time(year, month, day, hour or 0, minute or 0)
    except ValueError:
        raise wrong from None


def _name(text: str) -> Mapping[str, Any]:
    """`relax`, or `sweep[1-100:2,200]%4`."""
    match = re.fullmatch(r"([^\[\]]*)(?:\[([^\[\]]*)\](?:%(\d+))?)?", text)
    indices = match[2].replace(" ", "") if match and match[2] is not None else ""
    if match is None or (match[2] is not None and not _INDICES.fullmatch(indices)):
        raise ValueError(f"must be NAME or NAME[INDICES]%LIMIT, not {text!r}")
    found: dict[str, Any] = {"name": match[1]} if match[1] else {}
    if indices:
        found["array"] = indices
    return {**found, "array_limit": count(match[3])} if match[3] else found


def _output(word: str, *, appends: bool) -> Callable[[str], Mapping[str, Any]]:
    """A reader of `-o` and `-e`, which append; `-oo` and `-eo` do not."""
    return lambda text: {word: _FILE(text), **({"append": True} if appends else {})}


def _directory(text: str) -> str:
    if re.search(r"[%$]", text):
        raise NoEquivalent("has a name that LSF puts together")
    return text


def _environment(text: str) -> Mapping[str, Any]:
    """`none`, `all,~A,B=1`, or only `A,B='1,2'`."""
    if text.count("'") % 2:
        raise ValueError(f"must have closing quotes, not {text!r}")
    words = [word.strip() for word in re.findall(r"(?:'[^']*'|[^,'])+", text)]
    if words == ["none"]:
        return {"inherit_environment": False}
    if any(word.startswith("~") for word in words):
        raise NoEquivalent("keeps a variable of the submitting shell from the job")
    pairs = [word.partition("=") for word in words if word and word != "all"]
    found = {name.strip(): value.strip("'") if equals else None for name, equals, value in pairs}
    return {"inherit_environment": "all" in words, "environment": found}


def _after(text: str) -> tuple[str, ...]:
    """`done(1) && ended(2)` as one text for each job; an id alone is `done`."""
    found = []
    for term in text.split("&&"):
        match = _CONDITION.fullmatch(term.strip())
        if match is None:
            raise NoEquivalent(f"has the condition {term.strip()!r}, which other managers do not have")
        found.append(f"{_KINDS[match[1] or 'done']}:{match[2] or match[3]}")
    return tuple(found)


def _signal(text: str) -> str:
    match = re.fullmatch(r"(?:SIG)?([A-Z]+\d*)", text)
    if match is None:
        raise NoEquivalent("is an action that only LSF has")
    return match[1]


# ---- all together --------------------------------------------------------------------------------------------------


def _settle(words: dict[str, Any]) -> Mapping[str, Any]:
    settled = {**words, **shape(words)}
    for name in {"stdin", "stdout", "stderr"} & settled.keys():
        settled[name] = _of_element(settled[name], "array" in words)
    if {"stdout", "stderr"} & settled.keys():
        settled.setdefault("append", False)
    if "_group" in words:
        if "project" in words:
            raise NoEquivalent("asks for a user group beside the project", "_group")
        settled["project"] = words["_group"]
    if "signal_before_end" in words:
        if "_warning" not in words:
            raise NoEquivalent("counts with -wt only, which its queue may have", "signal_before_end")
        settled["signal_before_end"] += f"@{words['_warning'] * 60}"
    elif "_warning" in words:
        raise NoEquivalent("counts with -wa only, which its queue may have", "_warning")
    if "_slots_range" in words:
        raise NoEquivalent("asks for a number of slots between two", "_slots_range")
    return settled


def _of_element(file: str, array: bool) -> str:
    """LSF's %J is an array's id, also in its elements; its %I is 0 in a job that is no array."""
    ours = {"{id}": "{array}"} if array else {"{index}": "0"}
    return re.sub(r"\{\{|\}\}|\{\w+\}", lambda match: ours.get(match[0], match[0]), file)


def _alone(text: str) -> tuple[str, ...]:
    """A list of one: a text would be divided at its commas."""
    return (text,)


def _items(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _gpus_per_node(text: str) -> Any:
    number = text.removesuffix("/host")
    return int(number) if number.isdecimal() else text


def _section(name: str, sets: str, read: Callable[[str], Any], **settings: Any) -> Option:
    """A section of -R. The parameter has it as it is written."""
    return means(f"-R {name}", sets, read, parameter="requirements", for_parameter=_alone, **settings)


_MEMORY = ("memory_per_node", "memory_per_rank")
TABLE = DirectiveTable(
    command="bsub",
    prefix=r"\s*#BSUB(?=\s*-)",
    written="#BSUB",
    which=_whole_script,
    split=_split,
    parts={"-R": sections, "-gpu": gpu_parts},
    settle=_settle,
    one_dash=True,
    habits=HABITS,
    options=(
        # ---- size
        means("-n", "_slots _slots_range ranks", _slots, instead="say -N and --ntasks-per-node"),
        means("-nnodes", "num_nodes", count, instead="say -N, and -X nodes_option=nnodes"),
        _section("span", "_per_host", span, instead="say -N and --ntasks-per-node"),
        _section("affinity", "cpus_per_rank", affinity),
        _section("rusage", "_reserved", usage, about=_MEMORY),
        _section("select", "_hosts", asks("hosts by their properties")),
        _section("same", "_hosts", asks("hosts that are alike")),
        _section("cu", "_hosts", asks("hosts that are near each other")),
        dropped("-R order", parameter="requirements", for_parameter=_alone),
        _section("", "_hosts", requirement),
        means("-M", "_limit", limit, instead="say --mem", about=_MEMORY),
        means(
            "-gpu num",
            "gpus_per_node gpus_per_rank",
            gpu_number,
            parameter="gpus_per_node",
            for_parameter=_gpus_per_node,
        ),
        means("-gpu", "gpu_kind _gpus", gpu_options, parameter="gpu_options"),
        switch("-x", "exclusive", parameter="exclusive"),
        means("-W", "wall_time_min", _wall_time),
        dropped("-We"),
        # ---- place
        means("-q", "queue", lambda text: " ".join(text.split())),
        means("-P", "project"),
        means("-G", "_group", instead="say the project, and the parameter charge_to=group"),
        means("-U", "reservation", parameter="reservation"),
        only_here("-app", parameter="application"),
        means("-m", "_hosts", asks("hosts by name")),
        means("-hostfile", "_hosts", asks("hosts by name")),
        only_here("-clusters"),
        only_here("-sla"),
        only_here("-Lp"),
        # ---- files, environment, order
        means("-J", "name array array_limit", _name),
        means("-cwd", "directory", _directory),
        means("-is -i", "stdin", _FILE),
        means("-o", "stdout append", _output("stdout", appends=True)),
        means("-oo", "stdout append", _output("stdout", appends=False)),
        means("-e", "stderr append", _output("stderr", appends=True)),
        means("-eo", "stderr append", _output("stderr", appends=False)),
        means("-env", "inherit_environment environment", _environment, instead="say --env or --no-env"),
        means("-w", "after", _after),
        needless("-ti", "a job whose dependency cannot be met any more is ended"),
        switch("-H", "hold"),
        means("-b", "begin", _begin),
        means("-wa", "signal_before_end", _signal),
        means("-wt", "_warning", _minutes),
        # ---- what a job can do without elsewhere
        dropped("-u"),
        dropped("-B", arguments=0),
        dropped("-N", arguments=0),
        dropped("-Ne", arguments=0),
        dropped("-notify"),
        dropped("-sp"),
        dropped("-g"),
        dropped("-Jd", instead="psij-run knows the job by it"),
        dropped("-L"),
        dropped("-r", arguments=0, parameter="rerunnable"),
        dropped("-rn", arguments=0, instead="say -X rerunnable=no"),
        dropped("-Q", parameter="requeue_codes", for_parameter=_items),
        # ---- LSF's alone
        only_here("-a"),
        only_here("-E"),
        only_here("-Ep"),
        only_here("-t"),
        only_here("-k"),
        only_here("-f"),
        only_here("-ext -extsched"),
        only_here("-freq"),
        only_here("-jobaff"),
        only_here("-mig"),
        only_here("-network"),
        only_here("-outdir"),
        only_here("-rnc"),
        only_here("-s"),
        only_here("-C"),
        only_here("-c"),
        only_here("-D"),
        only_here("-F"),
        only_here("-S"),
        only_here("-T"),
        only_here("-v"),
        only_here("-p"),
        only_here("-ptl"),
        only_here("-eptl"),
        only_here("-rcacct"),
        only_here("-data"),
        only_here("-datagrp"),
        only_here("-datachk", arguments=0),
        only_here("-ar", arguments=0),
        only_here("-hl", arguments=0),
        only_here("-ul", arguments=0),
        only_here("-alloc_flags", parameter="alloc_flags", for_parameter=_items),
        only_here("-csm"),
        only_here("-jsm"),
        only_here("-ln_slots"),
        only_here("-ln_mem"),
        only_here("-cn_cu"),
        only_here("-cn_mem"),
        only_here("-core_isolation"),
        only_here("-smt"),
        only_here("-stage"),
        only_here("-step_cgroup"),
        # ---- of bsub itself
        needless("-K", WAITS),
        needless("-Zs", "psij-run gives bsub the script itself"),
        refused("-I", NO_TERMINAL, arguments=0),
        refused("-Ip", NO_TERMINAL, arguments=0),
        refused("-Is", NO_TERMINAL, arguments=0),
        refused("-IS", NO_TERMINAL, arguments=0),
        refused("-ISp", NO_TERMINAL, arguments=0),
        refused("-ISs", NO_TERMINAL, arguments=0),
        refused("-IX", NO_TERMINAL, arguments=0),
        refused("-XF", NO_TERMINAL, arguments=0),
        refused("-tty", NO_TERMINAL, arguments=0),
        refused("-pack", _ONE_SCRIPT),
        refused("-json", _ONE_SCRIPT),
        refused("-jsdl", _ONE_SCRIPT),
        refused("-jsdl_strict", _ONE_SCRIPT),
        refused("-yaml", _ONE_SCRIPT),
        refused("-h", _ASK, arguments=0),
        refused("-V", _ASK, arguments=0),
    ),
)
