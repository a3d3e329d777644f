"""The options of `flux batch`, as `# flux:` lines have them (flux-core 0.50 to 0.88), and those of `flux submit`.

https://flux-framework.readthedocs.io/projects/flux-core/en/latest/man1/flux-batch.html, and RFC 36 for the lines
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from fractions import Fraction
from math import ceil
from signal import Signals
from typing import Any

from psij_parsl.dependency import DEPENDENCY_KINDS
from psij_parsl.platforms.directives.option import WAITS, dropped, means, needless, only_here, refused, switch
from psij_parsl.platforms.directives.reading import Lines, OptionLines, WrongLine
from psij_parsl.platforms.directives.table import DirectiveTable
from psij_parsl.platforms.directives.values import count, file_name
from psij_parsl.platforms.directives.words import NoEquivalent

from .habits import HABITS

_ASK = "ask flux batch itself"
_ANSWER = "psij-run reads what flux batch prints"

# ---- the lines -----------------------------------------------------------------------------------------------------

_LINE = re.compile(r"(?P<begin>(?P<mark>[^\w\n]*)(?:flux|FLUX):)(?P<rest>.*)")
_QUOTES = ('"""', "'''")


def _which(lines: Lines) -> OptionLines:
    """Those that Flux takes, up to the first one that does not begin as they do; values of several lines as one line.

    A line below, one that begins otherwise than the first, and a value that is not closed make Flux refuse the script.
    """
    opened: list[tuple[int, str]] = []  # the lines of a value that is not closed yet
    for number, rest in _found(lines):
        if opened and (isinstance(rest, WrongLine) or number != opened[-1][0] + 1):
            yield _unclosed(opened)
            opened = []
        if isinstance(rest, WrongLine):
            yield number, rest
        elif opened:
            opened.append((number, rest))
            if rest[-3:] == opened[0][1][-3:]:
                yield _line(opened[0][0], _in_several_lines([text for _, text in opened]))
                opened = []
        elif rest[-3:] in _QUOTES:
            opened = [(number, rest)]
        elif not rest.lstrip().startswith("#"):
            yield _line(number, rest)
    if opened:
        yield _unclosed(opened)


def _found(lines: Lines) -> OptionLines:
    """The option lines without what they begin with, and those for which Flux refuses the script."""
    begin, mark, first, ended = "", "", 0, 0
    for number, line in lines:
        found = _LINE.match(line)
        if found is None:
            if first and not ended and line.strip() and not line.startswith(mark.rstrip()):
                ended = number
            continue
        if not first:
            begin, mark, first = found["begin"], found["mark"], number
        if ended:
            yield number, WrongLine(line.strip(), f"stands below line {ended}, where the option lines end for Flux")
        elif found["begin"] != begin:
            yield number, WrongLine(line.strip(), f"does not begin as line {first} does, with {begin!r}")
        else:
            yield number, _in_one_line(found["rest"])


def _line(number: int, rest: str) -> tuple[int, str]:
    return number, f"flux:{rest}"


def _unclosed(opened: list[tuple[int, str]]) -> tuple[int, WrongLine]:
    number, rest = opened[0]
    return number, WrongLine(rest.strip(), "opens a text of several lines, which is not closed")


def _in_one_line(rest: str) -> str:
    """A text in triple quotes within a line, quoted as words are."""
    return re.sub("|".join(f"{mark}(.*){mark}" for mark in _QUOTES), _as_word, rest)


def _as_word(text: re.Match[str]) -> str:
    return shlex.quote(text[0][3:-3])


def _in_several_lines(rests: list[str]) -> str:
    """A text that begins below its option and ends above its closing quotes, quoted as words are."""
    indent = rests[0][: -len(rests[0].lstrip())]
    option, *text = (rest.removeprefix(indent) for rest in [rests[0][:-3], *rests[1:-1], rests[-1][:-3]])
    return option + shlex.quote("\n".join(text))


def _split(line: str) -> list[str]:
    """As Flux: from `#` on the rest is a comment, and `;|&()<>` part words."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    words.escapedquotes = "\"'"
    return list(words)


# ---- values --------------------------------------------------------------------------------------------------------

_UNITS = {"ms": "0.001", "s": "1", "m": "60", "h": "3600", "d": "86400"}
_TAGS = {r"\{\{(?:job)?id(?:\.\w+)?\}\}": "{id}", r"\{\{name\}\}": "{name}", r"\{\{node\.name\}\}": "{host}"}
_FILE = file_name(_TAGS)
_CLOCK = re.compile(r"(?:(\d{4}-\d\d-\d\d) +)?(\d{1,2})(?::(\d\d))?(?::(\d\d))? *([ap]m)?")
#: Signals that end a Flux instance.
_ENDING = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGALRM")
_NOT_ON = re.compile(r"(?:-|not\s+)hosts?:([\w.,\[\]-]+)")
_EITHER = re.compile(r"\||\bor\b")


def _seconds(text: str, bare: str = "s") -> Fraction:
    """A length of time with a unit, `1.5h`; `bare` is the unit of a number alone."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(ms|[smhd])?", text)
    if match is None:
        raise ValueError(f"must be a length of time such as 90m or 1.5h, not {text!r}")
    return Fraction(match[1]) * Fraction(_UNITS[match[2] or bare])


