"""The table of commands as a typer application: help, completion, and what is wrong with a command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from . import completion
from .command import Command, Invocation
from .commands import COMMANDS, HIDDEN, load
from .flags import Argument, Flag, collect
from .quick_parser import program_start

_HELP = "Submit, watch and cancel jobs, and get their output, the same way on every machine."
_EXIT_CODES = (
    "Exit codes: 0 success, 2 wrong usage, 3 wrong site or configuration file, 4 refused by the resource manager,"
    " 5 the job was lost, 6 the command was done, but its answer could not be written to stdout. `run`, `wait` and `launch` exit with the job's own"
    " code (128 + the number of the signal that ended it; 143 if it was cancelled), with 124 if --timeout expires, and with 125 for an"
    " error of psij-run itself."
)
_ARGS = "psij_parsl.args"  # key in a typer context's `meta`
_SETTINGS: Mapping[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class _TableCommand(TyperCommand):
    """A typer command that keeps its arguments as they were typed, and shows our own text for them in its help."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["[OPTIONS]", *(str(param.metavar) for param in self.params if param.param_type_name == "argument")]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """As typer does, without the Python type that it shows next to an argument: `JOB... <list[str]>`."""
        records: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                shown = str(param.metavar) if param.param_type_name == "argument" else record[0]
                records[param.param_type_name].append((shown, record[1]))
        for title, rows in (("Arguments", records["argument"]), ("Options", records["option"])):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_ARGS] = list(args)
        return super().parse_args(ctx, args)


def build(only: str | None) -> Any:
    """The typer command of all of psij-run, or with one of its commands alone."""
    app = typer.Typer(name="psij-run", help=_HELP, epilog=_EXIT_CODES, add_completion=only is None, **_SETTINGS)

    @app.callback()
    def root(version: bool = typer.Option(False, "--version", "-V", help="Show the version and exit.")) -> None:
        pass

    for name, entry in COMMANDS.items():
        if only not in (None, name):
            continue
        if isinstance(entry, str):
            _add(app, name, load(entry))
            continue
        group = typer.Typer(add_completion=False, **_SETTINGS)
        group.callback()(_do_nothing)
        for subcommand, place in entry.commands.items():
            _add(group, subcommand, load(place))
        app.add_typer(group, name=name, help=entry.summary)
    return get_command(app)


def _do_nothing() -> None:
    pass


def _add(app: typer.Typer, name: str, command: Command) -> None:
    examples = "\n".join(f"  {line}" for line in command.examples)
    app.command(
        name,
        cls=_TableCommand,
        help=f"{command.summary}\n\n{command.details}".strip(),
        epilog=f"\b\nExamples:\n{examples}" if examples else None,
        hidden=name in HIDDEN,
        context_settings={"allow_interspersed_args": False} if command.runs_program else {},
    )(_callback(command))


def _callback(command: Command) -> Callable[..., int]:
    """The function that typer calls, with a parameter for each flag and for the argument."""

    def callback(ctx: typer.Context, **values: Any) -> int:
        return command.run(ctx.obj, _invocation(command, ctx.meta[_ARGS], values))

    parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    if command.argument is not None:
        parameters.append(_argument(command.argument))
    parameters += _options(command.flags)
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions take attributes
    callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return callback


def _invocation(command: Command, args: Sequence[str], values: Mapping[str, Any]) -> Invocation:
    """What typer has read of these arguments."""
    arguments = values.get(command.argument.name) if command.argument is not None else None
    if isinstance(arguments, str):
        arguments = [arguments]
    return Invocation(command, collect(values, command.flags), list(arguments or ()), program_start(command, args)[1])


def parse(command: Command, args: Sequence[str], *, name: str) -> Invocation:
    """The same as `quick_parser.parse`, but that typer's own error says what is wrong; `name` is for its message."""
    app = typer.Typer(add_completion=False, **_SETTINGS)
    _add(app, name, command)
    with get_command(app).make_context(name, list(args)) as context:
        return _invocation(command, args, context.params)


def _argument(argument: Argument) -> inspect.Parameter:
    info = typer.Argument(
        ... if argument.required else None,
        metavar=argument.metavar,
        help=argument.help,
        show_default=False,
        autocompletion=_completer(argument.complete),
    )
    return inspect.Parameter(
        argument.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=info,
        annotation=list[str] | None if argument.many else str if argument.required else str | None,
    )


def _options(flags: Sequence[Flag]) -> Iterator[inspect.Parameter]:
    for flag in flags:
        kind: Any = bool if flag.switch else list[str] | None if flag.many or flag.once else str | None
        option = typer.Option(
            False if flag.switch else flag.default or None,
            *flag.spellings,
            metavar=flag.metavar or None,
            help=flag.help,
            show_default=bool(flag.default),
            autocompletion=_completer(flag.complete),
        )
        yield inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind)


def _completer(name: str) -> Callable[..., Any] | None:
    """What the shell offers for a flag or an argument."""
    return getattr(completion, name) if name else None
