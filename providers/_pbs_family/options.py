"""The options of `qsub` that all managers of this family have with the same meaning, and readers of their values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from psij_parsl.dependency import DEPENDENCY_KINDS
from psij_parsl.platforms.directives.option import (
    NO_TERMINAL,
    Option,
    dropped,
    means,
    needless,
    only_here,
    refused,
    switch,
)
from psij_parsl.platforms.directives.reading import Lines, before_first_command, joined_lines
from psij_parsl.platforms.directives.table import DirectiveTable
from psij_parsl.platforms.directives.values import count, file_name, megabytes, minutes, moment
from psij_parsl.platforms.directives.words import NoEquivalent
from psij_parsl.platforms.tools import without_host

from .habits import habits

SIZE = megabytes(bare="B")
PREFIX = r"#PBS(?=\s|$)"
_TIME = minutes(bare=1, pair=(60, 1))
SHAPE = "say -N, -n and -c"
OF_NODES = ("cpus_per_rank", "gpus_per_node", "memory_per_node")  # what chunks and nodes may say, too


@dataclass(frozen=True)
class Chunks:
    """What `select`, `nodes`, or resources of the whole job ask for: so many parts, each on one host.

    `own_hosts`: each part is on a host of its own, whatever `place` says.
    """

    number: int = 1
    ncpus: int = 1
    mpiprocs: int = 1
    ngpus: int = 0
    mem: int = 0
    ompthreads: int = 0
    own_hosts: bool = False


_WIDE: Mapping[str, str] = {"_ncpus": "ncpus", "_mpiprocs": "mpiprocs", "_ngpus": "ngpus"}
"""Resources of the whole job, in the older form: one chunk has them all. Word -> field of `Chunks`."""


# ---- lines ---------------------------------------------------------------------------------------------------------


def option_lines(lines: Lines) -> Lines:
    """Those before the first command; an option line that ends in a backslash goes on in the next line."""
    return before_first_command(joined_lines(lines, rf"({PREFIX}.*)\\\s*", PREFIX))


def split(line: str) -> list[str]:
    """As a shell does it; from a word that begins with `#` on, the rest is a comment."""
    said = re.match(r"""(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|(?<=\S)#|[^"'\\#])*""", line)
    end = said.end() if said else 0
    return shlex.split(line[:end] if line[end:].startswith("#") else line)


# ---- values --------------------------------------------------------------------------------------------------------


def resources(text: str) -> Iterator[tuple[str, str]]:
    """The parts of `-l`: `walltime=1:00:00,mem=4gb`."""
    for pair in filter(None, text.split(",")):
        name, _, value = pair.partition("=")
        yield name.strip(), value.strip()


def attributes(text: str) -> Iterator[tuple[str, str]]:
    """The parts of `-W`: a comma begins the next one where a name and `=` follow it."""
    for pair in re.split(r",(?=\s*[A-Za-z_]+\s*=)", text):
        name, _, value = pair.partition("=")
        yield name.strip(), value.strip()


def alike(kinds: Sequence[Chunks], what: str) -> Chunks:
    """Parts that are the same but for their number, as one. Raises `NoEquivalent` for others; `what` is their name."""
    if any(replace(kind, number=1) != replace(kinds[0], number=1) for kind in kinds):
        raise NoEquivalent(f"asks for {what} that differ")
    return replace(kinds[0], number=sum(kind.number for kind in kinds))


def nodes(gpu_modes: Sequence[str] = ()) -> Callable[[str], Mapping[str, Any]]:
    """A reader of `1:ppn=4+2:ppn=4#excl`. `gpu_modes`: what may be said after `gpus=` and makes no difference to us."""

    def read(text: str) -> Mapping[str, Any]:
        hosts, *of_all = text.split("#")
        found: dict[str, Any] = {"_nodes": alike([_node(kind, gpu_modes) for kind in hosts.split("+")], "nodes")}
        for word in of_all:
            if word not in ("excl", "shared"):
                raise NoEquivalent(f"asks for #{word}, a property of hosts")
        return found | ({"exclusive": True} if "excl" in of_all else {})

    return read


def _node(text: str, gpu_modes: Sequence[str]) -> Chunks:
    """`2:ppn=4:gpus=1`, the older form: hosts, with a rank on each of its cores."""
    number, *rest = text.split(":")
    if not number.isdecimal():
        raise NoEquivalent("names a host or a property of hosts")
    found: dict[str, Any] = {"number": count(number)}
    for pair in rest:
        name, _, value = pair.partition("=")
        if name == "ppn":
            found["ncpus"] = found["mpiprocs"] = count(value)
        elif name == "gpus":
            found["ngpus"] = count(value)
        elif "ngpus" not in found or pair.lower() not in gpu_modes:
            raise NoEquivalent(f"asks for {pair}, a property of hosts")
    return Chunks(**found, own_hosts=True)


def wall_time(text: str) -> int | None:
    """Seconds, `M:S` or `H:M:S`."""
    if "-" in text:
        raise ValueError(f"must be seconds or H:M:S, not {text!r}")
    return _TIME(text)


def dependencies(kinds: Mapping[str, str]) -> Callable[[str], tuple[str, ...]]:
    """A reader of `afterok:1.server:2.server,afterany:3.server`: one text for each job. `kinds`: manager's -> ours."""

    def read(text: str) -> tuple[str, ...]:
        found = []
        for part in filter(None, text.split(",")):
            kind, *ids = part.split(":")
            if kind not in kinds:
                raise NoEquivalent(f"has the dependency {kind}, which other managers do not have")
            if not all(ids) or not ids:
                raise ValueError(f"must be KIND:ID, not {part!r}")
            if counted := next((job_id for job_id in ids if re.search(r"\[\]\[\d+\]", job_id)), ""):
                raise NoEquivalent(f"waits for some elements of an array, {counted}")
            found += [f"{kinds[kind]}:{job_id}" for job_id in ids]
        return tuple(found)

    return read


AFTER: Mapping[str, str] = {kind: kind for kind in DEPENDENCY_KINDS}
"""The kinds of dependencies that all of them have, and we."""


def file(suffix: str, placeholders: Mapping[str, str]) -> Callable[[str], str]:
    """A reader of output files; in a folder, `logs/`, the file has the job's id and `suffix` as its name.

    `host:/path` is the path: our jobs' files are where the job is.
    """
    ours = file_name(placeholders)

    def read(text: str) -> str:
        path = without_host(text)
        if path != text and not path.startswith("/"):
            raise NoEquivalent("is a file in the home directory of a host")
        return ours(path) + (f"{{id}}{suffix}" if path.endswith("/") else "")

    return read


def _join(text: str) -> Mapping[str, Any]:
    if text not in ("oe", "eo", "n"):
        raise ValueError(f"must be oe, eo or n, not {text!r}")
    return {"join": text != "n", "_into_stderr": text == "eo"}


def _variables(text: str) -> Mapping[str, str | None]:
    """`A=1,B,C='1,2'`: quotes keep the commas of a value.

    It is no `dict`: those of several options would add up, and here the last one counts.
    """
    words = shlex.shlex(text, posix=True)
    words.whitespace, words.whitespace_split, words.commenters = ",", True, ""
    found: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.strip().partition("=")
        if not name.isidentifier():
            raise ValueError(f"must be names of variables, not {name!r}; quotes keep a value's commas")
        found[name] = value if equals else None
    return MappingProxyType(found)


def _shell(text: str) -> str:
    if "@" in text or "," in text:
        raise NoEquivalent("names a shell for each host")
    return text


def _queue(text: str) -> str:
    if "@" in text:
        raise NoEquivalent("names another server")
    return text


# ---- all options together ------------------------------------------------------------------------------------------


def settle(words: dict[str, Any]) -> Mapping[str, Any]:
    """Chunks become nodes where each is on a host of its own; else their ranks alone are known."""
    settled = dict(words)
    if words.get("join"):
        said = settled.pop("stderr", None)
        if words.get("_into_stderr"):
            settled.pop("stdout", None)
            settled |= {"stdout": said} if said else {}
    if "environment" in words:
        settled["environment"] = dict(words["environment"])
    wide = [word for word in _WIDE if word in words]
    parts = [word for word in ("_chunks", "_nodes") if word in words]
    if len(parts) > 1:
        raise NoEquivalent("stands beside select: a job has one of them", "_nodes")
    if parts and wide:
        raise NoEquivalent("stands beside select or nodes, which say it for each node", wide[0])
    if parts or wide:
        asked: Chunks = words[parts[0]] if parts else Chunks(**{_WIDE[word]: words[word] for word in wide})
        if asked.ncpus % asked.mpiprocs:
            raise NoEquivalent(
                f"has {asked.ncpus} cores for {asked.mpiprocs} ranks, which is no whole number for each",
                next(word for word in (*parts, "_mpiprocs") if word in words),
            )
        settled |= _shape(asked, words.get("_arrangement", "free"), words.get("_whole_hosts", False))
        if asked.ompthreads:
            settled["environment"] = {"OMP_NUM_THREADS": str(asked.ompthreads), **settled.get("environment", {})}
    return settled


def _shape(asked: Chunks, arrangement: str, whole_hosts: bool) -> dict[str, Any]:
    if arrangement == "pack" and not asked.own_hosts:
        nodes, on_each = 1, asked.number
    elif asked.number == 1 or asked.own_hosts or whole_hosts or arrangement == "scatter":
        nodes, on_each = asked.number, 1
    else:
        nodes, on_each = 0, asked.number  # where they are is the scheduler's to say
    ranks, gpus, memory = asked.mpiprocs * on_each, asked.ngpus * on_each, asked.mem * on_each
    found = {"cpus_per_rank": asked.ncpus // asked.mpiprocs}
    if nodes:
        found |= {"num_nodes": nodes, "ranks_per_node": ranks}
        amounts = {"gpus_per_node": gpus, "memory_per_node": memory}
    else:
        found |= {"ranks": ranks}
        amounts = {"gpus": gpus, "memory": memory}
    return found | {name: amount for name, amount in amounts.items() if amount}


COMMON: tuple[Option, ...] = (
    # ---- size
    means("-l ncpus", "_ncpus", count, instead=SHAPE),
    means("-l mem", "memory", SIZE, instead="say --mem, which is for each node"),
    means("-l pmem", "memory_per_rank", SIZE, parameter="resources", for_parameter="pmem={}".format),
    dropped("-l nice", parameter="resources", for_parameter="nice={}".format),
    only_here("-l", parameter="resources"),
    # ---- place
    means("-q", "queue", _queue),
    means("-A", "project"),
    # ---- files, environment, order
    means("-N", "name"),
    means("-j", "join _into_stderr", _join, instead="say -o, and stderr goes there, too"),
    needless("-k", "output files are written as the job goes on", arguments=1),
    means("-v", "environment", _variables),
    needless("-V", "a job has the submitting shell's environment"),
    means("-S", "shell", _shell, instead="the script's #! line says it"),
    switch("-h", "hold"),
    means("-a", "begin", moment),
    only_here("-W group_list", parameter="group_list"),
    only_here("-W umask", instead="a line of the script can say it: umask 027"),
    refused("-W interactive", NO_TERMINAL),
    only_here("-W stagein"),
    only_here("-W stageout"),
    only_here("-W"),
    # ---- what a job can do without elsewhere
    dropped("-m", parameter="mail_events"),
    dropped("-M", parameter="mail_user"),
    dropped("-p", parameter="priority"),
    dropped("-r", parameter="rerunnable", for_parameter=lambda text: {"y": "yes", "n": "no"}.get(text, text)),
    dropped("-c"),
    # ---- of qsub itself
    refused("-I", NO_TERMINAL, arguments=0),
    refused("-X", NO_TERMINAL, arguments=0),
    refused("-C", "option lines begin with #PBS"),
    refused("-u", "it would be another's job"),
    needless("-z", "psij-run reads the id that qsub prints"),
    refused("--version", "ask qsub itself", arguments=0),
)
"""The rows of their tables that are the same for all."""


def table(
    *own: Option,
    settle: Callable[[dict[str, Any]], Mapping[str, Any]] = settle,
    first: tuple[str, ...] = (),
    index_variables: tuple[str, ...] = (),
) -> DirectiveTable:
    """The table of a `qsub` that has `own` options beside those of both, and its variables for an element's index."""
    return DirectiveTable(
        command="qsub",
        prefix=PREFIX,
        written="#PBS",
        options=(*COMMON, *own),
        which=option_lines,
        split=split,
        parts={"-l": resources, "-W": attributes},
        settle=settle,
        first=first,
        any_case=True,
        habits=habits(index_variables),
    )
