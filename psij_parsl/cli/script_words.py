"""From the words that option lines of scripts ask with to the flags that say the same."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import InvalidRequest
from ..job_texts import indices
from ..platforms.directives.table import DirectiveTable
from ..platforms.directives.words import GPUS, MEMORY, SHAPE, WORDS
from .file_patterns import Pattern
from .flag_types import Gpus, Indices
from .flags import FlagValues

#: The words that a flag takes the place of where it is typed.
WORDS_OF_FLAG: Mapping[str, Collection[str]] = {
    **dict.fromkeys(("nodes", "ntasks", "ntasks_per_node"), SHAPE),
    **dict.fromkeys(("gpus", "gpus_per_node", "gpus_per_task"), GPUS),
    **dict.fromkeys(("mem", "mem_per_cpu", "mem_per_gpu"), MEMORY),
    "cpus_per_task": ("cpus_per_rank",),
    "threads_per_core": ("threads_per_core",),
    "time": ("wall_time_min",),
    "queue": ("queue",),
    "account": ("project",),
    "job_name": ("name",),
    "cwd": ("directory",),
    "input": ("stdin",),
    "output": ("stdout", "stderr", "join"),
    "error": ("stderr", "join"),
    "append": ("append",),
    "array": ("array", "array_limit"),
    "dependency": ("after",),
    "begin": ("begin",),
    "signal": ("signal_before_end", "signal_script_before_end"),
    "hold": ("hold",),
}
#: The parameter that says a word, on the platforms that have one of that name.
PARAMETERS: Mapping[str, str] = {
    "exclusive": "exclusive",
    "qos": "qos",
    "constraint": "constraint",
    "reservation": "reservation",
    "hosts": "nodelist",
    "exclude_hosts": "exclude",
    "licenses": "licenses",
}
_PLAIN = {
    "name": "job_name",
    "directory": "cwd",
    "append": "append",
    "cpus_per_rank": "cpus_per_task",
    "threads_per_core": "threads_per_core",
    "num_nodes": "nodes",
    "ranks": "ntasks",
    "ranks_per_node": "ntasks_per_node",
    "memory_per_node": "mem",
    "memory_per_core": "mem_per_cpu",
    "memory_per_gpu": "mem_per_gpu",
    "wall_time_min": "time",
    "queue": "queue",
    "project": "account",
    "hold": "hold",
    "begin": "begin",
}


def flag_values(
    words: Mapping[str, Any], table: DirectiveTable, path: str, *, usual_files: bool = True
) -> FlagValues:
    """The values of flags that say these words of a script's lines. Raises `InvalidRequest`.

    `usual_files`: output goes where that manager's users look for it, if no word says where.
    """
    values: FlagValues = {
        flag: words[word] for word, flag in _PLAIN.items() if not (words.get(word) is None or words[word] is False)
    }
    kind = words.get("gpu_kind", "")
    if "gpus_per_rank" in words:
        values["gpus_per_task"] = words["gpus_per_rank"]
    for word, flag in (("gpus_per_node", "gpus_per_node"), ("gpus", "gpus")):
        if words.get(word):
            values[flag] = Gpus(words[word], kind)
    values |= _memory(words)
    if "array" in words:
        values["array"] = Indices(indices(words["array"], name=f"{path}: the array"), words.get("array_limit"))
    if words.get("after"):
        values["dependency"] = tuple(words["after"])
    for word, whom in (("signal_before_end", ""), ("signal_script_before_end", "B:")):
        if word in words:
            values["signal"] = f"{whom}{words[word]}"
    if words.get("inherit_environment") is False:
        values["no_env"] = True
    if environment := _environment(words.get("environment", {})):
        values["env"] = environment
    if "stdin" in words:
        values["input"] = Pattern(words["stdin"])
    if usual_files:
        return values | _files(words, table)
    said = {flag: Pattern(words[word]) for word, flag in (("stdout", "output"), ("stderr", "error")) if word in words}
    return values | said


def _memory(words: Mapping[str, Any]) -> FlagValues:
    """Memory of the whole job, and of ranks, as that of nodes and cores."""
    if "memory" in words and not words.get("num_nodes") and words.get("ranks"):
        return {"mem_per_cpu": -(-words["memory"] // (words["ranks"] * words.get("cpus_per_rank", 1)))}
    if "memory" in words:
        return {"mem": -(-words["memory"] // (words.get("num_nodes") or 1))}
    if "memory_per_rank" in words:
        return {"mem_per_cpu": -(-words["memory_per_rank"] // words.get("cpus_per_rank", 1))}
    return {}


def _environment(said: Mapping[str, str | None]) -> dict[str, str]:
    """The variables; one without a value has that of this process, and is left out where it has none, as managers do."""
    copied = {name: os.environ.get(name) for name, value in said.items() if value is None}
    given = {name: value for name, value in said.items() if value is not None}
    return {**{name: value for name, value in copied.items() if value is not None}, **given}


def _files(words: Mapping[str, Any], table: DirectiveTable) -> FlagValues:
    """The output files: those that are said, or where that manager's users look for them."""
    usual = table.habits.element_output if "array" in words else table.habits.output
    stdout = words.get("stdout") or usual[0]
    stderr = words.get("stderr", "")
    if not stderr and not words.get("join", table.habits.joins and "stdout" in words):
        stderr = usual[1]
    return {name: Pattern(text) for name, text in (("output", stdout), ("error", stderr)) if text}


def _of_memory(words: Mapping[str, Any]) -> list[str]:
    """The words about memory that are said, in the order of the list of all words."""
    return [word for word in WORDS if word in MEMORY and words.get(word) is not None]


def lone_memory(words: Mapping[str, Any]) -> Mapping[str, Any]:
    """The words. Raises `InvalidRequest` for memory that is said in two ways, which managers understand otherwise."""
    said = _of_memory(words)
    if len(said) > 1:
        raise InvalidRequest(f"memory is said twice, as {said[0]} and as {said[1]}", hint="leave out one of them")
    return words


def said_together(words: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
    """The words without what our flags do not say together: of lines that are `kept` as they are they are for our records
    alone."""
    left_out = {*_of_memory(words)[1:]}
    some = {}
    if "gpus" in kept and (not words.get("num_nodes") or words["gpus"] % words["num_nodes"]):
        left_out |= {"gpus"}
        some = {"gpus_per_node": 1}  # of how many nodes is not known, but that there are some
    if "ranks" in words and words["ranks"] < words.get("num_nodes", 1):
        left_out |= SHAPE
    return {**some, **{name: value for name, value in words.items() if name not in left_out}}
