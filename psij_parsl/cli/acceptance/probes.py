"""The shell texts that jobs of an acceptance run, and how their answers are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...system.gpu_variables import GPU_VARIABLES
from ...system.id_ranges import parse_ranges

#: The file that a node writes into the job's folder: the word, its name, and what it calls that folder.
FROM_NODE = "from-node"
#: The file with the variables of a job, as `env -0` prints them.
SEEN = "environment-seen"

#: Begins what a node says of itself: its CPUs, kB of memory, and GPUs.
_NODE_LINE = "psij-site-test-node"
#: A variable that is not the job's own: the node's name.
NODE_VARIABLE = "PSIJ_SITE_TEST_NODE"
#: Arguments: a word that stands in the job's script, too, which this host has written.
NODE = f"""hostname || exit
read -r psij_cpus </sys/devices/system/cpu/online
psij_memory=$(sed -n 's/^MemTotal:[[:space:]]*\\([0-9]*\\).*/\\1/p' /proc/meminfo)
psij_gpus=$(ls -d /proc/driver/nvidia/gpus/* 2>/dev/null | wc -l)
echo "{_NODE_LINE}|$psij_cpus|$psij_memory|$psij_gpus|"
if grep -qF -e "$1" "$PSIJ_JOB_FOLDER/script.sh"; then printf '%s\\n' "$1" "$(uname -n)" "$PSIJ_JOB_FOLDER" >"$PSIJ_JOB_FOLDER/{FROM_NODE}"; fi
"""
ENVIRONMENT = f"""umask 077
{{ printf '{NODE_VARIABLE}=%s\\0' "$(uname -n)"; env -0; }} >"$PSIJ_JOB_FOLDER/{SEEN}"
"""
_RANK_LINE = "psij-site-test"
#: Arguments: the variables that may hold a rank's number, and those that may list its GPUs.
RANK = f"""psij_first() {{
  for psij_name in $1; do
    eval "psij_value=\\${{$psij_name-}}"
    if [ -n "$psij_value" ]; then echo "$psij_name=$psij_value"; return; fi
  done
}}
cpus=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
read -r all </sys/devices/system/cpu/online
rank=$(psij_first "$1") gpus=$(psij_first "$2")
uuids=$(nvidia-smi -L 2>/dev/null | sed -n 's/.*UUID: \\([^)]*\\)).*/\\1/p' | tr '\\n' ,)
printf '{_RANK_LINE}|%s|%s|%s|%s|%s|%s|\\n' "${{rank#*=}}" "$(uname -n)" "$cpus" "$all" "$gpus" "${{uuids%,}}"
"""


def node_command(word: str) -> list[str]:
    return ["sh", "-c", NODE, "psij-site-test", word]


def rank_command(rank_variables: Iterable[str]) -> list[str]:
    return ["sh", "-c", RANK, "psij-site-test", " ".join(rank_variables), " ".join(GPU_VARIABLES)]


class NodeWords(NamedTuple):
    """What a node says of itself: its CPUs, MB of memory, None if unknown, and GPUs, None if none are seen."""

    cpus: int | None
    memory: int | None
    gpus: int | None


def node_words(output: str) -> NodeWords:
    """What the node of a job has said of itself."""
    line = next((line for line in output.splitlines() if line.startswith(f"{_NODE_LINE}|")), "")
    cpus, memory, gpus = (line.split("|") + [""] * 4)[1:4]
    kilobytes = int(memory) if memory.isdigit() else 0
    return NodeWords(
        len(_ids(cpus)) or None, kilobytes // 1024 or None, int(gpus) or None if gpus.isdigit() else None
    )


class Rank(NamedTuple):
    """What a process says of itself: its number, '' if it has none; its CPUs, and all of the node; its GPUs."""

    number: str
    host: str
    cpus: frozenset[int]
    all_cpus: frozenset[int]
    gpu_variable: str
    gpus: tuple[str, ...]
    uuids: tuple[str, ...]


def ranks(output: str) -> list[Rank]:
    """The processes that have said something, in the order of their numbers."""
    found = []
    for line in output.splitlines():
        head, *fields = line.split("|")
        if not head.endswith(_RANK_LINE) or len(fields) != 7:
            continue
        number, host, cpus, every, gpus, uuids, _ = fields
        variable, _, listed = gpus.partition("=")
        found.append(Rank(number, host, _ids(cpus), _ids(every), variable, _words(listed), _words(uuids)))
    return sorted(found, key=lambda rank: (len(rank.number), rank.number))


def variables(data: bytes) -> dict[str, str]:
    """The variables of a job, as `env -0` has printed them."""
    pairs = (item.partition(b"=") for item in data.split(b"\0") if item)
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, _, value in pairs}


def _ids(text: str) -> frozenset[int]:
    try:
        return frozenset(parse_ranges(text))
    except ValueError:
        return frozenset()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def numbers(found: Sequence[Rank]) -> list[str]:
    return [rank.number for rank in found]
