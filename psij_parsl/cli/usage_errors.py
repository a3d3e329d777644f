"""Errors of typer's parser as errors of ours: one sentence, and a hint with the nearest name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InvalidRequest, PluginError, nearest


def is_usage(error: BaseException) -> bool:
    """Whether that is an error of the parser. The place of its class differs between versions of typer."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def usage(error: Any, args: Sequence[str], *, hint: str = "") -> InvalidRequest:
    """The same as an error of ours; `hint` is used if there is nothing better."""
    context = getattr(error, "ctx", None)
    command_name = [arg for arg in args[:1] if not arg.startswith("-")]
    path = context.command_path if context is not None else " ".join(["psij-run", *command_name])
    command = getattr(context, "command", None)
    option = getattr(error, "option_name", "")
    message = str(error.format_message()).rstrip(".")
    hint = hint or f"`{path} --help` shows all options"
    if option and hasattr(error, "possibilities"):
        message = f"there is no option {option}"
        spellings = [name for param in getattr(command, "params", ()) for name in param.opts if name.startswith("-")]
        suggestion = nearest(option, spellings)
        if path == "psij-run" and _is_job_flag(option):
            hint = f"flags come after the command, e.g. psij-run submit {option}"
        elif owners := _owners(option):
            hint = f"a parameter of {' and '.join(owners)}: -X {_parameter(option)}=VALUE"
        elif suggestion.startswith("did you"):
            hint = suggestion
    elif message.startswith(("No such command", "Missing command")):
        subcommand = args[1] if len(args) > 1 and not args[1].startswith("-") else ""
        message = f"`{path}` has no command {subcommand!r}" if subcommand else f"`{path}` needs a command"
        hint = nearest(subcommand, getattr(command, "commands", {}))
    return InvalidRequest(message[:1].lower() + message[1:], hint=hint)


def _parameter(option: str) -> str:
    return option.lstrip("-").partition("=")[0].replace("-", "_")


def _owners(option: str) -> list[str]:
    """The resource managers that have a parameter of that name."""
    from ..platforms.registry import platforms

    loaded = (platform for _, platform in platforms(plugins=False) if not isinstance(platform, PluginError))
    return [platform.name for platform in loaded if _parameter(option) in platform.template_class.params]


def _is_job_flag(option: str) -> bool:
    from .job_flags import JOB_FLAGS

    return any(option in flag.spellings for flag in JOB_FLAGS)
