"""The options of Grid Engine's `qsub`, as `#$` lines have them.

https://gridscheduler.sourceforge.net/htmlman/htmlman1/qsub.html, sge_types(1), complex(5), queue_conf(5)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from psij_parsl.platforms.directives.option import (
    WAITS,
    Elsewhere,
    Option,
    dropped,
    means,
    needless,
    only_here,
    refused,
    switch,
)
from psij_parsl.platforms.directives.reading import all_lines
from psij_parsl.platforms.directives.table import DirectiveTable
from psij_parsl.platforms.directives.values import count, file_name, moment, variables
from psij_parsl.platforms.directives.words import NoEquivalent
from psij_parsl.platforms.tools import without_host

from .habits import HABITS

_ASK = "ask qsub itself"
_MEMORY = ("-l mf -l mem_free", "-l vf -l virtual_free", "-l mfree -l m_mem_free", "-l h_vmem", "-l h_rss")
_SITES_MEMORY = ("-l mem", "-l memory")
_GPUS = ("-l gpu", "-l gpus", "-l ngpu", "-l ngpus", "-l GPU")
_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS = {**_THOUSANDS, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
#: Names of parallel environments whose slots are on one host. `openmpi` is none of them.
_ONE_HOST = re.compile(r"smp|(?:openmp|threaded|pthread)(?!i)(?!.*mpi)[^*?\[]*", re.IGNORECASE)
_NAMES = {r"^\$HOME": "~", r"\$JOB_NAME": "{name}", r"\$USER": "{user}", r"\$HOSTNAME": "{host}"}
_OF_JOB = file_name({**_NAMES, r"\$JOB_ID": "{id}"})
_OF_ARRAY = file_name({**_NAMES, r"\$JOB_ID": "{array}", r"\$TASK_ID": "{index}"})


# ---- lines and lists -----------------------------------------------------------------------------------------------


def _split(line: str) -> list[str]:
    """As qsub: `#` begins a comment even within quotes, any quote is taken away, a backslash is one."""
    if line.lstrip().startswith("#$"):
        raise ValueError("after #$ come a blank and an option")
    text = line.partition("#")[0].strip()
    words = [re.sub("[\"']", "", word) for word in re.findall(r"""(?:"[^"]*"?|'[^']*'?|[^ \t"'])+""", text)]
    if "-binding" in words:  # it has one argument or two
        at = words.index("-binding") + 1
        if words[at : at + 1] and words[at] in ("set", "env", "pe"):
            words[at : at + 2] = [" ".join(words[at : at + 2])]
    return words


def _resources(text: str) -> Iterator[tuple[str, str]]:
    """The parts of `-l`: `h_rt=1:0:0,exclusive`. A name alone is TRUE."""
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        yield name.strip(), value.strip() if equals else "TRUE"


# ---- values --------------------------------------------------------------------------------------------------------


def _seconds(text: str) -> int | None:
    """Seconds, or `H:M:S` of which each may be left out; None for no limit."""
    if text.upper() == "INFINITY":
        return None
    match = re.fullmatch(r"(\d*):(\d*):(\d*)", text)
    if match is None and not re.fullmatch(r"(?!0\d)\d+", text):  # qsub takes 0100 for an octal number
        raise ValueError(f"must be seconds or H:M:S, not {text!r}")
    hours, minutes, seconds = match.groups() if match else ("", "", text)
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) or None


