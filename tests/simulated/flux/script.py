"""What `flux batch` takes: options, and `# flux:` lines as its own parser reads them."""

from __future__ import annotations

import getopt
import os
import re
import shlex
import sys

from ..manager import Refused
from ..state import JobData, request
from .instance import Flux

_LONG = (
    *("bank=", "cores-per-slot=", "cwd=", "dependency=", "error=", "exclusive", "gpus-per-slot=", "job-name="),
    *("nodes=", "nslots=", "output=", "queue=", "requires=", "setattr=", "setopt=", "time-limit=", "urgency="),
)
_SHORT = "n:c:g:N:q:t:B:xo:S:"
_NAMES = {
    "-n": "nslots",
    "-c": "cores-per-slot",
    "-g": "gpus-per-slot",
    "-N": "nodes",
    "-q": "queue",
    "-t": "time-limit",
    "-B": "bank",
    "-x": "exclusive",
    "-o": "setopt",
    "-S": "setattr",
}
_SENTINEL = re.compile(r"^([^\w]*)((?:flux|FLUX):)(.*)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read(words: list[str]) -> JobData:
    """A request from the words of `flux batch`."""
    own, rest = _options(words)
    with open(rest[0], encoding="utf-8") as file:  # a carriage return ends a line
        text = file.read()
    if not text.startswith("#!"):
        raise Refused(1, f"{rest[0]} does not appear to start with '#!'")
    asked: dict[str, list[str]] = {}
    for name, value in [*(pair for line in _lines(text, rest[0]) for pair in _options(line)[0]), *own]:
        asked.setdefault(name, []).append(value)
    return _request(text, rest[0], asked)


def _options(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        pairs, rest = getopt.getopt(words, _SHORT, [*_LONG])
    except getopt.GetoptError as error:
        sys.stderr.write(f"usage: flux batch [OPTIONS...] [SCRIPT] [ARGS...]\nflux batch: error: {error}\n")
        raise SystemExit(2) from error
    return [(_NAMES.get(option, option.removeprefix("--")), value) for option, value in pairs], rest


def _lines(text: str, name: str) -> list[list[str]]:
    """The words of each option line; those below the first line that is neither one nor a comment are an error."""
    found, prefix, closed = [], "", False
    for number, line in enumerate(text.split("\n"), 1):
        match = _SENTINEL.match(line)
        if match is None:
            closed = closed or bool(prefix and line.strip() and not line.startswith(prefix.rstrip()))
            continue
        if closed:
            raise Refused(1, f"{name}: line {number}: orphan '{match[2]}' detected: directives disabled")
        prefix = prefix or match[1]
        if re.search(r"""((?:["']){3})""", match[3]):
            raise Refused(1, f"{name}: line {number}: unclosed triple quote: {match[3]}")
        lexer = shlex.shlex(match[3], posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.escapedquotes = "\"'"
        try:
            found.append(list(lexer))
        except ValueError as error:
            raise Refused(1, f"{name}: line {number}: {match[3]}: {error}") from error
    return found


def _request(text: str, name: str, asked: dict[str, list[str]]) -> JobData:
    last = {option: values[-1] for option, values in asked.items()}
    if "nslots" not in last and "nodes" not in last:
        raise Refused(1, "Number of slots to allocate must be specified")
    slots, nodes = int(last.get("nslots", last.get("nodes", 1))), int(last.get("nodes", 0))
    if nodes > slots:
        raise Refused(1, "node count must not be greater than task count")
    each = -(-slots // nodes) if nodes else 1
    cores, gpus = int(last.get("cores-per-slot", 1)) * each, int(last.get("gpus-per-slot", 0)) * each
    urgency = int(last.get("urgency", 16))
    if not 0 <= urgency <= 31:
        raise Refused(1, "urgency range is [0:31]")
    duration = re.fullmatch(r"(\d+)([smhd]?)", last.get("time-limit", "10m"))
    if duration is None:
        raise Refused(1, "invalid Flux standard duration")
    settings = dict(pair.partition("=")[::2] for pair in asked.get("setattr", []))
    job = request(text, last.get("job-name", name))
    job.update(
        directory=last.get("cwd", os.getcwd()),
        queue=last.get("queue", ""),
        project=last.get("bank", settings.get("system.bank", "")),
        hold="" if urgency else "u",
        depend=[list(value.partition(":")[::2]) for value in asked.get("dependency", [])],
        chunks=nodes or slots,
        chunk=dict(Flux.nodes["node01"]) if "exclusive" in last else {"cores": cores, "gpus": gpus},
        scatter=bool(nodes),
        walltime=int(duration[1]) * _SECONDS[duration[2] or "m"],
        output=last.get("output", "flux-{{id}}.out"),
        join=True,
        variables={key: value for key, value in os.environ.items() if not key.startswith("SIMULATED_")},
    )
    return job
