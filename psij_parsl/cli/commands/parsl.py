"""`parsl show` and `parsl write`: a machine's Parsl configuration as Python code, or as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import InvalidRequest
from ...parsl.options import ParslOptions
from ...platforms.registry import platform
from ...validators import positive_int
from ..command import Command, Invocation
from ..flags import Argument, Flag
from ..job_flags import job_flags
from ..job_from_flags import check_parameters
from ..output import Renderer

_FIELDS = {
    "nodes": "num_nodes",
    "time": "wall_time_min",
    "queue": "queue",
    "account": "project",
    "mode": "job_mode",
    "launcher": "launcher",
}
_FLAGS = (
    *job_flags(*_FIELDS, "site", "config", "parameters"),
    Flag("max_blocks", ("--max-blocks",), "COUNT", ParslOptions.help("max_blocks"), positive_int),
    Flag("workers_per_node", ("--workers-per-node",), "COUNT", ParslOptions.help("workers_per_node"), positive_int),
    Flag("worker_init", ("--worker-init",), "SHELL", "Shell line to run before the workers, e.g. 'module load x'."),
)


def _show(out: Renderer, invocation: Invocation) -> int:
    yaml = "yaml" in invocation.texts
    text = _text(out, invocation, yaml=yaml)
    out.answer(text, {"format": "yaml" if yaml else "python", "text": text})
    return 0


def _write(out: Renderer, invocation: Invocation) -> int:
    path = Path(invocation.arguments[0])
    text = _text(out, invocation, yaml=path.suffix in (".yaml", ".yml"))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise InvalidRequest(f"{path} exists already", hint="name another file, or remove it") from error
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}") from error
    out.note(f"written to {path}")
    return 0


def _text(out: Renderer, invocation: Invocation, *, yaml: bool) -> str:
    try:
        from ...parsl.config import plan
        from ...parsl.export import globus, python
    except ImportError as error:
        raise InvalidRequest(f"Parsl cannot be imported: {error}", hint="pip install parsl") from error
    from ...sites import find

    options: dict[str, Any] = invocation.values()
    options.pop("yaml", None)
    file, parameters = options.pop("config", None), options.pop("parameters", {})
    site = find(options.pop("site", None), Path(file) if file else None)
    template = platform(site.platform).template_class
    check_parameters(parameters, site.platform, template)
    options |= {name: template.params[name].convert(value) for name, value in parameters.items()}
    made = plan(site, **{_FIELDS.get(name, name): value for name, value in options.items()})
    if file:
        out.note(f"this names the site {site.name}: it will be found where {file} is among the site files")
    return globus(made) if yaml else python(made)


SHOW = Command(
    "show",
    "Print a Parsl configuration for a site.",
    _show,
    (Flag("yaml", ("--yaml",), "", "Print YAML for the engine of a Globus Compute endpoint.", switch=True), *_FLAGS),
    examples=("psij-run parsl show --site polaris -A chem -q debug -N 2",),
)
WRITE = Command(
    "write",
    "Write a Parsl configuration for a site to a file.",
    _write,
    _FLAGS,
    Argument("file", "FILE", "A new file; YAML if it ends in .yaml, else Python.", many=False, required=True),
    examples=("psij-run parsl write config.py -N 2 -t 2h --max-blocks 4",),
)
