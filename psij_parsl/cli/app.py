"""One command line, from its arguments to its exit code, and how every error is reported."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from errno import EIO, EPIPE
from typing import Any

from ..errors import Ambiguous, Error, InvalidRequest, Unavailable, nearest
from .command import OWN_ERROR, READER_GONE, Command
from .commands import COMMANDS, HIDDEN, find
from .output import JsonRenderer, Renderer, TextRenderer
from .quick_parser import parse, program_start
from .stdio import LostStream

#: What other programs call a command of ours.
_OTHER_WORDS = dict.fromkeys(("rerun", "retry", "requeue", "restart"), "resubmit")


def run(args: Sequence[str]) -> int:
    """Run one command line; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    out = _renderer(args[1:])
    command = None
    try:
        command, rest = find(args)
        own_args = args[1:]
        if command is not None and command.runs_program:
            own_args = rest[: program_start(command, rest)[0]]
            out = _renderer(own_args)
        exit_code = _run(command, rest, args, own_args, out)
        out.out.flush()
        return exit_code
    except Error as error:
        return _report(error, out, command)
    except (BrokenPipeError, LostStream) as error:
        return stdout_failed(error, out, command)
    except Exception as error:
        if os.environ.get("PSIJ_PARSL_DEBUG") or isinstance(error.__cause__, KeyboardInterrupt):
            raise
        from .crash_report import describe

        return _report(describe(error, args), out, command)


def _run(
    command: Command | None, rest: Sequence[str], args: Sequence[str], own_args: Sequence[str], out: Renderer
) -> int:
    from .log_notes import notes_from_log

    completing = "_PSIJ_RUN_COMPLETE" in os.environ
    if args and not args[0].startswith("-") and args[0] not in COMMANDS and not completing:
        raise _unknown_command(args[0])
    with notes_from_log(out, verbose="-v" in own_args or "--verbose" in own_args):
        invocation = parse(command, rest) if command is not None and not completing else None
        if command is not None and invocation is not None:
            return command.run(out, invocation)
        return _run_typer(args or ["--help"], out, completing=completing)


def _unknown_command(name: str) -> InvalidRequest:
    if name in _OTHER_WORDS:
        return InvalidRequest(f"there is no command {name!r}", hint=f"did you mean {_OTHER_WORDS[name]}?")
    suggestion = f"psij-run --{name}" if name in ("help", "version") else nearest(name, COMMANDS.keys() - HIDDEN)
    return InvalidRequest(f"there is no command {name!r}", hint=suggestion)


def _run_typer(args: Sequence[str], out: Renderer, *, completing: bool) -> int:
    """Answer with typer: help, completion, and errors of the command line."""
    import typer

    from .usage_errors import is_usage, usage

    app = build(None if completing or args[0].startswith("-") else args[0])
    if completing:
        app.main(args=list(args), prog_name="psij-run")
    try:
        with app.make_context("psij-run", list(args), obj=out) as context:
            return int(app.invoke(context) or 0)
    except typer.Exit as exit_:
        return exit_.exit_code
    except Exception as error:
        if is_usage(error):
            raise usage(error, args) from error
        raise


def build(only: str | None) -> Any:
    """The typer command of all of psij-run, or with one of its commands alone."""
    from .typer_app import build

    return build(only)


def _renderer(args: Sequence[str]) -> Renderer:
    """The renderer, chosen before the arguments are parsed, so that errors about them have its form too."""
    json = "--json" in args or os.environ.get("PSIJ_RUN_OUTPUT", "").lower() == "json"
    return JsonRenderer() if json else TextRenderer()


def _report(error: Error, out: Renderer, command: Command | None) -> int:
    """Print an error; returns the exit code."""
    exit_code = OWN_ERROR if command is not None and command.foreground else error.exit_status
    hint = error.hint
    if isinstance(error, Unavailable | Ambiguous) and not hint:
        hint = "`psij-run doctor` shows whether the resource manager works"
    out.error(error, hint=hint, exit_code=exit_code)
    return exit_code


def stdout_failed(error: OSError, out: Renderer | None = None, command: Command | None = None) -> int:
    """Report that our stdout cannot be written; returns the exit code."""
    if error.errno == EPIPE:  # whoever read our output has left: so do we, as others do at SIGPIPE
        return READER_GONE
    if error.errno == EIO and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        return 128 + signal.SIGHUP  # our terminal was closed: its SIGHUP was on the way
    from .stdio import unwritten

    return _report(unwritten(error), out or _renderer(()), command)
