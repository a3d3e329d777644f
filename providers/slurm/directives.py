"""The options of `sbatch`, as `#SBATCH` lines have them. https://slurm.schedmd.com/sbatch.html (22.05 to 26.05)"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from datetime import datetime, time
from typing import Any

from psij_parsl.dependency import BY_ELEMENT, DEPENDENCY_KINDS, SINGLETON, alternatives, read_dependencies
from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.directives.option import WAITS, dropped, means, needless, only_here, refused, switch
from psij_parsl.platforms.directives.table import DirectiveTable
from psij_parsl.platforms.directives.values import array, count, file_name, megabytes, minutes, variables
from psij_parsl.platforms.directives.words import NoEquivalent

from .habits import HABITS

_JOB = "it is said by the job itself"
_ANSWER = "psij-run reads what sbatch prints"
_ASK = "ask sbatch itself"
_SIZE = megabytes(bare="M", all_at_0=True)
_TIME = minutes(bare=60, pair=(60, 1))
_PLACEHOLDERS = file_name(
    {
        "%%": "%",
        r"%\d*[jJ]": "{id}",
        r"%\d*A": "{array}",
        r"%0*(\d+)a": r"{index:\1}",
        "%a": "{index}",
        "%x": "{name}",
        "%u": "{user}",
        "%N": "{host}",
        r"%\d*[nt]": "0",
        "%s": "batch",
    }
)
_SIGNALS = {str(each.value): each.name.removeprefix("SIG") for each in signal.Signals}
_ID = re.compile(r"[0-9]+(_([0-9]+|\*))?")


def _file(text: str) -> str:
    if text == "none":
        return "/dev/null"
    if unknown := re.search(r"%\d*[^\d%jJAaxuNnts]", text.replace("%%", "")):
        raise NoEquivalent(f"has {unknown[0]} in a file's name")
    return _PLACEHOLDERS(text)


def _nodes(text: str) -> int:
    least, _, most = text.partition("-")
    if re.search(r"[,:]|^/", text) or (most and least != most):
        raise NoEquivalent("asks for a range or a list of numbers of nodes")
    return count(least)


def _gpus(per: str) -> Callable[[str], Mapping[str, Any]]:
    """A reader of `4`, `a100:4`, `a100` and, with `gpu:` before it, of a gres: how many GPUs, and of which model."""

    def read(text: str) -> Mapping[str, Any]:
        kind, _, number = text.rpartition(":") if re.search(r"(^|:)[0-9]+$", text) else (text, "", "1")
        if "," in text or ":" in kind:
            raise NoEquivalent("asks for GPUs of several kinds")
        if kind and not re.fullmatch(r"[A-Za-z][\w.-]*", kind, re.ASCII):
            raise ValueError(f"must be a number of GPUs, or a model and a number, not {text!r}")
        return {per: count(number), **({"gpu_kind": kind} if kind else {})} if int(number) else {}

    return read


def _gres(text: str) -> Mapping[str, Any]:
    asked = [item for item in text.split(",") if item and item != "none"]
    gpus = [item.removeprefix("gres/") for item in asked if re.match(r"(gres/)?gpu(:|$)", item)]
    if len(asked) != len(gpus):
        raise NoEquivalent("asks for resources of nodes that other managers do not have")
    if len(gpus) > 1:
        raise NoEquivalent("asks for GPUs of several kinds")
    return _gpus("gpus_per_node")(gpus[0].partition(":")[2] or "1") if gpus else {}


def _after(text: str) -> tuple[str, ...]:
    """`afterok:1:2,afterany:3` as one text for each job; jobs of which one is enough are one text."""
    parts = [*filter(None, re.split("[,?]", text))]
    for kind, *_ in (part.split(":") for part in parts):
        if kind not in (*DEPENDENCY_KINDS, BY_ELEMENT, SINGLETON):
            raise NoEquivalent(f"has the dependency {kind}, which other managers do not have")
    try:
        found = read_dependencies(text.strip(","))
    except InvalidRequest:
        raise ValueError("must name jobs and how these end, such as afterok:12") from None
    for one in (one for each in found for one in alternatives(each)):
        if one.kind != SINGLETON and not _ID.fullmatch(one.job):
            raise ValueError(f"must have ids of jobs, not {one.job!r}")
    return found


def _begin(text: str) -> str:
    """`now+1hour`, `16:00`, `2026-12-01T08:00`. Words for times of the day are Slurm's alone."""
    units = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
    if match := re.fullmatch(r"now(?:\s*\+\s*([0-9]{1,9})\s*([a-z]*?)s?)?", text, re.IGNORECASE):
        if not match[1]:
            return "+0"
        if (unit := match[2].lower() or "second") in units:
            return f"+{int(match[1]) * units[unit]}"
    try:
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", text):
            return time.fromisoformat(text.zfill(5 if text.count(":") == 1 else 8)).isoformat()
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?", text):
            return datetime.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"must be a time that there is, not {text!r}") from None
    raise NoEquivalent("names a time in words that only Slurm knows")


