"""`parsl show` and `parsl write`: a machine's Parsl configuration as Python that can be pasted, or as YAML."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidRequest
from .complete import sites
from .options import FLAGS, completer
from .output import Renderer

_SHARED = {"site": "site", "config": "file", "nodes": "num_nodes", "time": "wall_time_min", "queue": "queue",
           "account": "project", "mode": "job_mode", "launcher": "launcher"}  # fmt: skip


def show(
    ctx: typer.Context,
    yaml: Annotated[bool, typer.Option("--yaml", help="As the engine of a Globus Compute endpoint.")] = False,
    wishes: Any = None,
) -> int:
    """Print a Parsl configuration for a site."""
    out: Renderer = ctx.obj
    text = _text(wishes, yaml=yaml)
    out.answer(text, {"format": "yaml" if yaml else "python", "text": text})
    return 0


def write(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file; one that ends in .yaml gets YAML.")],
    wishes: Any = None,
) -> int:
    """Write a Parsl configuration for a site to a file."""
    out: Renderer = ctx.obj
    path = Path(file)
    text = _text(wishes, yaml=path.suffix in (".yaml", ".yml"))
    try:
        with path.open("x", encoding="utf-8") as made:
            made.write(text)
    except FileExistsError as error:
        raise InvalidRequest(f"{path} is there already", hint="name another file, or remove it") from error
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}") from error
    out.note(f"written to {path}")
    return 0


def _text(wishes: dict[str, Any], *, yaml: bool) -> str:
    try:
        from ..parsl.config import plan
        from ..parsl.text import globus, python
    except ImportError as error:
        raise InvalidRequest(f"Parsl cannot be imported: {error}", hint="pip install parsl") from error
    from ..sites import find

    site = find(wishes.pop("site", None), Path(file) if (file := wishes.pop("file", None)) else None)
    made = plan(site, **wishes)
    return globus(made) if yaml else python(made)


def _with_wishes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags that say what a block is; spelled and read as for jobs."""
    flags = {flag.name: flag for flag in FLAGS if flag.name in _SHARED}
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "wishes"]

    @wraps(command)
    def with_wishes(**values: Any) -> Any:
        wishes: dict[str, Any] = {}
        for name, ours in _SHARED.items():
            text = values.pop(name)
            if text is not None:
                wishes[ours] = _read(flags[name].read, text, flags[name].shown)
        for name in ("max_blocks", "workers_per_node", "worker_init"):
            if (value := values.pop(name)) is not None:
                wishes[name] = value
        return command(wishes=wishes, **values)

    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=str | None,
            default=typer.Option(
                None, *flag.spellings, metavar=flag.metavar, help=flag.help, show_default=False,
                autocompletion=sites if name == "site" else completer(flag),
            ),
        )
        for name, flag in flags.items()
    ]  # fmt: skip
    for name, kind, text in (
        ("max_blocks", int | None, "Blocks at once, at most."),
        ("workers_per_node", int | None, "Workers on each node."),
        ("worker_init", str | None, "Shell line before the workers, e.g. 'module load x'."),
    ):
        option = typer.Option(None, f"--{name.replace('_', '-')}", help=text, show_default=False)
        added.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=option))
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *added]]
    with_wishes.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions take attributes
    with_wishes.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_wishes


def _read(convert: Callable[[Any], Any], text: str, flag: str) -> Any:
    try:
        return convert(text)
    except ValueError as error:
        raise InvalidRequest(f"{flag} {text}: it {error}") from error


show = _with_wishes(show)
write = _with_wishes(write)
