"""`platform list`, `show` and `options`: the resource managers, the parameters of each, its submit command's options."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import Error, InvalidRequest, PluginError
from ...job_size import FLAGS
from ...platforms.command_owners import ask, foreign
from ...platforms.directives.option import Elsewhere
from ...platforms.directives.script import as_parameter
from ...platforms.directives.words import PLACES, WORDS
from ...platforms.platform import Platform
from ...platforms.queries import Queue
from ...platforms.registry import platform as find_platform
from ...platforms.registry import platforms as installed
from ...platforms.scheduler import Scheduler
from ...system.commands import CommandRunner
from ...validators import describe
from ..command import Command, Invocation
from ..flags import JSON, Argument, Flag
from ..jobscript import read_script
from ..output import Column, Renderer

if TYPE_CHECKING:
    from ...platforms.directives.reading import Directive, Reading
    from ...platforms.directives.table import DirectiveTable
    from ...platforms.templates.parameters import Parameter

_QUERY_S = 10.0  # seconds for a query that is not needed for the rest of the answer
_IN_TEMPLATE = {
    "arrays": ("array",),
    "dependencies": ("after",),
    "GPUs": ("gpus_per_rank", "gpus_per_node"),
    "memory": ("memory_per_node",),
    "hold": ("hold",),
}
_METHODS = {
    "release": "release_argv",
    "history": "history",
    "queues": "queues_query",
    "signals": "signal_argv",
    "extend": "extend_argv",
}
_LIST = (
    Column("name", "NAME"),
    Column("installed", "INSTALLED"),
    Column("summary", "SUMMARY", wraps=True),
    Column("missing", "MISSING COMMANDS", wraps=True),
    Column("can", "CAN", wraps=True),
    Column("error", "ERROR", wraps=True),
)
_PARAMETERS = (
    Column("name", "PARAMETER"),
    Column("default", "DEFAULT"),
    Column("takes", "TAKES", wraps=True),
    Column("help", "HELP", wraps=True),
)
_QUEUES = (
    Column("name", "QUEUE"),
    Column("up", "UP"),
    Column("default", "DEFAULT"),
    Column("min_nodes", "MIN NODES"),
    Column("max_nodes", "MAX NODES"),
    Column("minutes", "MAX MINUTES"),
)
_OPTIONS = (
    Column("option", "OPTION", wraps=True),
    Column("means", "MEANS", wraps=True),
    Column("say", "HERE", wraps=True),
    Column("elsewhere", "ON ANOTHER MANAGER", wraps=True),
)


def _list(out: Renderer, invocation: Invocation) -> int:
    rows = []
    for name, platform in installed():
        row: dict[str, Any] = {"name": name, "installed": False, "summary": "", "missing": [], "can": [], "error": ""}
        try:
            if isinstance(platform, PluginError):
                raise platform
            row |= {"summary": platform.summary, **_abilities(platform)}
        except Error as error:
            row["error"] = error.message
        except BaseException as error:  # noqa: BLE001 - someone else's code must not spoil the others
            row["error"] = f"{type(error).__name__}: {error}"
        rows.append(row)
    out.table(_LIST, rows)
    return 0


def _abilities(platform: Platform) -> dict[str, Any]:
    missing = missing_commands(platform)
    error = "" if missing else foreign_commands(platform)
    return {"installed": not missing and not error, "missing": missing, "can": can(platform), "error": error}


def missing_commands(platform: Platform) -> list[str]:
    """The commands of a resource manager that are not on PATH."""
    return [command for command in platform.scheduler_class.commands if shutil.which(command) is None]


def foreign_commands(platform: Platform) -> str:
    """A sentence if a command with a name of this platform's belongs to another manager; '' if none does."""
    scheduler = bounded(platform)
    other = foreign(ask(scheduler), scheduler.product)
    return other.not_of(scheduler.product) if other else ""


def can(platform: Platform) -> list[str]:
    """What a platform can do beyond running jobs: by its template, and by the methods that it has of its own."""
    uses, kind = platform.template_class.uses, platform.scheduler_class
    abilities = [what for what, names in _IN_TEMPLATE.items() if not uses.isdisjoint(names)]
    return abilities + [
        what for what, name in _METHODS.items() if getattr(kind, name) is not getattr(Scheduler, name)
    ]


def _show(out: Renderer, invocation: Invocation) -> int:
    from ...platforms.templates.template import FIXED

    platform = find_platform(invocation.arguments[0])
    template = platform.template_class
    record = {
        "name": platform.name,
        "summary": platform.summary,
        "launcher": platform.launcher,
        "package": platform.package,
        **_abilities(platform),
    }
    rows = [
        {
            "name": parameter.name,
            "default": parameter.default,
            "takes": ", ".join(map(describe, parameter.validators)) or "text",
            "help": parameter.help,
            "fixed": fixed,
            "flag": FLAGS[parameter.name].partition("/")[0] if fixed else f"-X {parameter.name}=VALUE",
        }
        for fixed, parameters in ((True, FIXED), (False, template.params))
        for parameter in parameters.values()
    ]
    queues = _queues(platform) if record["installed"] else []
    if out.json:
        out.record({**record, "parameters": rows, "queues": [queue._asdict() for queue in queues]}, ())
        return 0
    lines = ("name", "summary", "package", "launcher", "installed", "missing", "error", "can")
    out.record(record, [Column(key, key) for key in lines])
    out.out.write("\nfixed parameters, each with a flag of its own\n")
    flag = Column("flag", "FLAG")
    out.table((*_PARAMETERS[:1], flag, *_PARAMETERS[1:]), [row for row in rows if row["fixed"]])
    if template.params:
        out.out.write("\nparameters of this platform, given as -X NAME=VALUE\n")
        out.table(_PARAMETERS, [row for row in rows if not row["fixed"]])
    if queues:
        out.out.write("\n")
        out.table(_QUEUES, [queue._asdict() for queue in queues])
    return 0