def _minutes(bare: str) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        seconds = 0 if text.lower() in ("inf", "infinity") else _seconds(text, bare)
        return ceil(seconds / 60) if seconds else None

    return read


def _file(text: str) -> str:
    for tag in re.findall(r"\{\{[\w.]+\}\}", text):
        if not any(re.fullmatch(known, tag) for known in _TAGS):
            raise NoEquivalent(f"has {tag}, which only Flux knows")
    return _FILE(text)


def _output(text: str) -> str:
    if text in ("none", "kvs"):
        raise NoEquivalent("keeps the output in Flux itself")
    return _file(text)


def _after(text: str) -> tuple[str, ...]:
    kind, _, job_id = text.partition(":")
    if kind not in DEPENDENCY_KINDS:
        raise NoEquivalent(f"has the dependency {kind}, which other managers do not have")
    if not re.fullmatch(r"[\w.ƒ]+", job_id):
        raise ValueError(f"must be {kind}:ID, not {text!r}")
    return (text,)


def _begin(text: str) -> str:
    """`now`, `+1h`, `2026-12-01 8am`; a time without a date is today's, also where it is over."""
    if text == "now":
        return "+0"
    if text.startswith("+"):
        return f"+{ceil(_seconds(text[1:]))}"
    match = _CLOCK.fullmatch(text)
    if match is None or not (match[3] or match[5]) or int(match[2]) > (12 if match[5] else 23):
        raise NoEquivalent("names a time in words that only Flux knows")
    hour = int(match[2]) if match[5] is None else int(match[2]) % 12 + (12 if match[5] == "pm" else 0)
    return f"{match[1] or date.today()}T{hour:02}:{match[3] or '00'}:{match[4] or '00'}"


def _signal(text: str) -> str:
    """To the programs: the instance in which the script runs hands it on to its jobs."""
    name, _, before = text.partition("@")
    try:
        short = name.upper().removeprefix("SIG") or "USR1"
        name = Signals(int(name)).name if name.isdecimal() else Signals[f"SIG{short}"].name
    except (ValueError, KeyError):
        raise ValueError(f"must be SIGNAL@TIME, not {text!r}") from None
    if name in _ENDING:
        raise NoEquivalent(f"ends the job some time before its limit: Flux hands {name} on to no program")
    return f"{name.removeprefix('SIG')}@{ceil(_seconds(before or '60'))}"


def _rule(text: str) -> tuple[str, ...]:
    """A rule of what is in the environment; they count in their order, see `_environment`."""
    name, equals, value = text.partition("=")
    if text.startswith("^"):
        raise NoEquivalent("reads variables from a file")
    if not equals and text not in ("*", "-*"):
        if re.search(r"^-?/|[*?\[]", text):
            raise NoEquivalent("names variables by a pattern")
        if text.startswith("-"):
            raise NoEquivalent("takes a variable away")
    if "$" in value or "{{" in value:
        raise NoEquivalent("has a value that is made of others")
    if not re.fullmatch(r"\w+|-?\*", name):
        raise ValueError(f"must be NAME=VALUE, not {text!r}")
    return (text,)


