"""`parsl show` and `parsl write`: a machine's Parsl configuration as Python code, or as YAML."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InvalidRequest
from ...parsl.options import ParslOptions
from ...platforms.registry import platform
from ...validators import positive_int
from ..command import Command, Invocation
from ..flags import Argument, Flag, FlagValues
from ..job_flags import job_flags
from ..output import Renderer
from ..quick_parser import parse

if TYPE_CHECKING:
    from ...sites import Site

_FIELDS = {
    "nodes": "num_nodes",
    "time": "wall_time_min",
    "queue": "queue",
    "account": "project",
    "mode": "job_mode",
    "launcher": "launcher",
}
_OF_JOBS = job_flags(*_FIELDS, "site", "config")
_HAVE_FLAGS = {_FIELDS[flag.name]: flag.shown for flag in _OF_JOBS if flag.name in _FIELDS}
_HAVE_FLAGS |= {name: f"--{name.replace('_', '-')}" for name in ("max_blocks", "workers_per_node", "label")}
(_PARAMETERS,) = job_flags("parameters")
_FLAGS = (
    *_OF_JOBS,
    _PARAMETERS._replace(
        help="Parameter of the resource manager, which `psij-run platform show` lists, or an argument of Parsl's:"
        " retries=2, heartbeat_threshold=300. Repeatable."
    ),
    Flag("label", ("--label",), "NAME", ParslOptions.help("label")),
    Flag("max_blocks", ("--max-blocks",), "COUNT", ParslOptions.help("max_blocks"), positive_int),
    Flag("workers_per_node", ("--workers-per-node",), "COUNT", ParslOptions.help("workers_per_node"), positive_int),
    Flag("worker_init", ("--worker-init",), "SHELL", "Shell line to run before the workers, e.g. 'module load x'."),
)
_ALSO = Flag(
    "also",
    ("--also",),
    "FLAGS",
    "A further site in the same configuration: its flags in one word, '--site perlmutter -q debug'. Repeatable.",
    list,
    many=True,
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
        from ...parsl.arguments import taken_by
        from ...parsl.config import plan, plans_of
        from ...parsl.export import globus, python
    except ImportError as error:
        raise InvalidRequest(f"Parsl cannot be imported: {error}", hint="pip install parsl") from error

    values = invocation.values()
    also = [_also(text, invocation.command) for text in values.pop("also", ())]
    site, wishes = _wishes(out, values)
    if not also:
        made = [plan(site, **wishes)]
    else:
        sites: dict[str, Mapping[str, Any]] = {}
        shared = {name: wishes.pop(name) for name in [*wishes] if name in taken_by("Config")}
        for one, own in ((site, wishes), *(_wishes(out, each) for each in also)):
            label = own.pop("label", one.name)
            if label in sites:
                raise InvalidRequest(
                    f"there are two executors with the label {label!r}", hint="give one of them a --label"
                )
            sites[label] = {"site": one, **own}
        made = plans_of(sites, shared)
    return globus(made) if yaml else python(made)


def _also(text: str, command: Command) -> FlagValues:
    """The flags of a further site. Raises `InvalidRequest`."""
    with suppress(ValueError):  # quotes that do not match
        if other := parse(command._replace(argument=None, flags=_FLAGS), shlex.split(text)):
            return other.values()
    raise InvalidRequest(
        f"--also {text!r} is not understood",
        hint="it takes the flags of one site in one word, for example --also '--site perlmutter -q debug -N 2'",
    )


def _wishes(out: Renderer, values: Mapping[str, Any]) -> tuple[Site, dict[str, Any]]:
    """The site, and the arguments of its executor."""
    from ...parsl.arguments import executor_name, from_text, is_of_parsl
    from ...sites import find

    options = {_FIELDS.get(name, name): value for name, value in values.items() if name not in ("yaml", "also")}
    file, parameters = options.pop("config", None), options.pop("parameters", {})
    site = find(options.pop("site", None), Path(file) if file else None)
    if file:
        out.note(f"this names the site {site.name}: it will be found where {file} is among the site files")
    template, executor = platform(site.platform).template_class, executor_name(options)
    for name, value in parameters.items():
        if name in template.params:
            options[name] = template.params[name].convert(value)
        elif name in _HAVE_FLAGS:
            raise InvalidRequest(f"-X {name} has a flag of its own", hint=f"use {_HAVE_FLAGS[name]}")
        else:
            options[name] = from_text(name, value, executor) if is_of_parsl(name, executor) else value
    return site, options


SHOW = Command(
    "show",
    "Print a Parsl configuration for a site.",
    _show,
    (
        Flag("yaml", ("--yaml",), "", "Print YAML for the engine of a Globus Compute endpoint.", switch=True),
        *_FLAGS,
        _ALSO,
    ),
    examples=(
        "psij-run parsl show --site polaris -A chem -q debug -t 1h -N 2 -X retries=2",
        "psij-run parsl show --site polaris -A chem -q debug -t 1h --also '--site perlmutter -A chem -q debug'",
    ),
)
WRITE = Command(
    "write",
    "Write a Parsl configuration for a site to a file.",
    _write,
    (*_FLAGS, _ALSO),
    Argument("file", "FILE", "A new file; YAML if it ends in .yaml, else Python.", many=False, required=True),
    examples=("psij-run parsl write config.py -N 2 -t 2h --max-blocks 4",),
)