def _signal(text: str) -> Mapping[str, Any]:
    match = re.fullmatch(r"(?:([RB]{1,2}):)?(?:SIG)?([A-Z0-9]+)(?:@([0-9]{1,5}))?", text.upper())
    if match is None or (name := _SIGNALS.get(match[2], match[2])) not in _SIGNALS.values():
        raise ValueError(f"must be [B:]SIGNAL[@SECONDS], not {text!r}")
    if "R" in (match[1] or ""):
        raise NoEquivalent("has to do with a reservation")
    word = "signal_script_before_end" if match[1] else "signal_before_end"
    return {word: f"{name}@{match[3] or 60}"}


def _export(text: str) -> Mapping[str, Any]:
    found = variables(text)
    if {name.upper() for name in found} <= {"NONE", "NIL"}:
        return {"inherit_environment": False}
    named = {name: value for name, value in found.items() if name.upper() != "ALL"}
    return {"inherit_environment": len(named) < len(found), **({"environment": named} if named else {})}


def _append(text: str) -> bool:
    if text not in ("append", "truncate", "a", "t"):
        raise ValueError(f"must be append or truncate, not {text!r}")
    return text in ("append", "a")


def _hint(text: str) -> int:
    if text != "nomultithread":
        raise NoEquivalent("is about how ranks are bound")
    return 1


def _exclusive(text: str) -> bool:
    if text:
        raise NoEquivalent("shares nodes with jobs of the same user or group")
    return True


def _settle(words: dict[str, Any]) -> Mapping[str, Any]:
    """Slurm counts CPUs, which are hardware threads: where a job says how many it uses of a core, cores follow."""
    threads = words.get("threads_per_core", 1)
    if words.get("cpus_per_rank", threads) % threads:
        raise NoEquivalent(f"is no multiple of the {threads} threads of a core", "cpus_per_rank")
    settled = dict(words)
    if "cpus_per_rank" in words:
        settled["cpus_per_rank"] = words["cpus_per_rank"] // threads
    if "memory_per_core" in words:
        settled["memory_per_core"] = words["memory_per_core"] * threads
    if {"num_nodes", "ranks"} <= words.keys() and "ranks_per_node" in words:
        del settled["ranks"]  # sbatch: with -n, --ntasks-per-node is the most that a node has
        if words["ranks"] != words["num_nodes"] * words["ranks_per_node"]:
            settled["ranks"] = words["ranks"]
            del settled["ranks_per_node"]
    return settled


