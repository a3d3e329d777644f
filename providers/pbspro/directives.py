"""The options of PBS's `qsub`, as `#PBS` lines have them. https://help.altair.com, PBS Professional Reference Guide"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from psij_parsl.platforms.directives.option import Option, dropped, means, needless, only_here, refused, switch
from psij_parsl.platforms.directives.table import DirectiveTable
from psij_parsl.platforms.directives.values import count, file_name, megabytes, minutes, moment, variables
from psij_parsl.platforms.directives.words import NoEquivalent
from psij_parsl.platforms.tools import without_host

_SIZE = megabytes(bare="B")
_NO_TERMINAL = "a job has no terminal"
_PLACE = re.compile(r"(free|pack|scatter|vscatter)?(?::?(excl|exclhost|shared))?(?::?group=(\w+))?")
_PLACED = file_name({r"\^array_index\^": "{index}", r"\$PBS_JOBID": "{id}"})


def resources(text: str) -> Iterator[tuple[str, str]]:
    """The parts of `-l`: `walltime=1:00:00,mem=4gb`."""
    for pair in filter(None, text.split(",")):
        name, _, value = pair.partition("=")
        yield name.strip(), value.strip()


def attributes(text: str) -> Iterator[tuple[str, str]]:
    """The parts of `-W`: a comma begins the next one where a name and `=` follow it."""
    for pair in re.split(r",(?=[A-Za-z_]+=)", text):
        name, _, value = pair.partition("=")
        yield name.strip(), value.strip()


def chunk(text: str) -> Mapping[str, Any]:
    """One kind of chunk, `2:ncpus=8:mpiprocs=4:system=polaris`: how many, and its resources."""
    if "+" in text:
        raise NoEquivalent("asks for chunks that differ")
    first, *rest = text.split(":")
    if not first.isdecimal():
        first, rest = "1", [first, *rest]
    found: dict[str, Any] = {"number": count(first)}
    for pair in rest:
        name, equals, value = pair.partition("=")
        name = name.lower()
        if not equals:
            raise ValueError(f"must have name=value after a colon, not {pair!r}")
        if name in ("ncpus", "mpiprocs", "ompthreads", "ngpus"):
            found[name] = int(value) if value == "0" else count(value)
        elif name == "mem":
            found[name] = _SIZE(value)
        else:
            raise NoEquivalent(f"asks for {pair} on each node")
    return found


def hosts(text: str) -> Mapping[str, Any]:
    """`nodes=2:ppn=4:gpus=1`, the older form: hosts that differ, with a rank on each of its cores."""
    if "+" in text:
        raise NoEquivalent("asks for nodes that differ")
    first, *rest = text.split(":")
    if not first.isdecimal():
        raise NoEquivalent("names a host or a property of hosts")
    found: dict[str, Any] = {"number": count(first), "ncpus": 1, "mpiprocs": 1, "scattered": True}
    for pair in rest:
        name, _, value = pair.partition("=")
        if name == "ppn":
            found |= {"ncpus": count(value), "mpiprocs": count(value)}
        elif name == "gpus":
            found["ngpus"] = count(value)
        else:
            raise NoEquivalent(f"asks for {pair}, a property of hosts")
    return found


def _place(text: str) -> Mapping[str, Any]:
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ValueError(f"must be a placement such as scatter:excl, not {text!r}")
    if match[3]:
        raise NoEquivalent("asks for nodes of one group")
    found: dict[str, Any] = {"_arrangement": match[1] or "free", "_whole_hosts": match[2] == "exclhost"}
    return {**found, "exclusive": True} if match[2] in ("excl", "exclhost") else found


def _array(text: str) -> Mapping[str, Any]:
    indices, percent, limit = text.partition("%")
    return {"array": indices, **({"array_limit": count(limit)} if percent else {})}


def dependencies(text: str) -> tuple[str, ...]:
    """`afterok:1.server:2.server,afterany:3` as one text for each job."""
    found = []
    for part in filter(None, text.split(",")):
        kind, *ids = part.split(":")
        kind = kind.removesuffix("array")  # Torque's, for arrays
        if kind not in ("after", "afterok", "afterany", "afternotok"):
            raise NoEquivalent(f"has the dependency {kind}, which other managers do not have")
        found += [f"{kind}:{job_id}" for job_id in ids]
    return tuple(found)


def _joined(text: str) -> bool:
    if text not in ("oe", "eo", "n"):
        raise ValueError(f"must be oe, eo or n, not {text!r}")
    return text != "n"


def file(text: str) -> str:
    """`host:/path` is the path: our jobs' files are where the job is."""
    return _PLACED(without_host(text))


