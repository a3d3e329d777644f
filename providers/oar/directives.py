"""The options of `oarsub`, as `#OAR` lines have them. https://oar.imag.fr/docs/latest/user/commands/oarsub.html

A line has one option. Its value is the rest of the line as it stands, without quotes, and needs no blank before it.
oarsub looks for them below the first line, which must be a comment, and refuses a script with a line that it does not
know (`scan_script` in OAR/Sub.pm).
"""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Mapping
from typing import Any

from psij_parsl.platforms.directives import (
    NO_TERMINAL,
    DirectiveTable,
    Lines,
    NoEquivalent,
    OptionLines,
    WrongLine,
    count,
    dropped,
    file_name,
    means,
    minutes,
    needless,
    only_here,
    refused,
    switch,
)

from .habits import HABITS

_ANSWER = "psij-run reads the id that oarsub prints"
_ASK = "ask oarsub itself"
_TIME = minutes(bare=3600, pair=(3600, 60))
_FILE = file_name({"%jobid%": "{id}", "%jobname%": "{name}"})
_OPTION = re.compile(r"(--stagein-md5sum|--[a-z-]+|-[A-Za-z])\s*(.*)")
_SHAPE = re.compile(r"(?:\{(.+?)\})?\s*(.*?)(?:\bwalltime\s*=\s*([\d:]+))?")
#: The levels of a hierarchy from above, and what else they are called.
_LEVELS = {"cluster": 0, "nodes": 1, "cpu": 2, "gpu": 2, "core": 3}
_ALIASES = {"host": "nodes", "network_address": "nodes", "resource_id": "core"}
#: What the types of jobs ask for.
_TYPES = {
    "besteffort": "asks for nodes until other jobs need them",
    "container": "asks for nodes for jobs inside it",
    "inner": "asks for a place inside another job",
    "timesharing": "asks to share its nodes with other jobs",
    "deploy": "asks for nodes to install systems on",
    "idempotent": "asks to be submitted again when it ends with 99",
}


_WRITTEN = re.compile(r"#OAR\s+(.*)")
#: What oarsub takes on its command line alone.
_TYPED = frozenset(
    [
        "--after",
        "-r",
        "--reservation",
        "-S",
        "--scanscript",
        "-v",
        "-X",
        "--xml",
        "-Y",
        "--yaml",
        "-J",
        "--json",
        "-D",
        "--dumper",
        "-I",
        "--interactive",
        "-C",
        "--connect",
        "--resubmit",
        "-h",
        "--help",
        "-V",
        "--version",
        "--import-job-key-inline",
    ]
)


def in_script(lines: Lines) -> OptionLines:
    """The lines that oarsub looks at; what it does not take there is wrong, such as `=` after a name."""
    for number, line in lines:
        if number == 1:
            if not line.startswith("#"):
                return
            continue
        text = match[1].rstrip() if (match := _WRITTEN.match(line)) else ""
        option = _OPTION.fullmatch(text)
        if option and option[1] in _TYPED:
            yield number, WrongLine(text, f"{option[1]} is for oarsub's command line alone, and refused in a script")
        elif option and option[1].startswith("--") and option[2].startswith("="):
            value = option[2][1:].strip()
            yield number, WrongLine(text, f"an #OAR line of a script takes no =, say `{option[1]} {value}`")
        else:
            yield number, line


def split(line: str) -> list[str]:
    """The option and its value. The `=` after a long name is the command line's, and no script has it."""
    match = _OPTION.fullmatch(line.strip())
    if match is None:
        return [line.strip()]
    name, value = match.groups()
    if name.startswith("--"):
        value = value.removeprefix("=")
    return [name, value] if value else [name]


def resources(text: str) -> Mapping[str, Any]:
    """The words of one hierarchy, `{cputype='x'}/nodes=2/core=4,walltime=1:30`, of which any part may be missing.

    A job's file of nodes names a host once for each core. So MPI starts a rank on each, and so it is understood. Nodes
    of which no part is asked for are whole: how many cores they have cannot be known here.
    """
    match = _SHAPE.fullmatch(text.strip())
    rule, levels, limit = match.groups() if match else (None, text, None)
    words: dict[str, Any] = {}
    if rule:
        words["constraint"] = rule.strip()
    if limit:
        words["wall_time_min"] = _TIME(limit)
    return {**words, **_size(_counts((levels or "").strip(", \t")))}


def _counts(text: str) -> dict[str, int]:
    """`/nodes=2/core=4` as {nodes: 2, core: 4}."""
    found: dict[str, int] = {}
    if "walltime" in text:
        raise ValueError(f"must have a wall time such as 1:30:00 at its end, not {text!r}")
    if re.search(r"[+{,]", text):
        raise NoEquivalent("asks for resources of several kinds")
    for part in filter(str.strip, text.split("/")):
        match = re.fullmatch(r"\s*(\w+)\s*=\s*(\w+)\s*", part)
        if match is None:
            raise ValueError(f"must be levels such as /nodes=2/core=4,walltime=1:30:00, not {text!r}")
        name, value = match.groups()
        if value in ("ALL", "BEST", "BESTHALF"):
            raise NoEquivalent("asks for as many as there are")
        if _ALIASES.get(name, name) not in _LEVELS:
            raise NoEquivalent(f"asks for {name}={value}, of which other managers know nothing")
        found[_ALIASES.get(name, name)] = count(value)
    order = [_LEVELS[name] for name in found]
    if order != sorted(order):
        raise NoEquivalent("asks for levels in an order that only OAR has")
    return found