def _minutes(text: str) -> int | None:
    seconds = _seconds(text)
    return None if seconds is None else -(-seconds // 60)


def _megabytes(text: str) -> int:
    """MB, rounded up; 0 for no limit. A small letter counts in thousands, a capital one in 1024s."""
    if text.upper() == "INFINITY":
        return 0
    match = re.fullmatch(r"(?!0\d)(\d+(?:\.\d+)?|\.\d+)([kKmMgGtT]?)", text)
    if match is None:
        raise ValueError(f"must be an amount of memory, such as 4G, not {text!r}")
    return math.ceil(Fraction(match[1]) * _UNITS[match[2]] / (1 << 20))


def _gpus(text: str) -> Mapping[str, int]:
    if text.upper() == "TRUE":
        raise NoEquivalent("asks for hosts with GPUs, and not for how many")
    return {"_gpus": 0 if text == "0" else count(text)}


def _truth(text: str) -> bool:
    if text.upper() not in ("TRUE", "FALSE", "1", "0"):
        raise ValueError(f"must be TRUE or FALSE, not {text!r}")
    return text.upper() in ("TRUE", "1")


def _yes(text: str) -> bool:
    if text.lower() not in ("y", "yes", "n", "no"):
        raise ValueError(f"must be y or n, not {text!r}")
    return text.lower() in ("y", "yes")


def _yes_or_no(text: str) -> str:
    """As a parameter has it; another text as it is, for the parameter to refuse."""
    return {"y": "yes", "n": "no"}.get(text.lower(), text)


def _host(text: str) -> str:
    if re.search(r"[*?\[\]|&!()]", text):
        raise NoEquivalent("asks for hosts by a pattern of their names")
    return text


@dataclass(frozen=True)
class _Slots:
    """Of which parallel environment, '' without one, and how many; 0 for a range of numbers."""

    environment: str = ""
    number: int = 1


def _slots(text: str) -> Mapping[str, _Slots]:
    name, _, number = text.partition(" ")
    if match := re.fullmatch(r"(\d+)-(\d+)", number):
        return {"_pe": _Slots(name, count(match[1]) if match[1] == match[2] else 0)}
    if re.search(r"\d", number) and re.fullmatch(r"[\d,-]+", number) and not number.isdecimal():
        return {"_pe": _Slots(name, 0)}
    return {"_pe": _Slots(name, count(number))}


def _array(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*(-\d+(:\d+)?)?", text):
        raise ValueError(f"must be N, N-M or N-M:STEP, not {text!r}")
    return text


def _after(text: str) -> tuple[str, ...]:
    """Numbers of jobs, whichever way these end. Their names, too, are Grid Engine's alone."""
    if not re.fullmatch(r"[0-9.,]+", text):
        raise NoEquivalent(f"waits for jobs by their names, {text}")
    return tuple(f"afterany:{job}" for job in text.split(",") if job)


def _begin(text: str) -> str:
    if not re.fullmatch(r"\d{8}(\d\d){0,2}(\.\d\d)?", text):
        raise ValueError(f"must be [[CC]YY]MMDDhhmm[.SS], not {text!r}")
    return moment(text)


def _path(text: str) -> str:
    """A path; `host:/path` is the path: our jobs' files are where the job is."""
    if "," in text:
        raise NoEquivalent("names a path for each of several hosts")
    return without_host(text)


def _output(word: str) -> Callable[[str], Mapping[str, Any]]:
    return lambda text: {word: _path(text), "append": True}


def _idle(name: str, values: str, why: str, instead: str) -> Option:
    """An option that changes nothing with one of these values, which are a text with blanks between."""

    def read(text: str) -> str:
        if text.lower() not in values.split():
            raise NoEquivalent(why)
        return text

    return means(name, "_idle", read, elsewhere=Elsewhere.NEEDLESS, instead=instead)


# ---- all options together ------------------------------------------------------------------------------------------


def _settle(words: dict[str, Any]) -> Mapping[str, Any]:
    """Of slots ranks and cores are made where they are on one host; a slot is a core, and memory is asked for each."""
    settled = dict(words)
    settled |= _size(words)
    if words.get("_soft_s") is not None:
        settled |= _signal(words)
    if "_account" in words:
        settled.setdefault("project", words["_account"])
    for word, letter in (("stdout", "o"), ("stderr", "e")):
        if word in words:
            settled[word] = _file(words[word], letter, array="array" in words)
    if "stdin" in words:
        settled["stdin"] = _file(words["stdin"], "", array="array" in words)
    if words.get("join"):
        settled.pop("stderr", None)  # qsub: with -j y it is not used
    return settled


def _size(words: Mapping[str, Any]) -> Mapping[str, Any]:
    settled: dict[str, Any] = {}
    asked: _Slots = words.get("_pe", _Slots())
    name, slots = asked.environment, asked.number
    on_one_host = not name or _ONE_HOST.fullmatch(name)
    if words.get("_gpus"):
        if not (on_one_host and slots):
            raise NoEquivalent("asks for GPUs for each slot, and how many slots a node has is not known", "_gpus")
        settled["gpus_per_node"] = words["_gpus"] * slots
    if not slots:
        raise NoEquivalent("asks for a range of numbers of slots", "_pe")
    if not on_one_host:
        raise NoEquivalent(
            f"asks for slots in the parallel environment {name}: how they are placed, only its cluster knows;"
            " say -N, or -n, which decides",
            "_pe",
        )
    if name:
        settled |= {"num_nodes": 1, "ranks_per_node": 1, "cpus_per_rank": slots}
    if memory := max(words.get("_memory", {"": 0}).values()):
        settled["memory_per_core"] = memory
    return settled


def _signal(words: Mapping[str, Any]) -> Mapping[str, Any]:
    """SIGUSR1 at the soft limit of time."""
    if words.get("wall_time_min") is None:
        raise NoEquivalent("sets a soft limit of time, and h_rt does not say when the job ends", "_soft_s")
    if "signal_before_end" in words:
        raise NoEquivalent("asks for a second signal before the end, beside that of -notify", "_soft_s")
    before = words["wall_time_min"] * 60 - words["_soft_s"]
    return {"signal_before_end": f"USR1@{before}"} if before > 0 else {}


def _file(path: str, letter: str, *, array: bool) -> str:
    """With our placeholders. In a folder the file has the name that Grid Engine gives it."""
    if letter and path.endswith("/"):
        path += f"$JOB_NAME.{letter}$JOB_ID{'.$TASK_ID' if array else ''}"
    return (_OF_ARRAY if array else _OF_JOB)(path)


# ---- the table -----------------------------------------------------------------------------------------------------


def _resource(names: str, sets: str, read: Callable[[str], Any], **settings: Any) -> Option:
    """A part of `-l`. In a job of ours it is one of the parameter `resources`."""
    name = names.split()[-1]
    return means(names, sets, read, parameter="resources", for_parameter=f"{name}={{}}".format, **settings)


def _memory(names: str) -> Option:
    """Where several say how much, it is the greatest that counts: one is the need, another the limit."""
    name = names.split()[-1]
    return _resource(names, "_memory memory_per_core", lambda text: {"_memory": {name: _megabytes(text)}})


TABLE = DirectiveTable(
    command="qsub",
    prefix=r"#\$(?=\s+-)",
    written="#$",
    which=all_lines,
    split=_split,
    parts={"-l": _resources},
    settle=_settle,
    one_dash=True,
    joined=False,
    habits=HABITS,
    options=(
        means(
            "-pe",
            "_pe num_nodes ranks_per_node cpus_per_rank",
            _slots,
            arguments=2,
            parameter="pe",
            for_parameter=lambda text: text.partition(" ")[0],
        ),
        *map(_memory, (*_MEMORY, *_SITES_MEMORY)),
        *(_resource(name, "_gpus gpus_per_node", _gpus) for name in _GPUS),
        means("-l h_rt", "wall_time_min", _minutes),
        _resource("-l s_rt", "_soft_s signal_before_end", lambda text: {"_soft_s": _seconds(text)}),
        _resource("-l excl -l exclusive", "exclusive", _truth),
        # ---- place
        _resource("-l h -l hostname", "hosts", _host),
        only_here("-l a -l arch", parameter="resources", for_parameter="arch={}".format),
        _resource("-l q -l qname", "queue", str),
        only_here("-l", parameter="resources"),
        means("-q", "queue"),
        means("-P", "project"),
        means("-A", "_account project", lambda text: {"_account": text}, instead="say the project, which is -P"),
        means("-ar", "reservation"),
        only_here("-masterq"),
        # ---- files, environment, order
        means("-N", "name"),
        means("-wd", "directory"),
        needless("-cwd", "a job starts where it was submitted"),
        means("-i", "stdin", _path),
        means("-o", "stdout append", _output("stdout")),
        means("-e", "stderr append", _output("stderr")),
        means("-j", "join", _yes, instead="say -o, and stderr goes there, too"),
        means("-v", "environment", variables),
        needless("-V", "a job has the submitting shell's environment"),
        means("-S", "shell", _path),
        means("-t", "array", _array),
        means("-tc", "array_limit", count, parameter="max_running"),
        means("-hold_jid", "after", _after),
        refused("-hold_jid_ad", "-d waits for whole arrays"),
        switch("-h", "hold"),
        means("-a", "begin", _begin),
        switch("-notify", "signal_before_end", "USR2@60"),  # the usual `notify` of a queue
        # ---- what a job can do without elsewhere
        dropped("-m", parameter="mail_events", for_parameter=lambda text: text.replace(",", "")),
        dropped("-M", parameter="mail_user"),
        dropped("-p", parameter="priority"),
        dropped("-js"),
        dropped("-dl"),
        dropped("-r", parameter="rerunnable", for_parameter=_yes_or_no),
        dropped("-R", parameter="reserve", for_parameter=_yes_or_no),
        dropped("-c"),
        dropped("-ckpt"),
        dropped("-ac"),
        dropped("-dc"),
        dropped("-sc"),
        # ---- Grid Engine's alone
        needless("-hard", "a request is one that must be met"),
        refused("-soft", "a request is one that must be met: leave out those after it", arguments=0),
        refused("-clear", "leave out the options before it", arguments=0),
        _idle("-now", "n no", "starts at once or not at all", "a job waits until there is room"),
        only_here("-binding"),
        only_here("-jsv"),
        *map(only_here, ("-par", "-jc", "-mbind", "-umask", "-masterl", "-xd")),  # of Univa's and its heirs'
        # ---- of qsub itself
        _idle("-b", "n no", "runs a program in place of the script", "the job says what runs"),
        _idle("-shell", "y yes", "runs a program without a shell", "the job says what runs"),
        _idle("-w", "e w n", "submits nothing", "`psij-run render` shows what is submitted"),
        needless("-sync", WAITS, arguments=1),
        needless("-terse", "psij-run reads what qsub prints"),
        refused("-verify", "`psij-run render` shows what is submitted", arguments=0),
        refused("-C", "option lines begin with #$"),
        refused("-@", "its file's options can be #$ lines"),
        refused("-u", "it would be another's job"),
        refused("-help", _ASK, arguments=0),
    ),
)
