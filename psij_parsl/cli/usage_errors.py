"""Complaints of the command line's parser, in our manner: one sentence, and the nearest thing that there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InvalidRequest, PluginError, nearest


def is_usage(error: BaseException) -> bool:
    """Whether that is a complaint of the parser: where its class lives differs between versions of typer."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def usage(error: Any, words: Sequence[str], *, hint: str = "") -> InvalidRequest:
    """The complaint as our own error; `hint` is said where there is nothing better."""
    context = getattr(error, "ctx", None)
    typed = [word for word in words[:1] if not word.startswith("-")]
    path = context.command_path if context is not None else " ".join(["psij-run", *typed])
    command = getattr(context, "command", None)
    option = getattr(error, "option_name", "")
    message = str(error.format_message()).rstrip(".")
    hint = hint or f"`{path} --help` tells more"
    if option and hasattr(error, "possibilities"):
        message = f"there is no option {option}"
        known = [name for param in getattr(command, "params", ()) for name in param.opts if name.startswith("-")]
        near = nearest(option, known)
        if path == "psij-run" and _is_job_flag(option):
            hint = f"flags come after the command, e.g. psij-run submit {option}"
        elif owners := _owners(option):
            hint = f"a parameter of {' and '.join(owners)}: -X {_parameter(option)}=VALUE"
        elif near.startswith("did you"):
            hint = near
    elif message.startswith(("No such command", "Missing command")):
        word = words[1] if len(words) > 1 and not words[1].startswith("-") else ""
        message = f"`{path}` has no command {word!r}" if word else f"`{path}` needs a command"
        hint = nearest(word, getattr(command, "commands", {}))
    return InvalidRequest(message[:1].lower() + message[1:], hint=hint)


def _parameter(option: str) -> str:
    return option.lstrip("-").partition("=")[0].replace("-", "_")


def _owners(option: str) -> list[str]:
    """The resource managers that have a parameter of that name."""
    from ..platforms.registry import platforms

    found = (platform for _, platform in platforms(plugins=False) if not isinstance(platform, PluginError))
    return [platform.name for platform in found if _parameter(option) in platform.template_class.params]


def _is_job_flag(option: str) -> bool:
    from .options import FLAGS

    return any(option in flag.spellings for flag in FLAGS)
