"""`parsl show` and `parsl write`: a machine's Parsl configuration as Python that can be pasted, or as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import InvalidRequest
from ...platforms.registry import platform
from ...platforms.templates.validators import positive_int
from ..job_from_flags import check_parameters, read
from ..options import FLAGS, Chosen, Flag, job_flags
from ..output import Renderer

_FIELDS = {
    "nodes": "num_nodes",
    "time": "wall_time_min",
    "queue": "queue",
    "account": "project",
    "mode": "job_mode",
    "launcher": "launcher",
}
_WISHES = (
    *(flag for flag in FLAGS if flag.name in (*_FIELDS, "site", "config", "parameters")),
    Flag("max_blocks", ("--max-blocks",), "COUNT", "Blocks at once, at most.", positive_int),
    Flag("workers_per_node", ("--workers-per-node",), "COUNT", "Workers on each node.", positive_int),
    Flag("worker_init", ("--worker-init",), "SHELL", "Shell line before the workers, e.g. 'module load x'."),
)


def show(
    ctx: typer.Context,
    chosen: Chosen,
    yaml: Annotated[bool, typer.Option("--yaml", help="As the engine of a Globus Compute endpoint.")] = False,
) -> int:
    """Print a Parsl configuration for a site."""
    out: Renderer = ctx.obj
    text = _text(chosen, out, yaml=yaml)
    out.answer(text, {"format": "yaml" if yaml else "python", "text": text})
    return 0


def write(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file; one that ends in .yaml gets YAML.")],
    chosen: Chosen,
) -> int:
    """Write a Parsl configuration for a site to a file."""
    out: Renderer = ctx.obj
    path = Path(file)
    text = _text(chosen, out, yaml=path.suffix in (".yaml", ".yml"))
    try:
        with path.open("x", encoding="utf-8") as made:
            made.write(text)
    except FileExistsError as error:
        raise InvalidRequest(f"{path} is there already", hint="name another file, or remove it") from error
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}") from error
    out.note(f"written to {path}")
    return 0


def _text(chosen: Chosen, out: Renderer, *, yaml: bool) -> str:
    try:
        from ...parsl.config import plan
        from ...parsl.export import globus, python
    except ImportError as error:
        raise InvalidRequest(f"Parsl cannot be imported: {error}", hint="pip install parsl") from error
    from ...sites import find

    said: dict[str, Any] = {flag.name: read(flag, chosen[flag.name]) for flag in _WISHES if flag.name in chosen}
    file, parameters = said.pop("config", None), said.pop("parameters", {})
    site = find(said.pop("site", None), Path(file) if file else None)
    template = platform(site.platform).template_class
    check_parameters(parameters, site.platform, template)
    said |= {name: template.params[name].convert(value) for name, value in parameters.items()}
    made = plan(site, **{_FIELDS.get(name, name): value for name, value in said.items()})
    if file:
        out.note(f"this names the site {site.name}: it will be found where {file} is among the site files")
    return globus(made) if yaml else python(made)


show = job_flags(show, _WISHES)
write = job_flags(write, _WISHES)
