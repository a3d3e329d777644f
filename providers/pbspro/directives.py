"""The options of PBS's `qsub`, as `#PBS` lines have them. https://help.altair.com, PBS Professional Reference Guide"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psij_parsl.platforms.directives.option import NO_TERMINAL, WAITS, means, needless, only_here, refused
from psij_parsl.platforms.directives.values import array, count
from psij_parsl.platforms.directives.words import NoEquivalent
from psij_parsl.providers._pbs_family.options import (
    AFTER,
    OF_NODES,
    SHAPE,
    SIZE,
    Chunks,
    alike,
    dependencies,
    file,
    nodes,
    table,
    wall_time,
)


def _select(text: str) -> Mapping[str, Chunks]:
    return {"_chunks": alike([_chunk(kind) for kind in text.split("+")], "chunks")}


def _chunk(text: str) -> Chunks:
    """One kind of chunk, `2:ncpus=8:mpiprocs=4:mem=16gb`: how many, and the resources of each."""
    number, *pairs = text.split(":")
    if "=" in number:
        number, pairs = "1", [number, *pairs]
    found: dict[str, Any] = {"number": count(number)}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.lower()
        if not equals:
            raise ValueError(f"must have name=value after a colon, not {pair!r}")
        if name in ("ncpus", "mpiprocs") and value == "0":
            raise NoEquivalent("asks for chunks in which no rank is")
        if name in ("ncpus", "mpiprocs", "ompthreads"):
            found[name] = count(value)
        elif name == "ngpus":
            found[name] = count(value) if value != "0" else 0
        elif name == "mem":
            found[name] = SIZE(value)
        else:
            raise NoEquivalent(f"asks for {pair} on each node")
    return Chunks(**found)


def _place(text: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for part in text.split(":"):
        if part in ("free", "pack", "scatter", "vscatter"):
            found["_arrangement"] = part
        elif part in ("excl", "exclhost", "shared"):
            found |= {"exclusive": part != "shared", "_whole_hosts": part == "exclhost"}
        elif part.startswith("group="):
            raise NoEquivalent("asks for nodes of one group")
        else:
            raise ValueError(f"must be a placement such as scatter:excl, not {text!r}")
    return found


_FILES = {r"\^array_index\^": "{index}"}

TABLE = table(
    means(
        "-l select",
        "_chunks num_nodes ranks_per_node",
        _select,
        instead=f"{SHAPE}, or -X chunk=name=value for what a node must have",
        about=OF_NODES,
    ),
    means("-l nodes", "_nodes num_nodes ranks_per_node exclusive", nodes(), instead=SHAPE, about=OF_NODES),
    means("-l walltime", "wall_time_min", wall_time),
    means("-l place", "_arrangement _whole_hosts exclusive", _place, parameter="place"),
    means("-l mpiprocs", "_mpiprocs", count, instead=SHAPE),
    means("-l ngpus", "_ngpus", count, instead="say -g"),
    only_here("-l filesystems", parameter="filesystems"),
    means("-P", "project", instead="say the project, and the parameter charge_to=project"),
    means("-o", "stdout", file(".OU", _FILES)),
    means("-e", "stderr", file(".ER", _FILES)),
    means("-J", "array array_limit", array),
    means("-W max_run_subjobs", "array_limit", count),
    means("-W depend", "after", dependencies(AFTER)),
    only_here("-W sandbox"),
    only_here("-W run_count"),
    only_here("-W release_nodes_on_stageout"),
    needless("-W block", WAITS, arguments=1),
    needless("-R", "output files stay until `psij-run clean`", arguments=1),
    refused("-G", NO_TERMINAL, arguments=0),
    needless("-f", "psij-run waits for qsub's answer"),
    index_variables=("PBS_ARRAY_INDEX",),
    first=("-l",),  # qsub adds a resource to its list only if that is not there yet
)