def settle(words: dict[str, Any]) -> Mapping[str, Any]:
    """Chunks are nodes where each is on a host of its own; else their ranks alone are known."""
    settled = {name: value for name, value in words.items() if not name.startswith("_")}
    asked = words.get("_chunk")
    if asked is None:
        if "_ncpus" in words:
            settled |= {"num_nodes": 1, "cpus_per_rank": words["_ncpus"]}
        return settled
    number, arrangement = asked["number"], words.get("_arrangement", "free")
    ranks = asked.get("mpiprocs", 1)
    cores = asked.get("ncpus", 1)
    if ranks and cores % ranks:
        raise NoEquivalent(f"has {cores} cores for {ranks} ranks, which is no whole number for each", "_chunk")
    scattered = number == 1 or asked.get("scattered") or arrangement == "scatter" or words.get("_whole_hosts")
    if scattered or arrangement == "pack":
        each = 1 if scattered else number
        settled |= {"num_nodes": number // each, "ranks_per_node": max(1, ranks) * each}
        per_node = {"gpus_per_node": asked.get("ngpus", 0) * each, "memory_per_node": asked.get("mem", 0) * each}
    else:
        settled["ranks"] = max(1, ranks) * number
        per_node = {"gpus": asked.get("ngpus", 0) * number, "memory": asked.get("mem", 0) * number}
    settled |= {name: amount for name, amount in per_node.items() if amount}
    settled["cpus_per_rank"] = cores // max(1, ranks)
    return settled


def split(line: str) -> list[str]:
    """From `#` on the rest is a comment."""
    return shlex.split(line, comments=True)


#: The options that Torque's qsub has, too, with the same meaning.
COMMON: tuple[Option, ...] = (
    # ---- size
    means("-l nodes", "_chunk", hosts),
    means("-l ncpus", "_ncpus", count),
    means("-l mem", "memory", _SIZE),
    means("-l pmem", "memory_per_rank", _SIZE, parameter="resources", for_parameter="pmem={}".format),
    means("-l walltime", "wall_time_min", minutes(bare=1, pair=(60, 1))),
    only_here("-l", parameter="resources"),
    # ---- place
    means("-q", "queue"),
    means("-A", "project"),
    # ---- files, environment, order
    means("-N", "name"),
    means("-o", "stdout", file),
    means("-e", "stderr", file),
    means("-j", "join", _joined, instead="say -o, and stderr goes there, too"),
    needless("-k", "output files are written as the job goes on", arguments=1),
    means("-v", "environment", variables),
    needless("-V", "a job has the submitting shell's environment"),
    means("-S", "shell"),
    switch("-h", "hold"),
    means("-a", "begin", moment),
    means("-W depend", "after", dependencies),
    only_here("-W group_list", parameter="group_list"),
    only_here("-W stagein"),
    only_here("-W stageout"),
    only_here("-W umask"),
    refused("-W block", "`psij-run run` and `psij-run wait` wait for a job's end"),
    only_here("-W"),
    # ---- what a job can do without elsewhere
    dropped("-m", parameter="mail_events"),
    dropped("-M", parameter="mail_user"),
    dropped("-p", parameter="priority"),
    dropped("-r", parameter="rerunnable"),
    dropped("-c"),
    # ---- of qsub itself
    refused("-I", _NO_TERMINAL, arguments=0),
    refused("-X", _NO_TERMINAL, arguments=0),
    refused("-C", "option lines begin with #PBS"),
    refused("-u", "it would be another's job"),
    needless("-z", "psij-run reads the id that qsub prints"),
)

TABLE = DirectiveTable(
    command="qsub",
    prefix=r"#PBS(?=\s|$)",
    written="#PBS",
    split=split,
    parts={"-l": resources, "-W": attributes},
    settle=settle,
    any_case=True,
    options=(
        *COMMON,
        means(
            "-l select",
            "_chunk",
            chunk,
            instead="say -N, -n and -c, or -X chunk=name=value for what a node must have",
        ),
        means("-l place", "_arrangement _whole_hosts exclusive", _place, parameter="place"),
        only_here("-l filesystems", parameter="filesystems"),
        means("-P", "project", instead="say the project, and the parameter charge_to=project"),
        means("-J", "array array_limit", _array),
        only_here("-W sandbox"),
        only_here("-W run_count"),
        only_here("-W release_nodes_on_stageout"),
        needless("-R", "output files stay until `psij-run clean`", arguments=1),
        refused("-G", _NO_TERMINAL, arguments=0),
        needless("-f", "psij-run waits for qsub's answer"),
    ),
)
