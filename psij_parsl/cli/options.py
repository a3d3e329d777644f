"""The table of flags as options of typer commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, get_type_hints

import typer

from . import completion as complete
from .flags import FLAGS as FLAGS
from .flags import Chosen as Chosen
from .flags import Flag as Flag
from .flags import gathered as gathered
from .flags import own_words as own_words


def job_flags(command: Callable[..., Any], flags: Sequence[Flag] = FLAGS) -> Callable[..., Any]:
    """Give a typer command all flags of the table; it gets what was said as its argument `chosen`."""
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "chosen"]
    hints = get_type_hints(command, include_extras=True)
    hints.pop("chosen", None)

    @wraps(command)
    def with_flags(**values: Any) -> Any:
        said = {flag.name: values.pop(flag.name) for flag in flags}
        return command(chosen=gathered(said, flags), **values)

    added = list(_typer_parameters(flags))
    parameters = [*(p.replace(annotation=hints.get(p.name, p.annotation)) for p in own), *added]
    with_flags.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions take attributes
        [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    )
    with_flags.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_flags


def completer(flag: Flag) -> Callable[..., Any] | None:
    """What the shell offers for a flag."""
    return getattr(complete, flag.complete) if flag.complete else None


def _typer_parameters(flags: Sequence[Flag]) -> Iterator[inspect.Parameter]:
    for flag in flags:
        kind: Any = bool if flag.switch else list[str] | None if flag.many or flag.once else str | None
        default = typer.Option(
            False if flag.switch else None,
            *flag.spellings,
            metavar=flag.metavar or None,
            help=flag.help,
            show_default=False,
            autocompletion=completer(flag),
        )
        yield inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
