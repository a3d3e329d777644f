"""The options of Torque's `qsub`, as `#PBS` lines have them.

https://docs.adaptivecomputing.com/torque/6-1-2/adminGuide, "qsub" and "Requesting resources"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from psij_parsl.platforms.directives.option import NO_TERMINAL, means, needless, only_here, refused, switch
from psij_parsl.platforms.directives.values import array, count
from psij_parsl.platforms.directives.words import NoEquivalent
from psij_parsl.providers._pbs_family.options import (
    AFTER,
    OF_NODES,
    SHAPE,
    dependencies,
    file,
    nodes,
    table,
    wall_time,
)
from psij_parsl.providers._pbs_family.options import settle as settle_common

OF_ARRAYS = {
    "after": "afterstartarray",
    "afterok": "afterokarray",
    "afternotok": "afternotokarray",
    "afterany": "afteranyarray",
}
"""The kinds of dependencies on a whole array: ours -> Torque's."""

#: Modes of the GPUs after `gpus=`. `prohibited` is none of them: Torque refuses it.
_GPU_MODES = ("exclusive", "exclusive_thread", "exclusive_process", "default", "shared", "reseterr")
_HOST = r"^(?:[\w.-]+:)?"
_SUBMITTED = re.compile(_HOST + r"\$(?:PBS_O_WORKDIR|\{PBS_O_WORKDIR\})/+")
_HOME = re.compile(_HOST + r"\$(?:HOME|\{HOME\})(?=/)")
_FILES = {
    r"\$(PBS_JOBID|\{PBS_JOBID\})": "{id}",
    r"\$(PBS_ARRAYID|\{PBS_ARRAYID\})": "{index}",
    r"\$(PBS_JOBNAME|\{PBS_JOBNAME\})": "{name}",
}


def _file(suffix: str) -> Callable[[str], str]:
    """The node's daemon expands variables in the name; a relative one is in the submit directory in any case."""
    placed = file(suffix, _FILES)

    def read(text: str) -> str:
        path = placed(_HOME.sub("~", _SUBMITTED.sub("", text) or "./"))
        if "$" in path:
            raise NoEquivalent("has a variable in a file's name")
        return path

    return read


def _wall_time(text: str) -> int | None:
    """As the family's, and with days: `D:H:M:S`."""
    if match := re.fullmatch(r"(\d+):(\d+)(:\d+:\d+(?:\.\d+)?)", text):
        text = f"{int(match[1]) * 24 + int(match[2])}{match[3]}"
    return wall_time(text)


def _access(text: str) -> bool:
    """Moab's `naccesspolicy`: with whom nodes are shared."""
    if text.lower() in ("shared", "singlejob"):
        return text.lower() == "singlejob"
    raise NoEquivalent("shares nodes with some jobs alone")


def _settle(words: dict[str, Any]) -> Mapping[str, Any]:
    """As the family's; `procs` are ranks of one core each, on whatever nodes."""
    settled = dict(settle_common(words))
    if "_procs" in words:
        if {"_nodes", "_ncpus"} & words.keys():
            raise NoEquivalent("stands beside nodes or ncpus", "_procs")
        settled |= {"ranks": words["_procs"], "cpus_per_rank": 1}
    return settled


TABLE = table(
    # ---- size and place
    means("-l nodes", "_nodes num_nodes ranks_per_node exclusive", nodes(_GPU_MODES), instead=SHAPE, about=OF_NODES),
    means("-l procs", "_procs", count, instead=SHAPE),
    means("-l walltime", "wall_time_min", _wall_time),
    only_here("-l gpus", instead="say -g"),
    means("-l naccesspolicy", "exclusive", _access, parameter="resources", for_parameter="naccesspolicy={}".format),
    means("-l qos", "qos", parameter="resources", for_parameter="qos={}".format),
    means("-l advres", "reservation", parameter="resources", for_parameter="advres={}".format),
    switch("-E -n", "exclusive"),
    only_here("-L"),
    # ---- files, environment, order
    means("-w -d", "directory"),
    means("-o", "stdout", _file(".OU")),
    means("-e", "stderr", _file(".ER")),
    means("-t", "array array_limit", array),
    means("-W depend", "after", dependencies({**AFTER, **{theirs: ours for ours, theirs in OF_ARRAYS.items()}})),
    only_here("-W x"),
    only_here("-W job_radix"),
    only_here("-W fault_tolerant"),
    only_here("-D"),
    only_here("-J"),
    only_here("-K"),
    only_here("-T"),
    only_here("-f", arguments=0),
    refused("-F", "say the arguments after the script's name"),
    # ---- of qsub itself
    needless("-b", "a submission that was not answered is looked for, and made again", arguments=1),
    needless("-i", "a submission that was not answered is looked for"),
    refused("-P", "it would be another's job"),
    refused("-x", NO_TERMINAL, arguments=0),
    settle=_settle,
    index_variables=("PBS_ARRAYID",),
)
