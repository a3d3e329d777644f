"""What `bsub -R` and `bsub -gpu` ask of hosts, read into words, and the shape of a job that follows from them.

https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=requirements-resource-requirement-strings
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from psij_parsl.platforms.directives.values import count, megabytes
from psij_parsl.platforms.directives.words import NoEquivalent

_SECTION = r"(?:select|order|rusage|span|same|cu|affinity)\["
_GPU_RESOURCES = ("ngpus_physical", "ngpus_excl_p", "ngpus_shared")
_OF_ANY_GPU = ("mode", "j_exclusive", "aff", "gpack")  # what other managers do anyway, or how the GPUs are chosen
_SIZE = megabytes(bare="K")
_WORDS: Mapping[str, Mapping[str, str]] = {
    "mem": {"host": "memory_per_node", "task": "memory_per_rank", "job": "memory"},
    "gpus": {"host": "gpus_per_node", "task": "gpus_per_rank", "job": "gpus"},
}
"""The word for a resource that is reserved for each host, each task, or the job."""


def asks(what: str) -> Callable[[str], Any]:
    """A reader of options that no other manager has an equivalent of, whatever their value."""

    def read(_: str) -> Any:
        raise NoEquivalent(f"asks for {what}")

    return read


# ---- -R ------------------------------------------------------------------------------------------------------------


def sections(text: str) -> Iterator[tuple[str, str]]:
    """The sections of `select[type==any] span[ptile=4]`, each with its name; what is no section has the name ''."""
    if re.search(r"[{}]|\]\s*\|\|", text):
        yield "", text
        return
    parts = [part.strip() for part in re.split(rf"\b(?={_SECTION})", text) if part.strip()]
    for part in parts or [""]:
        known = re.match(_SECTION, part)
        if known and not re.search(r"\](:\d+)?$", part):
            raise ValueError(f"must be sections such as span[hosts=1], not {part!r}")
        yield known[0][:-1] if known else "", part


def _inside(section: str) -> str:
    """What stands in the brackets, without blanks."""
    return re.sub(r"\s", "", section.partition("[")[2].rpartition("]")[0])


def requirement(text: str) -> Any:
    """What is no section of its own: several sets of sections, or the beginning of `rhel8 && mem>4000 order[ut]`."""
    if not text:
        raise ValueError("must be sections such as span[hosts=1], not empty")
    if re.search(r"[{}]|\]\s*\|\|", text):
        raise NoEquivalent("asks for hosts that differ, or for one of several things")
    raise NoEquivalent("asks for hosts by their properties")


def span(section: str) -> int | None:
    """How many slots of the job a host has, 0 for all of them; None: not as its queue has it."""
    name, _, value = _inside(section).partition("=")
    if name == "hosts" and value not in ("1", "-1"):
        raise ValueError(f"must be span[hosts=1] or span[ptile=NUMBER], not {section!r}")
    if name == "hosts":
        return 0 if value == "1" else None
    if name != "ptile" or not value.isdecimal():
        raise NoEquivalent("places slots by a rule that only LSF has")
    return count(value)


def affinity(section: str) -> int:
    """Cores of each rank."""
    match = re.fullmatch(r"core(?:\((\d+)\))?", _inside(section))
    if match is None:
        raise NoEquivalent("is about how ranks are bound")
    return count(match[1] or "1")


def usage(section: str) -> Mapping[str, tuple[int, str]]:
    """`mem=4GB/host:ngpus_physical=1`: for each resource the amount, and for what it is; '' where the site says that."""
    inside = _inside(section)
    if "||" in inside or "(" in inside:
        raise NoEquivalent("reserves one of several things, or at one time more than at another")
    found: dict[str, tuple[int, str]] = {}
    for item in re.split("[,:]", inside):
        name, _, value = item.partition("=")
        amount, _, whose = value.partition("/")
        if whose not in ("", "host", "task", "job"):
            raise ValueError(f"must have /host, /task or /job after an amount, not {item!r}")
        if name == "mem":
            found["mem"] = (size(amount), whose)
        elif name in _GPU_RESOURCES:
            found["gpus"] = (count(amount), whose)
        elif name in ("duration", "decay"):
            raise NoEquivalent("reserves for a part of the time")
        else:
            raise NoEquivalent(f"asks for {item}, a resource of that site")
    return found


def size(text: str) -> int:
    """An amount of memory in MB."""
    if text.isdecimal():
        raise NoEquivalent("is in KB or in the site's unit; with a unit, as in 4GB, it is clear")
    return _SIZE(text)


def limit(text: str) -> int:
    """`-M 4GB`, or `-M 4GB!`, which LSF itself enforces."""
    return size(text.removesuffix("!"))


# ---- -gpu ----------------------------------------------------------------------------------------------------------


def gpu_parts(text: str) -> Iterator[tuple[str, str]]:
    """How many GPUs, and what else is said of them."""
    options = text.replace(" ", "").split(":")
    numbers = [option for option in options if option.startswith("num=")]
    if numbers:
        yield "num", numbers[-1].removeprefix("num=")
    if others := ":".join(option for option in options if option not in numbers):
        yield "", others


def gpu_number(text: str) -> Mapping[str, int]:
    """`2` and `2/host`, on each host; `1/task`, for each rank."""
    number, _, whose = text.partition("/")
    if whose not in ("", "host", "task"):
        raise ValueError(f"must be a number, with /host or /task, not {text!r}")
    return {_WORDS["gpus"][whose or "host"]: count(number)}


def gpu_options(text: str) -> Mapping[str, Any]:
    """`mode=shared:gmodel=NVIDIAA100`: the model, and that there are GPUs at all: one, if no number is said."""
    if text == "-":
        raise NoEquivalent("asks for the GPUs that its queue has as a default")
    found: dict[str, Any] = {"_gpus": True}
    for option in text.split(":"):
        name, equals, value = option.partition("=")
        if not equals:
            raise ValueError(f"must be options such as num=2:mode=shared, not {text!r}")
        if name == "gmodel":
            found["gpu_kind"] = value
        elif name not in _OF_ANY_GPU and value != "no":
            raise NoEquivalent(f"asks for GPUs with {option}")
    return found


# ---- the shape of the job ------------------------------------------------------------------------------------------


def shape(words: Mapping[str, Any]) -> dict[str, Any]:
    """Nodes and ranks, from the slots and how many of them a host has, and what is reserved for them.

    Raises `NoEquivalent` for amounts that are for each host, slot or process, or for the job, as that site has it. For
    a job of one slot they are the same.
    """
    found: dict[str, Any] = {}
    slots, each = words.get("_slots"), words.get("_per_host")
    single = words.keys().isdisjoint(("num_nodes", "_slots_range")) and slots in (None, 1)
    for name, (amount, whose) in words.get("_reserved", {}).items():
        if not (whose or single):
            raise NoEquivalent(
                "is for each host or each slot, as that site has it; with /host it is clear", "_reserved"
            )
        found[_WORDS[name][(whose or "host") if not single else "host"]] = amount
    if "_limit" in words:
        if not single:
            raise NoEquivalent("is for each process or for the whole job, as that site has it; say --mem", "_limit")
        found["memory_per_node"] = max(words["_limit"], found.get("memory_per_node", 0))
    if "_gpus" in words and words.keys().isdisjoint(("gpus_per_node", "gpus_per_rank")):
        found.setdefault("gpus_per_node", 1)
    if slots and each is not None:
        on_each = min(each or slots, slots)
        found["num_nodes"] = -(-slots // on_each)
        found |= {"ranks": slots} if slots % on_each else {"ranks_per_node": on_each}
    elif slots:
        found["ranks"] = slots
    elif each == 0:
        found["num_nodes"] = 1
    return found
