"""The command line as a whole: which module holds which command, and how every error ends.

Only the module of the command that was typed is imported, for start-up time is felt at every prompt.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from errno import EPIPE
from importlib import import_module
from typing import Any, NamedTuple

from ..errors import Ambiguous, Error, InvalidRequest, Unavailable, nearest
from .output import JsonRenderer, Renderer, TextRenderer
from .stdio import Lost
from .usage_errors import is_usage, usage


class Command(NamedTuple):
    """Where a command is, examples for its help, and whether words after the first non-option are not ours.

    `table` is then where its flags are. `direct` is a module that may answer without typer, where time counts.
    """

    module: str
    function: str
    examples: Sequence[str] = ()
    runs: bool = False
    table: str = "flags:FLAGS"
    direct: str = ""


class Group(NamedTuple):
    """Commands under one name."""

    summary: str
    commands: Mapping[str, Command]


COMMANDS: Mapping[str, Command | Group] = {
    "run": Command(
        "run",
        "run",
        ("psij-run run -N 2 -n 8 -t 30 -- ./solver input.dat", "psij-run run -q debug job.sh 7"),
        runs=True,
    ),
    "submit": Command(
        "submit",
        "submit",
        (
            "psij-run submit -t 1h30m -A chem -- ./solver input.dat",
            "psij-run submit --array 0-9 job.sh",
            'psij-run submit -d "$(psij-run submit ./first)" ./second',
        ),
        runs=True,
    ),
    "render": Command("submit", "render", ("psij-run render --platform slurm -N 4 -- ./solver",), runs=True),
    "status": Command("status", "status", ("psij-run status last", "psij-run status --watch"), direct="overview"),
    "list": Command("status", "list_jobs", ("psij-run list --all --since 2d",)),
    "ls": Command("status", "list_jobs"),
    "info": Command("info", "info", ("psij-run info last",)),
    "logs": Command("logs", "logs", ("psij-run logs -f last", "psij-run logs --stderr -n 20 3kq0v5d2mp")),
    "wait": Command("job_actions", "wait", ("psij-run wait --timeout 2h all",)),
    "cancel": Command(
        "job_actions", "cancel", ("psij-run cancel last", "psij-run cancel 3kq0v5d2mp_7", "psij-run cancel --orphans")
    ),
    "hold": Command("job_actions", "hold"),
    "release": Command("job_actions", "release"),
    "clean": Command("clean", "clean", ("psij-run clean --older-than 7d", "psij-run clean last")),
    "launch": Command(
        "launch",
        "launch",
        (
            "psij-run launch -n 8 -c 2 -- ./solver input.dat",
            "psij-run launch -N 2 -n 8 -g 1 -- ./train",
            "psij-run launch -n 4 --no-wait -o out.%r -- ./a.out",
        ),
        runs=True,
        table="commands.launching:LAUNCH_FLAGS",
        direct="launching",
    ),
    "resources": Group(
        "Nodes, cores and GPUs of the job that one stands in, or of this host.",
        {
            "show": Command("resources", "show"),
            "detect": Command("resources", "detect"),
            "fit": Command("resources", "fit", ("psij-run resources fit -n 4 -g 1",)),
        },
    ),
    "platform": Group(
        "Resource managers, and what each can be asked for.",
        {
            "list": Command("platforms", "list_platforms"),
            "show": Command("platforms", "show", ("psij-run platform show slurm",)),
            "new": Command("scaffold", "new", ("psij-run platform new toyq",)),
        },
    ),
    "site": Group(
        "Machines that are known, and their settings.",
        {
            "list": Command("sites", "list_sites"),
            "show": Command("sites", "show", ("psij-run site show polaris",)),
            "detect": Command("sites", "detect_site"),
            "check": Command("sites", "check", ("psij-run site check", "psij-run site check ./cluster.toml")),
        },
    ),
    "parsl": Group(
        "Configurations of Parsl for a machine.",
        {
            "show": Command("parsl", "show", ("psij-run parsl show --site polaris -A chem -q debug -N 2",)),
            "write": Command("parsl", "write", ("psij-run parsl write config.py -N 2 -t 2h --max-blocks 4",)),
        },
    ),
    "doctor": Command("doctor", "doctor"),
}
HIDDEN = frozenset({"ls"})
FOREGROUND = frozenset({"run", "wait", "launch"})  # their exit code is the job's; an error of ours is 125
OURS = 125

_HELP = "Submit, watch, cancel and collect jobs the same way on every machine."
_EXITS = (
    "Exit codes: 0, 2 usage, 3 site or configuration, 4 refused by the resource manager, 5 lost, 6 done but"
    " stdout could not be written. `run` and `wait` give the job's own (128+signal; 143 if it was cancelled), 124 on --timeout, and 125 for any error of ours."
)


def run(words: list[str]) -> int:
    """Run one command line; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    name = words[0] if words else "--help"
    out = _renderer(words)
    try:
        status = _run(name, words or ["--help"], out)
        out.out.flush()
        return status
    except Error as error:
        if isinstance(error, Unavailable | Ambiguous) and not error.hint:
            error.hint = "`psij-run doctor` tells whether the resource manager is in order"
        return _failed(error, name, out)
    except KeyboardInterrupt:
        return 130
    except (BrokenPipeError, Lost) as error:
        return left_unwritten(error, words)
    except Exception as error:
        if os.environ.get("PSIJ_PARSL_DEBUG"):
            raise
        from .crash_report import describe

        return _failed(describe(error, words), name, out)


