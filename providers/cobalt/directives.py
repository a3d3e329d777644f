"""The options of Cobalt's `qsub`, as `#COBALT` lines have them: its manual and source, version 1.0.33."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from psij_parsl.platforms.directives.option import NO_TERMINAL, dropped, means, needless, only_here, refused, switch
from psij_parsl.platforms.directives.reading import Lines
from psij_parsl.platforms.directives.table import DirectiveTable
from psij_parsl.platforms.directives.values import count, file_name, minutes
from psij_parsl.platforms.directives.words import NoEquivalent

from .habits import HABITS

_ASK = "ask qsub itself"
_ANSWER = "psij-run reads what qsub prints"
_ID = r"\$(?:jobid|COBALT_JOBID|\{jobid\})"
_FILE = file_name({_ID: "{id}"})
_CLOCK = minutes(bare=60, pair=(3600, 60))


def _which(lines: Lines) -> Lines:
    """Those right below `#!`, and none without it."""
    for number, line in lines:
        if not line.startswith("#!" if number == 1 else "#COBALT "):
            return
        yield number, line


def _time(text: str) -> int | None:
    """Minutes, H:M, H:M:S or D:H:M:S; 0 is as long as the queue allows."""
    return _CLOCK(re.sub(r"^(\d+):(?=\d+:\d+:\d+$)", r"\1-", text))


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    """The parts of `--attrs`: `mcdram=flat:location=1001-1005`."""
    for pair in text.split(":"):
        name, _, value = pair.partition("=")
        yield name, value


def _environment(text: str) -> Mapping[str, str]:
    r"""`A=1:B=x\:y`: a colon ends a value where a name and `=` follow, and neither has a backslash before it."""
    found = {}
    for pair in re.split(r"(?<!\\):(?=\w+=)", text):
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"\w+", name):
            raise ValueError(f"must be NAME=VALUE with colons between, not {text!r}")
        found[name] = _without_id(value).replace(r"\:", ":").replace(r"\=", "=")
    return found


def _without_id(text: str) -> str:
    if re.search(_ID, text):
        raise NoEquivalent("has the job's id in it")
    return text


def _after(text: str) -> tuple[str, ...]:
    """All of them are to end with 0."""
    if text.lower() == "none":
        return ()
    if not re.fullmatch(r"\d+(:\d+)*", text):
        raise ValueError(f"must be ids of jobs with colons between, not {text!r}")
    return tuple(f"afterok:{job_id}" for job_id in text.split(":"))


def _mode(text: str) -> Iterator[tuple[str, str]]:
    yield ("script", "") if text == "script" else ("", text)


def _settle(words: dict[str, Any]) -> Mapping[str, Any]:
    """The prefix of the output files counts where they have no names of their own."""
    if "_prefix" not in words:
        return words
    return {"stdout": f"{words['_prefix']}.output", "stderr": f"{words['_prefix']}.error", **words}


TABLE = DirectiveTable(
    command="qsub",
    prefix="#COBALT ",
    written="#COBALT",
    which=_which,
    split=str.split,
    parts={"--attrs": _attributes, "--mode": _mode},
    settle=_settle,
    abbreviated=True,
    habits=HABITS,
    options=(
        # ---- size
        means("-n --nodecount", "num_nodes", count),
        means("--proccount", "ranks", count, instead="say -n"),
        means("-t --time", "wall_time_min", _time),
        # ---- place
        means("-q --queue", "queue"),
        means("-A --project", "project"),
        means("--attrs location", "hosts", parameter="attrs", for_parameter="location={}".format),
        only_here("--attrs", parameter="attrs"),
        # ---- files, environment, order
        means("--jobname", "name", _without_id),
        means("--cwd", "directory"),
        means("-i --inputfile", "stdin", file_name({})),
        means("-O --outputprefix", "_prefix", _FILE, instead="say -o and -e"),
        means("-o --output", "stdout", _FILE),
        means("-e --error", "stderr", _FILE),
        means("--env", "environment", _environment),
        refused("-u --umask", "a line in --setup can set it, with umask"),
        means("--dependencies", "after", _after),
        switch("-h --held", "hold"),
        # ---- what a job can do without elsewhere
        dropped("-M --notify", parameter="notify"),
        dropped("--debuglog", instead="psij-run reads it"),
        dropped("--run_users --user_list"),
        dropped("--run_project", arguments=0),
        dropped("--preemptable", arguments=0),
        # ---- of Blue Genes alone
        only_here("--kernel"),
        only_here("-K --kerneloptions"),
        only_here("--ion_kernel"),
        only_here("--ion_kerneloptions"),
        only_here("--geometry"),
        only_here("--disable_preboot", arguments=0),
        # ---- of qsub itself
        needless("--mode script", "a job's script runs once, on its first node"),
        refused("--mode", "qsub takes no other mode than script from a script; say -N, --ntasks-per-node and -c"),
        needless("-d --debug", _ANSWER),
        needless("-v --verbose", _ANSWER),
        refused("-I --interactive", NO_TERMINAL, arguments=0),
        refused("--help", _ASK, arguments=0),
        refused("--version", _ASK, arguments=0),
    ),
)