def _options(out: Renderer, invocation: Invocation) -> int:
    platform = find_platform(invocation.arguments[0])
    if not platform.directives:
        raise InvalidRequest(
            f"the {platform.name} platform reads no option lines in scripts",
            hint=f"`psij-run platform show {platform.name}` lists what a job can ask it for",
        )
    table = platform.directive_table
    record: dict[str, Any] = {"command": table.command, "lines": table.written}
    columns: Sequence[Column] = _OPTIONS
    if "script" in invocation.texts:
        script = invocation.texts["script"]
        columns = (Column("line", "LINE"), *_OPTIONS)
        text = read_script(script)
        reading = table.read(text)
        _note_lines(out, table, script, reading, table.unread(text))
        record |= {"words": reading.words, "options": _of_script(reading, platform.template_class.params)}
    else:
        record["options"] = _of_table(table)
    if out.json:
        out.record(record, ())
    else:
        out.table(columns, record["options"])
    return 0


def _of_table(table: DirectiveTable) -> list[dict[str, Any]]:
    """Each option of the submit command."""
    return [
        {
            "option": ", ".join(option.names),
            "means": ", ".join(word for word in option.sets if word in WORDS),
            "say": option.way.removeprefix("say "),
            "elsewhere": option.elsewhere.value,
        }
        for option in table.options
    ]


def _of_script(reading: Reading, declared: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Each option that a script says."""
    refused = {id(one): reason for one, reason in reading.untranslatable()}
    return [
        {
            "line": one.line,
            "option": one.said,
            "means": ", ".join(f"{word}={value}" for word, value in _meant(reading, one).items()),
            "say": _here(one, declared),
            "elsewhere": _elsewhere(one, refused.get(id(one), "")),
        }
        for one in reading.directives
    ]


def _note_lines(out: Renderer, table: DirectiveTable, script: str, reading: Reading, late: Sequence[int]) -> None:
    """Note lines of a script that count for nothing, and that it has none."""
    if late:
        lines = f"line {late[0]} stands" if len(late) == 1 else f"lines {', '.join(map(str, late))} stand"
        out.note(f"{script}: {lines} where {table.command} reads no options")
    elif not reading.directives:
        out.note(f"{script} has no option lines of {table.command}; they begin with {table.written}")


def _meant(reading: Reading, one: Directive) -> Mapping[str, Any]:
    """What a line's option asks; of words that the table has for its own use, what they come to in this script."""
    if one.words and not one.fault and not any(word in WORDS for word in one.words):
        return reading.derived
    return {word: value for word, value in one.words.items() if word in WORDS}


def _here(one: Directive, declared: Mapping[str, Parameter]) -> str:
    """How psij-run is told what a line's option says, with its value where a parameter takes that."""
    option = one.option
    if option is None or one.superseded:
        return ""
    if one.way and (option.instead or (not option.parameter and one.words.keys() <= FLAGS.keys())):
        return one.way.removeprefix("say ")
    parameter = as_parameter(one, declared)
    return f"-X {parameter}" if parameter else ""


def _elsewhere(one: Directive, refused: str) -> str:
    """What a line's option is on another manager."""
    if one.superseded or refused or one.option is None:
        return "is said twice: another line counts" if one.superseded else refused
    if one.option.elsewhere is Elsewhere.TRANSLATED and not PLACES.isdisjoint(one.words):
        return f"{one.option.elsewhere.value}, if that machine has it"
    return one.option.elsewhere.value


def _queues(platform: Platform) -> list[Queue]:
    try:
        return bounded(platform).queues()
    except Error:  # unknown, or no answer: the rest is shown without it
        return []


def bounded(platform: Platform) -> Scheduler:
    """The platform's scheduler, with a short timeout."""
    scheduler = platform.scheduler_class()
    if isinstance(scheduler.run, CommandRunner):
        scheduler.run.timeout_s = _QUERY_S
    return scheduler


LIST = Command(
    "list",
    "List the platforms, and what each can do.",
    _list,
    (JSON,),
    details=(
        "A platform is installed if its commands are on PATH. ERROR shows why a plug-in is broken, or that commands"
        " with these names belong to another resource manager."
    ),
)
SHOW = Command(
    "show",
    "Show the parameters and queues of a platform.",
    _show,
    (JSON,),
    Argument("name", "NAME", "Name of the platform.", many=False, required=True, complete="platforms"),
    examples=("psij-run platform show slurm",),
)
OPTIONS = Command(
    "options",
    "Show what the options of a platform's submit command are to psij-run.",
    _options,
    (Flag("script", ("--script",), "FILE", "Only those in the option lines of this script, line by line."), JSON),
    Argument("name", "NAME", "Name of the platform.", many=False, required=True, complete="platforms"),
    details=(
        "They are those that stand in job scripts, in lines such as #SBATCH. MEANS has the job's fields that an option"
        " sets, HERE how psij-run is told the same, and the last column what the option is to other managers."
    ),
    examples=("psij-run platform options slurm", "psij-run platform options slurm --script job.sh"),
)