def _environment(rules: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """The words of all rules together."""
    variables: dict[str, str | None] = {}
    for rule in rules:
        name, equals, value = rule.partition("=")
        if name in ("*", "-*"):
            yield "inherit_environment", name == "*"
            variables = {} if name == "-*" else variables
        elif equals or name not in variables:
            variables[name] = value if equals else None
    if variables:
        yield "environment", variables


def _constraint(text: str) -> tuple[str, ...]:
    if re.search(r"\branks?:", text):
        raise NoEquivalent("names ranks of a Flux instance")
    return (text,)


def _places(constraints: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Hosts that it must not have, and what nodes are to be besides. Flux joins all constraints by blanks, for "and".

    `hosts:a,b` is no list of hosts that it must have, but of those among which Flux chooses.
    """
    unwanted = (
        [] if any(map(_EITHER.search, constraints)) else [_NOT_ON.fullmatch(one.strip()) for one in constraints]
    )
    if names := [match[1] for match in unwanted if match]:
        yield "exclude_hosts", ",".join(names)
    if rest := [one for one in constraints if not (unwanted and _NOT_ON.fullmatch(one.strip()))]:
        yield "constraint", " ".join(rest)


def _attribute(text: str) -> Iterator[tuple[str, str]]:
    """The one part of `--setattr`, its name written out: `bank=x`, `.system.bank=x` are `system.bank=x`."""
    name, equals, value = text.partition("=")
    whole = re.sub(r"^(attributes)?\.", "", name)
    if whole == name and not re.match(r"(user|system)\.|\^", name):
        whole = f"system.{name}"
    yield (whole, value) if equals else ("", whole)


def _urgency(text: str) -> Iterator[tuple[str, str]]:
    """0 is no urgency, but holds the job, unless another is said later."""
    yield (text, "") if text in ("0", "hold") else ("", text)


def _settle(words: dict[str, Any]) -> Mapping[str, Any]:
    """Nodes without slots are whole nodes."""
    settled = dict(words)
    if "num_nodes" in words and "ranks" not in words:
        settled["exclusive"] = True
    if words.get("_held") is False:
        settled.pop("hold", None)
    settled |= _environment(words.get("_env", ()))
    settled |= _places(words.get("_requires", ()))
    return settled


# ---- the table -----------------------------------------------------------------------------------------------------

TABLE = DirectiveTable(
    command="flux batch",
    prefix=r"[^\w\n]*(?:flux|FLUX):",
    written="# flux:",
    which=_which,
    split=_split,
    parts={"-S": _attribute, "--urgency": _urgency},
    last=("-S",),
    settle=_settle,
    habits=HABITS,
    options=(
        means("-N --nodes", "num_nodes", count),
        means("-n --ntasks --nslots", "ranks", count, instead="say -n"),
        means("--tasks-per-node", "ranks_per_node", count),
        means("-c --cores-per-task --cores-per-slot", "cpus_per_rank", count),
        means("-g --gpus-per-task --gpus-per-slot", "gpus_per_rank", count),
        means("--gpus-per-node", "gpus_per_node", count, instead="say -g"),
        switch("-x --exclusive", "exclusive", parameter="exclusive"),
        means("-t --time-limit", "wall_time_min", _minutes("m")),
        means("-S system.duration", "wall_time_min", _minutes("s")),
        # ---- place
        means("-q --queue", "queue"),
        means("-S system.queue", "queue"),
        means("-B --bank", "project"),
        means("-S system.bank", "project"),
        means("--require --requires", "_requires", _constraint, parameter="requires"),
        # ---- files, environment, order
        means("--job-name", "name"),
        means("-S system.job.name", "name"),
        means("--cwd", "directory"),
        means("-S system.cwd", "directory"),
        means("--input", "stdin", _file),
        means("--output", "stdout", _output),
        means("--error", "stderr", _output),
        means("--env", "_env", _rule, instead="say --env or --no-env"),
        means("--env-remove", "_env", lambda text: _rule(f"-{text}"), instead="say --no-env"),
        refused("--env-file", "say --env"),
        refused("--rlimit", "a line in --setup can set limits, with ulimit"),
        means("--dependency", "after", _after),
        means("--begin-time", "begin", _begin),
        switch("--urgency 0 --urgency hold", "hold _held", {"hold": True, "_held": True}),
        means("--signal", "signal_before_end", _signal),
        # ---- what a job can do without elsewhere
        dropped(
            "--urgency",
            sets=("_held",),
            read=lambda _: False,
            parameter="urgency",
            for_parameter=lambda text: {"default": "16", "expedite": "31"}.get(text, text),
        ),
        dropped("-l --label-io", arguments=0),
        dropped("--flags"),
        # ---- Flux's alone
        only_here("-S --setattr", parameter="attributes"),
        only_here("-o --setopt", parameter="shell_options"),
        only_here("--taskmap"),
        only_here("--add-file"),
        only_here("--conf"),
        only_here("--broker-opt --broker-opts"),
        only_here("--add-brokers"),
        only_here("--dump", optional=True),
        only_here("--cores"),
        only_here("--tasks-per-core"),
        # ---- of flux batch and flux submit themselves
        needless("-u --unbuffered", "output files are written as the job goes on"),
        needless("--quiet", _ANSWER),
        needless("-v --verbose", _ANSWER),
        needless("--wait", WAITS),
        needless("--wait-event", WAITS, arguments=1),
        needless("--watch", WAITS),
        needless("--progress", WAITS),
        needless("--jps", WAITS),
        needless("--log", _ANSWER, arguments=1),
        needless("--log-stderr", _ANSWER, arguments=1),
        refused("--cc", "say --array"),
        refused("--bcc", "say --array"),
        refused("--wrap", "it is said by the job itself", arguments=0),
        refused("--dry --dry-run", "`psij-run render` shows what would be submitted", arguments=0),
        refused("--debug-emulate", _ASK, arguments=0),
        refused("--list-plugins", _ASK, arguments=0),
        refused("--help", _ASK, optional=True),
    ),
)