def _failed(error: Error, name: str, out: Renderer) -> int:
    error.exit_status = OURS if name in FOREGROUND else error.exit_status
    out.error(error)
    return error.exit_status


def left_unwritten(error: OSError, words: Sequence[str]) -> int:
    """Our stdout does not take what we write: the exit code, after the sentence."""
    if error.errno == EPIPE:  # who read our output has left: so do we, as others do at SIGPIPE
        return 141
    from .stdio import unwritten

    return _failed(unwritten(error), words[0] if words else "", _renderer(words))


def _renderer(words: Sequence[str]) -> Renderer:
    """The renderer, known before the words are understood, so that errors about them have its form."""
    asked = "--json" in words and _asked(words, "--json")
    return JsonRenderer() if asked or os.environ.get("PSIJ_RUN_OUTPUT", "").lower() == "json" else TextRenderer()


def _run(name: str, words: list[str], out: Renderer) -> int:
    completing = "_PSIJ_RUN_COMPLETE" in os.environ
    if not name.startswith("-") and name not in COMMANDS and not completing:
        meant = f"psij-run --{name}" if name in ("help", "version") else nearest(name, COMMANDS.keys() - HIDDEN)
        raise InvalidRequest(f"there is no command {name!r}", hint=meant)
    with _log_to(out, verbose=_asked(words, "-v", "--verbose")):
        return _answer(name, words, out, completing=completing)


def _answer(name: str, words: list[str], out: Renderer, *, completing: bool) -> int:
    found = COMMANDS.get(name)
    if isinstance(found, Command) and found.direct and not completing:
        status: int | None = import_module(f".commands.{found.direct}", __package__).direct(out, words[1:])
        if status is not None:
            return status
    import typer

    whole = completing or name.startswith("-")
    command = build(None if whole else name)
    if completing:
        command.main(args=words, prog_name="psij-run")
    try:
        with command.make_context("psij-run", list(words), obj=out) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as exit_:
        return exit_.exit_code
    except typer.Abort:
        return 130
    except Exception as error:
        if is_usage(error):
            raise usage(error, words) from error
        raise


def build(only: str | None) -> Any:
    """The typer command of everything, or with one of its commands alone."""
    import typer
    from typer.main import get_command

    manner: dict[str, Any] = {
        "rich_markup_mode": None,
        "pretty_exceptions_enable": False,
        "context_settings": {"help_option_names": ["-h", "--help"]},
    }
    app = typer.Typer(name="psij-run", help=_HELP, epilog=_EXITS, add_completion=only is None, **manner)

    @app.callback()
    def root(version: bool = typer.Option(False, "--version", "-V", help="Show the version and exit.")) -> None:
        pass

    for name, found in COMMANDS.items():
        if only not in (None, name):
            continue
        if isinstance(found, Command):
            _add(app, name, found)
            continue
        group = typer.Typer(add_completion=False, **manner)
        group.callback()(_nothing)
        for each, command in found.commands.items():
            _add(group, each, command)
        app.add_typer(group, name=name, help=found.summary)
    return get_command(app)


def _nothing() -> None:
    pass


def _add(app: Any, name: str, command: Command) -> None:
    function = getattr(import_module(f".commands.{command.module}", __package__), command.function)
    settings: dict[str, Any] = {"allow_interspersed_args": False} if command.runs else {}
    epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in command.examples) if command.examples else None
    app.command(name, epilog=epilog, hidden=name in HIDDEN, context_settings=settings)(function)


def _ours(words: Sequence[str]) -> int:
    """How many of the words after the command's name are ours, and not those of the program to run."""
    command = COMMANDS.get(words[0]) if words else None
    if not isinstance(command, Command) or not command.runs:
        return len(words)
    from .flags import own_words

    module, _, table = command.table.partition(":")
    return own_words(words[1:], getattr(import_module(f".{module}", __package__), table))


def _asked(words: Sequence[str], *spellings: str) -> bool:
    return any(spelling in words[1 : 1 + _ours(words)] for spelling in spellings)


@contextmanager
def _log_to(out: Renderer, *, verbose: bool) -> Iterator[None]:
    """Meanwhile, what the core says through logging becomes remarks of ours."""
    import logging

    class Remarks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            out.note(record.getMessage())

    logger = logging.getLogger("psij_parsl")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:] = [Remarks()]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = before[0], before[2]
        logger.setLevel(before[1])
