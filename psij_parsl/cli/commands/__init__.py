"""The commands of `psij-run`: where each is defined. Only the module of the command that was typed is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from ..command import Command, Group

#: Name -> `module:NAME` of its definition below this folder, or a group of such commands.
COMMANDS: Mapping[str, str | Group] = {
    "run": "run:RUN",
    "submit": "submit:SUBMIT",
    "render": "render:RENDER",
    "import": "import_script:IMPORT",
    "resubmit": "resubmit:RESUBMIT",
    "status": "status:STATUS",
    "list": "list_jobs:LIST",
    "ls": "list_jobs:LIST",
    "info": "info:INFO",
    "logs": "logs:LOGS",
    "wait": "wait:WAIT",
    "cancel": "cancel:CANCEL",
    "hold": "hold:HOLD",
    "release": "hold:RELEASE",
    "clean": "clean:CLEAN",
    "launch": "launch:LAUNCH",
    "resources": Group(
        "Show nodes, cores and GPUs of the current allocation, or of this host.",
        {"show": "resources:SHOW", "detect": "resources:DETECT", "fit": "resources:FIT"},
    ),
    "platform": Group(
        "Show the resource managers, and the parameters of each.",
        {"list": "platforms:LIST", "show": "platforms:SHOW", "options": "platforms:OPTIONS", "new": "scaffold:NEW"},
    ),
    "site": Group(
        "Show the known machines, and their settings.",
        {
            "list": "sites:LIST",
            "show": "sites:SHOW",
            "detect": "sites:DETECT",
            "path": "sites:PATH",
            "queues": "site_queues:QUEUES",
            "match": "site_queues:MATCH",
            "check": "site_check:CHECK",
            "test": "site_test:TEST",
            "generate": "site_generate:GENERATE",
            "schema": "sites:SCHEMA",
        },
    ),
    "parsl": Group("Make a configuration of Parsl for a machine.", {"show": "parsl:SHOW", "write": "parsl:WRITE"}),
    "doctor": "doctor:DOCTOR",
}
HIDDEN = frozenset({"ls"})  # from the help: a second name


def load(place: str) -> Command:
    """The command that is defined at `module:NAME`."""
    module, _, name = place.partition(":")
    command: Command = getattr(import_module(f".{module}", __package__), name)
    return command


def find(args: Sequence[str]) -> tuple[Command | None, list[str]]:
    """The command that a command line names, and the arguments behind its name; None for a group or no command."""
    entry = COMMANDS.get(args[0]) if args else None
    rest = args[1:]
    if isinstance(entry, Group):
        entry, rest = entry.commands.get(rest[0]) if rest else None, rest[1:]
    return (load(entry) if entry is not None else None), list(rest)