def _size(counts: Mapping[str, int]) -> dict[str, Any]:
    if counts.get("cluster", 1) > 1:
        raise NoEquivalent("asks for nodes of several clusters")
    if "core" not in counts and ("cpu" in counts or counts.keys() == {"cluster"}):
        raise NoEquivalent("asks for sockets or clusters, and how many cores they have is not known here")
    cores = math.prod(counts.get(name, 1) for name in ("cpu", "gpu", "core")) if "core" in counts else 0
    gpus = counts.get("cpu", 1) * counts.get("gpu", 0)
    per_node = "nodes" in counts
    words: dict[str, Any] = {"num_nodes": counts["nodes"]} if per_node else {}
    if cores:
        words |= {"ranks_per_node" if per_node else "ranks": cores, "cpus_per_rank": 1}
    if gpus:
        words["gpus_per_node" if per_node else "gpus"] = gpus
    if per_node and not cores and not gpus:
        words["exclusive"] = True
    return words


def _shape(text: str) -> tuple[Mapping[str, Any], ...]:
    return (resources(text),)


def _type(text: str) -> str:
    """One that says nothing on managers where ssh leads to a job's nodes in any case; others ask for something."""
    kind = text.partition("=")[0]
    if kind != "allow_classic_ssh":
        raise NoEquivalent(_TYPES.get(kind, f"asks for the type {kind}, of which other managers know nothing"))
    return text


def _after(text: str) -> tuple[str, ...]:
    if re.fullmatch(r"\d+,.*", text):
        raise NoEquivalent("asks for a start within some time of another job's")
    return (f"afterany:{count(text)}",)


def _signal(text: str) -> str:
    number = count(text)
    if number not in {*signal.Signals}:
        raise ValueError(f"must be the number of a signal, not {text!r}")
    return signal.Signals(number).name.removeprefix("SIG")


def _array(text: str) -> str:
    """OAR counts the elements from 1."""
    number = count(text)
    return f"1-{number}" if number > 1 else "1"


def _settle(words: dict[str, Any]) -> Mapping[str, Any]:
    settled = dict(words)
    shapes = words.get("_shapes", ({},))
    if len(shapes) > 1:
        raise NoEquivalent("is one of several sizes, of which OAR chooses", "_shapes")
    settled |= shapes[0]
    if "constraint" in words and "constraint" in shapes[0]:
        settled["constraint"] = f"({words['constraint']}) AND ({shapes[0]['constraint']})"
    if "_checkpoint" in words:
        settled["signal_script_before_end"] = f"{words.get('_signal', 'USR2')}@{words['_checkpoint']}"
    return settled


TABLE = DirectiveTable(
    command="oarsub",
    prefix=r"#OAR(?=\s|$)",
    written="#OAR",
    which=in_script,
    split=split,
    settle=_settle,
    habits=HABITS,
    options=(
        # ---- size
        means("-l --resource", "_shapes", _shape, instead="say -N, -n and -c, -g, and -t"),
        # ---- place
        means("-p --property", "constraint", parameter="properties"),
        means("-q --queue", "queue"),
        means("--project", "project"),
        means("-t --type", "_type", _type, parameter="types"),
        # ---- files, environment, order
        means("-n --name", "name"),
        means("-d --directory", "directory"),
        means("-O --stdout", "stdout", _FILE),
        means("-E --stderr", "stderr", _FILE),
        means("--array", "array", _array),
        only_here("--array-param-file"),
        means("-a --anterior --after", "after", _after),
        switch("--hold", "hold"),
        refused("-r --reservation", "it is a reservation for a time, and no job that waits for its turn"),
        means("--checkpoint", "_checkpoint", count, parameter="checkpoint"),
        means("--signal", "_signal", _signal),
        only_here("-s --stagein"),
        only_here("--stagein-md5sum"),
        # ---- what a job can do without elsewhere
        dropped("--notify", parameter="notify"),
        dropped("-k --use-job-key", arguments=0),
        dropped("-i --import-job-key-from-file"),
        dropped("--import-job-key-inline --import-job-key-inline-priv"),
        dropped("-e --export-job-key-to-file"),
        # ---- of oarsub itself
        needless("-S --scanscript", "psij-run has oarsub read the script's lines"),
        needless("-v", _ANSWER),
        needless("-X --xml", _ANSWER),
        needless("-Y --yaml", _ANSWER),
        needless("-J --json", _ANSWER),
        needless("-D --dumper", _ANSWER),
        refused("-I --interactive", NO_TERMINAL, arguments=0),
        refused("-C --connect", NO_TERMINAL, optional=True),
        refused("--resubmit", "submit the script again"),
        refused("-h --help", _ASK, arguments=0),
        refused("-V --version", _ASK, arguments=0),
    ),
)