def _split(line: str) -> list[str]:
    """As sbatch: a backslash takes the next character as it is, in quotes too, and from `#` on the rest is a comment."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(line)
    for character in characters:
        if character == "\\":
            if following := next(characters, ""):
                word = (word or "") + following
        elif quote and character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote, word = character, word or ""
        elif not quote and (character.isspace() or character == "#"):
            words += [word] if word is not None else []
            word = None
            if character == "#":
                return words
        else:
            word = (word or "") + character
    if quote:
        raise ValueError(f"the quote {quote} is not closed")
    return words + ([word] if word is not None else [])


TABLE = DirectiveTable(
    command="sbatch",
    prefix=r"#SBATCH",
    written="#SBATCH",
    split=_split,
    settle=_settle,
    abbreviated=True,
    last_counts=True,
    habits=HABITS,
    options=(
        means("-N --nodes", "num_nodes", _nodes),
        means("-n --ntasks", "ranks", count, instead="say -n"),
        means("--tasks-per-node --ntasks-per-node", "ranks_per_node", count),
        means("-c --cpus-per-task", "cpus_per_rank", count),
        means("--threads-per-core", "threads_per_core", count, unsaid=("1",)),
        means(
            "--hint",
            "threads_per_core",
            _hint,
            unsaid=("nomultithread", "multithread", "compute_bound", "memory_bound"),
        ),
        means("-G --gpus", "gpus gpu_kind", _gpus("gpus"), instead="say -G"),
        means("--gpus-per-node", "gpus_per_node gpu_kind", _gpus("gpus_per_node"), parameter="gpus_per_node"),
        means("--gpus-per-task", "gpus_per_rank gpu_kind", _gpus("gpus_per_rank")),
        means("--gres", "gpus_per_node gpu_kind", _gres, parameter="gres"),
        means("--mem", "memory_per_node", _SIZE),
        means("--mem-per-cpu", "memory_per_core", _SIZE),
        means("--mem-per-gpu", "memory_per_gpu", _SIZE),
        means("--exclusive", "exclusive", _exclusive, optional=True, parameter="exclusive"),
        means("-t --time", "wall_time_min", _TIME),
        # ---- place
        means("-p --partition", "queue"),
        means("-A --account", "project"),
        means("-q --qos", "qos", parameter="qos"),
        means("-C --constraint", "constraint", parameter="constraint"),
        means("--reservation", "reservation", parameter="reservation"),
        means("-w --nodelist", "hosts", parameter="nodelist"),
        means("-x --exclude", "exclude_hosts", parameter="exclude"),
        means("-L --licenses", "licenses", parameter="licenses"),
        refused("-M --cluster --clusters", "say -X cluster=NAME", parameter="cluster"),
        refused("--cluster-constraint", "say -X cluster=NAME"),
        # ---- files, environment, order
        means("-J --job-name", "name"),
        means("-D --workdir --chdir", "directory"),
        means("-i --input", "stdin", _file),
        means("-o --output", "stdout", _file),
        means("-e --error", "stderr", _file),
        means("--open-mode", "append", _append, instead=_JOB),
        means("--export", "inherit_environment environment", _export, instead="say --env or --no-env"),
        refused("--export-file", "say --env"),
        refused("--get-user-env", "a line in --setup can source a profile", optional=True),
        refused("--propagate", "a line in --setup can set limits, with ulimit", optional=True),
        means("-a --array", "array array_limit", array),
        means("-d --dependency", "after", _after),
        switch("-H --hold", "hold"),
        means("-b --begin", "begin", _begin),
        means("--signal", "signal_before_end signal_script_before_end", _signal, instead="say --signal"),
        # ---- what a job can do without elsewhere
        dropped("--mail-type", parameter="mail_type", adds=True),
        dropped("--mail-user", parameter="mail_user"),
        dropped("--nice", optional=True, parameter="nice"),
        dropped("--priority"),
        dropped("--comment", instead="psij-run knows the job by it"),
        dropped("--admin-comment"),
        dropped("--wckey"),
        dropped("--requeue", arguments=0, parameter="requeue"),
        dropped("--no-requeue", arguments=0, instead="say -X requeue=no"),
        dropped("--time-min"),
        dropped("--acctg-freq"),
        dropped("--profile"),
        dropped("--delay-boot"),
        dropped("--power"),
        # ---- Slurm's alone
        only_here("--ntasks-per-core"),
        only_here("--ntasks-per-socket"),
        only_here("--ntasks-per-gpu"),
        only_here("--gpus-per-socket"),
        only_here("--cpus-per-gpu"),
        only_here("--gpu-bind"),
        only_here("--gpu-freq"),
        only_here("--gres-flags"),
        only_here("--tres-per-task"),
        only_here("--tres-per-job"),
        only_here("--tres-bind"),
        only_here("-B --extra-node-info"),
        only_here("--sockets-per-node"),
        only_here("--cores-per-socket"),
        only_here("--mincpus"),
        only_here("--tmp"),
        only_here("-m --distribution"),
        only_here("--mem-bind"),
        only_here("--cpu-freq"),
        only_here("-S --core-spec"),
        only_here("--thread-spec"),
        only_here("-O --overcommit", arguments=0),
        only_here("-s --share --oversubscribe", arguments=0),
        only_here("-k --no-kill", optional=True),
        only_here("--oom-kill-step", optional=True),
        only_here("--contiguous", arguments=0),
        only_here("--spread-job", arguments=0),
        only_here("--use-min-nodes", arguments=0),
        only_here("--switches"),
        only_here("--segment"),
        only_here("--consolidate-segments", arguments=0),
        only_here("-F --nodefile"),
        only_here("--network"),
        only_here("--prefer"),
        only_here("--extra"),
        only_here("--deadline"),
        only_here("--kill-on-invalid-dep"),
        only_here("--wait-all-nodes"),
        only_here("--reboot", arguments=0),
        only_here("--resv-ports", optional=True),
        only_here("--stepmgr", arguments=0),
        only_here("--mcs-label"),
        only_here("--bb"),
        only_here("--bbf"),
        only_here("--container"),
        only_here("--container-id"),
        only_here("--x11", optional=True),
        # ---- of sbatch itself
        needless("--ignore-pbs", _JOB),
        needless("--parsable", _ANSWER),
        needless("-Q --quiet", _ANSWER),
        needless("-v --verbose", _ANSWER),
        needless("-W --wait", WAITS),
        refused("--test-only", "`psij-run render` shows what would be submitted", arguments=0),
        refused("--wrap", _JOB),
        refused("--uid", "it would be another's job"),
        refused("--gid", "it would be another's job"),
        refused("-h --help", _ASK, arguments=0),
        refused("--usage", _ASK, arguments=0),
        refused("--autocomplete", _ASK),
        refused("-V --version", _ASK, arguments=0),
        refused("hetjob packjob", "submit one job for each part, joined by -d after:ID", arguments=0),
    ),
)
