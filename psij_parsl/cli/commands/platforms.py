"""`platform list` and `platform show`: which resource managers there are, and what each can be asked for."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

import typer

from ...errors import Error, PluginError
from ...platforms.platform import Platform
from ...platforms.products import ask, foreign
from ...platforms.queries import Queue
from ...platforms.registry import platform as find_platform
from ...platforms.registry import platforms as installed
from ...platforms.scheduler import Scheduler
from ...platforms.templates.validators import describe
from ...system.commands import CommandRunner
from ..arguments import JsonRenderer
from ..completion import platforms
from ..output import Column, Renderer

_ASK_S = 10.0  # seconds for a question that is only asked on the side
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
    Column("summary", "SUMMARY"),
    Column("missing", "MISSING COMMANDS"),
    Column("can", "CAN"),
    Column("error", "ERROR"),
)
_PARAMETERS = (
    Column("name", "PARAMETER"),
    Column("default", "DEFAULT"),
    Column("takes", "TAKES"),
    Column("help", "HELP"),
)
_QUEUES = (
    Column("name", "QUEUE"),
    Column("up", "UP"),
    Column("default", "DEFAULT"),
    Column("min_nodes", "MIN NODES"),
    Column("max_nodes", "MAX NODES"),
    Column("minutes", "MAX MINUTES"),
)


def list_platforms(ctx: typer.Context, json: JsonRenderer = False) -> int:
    """List platforms: installed or not, and what each can.

    A broken plug-in is shown with its error, and so are commands of the same names that are another manager's.
    """
    out: Renderer = ctx.obj
    rows = []
    for name, found in installed():
        row: dict[str, Any] = {"name": name, "installed": False, "summary": "", "missing": [], "can": [], "error": ""}
        try:
            if isinstance(found, PluginError):
                raise found
            row |= {"summary": found.summary, **_abilities(found)}
        except Error as error:
            row["error"] = error.message
        except BaseException as error:  # noqa: BLE001 - someone else's code must not spoil the others
            row["error"] = f"{type(error).__name__}: {error}"
        rows.append(row)
    out.table(_LIST, rows)
    return 0


def _abilities(platform: Platform) -> dict[str, Any]:
    missing = missing_commands(platform)
    error = "" if missing else not_ours(platform)
    return {"installed": not missing and not error, "missing": missing, "can": can(platform), "error": error}


def missing_commands(platform: Platform) -> list[str]:
    """The commands of a resource manager that are not on PATH."""
    return [command for command in platform.scheduler_class.commands if shutil.which(command) is None]


def not_ours(platform: Platform) -> str:
    """That a command of a platform's name is known as another manager's, as a sentence; '' if it is not."""
    scheduler = bounded(platform)
    other = foreign(ask(scheduler), scheduler.product)
    return other.not_of(scheduler.product) if other else ""


def can(platform: Platform) -> list[str]:
    """What a platform can do beyond running jobs: by its template, and by the methods that it has of its own."""
    uses, kind = platform.template_class.uses, platform.scheduler_class
    told = [what for what, names in _IN_TEMPLATE.items() if not uses.isdisjoint(names)]
    return told + [what for what, name in _METHODS.items() if getattr(kind, name) is not getattr(Scheduler, name)]


def show(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A platform.", show_default=False, autocompletion=platforms)
    ],
    json: JsonRenderer = False,
) -> int:
    """Show a platform's parameters and queues."""
    from ...platforms.templates.template import FIXED

    out: Renderer = ctx.obj
    platform = find_platform(name)
    template = platform.template_class
    record = {
        "name": platform.name,
        "summary": platform.summary,
        "launcher": platform.launcher,
        "package": platform.package,
        **_abilities(platform),
    }
    parameters = [
        {
            "name": each.name,
            "default": each.default,
            "takes": ", ".join(map(describe, each.validators)) or "text",
            "help": each.help,
            "fixed": fixed,
            "flag": _FLAGS.get(each.name, f"-X {each.name}=VALUE"),
        }
        for fixed, declared in ((True, FIXED), (False, template.params))
        for each in declared.values()
    ]
    queues = _queues(platform) if record["installed"] else []
    if out.json:
        out.record({**record, "parameters": parameters, "queues": [queue._asdict() for queue in queues]}, ())
        return 0
    lines = ("name", "summary", "package", "launcher", "installed", "missing", "error", "can")
    out.record(record, [Column(key, key) for key in lines])
    out.out.write("\nfixed parameters, each with a flag of its own\n")
    flag = Column("flag", "FLAG")
    out.table((*_PARAMETERS[:1], flag, *_PARAMETERS[1:]), [row for row in parameters if row["fixed"]])
    if template.params:
        out.out.write("\nparameters of this platform, said as -X NAME=VALUE\n")
        out.table(_PARAMETERS, [row for row in parameters if not row["fixed"]])
    if queues:
        out.out.write("\n")
        out.table(_QUEUES, [queue._asdict() for queue in queues])
    return 0


_FLAGS = {"num_nodes": "-N", "wall_time_min": "-t", "queue": "-q", "project": "-A", "job_mode": "--mode"}


def _queues(platform: Platform) -> list[Queue]:
    try:
        return bounded(platform).queues()
    except Error:  # it cannot say, or does not answer: the rest is shown all the same
        return []


def bounded(platform: Platform) -> Scheduler:
    """The platform's scheduler, with little patience."""
    scheduler = platform.scheduler_class()
    if isinstance(scheduler.run, CommandRunner):
        scheduler.run.timeout_s = _ASK_S
    return scheduler
