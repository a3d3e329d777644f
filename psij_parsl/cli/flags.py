"""The flags that say what a job is: one table for the command line, `#PSIJ` lines, PSIJ_RUN_* and the help.

Nothing here needs typer, which with what it brings along takes as long to load as all the rest of `launch`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidRequest
from ..platforms.templates.validators import memory, non_negative_int, one_of, positive_int, wall_time
from .flag_types import dependencies, environment_files, indices, job_file, pairs, unambiguous, variables

Chosen = dict[str, Any]
"""What flags said: name in the table -> text, list of texts, or True."""


@dataclass(frozen=True)
class Flag:
    """One flag. `read` converts its text, or the list of texts if it may be repeated (`many`); `switch`: no value.

    What is repeated adds up, over all places where it was said or, with `replaces`, within the strongest of them. Of
    other flags the last one counts, unless it can be said `once` only.
    `variable`: also read from PSIJ_RUN_<NAME>; `in_script`: may stand on a `#PSIJ` line.
    `complete` names what the shell offers for it, in `complete.py`.
    """

    name: str
    spellings: Sequence[str]
    metavar: str
    help: str
    read: Callable[[Any], Any] = str
    many: bool = False
    replaces: bool = False
    once: bool = False
    switch: bool = False
    variable: bool = False
    in_script: bool = True
    complete: str = ""

    @property
    def environ(self) -> str:
        """The environment variable that gives its default."""
        return f"PSIJ_RUN_{self.name.upper()}"

    @property
    def shown(self) -> str:
        """Its best known spelling, for messages."""
        return self.spellings[0]


FLAGS: tuple[Flag, ...] = (
    Flag("nodes", ("-N", "--nodes"), "COUNT", "Compute nodes.", positive_int, variable=True),
    Flag("ntasks", ("-n", "--ntasks"), "COUNT", "Ranks in all.", positive_int, variable=True),
    Flag(
        "ntasks_per_node",
        ("--ntasks-per-node", "--tasks-per-node"),
        "COUNT",
        "Ranks on each node.",
        positive_int,
        variable=True,
    ),
    Flag(
        "cpus_per_task",
        ("-c", "--cpus-per-task", "--cores-per-task"),
        "CORES",
        "Cores for each rank.",
        positive_int,
        variable=True,
    ),
    Flag(
        "threads_per_core",
        ("--threads-per-core",),
        "COUNT",
        "Hardware threads used of each core.",
        positive_int,
        variable=True,
    ),
    Flag("gpus_per_task", ("-g", "--gpus-per-task"), "COUNT", "GPUs for each rank.", non_negative_int, variable=True),
    Flag("mem", ("--mem",), "SIZE", "Memory on each node: 4G, 512M; a bare number is MB.", memory, variable=True),
    Flag(
        "time",
        ("-t", "--time"),
        "TIME",
        "Wall time: 90 (minutes), 1:30:00 (H:M:S), 1h30m or 2-12 (days-hours).",
        unambiguous(wall_time),
        variable=True,
    ),
    Flag("queue", ("-q", "--queue", "-p", "--partition"), "NAME", "Queue or partition.", variable=True),
    Flag("account", ("-A", "--account", "--project"), "NAME", "Project that is charged.", variable=True),
    Flag("job_name", ("-J", "--job-name"), "NAME", "Name shown to people (default: the command's)."),
    Flag("input", ("-i", "--input"), "FILE", "File for the command's stdin (default: empty).", job_file),
    Flag("output", ("-o", "--output"), "FILE", "File for its stdout, and its stderr unless -e is given.", job_file),
    Flag("error", ("-e", "--error"), "FILE", "File for its stderr.", job_file),
    Flag("cwd", ("-D", "--cwd", "--chdir"), "DIR", "Directory that it starts in (default: this one)."),
    Flag(
        "env", ("--env",), "NAME[=VALUE]", "Set a variable, or copy it from here. Repeatable.", variables, many=True
    ),
    Flag(
        "env_file",
        ("--env-file",),
        "FILE",
        "Set variables from the lines NAME=VALUE of a file. Repeatable.",
        environment_files,
        many=True,
    ),
    Flag("no_env", ("--no-env",), "", "Do not hand this shell's environment to the job.", switch=True),
    Flag(
        "array",
        ("--array",),
        "INDICES",
        "Run once for each index: 0-9,12,20-30:5; $PSIJ_ARRAY_INDEX tells which.",
        indices,
        once=True,
    ),
    Flag(
        "dependency",
        ("-d", "--dependency"),
        "[KIND:]ID,...",
        "Start after these jobs: afterok (default), afterany, afternotok or after. Repeatable.",
        dependencies,
        many=True,
        replaces=True,
        complete="selectors",
    ),
    Flag(
        "mode",
        ("--mode",),
        "MODE",
        "script: start the command once; serial: a copy per rank; mpi: one MPI run (default for many ranks).",
        one_of("script", "serial", "mpi"),
        variable=True,
        complete="modes",
    ),
    Flag(
        "launcher",
        ("--launcher",),
        "NAME",
        "Launch method, where not the site's own: srun, mpich, ...",
        variable=True,
        complete="launchers",
    ),
    Flag(
        "setup",
        ("--setup",),
        "SHELL",
        "Shell text before the command, which is not started if it fails, e.g. 'module load x'. Repeatable.",
        list,
        many=True,
    ),
    Flag("setup_may_fail", ("--setup-may-fail",), "", "Start the command even if a setup has failed.", switch=True),
    Flag("hold", ("--hold",), "", "Do not start before `psij-run release`.", switch=True),
    Flag(
        "site",
        ("--site",),
        "NAME",
        "Site to submit to (default: the one that this host is).",
        variable=True,
        complete="sites",
    ),
    Flag(
        "platform",
        ("--platform",),
        "NAME",
        "Resource manager, without a site: slurm, pbspro, local, ...",
        variable=True,
        complete="platforms",
    ),
    Flag("config", ("--config",), "FILE", "Site file to use.", variable=True, in_script=False),
    Flag(
        "parameters",
        ("-X", "--parameter"),
        "NAME=VALUE",
        "Parameter of the platform; `psij-run platform show` lists them. Repeatable.",
        pairs,
        many=True,
        complete="parameters",
    ),
    Flag("json", ("--json",), "", "Answers and errors as JSON.", switch=True, in_script=False),
    Flag("verbose", ("-v", "--verbose"), "", "Say more, on stderr.", switch=True, in_script=False),
)


def shown(name: str) -> str:
    """The best known spelling of the flag of that name: shown("nodes") is -N."""
    return next(flag.shown for flag in FLAGS if flag.name == name)


def gathered(values: Mapping[str, Any], flags: Sequence[Flag] = FLAGS) -> Chosen:
    """What a parser has read of these flags, by their names, without those that were not said.

    Raises `InvalidRequest` for one without a value, and for two values where there can be one.
    """
    chosen: Chosen = {}
    for flag in flags:
        value = values.get(flag.name)
        if flag.once and value:
            value = _the_one(flag, value)
        if value == "":
            raise is_empty(flag.shown)
        if value:
            chosen[flag.name] = value
    return chosen


def is_empty(name: str) -> InvalidRequest:
    """That is an error, for a flag that was given an empty text."""
    return InvalidRequest(
        f"{name} is empty", hint="say its value, or leave it out; a variable or $(...) may have come to nothing"
    )


def _the_one(flag: Flag, texts: Sequence[str]) -> str:
    other = next((text for text in texts if text != texts[0]), None)
    if other is not None:
        raise said_twice(flag, texts[0], other)
    return texts[0]


def said_twice(flag: Flag, first: str, other: str) -> InvalidRequest:
    """That is an error, for a flag that can be said once only."""
    return InvalidRequest(
        f"{flag.shown} is said twice, as {first} and as {other}", hint=f"say {flag.shown} {flag.metavar} once"
    )


def own_words(words: Sequence[str], flags: Sequence[Flag] = FLAGS) -> int:
    """Where the command's own words begin in those after `run`: behind `--`, or at the first that is no flag."""
    takes_value = {spelling for flag in flags if not flag.switch for spelling in flag.spellings}
    place = 0
    while place < len(words):
        word = words[place]
        if word == "--":
            return place + 1
        if not word.startswith("-") or word == "-":
            return place
        if not word.startswith("--"):  # -N2 or -vN 2: the first letter that takes a value has the rest
            letters = [f"-{letter}" for letter in word[1:]]
            word = next((each for each in letters if each in takes_value), "")
            word = word if word == letters[-1] else ""
        place += 2 if word in takes_value else 1
    return min(place, len(words))


def parsed(words: Sequence[str], flags: Sequence[Flag]) -> tuple[Chosen, list[str]] | None:
    """What these words say, and those from the command's own first one on; None for words that are no flags of these.

    The same as typer would find, without typer, which then says what is wrong. Raises `InvalidRequest` as `gathered`.
    """
    known = {spelling: flag for flag in flags for spelling in flag.spellings}
    begin = own_words(words, flags)
    ours = list(words[:begin])
    if ours and ours[-1] == "--":
        ours.pop()
    said: dict[str, Any] = {}
    while ours:
        word = ours.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("--"):  # -vN2
            name, equals, value = word[:2], "", word[2:]
        flag = known.get(name)
        if flag is None or (flag.switch and equals):
            return None
        if flag.switch:
            said[flag.name] = True
            if value:
                ours.insert(0, f"-{value}")
            continue
        if not value and not equals:
            if not ours:
                return None
            value = ours.pop(0)
        if flag.many or flag.once:
            said.setdefault(flag.name, []).append(value)
        else:
            said[flag.name] = value
    return gathered(said, flags), list(words[begin:])
